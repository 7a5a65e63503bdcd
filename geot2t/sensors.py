"""What is known of sensors: wavelengths of their bands, layouts of their quality rasters.

Data and look-ups only; nothing here opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

COMMON_NAMES: dict[str, float] = {
    "coastal": 0.443,
    "aerosol": 0.443,
    "violet": 0.443,
    "blue": 0.490,
    "green": 0.560,
    "yellow": 0.600,
    "red": 0.660,
    "rededge": 0.705,
    "rededge1": 0.705,
    "rededge071": 0.705,
    "rededge2": 0.740,
    "rededge075": 0.740,
    "rededge3": 0.783,
    "rededge078": 0.783,
    "rededge4": 0.865,
    "nir": 0.842,
    "nir1": 0.842,
    "nir2": 0.865,
    "nir08": 0.865,
    "nir8a": 0.865,
    "nirnarrow": 0.865,
    "nir09": 0.945,
    "watervapour": 0.945,
    "watervapor": 0.945,
    "cirrus": 1.375,
    "swir": 1.610,
    "swir1": 1.610,
    "swir16": 1.610,
    "swir2": 2.200,
    "swir22": 2.200,
    "pan": 0.590,
    "lwir": 10.90,
    "lwir11": 10.90,
    "lwir12": 12.00,
}
"""Central wavelength in micrometres of names that belong to no one sensor (STAC common names
and spellings in use)."""

SENSOR_BANDS: dict[str, dict[str, float]] = {
    # ESA Sentinel-2 user handbook, mean of 2A and 2B.
    "sentinel-2": {
        "1": 0.443, "2": 0.492, "3": 0.560, "4": 0.665, "5": 0.704, "6": 0.740, "7": 0.781,
        "8": 0.833, "8A": 0.865, "9": 0.944, "10": 1.375, "11": 1.612, "12": 2.194,
    },
    # USGS Landsat 8-9 data users handbook.
    "landsat-8": {
        "1": 0.443, "2": 0.482, "3": 0.561, "4": 0.655, "5": 0.865, "6": 1.609, "7": 2.201,
        "8": 0.590, "9": 1.373, "10": 10.90, "11": 12.00,
    },
    # USGS Landsat 4-7 data users handbook.
    "landsat-5": {
        "1": 0.485, "2": 0.560, "3": 0.660, "4": 0.835, "5": 1.650, "6": 11.45, "7": 2.215,
        "8": 0.710,
    },
    # HLS user guide v2: L30 keeps the numbers of Landsat 8.
    "hls-l30": {
        "1": 0.443, "2": 0.482, "3": 0.561, "4": 0.655, "5": 0.865, "6": 1.609, "7": 2.201,
        "9": 1.373, "10": 10.90, "11": 12.00,
    },
    "modis": {
        "1": 0.645, "2": 0.859, "3": 0.469, "4": 0.555, "5": 1.240, "6": 1.640, "7": 2.130,
    },
    # INPE CBERS-4: MUX 5-8, AWFI 13-16.
    "cbers-4": {
        "5": 0.485, "6": 0.555, "7": 0.660, "8": 0.830,
        "13": 0.485, "14": 0.555, "15": 0.660, "16": 0.830,
    },
}  # fmt: skip
"""Central wavelength in micrometres by sensor and band number."""

LANDSAT = "landsat"
"""Some Landsat: which one is told from the numbers of its bands, where that is possible."""

_SENSOR_NAMES: tuple[tuple[str, str], ...] = (
    (r"HLS[._-]?L30", "hls-l30"),
    (r"HLS[._-]?S30|(?<![A-Z0-9])S2[ABCD](?![A-Z0-9])|SENTINEL-?2|MSIL[12]", "sentinel-2"),
    (r"(?<![A-Z0-9])T\d\d[A-Z]{3}_\d{8}T\d{6}", "sentinel-2"),
    (r"(?<![A-Z0-9])L[CO]0?[89](?![A-Z])|LANDSAT[-_ ]?[89]|(?<![A-Z])OLI(?![A-Z])", "landsat-8"),
    (r"(?<![A-Z0-9])L[ETM]0?[4-7](?![A-Z])|LANDSAT[-_ ]?[4-7]", "landsat-5"),
    (r"(?<![A-Z0-9])M[OY]D\d\d|MODIS", "modis"),
    (r"CBERS", "cbers-4"),
)

_SENSOR_TAGS = (
    "SPACECRAFT_ID", "SPACECRAFT_NAME", "SATELLITEID", "PLATFORM", "SENSOR", "CONSTELLATION",
    "PRODUCT_URI",
)  # fmt: skip

_CODE = re.compile(r"^(?:sr|toa|sur_refl)?[_ -]?b(?:and)?[_ -]?(0?)(\d{1,2})(a?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Scaling:
    """How file values become physical ones: ``value * scale + offset``."""

    scale: float
    offset: float
    source: str
    """Where the two numbers come from, in words for the user."""


def sensor_of(text: str) -> str | None:
    """The sensor that a file name or tag speaks of, a key of `SENSOR_BANDS`, or None."""
    upper = text.upper()
    return next((name for pattern, name in _SENSOR_NAMES if re.search(pattern, upper)), None)


def sensor_in_tags(tags: Mapping[str, str]) -> str | None:
    """The sensor that tags name, their keys in upper case.

    First those tags count that are meant for it, then any text that speaks of one sensor only.

    Returns
    -------
    str or None
        A key of `SENSOR_BANDS`, or `LANDSAT`.
    """
    found = (sensor_of(tags[key]) for key in _SENSOR_TAGS if key in tags)
    named = next((sensor for sensor in found if sensor), None)
    if named is not None:
        return named
    said = {sensor for text in tags.values() if (sensor := sensor_of(text))}
    if len(said) == 1:
        return said.pop()
    landsat = any("LANDSAT" in text.upper() for text in tags.values())
    return LANDSAT if landsat and not said else None


def wavelengths(names: Sequence[str], sensor: str | None = None) -> NDArray[np.float32]:
    """Central wavelengths of bands by their names.

    Understood are common names (``blue``, ``nir08``), band numbers (``B04``, ``SR_B4``,
    ``Band 4``) and names that hold either (``B4_red``).

    Parameters
    ----------
    names : sequence of str
        Band names; an empty name is an unknown band.
    sensor : str or None
        A key of `SENSOR_BANDS`, or `LANDSAT`. None, or one that has no band of some number:
        told from the set of band numbers where that is possible.

    Returns
    -------
    ndarray of float32, shape ``(band,)``
        Micrometres; NaN where unknown.
    """
    codes = [_code(name) for name in names]
    table = SENSOR_BANDS.get(_sensor(names, codes, sensor) or "", {})
    found = [
        _common(name) if code is None else table.get(code, np.nan)
        for name, code in zip(names, codes, strict=True)
    ]
    return np.array(found, "float32")


def _sensor(names: Sequence[str], codes: Sequence[str | None], sensor: str | None) -> str | None:
    numbers = {code for code in codes if code}
    if sensor == LANDSAT:
        # Band 6 of the older ones is thermal, and not among those that show the ground.
        older = numbers <= {"1", "2", "3", "4", "5", "7"} and "7" in numbers
        return "landsat-8" if "6" in numbers else "landsat-5" if older else None
    guess = _guess(names, codes)
    if sensor is None:
        return guess
    return sensor if numbers <= set(SENSOR_BANDS[sensor]) or guess is None else guess


def _code(name: str) -> str | None:
    match = _CODE.match(name.strip())
    return f"{int(match[2])}{match[3].upper()}" if match else None


def _common(name: str) -> float:
    """Wavelength of the first part of ``name`` that is a common name, NaN if none is."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain in COMMON_NAMES:
        return COMMON_NAMES[plain]
    parts = [p for p in re.split(r"[^a-z0-9]+", name.lower()) if p]
    joined = [a + b for a, b in pairwise(parts)]
    return next((COMMON_NAMES[p] for p in (*joined, *parts) if p in COMMON_NAMES), np.nan)


def _guess(names: Sequence[str], codes: Sequence[str | None]) -> str | None:
    """The sensor whose numbering a set of band names follows."""
    numbers = {code for code in codes if code}
    if not numbers:
        return None
    if any(re.match(r"sur_refl", name.strip(), re.IGNORECASE) for name in names):
        return "modis"
    if any(re.match(r"sr_", name.strip(), re.IGNORECASE) for name in names):
        return "landsat-8"
    padded = any((m := _CODE.match(name.strip())) and m[1] for name in names)
    if padded or numbers & {"8", "8A", "9", "11", "12"} or numbers <= {"1", "2", "3", "4"}:
        return "sentinel-2"
    return "landsat-8" if numbers <= set(SENSOR_BANDS["landsat-8"]) else None


def band_at(
    wavelengths: Sequence[float] | NDArray[np.floating], centre: float, within: float
) -> int | None:
    """Index of the band nearest to ``centre`` micrometres, None if none is ``within`` of it."""
    away = np.abs(np.asarray(wavelengths, "float64") - centre)
    away[np.isnan(away)] = np.inf
    return int(away.argmin()) if away.size and away.min() <= within else None


NATURAL = ((0.66, 0.05), (0.56, 0.05), (0.49, 0.06))
"""Wavelengths of red, green and blue in micrometres, and how far a band may be from them."""


def natural_colours(wavelengths: Sequence[float] | NDArray[np.floating]) -> list[int]:
    """Indices of the bands to be shown as red, green and blue.

    Where no bands have these colours, the third, second and first, as most products begin with
    blue; of fewer than three bands, the first.
    """
    found = [band_at(wavelengths, at, within) for at, within in NATURAL]
    known = [i for i in found if i is not None]
    if len(set(known)) == len(NATURAL):
        return known
    return [2, 1, 0] if len(wavelengths) >= len(NATURAL) else [0, 0, 0]


def product_scaling(name: str, band: str, dtype: str) -> Scaling | None:
    """Scale and offset that a product's specification fixes for all its files.

    Only for products whose files do not carry the numbers and whose specification never
    changed them; Sentinel-2 is not among those, its offset has to be read.

    Parameters
    ----------
    name : str
        File name.
    band : str
        Band name, may be empty.
    dtype : str
        Type of the file; a floating type is taken to be scaled already.
    """
    upper = f"{name} {band}".upper()
    if dtype == "uint16" and re.search(r"L[COTE]0[4-9]_L2S[PR]_\d{6}_\d{8}", upper):
        thermal = re.search(r"ST_B", upper)
        return None if thermal else Scaling(2.75e-5, -0.2, "Landsat Collection 2 Level 2")
    if dtype == "int16" and re.search(r"HLS\.[LS]30\.", upper):
        return Scaling(1e-4, 0.0, "HLS version 2")
    return None


SCL_EMPTY = frozenset({0})
"""Sentinel-2 scene classes without data."""

SCL_HIDDEN = frozenset({1, 3, 8, 9, 10})
"""Scene classes that do not show the ground: defective, cloud shadow, cloud of medium and high
probability, thin cirrus. Dark areas (2) and snow (11) do show it."""

CLOUD_PROBABILITY_LIMIT = 40
"""Per cent in MSK_CLDPRB from which a pixel counts as cloud."""


@dataclass(frozen=True, slots=True)
class QaBits:
    """Layout of a bit-packed quality raster."""

    empty: int
    """Any of these bits: no data."""

    hidden: int
    """Any of these bits: cloud, shadow or cirrus."""

    confident: tuple[int, ...] = ()
    """First bits of two-bit confidences; 3 (high) hides the ground."""

    fill: int | None = None
    """Value that stands for no data as a whole."""


QA_BITS: dict[str, QaBits] = {
    # Landsat Collection 2: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow.
    "QA_PIXEL": QaBits(empty=1 << 0, hidden=1 << 1 | 1 << 2 | 1 << 3 | 1 << 4),
    # Landsat Collection 1 surface reflectance: 0 fill, 3 shadow, 5 cloud, 8-9 cirrus.
    "pixel_qa": QaBits(empty=1 << 0, hidden=1 << 3 | 1 << 5, confident=(8,)),
    # Landsat Collection 1 level 1: 0 fill, 4 cloud, 7-8 shadow, 11-12 cirrus.
    "BQA": QaBits(empty=1 << 0, hidden=1 << 4, confident=(7, 11)),
    # HLS: 1 cloud, 2 next to cloud or shadow, 3 shadow; bit 0 is reserved.
    "Fmask": QaBits(empty=0, hidden=1 << 1 | 1 << 2 | 1 << 3, fill=255),
}
"""Layouts by the token that stands in the file's name."""

SOFT_EDGE_METRES: dict[str, float] = {"SCL": 40.0, "MSK_CLDPRB": 40.0, "BQA": 60.0}
"""How far cloud and shadow reach past what the quality raster marks.

On the South Tyrol series of June 2022, blue reflectance beside SCL cloud is 0.02 to 0.04 too
bright in the first 10 m and falls to the level of its surroundings between 20 and 50 m.
QA_PIXEL, pixel_qa and Fmask hold a margin of their own.
"""
