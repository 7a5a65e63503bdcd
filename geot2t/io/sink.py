"""The outputs of one scene: filled, quality and error rasters and the item that goes with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geot2t.draws import Spread
from geot2t.errors import InputError, OutputError
from geot2t.grid import Box
from geot2t.io.checksums import with_checksums
from geot2t.io.encode import encode
from geot2t.io.metadata import (
    RasterMeta,
    describe_place,
    describe_scene,
    georeference,
    read_metadata,
    scene_profile,
    without_day,
)
from geot2t.io.options import (
    check_options,
    cog_options,
    companion_options,
    draft_options,
    geotiff_options,
    refusing,
    space_needed,
)
from geot2t.io.publish import (
    OutputPaths,
    check_space,
    check_targets,
    default_output,
    locked,
    output_paths,
    part_path,
    publish,
    terminated_as_exception,
)
from geot2t.io.raster import RasterPart, gdal_errors, sidecar, try_cog
from geot2t.io.safe import gdal, open_raster, page_of

__all__ = ["Outputs", "default_output", "encode", "open_outputs", "output_paths"]

PROVENANCE = {
    0: "not filled",
    1: "observed",
    2: "predicted with evidence from other dates",
    3: "predicted from surroundings only",
}
"""What the values of the band ``provenance`` mean."""


Page = Callable[[Mapping[str, Path]], str]
"""Makes a report of rasters, given by their keys among the assets."""


class Outputs:
    """The rasters of one scene while they are written; made by `open_outputs`.

    One thread at a time may write, any thread. Nothing is to be seen under the final names
    before `commit`.
    """

    paths: OutputPaths
    """Final names."""

    meta: RasterMeta
    """Metadata of the scene, which the filled raster shares."""

    def __init__(
        self,
        meta: RasterMeta,
        paths: OutputPaths,
        driver: str,
        options: Mapping[str, str],
        *,
        overwrite: bool,
    ) -> None:
        self.meta, self.paths = meta, paths
        self._driver, self._options, self._overwrite = driver, options, overwrite
        self._rasters: dict[str, RasterPart] = {}
        try:
            self._create()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        meta, paths = self.meta, self.paths

        def layout(dtype: np.dtype[Any], count: int) -> dict[str, str]:
            if self.cog:
                return draft_options(meta, dtype, count)
            if "filled" not in self._rasters:
                return geotiff_options(meta, dtype, count, self._options)
            return companion_options(meta, dtype, self._options)

        count = len(meta.bands)
        likewise = {paths.filled, *paths.samples}
        for key, path in paths.rasters.items():
            if path in likewise:
                raster = RasterPart(
                    path,
                    part_path(path),
                    {**scene_profile(meta), **layout(meta.dtype, count)},
                    mask_band=meta.dataset_mask,
                )
                self._rasters[key] = raster
                with gdal_errors(path):
                    describe_scene(raster.dataset, meta)

        place = {"height": meta.height, "width": meta.width, **georeference(meta)}
        quality = RasterPart(
            paths.quality,
            part_path(paths.quality),
            {**place, "count": 2, "dtype": "uint8", **layout(np.dtype("uint8"), 2)},
        )
        self._rasters["quality"] = quality
        with gdal_errors(paths.quality):
            describe_place(quality.dataset, meta)
            quality.dataset.descriptions = ("provenance", "days")
            quality.dataset.update_tags(1, **{f"CLASS_{k}": v for k, v in PROVENANCE.items()})
            quality.dataset.update_tags(2, MEANING="days to the nearest date used, 255 = none")
        for key, path in paths.rasters.items():
            if key not in ("error", "spread"):
                continue
            difference = RasterPart(
                path,
                part_path(path),
                {
                    **place,
                    "count": count,
                    "dtype": "float32",
                    "nodata": np.nan,
                    **layout(np.dtype("float32"), count),
                },
            )
            self._rasters[key] = difference
            with gdal_errors(path):
                describe_place(difference.dataset, meta)
                for index, band in enumerate(meta.bands, 1):
                    if band.description:
                        difference.dataset.set_band_description(index, band.description)
                    if band.unit:
                        difference.dataset.set_band_unit(index, band.unit)
                if any(band.scale != 1 for band in meta.bands):
                    # A difference of two values has their scale but not their offset.
                    difference.dataset.scales = [band.scale for band in meta.bands]

    @property
    def cog(self) -> bool:
        """Whether the rasters become Cloud Optimized GeoTIFFs."""
        return self._driver == "COG"

    @property
    def block(self) -> tuple[int, int]:
        """Height and width of the blocks to be written."""
        return self._rasters["filled"].block

    def blocks(self) -> Iterator[Box]:
        """The blocks of the filled raster, row by row. Each must be written once."""
        return self._rasters["filled"].blocks()

    def write(
        self,
        box: Box,
        values: NDArray[Any],
        quality: NDArray[np.uint8],
        error: NDArray[np.float32] | None = None,
        samples: Iterable[NDArray[Any]] = (),
    ) -> None:
        """Write one or more whole blocks, in any order.

        An alpha band is made opaque where ``quality`` says that the pixel was predicted, and
        a mask band is set where it says that the pixel was observed or predicted.

        Parameters
        ----------
        box : Box
            Where; its edges lie on block edges or on those of the raster.
        values : ndarray of the scene's dtype, shape ``(band, y, x)``
            What the file stores (see `encode`), in every band of the scene.
        quality : ndarray of uint8, shape ``(2, y, x)``
            Provenance and days.
        error : ndarray of float32, shape ``(band, y, x)``, optional
            Half-widths in the units of the file, 0 where observed, NaN where not filled.
            Required unless the outputs were opened without an error raster.
        samples : iterable of ndarray
            Like ``values``, as many as the outputs were opened for. One at a time is held.

        Raises
        ------
        InputError
            If the box is not made of whole blocks, or a shape or type differs.
        OutputError
            If a predicted pixel equals nodata, or the disk does not take the block.
        """
        rasters = self._rasters
        given = {"filled": values, "quality": quality, "error": error}
        for key, raster in rasters.items():
            if key not in given:
                continue
            array = given[key]
            if array is None:
                raise InputError(f"{raster.path.name} takes half-widths for {box}, got none")
            raster.check(box, array)
        predicted = quality[0] >= 2  # (y, x)
        if predicted.any():
            values = self._opaque(values, predicted)
            self._check_nodata(box, values, predicted)
        rasters["filled"].write(box, values, quality[0] > 0)
        rasters["quality"].write(box, quality)
        if error is not None and "error" in rasters:
            rasters["error"].write(box, error)
        if self.paths.samples:
            self._write_samples(box, values, quality, error, samples)

    def _write_samples(
        self,
        box: Box,
        filled: NDArray[Any],
        quality: NDArray[np.uint8],
        error: NDArray[np.float32] | None,
        samples: Iterable[NDArray[Any]],
    ) -> None:
        predicted = quality[0] >= 2
        spread = Spread(filled.shape)
        keys = [key for key in self._rasters if key.startswith("sample_")]
        for key, drawn in zip(keys, samples, strict=True):
            values = self._opaque(drawn, predicted) if predicted.any() else drawn
            self._check_nodata(box, values, predicted)
            self._rasters[key].write(box, values, quality[0] > 0)
            spread.add(values)
        if "spread" in self._rasters:
            deviation = spread.deviation()
            if error is not None:
                deviation[np.isnan(error)] = np.nan
            else:
                deviation[:, quality[0] == 0] = np.nan
            self._rasters["spread"].write(box, deviation)

    def _opaque(self, values: NDArray[Any], predicted: NDArray[np.bool_]) -> NDArray[Any]:
        if self.meta.alpha:
            values = values.copy()
            for band in self.meta.alpha:
                values[band][predicted] = self.meta.opaque
        return values

    def _check_nodata(self, box: Box, values: NDArray[Any], predicted: NDArray[np.bool_]) -> None:
        nodata = self.meta.nodata
        bands = [i for i in range(len(self.meta.bands)) if i not in self.meta.alpha]
        if nodata is None or not bands:
            return
        found = values[bands][:, predicted]
        if (np.isnan(found) if np.isnan(nodata) else found == nodata).any():
            raise OutputError(f"a predicted pixel in {box} equals nodata ({nodata:g})")

    def commit(self, item: Mapping[str, Any], page: Page | None = None) -> None:
        """Finish the rasters, read them back, write the item, and give all their final names.

        Parameters
        ----------
        item : mapping
            The STAC Item. Size and checksum of each file are added to its assets.
        page : callable, optional
            Makes the report, if the outputs were opened for one, of the finished rasters: it is
            given where they are, by their keys among the assets.

        Raises
        ------
        OutputError
            If a block was not written, or a raster does not read back as it was written.
        """
        for raster in self._rasters.values():
            raster.close()
        for key, raster in self._rasters.items():
            resampling = self._resampling(key)
            if self.cog:
                options = cog_options(self.meta, raster.dtype, resampling, self._options)
                raster.to_cog(options)
            elif self.meta.overviews:
                raster.build_overviews(self.meta.overviews, resampling)
            raster.verify()
        parts: dict[Path, Path] = {}
        assets: dict[str, Path] = {}
        for key, raster in self._rasters.items():
            assets[key] = raster.path
            parts[raster.path] = raster.part
            if sidecar(raster.part).exists():
                assets[f"{key}_aux"] = sidecar(raster.path)
                parts[sidecar(raster.path)] = sidecar(raster.part)
        if self.paths.report is not None and page is not None:
            assets["report"] = self.paths.report
            part = parts[self.paths.report] = part_path(self.paths.report)
            written = {key: raster.part for key, raster in self._rasters.items()}
            with gdal_errors(self.paths.report):
                part.write_text(page(written), encoding="utf-8")
        part = part_path(self.paths.item)
        with gdal_errors(self.paths.item):
            whole = with_checksums(item, assets, parts)
            part.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        publish(self.paths, {**parts, self.paths.item: part}, overwrite=self._overwrite)

    def _resampling(self, key: str) -> str:
        if key == "quality" or self.meta.bands[0].colormap:
            return "nearest"
        return self.meta.overview_resampling or "average"

    def close(self) -> None:
        """Close all files, without a word if they cannot be; they are about to be deleted."""
        for raster in self._rasters.values():
            raster.discard()


def metadata_of(scene: Path) -> RasterMeta:
    """Metadata of a raster, of which nothing else is read."""
    with open_raster(scene) as checked:
        driver = checked.driver
        where = scene.absolute() if page_of(scene) is None else checked.name
    # Opened again, as the safe way hides the overviews.
    with gdal(scene), rasterio.open(where, driver=driver) as dataset:
        return read_metadata(dataset)


@contextmanager
def open_outputs(
    scene: Path,
    out: Path | None = None,
    *,
    overwrite: bool = False,
    driver: str | None = None,
    creation_options: Mapping[str, str] | None = None,
    error: bool = True,
    samples: int = 0,
    report: bool = False,
    inputs: Iterable[Path] = (),
    meta: RasterMeta | None = None,
    not_of: date | None = None,
) -> Iterator[Outputs]:
    """Open the outputs of a scene for writing, block by block.

    The files appear under their final names when `Outputs.commit` is called. If the ``with``
    block ends in any other way, nothing is left of them, and what was there before stays.

    Parameters
    ----------
    scene : Path
        The scene. Its grid, type and metadata are those of the filled raster.
    out : Path, optional
        The filled raster; by default ``SCENE_filled.tif`` beside the scene. The other files
        go beside it (see `output_paths`).
    overwrite : bool
        Replace the files of an earlier run. An input is never replaced.
    driver : str, optional
        ``GTiff`` or ``COG``; by default what the scene is.
    creation_options : mapping of str to str, optional
        GDAL creation options; those that would change pixels or metadata are refused.
    error : bool
        Whether to write an error raster.
    samples : int
        How many samples to write, and from two on their standard deviation.
    report : bool
        Whether there will be a page (see `Outputs.commit`).
    inputs : iterable of Path
        The other files that are read, which no output may replace.
    meta : RasterMeta, optional
        Metadata of the scene, if it is not one raster; ``scene`` is then not opened.
    not_of : date, optional
        Day of the scene, if the outputs show another: tags that tell it are left out.

    Raises
    ------
    InputError
        If an output exists, is an input or is a directory, or an option cannot be used.
    OutputError
        If the directory is missing or cannot be written, another run is writing the same
        outputs, or there is too little space.
    """
    scene = Path(scene)
    out = Path(out) if out is not None else default_output(scene)
    paths = output_paths(out, error=error, samples=samples, report=report)
    stored = scene if meta is None else None
    meta = meta or metadata_of(scene)
    if not_of is not None:
        meta = without_day(meta, not_of)
    driver = driver or ("COG" if meta.cog else "GTiff")
    options = check_options(driver, creation_options)
    check_targets(paths, (scene, *inputs), overwrite=overwrite)
    need = space_needed(meta, stored, error=error, driver=driver, samples=samples)
    check_space(paths.filled.parent, need)
    with terminated_as_exception(), locked(paths):
        with refusing(options):
            outputs = Outputs(meta, paths, driver, options, overwrite=overwrite)
            if driver == "COG":
                try_cog(meta.dtype, cog_options(meta, meta.dtype, "nearest", options))
        try:
            yield outputs
        finally:
            outputs.close()
