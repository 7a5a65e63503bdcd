"""The STAC ItemCollection that lists the outputs of many scenes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from geot2t.errors import InputError
from geot2t.io.publish import refuse, write_bytes

COLLECTION = "items.json"
"""Name of the list in a folder of outputs."""

_OWN = "geot2t:checksum"
_RELATIVE = ("./", "../")


def write_collection(folder: Path, items: Iterable[Path] | None = None) -> Path:
    """Write ``items.json``, which lists the items of outputs, into a folder.

    It can be opened by whatever reads STAC, and given to ``--series``: predicted pixels then do
    not count as observed.

    Parameters
    ----------
    folder : Path
        An older list there is replaced.
    items : iterable of Path, optional
        Items that geot2t wrote, wherever they are. By default all in ``folder``.

    Returns
    -------
    Path
        The list.

    Raises
    ------
    InputError
        If there is no item, or a file named is none that geot2t wrote.
    OutputError
        If the list cannot be written.
    """
    named = list(items) if items is not None else None
    found = [
        (path, _read(path)) for path in sorted(folder.glob("*.json") if named is None else named)
    ]
    features = [_moved(item, path.parent, folder) for path, item in found if item is not None]
    if named is not None and (bad := [str(path) for path, item in found if item is None]):
        raise InputError(f"not an item that geot2t wrote: {', '.join(bad)}")
    if not features:
        raise InputError(f"there is no item that geot2t wrote in {folder}")
    features.sort(key=lambda f: (f["properties"].get("datetime") or "", f["id"]))
    document = {"type": "FeatureCollection", "features": features}
    write_bytes(folder / COLLECTION, json.dumps(document, indent=2).encode() + b"\n")
    return folder / COLLECTION


def check_list(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError if ``items.json`` in a folder lists anything but what geot2t wrote."""
    path = folder / COLLECTION
    if overwrite or not path.exists():
        return
    try:
        features: Any = json.loads(path.read_text("utf-8"))["features"]
        own = all(any(k.startswith("geot2t:") for k in f["properties"]) for f in features)
    except (OSError, ValueError, KeyError, TypeError):
        own = False
    if not own:
        refuse(path, overwrite=False)


def _read(path: Path) -> dict[str, Any] | None:
    """The item in a file, None if it is not one of geot2t's."""
    try:
        item: Any = json.loads(path.read_text("utf-8"))
        return item if _OWN in item["properties"] and item["assets"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _moved(item: dict[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """An item whose relative addresses start from another folder."""
    if old.absolute() == new.absolute():
        return item
    for thing in (*item["assets"].values(), *item["links"]):
        if thing["href"].startswith(_RELATIVE):
            moved = os.path.relpath(old.absolute() / thing["href"], new.absolute())
            thing["href"] = Path(moved).as_posix()
            if not thing["href"].startswith("."):
                thing["href"] = f"./{thing['href']}"
    # It vouched for the item as it stands in its own file.
    del item["properties"][_OWN]
    return item
