"""Quality rasters and cloud detectors, turned into where the ground was observed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.errors import InputError
from geot2t.sensors import (
    CLOUD_PROBABILITY_LIMIT,
    QA_BITS,
    SCL_EMPTY,
    SCL_HIDDEN,
)

Bool = NDArray[np.bool_]

CLEAR: Final = 0
"""The ground was observed."""
HIDDEN: Final = 1
"""Cloud, shadow or a defect hides the ground."""
EMPTY: Final = 2
"""The quality raster itself says that there is no data."""

QA_KINDS: tuple[str, ...] = ("SCL", "MSK_CLDPRB", *QA_BITS)
"""Quality rasters that `decode` understands."""


def decode(kind: str, values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Say of each pixel of a quality raster what it means for the ground.

    Parameters
    ----------
    kind : str
        One of `QA_KINDS`, or ``"mask"``: not zero where the ground was not observed.
    values : ndarray of integers, any shape
        Pixels of the quality raster.

    Returns
    -------
    ndarray of uint8, shape of ``values``
        `CLEAR`, `HIDDEN` or `EMPTY`.

    Raises
    ------
    InputError
        If ``kind`` is none of those, or ``values`` are not integers.
    """
    if kind != "mask" and kind not in QA_KINDS:
        raise InputError(f"{kind} is no quality raster known here; there are {QA_KINDS}")
    if kind == "mask":
        # A NaN differs from zero too: nobody vouches for that pixel.
        return np.where(values != 0, HIDDEN, CLEAR).astype("uint8")
    if values.dtype.kind not in "iu":
        raise InputError(f"a {kind} raster holds integers, got {values.dtype}")
    if kind == "SCL":
        hidden, empty = np.isin(values, list(SCL_HIDDEN)), np.isin(values, list(SCL_EMPTY))
    elif kind == "MSK_CLDPRB":
        hidden, empty = values >= CLOUD_PROBABILITY_LIMIT, np.zeros(values.shape, bool)
    else:
        bits = QA_BITS[kind]
        hidden = (values & bits.hidden) != 0
        for first in bits.confident:
            hidden |= (values >> first) & 3 == 3
        empty = (values & bits.empty) != 0
        if bits.fill is not None:
            empty |= values == bits.fill
    return np.where(empty, EMPTY, np.where(hidden, HIDDEN, CLEAR)).astype("uint8")


def scl_valid(scl: NDArray[np.integer]) -> Bool:
    """True where a Sentinel-2 scene classification shows the ground."""
    return decode("SCL", scl) == CLEAR


def qa_pixel_valid(qa: NDArray[np.integer]) -> Bool:
    """True where a Landsat Collection 2 QA_PIXEL raster shows the ground."""
    return decode("QA_PIXEL", qa) == CLEAR


def fmask_valid(fmask: NDArray[np.integer]) -> Bool:
    """True where an HLS Fmask raster shows the ground."""
    return decode("Fmask", fmask) == CLEAR


def dilate(hidden: Bool, radius: float) -> Bool:
    """Grow the True pixels of ``hidden`` by ``radius`` pixels in every direction.

    Parameters
    ----------
    hidden : ndarray of bool, shape ``(y, x)``
    radius : float
        Distance between pixel centres up to which a pixel is taken in. Below 1 nothing
        changes.

    Returns
    -------
    ndarray of bool, shape ``(y, x)``
    """
    reach = math.floor(radius)
    if reach < 1 or not hidden.any():
        return hidden
    rows, cols = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.hypot(rows, cols) <= radius
    grown: Bool = ndimage.binary_dilation(hidden, disk)
    return grown


DETECTORS: dict[str, str] = {"ukis-csmask": "ukis_csmask"}
"""Detectors that can be asked for by name, and the module each needs."""


def installed(detector: str) -> bool:
    """Whether ``detector`` can be used here; InputError if its name is unknown."""
    if detector not in DETECTORS:
        raise InputError(
            f"there is no cloud detector {detector!r}; use auto, qa, none or {', '.join(DETECTORS)}"
        )
    return importlib.util.find_spec(DETECTORS[detector]) is not None


_CSMASK_BANDS = {
    "blue": 0.490,
    "green": 0.560,
    "red": 0.660,
    "nir": 0.850,
    "swir16": 1.610,
    "swir22": 2.200,
}


def csmask_bands(wavelengths: Sequence[float]) -> dict[str, int] | None:
    """Which bands ukis-csmask would look at, or None if it cannot use this raster.

    It wants blue, green, red and near infrared, and is better with both short-wave
    infrared bands.

    Parameters
    ----------
    wavelengths : sequence of float
        Micrometres, NaN where unknown.

    Returns
    -------
    dict of str to int, or None
        The detector's band names, in its order, and their indices.
    """
    near = np.asarray(wavelengths, "float64")
    found = {}
    for name, centre in _CSMASK_BANDS.items():
        away = np.abs(near - centre)
        away[np.isnan(away)] = np.inf
        if away.size and away.min() <= 0.045:
            found[name] = int(away.argmin())
    if len(found) < len(_CSMASK_BANDS):
        found = {name: i for name, i in found.items() if not name.startswith("swir")}
    return found if len(found) >= 4 else None
