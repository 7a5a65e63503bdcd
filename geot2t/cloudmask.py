"""The cloud mask that a scene would be filled with, as a raster: what `geot2t mask` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import pipeline
from geot2t.fill import walk
from geot2t.grid import Box
from geot2t.io.maps import Layer, open_maps
from geot2t.io.observed import NO_DATA as NOTHING
from geot2t.io.observed import Scene
from geot2t.io.sink import metadata_of
from geot2t.io.stack import open_stack
from geot2t.stac import Item
from geot2t.stream import Progress

OBSERVED, HIDDEN, NO_DATA = range(3)
"""Values of the raster. Whatever is not 0 was not observed."""


_LAYER = Layer(
    "mask", "Where the ground was not observed", ["not observed"],
    classes=["observed", "hidden", "no data"], dtype="uint8", nodata=None,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CloudMask:
    """What `cloud_mask` wrote and found."""

    path: Path
    """The raster."""

    hidden: float
    """Share of the pixels whose ground was hidden."""

    no_data: float
    """Share of the pixels without data in any band, and not marked as hidden."""

    partly: float
    """Share of the pixels that lack some bands only; they are 0."""

    sources: dict[str, dict[str, float]]
    """By the sources that say where the ground was observed, the shares of the pixels that they
    give as ``hidden`` and as ``no_data``. They may speak of the same pixels."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


@dataclass(frozen=True, slots=True)
class _Found:
    box: Box
    values: NDArray[np.uint8]  # (y, x)
    partly: int  # pixels
    told: dict[str, tuple[int, int]]  # pixels hidden and without data, by source


def cloud_mask(
    scene: str | Path | Item,
    out: str | Path | None = None,
    *,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    keep_nodata: bool = False,
    bands: Sequence[str] = (),
    trust_items: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CloudMask:
    """Write where a scene did not observe the ground, as ``--cloud-mask`` takes it.

    With the result as its cloud mask and no other source, `geot2t.inpaint` fills the same
    pixels. Pixels that lack some bands only are therefore 0: all else in them was observed, and
    what they lack the scene itself says.

    Parameters
    ----------
    scene : str, Path or Item
        As for `geot2t.inpaint`.
    out : str or Path, optional
        The raster, uint8: 0 observed, 1 hidden by cloud or shadow, 2 no data. By default
        ``SCENE_cloud_mask.tif`` beside the scene, which is neither taken for a scene nor used
        for this one without being asked for.
    clouds, cloud_mask, bands, trust_items
        As for `geot2t.inpaint`.
    keep_nodata : bool
        Leave pixels without data 0, for fills that leave them as they are.
    overwrite : bool
        Replace the result of an earlier run.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Raises
    ------
    Geot2tError
        If an input or the output cannot be used.
    """
    with open_stack(
        scene, clouds=clouds, cloud_mask=cloud_mask, bands=bands, trust_items=trust_items
    ) as stack:
        seen, extent = stack.scene, stack.extent
        default = stack.default_output
        name = default.name.removesuffix("_filled.tif")
        path = default.with_name(f"{name}_cloud_mask.tif") if out is None else Path(out)
        counts, partly = np.zeros(3, "int64"), 0
        told: dict[str, NDArray[np.int64]] = {}
        total = extent.height * extent.width
        with open_maps(
            path,
            stack.metadata or metadata_of(stack.paths[stack.target]),
            [_LAYER],
            item=False,
            inputs=[file for files in stack.files for file in files],
            overwrite=overwrite,
        ) as maps:

            def write(found: _Found) -> None:
                nonlocal partly
                maps.write(found.box, {_LAYER.key: found.values[None]})
                # Comparing bytes is many times as quick as np.bincount.
                counts[:] += [np.count_nonzero(found.values == value) for value in range(3)]
                partly += found.partly
                for source, pixels in found.told.items():
                    told[source] = told.get(source, np.zeros(2, "int64")) + pixels
                if progress is not None:
                    progress(int(counts.sum()), total)

            pipeline.overlap(
                walk(extent, *maps.block),
                lambda box: _read(seen, box, keep_nodata=keep_nodata),
                lambda found: found,
                write,
            )
            maps.commit(overwrite=overwrite)
        shares = counts / total
        return CloudMask(
            path=path,
            hidden=float(shares[HIDDEN]),
            no_data=float(shares[NO_DATA]),
            partly=partly / total,
            sources={
                source: {"hidden": pixels[0] / total, "no_data": pixels[1] / total}
                for source, pixels in told.items()
            },
            warnings=tuple(_warnings(stack.notes, counts, partly / total)),
        )


def _read(scene: Scene, box: Box, *, keep_nodata: bool) -> _Found:
    lacking = OBSERVED if keep_nodata else NO_DATA
    if (absent := scene.absent(box)) is not None:  # of a sparse file
        pixels = box.height * box.width
        values = np.full((box.height, box.width), lacking if absent else OBSERVED, "uint8")
        return _Found(box, values, 0, {NOTHING: (0, absent * pixels)} if absent else {})
    header = scene.header
    stored = scene.raster.read(box, list(range(1, header.count + 1)))
    cloud = np.zeros((box.height, box.width), bool)
    empty = np.zeros((len(header.data), box.height, box.width), bool)
    told = {}
    for source, hidden, nothing in scene.told(box, stored):
        cloud |= hidden
        empty |= nothing
        without: Any = nothing.any(0) if nothing.ndim == 3 else nothing
        told[source] = (int(hidden.sum()), int(without.sum()))
    values = np.where(empty.all(0), lacking, OBSERVED).astype("uint8")
    values[cloud] = HIDDEN
    some = empty.any(0) & ~empty.all(0) & ~cloud
    return _Found(box, values, int(some.sum()), told)


def _warnings(notes: Sequence[str], counts: NDArray[np.int64], partly: float) -> list[str]:
    said = list(dict.fromkeys(notes))
    if partly:
        said.append(
            f"{100 * partly:.3g} % of the pixels lack some bands only; they are 0, as the scene "
            "itself says what they lack"
        )
    elif not counts[HIDDEN] and not counts[NO_DATA]:
        said.append("no gap was found: the raster is 0 everywhere")
    return said
