"""How much ground a pixel covers, wherever and in whatever coordinates it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from geot2t.errors import RasterReadError
from geot2t.grid import Box
from geot2t.io.metadata import RasterMeta
from geot2t.io.safe import gdal

_STEP = 16
"""Pixels along each side of the cells whose area is computed; the pixels of one share it."""

_HECTARE = 1e4


class PixelAreas:
    """Areas of the pixels of a raster on the ellipsoid.

    Corners of cells are put into a Lambert azimuthal equal-area projection about the middle of
    the raster, in which a polygon has the area that it has on Earth. That holds for geographic
    coordinates as well as for projections that stretch the ground, such as Web Mercator.

    Parameters
    ----------
    meta : RasterMeta
        Of the raster.
    """

    def __init__(self, meta: RasterMeta) -> None:
        self._meta = meta
        self._equal_area = _about(meta)

    @property
    def known(self) -> bool:
        """Whether the raster has a place on Earth."""
        return self._equal_area is not None

    def of(self, box: Box) -> NDArray[np.float64] | None:
        """Hectares of each pixel of ``box``, ``(y, x)``; None if the raster has no place."""
        crs, t = self._meta.crs, self._meta.transform
        if self._equal_area is None or crs is None or t is None:
            return None
        # Cells begin at multiples of the step, so that no pixel's area depends on the box.
        rows, cols = (
            np.arange(first // _STEP * _STEP, -(-stop // _STEP) * _STEP + 1, _STEP)
            for first, stop in zip((box.row, box.col), box.stop, strict=True)
        )
        col, row = np.meshgrid(cols, rows)
        x, y = _placed(crs, self._equal_area, t, col, row)
        cells = _shoelace(x, y) / _STEP**2 / _HECTARE
        each = cells.repeat(_STEP, 0).repeat(_STEP, 1)
        return np.asarray(each[box.within(Box(int(rows[0]), int(cols[0]), *each.shape))])


def _about(meta: RasterMeta) -> CRS | None:
    """An equal-area projection about the middle of the raster; None if it has no place."""
    if meta.crs is None or meta.transform is None:
        return None
    x, y = meta.transform @ (meta.width / 2, meta.height / 2)
    try:
        with gdal("the areas of pixels"):
            (lon,), (lat,) = transform(meta.crs, "EPSG:4326", [x], [y])
    except RasterReadError:
        return None
    if not np.isfinite([lon, lat]).all():
        return None
    return CRS.from_proj4(f"+proj=laea +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")


def _placed(
    crs: CRS, to: CRS, t: Affine, col: NDArray[np.integer], row: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    with gdal("the areas of pixels"):
        found = transform(crs, to, x.ravel().tolist(), y.ravel().tolist())
    return np.reshape(found[0], col.shape), np.reshape(found[1], col.shape)


def _shoelace(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of the quadrilaterals between corners ``(row, col)``."""
    ax, ay = x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]
    bx, by = x[1:, :-1] - x[:-1, 1:], y[1:, :-1] - y[:-1, 1:]
    return np.asarray(np.abs(ax * by - ay * bx) / 2)
