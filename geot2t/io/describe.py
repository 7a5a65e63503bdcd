"""What geot2t understands of a raster, for `geot2t info`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from geot2t.grid import Box, blocks
from geot2t.io.header import Header
from geot2t.io.observed import Scene
from geot2t.io.place import Grid
from geot2t.io.stack import Location, open_stack
from geot2t.stac import Item

_SIDE = 1024
"""About the side, in pixels, of the boxes in which gaps are counted."""


def describe(
    location: Location | Item,
    *,
    cloud_mask: Location | None = None,
    clouds: str = "auto",
    vrt: bool = False,
    bands: Sequence[str] = (),
    trust_items: bool = False,
) -> dict[str, Any]:
    """Say what is known of a raster, and how much of it was not observed.

    Every pixel is looked at, box by box; blocks that a sparse file does not store are
    counted without reading them.

    Parameters
    ----------
    location, cloud_mask, clouds, vrt, bands, trust_items
        As for `open_stack`.

    Returns
    -------
    dict
        Plain values for JSON: ``path``, ``height``, ``width``, ``dtype``, ``crs``,
        ``transform``, ``pixel_metres``, ``block``, ``date``, ``date_from``, ``bands`` (each
        with ``name``, ``wavelength_um``, ``nodata``, ``scale``, ``offset`` and, of a STAC item,
        ``file``), ``scale_from``,
        ``validity`` (where it is said what was observed), ``gap`` (shares of all pixels:
        ``total``, ``cloud``, ``empty``) and ``notes``. What is not known is None.

    Raises
    ------
    RasterReadError, InputError
        As `open_stack`.
    """
    with open_stack(
        location,
        cloud_mask=cloud_mask,
        clouds=clouds,
        vrt=vrt,
        bands=bands,
        trust_items=trust_items,
    ) as stack:
        header, scene = stack.header, stack.scene
        return {
            "path": str(location),
            "height": header.height,
            "width": header.width,
            "dtype": header.dtype,
            "crs": None if header.crs is None else header.crs.to_string(),
            "transform": [float(v) for v in header.transform[:6]],
            "grid": str(Grid.of(header)),
            "pixel_metres": header.pixel_metres,
            "block": list(header.block),
            "date": None if header.date is None else header.date.isoformat(),
            "date_from": header.dated_by,
            "bands": _bands(header),
            "alpha_band": header.alpha,
            "scale_from": header.scaled_by,
            "validity": list(scene.validity),
            "gap": gap_shares(scene),
            "notes": list(stack.notes),
        }


def _bands(header: Header) -> list[dict[str, Any]]:
    return [
        {
            "name": header.names[i] or None,
            "wavelength_um": _finite(header.wavelengths[i]),
            "nodata": _json_number(header.nodata[i]),
            "scale": float(header.scale[i]),
            "offset": float(header.offset[i]),
            **({} if header.parts is None else {"file": str(header.parts.raster.parts[i].raster)}),
        }
        for i in range(len(header.data))
    ]


def _finite(value: np.floating[Any]) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _json_number(value: float | None) -> float | str | None:
    """A number as it is; NaN and infinity, which JSON does not know, by their names."""
    return value if value is None or math.isfinite(value) else str(value)


def gap_shares(scene: Scene) -> dict[str, float]:
    """Shares of a scene's pixels that were not observed.

    Returns
    -------
    dict of str to float
        ``total``; of those ``cloud`` (marked by a mask, quality raster or detector) and
        ``empty`` (no data in a band). A pixel can be both.
    """
    cloud = empty = total = 0
    extent = scene.header.extent
    for box in _boxes(scene):
        if (absent := scene.absent(box)) is not None:
            empty += absent * box.height * box.width
            total += absent * box.height * box.width
            continue
        block = scene.read(box)
        cloud += int(block.cloud.sum())
        empty += int(block.empty.any(0).sum())
        total += int((~block.valid).sum())
    pixels = extent.height * extent.width
    return {"total": total / pixels, "cloud": cloud / pixels, "empty": empty / pixels}


def _boxes(scene: Scene) -> Iterator[Box]:
    """The scene in boxes of whole blocks, about `_SIDE` pixels square or as many in all."""
    rows, cols = scene.header.block
    width = min(max(_SIDE // cols, 1) * cols, scene.header.width)
    high = max(_SIDE * _SIDE // width, 1)
    return blocks(scene.header.extent, max(high // rows, 1) * rows, width)
