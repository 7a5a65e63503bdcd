"""What the GDAL and PROJ that rasterio brings can do, and whether they do it."""

from __future__ import annotations

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.warp import transform

from geot2t.errors import OutputError, RasterReadError
from geot2t.io.safe import gdal

NEEDED = ("GTiff", "COG", "MEM", "PNG", "JPEG")
"""Drivers without which something cannot be done."""

USEFUL = ("JP2OpenJPEG",)
"""Drivers for files that not everybody has."""


def versions() -> dict[str, str]:
    """Versions of GDAL and PROJ inside rasterio."""
    return {"gdal": rasterio.__gdal_version__, "proj": rasterio.__proj_version__}


def drivers() -> set[str]:
    """Names of the raster drivers that are there."""
    with rasterio.Env() as env:
        return set(env.drivers())


def check_proj() -> None:
    """Look a coordinate system up in PROJ's data base, and transform a point.

    Raises
    ------
    RasterReadError
        If PROJ does not find its data, or finds that of another version.
    """
    with gdal("PROJ's data base"):
        x, y = transform(CRS.from_epsg(32632), CRS.from_epsg(4326), [500000.0], [5000000.0])
    if abs(x[0] - 9) > 1e-6 or abs(y[0] - 45.1534) > 1e-3:
        raise RasterReadError(f"PROJ puts 9 E, 45.1534 N at {x[0]:.4f} E, {y[0]:.4f} N")


def check_write() -> None:
    """Write a compressed GeoTIFF in memory and read it back.

    Raises
    ------
    OutputError
        If other pixels come back.
    """
    pixels = np.arange(64 * 64, dtype="uint16").reshape(1, 64, 64)
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint16"}
    with gdal("a GeoTIFF in memory"), MemoryFile() as memory:
        with memory.open(
            **profile, transform=Affine(1, 0, 8, 0, -1, 8), compress="deflate", predictor=2
        ) as file:
            file.write(pixels)
        with memory.open() as file:
            if not np.array_equal(file.read(), pixels):
                raise OutputError("a GeoTIFF in memory did not read back as it was written")
