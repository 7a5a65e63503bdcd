"""A raster as small as a screen: every so many pixels, read without the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from geot2t.io.safe import gdal, open_raster

SIDE = 960
"""Greatest side of a thumbnail in pixels."""


def thumbnail(path: Path, bands: list[int], side: int = SIDE) -> tuple[NDArray[Any], int]:
    """Some bands of a raster, reduced by taking nearest pixels.

    Parameters
    ----------
    path : Path
    bands : list of int
        Indices, from 0.
    side : int
        Greatest height or width of the result.

    Returns
    -------
    ndarray, shape ``(band, y, x)``
        In the type of the file. Pixels are not averaged, so that classes stay classes.
    int
        Pixels of the raster for each pixel of the result, along either axis.

    Raises
    ------
    RasterReadError
        If it cannot be read.
    """
    with open_raster(path) as file, gdal(path):
        step = math.ceil(max(file.height, file.width) / side)
        small = (len(bands), -(-file.height // step), -(-file.width // step))
        pixels: NDArray[Any] = file.read(
            [band + 1 for band in bands], out_shape=small, resampling=Resampling.nearest
        )
        return np.asarray(pixels), step
