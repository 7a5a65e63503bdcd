"""What a user's paths, patterns, addresses and searches stand for: files and STAC items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from geot2t.errors import InputError
from geot2t.io.assets import read_item
from geot2t.io.header import Header, read_header
from geot2t.io.names import scenes_among, scenes_in
from geot2t.io.pages import pages_in
from geot2t.io.place import Grid, degrees, overlap
from geot2t.io.safe import is_url
from geot2t.stac import Item, Search, is_stac, items_of, load_items
from geot2t.stac.origin import Origin

Location = str | Path
Given = Location | Search | Any
"""Also a pystac Item or ItemCollection, or whatever else has a ``to_dict`` that gives one."""

DAYS = 60
"""Days before and after the scene that are searched if the user names none."""


def scene_of(
    scene: Location | Item, day: date | None, *, trusted: bool, notes: list[str]
) -> Item | Location:
    """The scene: an item, a file as a Path, or the address of a raster as a str.

    Parameters
    ----------
    scene : Path, str or Item
    day : date, optional
        Which item it is, if there are several.
    trusted : bool
        Whether assets may lead anywhere.
    notes : list of str
        Added to, where the user should know something.

    Raises
    ------
    InputError
        If it is several items, of which ``day`` chooses none.
    """
    if isinstance(scene, Item):
        return scene
    if not is_stac(scene):
        return scene if is_url(scene) else Path(scene)
    items = load_items(scene, trusted=trusted, notes=notes)
    if len(items) == 1:
        return items[0]
    there = [item for item in items if item.day == day]
    if len(there) == 1:
        return there[0]
    if day is None:
        raise InputError(f"{scene} holds {len(items)} items: say with --date which one to fill")
    what = f"{len(there)} items, {', '.join(i.id for i in there)}," if there else "no item"
    raise InputError(f"{scene} holds {what} of {day}; give the item to be filled in its own file")


def read_series(
    series: Given | Iterable[Given],
    scene: Item | Location,
    target: Header,
    *,
    vrt: bool,
    trusted: bool,
    notes: list[str],
) -> list[Header]:
    """Headers of all that ``series`` stands for, without the scene itself and doubles.

    Parameters
    ----------
    series : Path, str, Search, item or items, or several
    scene : Item, Path or str
        As `scene_of` gives it.
    target : Header
        Of the scene.
    vrt : bool
        As for `geot2t.io.safe.open_raster`.
    trusted : bool
        Whether assets may lead anywhere.
    notes : list of str
        Added to, where the user should know something.

    Raises
    ------
    RasterReadError
        If a file cannot be opened or exceeds a limit.
    InputError
        If something stands for nothing, or no item shows the place of the scene.
    """
    files: dict[str, Location] = {}
    items: dict[tuple[str, str], Item] = {}
    for given in _each(series):
        found: list[Item] = []
        if isinstance(given, Search):
            found = _for_scene(given, target).run(notes)
        elif hasattr(given, "to_dict"):
            found = _handed_over(given.to_dict())
        else:
            like = None if isinstance(scene, Item) else Path(scene).name
            for path in expand(given, like):
                if is_stac(path):
                    found += load_items(path, trusted=trusted, notes=notes)
                elif not _same_file(path, scene):
                    key = str(path) if is_url(path) else str(Path(path).resolve())
                    files.setdefault(key, path)
        for item in found:
            items.setdefault((item.collection, item.id), item)
    if isinstance(scene, Item):
        items.pop((scene.collection, scene.id), None)
    # An item far away costs no look at its files.
    near = _showing(items.values(), degrees(Grid.of(target)))
    read = [read_item(item, like=target, rank=i) for i, item in near]
    # A search by the outline of the scene finds neighbours too.
    there = [h for h in read if overlap(Grid.of(h), Grid.of(target))]
    if items and not there:
        raise InputError(f"no item of the series shows the place of {target.location}")
    if len(there) < len(items):
        notes.append(f"{len(items) - len(there)} items show another place and are left out")
    return [*(read_header(path, vrt=vrt) for path in files.values()), *there]


def _each(series: Given | Iterable[Given]) -> list[Given]:
    if isinstance(series, str | Path | Search) or hasattr(series, "to_dict"):
        return [series]
    return list(series)


def _handed_over(document: Any) -> list[Item]:
    """Items that a program made, which answers for where they lead."""
    found: list[Item] = []
    for feature in document.get("features", [document]):
        links = feature.get("links", ())
        own = next((link["href"] for link in links if link.get("rel") == "self"), "items")
        origin = Origin(own if "://" in own else Path(own), trusted=True)
        found += items_of({"type": "FeatureCollection", "features": [feature]}, origin)
    return found


def _showing(
    items: Iterable[Item], place: tuple[float, float, float, float] | None
) -> list[tuple[int, Item]]:
    """Items, and their places in the list, that may show a place given in degrees."""

    def apart(item: Item) -> bool:
        # Boxes across the antimeridian, whose west exceeds their east, are not compared.
        if place is None or item.bbox is None or place[0] > place[2] or item.bbox[0] > item.bbox[2]:
            return False
        a, b = place, item.bbox
        return bool(a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1])

    return [(i, item) for i, item in enumerate(items) if not apart(item)]


def _for_scene(search: Search, target: Header) -> Search:
    """A search with what the user left open taken from the scene."""
    box, when = search.bbox or degrees(Grid.of(target)), search.datetime
    if box is None:
        raise InputError(f"{target.location} has no place on Earth to search: pass --bbox")
    if when is None:
        if target.date is None:
            raise InputError(
                f"the date of {target.location} is not known: pass --date or --datetime"
            )
        span = timedelta(days=DAYS)
        when = f"{target.date - span}/{target.date + span}"
    return replace(search, bbox=box, datetime=when)


def expand(item: Location, like: str | None) -> list[Location]:
    """Files and addresses that one of a user's paths or patterns stands for.

    ``like`` is the name of the scene, whose kind of file is looked for in folders; see `scenes_in`.
    Of a TIFF with several pages each is a file of its own (see `geot2t.io.pages`).
    """
    if is_url(item):
        return [item]
    found = _expand(item, like)
    return [page for path in found for page in ([path] if is_stac(path) else pages_in(path))]


def _expand(item: Location, like: str | None) -> list[Location]:
    path = Path(item)
    if path.is_dir():
        files = scenes_in(path, like)
        if not files:
            raise InputError(f"there is no scene (.tif, .jp2) in {path}")
        return [*files]
    if path.exists() or not any(c in str(path) for c in "*?["):
        return [path]
    anchor = Path(path.anchor or ".")
    matches = sorted(anchor.glob(str(path.relative_to(path.anchor))))
    if is_stac(path) and matches:
        return [*matches]
    folders: dict[Path, list[str]] = {}
    for match in matches:
        folders.setdefault(match.parent, []).append(match.name)
    files = [d / n for d, found in folders.items() for n in scenes_among(found, like)]
    if not files:
        raise InputError(f"no scene matches {path}")
    return [*files]


def _same_file(a: Location, b: Location | Item) -> bool:
    if isinstance(b, Item) or is_url(a) or is_url(b):
        return a == b
    try:
        return Path(a).samefile(b)
    except OSError:  # a page, which is no file of its own
        return Path(a) == Path(b)
