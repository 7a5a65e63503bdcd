"""Checksums of outputs: kept in the STAC Item beside them, compared by ``geot2t verify``.

Digests are written as the STAC file extension asks: a multihash in hexadecimal, which for
SHA-256 is ``12`` (the function), ``20`` (32 bytes) and the digest.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_PREFIX = "1220"
_OWN = "geot2t:checksum"
_FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
_COMPANION = re.compile(r"_(quality|error|spread|sample_\d{2,})$")
_BESIDE = {
    "type": "application/xml",
    "title": "What GDAL reads with the raster of that name",
    "roles": ["metadata"],
}
"""The asset of a file ``.aux.xml``, which an item is not told of when it is built."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of checking one file."""

    path: Path
    """The file."""

    problem: str | None
    """Why it is not what geot2t wrote; None if it is."""

    @property
    def ok(self) -> bool:
        """Whether the file is what geot2t wrote."""
        return self.problem is None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as a multihash, ``1220`` and 64 hexadecimal digits."""
    with path.open("rb") as file:
        return _PREFIX + hashlib.file_digest(file, "sha256").hexdigest()


def file_fields(path: Path) -> dict[str, Any]:
    """``file:checksum`` and ``file:size`` of a file, for a STAC asset or link."""
    return {"file:checksum": sha256_file(path), "file:size": path.stat().st_size}


def with_checksums(
    item: Mapping[str, Any], assets: Mapping[str, Path], parts: Mapping[Path, Path]
) -> dict[str, Any]:
    """Return ``item`` as it will be written: plain JSON with size and checksum of each asset.

    Parameters
    ----------
    item : mapping
        A STAC Item, which may hold numpy numbers; what is not finite becomes null.
    assets : mapping of str to Path
        Final name of each asset, by its key.
    parts : mapping of Path to Path
        Where the file of each final name is now.
    """
    whole: dict[str, Any] = copy.deepcopy(plain(item))
    described = whole.setdefault("assets", {})
    for key, final in assets.items():
        fields = {"href": f"./{final.name}", **file_fields(parts[final])}
        described.setdefault(key, dict(_BESIDE)).update(fields)
    extensions = whole.setdefault("stac_extensions", [])
    if _FILE_EXTENSION not in extensions:
        extensions.append(_FILE_EXTENSION)
    whole.setdefault("properties", {})
    whole["properties"][_OWN] = _own_checksum(whole)
    return whole


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: numpy numbers and arrays, paths and dates unwrapped."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _own_checksum(item: Mapping[str, Any]) -> str:
    """Checksum of the item without this checksum, whatever its layout."""
    properties = {k: v for k, v in item["properties"].items() if k != _OWN}
    text = json.dumps({**item, "properties": properties}, sort_keys=True)
    return _PREFIX + hashlib.sha256(text.encode()).hexdigest()


def verify(paths: Iterable[Path]) -> list[Verified]:
    """Check outputs against the checksums written beside them.

    Parameters
    ----------
    paths : iterable of Path
        Filled rasters or items, whose companions are then checked too, or single companions.

    Returns
    -------
    list of Verified
        One for each file, in the order given, the item after its rasters.
    """
    found: dict[Path, Verified] = {}
    for path in map(Path, paths):
        for result in _verify_one(path):
            found.setdefault(result.path, result)
    return list(found.values())


def _verify_one(path: Path) -> list[Verified]:
    item_path = _item_beside(path)
    if item_path is None:
        why = "no checksums beside it" if path.exists() else "it does not exist"
        return [Verified(path, why)]
    try:
        item = json.loads(item_path.read_text(encoding="utf-8"))
        assets = {item_path.parent / asset["href"]: asset for asset in item["assets"].values()}
        own = item["properties"][_OWN]
        same = own == _own_checksum(item)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [Verified(item_path, "it is not an item that geot2t wrote")]
    wanted = [
        (file, asset)
        for file, asset in assets.items()
        if path in (item_path, file) or path.stem == item_path.stem
    ]
    if not wanted:
        return [Verified(path, f"{item_path.name} has no checksum of it")]
    return [
        *(_verify_asset(file, asset) for file, asset in wanted),
        Verified(item_path, None if same else "it was changed after it was written"),
    ]


def _item_beside(path: Path) -> Path | None:
    if path.suffix == ".json":
        return path if path.exists() else None
    items = (path.with_name(f"{s}.json") for s in (path.stem, _COMPANION.sub("", path.stem)))
    return next((item for item in items if item.exists()), None)


def _verify_asset(path: Path, asset: Mapping[str, Any]) -> Verified:
    try:
        size = path.stat().st_size
        if size != asset.get("file:size"):
            return Verified(path, f"it has {size} bytes instead of {asset.get('file:size')}")
        same = sha256_file(path) == asset.get("file:checksum")
    except OSError as error:
        return Verified(path, f"it cannot be read: {error.strerror or error}")
    return Verified(path, None if same else "its checksum differs: it was changed or damaged")
