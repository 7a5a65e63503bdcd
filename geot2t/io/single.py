"""A raster that is written alone, on the grid of a scene; it appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from geot2t.io.metadata import RasterMeta, describe_place, georeference
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


@contextmanager
def open_single(
    out: Path,
    meta: RasterMeta,
    *,
    dtype: str,
    bands: Sequence[str],
    tags: Mapping[str, str],
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
) -> Iterator[RasterPart]:
    """Open a raster for writing, block by block; its name is given to it when all is written.

    Parameters
    ----------
    out : Path
        Its name.
    meta : RasterMeta
        Metadata of the scene whose grid it shares.
    dtype : str
        Type of its values.
    bands : sequence of str
        What each of its bands is called.
    tags : mapping of str to str
        Of its first band.
    inputs : iterable of Path
        Files that it must not replace.
    overwrite : bool
        Whether it may replace what is there.

    Raises
    ------
    InputError
        If it exists, is an input or is not named like a GeoTIFF.
    OutputError
        If the directory cannot be written, another run writes the same file, a block was left
        out, or the disk does not take it.
    """
    paths = OneRaster(geotiff_path(out))
    path, type_ = paths.main, np.dtype(dtype)
    check_targets(paths, inputs, overwrite=overwrite)
    # An eighth: what is alike over large parts compresses well.
    check_space(path.parent, meta.height * meta.width * len(bands) * type_.itemsize // 8)
    profile = {
        "height": meta.height,
        "width": meta.width,
        "count": len(bands),
        "dtype": dtype,
        **georeference(meta),
        **geotiff_options(meta, type_, len(bands), {}),
    }
    with terminated_as_exception(), locked(paths):
        raster = RasterPart(path, part_path(path), profile)
        try:
            with gdal_errors(path):
                describe_place(raster.dataset, meta)
                raster.dataset.descriptions = tuple(bands)
                raster.dataset.update_tags(1, **tags)
            yield raster
            raster.close()
            raster.verify()
            parts = {path: raster.part}
            if sidecar(raster.part).exists():
                parts[sidecar(path)] = sidecar(raster.part)
            publish(paths, parts, overwrite=overwrite)
        finally:
            raster.discard()
