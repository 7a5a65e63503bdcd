"""The graph of a fill: which task needs what, and nothing computed.

Look at the source: sample it, and find what the self-check is to hide of each date. Measure that,
window by window, and conclude. Then fill block by block, one date each.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from itertools import accumulate, product
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.typing import Key
from numpy.typing import NDArray

from geot2t import blind, hidden, shortlist, survey
from geot2t.grid import Box, lattice
from geot2t.xr import tasks
from geot2t.xr.reading import Group, Reader
from geot2t.xr.tasks import Job, Target

SIDE = 1024
"""Side up to which chunks are joined, and above which they are cut: neighbouring tasks both
predict the windows that they share, so small ones cost more."""

LEAST = 256
"""The same where many dates would need too much memory."""

BYTES = 2**28
"""Pixels of all dates that a task should hold, in bytes."""


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
        ``filled`` and, if wanted, ``error``, ``(time, band, y, x)``, and ``samples``,
        ``(time, sample, band, y, x)``; ``provenance`` and ``days``, ``(time, y, x)``.
    """
    plan = _Plan(job, targets, groups)
    side = max(job.extent.height, job.extent.width) if whole else _side(groups, job.window)
    rows, cols = (_blocks(groups[0].values.chunks[i], side) for i in (2, 3))
    tops, lefts = ([0, *accumulate(sizes)] for sizes in (rows, cols))
    filled = f"geot2t-fill-{plan.token}"
    every = list(product(range(len(targets)), range(len(rows)), range(len(cols))))
    own: dict[Key, Any] = {
        (filled, t, y, x): plan.fill(t, Box(tops[y], lefts[x], rows[y], cols[x]))
        for t, y, x in every
    }
    tasks_of: dict[str, Any] = {filled: plan.graph() | own}

    def output(index: int, what: str, dtype: Any, *bands: int) -> da.Array:
        name = f"geot2t-{what}-{plan.token}"
        layers = tasks_of | {
            name: {
                (name, t, *(0 for _ in bands), y, x): (_take, (filled, t, y, x), index)
                for t, y, x in every
            }
        }
        graph = HighLevelGraph(layers, {filled: set(), name: {filled}})
        chunks = ((1,) * len(targets), *((b,) for b in bands), rows, cols)
        return da.Array(graph, name, chunks, dtype=dtype)

    out = {
        "filled": output(0, "filled", job.dtype, job.count),
        "provenance": output(1, "provenance", "uint8"),
        "days": output(2, "days", "uint8"),
    }
    if job.error:
        out["error"] = output(3, "error", "float32", job.count)
    if job.samples:
        out["samples"] = output(4, "samples", job.dtype, job.samples, job.count)
    return out


class _Plan:
    """The tasks that all blocks need, and those of a block."""

    def __init__(self, job: Job, targets: Sequence[Target], groups: Sequence[Group]) -> None:
        self.job, self._targets, self._exact = job, list(targets), groups[0].exact
        self.token = tokenize(job, self._targets, [a.name for g in groups for a in g.arrays])
        checked = f"geot2t-checks-{self.token}"
        gates = {"measure": f"geot2t-looked-{self.token}"}
        gates |= dict.fromkeys(("fill", "reach", "exact"), checked)
        self._reader = Reader(groups, self.token, gates)
        self._own: dict[Key, Any] = {}
        self._job = self._add("job", job)
        self._survey: Key | None = None
        if job.recipe.surveys:
            cells = [self._reader.piece(cell, "look") for cell in survey.cells(job.extent)]
            self._survey = self._add("survey", (tasks.survey, self._job, cells))
        self._dates = [self._dates_of(t, target) for t, target in enumerate(self._targets)]
        self._checks = self._checked()

    def graph(self) -> dict[Key, Any]:
        """Tasks so far, but those that fill."""
        return self._own | self._reader.tasks()

    def _add(self, what: str, task: Any, *of: int) -> Key:
        key: Key = f"geot2t-{what}-{self.token}"
        if of:
            key = (key, *of)
        self._own[key] = task
        return key

    def _dates_of(self, t: int, target: Target) -> Key | None:
        if len(target.dates) <= shortlist.MOST_DATES:
            return None
        windows = shortlist.windows_read(self.job.extent, self.job.recipe.seed)
        pieces = [self._reader.piece(window, "look") for window in windows]
        return self._add("dates", (tasks.dates_used, self._job, target, pieces), t)

    def _checked(self) -> Key:
        """The self-checks of all dates.

        They are made together: were each date on its own, dask might fill one after another, and
        keep what all of them are filled from until the last.
        """
        job = self.job
        blinded = blind.windows_read(job.extent, size=job.window, overlap=job.overlap)
        everywhere = [
            self._add("shown", (tasks.shown, self._job, self._reader.piece(window, "look")), i)
            for i, window in enumerate(blinded)
        ]
        windows = blinded
        if any(target.index is not None for target in self._targets):
            more = hidden.windows_read(job.extent, **job.windowing)
            windows = list(dict.fromkeys([*more, *blinded]))
        found: list[Key] = []
        for t, target in enumerate(self._targets):
            valid = []
            if target.index is not None:
                valid = [self._seen("look", target.index, window) for window in more]
            task = (tasks.cases, self._job, target, self._dates[t], valid, everywhere)
            found.append(self._add("cases", task, t))
        known = (self._job, self._targets, self._dates, found, self._survey)
        parts = [
            self._add("outcomes", (tasks.outcomes, *known, self._reader.piece(w, "measure")), i)
            for i, w in enumerate(windows)
        ]
        self._add("looked", (_done, found, self._survey))
        return self._add("checks", (tasks.checks, self._job, found, parts))

    def _seen(self, reason: str, date: int, box: Box) -> tuple[Any, ...]:
        return (tasks.seen, self._job, self._reader.piece(box, reason, date))

    def fill(self, t: int, box: Box) -> tuple[Any, ...]:
        """The task that fills ``box`` of one date."""
        job, date = self.job, self._targets[t].index
        margin = min(job.rules.max_distance, job.window)
        windows = lattice(box, job.extent, size=job.window, overlap=job.overlap)
        hull = _hull([box.grown(margin, job.extent), *windows])
        observed = exact = None
        if date is not None and job.rules.max_distance > margin:
            wide = box.grown(job.rules.max_distance, job.extent)
            observed = (_pair, wide, self._seen("reach", date, wide))
        if date is not None and self._exact is not None:
            exact = self._reader.cut(self._exact, box, "exact", date)
        return (
            tasks.fill, self._job, self._targets[t], self._dates[t],
            (operator.getitem, self._checks, t), self._survey, box,
            self._reader.large_piece(hull, "fill"), observed, exact,
        )  # fmt: skip


def _done(*_: Any) -> None:
    """Nothing, once all arguments are there."""


def _take(outputs: tasks.Outputs, index: int) -> NDArray[Any]:
    """One output with an axis for time."""
    out = outputs[index]
    assert out is not None  # noqa: S101  half-widths are asked for only where wanted
    return out[None]


def _pair(box: Box, valid: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    return box, valid


def _hull(boxes: Sequence[Box]) -> Box:
    row, col = min(b.row for b in boxes), min(b.col for b in boxes)
    stop = max(b.stop[0] for b in boxes), max(b.stop[1] for b in boxes)
    return Box(row, col, stop[0] - row, stop[1] - col)


def _side(groups: Sequence[Group], window: int) -> int:
    """Greatest side of a block such that all dates of it and of its windows fit into `BYTES`."""
    deep = sum(math.prod(g.values.shape[:2]) * g.values.dtype.itemsize for g in groups)
    return min(max(int(math.sqrt(BYTES / deep)) - window, LEAST), SIDE)


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
