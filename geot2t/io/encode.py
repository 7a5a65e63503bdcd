"""From the values that a file holds to physical ones, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import OutputError


def physical(
    values: NDArray[Any], scale: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Physical values of ``values (band, y, x)``; scale and offset are one number a band."""
    data = values.astype("float64")
    data *= scale[:, None, None]
    data += offset[:, None, None]
    return data.astype("float32")


def file_units(
    pixels: NDArray[np.floating[Any]], scale: NDArray[np.float64], offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Turn physical values ``(band, y, x)`` into those of a file, not yet rounded."""
    return (pixels.astype("float64") - offset[:, None, None]) / scale[:, None, None]


def is_nodata(band: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """True where a band holds its nodata value, NaN or infinity."""
    floating = band.dtype.kind == "f"
    bad: NDArray[np.bool_] = ~np.isfinite(band) if floating else np.zeros(band.shape, bool)
    if nodata is None or np.isnan(nodata):
        return bad
    if floating:
        # Written as text, a nodata value may have left the range of the type.
        limits = np.finfo(band.dtype)
        bad |= band == band.dtype.type(np.clip(nodata, limits.min, limits.max))
        return bad
    if nodata != int(nodata):
        return bad
    whole = np.iinfo(band.dtype)
    if whole.min <= nodata <= whole.max:
        bad |= band == int(nodata)
    return bad


def encode(
    pixels: NDArray[np.floating[Any]],
    dtype: np.dtype[Any],
    nodata: float | None,
    bits: int | None = None,
) -> NDArray[Any]:
    """Round and clip ``pixels`` to what a file can hold, without ever producing ``nodata``.

    Where the nearest storable value is nodata, a filled pixel would read back as a gap. It
    becomes the nearest storable value that is not.

    Parameters
    ----------
    pixels : ndarray of float, any shape
        Finite values, in the units of the file.
    dtype : dtype
        Type of the file, integer or floating.
    nodata : float or None
        Nodata value of the file.
    bits : int, optional
        Bits that the file keeps of an integer ``dtype`` (see `RasterMeta`).

    Returns
    -------
    ndarray of ``dtype``, shape of ``pixels``

    Raises
    ------
    OutputError
        If ``pixels`` holds NaN or infinity, which no filled pixel may be.
    """
    exact = np.asarray(pixels, "float64")
    if not np.isfinite(exact).all():
        raise OutputError("pixels to be stored must be finite, got NaN or infinity")
    if dtype.kind == "f":
        return _encode_float(exact, dtype, nodata)
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    if bits is not None:
        high = min(high, 2**bits - 1)
    top = float(high)
    if int(top) > high:  # 64-bit limits have no float64, and round up
        top = float(np.nextafter(top, 0))
    whole = np.clip(np.rint(exact), float(low), top)
    if nodata is not None:
        hit = whole == nodata
        if hit.any():
            down = exact[hit] < nodata
            down = (down & (nodata > low)) | (nodata >= top)
            whole[hit] = nodata + np.where(down, -1, 1)
    stored: NDArray[Any] = whole.astype(dtype)
    return stored


def _encode_float(
    exact: NDArray[np.float64], dtype: np.dtype[Any], nodata: float | None
) -> NDArray[Any]:
    limit = np.finfo(dtype)
    stored: NDArray[Any] = np.clip(exact, float(limit.min), float(limit.max)).astype(dtype)
    if nodata is not None and not np.isnan(nodata):
        hit = stored == dtype.type(nodata)
        if hit.any():
            # Beside 0 lie subnormal numbers, which some readers take for 0.
            beside = limit.tiny if nodata == 0 else np.nextafter(dtype.type(nodata), dtype.type(0))
            stored[hit] = beside
    return stored
