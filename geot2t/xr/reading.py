"""Tasks that read: boxes cut from the chunks of dask arrays.

Chunks are read anew for each reason there is. The self-check looks at them long before they are
filled, and dask would otherwise keep them until then: all of them, of all dates. For the same
cause nothing is cut for a reason before its gate is open.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from dask.typing import Key
from numpy.typing import NDArray

from geot2t.arrays import Bands, Piece
from geot2t.grid import Box


@dataclass(frozen=True)
class Group:
    """Dates from one array (see `geot2t.arrays.Piece`)."""

    values: da.Array
    """As stored, ``(time, band, y, x)``."""

    codes: da.Array | None
    """Bits `HIDDEN` and `EMPTY`, uint8 ``(time, y, x)``."""

    exact: da.Array | None = None
    """The values with all their digits, where ``values`` has fewer."""

    @classmethod
    def compact(cls, values: da.Array, codes: da.Array | None, bands: Bands) -> Group:
        """The same with half the memory where float32, which models work in, is enough."""
        scaled = (bands.scale != 1).any() or (bands.offset != 0).any()
        if values.dtype != np.float64 or scaled:
            return cls(values, codes)
        return cls(values.astype("float32"), codes, values)

    @property
    def arrays(self) -> list[da.Array]:
        """Those there are."""
        return [a for a in (self.values, self.codes, self.exact) if a is not None]


@dataclass(frozen=True, slots=True)
class _Part:
    """What is wanted of a chunk along one axis."""

    chunk: int
    want: slice
    whole: bool


class Reader:
    """Makes the tasks, each once.

    Parameters
    ----------
    groups : sequence of Group
        Where pixels come from.
    token : str
        Part of the keys of all tasks.
    gates : mapping of str to key
        For a reason to read, what must be done before.
    """

    def __init__(self, groups: Sequence[Group], token: str, gates: Mapping[str, Key]) -> None:
        self.groups, self._token, self._gates = groups, token, gates
        self._tasks: dict[Key, Any] = {}
        self._chunks: dict[str, set[Key]] = {}

    def piece(self, box: Box, reason: str, date: int | None = None) -> tuple[Any, ...]:
        """A piece of all dates, or of one date of the first group.

        Put together in the task that needs it: dask knows the size of arrays, not of pieces.
        """
        groups = self.groups if date is None else self.groups[:1]
        return _piece(groups, box, lambda array: self.cut(array, box, reason, date))

    def large_piece(self, box: Box, reason: str) -> tuple[Any, ...]:
        """A piece of all dates, of which nothing is kept but whole chunks.

        Many tasks need overlapping pieces. Were these tasks of their own, dask might make all of
        them before any is used.
        """
        return _piece(self.groups, box, lambda array: self._view(array, box, reason))

    def _view(self, array: da.Array, box: Box, reason: str) -> tuple[Any, ...]:
        """``box`` of all dates, put together in the task that needs it."""
        rows, cols = (
            list(_touched(sizes, want))
            for sizes, want in zip(array.chunks[-2:], box.slices, strict=True)
        )
        parts = [
            [
                (
                    operator.getitem,
                    self._column(array, row.chunk, col.chunk, reason),
                    (..., row.want, col.want),
                )
                for col in cols
            ]
            for row in rows
        ]
        return (_join, parts, None)

    def _column(self, array: da.Array, row: int, col: int, reason: str) -> Key:
        """All dates and bands of a chunk in y and x."""
        at = [[_Part(i, slice(0, n), whole=True) for i, n in enumerate(s)] for s in array.chunks]
        at[-2:] = [at[-2][row]], [at[-1][col]]
        key = (f"geot2t-column-{self._token}", reason, array.name, row, col)
        self._tasks.setdefault(key, self._joined(array.name, at, reason))
        return key

    def cut(self, array: da.Array, box: Box, reason: str, date: int | None = None) -> Key:
        """``box`` of an array whose last axes are y and x, of all dates or of one."""
        lead: list[slice] = [slice(0, n) for n in array.shape[:-2]]
        if date is not None:
            lead[0] = slice(date, date + 1)
        wanted = [*lead, *box.slices]
        axes = [list(_touched(s, want)) for s, want in zip(array.chunks, wanted, strict=True)]

        if all(len(axis) == 1 for axis in axes):
            return self._part(array.name, tuple(axis[0] for axis in axes), reason)
        task = self._joined(array.name, axes, reason)
        return self._add("join", (reason, array.name), wanted, task)

    def _joined(self, name: str, axes: Sequence[Sequence[_Part]], reason: str) -> tuple[Any, ...]:
        def nested(at: tuple[_Part, ...]) -> Any:
            if len(at) == len(axes):
                return self._part(name, at, reason)
            return [nested((*at, one)) for one in axes[len(at)]]

        return (_join, nested(()), self._gates.get(reason))

    def _part(self, name: str, at: tuple[_Part, ...], reason: str) -> Key:
        index = [part.chunk for part in at]
        self._chunks.setdefault(reason, set()).add((name, *index))
        chunk: Key = (_renamed(name, reason), *index)
        if all(part.whole for part in at):
            return chunk
        wanted = [part.want for part in at]
        task = (_cut, chunk, tuple(wanted), self._gates.get(reason))
        return self._add("cut", (reason, name, *index), wanted, task)

    def _add(self, what: str, of: tuple[Key, ...], wanted: Sequence[slice], task: Any) -> Key:
        bounds = [bound for want in wanted for bound in (want.start, want.stop)]
        key = (f"geot2t-{what}-{self._token}", *of, *bounds)
        self._tasks.setdefault(key, task)
        return key

    def tasks(self) -> dict[Key, Any]:
        """All tasks so far, those included that make the chunks."""
        made = dict(self._tasks)
        sources = HighLevelGraph.merge(*(a.dask for g in self.groups for a in g.arrays))
        for reason, keys in self._chunks.items():
            made |= _copied(dict(sources.cull(keys)), reason)
        return made


def _piece(
    groups: Sequence[Group], box: Box, cut: Callable[[da.Array], Key | tuple[Any, ...]]
) -> tuple[Any, ...]:
    codes = [None if g.codes is None else cut(g.codes) for g in groups]
    return (Piece, box, [cut(g.values) for g in groups], codes)


def _touched(sizes: Sequence[int], want: slice) -> Iterator[_Part]:
    """The chunks of an axis that ``want`` touches."""
    for i, (start, stop) in enumerate(pairwise([0, *accumulate(sizes)])):
        first, last = max(want.start, start), min(want.stop, stop)
        if first < last:
            yield _Part(i, slice(first - start, last - start), (first, last) == (start, stop))


def _cut(chunk: NDArray[Any], wanted: tuple[slice, ...], _: object) -> NDArray[Any]:
    # A view would keep all of the chunk.
    return np.array(chunk[wanted])


def _join(parts: Any, _: object) -> NDArray[Any]:
    while isinstance(parts, list) and len(parts) == 1:
        (parts,) = parts
    # One part alone is not copied: it may be a whole cube in memory.
    return parts if isinstance(parts, np.ndarray) else np.block(parts)


def _copied(found: Mapping[Any, Any], reason: str) -> dict[Any, Any]:
    """Tasks under other names."""
    names = {key: _renamed(key, reason) for key, task in found.items() if not _in_memory(task)}

    def renamed(task: Any) -> Any:
        if hasattr(task, "substitute"):  # dask's own kind of task
            return task.substitute(names)
        if isinstance(task, list):
            return [renamed(part) for part in task]
        if isinstance(task, tuple) and task and callable(task[0]):
            return (task[0], *map(renamed, task[1:]))
        try:
            return names.get(task, task)
        except TypeError:  # what cannot be hashed is no key
            return task

    out = {}
    for key, task in found.items():
        if key not in names:
            out[key], out[_renamed(key, reason)] = task, key  # by another name, and kept once
        elif hasattr(task, "substitute"):
            out[names[key]] = task.substitute(names, key=names[key])
        else:
            out[names[key]] = renamed(task)
    return out


def _in_memory(task: Any) -> bool:
    """Whether nothing is read: an array, or what a cluster holds since it was persisted."""
    distributed = sys.modules.get("distributed")
    there = distributed is not None and isinstance(task, distributed.Future)
    return there or isinstance(task, np.ndarray)


def _renamed(key: Any, reason: str) -> Any:
    if isinstance(key, tuple):
        return (_renamed(key[0], reason), *key[1:])
    return f"geot2t-{reason}-{key}"
