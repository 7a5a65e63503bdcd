"""Dates held in memory as arrays, whole or in pieces: a scene like one of files, without files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.clouds import EMPTY, HIDDEN
from geot2t.fill import Block, Float
from geot2t.grid import Box
from geot2t.io.encode import encode, file_units, is_nodata, physical
from geot2t.io.observed import SceneBlock
from geot2t.stream import Layout

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Packing:
    """How floating values are to be stored as integers."""

    dtype: np.dtype[Any]
    """Integer type."""

    scale: float
    """Floating value is ``stored * scale + offset``."""

    offset: float
    """See ``scale``."""

    nodata: float | None
    """Stored value that marks missing data."""


@dataclass(frozen=True, slots=True)
class Bands:
    """What the bands of an array ``(time, band, y, x)`` hold; one entry for each that measures."""

    data: tuple[int, ...]
    """Their indices; a quality band is not among them."""

    scale: NDArray[np.float64]
    """Physical value is ``value * scale + offset``."""

    offset: NDArray[np.float64]
    """See ``scale``."""

    nodata: tuple[float | None, ...]
    """Value that marks missing data."""

    packing: tuple[Packing | None, ...]
    """How floating values will be stored, where that is known."""

    def layout(self, dtype: np.dtype[Any]) -> Layout:
        """What `geot2t.stream.Stream` needs to know to write such an array."""

        def stored(values: NDArray[np.float64], band: int) -> NDArray[Any]:
            packing = self.packing[band]
            if packing is None:
                return encode(values, dtype, self.nodata[band])
            # A filled pixel must still be one after it was stored: neither nodata nor wrapped.
            whole = encode((values - packing.offset) / packing.scale, packing.dtype, packing.nodata)
            out = whole.astype(dtype)
            out *= np.float64(packing.scale)
            out += np.float64(packing.offset)
            return out

        return Layout(self.data, np.abs(self.scale), self.nodata, stored)


@dataclass(frozen=True, slots=True)
class Piece:
    """A box of all dates. Dates from one array are a group; groups may differ in type."""

    box: Box
    """Where."""

    values: Sequence[NDArray[Any]]
    """For each group, as stored, ``(time, band, y, x)``."""

    codes: Sequence[NDArray[np.uint8] | None]
    """For each group, ``(time, y, x)``: bits `HIDDEN` and `EMPTY` where a cloud mask or quality
    band says so; None where nothing does."""


class Arrays:
    """Some dates of arrays as a `geot2t.stream.Scene`.

    Parameters
    ----------
    pieces : sequence of Piece
        What is in memory. A box that is read must lie in one of them.
    bands : sequence of Bands
        Of each group.
    days : ndarray of float32, shape ``(date,)``
        Of all dates, group after group.
    extent : Box
        The whole raster.
    dates : sequence of int
        Which dates to use, in this order.
    target : int
        Index among ``dates`` of the date to be filled; it is of the first group.
    observed : tuple of Box and ndarray of bool, optional
        Where the target was observed in a box that is larger than the pieces.
    exact : tuple of Box and ndarray, optional
        The target as stored, ``(band, y, x)``, where the pieces hold it with fewer digits.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        bands: Sequence[Bands],
        days: Float,
        extent: Box,
        dates: Sequence[int],
        target: int,
        observed: tuple[Box, Bool] | None = None,
        exact: tuple[Box, NDArray[Any]] | None = None,
    ) -> None:
        self._pieces, self._bands = pieces, bands
        self._observed, self._exact = observed, exact
        self.extent, self.target = extent, target
        self.days: Float = days[list(dates)]
        groups = [(g, i) for g, v in enumerate(pieces[0].values) for i in range(len(v))]
        self._dates = [groups[i] for i in dates]

    def read(self, box: Box) -> Block:
        """Read all dates of ``box`` in physical units."""
        found = [self._one(group, i, box) for group, i in self._dates]
        return Block(
            np.stack([p for p, _ in found]), np.stack([v for _, v in found]), self.days, box
        )

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Pixels ``(band, y, x)`` and validity ``(y, x)`` of the target.

        Beyond the pieces the pixels are 0, and only validity is known.
        """
        group, i = self._dates[self.target]
        if self._observed is not None and self._piece(box) is None:
            known, valid = self._observed
            pixels = np.zeros((len(self._bands[group].data), box.height, box.width), "float32")
            return pixels, valid[box.within(known)]
        return self._one(group, i, box)

    def read_scene(self, box: Box) -> SceneBlock:
        """Read the target in ``box`` as it is stored."""
        block = self._stored(*self._dates[self.target], box)
        if self._exact is None:
            return block
        whole, values = self._exact
        rows, cols = box.within(whole)
        return replace(block, values=values[:, rows, cols])

    def to_file_units(self, pixels: Float) -> NDArray[np.float64]:
        """Turn physical values ``(band, y, x)`` into stored ones, not yet rounded."""
        bands = self._bands[self._dates[self.target][0]]
        return file_units(pixels, bands.scale, bands.offset)

    def _one(self, group: int, i: int, box: Box) -> tuple[Float, Bool]:
        bands = self._bands[group]
        pixels = np.zeros((len(bands.data), box.height, box.width), "float32")
        valid = np.zeros((box.height, box.width), bool)
        inside = box.intersection(self.extent)
        if inside is not None:
            cut = inside.within(box)
            block = self._stored(group, i, inside)
            valid[cut] = block.valid
            values = physical(block.values[list(bands.data)], bands.scale, bands.offset)
            pixels[:, *cut] = np.where(block.valid, values, 0)
        return pixels, valid

    def _stored(self, group: int, i: int, box: Box) -> SceneBlock:
        piece = self._piece(box)
        if piece is None:
            raise LookupError(f"{box} was not prepared")
        rows, cols = box.within(piece.box)
        codes = piece.codes[group]
        return scene_block(
            piece.values[group][i, :, rows, cols],
            None if codes is None else codes[i, rows, cols],
            self._bands[group],
        )

    def _piece(self, box: Box) -> Piece | None:
        return next((p for p in self._pieces if box.intersection(p.box) == box), None)


def scene_block(values: NDArray[Any], codes: NDArray[np.uint8] | None, bands: Bands) -> SceneBlock:
    """One date as stored, ``(band, y, x)``, with where it was observed."""
    data = zip(bands.data, bands.nodata, strict=True)
    empty = np.stack([is_nodata(values[i], nodata) for i, nodata in data])
    if codes is None:
        return SceneBlock(values, np.zeros(values.shape[1:], bool), empty)
    return SceneBlock(values, (codes & HIDDEN) != 0, empty | ((codes & EMPTY) != 0))
