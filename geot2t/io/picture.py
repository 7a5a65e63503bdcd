"""Pictures for the screen: PNG, made by the library that reads the rasters."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from geot2t.io.raster import gdal_errors


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
