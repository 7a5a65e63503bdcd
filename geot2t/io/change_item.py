"""The STAC Item that goes with a comparison of two dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geot2t.io.compared import CLASSES, JOINT, ChangeOutputs
from geot2t.io.item import build_item, extensions_of
from geot2t.io.stack import Stack

_TITLES = {
    "change": "Measured difference, after minus before, in the units of the scene",
    "expected": "The date after the event, had there been none",
    "significance": "Difference from what was expected over its half-width; joint above 1: change",
    "mask": "Where the ground changed",
    "quality": "Where each date was observed, and where it was filled",
}
_ROLES = {
    "change": ["data"],
    "expected": ["data"],
    "significance": ["metadata", "uncertainty"],
    "mask": ["data", "data-mask"],
    "quality": ["metadata", "quality"],
}
_REPORT = {"type": "text/html", "title": "Report", "roles": ["overview"]}


def change_item(
    stack: Stack, outputs: ChangeOutputs, before: int, said: Mapping[str, Any]
) -> dict[str, Any]:
    """Build the STAC Item of a comparison; sizes and checksums are added when it is committed.

    Parameters
    ----------
    stack : Stack
        What was read; its target is the date after.
    outputs : ChangeOutputs
        What was written.
    before : int
        Index in time of the date before.
    said : mapping
        ``version`` of geot2t, ``started`` (ISO 8601), and what else there is to say, under names
        that get the prefix ``geot2t:``.
    """
    more = {f"geot2t:{k}": v for k, v in said.items() if k not in ("version", "started")}
    whole = build_item(
        outputs.meta,
        {"filled": outputs.paths.filled},
        when=stack.dates[stack.target],
        processed=said["started"],
        version=said["version"],
        sources=(path for files in stack.files for path in files),
        items=stack.items,
        properties=more,
    )
    kind = whole["assets"]["filled"]["type"]
    lineage = "The date after was compared with what it would be without an event."
    whole["properties"]["processing:lineage"] = lineage
    if stack.dates[before] is not None:
        whole["properties"]["geot2t:before"] = stack.dates[before]
    whole["assets"] = {
        key: {
            "href": f"./{path.name}",
            "type": kind,
            "title": _TITLES[key],
            "roles": _ROLES[key],
            "bands": _bands(key, outputs, stack),
        }
        for key, path in outputs.paths.rasters.items()
    }
    if outputs.paths.report:
        whole["assets"]["report"] = {"href": f"./{outputs.paths.page.name}", **_REPORT}
    whole["stac_extensions"] = extensions_of(whole)
    return whole


def _bands(key: str, outputs: ChangeOutputs, stack: Stack) -> list[dict[str, Any]]:
    if key == "mask":
        return [{"name": "change", "data_type": "uint8", "nodata": 255, **_classes("mask")}]
    if key == "quality":
        classes = ("quality", "quality", "filled")
        return [
            {"name": name, "data_type": "uint8", **_classes(kind)}
            for name, kind in zip(("before", "after", "filled"), classes, strict=True)
        ]
    meta, described = outputs.meta, []
    for index, wavelength in zip(stack.data_bands, stack.wavelengths, strict=True):
        band = meta.bands[index]
        entry: dict[str, Any] = {"name": band.description or f"band {index + 1}"}
        if key == "expected":
            entry["data_type"] = meta.dtype.name
            if meta.nodata is not None:
                entry["nodata"] = meta.nodata if np.isfinite(meta.nodata) else str(meta.nodata)
        else:
            entry |= {"data_type": "float32", "nodata": "nan"}
        if key != "significance" and (band.scale != 1 or (key == "expected" and band.offset != 0)):
            entry["raster:scale"] = band.scale
            if key == "expected":
                entry["raster:offset"] = band.offset
        if np.isfinite(wavelength):
            entry["eo:center_wavelength"] = round(float(wavelength), 4)
        described.append(entry)
    if key == "significance":
        described.append({"name": JOINT, "data_type": "float32", "nodata": "nan"})
    return described


def _classes(kind: str) -> dict[str, Any]:
    return {
        "classification:classes": [
            {"value": value, "name": _slug(meaning), "description": meaning}
            for value, meaning in CLASSES[kind].items()
        ]
    }


def _slug(meaning: str) -> str:
    return meaning.split(":", maxsplit=1)[0].replace(" ", "-").replace(",", "")
