"""What a scene teaches beyond a window: pixels sampled all over it, read once.

A window that lies under a cloud saw nothing of the target date itself. How that date looks
where others are known can be learnt from the rest of the scene.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Around, Block, Float, Source
from geot2t.grid import Box

CELLS = 8
"""Cells along each side of the scene from which pixels are taken."""

SIDE = 64
"""Greatest side of a cell, in pixels."""

STEP = 3
"""Every so many rows and columns of a cell are taken."""

MOST = 4096
"""Pixels given with a window at most."""

Bool = NDArray[np.bool_]


class Surveyed:
    """A source whose blocks say what was observed around them.

    What is sampled follows from the source alone, not from which boxes are read or in which
    order. It is read when the first block is, by whichever thread comes first.

    Parameters
    ----------
    source : Source
        The scene and its series.
    survey : Survey, optional
        Of the same dates, if it was made before.
    """

    def __init__(self, source: Source, survey: Survey | None = None) -> None:
        self._source = source
        self.extent, self.target = source.extent, source.target
        self.read_target = source.read_target
        self._lock = threading.Lock()
        self._survey = survey

    @property
    def survey(self) -> Survey:
        """What was sampled."""
        with self._lock:
            if self._survey is None:
                self._survey = Survey(self._source.read, self.extent)
        return self._survey

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates, and pixels around it."""
        block = self._source.read(box)
        return replace(block, around=self.survey.around(box, self.target))


class Survey:
    """Pixels of a scene, sampled in cells on a lattice; memory does not grow with the scene.

    Parameters
    ----------
    read : callable
        Reads a box of all dates.
    extent : Box
        Where pixels may be taken from.
    """

    def __init__(self, read: Callable[[Box], Block], extent: Box) -> None:
        blocks = [read(cell) for cell in cells(extent)]
        rows = [np.arange(b.box.row, b.box.stop[0])[::STEP] for b in blocks]
        cols = [np.arange(b.box.col, b.box.stop[1])[::STEP] for b in blocks]
        self._row = np.concatenate([np.repeat(r, c.size) for r, c in zip(rows, cols, strict=True)])
        self._col = np.concatenate([np.tile(c, r.size) for r, c in zip(rows, cols, strict=True)])
        t, b = blocks[0].pixels.shape[:2]
        self.pixels: Float = np.concatenate(
            [k.pixels[..., ::STEP, ::STEP].reshape(t, b, -1) for k in blocks], 2
        )
        self.valid: Bool = np.concatenate(
            [k.valid[:, ::STEP, ::STEP].reshape(t, -1) for k in blocks], 1
        )

    def of(self, dates: Sequence[int | None]) -> Survey:
        """The survey of only these dates, in this order; None is one that saw nothing."""
        keep = [-1 if i is None else i for i in dates]
        some = copy(self)
        some.pixels, some.valid = self.pixels[keep], self.valid[keep]
        for i, date in enumerate(dates):
            if date is None:
                some.pixels[i], some.valid[i] = 0, False
        return some

    def around(self, box: Box, target: int) -> Around:
        """Pixels outside ``box`` where the date ``target`` was observed, the nearest ones.

        All boxes of a scene get as many; where there are fewer, the rest is not valid.
        """
        away = np.maximum(_outside(self._row, box.row, box.stop[0]),
                          _outside(self._col, box.col, box.stop[1]))  # fmt: skip
        teach = np.flatnonzero((away > 0) & self.valid[target])
        near = teach[np.argsort(away[teach], kind="stable")[: 2 * MOST]]
        near = np.sort(near)[:: 2 if near.size > MOST else 1]
        size = min(MOST, self._row.size)
        pixels = np.zeros((*self.pixels.shape[:2], size), "float32")
        valid = np.zeros((len(self.valid), size), bool)
        pixels[..., : near.size] = self.pixels[..., near]
        valid[:, : near.size] = self.valid[:, near]
        return Around(pixels, valid)


def cells(extent: Box) -> list[Box]:
    """Boxes of equal size, spread evenly, that a survey reads."""
    height = min(SIDE, -(-extent.height // CELLS))
    width = min(SIDE, -(-extent.width // CELLS))

    def starts(first: int, length: int, side: int) -> list[int]:
        count = min(CELLS, length // side)
        return [first + (2 * i + 1) * length // (2 * count) - side // 2 for i in range(count)]

    return [
        Box(row, col, height, width)
        for row in starts(extent.row, extent.height, height)
        for col in starts(extent.col, extent.width, width)
    ]


def _outside(at: NDArray[np.intp], first: int, stop: int) -> NDArray[np.intp]:
    """How far each coordinate lies outside ``first <= at < stop``; 0 inside."""
    return np.maximum(np.maximum(first - at, at - stop + 1), 0)
