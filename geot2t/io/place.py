"""Grids, and how a raster on one grid is looked up on another.

The scene being filled is never resampled. Another date is copied where its pixels lie on those
of the scene and resampled where not; a quality raster is looked up at the nearest pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject, transform, transform_bounds
from scipy import ndimage

from geot2t.grid import Box
from geot2t.io.safe import Raster, gdal

if TYPE_CHECKING:
    from geot2t.io.header import Header

Float64 = NDArray[np.float64]

_BLOCK = 256
"""Side of the blocks in which a raster is resampled, in pixels of the finer grid."""

_SAME = 0.01
"""Pixels that two grids may differ by and still count as the same: less than the geometric
error of any product, more than the rounding of coordinates in a file."""


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie."""

    height: int
    width: int
    crs: Any
    """rasterio CRS, or None: the raster has a pixel grid only."""

    transform: Affine
    """From column and row to map coordinates."""

    @classmethod
    def of(cls, header: Header) -> Grid:
        """The grid of a raster."""
        return cls(header.height, header.width, header.crs, header.transform)

    def __str__(self) -> str:
        size = f"{self.height} x {self.width} px"
        if self.crs is None:
            return f"{size} without CRS"
        t = self.transform
        epsg = self.crs.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else "its own CRS"
        return f"{size} of {math.hypot(t.a, t.d):g} in {crs} from ({t.c:.9g}, {t.f:.9g})"

    @property
    def extent(self) -> Box:
        """All pixels."""
        return Box(0, 0, self.height, self.width)


def whole_shift(source: Grid, target: Grid) -> tuple[int, int] | None:
    """Rows and columns from ``source`` to ``target`` if they share one lattice, else None.

    Pixel ``(r, c)`` of ``target`` is then pixel ``(r + rows, c + columns)`` of ``source``.
    Rasters without CRS share a lattice if they have the same size.
    """
    if source.crs is None or target.crs is None:
        same = (source.height, source.width) == (target.height, target.width)
        return (0, 0) if same else None
    if source.crs != target.crs or source.transform.determinant == 0:
        return None
    x, y = _corners(target)
    there = _apply(~source.transform, *_apply(target.transform, x, y))
    col, row = round(float(there[0][0])), round(float(there[1][0]))
    away = max(np.abs(there[0] - x - col).max(), np.abs(there[1] - y - row).max())
    return (row, col) if away <= _SAME else None


def overlap(source: Grid, target: Grid) -> bool:
    """Whether any part of the Earth is in both rasters.

    Where one has no CRS: whether they have the same shape but for its resolution.
    """
    if source.crs is None or target.crs is None:
        ratio = source.height * target.width / (source.width * target.height)
        return abs(ratio - 1) < 2 / min(source.height, source.width, target.height, target.width)
    a, b = _bounds(target), _bounds(source)
    if source.crs != target.crs:
        try:
            with gdal("reprojection"):
                b = transform_bounds(source.crs, target.crs, *b, densify_pts=21)
        except OSError:
            return False
    if not all(map(math.isfinite, (*a, *b))):
        return False
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def degrees(grid: Grid) -> tuple[float, float, float, float] | None:
    """West, south, east, north of a raster in degrees; None where it has no place on Earth.

    West exceeds east across the antimeridian.
    """
    if grid.crs is None:
        return None
    try:
        with gdal("reprojection"):
            found = transform_bounds(grid.crs, "EPSG:4326", *_bounds(grid), densify_pts=21)
    except OSError:
        return None
    west, south, east, north = found
    return (west, south, east, north) if all(map(math.isfinite, found)) else None


def _bounds(grid: Grid) -> tuple[float, float, float, float]:
    x, y = _apply(grid.transform, *_corners(grid))
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _corners(grid: Grid) -> tuple[Float64, Float64]:
    """Columns and rows of the four corners."""
    w, h = float(grid.width), float(grid.height)
    return np.array([0.0, w, 0.0, w]), np.array([0.0, 0.0, h, h])


class Nearest:
    """Look a raster up at the pixel nearest to each pixel of another grid.

    Parameters
    ----------
    source : Grid
        Grid of the raster that is read.
    target : Grid
        Grid of the boxes that are asked for. Where one of the two has no CRS, both are taken
        to show the same place, whatever their sizes.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        self.source, self.target = source, target
        self._shift = whole_shift(source, target)
        self.touches = overlap(source, target)

    def read(self, raster: Raster, band: int, box: Box) -> tuple[NDArray[Any], Any] | None:
        """Pixels of ``raster`` nearest to those of ``box``, and where there are any.

        Returns
        -------
        (ndarray, ndarray of bool) or None
            Both ``(y, x)``; None if the raster does not reach into ``box``.
        """
        if self._shift is not None:
            return self._copied(raster, band, box)
        rows, cols = self._indices(box)
        inside = (rows >= 0) & (rows < self.source.height)
        inside = inside & (cols >= 0) & (cols < self.source.width)
        if not inside.any():
            return None
        shown_rows = np.broadcast_to(rows, inside.shape)[inside]
        shown_cols = np.broadcast_to(cols, inside.shape)[inside]
        row, col = int(shown_rows.min()), int(shown_cols.min())
        part = Box(row, col, int(shown_rows.max()) - row + 1, int(shown_cols.max()) - col + 1)
        pixels = raster.read(part, band)
        r = np.clip(rows - row, 0, part.height - 1)
        c = np.clip(cols - col, 0, part.width - 1)
        return pixels[r, c], inside

    def _copied(self, raster: Raster, band: int, box: Box) -> tuple[NDArray[Any], Any] | None:
        """As `read`, where both rasters share one lattice."""
        assert self._shift is not None  # noqa: S101  asked before
        there = Box(box.row + self._shift[0], box.col + self._shift[1], box.height, box.width)
        part = there.intersection(self.source.extent)
        if part is None:
            return None
        pixels, cut = raster.read(part, band), part.within(there)
        out = np.zeros((box.height, box.width), pixels.dtype)
        inside = np.zeros(out.shape, bool)
        out[cut], inside[cut] = pixels, True
        return out, inside

    def _indices(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column in the source of each pixel of ``box``; they broadcast to its shape."""
        far = np.iinfo(np.int32)
        row, col = (
            np.clip(np.nan_to_num(np.floor(i), nan=-1), far.min, far.max).astype("int64")
            for i in self.coordinates(box)
        )
        return row, col

    def coordinates(self, box: Box) -> tuple[Float64, Float64]:
        """Where the pixel centres of ``box`` lie in the source.

        Returns
        -------
        ndarray of float64, ndarray of float64
            Rows and columns, 0.5 in the middle of the first pixel; they broadcast to
            ``(box.height, box.width)``. Not finite where a projection ends.
        """
        rows = np.arange(box.row, box.row + box.height, dtype="float64")[:, None] + 0.5
        cols = np.arange(box.col, box.col + box.width, dtype="float64")[None, :] + 0.5
        if self._shift is not None:
            return rows + self._shift[0], cols + self._shift[1]
        if self.source.crs is None or self.target.crs is None:
            # Two pixel grids of one place, such as classes at half the resolution.
            return (
                rows * (self.source.height / self.target.height),
                cols * (self.source.width / self.target.width),
            )
        x, y = _apply(self.target.transform, cols, rows)
        if self.source.crs != self.target.crs:
            shape = np.broadcast_shapes(x.shape, y.shape)
            flat = [np.broadcast_to(v, shape).ravel() for v in (x, y)]
            with gdal("reprojection"):
                xs, ys = transform(self.target.crs, self.source.crs, *flat)[:2]
            x, y = np.reshape(xs, shape), np.reshape(ys, shape)
        col, row = _apply(~self.source.transform, x, y)
        return row, col


def _apply(t: Affine, x: Float64, y: Float64) -> tuple[Float64, Float64]:
    return t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f


def _moved(t: Affine, box: Box) -> Affine:
    """The transform of the pixels of ``box``."""
    x, y = t.a * box.col + t.b * box.row + t.c, t.d * box.col + t.e * box.row + t.f
    return Affine(t.a, t.b, x, t.d, t.e, y)


ReadSource = Callable[[Box], tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""Pixels ``(band, y, x)`` and validity ``(y, x)`` of a box inside the source."""


class Warp:
    """Resample a raster onto another grid by cubic convolution, in blocks that never move.

    How the target is cut up for reading therefore does not change a bit of the result.

    Parameters
    ----------
    source, target : Grid
        Both with a CRS.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        self.source, self.target = source, target
        self._nearest = Nearest(source, target)
        ratio = self._ratio()
        # The kernel reaches 2 px of the coarser grid from a point that lies up to half a
        # source pixel from the centre of the nearest one.
        self._reach = math.ceil(2 * max(ratio, 1.0) + 0.5) - 1
        self.side = int(min(max(_BLOCK / max(ratio, 1.0), 8), _BLOCK))
        """Side of a block in pixels of the target."""

    def _ratio(self) -> float:
        """Source pixels along one pixel of the target, in the direction where it is largest."""
        target = self.target
        found = [1.0]
        for row in (0, target.height // 2, max(target.height - 2, 0)):
            for col in (0, target.width // 2, max(target.width - 2, 0)):
                at = self._nearest.coordinates(Box(row, col, 2, 2))
                both = np.stack([np.broadcast_to(i, (2, 2)) for i in at])  # (row and col, 2, 2)
                steps = np.abs([both[:, 1, 0] - both[:, 0, 0], both[:, 0, 1] - both[:, 0, 0]])
                if np.isfinite(steps).all():
                    found.append(float(steps.max()))
        return max(found)

    def block(self, box: Box, read: ReadSource) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Resample one block of the target.

        Returns
        -------
        ndarray of float32, ndarray of bool
            Pixels ``(band, y, x)``, 0 where not valid, and validity ``(y, x)``: True only
            where every source pixel that the kernel looks at is there and valid.
        """
        shape = (box.height, box.width)
        row, col = (np.broadcast_to(i, shape) for i in self._nearest.coordinates(box))
        inside = (row >= 0) & (row < self.source.height) & (col >= 0) & (col < self.source.width)
        if not inside.any():
            return np.zeros((1, *shape), "float32"), np.zeros(shape, bool)
        rows, cols = row[inside].astype("int64"), col[inside].astype("int64")
        first = int(rows.min()), int(cols.min())
        seen = Box(*first, int(rows.max()) - first[0] + 1, int(cols.max()) - first[1] + 1)
        part = seen.grown(2 * self._reach + 2, self.source.extent)
        pixels, valid = read(part)

        out = np.zeros((len(pixels), *shape), "float32")
        with gdal("reprojection"):
            reproject(
                np.where(valid, pixels, np.float32(0)),
                out,
                src_transform=_moved(self.source.transform, part),
                src_crs=self.source.crs,
                dst_transform=_moved(self.target.transform, box),
                dst_crs=self.target.crs,
                resampling=Resampling.cubic,
                num_threads=1,
                tolerance=0.0,  # exact, not interpolated between a few projected points
            )
        side = 2 * self._reach + 1
        # Beyond the edge of the source nothing is valid.
        whole = ndimage.minimum_filter(valid, side, mode="constant", cval=False)
        seen_valid = np.zeros(shape, bool)
        seen_valid[inside] = whole[rows - part.row, cols - part.col]
        return np.where(seen_valid, out, np.float32(0)), seen_valid
