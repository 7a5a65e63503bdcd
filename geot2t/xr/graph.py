"""The graph of a fill: which task needs what, and nothing computed.

For each date: find what the self-check is to hide, measure it window by window, conclude, and
fill block by block. Everything that must be read is cut from the source's chunks by tasks of its
own, so no task ever computes a collection.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, product
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.typing import Key
from numpy.typing import NDArray

from geot2t import calibrate, shortlist, survey
from geot2t.arrays import Piece
from geot2t.grid import Box, lattice
from geot2t.xr import tasks
from geot2t.xr.tasks import Job, Target

SIDE = 1024
"""Side up to which chunks are joined, and above which they are cut: neighbouring tasks both
predict the windows that they share, so small ones cost more."""

LEAST = 256
"""The same where many dates would need too much memory."""

BYTES = 2**28
"""Pixels of all dates that a task should hold, in bytes."""


@dataclass(frozen=True)
class Group:
    """Dates from one array (see `geot2t.arrays.Piece`)."""

    values: da.Array
    """As stored, ``(time, band, y, x)``."""

    codes: da.Array | None
    """Bits `HIDDEN` and `EMPTY`, uint8 ``(time, y, x)``."""


def build(
    job: Job, targets: Sequence[Target], groups: Sequence[Group], *, whole: bool
) -> dict[str, da.Array]:
    """Lay out the tasks that fill ``targets``.

    Parameters
    ----------
    job : Job
        What the tasks have in common.
    targets : sequence of Target
        Dates of the result, in its order.
    groups : sequence of Group
        Where pixels come from; the first one is filled.
    whole : bool
        Fill each date in one task, as is best where all is in memory.

    Returns
    -------
    dict of str to Array
        ``filled`` and, if wanted, ``error``, ``(time, band, y, x)``; ``provenance`` and ``days``,
        ``(time, y, x)``.
    """
    plan = _Plan(job, groups)
    side = max(job.extent.height, job.extent.width) if whole else _side(job, groups)
    rows, cols = (_blocks(groups[0].values.chunks[i], side) for i in (2, 3))
    checks = [plan.check(target) for target in targets]
    filled = f"geot2t-fill-{plan.token}"
    tops, lefts = ([0, *accumulate(sizes)] for sizes in (rows, cols))
    for (t, target), (y, x) in product(
        enumerate(targets), product(range(len(rows)), range(len(cols)))
    ):
        box = Box(tops[y], lefts[x], rows[y], cols[x])
        plan.graph[filled, t, y, x] = plan.fill(target, checks[t], box)
    graph = HighLevelGraph.from_collections(filled, plan.whole(), plan.sources)  # type: ignore[arg-type]

    def output(index: int, what: str, dtype: Any, *bands: int) -> da.Array:
        name = f"geot2t-{what}-{plan.token}"
        layer: dict[Key, Any] = {
            (name, t, *(0 for _ in bands), y, x): (_take, (filled, t, y, x), index)
            for t, y, x in product(range(len(targets)), range(len(rows)), range(len(cols)))
        }
        more = HighLevelGraph({**graph.layers, name: layer}, {**graph.dependencies, name: {filled}})
        chunks = ((1,) * len(targets), *((b,) for b in bands), rows, cols)
        return da.Array(more, name, chunks, dtype=dtype)

    out = {
        "filled": output(0, "filled", job.dtype, job.count),
        "provenance": output(1, "provenance", "uint8"),
        "days": output(2, "days", "uint8"),
    }
    if job.error:
        out["error"] = output(3, "error", "float32", job.count)
    return out


class _Plan:
    """Tasks under their keys, each made once.

    The self-check and its like look at pixels long before they are filled. They read chunks of
    the source by tasks of their own, or else the whole source would have to be kept until then.
    """

    def __init__(self, job: Job, groups: Sequence[Group]) -> None:
        self.job, self.groups = job, groups
        names = [(g.values.name, g.codes.name if g.codes is not None else "") for g in groups]
        self.token = tokenize(job, names)
        self.graph: dict[Key, Any] = {}
        self.sources = [a for g in groups for a in (g.values, g.codes) if a is not None]
        self._read: dict[str, set[Key]] = {}
        self._job = self._add("job", (), job)
        self._survey = self._surveyed() if job.recipe.surveys else None

    def whole(self) -> dict[Key, Any]:
        """All tasks, those included that read for other reasons than filling."""
        sources = HighLevelGraph.merge(*(a.dask for a in self.sources))
        for reason, keys in self._read.items():
            self.graph |= _copied(sources, keys, reason)
        return self.graph

    def _add(self, what: str, of: tuple[Key, ...], task: Any) -> Key:
        key = (f"geot2t-{what}-{self.token}", *of)
        self.graph.setdefault(key, task)
        return key

    def _surveyed(self) -> Key:
        cells = [self.piece(cell, reason="survey") for cell in survey.cells(self.job.extent)]
        return self._add("survey", (), (tasks.survey, self._job, cells))

    def _dates(self, target: Target) -> Key | None:
        if len(target.dates) <= shortlist.MOST_DATES:
            return None
        windows = shortlist.windows_read(self.job.extent, self.job.recipe.seed)
        pieces = [self.piece(window, reason="shortlist") for window in windows]
        return self._add("dates", _of(target), (tasks.dates_used, self._job, target, pieces))

    def check(self, target: Target) -> Key:
        """The self-check of one date."""
        found: Key | list[Any] = []
        parts = []
        if target.index is not None:
            windows = calibrate.windows_read(self.job.extent, **self.job.windowing)
            valid = [self.seen(target.index, window, reason="check") for window in windows]
            found = self._add("cases", _of(target), (tasks.cases, self._job, valid))
            dates = self._dates(target)
            for i, window in enumerate(windows):
                piece = self.piece(window, reason="measure")
                task = (tasks.outcomes, self._job, target, dates, found, self._survey, piece)
                parts.append(self._add("outcomes", (*_of(target), i), task))
        return self._add("check", _of(target), (tasks.check, self._job, found, parts))

    def fill(self, target: Target, check: Key, box: Box) -> tuple[Any, ...]:
        """The task that fills ``box`` of one date."""
        job = self.job
        margin = min(job.rules.max_distance, job.window)
        windows = lattice(box, job.extent, size=job.window, overlap=job.overlap)
        hull = _hull([box.grown(margin, job.extent), *windows])
        observed = None
        if job.rules.max_distance > margin and target.index is not None:
            wide = box.grown(job.rules.max_distance, job.extent)
            observed = (_pair, wide, self.seen(target.index, wide))
        piece = self.piece(hull)
        dates = self._dates(target)
        return (
            tasks.fill, self._job, target, dates, check, self._survey, box, piece, observed
        )  # fmt: skip

    def seen(self, date: int, box: Box, reason: str = "") -> Key:
        """Where one date of the first group was observed in ``box``."""
        piece = self.piece(box, date, reason)
        return self._add("seen", _where(box, date, reason), (tasks.seen, self._job, piece))

    def piece(self, box: Box, date: int | None = None, reason: str = "") -> Key:
        """A piece of all dates, or of one date of the first group."""
        groups = self.groups if date is None else self.groups[:1]
        values = [self._cut(g.values, box, date, reason) for g in groups]
        codes = [None if g.codes is None else self._cut(g.codes, box, date, reason) for g in groups]
        return self._add("piece", _where(box, date, reason), (Piece, box, values, codes))

    def _cut(self, array: da.Array, box: Box, date: int | None, reason: str) -> Key:
        """``box`` of a dask array whose last axes are y and x, as one array."""
        lead: list[slice] = [slice(0, n) for n in array.shape[:-2]]
        if date is not None:
            lead[0] = slice(date, date + 1)
        axes = [
            list(_touched(sizes, s))
            for sizes, s in zip(array.chunks, [*lead, *box.slices], strict=True)
        ]

        def part(at: tuple[tuple[int, slice, bool], ...]) -> Key:
            source: tuple[Any, ...] = (array.name, *(i for i, _, _ in at))
            if reason:
                self._read.setdefault(reason, set()).add(source)
                source = _renamed(source, reason)
            if all(full for _, _, full in at):
                return source
            cuts = tuple(cut for _, cut, _ in at)
            bounds = [bound for cut in cuts for bound in (cut.start, cut.stop)]
            return self._add("cut", (*source, *bounds), (operator.getitem, source, cuts))

        def nested(at: tuple[tuple[int, slice, bool], ...]) -> Any:
            if len(at) == len(axes):
                return part(at)
            return [nested((*at, one)) for one in axes[len(at)]]

        if all(len(axis) == 1 for axis in axes):
            return part(tuple(axis[0] for axis in axes))
        of = (array.name, *_where(box, date, reason))
        return self._add("join", of, (np.block, nested(())))


def _of(target: Target) -> tuple[int, ...]:
    # A day that is not known would differ from itself.
    return (-1 if target.index is None else target.index, int(np.nan_to_num(target.day)))


def _where(box: Box, date: int | None, reason: str) -> tuple[Key, ...]:
    return (reason, box.row, box.col, box.height, box.width, -1 if date is None else date)


def _copied(sources: HighLevelGraph, keys: set[Key], reason: str) -> dict[Any, Any]:
    """The tasks that make ``keys``, under other names."""
    found = dict(sources.cull(keys))
    names = {key: _renamed(key, reason) for key, task in found.items() if not _stored(task)}

    def renamed(task: Any) -> Any:
        if hasattr(task, "substitute"):
            return task.substitute(names)
        if isinstance(task, list):
            return [renamed(part) for part in task]
        if isinstance(task, tuple) and task and callable(task[0]):
            return (task[0], *map(renamed, task[1:]))
        try:
            return names.get(task, task)
        except TypeError:  # a value that cannot be hashed is no key
            return task

    def rekeyed(key: Any, task: Any) -> Any:
        node = hasattr(task, "substitute")
        return task.substitute(names, key=names[key]) if node else renamed(task)

    return {
        names.get(key, key): rekeyed(key, task) if key in names else task
        for key, task in found.items()
    }


def _stored(task: Any) -> bool:
    """Whether a cluster holds the result already, as of a collection that was persisted."""
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(task, distributed.Future)


def _renamed(key: Any, reason: str) -> Any:
    if isinstance(key, tuple):
        return (_renamed(key[0], reason), *key[1:])
    return f"geot2t-{reason}-{key}"


def _take(outputs: tasks.Outputs, index: int) -> NDArray[Any]:
    """One output with an axis for time."""
    out = outputs[index]
    assert out is not None  # noqa: S101  half-widths are asked for only where wanted
    return out[None]


def _pair(box: Box, valid: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    return box, valid


def _touched(sizes: Sequence[int], want: slice) -> Iterator[tuple[int, slice, bool]]:
    """Chunks of an axis that ``want`` touches: number, part of the chunk, and whether it is all."""
    for i, (start, stop) in enumerate(pairwise([0, *accumulate(sizes)])):
        first, last = max(want.start, start), min(want.stop, stop)
        if first < last:
            yield i, slice(first - start, last - start), (first, last) == (start, stop)


def _hull(boxes: Sequence[Box]) -> Box:
    row, col = min(b.row for b in boxes), min(b.col for b in boxes)
    stop = max(b.stop[0] for b in boxes), max(b.stop[1] for b in boxes)
    return Box(row, col, stop[0] - row, stop[1] - col)


def _side(job: Job, groups: Sequence[Group]) -> int:
    """Greatest side of a block such that all dates of it and of its windows fit into `BYTES`."""
    deep = sum(math.prod(g.values.shape[:2]) * g.values.dtype.itemsize for g in groups)
    return min(max(int(math.sqrt(BYTES / deep)) - job.window, LEAST), SIDE)


def _blocks(sizes: Sequence[int], side: int) -> tuple[int, ...]:
    """Cut or join the chunks of an axis to blocks of at most about ``side`` pixels."""
    out: list[int] = []
    joined = 0
    for size in sizes:
        if joined and joined + size > side:
            out.append(joined)
            joined = 0
        if size > side:
            count = math.ceil(size / side)
            out += [size * (i + 1) // count - size * i // count for i in range(count)]
        else:
            joined += size
    return tuple(out + [joined] * (joined > 0))
