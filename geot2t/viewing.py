"""The report of a filled scene, found or made: what `geot2t view` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geot2t.errors import InputError
from geot2t.io.publish import write_bytes
from geot2t.report.scene import scene_page


def report_of(out: Path) -> Path:
    """The page that goes with outputs; made of what was written if it is not there.

    Parameters
    ----------
    out : Path
        The filled raster, another raster beside it, its ``.json`` or its ``.html``; or the folder
        of an evaluation.

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    InputError
        If there are no outputs of geot2t at ``out``.
    RasterReadError
        If a raster cannot be read.
    OutputError
        If the page is not there and cannot be written.
    """
    out = out.absolute()
    if out.is_dir():
        out = out / "report.html"
    if out.suffix.lower() == ".html":
        if out.is_file():
            return out
        if out.name == "report.html":
            raise InputError(f"{out} does not exist; geot2t evaluate -o writes it")
    item = _item_of(out)
    page = item.with_suffix(".html")
    if not page.is_file():
        write_bytes(page, _made(item).encode())
    return page


def _item_of(out: Path) -> Path:
    """The item that speaks of ``out``: of its own name, or with what a companion adds to it."""
    stem = out.stem
    while stem:
        item = out.with_name(f"{stem}.json")
        if item.is_file():
            return item
        stem = stem.rpartition("_")[0]
    raise InputError(f"{out} has no {out.stem}.json beside it, which geot2t inpaint writes")


def _made(path: Path) -> str:
    try:
        item: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        said = item["properties"]
        files = {
            key: path.with_name(Path(item["assets"][key]["href"]).name)  # nowhere else
            for key in ("filled", "quality", "error")
            if key in item["assets"]
        }
        scene = said.get("geot2t:scene")
        where = None if scene is None else path.parent / str(scene)
        if where is not None and not _unchanged(item, str(scene), where):
            where = None
        return scene_page(item, files, where)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not an item that geot2t inpaint wrote") from error


def _unchanged(item: Mapping[str, Any], scene: str, where: Path) -> bool:
    """Whether the scene is still as large as when it was filled."""
    sizes = [link.get("file:size") for link in item["links"] if link.get("href") == scene]
    return where.is_file() and where.stat().st_size in sizes
