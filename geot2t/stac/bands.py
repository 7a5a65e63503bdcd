"""Which assets of an item are measurements, which of their bands are wanted, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.sensors import COMMON_NAMES, sensor_of, wavelengths
from geot2t.stac.items import Asset, Item

_NOT_DATA = frozenset(
    {"thumbnail", "overview", "visual", "metadata", "cloud", "cloud-shadow", "cirrus", "snow-ice",
     "data-mask", "saturation", "land-water", "water-mask", "quality", "uncertainty", "angle",
     "sun-azimuth", "sun-elevation", "incidence-angle", "azimuth"}
)  # fmt: skip
"""Roles of files that hold no measurements of the ground."""

_NOT_GROUND = frozenset({"pan", "cirrus"})
"""Bands that are filled only if asked for: a grid finer than all others, and no ground."""

_THERMAL = 3.0
"""Micrometres from which a band is filled only if asked for: it measures temperature."""

_NEAR = 0.05
"""Micrometres that two sensors' bands of one colour differ by at most."""


@dataclass(frozen=True)
class Band:
    """One band of an asset."""

    asset: Asset
    number: int
    """From 1; 0 stands for all bands of the file, of which the item says nothing."""

    name: str
    """What the item, or else the file, calls it."""

    common: str = ""
    """Its common name, such as ``red``."""

    wavelength: float = math.nan
    """Micrometres."""

    scale: float | None = None
    """None where the item does not say; the same holds for the rest."""

    offset: float | None = None
    nodata: float | None = None
    unit: str = ""
    metres: float = math.inf
    """Side of its pixels; not finite where unknown."""

    def is_called(self, name: str) -> bool:
        """Whether ``name`` is its name, its common name or that of its asset."""
        wanted = name.casefold()
        known = (self.name, self.common, self.asset.key if self.number <= 1 else "")
        return bool(wanted) and wanted in (k.casefold() for k in known)


def bands_of(item: Item) -> list[Band]:
    """All bands of an item that hold measurements, in the order of its assets.

    If the item describes the bands of some assets, the others do not count as measurements. A
    band that is in several files is listed once: not from a picture of true colours, but from
    the file with the fewest bands, and of those the one with the finest pixels.

    Raises
    ------
    InputError
        If there is none.
    """
    sensor = next((s for text in _texts(item) if (s := sensor_of(text))), None)
    data = [asset for asset in item.assets if not asset.roles & _NOT_DATA]
    described = [
        _band(asset, i, fields, sensor, item)
        for asset in data
        for i, fields in enumerate(asset.bands, 1)
    ]
    placed = [b for b in described if b.common or not math.isnan(b.wavelength)]
    found = placed or described or [Band(asset, 0, asset.key) for asset in data]
    if not found:
        raise InputError(f"{item} has no asset that holds measurements")
    best: dict[str, Band] = {}
    for band in sorted(found, key=lambda b: (len(b.asset.bands), b.metres)):
        best.setdefault(f"{band.asset.key} {band.name}" if not band.number else band.name, band)
    return [band for band in found if band in best.values()]


def _texts(item: Item) -> list[str]:
    said = (item.properties.get(key) for key in ("constellation", "platform"))
    return [*(str(text) for text in said if text), item.id]


def _band(asset: Asset, number: int, fields: Any, sensor: str | None, item: Item) -> Band:
    name = str(fields.get("name") or (asset.key if len(asset.bands) == 1 else ""))
    common = str(fields.get("common_name") or "").lower()
    wavelength = _number(fields.get("center_wavelength"))
    if wavelength is None:
        wavelength = COMMON_NAMES.get(common)
    if wavelength is None:
        wavelength = float(wavelengths([name], sensor)[0])
    scale, offset = (_number(fields.get(key)) for key in ("scale", "offset"))
    # Earth Search states the offset of the product for files that it was already applied to.
    if item.properties.get("earthsearch:boa_offset_applied") is True:
        offset = 0.0
    return Band(
        asset,
        number,
        name or f"{asset.key} {number}",
        common,
        wavelength,
        scale,
        offset,
        _number(fields.get("nodata")),
        str(fields.get("unit") or ""),
        _number(fields.get("spatial_resolution") or fields.get("gsd")) or math.inf,
    )


def _number(value: Any) -> float | None:
    """A number, also one that JSON has to spell: nan, inf or -inf."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def all_of(band: Band, names: Sequence[str], waves: Sequence[float]) -> list[Band]:
    """The bands of a file of which the item says nothing, as the file describes them.

    Parameters
    ----------
    band : Band
        With 0 as its number.
    names : sequence of str
        Name of each data band of the file, empty where there is none.
    waves : sequence of float
        Its wavelength in micrometres, NaN where unknown.
    """
    alone = len(names) == 1
    found = []
    for number, (name, wave) in enumerate(zip(names, waves, strict=True), 1):
        called = name or (band.name if alone else f"{band.name} {number}")
        known = wave if math.isfinite(wave) else float(wavelengths([called])[0])
        found.append(replace(band, number=number, name=called, wavelength=known))
    return found


def chosen(bands: Sequence[Band], wanted: Sequence[str], item: Item) -> list[Band]:
    """The bands of a scene that is to be filled.

    Parameters
    ----------
    bands : sequence of Band
    wanted : sequence of str
        Names, common names or names of assets. Empty: all bands of known wavelength but
        thermal, panchromatic and cirrus ones; if no wavelength is known, all bands.
    item : Item
        For messages.

    Raises
    ------
    InputError
        If a name is not there.
    """
    if not wanted:
        ground = [b for b in bands if b.wavelength < _THERMAL and b.common not in _NOT_GROUND]
        return ground or list(bands)
    found = []
    for name in wanted:
        band = next((b for b in bands if b.is_called(name)), None)
        if band is None:
            raise InputError(f"{item} has no band {name!r}; there are {_listed(bands)}")
        found.append(band)
    return found


def matching(
    bands: Sequence[Band], names: Sequence[str], waves: NDArray[np.floating], item: Item
) -> list[Band]:
    """The bands that show what those of a scene show, in its order.

    Each is found by name, else by wavelength; where neither is known of the scene, by position.

    Parameters
    ----------
    bands : sequence of Band
    names : sequence of str
        Of the scene's bands, empty where it gives none.
    waves : ndarray of float, shape ``(band,)``
        Their wavelengths in micrometres, NaN where unknown.
    item : Item
        For messages.

    Raises
    ------
    InputError
        If a band of the scene is not there.
    """
    found: list[Band] = []
    for name, wave in zip(names, waves.tolist(), strict=True):
        band = _same(bands, name, wave, found)
        if band is None:
            if not any(names) and len(bands) == len(names):
                return list(bands)
            what = " ".join(filter(None, (name, f"{1000 * wave:.0f} nm" * math.isfinite(wave))))
            raise InputError(
                f"{item} has no band like {what or 'those'} of the scene; it has {_listed(bands)}"
            )
        found.append(band)
    return found


def _same(bands: Sequence[Band], name: str, wave: float, taken: Sequence[Band]) -> Band | None:
    left = [band for band in bands if band not in taken]
    called = [band for band in left if band.is_called(name)]
    # Several bands may share a common name, rededge above all: then the nearest of those.
    near = [b for b in called or left if abs(b.wavelength - wave) <= _NEAR]
    if near:
        return min(near, key=lambda band: abs(band.wavelength - wave))
    return called[0] if called else None


def _listed(bands: Sequence[Band]) -> str:
    return ", ".join(
        band.name if band.name.casefold() == band.common or not band.common
        else f"{band.name} ({band.common})"
        for band in bands
    )  # fmt: skip
