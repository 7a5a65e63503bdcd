"""Maps on the grid of a scene that are no fill of it; whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.grid import Box
from geot2t.io.checksums import with_checksums
from geot2t.io.metadata import (
    RasterMeta,
    describe_place,
    describe_scene,
    georeference,
    scene_profile,
)
from geot2t.io.options import geotiff_options
from geot2t.io.publish import (
    OneRaster,
    check_space,
    check_targets,
    geotiff_path,
    locked,
    part_path,
    publish,
    terminated_as_exception,
)
from geot2t.io.raster import RasterPart, gdal_errors, sidecar


@dataclass(frozen=True, slots=True)
class Layer:
    """One raster among the maps."""

    key: str
    """Its key among the assets of the item; of all but the first also the end of its name."""

    title: str
    """What it shows, in a line."""

    bands: Sequence[str]
    """What each of its bands is called."""

    meanings: Sequence[str] = ()
    """What the values of each band mean."""

    classes: Sequence[str] = ()
    """What the values 0, 1, ... of its only band mean."""

    dtype: str = "float32"
    """Type of its values."""

    nodata: float | None = float("nan")
    """Value where there is nothing to say."""

    roles: Sequence[str] = ("data",)
    """Roles of the asset."""

    whole: bool = False
    """Whether its bands are those of the scene, with all that the scene says of them."""

    def asset(self) -> dict[str, Any]:
        """What a STAC Item says of it."""
        nodata: dict[str, Any] = {}
        if self.nodata is not None:
            nodata["nodata"] = self.nodata if np.isfinite(self.nodata) else str(self.nodata)
        bands = [
            {"name": name, "description": meaning, "data_type": self.dtype, **nodata}
            for name, meaning in zip(self.bands, self.meanings, strict=True)
        ]
        return {"title": self.title, "roles": list(self.roles), "bands": bands}


class Maps:
    """Rasters while they are written, block by block; made by `open_maps`."""

    def __init__(
        self, paths: OneRaster, item: Path | None, rasters: Mapping[str, RasterPart]
    ) -> None:
        self.paths, self._item, self._rasters = paths, item, rasters
        self.done = False
        """Whether all is there under its final name."""

    @property
    def rasters(self) -> dict[str, Path]:
        """Final names by key."""
        return {key: raster.path for key, raster in self._rasters.items()}

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of the blocks to be written."""
        return next(iter(self._rasters.values())).block

    def write(self, box: Box, values: Mapping[str, NDArray[Any]]) -> None:
        """Write whole blocks of every raster, each ``(band, y, x)``; see `RasterPart.write`."""
        for key, raster in self._rasters.items():
            raster.write(box, values[key])

    def commit(self, item: Mapping[str, Any] | None = None, *, overwrite: bool) -> dict[str, Any]:
        """Finish and read back, write the item, give all their final names; returns the item.

        It is empty where none was asked for.

        Raises
        ------
        OutputError
            If a block was not written, or a raster does not read back as it was written.
        """
        parts: dict[Path, Path] = {}
        for raster in self._rasters.values():
            raster.close()
            raster.verify()
            parts[raster.path] = raster.part
            if sidecar(raster.part).exists():
                parts[sidecar(raster.path)] = sidecar(raster.part)
        whole: dict[str, Any] = {}
        if item is not None and self._item is not None:
            whole = with_checksums(item, self.rasters, parts)
            part = parts[self._item] = part_path(self._item)
            with gdal_errors(self._item):
                part.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        publish(self.paths, parts, overwrite=overwrite)
        self.done = True
        return whole


@contextmanager
def open_maps(
    out: Path,
    meta: RasterMeta,
    layers: Sequence[Layer],
    *,
    item: bool = True,
    may_have: Iterable[str] = (),
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
) -> Iterator[Maps]:
    """Open maps for writing; `Maps.commit` makes them appear, and without it nothing is left.

    Parameters
    ----------
    out : Path
        The first raster. The others are ``OUT_KEY.tif`` beside it, the item ``OUT.json``.
    meta : RasterMeta
        Metadata of the scene whose grid they share.
    layers : sequence of Layer
        The rasters.
    item : bool
        Whether an item goes with them.
    may_have : iterable of str
        Keys of rasters that an earlier run may have written beside ``out``.
    inputs : iterable of Path
        Files that they must not replace.
    overwrite : bool
        Whether they may replace what is there.

    Raises
    ------
    InputError
        If an output exists, is an input or is not named like a GeoTIFF.
    OutputError
        If the directory cannot be written, or another run writes the same files.
    """
    out = geotiff_path(out)
    named = {layer.key: out.with_name(f"{out.stem}_{layer.key}.tif") for layer in layers[1:]}
    page = out.with_name(f"{out.stem}.json") if item else None
    others = [
        *named.values(),
        *([page] if page else ()),
        *(out.with_name(f"{out.stem}_{k}.tif") for k in may_have),
    ]
    paths = OneRaster(out, tuple(dict.fromkeys(others)))
    check_targets(paths, inputs, overwrite=overwrite)
    room = sum(
        # What is alike over large parts compresses well.
        len(layer.bands) * np.dtype(layer.dtype).itemsize / (8 if layer.classes else 2)
        for layer in layers
    )
    check_space(out.parent, int(meta.height * meta.width * room))
    with terminated_as_exception(), locked(paths), ExitStack() as opened:
        rasters: dict[str, RasterPart] = {}
        for layer in layers:
            path = named.get(layer.key, out)
            raster = rasters[layer.key] = RasterPart(path, part_path(path), _profile(meta, layer))
            opened.callback(raster.discard)
            with gdal_errors(path):
                if layer.whole:
                    describe_scene(raster.dataset, meta)
                else:
                    describe_place(raster.dataset, meta)
                    raster.dataset.descriptions = tuple(layer.bands)
                for band, meaning in enumerate(layer.meanings, 1):
                    raster.dataset.update_tags(band, MEANING=meaning)
                for value, meaning in enumerate(layer.classes):
                    raster.dataset.update_tags(1, **{f"CLASS_{value}": meaning})
        yield Maps(paths, page, rasters)


def _profile(meta: RasterMeta, layer: Layer) -> dict[str, Any]:
    options = geotiff_options(meta, np.dtype(layer.dtype), len(layer.bands), {})
    if layer.whole:
        return {**scene_profile(meta), **options}
    return {
        "height": meta.height,
        "width": meta.width,
        "count": len(layer.bands),
        "dtype": layer.dtype,
        "nodata": layer.nodata,
        **georeference(meta),
        **options,
    }
