"""Pictures for the screen, and rasters small enough for one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geot2t.io.raster import gdal_errors
from geot2t.io.safe import open_raster


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a colour picture ``(y, x, 3)`` as PNG; equal pixels give equal bytes."""
    return _encoded(pixels, "PNG")


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a colour picture ``(y, x, 3)`` as JPEG, with a loss that hardly shows."""
    return _encoded(pixels, "JPEG", QUALITY="88")


def _encoded(pixels: NDArray[np.uint8], driver: str, **options: str) -> bytes:
    height, width, _ = pixels.shape
    with warnings.catch_warnings(), gdal_errors(Path("a PNG")), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        size = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
        with memory.open(driver=driver, **size, **options) as to:
            to.write(np.moveaxis(pixels, -1, 0))
        return bytes(memory.read())


def thumbnail(path: Path, bands: Sequence[int], side: int) -> NDArray[np.float32]:
    """A raster at reduced size, ``(len(bands), y, x)`` and at most ``side`` wide or high.

    ``bands`` are indices from 0 of those that are no alpha band. NaN where there is no data.
    """
    with open_raster(path) as ds:
        step = math.ceil(max(ds.height, ds.width) / side)
        shape = (len(bands), -(-ds.height // step), -(-ds.width // step))
        found = ds.read([i + 1 for i in bands], out_shape=shape, masked=True)
        out: NDArray[np.float32] = found.astype("float32").filled(np.nan)
        return out
