"""Several scenes of one pass as one date."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geot2t.grid import Box
from geot2t.io.aligned import Aligned, Pair
from geot2t.io.header import Header
from geot2t.io.observed import Scene


class Mosaic(Aligned):
    """Neighbouring tiles of one pass, or versions of one: at each pixel the first that saw it.

    Parameters
    ----------
    dates : sequence of Aligned
        On one grid, the first to be believed first. The scene that is filled is none of them.
    """

    def __init__(self, dates: Sequence[Aligned]) -> None:
        first = dates[0]
        super().__init__(first.scene, first.grid, first.order)
        self._parts = tuple(dates)

    @property
    def identical(self) -> bool:
        """Never: what one tile did not see comes from another."""
        return False

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes that are read."""
        return tuple(part.scene for part in self._parts)

    def read(self, box: Box) -> Pair:
        """Read ``box``; see `Aligned.read`."""
        pixels, valid = self._parts[0].read(box)
        for part in self._parts[1:]:
            if valid.all():
                break
            more, seen = part.read(box)
            new = seen & ~valid
            pixels[:, new] = more[:, new]
            valid |= new
        return pixels, valid

    def lacks(self, box: Box) -> NDArray[np.bool_]:
        """True where no tile holds data; see `Aligned.lacks`."""
        return np.asarray(np.logical_and.reduce([part.lacks(box) for part in self._parts]))


def mosaicked(dates: Sequence[Aligned], target: Header) -> list[Aligned]:
    """The same dates, with items of one pass of a satellite made one; ``target`` stays alone."""
    passes: dict[object, list[Aligned]] = {}
    for i, date in enumerate(dates):
        header = date.scene.header
        parts = None if header is target else header.parts
        passes.setdefault(i if parts is None else parts.item.pass_key, []).append(date)
    return [
        same[0] if len(same) == 1 else Mosaic(sorted(same, key=_rank)) for same in passes.values()
    ]


def _rank(date: Aligned) -> int:
    parts = date.scene.header.parts
    return 0 if parts is None else parts.rank
