"""What became of each scene, one JSON object a line, written as it happens.

A run reads it to learn what earlier ones have done. Only one run writes it at a time, and a line
that was cut off by a kill is passed over: its scene is then filled once more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from geot2t import __version__
from geot2t.errors import InputError, OutputError
from geot2t.fill import Estimates
from geot2t.io.checksums import plain
from geot2t.io.stack import Stack
from geot2t.request import Request

BEGUN, DONE, KEPT, FAILED = "begun", "done", "kept", "failed"
"""States of a scene. A kept one was done by an earlier run, and is as that left it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one scene."""

    scene: str
    """What it is called."""

    output: str
    """The filled raster."""

    state: str
    """One of the states above."""

    key: str = ""
    """Fingerprint of all that the outputs follow from."""

    seconds: float | None = None
    """Time that it took."""

    gap: float | None = None
    """Share of pixels in which something was not observed."""

    unfilled: float | None = None
    """Share of pixels in which something was neither observed nor filled."""

    methods: tuple[str, ...] = ()
    """Method of each band; empty if nothing was filled."""

    warnings: tuple[str, ...] = ()
    """What the user should know, one sentence each."""

    error: str = ""
    """Why it failed, in one line."""

    trace: str = ""
    """Where, if that was not foreseen."""

    files: Mapping[str, int] = field(default_factory=dict)
    """Size of each output by its path."""

    bands: int = 1
    """Parts that it was computed in."""

    @property
    def complaint(self) -> str:
        """Why it failed, with the name of the scene."""
        return self.error if self.scene in self.error else f"{self.scene}: {self.error}"

    @property
    def intact(self) -> bool:
        """Whether the outputs are there with the sizes that they had."""
        return bool(self.files) and all(
            _stat(Path(path))[1] == size for path, size in self.files.items()
        )


class Journal:
    """The journal of a folder, open for one run.

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Attributes
    ----------
    last : dict of str to Entry
        The last entry of each output.
    owned : set of str
        Outputs that a run began with; what is under their names is a batch's own.

    Raises
    ------
    InputError
        If it is something else.
    OutputError
        If it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last: dict[str, Entry] = {}
        self.owned: set[str] = set()
        try:
            text = path.read_bytes() if path.exists() else b""
            self._take(text)
            self._file = path.open("ab")
            if text and not text.endswith(b"\n"):
                self._file.write(b"\n")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    def _take(self, text: bytes) -> None:
        known = {f.name for f in fields(Entry)}
        good = bad = 0
        for line in text.splitlines():
            try:
                found = json.loads(line)
                more = {k: tuple(found.get(k, ())) for k in ("methods", "warnings")}
                entry = Entry(**{k: v for k, v in found.items() if k in known} | more)
            except (ValueError, TypeError, AttributeError):
                bad += 1
                continue
            good += 1
            self._note(entry)
        if bad > 1 and not good:
            raise InputError(f"{self.path} is no journal of a batch; choose another folder with -o")

    def _note(self, entry: Entry) -> None:
        self.last[entry.output] = entry
        if entry.state != FAILED:
            self.owned.add(entry.output)

    def add(self, entry: Entry) -> None:
        """Write an entry down.

        Raises
        ------
        OutputError
            If the disk does not take it.
        """
        self._note(entry)
        try:
            self._file.write(json.dumps(plain(asdict(entry))).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def fingerprint(stack: Stack, request: Request, more: Iterable[Path] = ()) -> str:
    """A digest that changes when the outputs of a scene would.

    Parameters
    ----------
    stack : Stack
        The scene and its series. Of each of their files, the size and the time when it was
        written count; a file that joins or leaves the series counts too.
    request : Request
        What is asked for.
    more : iterable of Path
        Further files that are read.
    """
    local = [path for files in stack.files for path in files]
    said = {
        "version": __version__,
        "options": {**request.said, "report": request.report},
        "model": _model(request.model),
        "files": [[str(path), *_stat(path)] for path in (*local, *more)],
        "dates": [[str(path), day] for path, day in zip(stack.paths, stack.dates, strict=True)],
        "bands": [list(stack.names), stack.scale, stack.offset],
    }
    return hashlib.sha256(json.dumps(plain(said), sort_keys=True).encode()).hexdigest()


def _model(model: str | Path | Estimates | None) -> object:
    if model is None or not isinstance(model, str | Path):
        return None if model is None else type(model).__name__
    return [str(model), *_stat(Path(model))]


def _stat(path: Path) -> tuple[int, int]:
    """When a file was written, and its size; -1 if it is not there."""
    try:
        known = path.stat()
    except OSError:
        return -1, -1
    return known.st_mtime_ns, known.st_size


def counts(entries: Iterable[Entry]) -> dict[str, Any]:
    """How many scenes are in each state at the end of a run."""
    states = [entry.state for entry in entries]
    return {state: states.count(state) for state in (DONE, KEPT, FAILED)}
