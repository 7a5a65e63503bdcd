"""Creation options of the outputs: what geot2t chooses, and what the user may change.

Whatever is chosen, no pixel may change on its way to the disk, and the georeferencing and
metadata must be in the file itself, since only whole files are moved to their final names.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geot2t.errors import InputError, OutputError
from geot2t.io.metadata import RasterMeta

DRIVERS = ("GTiff", "COG")
"""Formats that can be written."""

_LOSSLESS = ("DEFLATE", "ZSTD", "LZW", "LZMA", "PACKBITS", "LERC", "LERC_DEFLATE", "LERC_ZSTD")
_PREDICTED = ("DEFLATE", "ZSTD", "LZW")
_FIXED = {
    "ADD_ALPHA": "bands are those of the scene",
    "ALPHA": "bands are those of the scene",
    "APPEND_SUBDATASET": "each output is a file of its own",
    "COPY_SRC_OVERVIEWS": "overviews are made anew from the filled pixels",
    "DISCARD_LSB": "observed pixels must not change",
    "EXTENT": "the grid is that of the scene",
    "NBITS": "the pixel type is that of the scene",
    "PHOTOMETRIC": "colours are those of the scene",
    "PIXELTYPE": "the pixel type is that of the scene",
    "PROFILE": "all metadata is kept in the file",
    "RES": "the grid is that of the scene",
    "RPB": "all metadata is kept in the file",
    "RPCTXT": "all metadata is kept in the file",
    "STREAMABLE_OUTPUT": "the file is checked before it appears",
    "TARGET_SRS": "the grid is that of the scene",
    "TFW": "all metadata is kept in the file",
    "TILING_SCHEME": "the grid is that of the scene",
    "WORLDFILE": "all metadata is kept in the file",
}


_PROCESS = os.getpid()


def threads() -> str:
    """How many threads GDAL may use, as it spells that.

    One in a forked child: GDAL's threads stay with the parent, and waiting for them is
    forever. Elsewhere what the environment says, so that processes can share the cores.
    """
    if os.getpid() != _PROCESS:
        return "1"
    return os.environ.get("GDAL_NUM_THREADS", "ALL_CPUS")


def check_options(driver: str, options: Mapping[str, str] | None) -> dict[str, str]:
    """Creation options as GDAL spells them, once it is sure that they change no pixel.

    Parameters
    ----------
    driver : str
        ``GTiff`` or ``COG``.
    options : mapping of str to str, optional
        As given by the user, names in any case.

    Raises
    ------
    InputError
        If the driver cannot be written or an option is not the user's to choose. Names and
        values unknown to GDAL are found when the file is made (see `refusing`).
    """
    if driver not in DRIVERS:
        raise InputError(f"the output format must be GTiff or COG, got {driver}")
    chosen = {name.upper(): str(value) for name, value in (options or {}).items()}
    for name in chosen:
        if name in _FIXED:
            raise InputError(f"creation option {name} cannot be set: {_FIXED[name]}")
    codec = chosen.get("COMPRESS", "DEFLATE").upper()
    if codec not in (*_LOSSLESS, "NONE"):
        raise InputError(
            f"COMPRESS={codec} could change observed pixels; use one of {', '.join(_LOSSLESS)}"
        )
    if _number(chosen.get("MAX_Z_ERROR", "0")) != 0:
        raise InputError("MAX_Z_ERROR must be 0, as observed pixels must not change")
    return chosen


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def geotiff_options(
    meta: RasterMeta, dtype: np.dtype[Any], bands: int, user: Mapping[str, str]
) -> dict[str, str]:
    """Options of a GeoTIFF of ``bands`` bands of ``dtype`` on the scene's grid."""
    options = {
        "COMPRESS": "DEFLATE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": threads(),
        "TILED": "YES",
        **user,
    }
    if bands > 1:
        options.setdefault("INTERLEAVE", meta.interleave)
    if options["TILED"].upper() not in ("NO", "FALSE", "OFF", "0"):
        side = 512 if max(meta.height, meta.width) > 1024 else 256
        options.setdefault("BLOCKXSIZE", str(min(side, _sixteens(meta.width))))
        options.setdefault("BLOCKYSIZE", str(min(side, _sixteens(meta.height))))
    _default_predictor(options, dtype, meta.bits if dtype == meta.dtype else None)
    # GDAL leaves a block of NaN out of a sparse file and makes up another NaN on reading,
    # and takes -0.0 for 0: for floats, sparse is not bit for bit.
    if dtype.kind in "ui":
        options.setdefault("SPARSE_OK", "TRUE")
    return options


def companion_options(
    meta: RasterMeta, dtype: np.dtype[Any], scene: Mapping[str, str]
) -> dict[str, str]:
    """Options of the quality and error rasters, in blocks like those of the filled one."""
    same = {key: value for key, value in scene.items() if key not in ("PREDICTOR", "SPARSE_OK")}
    return geotiff_options(meta, dtype, 2, same)


def draft_options(meta: RasterMeta, dtype: np.dtype[Any], bands: int) -> dict[str, str]:
    """Options of the GeoTIFF that a COG is made of: quick to write, soon deleted."""
    return geotiff_options(meta, dtype, bands, {"ZLEVEL": "1", "INTERLEAVE": "PIXEL"})


def cog_options(
    meta: RasterMeta, dtype: np.dtype[Any], resampling: str, user: Mapping[str, str]
) -> dict[str, str]:
    """Options of the COG driver."""
    options = {
        "COMPRESS": "DEFLATE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": threads(),
        "OVERVIEW_RESAMPLING": resampling.upper(),
        # YES keeps the tags of all namespaces, but loses those of the bands (GDAL 3.10).
        "COPY_SRC_MDD": "AUTO" if any(band.tags for band in meta.bands) else "YES",
        **user,
    }
    _default_predictor(options, dtype, meta.bits if dtype == meta.dtype else None)
    if dtype.kind in "ui":
        options.setdefault("SPARSE_OK", "TRUE")
    return options


def _sixteens(length: int) -> int:
    """``length`` rounded up to a multiple of 16, as tiles must be."""
    return -(-length // 16) * 16


def _default_predictor(options: dict[str, str], dtype: np.dtype[Any], bits: int | None) -> None:
    if options["COMPRESS"].upper() not in _PREDICTED or bits:
        return
    if dtype in (np.dtype("float32"), np.dtype("float64")):
        options.setdefault("PREDICTOR", "3")
    elif dtype.kind in "ui":
        options.setdefault("PREDICTOR", "2")


def space_needed(
    meta: RasterMeta, scene: Path | None, *, error: bool, driver: str, samples: int = 0
) -> int:
    """About how many bytes the outputs of ``scene`` will take while they are written.

    An estimate: what deflate makes of the pixels is not known before. A scene stored without
    loss says how well it compresses, and what is predicted compresses like it.
    """
    pixels = meta.height * meta.width
    plain = pixels * len(meta.bands) * meta.dtype.itemsize
    stored = scene.stat().st_size if scene is not None and scene.exists() else plain
    filled = plain if meta.lossy else min(plain, stored * 3 // 2)
    share = filled / max(plain, 1)
    total = (1 + samples) * filled + share * pixels * 0.2  # two bands of bytes, mostly the same
    # A quarter of float32: 0 where observed.
    total += (error + (samples > 1)) * share * pixels * len(meta.bands)
    if driver == "COG":
        total *= 2.4  # draft, final file, and overviews before they are copied
    elif meta.overviews:
        total *= 4 / 3
    return int(total)


@contextmanager
def refusing(options: Mapping[str, str]) -> Iterator[None]:
    """Raise InputError if GDAL warns, or fails, while files are made with ``options``.

    Of a misspelt option it only says that it is ignored, and the user would find out hours
    later.
    """
    heard: list[str] = []
    here = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == here:
                heard.append(record.getMessage())

    listener = Listener(logging.WARNING)
    try:
        with _overheard(listener):
            yield
    except OutputError as error:
        # GDAL's first complaint tells more than the error that follows from it.
        said = heard[0] if heard else str(error)
        if options:
            raise InputError(_refusal(options, said)) from error
        raise
    if options and heard:
        raise InputError(_refusal(options, heard[0]))


_GDAL_LOG = logging.getLogger("rasterio._env")
_LISTENING = threading.Lock()
_listeners: list[logging.Handler] = []
_usual: list[tuple[int, bool]] = []  # what the log is like when nobody listens


@contextmanager
def _overheard(listener: logging.Handler) -> Iterator[None]:
    """Let ``listener`` hear what GDAL says, whatever the program around wants to hear.

    Nobody else does: it becomes one error. Several threads may listen at once.
    """
    with _LISTENING:
        if not _listeners:
            _usual[:] = [(_GDAL_LOG.level, _GDAL_LOG.propagate)]
            _GDAL_LOG.setLevel(logging.WARNING)
            _GDAL_LOG.propagate = False
        _listeners.append(listener)
        _GDAL_LOG.addHandler(listener)
    try:
        yield
    finally:
        with _LISTENING:
            _GDAL_LOG.removeHandler(listener)
            _listeners.remove(listener)
            if not _listeners:
                level, _GDAL_LOG.propagate = _usual[0]
                _GDAL_LOG.setLevel(level)


def _refusal(options: Mapping[str, str], said: str) -> str:
    chosen = ", ".join(f"{name}={value}" for name, value in options.items())
    return f"creation options {chosen} cannot be used: {said.split(' in ', 1)[-1].rstrip('.')}"
