"""The training archives: one reader for each layout, all giving places with dated scenes.

The rules for dates, masks and coordinates are told in ``prepare_tiles.py``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Archive = dict[str, NDArray[Any]]

GROW_METRES = 30
NOMINAL_DAY = date(2020, 7, 1)

# Central wavelengths, in micrometres, where a band's name alone does not tell the sensor.
LANDSAT_8 = {"B02": 0.482, "B03": 0.561, "B04": 0.655, "B05": 0.865, "B06": 1.609, "B07": 2.201}
SENTINEL_2 = {
    "B01": 0.443, "B02": 0.490, "B03": 0.560, "B04": 0.665, "B05": 0.705, "B06": 0.740,
    "B07": 0.783, "B08": 0.842, "B8A": 0.865, "B09": 0.945, "B10": 1.375, "B11": 1.610,
    "B12": 2.190,
}  # fmt: skip
GENERIC = {
    "blue": 0.48, "green": 0.56, "red": 0.66, "nir": 0.85, "mir": 2.13, "swir1": 1.61,
    "swir2": 2.20,
}  # fmt: skip


@dataclass
class Scene:
    """One date of a place."""

    day: date
    """Acquisition date, possibly nominal."""

    bands: NDArray[np.uint16]
    """Shape ``(band, y, x)``; 0 = no data."""

    hidden: NDArray[np.bool_]
    """True where the ground was not observed, shape ``(y, x)``."""

    how: str = "recorded"
    """Where the date comes from."""

    @property
    def observed(self) -> float:
        """Share of the pixels that were observed in every band."""
        return float((~self.hidden & (self.bands > 0).all(axis=0)).mean())


@dataclass
class Place:
    """Scenes of one place on one grid."""

    name: str
    band_names: Sequence[str]
    scenes: list[Scene]
    crs: str | None = None
    transform: Affine = field(default_factory=Affine.identity)
    offset: float = 0.0
    """Physical value of a stored 0; a stored 10 000 is 1 more."""

    wavelengths: dict[str, float] = field(default_factory=dict)
    source: str = ""


def _georeference(crs: object, numbers: NDArray[Any] | None) -> tuple[str | None, Affine]:
    """Return CRS and transform, or none and the identity where the archive has NaN or nothing."""
    if numbers is None or not np.isfinite(numbers).all():
        return None, Affine.identity()
    return str(crs), Affine(*map(float, numbers[:6]))


def _wavelengths(names: Sequence[str], sensor: str) -> dict[str, float]:
    """Return the wavelengths of the bands that the name, or name and sensor, settles."""
    if "Landsat-8" in sensor:
        table = LANDSAT_8
    else:
        table = {**SENTINEL_2, **{k.replace("B0", "B"): v for k, v in SENTINEL_2.items()}}
    found = {}
    for name in names:
        plain = name.split("_")[-1]  # B05_nir -> nir
        value = GENERIC.get(plain, table.get(name))
        if value is not None:
            found[name] = value
    return found


def _days(text: Sequence[str]) -> list[tuple[date, str]]:
    """Return the date of each scene, and where it comes from."""
    out = []
    for i, t in enumerate(text):
        if t.startswith("month-"):
            out.append((date(2021, int(t[6:]), 15), "nominal: month recorded, day and year not"))
        elif t[:4].isdigit():
            out.append((date.fromisoformat(t), "recorded"))
        else:
            out.append((NOMINAL_DAY + timedelta(days=30 * i), "nominal: no date recorded"))
    return out


def _modis_calendar() -> list[str]:
    """Return the starts of the 16-day composites of 2007 to 2013, less the one that is missing."""
    starts = [date(y, 1, 1) + timedelta(days=16 * k) for y in range(2007, 2014) for k in range(23)]
    return [d.isoformat() for d in starts if d != date(2013, 7, 28)]


def _series_days(name: str, z: Archive) -> list[tuple[date, str]]:
    """Return the dates of a series cube; two cubes need more than reading them."""
    listed = [str(d) for d in z["dates"]]
    if name == "modis_mod13q1_matogrosso":
        calendar = _modis_calendar()
        if calendar[16:153] != listed:
            sys.exit(f"{name}: the listed dates are not composites 17 to 153 of 2007 to 2013")
        how = "recorded or, outside the listed dates, from the composite calendar"
        return [(date.fromisoformat(d), how) for d in calendar]
    if name == "s2_l1c_slovenia_reference5":
        twins = ["2015-08-20", "2015-07-31", "2015-09-09", "2015-08-30", "2015-07-11"]
        return [(date.fromisoformat(d), "recovered: NDVI equals a dated scene's") for d in twins]
    return _days(listed)


def series(name: str, z: Archive) -> Iterator[Place]:
    """One place, several dates: keys ``bands (T,C,H,W)``, ``mask (T,H,W)``, ``dates``."""
    bands, hidden = z["bands"], z["mask"] > 0
    crs, transform = _georeference(z["crs"], z["transform"])
    if "scl" in z:
        pixels = round(GROW_METRES / float(z["ground_resolution_m"]))
        hidden = np.stack([_grown(h, pixels) for h in hidden])
    scenes = [
        Scene(day, b, h, how)
        for (day, how), b, h in zip(_series_days(name, z), bands, hidden, strict=True)
    ]
    names = [str(n) for n in z["band_names"]]
    offset = -1.0 if str(z["scale"]).startswith("(ndvi+1)") else 0.0
    yield Place(name, names, scenes, crs, transform, offset, _wavelengths(names, str(z["sensor"])))


def _grown(hidden: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Grow the unobserved area by a disc of ``pixels`` radius."""
    if pixels == 0 or not hidden.any():
        return hidden
    away: NDArray[np.float64] = ndimage.distance_transform_edt(~hidden)
    return away <= pixels


def _epsg(code: object) -> str:
    return f"EPSG:{int(str(code))}"


def _lone(
    name: str,
    z: Archive,
    labels: Sequence[str],
    days: Sequence[tuple[date, str]],
    crs: Sequence[str] | None = None,
) -> Iterator[Place]:
    """One place for each entry of ``bands (N,C,H,W)``; equal labels are dates of one place."""
    names = [str(n) for n in z["band_names"]]
    waves = _wavelengths(names, str(z["sensor"]))
    places: dict[str, Place] = {}
    for i, (label, (day, how)) in enumerate(zip(labels, days, strict=True)):
        where = _georeference(crs[i], z["transform"][i]) if crs else _georeference("", None)
        place = places.setdefault(
            label, Place(f"{name}_{label}", names, [], *where, wavelengths=waves)
        )
        # Of undated scenes nothing is known but that they are other dates.
        later = timedelta(days=365 * len(place.scenes) if how.startswith("nominal") else 0)
        hidden = z["mask"][i] > 0 if "mask" in z else np.zeros(z["bands"].shape[-2:], bool)
        place.scenes.append(Scene(day + later, z["bands"][i], hidden, how))
    yield from places.values()


def _undated(n: int) -> list[tuple[date, str]]:
    return _days([""] * n) if n == 1 else [_days([""])[0]] * n


def _numbered(n: int) -> list[str]:
    return [f"{i:03d}" for i in range(n)]


def oscd(name: str, z: Archive) -> Iterator[Place]:
    """Cities with two dates each: ``bands (N,T,C,H,W)``, ``dates (N,T)``."""
    names = [str(n) for n in z["band_names"]]
    for label, pair, days, numbers in zip(
        z["place"], z["bands"], z["dates"], z["transform"], strict=True
    ):
        clear = np.zeros(pair.shape[-2:], bool)
        scenes = [
            Scene(day, b, clear, how)
            for b, (day, how) in zip(pair, _days([str(d) for d in days]), strict=True)
        ]
        where = _georeference(z["crs"], numbers)
        yield Place(f"{name}_{label}", names, scenes, *where, wavelengths=SENTINEL_2)


def hls(name: str, z: Archive) -> Iterator[Place]:
    """Chips, several of which may show one place; named by region so that regions can be held."""
    labels = [
        f"region{r:02d}_place{p:03d}" for r, p in zip(z["region_id"], z["place_id"], strict=True)
    ]
    return _lone(name, z, labels, _undated(len(labels)))


def ben_v1(name: str, z: Archive) -> Iterator[Place]:
    """Patches with their acquisition date."""
    labels = [f"{i}_{n}" for i, n in zip(_numbered(len(z["name"])), z["name"], strict=True)]
    crs = [_epsg(c) for c in z["epsg"]]
    return _lone(name, z, labels, _days([str(d) for d in z["date"]]), crs)


def ben_v2(name: str, z: Archive) -> Iterator[Place]:
    """Patches without date or coordinates."""
    return _lone(name, z, [f"{i:06d}" for i in z["patch_id_int"]], _undated(len(z["bands"])))


def places19(name: str, z: Archive) -> Iterator[Place]:
    """Undated patches of all continents."""
    crs = [_epsg(c) for c in z["epsg"]]
    return _lone(name, z, [str(n) for n in z["name"]], _undated(len(crs)), crs)


def dated_chips(name: str, z: Archive) -> Iterator[Place]:
    """Numbered chips with a date each, with or without coordinates."""
    n = len(z["bands"])
    crs = [str(z["crs"])] * n if "crs" in z else None
    return _lone(name, z, _numbered(n), _days([str(d) for d in z["dates"]]), crs)


def fires(name: str, z: Archive) -> Iterator[Place]:
    """Scenes after a fire; dated a month after it, for want of the acquisition date."""
    days = [(_event(str(d), 30)) for d in z["event_date"]]
    labels = [f"{i}_{p}" for i, p in zip(_numbered(len(days)), z["place"], strict=True)]
    return _lone(name, z, labels, days, [str(z["crs"])] * len(days))


def _event(text: str, after: int) -> tuple[date, str]:
    """Return the date ``after`` days from an event, and the admission that it is not recorded."""
    return date.fromisoformat(text) + timedelta(days=after), f"nominal: event {after:+d} days"


def fire_pairs(name: str, z: Archive) -> Iterator[Place]:
    """Before and after a fire, keys ``bands_<place> (2,C,H,W)``; the name ends with its date."""
    names = [str(n) for n in z["band_names"]]
    for label in map(str, z["places"]):
        pair = z[f"bands_{label}"]
        clear = np.zeros(pair.shape[-2:], bool)
        scenes = [
            Scene(day, b, clear, how)
            for b, (day, how) in zip(pair, (_event(label[-8:], d) for d in (-30, 30)), strict=True)
        ]
        where = _georeference(z["crs"], z[f"transform_{label}"])
        waves = _wavelengths(names, str(z["sensor"]))
        yield Place(f"{name}_{label}", names, scenes, *where, wavelengths=waves)


def floods(name: str, z: Archive) -> Iterator[Place]:
    """Undated chips, keys ``bands_<chip> (C,H,W)``."""
    names = [str(n) for n in z["band_names"]]
    for key in sorted(k for k in z if k.startswith("bands_")):
        label = key.removeprefix("bands_")
        day, how = _undated(1)[0]
        scene = Scene(day, z[key], np.zeros(z[key].shape[-2:], bool), how)
        where = _georeference(z["crs"], z[f"transform_{label}"])
        yield Place(f"{name}_{label}", names, [scene], *where, wavelengths=SENTINEL_2)


def cloudy_pairs(name: str, z: Archive) -> Iterator[Place]:
    """Pairs of a cloudy scene and a clear one about a week apart; only the season is known."""
    months = {"winter": 1, "spring": 4, "summer": 7, "fall": 10}
    names = [str(n) for n in z["band_names"]]
    for i, full in enumerate(map(str, z["name"])):
        label = full.removesuffix(".tif")
        month = next(m for season, m in months.items() if season in label)
        scenes = [
            Scene(date(2018, month, day), z[kind][i], z[f"mask_{kind}"][i] > 0, "nominal: season")
            for kind, day in (("cloudy", 11), ("clear", 18))
        ]
        where = _georeference(z["crs"][i], z["transform"][i])
        yield Place(f"{name}_{label}", names, scenes, *where, wavelengths=SENTINEL_2)


def terramesh(name: str, z: Archive) -> Iterator[Place]:
    """One Level-2A scene of 12 bands, all of Sentinel-2's but B10; dark pixels may be negative."""
    names = [n for n in SENTINEL_2 if n != "B10"]
    bands = np.clip(z["s2l2a"], 1, None).astype("uint16")
    day, how = _undated(1)[0]
    scene = Scene(day, bands, np.zeros(bands.shape[-2:], bool), how)
    where = _georeference(z["crs"], z["transform"])
    yield Place(name, names, [scene], *where, wavelengths=SENTINEL_2)


READERS: dict[str, Callable[[str, Archive], Iterator[Place]]] = {
    "oscd_s2_pairs": oscd,
    "hls_chips": hls,
    "ben_v1_examples": ben_v1,
    "ben_v2_100": ben_v2,
    "s2_places19": places19,
    "s2_denmark_harbours": dated_chips,
    "s2_dsen2_2scenes": dated_chips,
    "s2_california_fire_post": fires,
    "s2_california_fire_pairs": fire_pairs,
    "s2_floods_2": floods,
    "pairs_sen12mscr": cloudy_pairs,
}


def places_of(name: str, z: Archive) -> Iterator[Place]:
    """Yield the places of an archive, by its name."""
    reader = terramesh if name.startswith("terramesh_") else READERS.get(name, series)
    yield from reader(name, z)
