"""Rectangles of pixels, and the windows and blocks a raster is cut into.

Pixels are ``(row, col)``, sizes ``height, width``; nothing here knows of files or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of pixels."""

    row: int
    """First row."""

    col: int
    """First column."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    @property
    def stop(self) -> tuple[int, int]:
        """Row and column just past the end."""
        return self.row + self.height, self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the box in an array that starts at pixel (0, 0)."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Rows and columns of the box in an array that covers ``outer``."""
        row, col = self.row - outer.row, self.col - outer.col
        return slice(row, row + self.height), slice(col, col + self.width)

    def intersection(self, other: Box) -> Box | None:
        """Pixels common to both boxes, or None where there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.stop[0], other.stop[0]) - row
        width = min(self.stop[1], other.stop[1]) - col
        return Box(row, col, height, width) if height > 0 and width > 0 else None

    def grown(self, pixels: int, extent: Box) -> Box:
        """The box with ``pixels`` more on each side, as far as ``extent`` reaches."""
        row, col = max(self.row - pixels, extent.row), max(self.col - pixels, extent.col)
        stop = (
            min(self.stop[0] + pixels, extent.stop[0]),
            min(self.stop[1] + pixels, extent.stop[1]),
        )
        return Box(row, col, stop[0] - row, stop[1] - col)


def _starts(first: int, length: int, size: int, overlap: int) -> list[int]:
    """Where windows start along an axis; the last one is moved back to end at the edge."""
    last = max(length - size, 0)
    step = size - overlap
    return [first + min(i, last) for i in range(0, last + step, step)]


def lattice(box: Box, extent: Box, *, size: int, overlap: int) -> Iterator[Box]:
    """Yield the model windows of a raster that touch ``box``, row by row.

    The positions follow from ``extent``, ``size`` and ``overlap`` alone. Whichever part of
    the raster is asked for, a pixel is therefore always seen by the same windows in the same
    order, and blending them gives the same value to the last bit.

    Parameters
    ----------
    box : Box
        Pixels to be covered, inside ``extent``.
    extent : Box
        The whole raster.
    size : int
        Window side in pixels; in a raster that is narrower, its height or width.
    overlap : int
        Pixels that neighbouring windows share, from 0 to half of ``size``. The last window
        of a row or column is moved inside the raster and may share more.

    Yields
    ------
    Box
        Windows inside the raster, all of one shape, whose union contains ``box``.

    Raises
    ------
    InputError
        If ``overlap`` is negative or more than half of ``size``.
    """
    if not 0 <= overlap <= size // 2:
        raise InputError(
            f"the overlap must be 0 to {size // 2} px, half of the {size} px window; got {overlap}"
        )
    height, width = min(size, extent.height), min(size, extent.width)
    rows = _starts(extent.row, extent.height, size, overlap)
    columns = _starts(extent.col, extent.width, size, overlap)
    for row in (r for r in rows if box.row - height < r < box.stop[0]):
        for col in (c for c in columns if box.col - width < c < box.stop[1]):
            yield Box(row, col, height, width)


def ramp(size: int, overlap: int) -> NDArray[np.float32]:
    """Blending weights of a window: 1 inside, a raised cosine towards each edge.

    Neighbours at the regular distance sum to one. Never zero, so that a pixel seen by one
    window only can still be divided by its weight.

    Returns
    -------
    ndarray of float32, shape ``(size, size)``
    """
    side = np.ones(size, "float64")
    if overlap:
        rise = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap) ** 2
        side[:overlap] = rise
        side[size - overlap :] = rise[::-1]
    return (side[:, None] * side).astype("float32")


def blocks(extent: Box, height: int, width: int) -> Iterator[Box]:
    """Cut ``extent`` into blocks, row by row; those at the far edges are clipped."""
    for row in range(extent.row, extent.stop[0], height):
        for col in range(extent.col, extent.stop[1], width):
            yield Box(row, col, min(height, extent.stop[0] - row), min(width, extent.stop[1] - col))
