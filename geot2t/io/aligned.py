"""Another date on the grid of the scene: copied where the pixels coincide, else resampled."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.grid import Box, blocks
from geot2t.io.encode import is_nodata
from geot2t.io.header import Header
from geot2t.io.observed import Scene
from geot2t.io.place import Grid, Nearest, Warp, overlap, whole_shift
from geot2t.io.safe import Raster

Pair = tuple[NDArray[np.float32], NDArray[np.bool_]]

_CACHE_BYTES = 192 * 2**20
"""Resampled blocks kept for windows that share them, of all dates together."""

_SAMPLE = 256
"""Side of the blocks that are looked at to see how clear a file is."""


class _Cache:
    """Resampled blocks, least recently used first, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._kept: OrderedDict[tuple[int, Box], Pair] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[int, Box]) -> Pair | None:
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None:
                self._kept[key] = found
            return found

    def put(self, key: tuple[int, Box], pair: Pair) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = pair
            self._bytes += pair[0].nbytes + pair[1].nbytes
            while self._bytes > self._limit:
                _, (pixels, valid) = self._kept.popitem(last=False)
                self._bytes -= pixels.nbytes + valid.nbytes

    def forget(self, owner: int) -> None:
        with self._lock:
            for key in [k for k in self._kept if k[0] == owner]:
                pixels, valid = self._kept.pop(key)
                self._bytes -= pixels.nbytes + valid.nbytes


_CACHE = _Cache(_CACHE_BYTES)


class Aligned:
    """One date, read on the pixel grid of another.

    Parameters
    ----------
    scene : Scene
        The date on its own grid.
    grid : Grid
        The grid that boxes are asked on.
    order : tuple of int
        Which of the date's data bands stands at each position.
    """

    def __init__(self, scene: Scene, grid: Grid, order: tuple[int, ...]) -> None:
        self.scene, self.grid, self.order = scene, grid, order
        source = Grid.of(scene.header)
        self._shift = whole_shift(source, grid)
        self._warp = None if self._shift is not None else Warp(source, grid)

    def __del__(self) -> None:
        _CACHE.forget(id(self))

    @property
    def identical(self) -> bool:
        """Whether the date has the very grid that boxes are asked on."""
        header = self.scene.header
        size = (header.height, header.width) == (self.grid.height, self.grid.width)
        return self._shift == (0, 0) and size

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes that are read."""
        return (self.scene,)

    def read(self, box: Box) -> Pair:
        """Read ``box``, which lies inside the grid.

        Returns
        -------
        ndarray of float32, ndarray of bool
            Physical values ``(band, y, x)``, 0 where not valid, and validity ``(y, x)``.
        """
        pixels = np.zeros((len(self.order), box.height, box.width), "float32")
        valid = np.zeros((box.height, box.width), bool)
        if self._shift is not None:
            rows, cols = self._shift
            there = Box(box.row + rows, box.col + cols, box.height, box.width)
            part = there.intersection(self.scene.header.extent)
            if part is not None:
                cut = part.within(there)
                pixels[:, *cut], valid[cut] = self._source(part)
            return pixels, valid
        for block in self._blocks(box):
            part = block.intersection(box)
            if part is not None:
                here, there_cut = part.within(box), part.within(block)
                found, clear = self._resampled(block)
                pixels[:, *here], valid[here] = found[:, *there_cut], clear[there_cut]
        return pixels, valid

    def lacks(self, box: Box) -> NDArray[np.bool_]:
        """True where the date's file holds no data in ``box`` or does not reach, ``(y, x)``."""
        if self.identical:
            return np.asarray(self.scene.read(box).empty.any(0))
        header = self.scene.header
        # Nearest pixels will do: what is resampled from neighbours of no data is not valid.
        place = Nearest(Grid.of(header), self.grid)
        if isinstance(self.scene.raster, Raster):
            found = place.read(self.scene.raster, header.data[0], box)
            if found is not None:
                values, inside = found
                return np.asarray(~inside | is_nodata(values, header.nodata[0]))
        return np.ones((box.height, box.width), bool)

    def _blocks(self, box: Box) -> list[Box]:
        """The resampling blocks of the grid that touch ``box``."""
        assert self._warp is not None  # noqa: S101  only asked for when resampling
        side = self._warp.side
        row, col = box.row // side * side, box.col // side * side
        around = Box(row, col, box.stop[0] - row, box.stop[1] - col)
        whole = Box(row, col, -(-around.height // side) * side, -(-around.width // side) * side)
        return [
            b for b in (c.intersection(self.grid.extent) for c in blocks(whole, side, side)) if b
        ]

    def _resampled(self, block: Box) -> Pair:
        assert self._warp is not None  # noqa: S101
        key = (id(self), block)
        found = _CACHE.get(key)
        if found is None:
            found = self._warp.block(block, self._source)
            _CACHE.put(key, found)
        return found

    def _source(self, box: Box) -> Pair:
        """Physical values and validity of a box on the date's own grid."""
        block = self.scene.read(box)
        valid = block.valid
        pixels = self.scene.data(block.values)[list(self.order)]
        pixels[:, ~valid] = 0
        return pixels, valid

    def clear_share(self, extent: Box) -> float:
        """Share of the pixels that were observed, from up to 16 blocks spread over ``extent``."""
        boxes = list(blocks(extent, _SAMPLE, _SAMPLE))
        some = boxes[:: max(len(boxes) // 16, 1)]
        seen = [self.read(b)[1] for b in some]
        return float(np.concatenate([v.ravel() for v in seen]).mean())


def align(scene: Scene, target: Header, notes: list[str]) -> Aligned:
    """Place a date on the grid of ``target``.

    Raises
    ------
    InputError
        If it shows another part of the Earth, or has no CRS and another size.
    """
    header, grid = scene.header, Grid.of(target)
    if header is target:
        return Aligned(scene, grid, tuple(range(len(target.data))))
    source = Grid.of(header)
    if whole_shift(source, grid) is None and (source.crs is None or grid.crs is None):
        without = target.location if grid.crs is None else header.location
        raise InputError(
            f"{without} has no CRS, so {header.location} must have the size of {target.location}, "
            f"{target.height} x {target.width} px; it has {header.height} x {header.width}"
        )
    if not overlap(source, grid):
        raise InputError(
            f"{header.location} shows another place than {target.location}: it is {source}, "
            f"the scene {grid}; take it out of the series"
        )
    if source.crs is None and grid.crs is not None:
        notes.append(f"{header.location} has no CRS: its pixels are taken to be the scene's")
    return Aligned(scene, grid, bands_like(target, header))


def bands_like(target: Header, other: Header) -> tuple[int, ...]:
    """For each data band of ``target`` the index of the same band in ``other``.

    Bands are matched by name, else by wavelength, else by position.

    Raises
    ------
    InputError
        If the number of data bands differs.
    """
    count = len(target.data)
    if len(other.data) != count:
        raise InputError(
            f"{other.location} has {len(other.data)} bands, {target.location} has {count}; "
            "give only files with the bands of the scene"
        )
    mine, theirs = ([n.casefold() for n in h.names] for h in (target, other))
    if all(mine) and len(set(mine)) == count and set(mine) == set(theirs):
        return tuple(theirs.index(name) for name in mine)
    away = np.abs(target.wavelengths[:, None] - other.wavelengths)
    if np.isfinite(away).all():
        nearest = away.argmin(1)
        if len(set(nearest.tolist())) == count and away.min(1).max() <= 0.05:
            return tuple(nearest.tolist())
    return tuple(range(count))
