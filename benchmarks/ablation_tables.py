"""Errors of windows as ratios with intervals, and these as tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from ablation_runs import RUNS, Row

from geot2t.metrics import ratio_interval

COMPARED = {"parameters": "parameters", "milliseconds": "time", "seconds": "training"}
"""In what networks of like size should be alike."""

PRIOR, LINEAR = ("references", "prior"), ("references", "linear")


def summarised(rows: Sequence[Row], sets: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """The rows with, for each set of windows, ratios, wins and texture instead of lists.

    Ratios are of each window, then averaged, with a 95 % bootstrap interval over windows.
    Windows in which the prior or linear interpolation makes no error are left out.

    Parameters
    ----------
    rows : sequence of Row
        The prior and linear interpolation are among them.
    sets : mapping of str to sequence of str
        The place of each window.
    """
    known = {(row["job"], row["name"]): row["sets"] for row in rows}
    for row in rows:
        own, beside = (row["job"], row["name"]), row.get("beside", "t2t")
        rival = (row["job"], row["against"]) if "against" in row else PRIOR
        found = {}
        for name, places in sets.items():
            wanted = {"prior": PRIOR, "linear": LINEAR, "rival": rival, "t2t": (beside, beside)}
            other = {
                label: np.array(known[key][name]["error"], "float64")
                for label, key in wanted.items()
                if key in known
            }
            error = np.array(row["sets"][name]["error"], "float64")
            keep = np.isfinite(error) & (other["prior"] > 0) & (other["linear"] > 0)
            if not keep.any():
                continue
            over = {label: error[keep] / e[keep] for label, e in other.items() if label != "rival"}
            rough = np.array(row["sets"][name]["texture"], "float64")[keep]
            at = np.array(places)[keep]
            found[name] = {
                "windows": int(keep.sum()),
                **{
                    label: ratio_interval(ratio, np.ones_like(ratio))
                    for label, ratio in over.items()
                },
                "places": {str(p): float(over["prior"][at == p].mean()) for p in np.unique(at)},
                "wins": float((error < other["rival"])[keep].mean()) if own != rival else None,
                "texture": float(np.nanmean(rough)) if np.isfinite(rough).any() else None,
            }
        yield {**row, "sets": found}


def accuracy(rows: Sequence[Row], name: str) -> str:
    """All rows on one set of windows; those that say the same only once."""
    head = ["", "error / prior", "by place", "error / linear", "error / T2T-GAN"]
    head += ["wins", "texture", "windows"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        if name not in row["sets"]:
            continue
        figures = row["sets"][name]
        places = set(figures["places"].values())
        cells = [
            row["title"],
            _interval(figures["prior"]),
            f"{min(places):.3f} to {max(places):.3f}" if len(places) > 1 else "",
            _interval(figures["linear"]),
            _interval(figures.get("t2t")),
            "" if figures["wins"] is None else f"{figures['wins']:.0%}",
            "" if figures["texture"] is None else f"{figures['texture']:.3f}",
            str(figures["windows"]),
        ]
        if cells not in lines:
            lines.append(cells)
    return _table(lines)


def networks(rows: Sequence[Row]) -> str:
    """Sizes and times of the networks, and how far those of like size are apart."""
    nets = {row["name"]: row["network"] for row in rows if "network" in row}
    head = ["", "parameters", "of the critic", "ms for 256 px", "training, s", "on"]
    lines = [head, ["---"] * len(head)]
    for name, net in nets.items():
        threads = f", {net['threads']} threads" if net["device"] == "cpu" else ""
        lines.append([
            RUNS[name].title,
            str(net["parameters"]),
            str(net["critic_parameters"]),
            f"{net['milliseconds']:.0f}",
            f"{net['seconds']:.0f}",
            net["device"] + threads,
        ])  # fmt: skip
    alike = [nets[name] for name in ("t2t", "vit", "swin", "unet") if name in nets]
    if len(alike) < 2:
        return _table(lines)
    apart = [
        f"{label} {max(net[key] for net in alike) / min(net[key] for net in alike):.2f}"
        for key, label in COMPARED.items()
    ]
    return f"{_table(lines)}\n\nLargest architecture over smallest: {', '.join(apart)}."


def _interval(values: Sequence[float] | None) -> str:
    if values is None:
        return ""
    ratio, low, high = values
    return "1" if low == high == 1 else f"{ratio:.3f} ({low:.3f} to {high:.3f})"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
