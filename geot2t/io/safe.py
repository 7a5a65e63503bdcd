"""Rasters opened so that a hostile or broken file costs one line and nothing else.

Only GeoTIFF and JPEG 2000 drivers are tried, whatever the file is called; a file cannot make
GDAL fetch an address or run code; declared sizes are checked before anything is allocated;
and whatever GDAL raises becomes a `RasterReadError`.
"""

from __future__ import annotations

import math
import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from geot2t.errors import Geot2tError, RasterReadError
from geot2t.grid import Box

_DRIVERS = {
    b"II": "GTiff",
    b"MM": "GTiff",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\x00\x00\x00\x0cjP  ": "JP2OpenJPEG",
}
"""Drivers that may open a file, by how it begins. Other drivers follow references to any other
file, or to an address."""

MAX_BLOCK_BYTES = 256 * 2**20
"""Largest block that is decoded; a block is the least that can be read."""

MAX_BANDS = 512
"""Most bands of a raster."""

MAX_PIXELS = 2**37
"""Most pixels of one band: 370 000 x 370 000."""

MAX_BLOCKS = 2**26
"""Most blocks of a raster; their index is held in memory."""

_OPEN_AT_ONCE = 64
"""Files that one thread keeps open; systems allow a process 1024, at times 256."""

_MOST_ASKED = 1024
"""Blocks of one box that a file is asked for before it is read instead."""

_URL = re.compile(r"^(https?|s3|gs|az|ftp)://", re.IGNORECASE)

_PAGE = re.compile(r"(.+\.tiff?)#(\d{1,6})", re.IGNORECASE)

_LOCAL_ENV = {
    # Overviews, .aux.xml and .ovr files can name an address; no address is allowed.
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "GDAL_HTTP_TIMEOUT": "30",
}

_CACHE_BYTES = 384 * 2**20
"""Decoded blocks that GDAL keeps, unless the user says otherwise in GDAL_CACHEMAX. By default it
keeps a share of all memory that the machine has."""


def is_url(location: str | Path) -> bool:
    """Whether a location is an address on the network rather than a file."""
    return isinstance(location, str) and bool(_URL.match(location))


@contextmanager
def gdal(location: str | Path) -> Iterator[None]:
    """Run GDAL calls on ``location`` with no network and with one kind of error.

    Raises
    ------
    RasterReadError
        In place of anything that rasterio or GDAL raises; one line with the location.
    """
    env: dict[str, str | int] = dict(_LOCAL_ENV)
    if "GDAL_CACHEMAX" not in os.environ:
        env["GDAL_CACHEMAX"] = _CACHE_BYTES
    if is_url(location):
        env["CPL_VSIL_CURL_ALLOWED_FILENAME"] = _vsi(str(location))
        env["GDAL_DISABLE_READDIR_ON_OPEN"] = "EMPTY_DIR"
        env["GDAL_HTTP_MAX_RETRY"] = "3"  # servers that are busy say so, and mean: in a second
        env["GDAL_HTTP_RETRY_DELAY"] = "1"
    try:
        with rasterio.Env(**env):
            yield
    except Geot2tError:
        raise
    # Besides its own errors rasterio lets GDAL's, TypeError, ValueError and others through.
    except Exception as error:
        raise RasterReadError(f"{_shown(location)} cannot be read: {_one_line(error)}") from error


def _vsi(url: str) -> str:
    scheme, rest = url.split("://", 1)
    if scheme.lower() in {"http", "https", "ftp"}:
        return f"/vsicurl/{url}"
    return f"/vsi{scheme.lower()}/{rest}"


def _shown(location: str | Path) -> str:
    """The location without the secrets that the query of a signed address holds."""
    return re.sub(r"\?.*$", "?...", str(location)) if is_url(location) else str(location)


def _one_line(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    text = str(error)
    if cause is not None and "previous exception" in text:
        text = str(cause)
    text = re.sub(r"\?\S+", "?...", " ".join(text.split()))
    return text or type(error).__name__


@contextmanager
def open_raster(location: str | Path, *, vrt: bool = False) -> Iterator[Any]:
    """Open a raster for reading; it is closed when the ``with`` block ends.

    Parameters
    ----------
    location : Path or str
        A file; or, as a str, an address that the user typed.
    vrt : bool
        Also accept a VRT, which can show any file that the user can read.

    Yields
    ------
    rasterio.DatasetReader
        Read it at full resolution only: overviews may be files that the raster names.

    Raises
    ------
    RasterReadError
        If there is no such file, it is of another kind, its header exceeds a limit, or
        reading inside the ``with`` block fails.
    """
    with gdal(location), _open(location, vrt=vrt) as dataset:
        yield dataset


def page_of(location: str | Path) -> tuple[Path, int] | None:
    """The TIFF and the number of the page that ``FILE.tif#NUMBER`` is; None for anything else."""
    match = None if is_url(location) else _PAGE.fullmatch(str(location))
    if match is None or Path(location).exists():
        return None
    return Path(match[1]), int(match[2])


def _open(location: str | Path, *, vrt: bool) -> Any:
    where: str | Path = location
    if is_url(location):
        name = urlsplit(str(location)).path.lower()  # a signature may follow
        driver = "JP2OpenJPEG" if name.endswith(".jp2") else "GTiff"
    else:
        page = page_of(location)
        path = Path(location) if page is None else page[0]
        driver = _driver(path, vrt=vrt)
        # An absolute Path is never taken for a driver prefix or an address.
        where = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
        if page is not None:
            where = f"GTIFF_DIR:{page[1]}:{where}"
    with warnings.catch_warnings():
        # A raster without georeference is filled too; the stack says so in its notes.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(where, driver=driver)
    try:
        check_limits(dataset, location)
    except BaseException:
        dataset.close()
        raise
    return dataset


def _driver(path: Path, *, vrt: bool) -> str:
    """The one driver that may open a file, told from its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise RasterReadError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise RasterReadError(f"{path} is a directory, a raster is needed") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RasterReadError(f"{path} cannot be read: {reason}") from error
    if not head:
        raise RasterReadError(f"{path} is empty")
    if b"<VRTDataset" in head:
        if vrt:
            return "VRT"
        raise RasterReadError(
            f"{path} is a VRT, which may show any other file; "
            "write it as a GeoTIFF first (gdal_translate)"
        )
    for start, driver in _DRIVERS.items():
        if head.startswith(start):
            return driver
    raise RasterReadError(f"{path} is not a GeoTIFF or JPEG 2000 file")


def check_limits(dataset: Any, location: str | Path) -> None:
    """Refuse a raster whose header asks for more memory than any real one.

    Raises
    ------
    RasterReadError
        If a limit of this module is exceeded, or the pixels are complex numbers.
    """
    shown = _shown(location)
    if dataset.count < 1:
        raise RasterReadError(f"{shown} has no raster band")
    if dataset.count > MAX_BANDS:
        raise RasterReadError(f"{shown} has {dataset.count} bands, at most {MAX_BANDS} are read")
    if dataset.width * dataset.height > MAX_PIXELS:
        raise RasterReadError(
            f"{shown} has {dataset.width} x {dataset.height} pixels, at most {MAX_PIXELS} are read"
        )
    kinds = set(dataset.dtypes)
    if any("complex" in kind for kind in kinds):
        raise RasterReadError(f"{shown} holds complex numbers ({dataset.dtypes[0]}), not intensity")
    if len(kinds) > 1:
        raise RasterReadError(f"{shown} has bands of different types: {', '.join(sorted(kinds))}")
    rows, cols = dataset.block_shapes[0]
    bands = 1 if dataset.interleaving and dataset.interleaving.value == "BAND" else dataset.count
    size = rows * cols * bands * np.dtype(dataset.dtypes[0]).itemsize
    if size > MAX_BLOCK_BYTES:
        raise RasterReadError(
            f"{shown} is stored in blocks of {size / 2**20:.0f} MiB, at most "
            f"{MAX_BLOCK_BYTES // 2**20} MiB are read; tile it (gdal_translate -co TILED=YES)"
        )
    count = math.ceil(dataset.height / rows) * math.ceil(dataset.width / cols)
    if count * dataset.count > MAX_BLOCKS:
        raise RasterReadError(f"{shown} is stored in {count} blocks, at most {MAX_BLOCKS} are read")


class Raster:
    """A raster that every thread and every forked process reads through a handle of its own.

    GDAL handles must be shared neither between threads nor with a child process: a child
    that goes on with its parent's handle reads wrong pixels without an error. Picklable.

    Parameters
    ----------
    location : Path or str
        As for `open_raster`.
    vrt : bool
        As for `open_raster`.
    """

    def __init__(self, location: str | Path, *, vrt: bool = False) -> None:
        self.location = location
        self.vrt = vrt

    def __str__(self) -> str:
        return _shown(self.location)

    def read(self, box: Box, bands: Sequence[int] | int) -> NDArray[Any]:
        """Read ``box``, which must lie inside the raster, in the type of the file.

        Parameters
        ----------
        box : Box
        bands : int or sequence of int
            Band numbers, from 1.

        Returns
        -------
        ndarray, shape ``(band, y, x)``, or ``(y, x)`` for a single number
        """
        with gdal(self.location):
            out: NDArray[Any] = _POOL.get(self).read(bands, window=_window(box))
            return out

    def read_mask(self, box: Box) -> NDArray[np.uint8]:
        """The raster's own mask band in ``box``: 0 where there is no data, ``(y, x)``."""
        with gdal(self.location):
            out: NDArray[np.uint8] = _POOL.get(self).read_masks(1, window=_window(box))
            return out

    def stores_nothing(self, box: Box) -> bool:
        """Whether a sparse GeoTIFF stores no block in ``box``; False if it takes long to tell."""
        with gdal(self.location):
            dataset = _POOL.get(self)
            height, width = dataset.block_shapes[0]
            rows = range(box.row // height, -(-box.stop[0] // height))
            cols = range(box.col // width, -(-box.stop[1] // width))
            if dataset.driver != "GTiff" or len(rows) * len(cols) > _MOST_ASKED:
                return False
            absent = all(
                dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) is None
                for row in rows
                for col in cols
                for band in dataset.indexes
            )
            if absent:  # a file that was cut off has no offsets either, but cannot be read
                dataset.read(1, window=Window(box.col, box.row, 1, 1))
            return absent

    def close(self) -> None:
        """Close the handles of this thread; the next read opens the file again."""
        _POOL.drop(self)


def _window(box: Box) -> Window:
    return Window(box.col, box.row, box.width, box.height)


class _Pool(threading.local):
    """Open handles of one thread, least recently used first."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._open: OrderedDict[tuple[str, bool], Any] = OrderedDict()
        self._abandoned: list[Any] = []

    def get(self, raster: Raster) -> Any:
        if self._pid != os.getpid():
            # Closing a handle inherited by fork could wait for a lock whose owner is not here.
            self._abandoned.append(self._open)
            self._open, self._pid = OrderedDict(), os.getpid()
        key = (str(raster.location), raster.vrt)
        dataset = self._open.pop(key, None)
        if dataset is None:
            while len(self._open) >= _OPEN_AT_ONCE:
                self._open.popitem(last=False)[1].close()
            dataset = _open(raster.location, vrt=raster.vrt)
        self._open[key] = dataset
        return dataset

    def drop(self, raster: Raster) -> None:
        dataset = self._open.pop((str(raster.location), raster.vrt), None)
        if dataset is not None and self._pid == os.getpid():
            dataset.close()


_POOL = _Pool()
