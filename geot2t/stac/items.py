"""Items and their assets, from JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np

from geot2t.errors import InputError
from geot2t.stac.origin import Origin, read_text, shown

_RASTER = re.compile(r"image/(tiff|jp2|vnd\.stac\.geotiff)", re.IGNORECASE)
_RASTER_FILE = re.compile(r"\.(tiff?|jp2)$", re.IGNORECASE)
_INHERITED = ("nodata", "data_type", "unit", "raster:scale", "raster:offset")
"""Fields that an asset has from its item where it does not state them itself (STAC 1.1)."""

_OWN = (*_INHERITED, "gsd", "raster:spatial_resolution")
_PREFIXES = ("eo:", "classification:")
"""What an asset says of all its bands."""


@dataclass(frozen=True)
class Asset:
    """One file of an item."""

    key: str
    """Its name in the item."""

    href: str
    """Where it is, as the item says."""

    roles: frozenset[str]
    """What it is for, in lower case."""

    title: str
    """What people are told that it is."""

    bands: tuple[Mapping[str, Any], ...]
    """What is said of each of its bands, whichever STAC version says it: ``name``,
    ``common_name``, ``center_wavelength``, ``scale``, ``offset``, ``nodata``, ``unit``,
    ``classification:classes`` and others. Empty if nothing is."""

    @classmethod
    def of(cls, key: str, fields: Mapping[str, Any], shared: Mapping[str, Any]) -> Self:
        """The asset that an item describes by ``fields``.

        Parameters
        ----------
        key : str
        fields : mapping
        shared : mapping
            Fields of the item that hold for all its assets.
        """
        roles = fields.get("roles")
        return cls(
            key=key,
            href=str(fields["href"]),
            roles=frozenset(str(r).lower() for r in roles) if isinstance(roles, list) else _NONE,
            title=str(fields.get("title") or ""),
            bands=_bands(fields, shared),
        )


_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Item:
    """One acquisition, in one or more files."""

    id: str
    """Identifier; made by whoever made the item, so not fit to be a file name."""

    origin: Origin
    """Where its JSON is."""

    alone: bool
    """Whether that JSON holds nothing else."""

    when: datetime
    """Time of acquisition, or the begin of its range; in UTC."""

    day: date
    """Day of acquisition by the sun at the place: it does not change within a pass."""

    collection: str
    """What it is part of; empty if nothing is said."""

    assets: tuple[Asset, ...]
    """Its rasters."""

    properties: Mapping[str, Any]
    """Whatever else is said of it."""

    href: str | None
    """Address of the item itself, if it says one."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north of what it shows, in degrees, if it says so."""

    def __str__(self) -> str:
        return str(self.origin) if self.alone else f"{self.origin}#{self.id}"

    def resolve(self, asset: Asset) -> Path | str:
        """The file (Path) or address (str) of an asset; see `Origin.resolve`."""
        return self.origin.resolve(asset.href, f"asset {asset.key} of {self}", self.href)

    @property
    def pass_key(self) -> tuple[str, str, str]:
        """The same for all items of one pass of one satellite."""
        return self.day.isoformat(), self.collection, str(self.properties.get("platform") or "")

    @property
    def beside(self) -> Path:
        """The file that outputs are named after and put beside; in this folder if at an address.

        That of the item if it is alone there, else one that its identifier gives the name.
        """
        name = re.sub(r"[^\w.-]+", "_", self.id).strip("._")[:100] or "item"
        where = self.origin.where
        if isinstance(where, str):
            return Path(f"{name}.json")
        return where if self.alone else where.with_name(f"{name}.json")


def is_stac(location: object) -> bool:
    """Whether a location is to be read as STAC items: a JSON file, or an address of no raster."""
    if isinstance(location, str) and re.match(r"https?://", location, re.IGNORECASE):
        return not _RASTER_FILE.search(urlsplit(location).path)
    return isinstance(location, str | Path) and Path(location).suffix.lower() in (
        ".json",
        ".geojson",
    )


def load_items(
    location: Path | str, *, trusted: bool = False, notes: list[str] | None = None
) -> list[Item]:
    """Read an Item or an ItemCollection.

    Parameters
    ----------
    location : Path or str
        A file, or an address that the user typed.
    trusted : bool
        Whether assets may lead anywhere (see `Origin`).
    notes : list of str, optional
        Added to, where the user should know something.

    Raises
    ------
    InputError
        If it cannot be read, or is no Item or ItemCollection.
    """
    origin = Origin(location if "://" in str(location) else Path(location), trusted)
    found, more = _parsed(origin, _written(origin.where))
    if notes is not None and more:
        notes.append(f"{origin} is one page of a longer answer: search with --stac for all of it")
    return list(found)


def _written(where: Path | str) -> tuple[int, int] | float:
    """What tells a file from a later one of that name; of an address, every answer is a new one."""
    try:
        known = Path(where).stat()
    except OSError:
        return time.monotonic()
    return known.st_mtime_ns, known.st_size


# Many scenes of one large list are filled by one process, each with the list as its series.
@lru_cache(maxsize=4)
def _parsed(origin: Origin, _written: object) -> tuple[tuple[Item, ...], bool]:
    """The items of a location, and whether it says that there are more elsewhere."""
    try:
        document = json.loads(read_text(origin.where))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{origin} is not JSON: {error}") from error
    return tuple(items_of(document, origin)), _has_more(document)


def items_of(document: Any, origin: Origin) -> list[Item]:
    """The items of an Item or ItemCollection that is already parsed.

    Raises
    ------
    InputError
        If it is something else, or an item is malformed.
    """
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "Feature":
        return [_item(document, origin, alone=True)]
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        found = [_item(feature, origin, alone=False) for feature in document["features"]]
        if not found:
            raise InputError(f"{origin} holds no item")
        return found
    if kind in ("Catalog", "Collection"):
        raise InputError(
            f"{origin} is a STAC {kind}; give its items, as an ItemCollection or one by one"
        )
    raise InputError(f"{origin} is not a STAC Item or ItemCollection")


def _has_more(document: Any) -> bool:
    links = document.get("links") if isinstance(document, Mapping) else None
    return isinstance(links, list) and any(
        isinstance(link, Mapping) and link.get("rel") == "next" for link in links
    )


def _item(feature: Any, origin: Origin, *, alone: bool) -> Item:
    try:
        name = str(feature["id"])
        properties = dict(feature["properties"])
        given = dict(feature["assets"])
        when = _when(properties)
        shared = {key: properties[key] for key in _INHERITED if key in properties}
        assets = tuple(
            Asset.of(key, fields, shared) for key, fields in given.items() if _is_raster(fields)
        )
        day = (when + timedelta(hours=_longitude(feature) / 15)).date()
        address, box = _own_address(feature), _bbox(feature)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError,
            IndexError) as error:  # fmt: skip
        said = f"{type(error).__name__} {error}"
        raise InputError(f"{origin} holds an item that is not as STAC asks: {said}") from error
    if not assets:
        raise InputError(f"{origin}#{name} has no raster among its assets")
    collection = str(feature.get("collection") or "")
    return Item(name, origin, alone, when, day, collection, assets, properties, address, box)


def _is_raster(fields: Any) -> bool:
    media = str(fields.get("type") or "")
    # An asset without a media type, or with one that says nothing, is known by its name.
    return bool(_RASTER.match(media)) or (
        media in ("", "application/octet-stream")
        and bool(_RASTER_FILE.search(urlsplit(str(fields["href"])).path))
    )


def _when(properties: Mapping[str, Any]) -> datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    found = datetime.fromisoformat(str(text))
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _longitude(feature: Mapping[str, Any]) -> float:
    """Of the middle of an item, in degrees east; 0 where it has no place."""
    box = feature.get("bbox")
    if box:
        west, east = float(box[0]), float(box[len(box) // 2])
        east += 360 if east < west else 0  # across the antimeridian
        return (west + east) / 2
    geometry = feature.get("geometry")
    if not geometry:
        return 0.0
    return float(np.mean(np.array(_points(geometry["coordinates"]), "float64")[:, 0]))


def _bbox(feature: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """The outline in degrees, heights left out; None where none is given."""
    box = feature.get("bbox")
    if not box or len(box) not in (4, 6):
        return None
    half = len(box) // 2
    return float(box[0]), float(box[1]), float(box[half]), float(box[half + 1])


def _points(coordinates: Any) -> list[Any]:
    """All points of a GeoJSON geometry, however nested."""
    if not isinstance(coordinates[0], list):
        return [coordinates[:2]]
    return [point for part in coordinates for point in _points(part)]


def _own_address(feature: Mapping[str, Any]) -> str | None:
    links = feature.get("links") or []
    own = (link.get("href") for link in links if link.get("rel") == "self")
    return next((shown(str(h)) for h in own if str(h).startswith(("http://", "https://"))), None)


def _bands(fields: Mapping[str, Any], shared: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What an asset says of each band, under the names of STAC 1.0's extensions."""
    listed = [fields.get(key) for key in ("bands", "eo:bands", "raster:bands")]
    lists = [found for found in listed if isinstance(found, list) and found]
    # In STAC 1.1 what holds for all bands may stand in the asset, and a single band nowhere else.
    own = {k: v for k, v in fields.items() if k in _OWN or k.startswith(_PREFIXES)}
    own.pop("eo:bands", None)
    if not lists and not own:
        return ()
    count = max(map(len, lists), default=1)
    return tuple(
        {
            k.removeprefix("eo:").removeprefix("raster:"): v
            for source in (shared, own, *(found[i] for found in lists if i < len(found)))
            for k, v in source.items()
        }
        for i in range(count)
    )
