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
    height, width, _ = pixels.shape
    with warnings.catch_warnings(), gdal_errors(Path("a PNG")), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(driver="PNG", height=height, width=width, count=3, dtype="uint8") as to:
            to.write(np.moveaxis(pixels, -1, 0))
        return bytes(memory.read())
