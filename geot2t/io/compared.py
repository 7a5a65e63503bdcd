"""The outputs of a comparison of two dates: five rasters, their item, and perhaps a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io.checksums import with_checksums
from geot2t.io.metadata import (
    RasterMeta,
    describe_place,
    describe_scene,
    georeference,
    scene_profile,
)
from geot2t.io.options import companion_options, geotiff_options
from geot2t.io.publish import (
    check_space,
    check_targets,
    locked,
    part_path,
    publish,
    terminated_as_exception,
    with_sidecars,
)
from geot2t.io.raster import RasterPart, gdal_errors, sidecar
from geot2t.io.sink import metadata_of

JOINT = "joint"
"""Name of the band of the significance that is that of all bands."""

CLASSES: Mapping[str, Mapping[int, str]] = {
    "mask": {
        0: "no change",
        1: "change",
        2: "not judged: cloud, shadow or a filled pixel on either date",
        255: "no data",
    },
    "quality": {
        0: "no data",
        1: "observed",
        2: "cloud or shadow by a mask, a quality raster or a detector",
        3: "cloud found by comparison",
        4: "shadow found by comparison",
    },
    "filled": {0: "neither", 1: "before", 2: "after", 3: "both"},
}
"""What the values of the mask and of the quality bands mean."""


@dataclass(frozen=True, slots=True)
class ChangePaths:
    """Names of all that is written of a comparison; see `geot2t.io.publish.Names`."""

    filled: Path
    """The difference, by which the others are named."""

    report: bool
    """Whether a page is written too."""

    def _beside(self, end: str) -> Path:
        return self.filled.with_name(f"{self.filled.stem}{end}")

    @property
    def rasters(self) -> dict[str, Path]:
        """The rasters by their key among the assets of the item."""
        return {
            "change": self.filled,
            "expected": self._beside("_expected.tif"),
            "significance": self._beside("_significance.tif"),
            "mask": self._beside("_mask.tif"),
            "quality": self._beside("_quality.tif"),
        }

    @property
    def item(self) -> Path:
        """The STAC Item."""
        return self._beside(".json")

    @property
    def page(self) -> Path:
        """The report."""
        return self._beside(".html")

    @property
    def main(self) -> Path:
        """The file that appears last."""
        return self.filled

    @property
    def parts(self) -> list[Path]:
        """The files that may be written."""
        return [*self.rasters.values(), self.item, self.page]

    @property
    def names(self) -> list[Path]:
        """All names that belong to the outputs, whether they are wanted or not."""
        return [*with_sidecars(self.rasters.values()), self.item, self.page]

    def is_part(self, name: str, owner: str) -> bool:
        """As of `geot2t.io.publish.OutputPaths`."""
        finals = (*self.rasters.values(), self.item, self.page)
        return name.startswith(tuple(f".{path.name}.part-{owner}" for path in finals))


def default_change(after: Path) -> Path:
    """``AFTER_change.tif`` beside the date after the event."""
    return after.with_name(f"{after.stem}_change.tif")


class ChangeOutputs:
    """The rasters of a comparison while they are written; made by `open_change`.

    Parameters
    ----------
    meta : RasterMeta
        Of the date after the event.
    paths : ChangePaths
    data : sequence of int
        Indices of the bands that hold measurements.
    overwrite : bool
        Whether files of an earlier run may be replaced.
    """

    def __init__(
        self, meta: RasterMeta, paths: ChangePaths, data: Sequence[int], *, overwrite: bool
    ) -> None:
        self.meta, self.paths, self._overwrite = meta, paths, overwrite
        self._data = tuple(data)
        self._rasters: dict[str, RasterPart] = {}
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        meta, paths = self.meta, self.paths.rasters
        bands = len(meta.bands)
        layout = geotiff_options(meta, meta.dtype, bands, {})
        place = {"height": meta.height, "width": meta.width, **georeference(meta)}
        names = [meta.bands[i].description or f"band {i + 1}" for i in self._data]
        kinds: dict[str, dict[str, Any]] = {
            "change": {"count": len(names), "dtype": "float32", "nodata": np.nan},
            "expected": {**scene_profile(meta), **layout},
            "significance": {"count": len(names) + 1, "dtype": "float32", "nodata": np.nan},
            "mask": {"count": 1, "dtype": "uint8", "nodata": 255},
            "quality": {"count": 3, "dtype": "uint8"},
        }
        for key, profile in kinds.items():
            if key != "expected":
                more = companion_options(meta, np.dtype(profile["dtype"]), layout)
                profile = {**place, **profile, **more}  # noqa: PLW2901
            self._rasters[key] = raster = RasterPart(
                paths[key], part_path(paths[key]), profile,
                mask_band=key == "expected" and meta.dataset_mask,
            )  # fmt: skip
            with gdal_errors(paths[key]):
                if key == "expected":
                    describe_scene(raster.dataset, meta)
                else:
                    describe_place(raster.dataset, meta)
                    self._describe(key, raster.dataset, names)

    def _describe(self, key: str, dataset: Any, names: Sequence[str]) -> None:
        if key == "change":
            dataset.descriptions = tuple(names)
            for number, index in enumerate(self._data, 1):
                if self.meta.bands[index].unit:
                    dataset.set_band_unit(number, self.meta.bands[index].unit)
            if any(self.meta.bands[i].scale != 1 for i in self._data):
                # A difference of two values has their scale but not their offset.
                dataset.scales = [self.meta.bands[i].scale for i in self._data]
        elif key == "significance":
            dataset.descriptions = (*names, JOINT)
        elif key == "mask":
            dataset.descriptions = ("change",)
            dataset.update_tags(1, **{f"CLASS_{k}": v for k, v in CLASSES["mask"].items()})
        else:
            dataset.descriptions = ("before", "after", "filled")
            for number, classes in ((1, "quality"), (2, "quality"), (3, "filled")):
                tags = {f"CLASS_{k}": v for k, v in CLASSES[classes].items()}
                dataset.update_tags(number, **tags)

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of the blocks to be written."""
        return self._rasters["change"].block

    def write(self, box: Box, values: Mapping[str, NDArray[Any]], shown: NDArray[np.bool_]) -> None:
        """Write one or more whole blocks, in any order.

        Parameters
        ----------
        box : Box
            Where.
        values : mapping of str to ndarray
            ``change``, ``expected``, ``significance``, ``mask`` and ``quality``, each of the type
            and number of bands of its raster.
        shown : ndarray of bool, shape ``(y, x)``
            Where the expected date holds something, for its mask and alpha bands.
        """
        values = dict(values)
        if self.meta.alpha:
            expected = values["expected"].copy()
            for band in self.meta.alpha:
                expected[band] = np.where(shown, self.meta.opaque, 0)
            values["expected"] = expected
        for key, raster in self._rasters.items():
            raster.write(box, values[key], shown)

    def commit(self, item: Mapping[str, Any], page: bytes | None) -> None:
        """Finish the rasters, read them back, and give everything its final name.

        Parameters
        ----------
        item : mapping
            The STAC Item; sizes and checksums are added.
        page : bytes, optional
            The report.

        Raises
        ------
        OutputError
            If a block was not written, or a raster does not read back as it was written.
        """
        for raster in self._rasters.values():
            raster.close()
        parts: dict[Path, Path] = {}
        assets: dict[str, Path] = {}
        for key, raster in self._rasters.items():
            if self.meta.overviews:
                raster.build_overviews(self.meta.overviews, "nearest")
            raster.verify()
            assets[key], parts[raster.path] = raster.path, raster.part
            if sidecar(raster.part).exists():
                assets[f"{key}_aux"] = sidecar(raster.path)
                parts[sidecar(raster.path)] = sidecar(raster.part)
        if page is not None:
            part = part_path(self.paths.page)
            with gdal_errors(self.paths.page):
                part.write_bytes(page)
            assets["report"], parts[self.paths.page] = self.paths.page, part
        part = part_path(self.paths.item)
        with gdal_errors(self.paths.item):
            whole = with_checksums(item, assets, parts)
            part.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        publish(self.paths, {**parts, self.paths.item: part}, overwrite=self._overwrite)

    def close(self) -> None:
        """Close all files, without a word if they cannot be; they are about to be deleted."""
        for raster in self._rasters.values():
            raster.discard()


@contextmanager
def open_change(
    after: Path,
    out: Path,
    *,
    data: Sequence[int],
    inputs: Iterable[Path],
    report: bool,
    overwrite: bool,
    meta: RasterMeta | None = None,
) -> Iterator[ChangeOutputs]:
    """Open the outputs of a comparison for writing, block by block.

    The files appear under their final names when `ChangeOutputs.commit` is called. If the
    ``with`` block ends in any other way, nothing is left of them.

    Parameters
    ----------
    after : Path
        The date after the event, whose grid and type the outputs have.
    out : Path
        The difference; the other files go beside it.
    data : sequence of int
        Indices of the bands that hold measurements.
    inputs : iterable of Path
        Files that are read, which no output may replace.
    report : bool
        Whether a page will be given to `ChangeOutputs.commit`.
    overwrite : bool
        Replace the files of an earlier run.
    meta : RasterMeta, optional
        Metadata of the date after, if it is not one raster.

    Raises
    ------
    InputError
        If an output exists, is an input, is a directory, or is not named like a GeoTIFF.
    OutputError
        If the directory cannot be written, another run is writing the same outputs, or there is
        too little space.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the output is a GeoTIFF: name it {out.stem}.tif instead of {out.name}")
    paths = ChangePaths(out.absolute(), report)
    meta = meta or metadata_of(after)
    check_targets(paths, inputs, overwrite=overwrite)
    plain = meta.height * meta.width * (len(meta.bands) * meta.dtype.itemsize + 4)
    check_space(paths.filled.parent, plain + 8 * meta.height * meta.width * len(data))
    with terminated_as_exception(), locked(paths):
        outputs = ChangeOutputs(meta, paths, data, overwrite=overwrite)
        try:
            yield outputs
        finally:
            outputs.close()
