"""What a batch reports: a table for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from os.path import commonpath
from pathlib import Path
from typing import Any

from geot2t.batch.journal import DONE, FAILED, KEPT, Entry, counts

MOST_LINES = 40
"""Scenes listed in a table; beyond, only those that failed are."""

HEAD: tuple[str, ...] = ("scene", "state", "gap", "filled by", "seconds")


def report(entries: Sequence[Entry], about: dict[str, Any]) -> dict[str, Any]:
    """The report of a run as JSON has it.

    Parameters
    ----------
    entries : sequence of Entry
        What became of each scene.
    about : dict
        What is to be said of the run as a whole.
    """
    hidden = ("key", "files", "unfilled", "gap")
    return {
        **about,
        "summary": counts(entries),
        "scenes": [
            {
                **{k: v for k, v in asdict(entry).items() if k not in hidden},
                "gap_fraction": entry.gap,
                "not_filled": entry.unfilled,
            }
            for entry in entries
        ],
    }


def lines(entries: Sequence[Entry], seconds: float) -> list[str]:
    """The table of a run, and one line for all of it."""
    failed = [e for e in entries if e.state == FAILED]
    listed = entries if len(entries) <= MOST_LINES else failed[:MOST_LINES]
    out = []
    if listed:
        start = _common(listed)
        rows = [HEAD, *(_row(entry, start) for entry in listed)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        out = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        if len(failed) > MOST_LINES and listed is not entries:
            out.append(f"... and {len(failed) - MOST_LINES} more that failed")
        out += ["", *(e.complaint for e in failed[:MOST_LINES]), ""]
        if not failed:
            out.pop()
    return [*out, _total(entries, seconds)]


def _total(entries: Sequence[Entry], seconds: float) -> str:
    count = counts(entries)
    gaps = [e.gap for e in entries if e.gap is not None]
    said = "1 scene: " if len(entries) == 1 else f"{len(entries)} scenes: "
    said += f"{count[DONE]} filled, {count[KEPT]} kept, {count[FAILED]} failed"
    if gaps:
        said += f"; mean gap {100 * sum(gaps) / len(gaps):.1f} %"
    return f"{said}; {seconds:.0f} s"


def _row(entry: Entry, start: str) -> tuple[str, ...]:
    used = Counter(entry.methods)
    methods = next(iter(used)) if len(used) == 1 else ", ".join(f"{n} {m}" for m, n in used.items())
    return (
        _short(entry.scene, start),
        {DONE: "filled"}.get(entry.state, entry.state),
        "" if entry.gap is None else f"{100 * entry.gap:.1f} %",
        methods,
        "" if entry.seconds is None or entry.state == KEPT else f"{entry.seconds:.1f}",
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    right = {2, 4}
    pairs = enumerate(zip(row, widths, strict=True))
    return [text.rjust(w) if i in right else text.ljust(w) for i, (text, w) in pairs]


def _common(entries: Sequence[Entry]) -> str:
    """The folder that all scenes are in, which need not be said of each."""
    try:
        return commonpath([Path(e.scene).parent for e in entries])
    except ValueError:  # addresses among files, or two drives
        return ""


def _short(scene: str, start: str) -> str:
    text = scene.removeprefix(start).lstrip("/\\") if start else scene
    return text if len(text) <= 60 else f"...{text[-57:]}"
