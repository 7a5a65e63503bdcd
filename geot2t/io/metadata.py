"""What a raster says about itself besides its pixels: read from a scene, given to an output.

Everything is copied as it stands. A CRS goes through as the object that GDAL made of it,
never through an EPSG code, and a raster without a transform gets none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.transform import Affine

from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io.header import DATE_TAGS, parse_date
from geot2t.io.names import date_in_name

Tags = Mapping[str, Mapping[str, str]]
"""Tags by namespace; the default namespace is the empty string."""

_NOT_COPIED = {
    "IMAGE_STRUCTURE",  # how this file is encoded, not what it shows
    "DERIVED_SUBDATASETS",
    "SUBDATASETS",
    "OVERVIEWS",  # may name a file or URL to read overviews from, and those are stale
    "rio_overview",
    "TIFF",
}
_STALE = ("STATISTICS_", "TIFFTAG_MINSAMPLEVALUE", "TIFFTAG_MAXSAMPLEVALUE")
_LOSSY = {"JPEG", "YCbCr JPEG", "JPEG2000", "WEBP", "JXL"}


@dataclass(frozen=True, slots=True)
class BandMeta:
    """One band's own metadata."""

    description: str
    """Name of the band; empty if it has none."""

    unit: str
    """Unit of the physical values; empty if it has none."""

    scale: float
    """Physical value = stored value * scale + offset."""

    offset: float
    """See ``scale``."""

    colorinterp: ColorInterp
    """What a viewer shows the band as."""

    tags: Tags
    """Without statistics, which filling makes untrue."""

    colormap: Mapping[int, tuple[int, ...]] | None
    """Palette of the band."""


@dataclass(frozen=True, slots=True)
class RasterMeta:
    """All that an output must have in common with its scene."""

    driver: str
    """GDAL driver that reads the scene."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    dtype: np.dtype[Any]
    """Of every band."""

    bits: int | None
    """Bits used of an integer ``dtype``, where the file stores fewer than it holds."""

    nodata: float | None
    """Value that marks pixels without data; rasterio gives None where ``dtype`` cannot hold it."""

    crs: CRS | None
    """Coordinate system of ``transform``."""

    transform: Affine | None
    """Pixel corners to coordinates; None for a raster that has no such transform."""

    gcps: Sequence[GroundControlPoint]
    """Ground control points, usually instead of a transform."""

    gcp_crs: CRS | None
    """Coordinate system of the ground control points."""

    bands: Sequence[BandMeta]
    """In the order of the file."""

    tags: Tags
    """Of the whole raster. Rational polynomial coefficients are namespace ``RPC``."""

    dataset_mask: bool
    """Whether the scene has a mask band, inside or in a file beside it."""

    overviews: Sequence[int]
    """Factors of the reduced copies in the scene."""

    overview_resampling: str | None
    """How those were made, in lower case; None if the scene does not say."""

    interleave: str
    """``PIXEL`` or ``BAND``."""

    miniswhite: bool
    """Whether 0 is shown white."""

    lossy: bool
    """Whether the scene was compressed with loss."""

    cog: bool
    """Whether the scene is a Cloud Optimized GeoTIFF."""

    notes: Sequence[str]
    """What of the scene cannot be kept, each in a sentence for the user."""

    @property
    def extent(self) -> Box:
        """The whole raster."""
        return Box(0, 0, self.height, self.width)

    @property
    def alpha(self) -> tuple[int, ...]:
        """Indices of the alpha bands, from 0."""
        return tuple(
            i for i, band in enumerate(self.bands) if band.colorinterp is ColorInterp.alpha
        )

    @property
    def opaque(self) -> float:
        """Value of an alpha band where nothing shines through."""
        if self.dtype.kind == "f":
            return 1.0
        # A whole number: the greatest ones of 64 bits are no float.
        return 2**self.bits - 1 if self.bits else int(np.iinfo(self.dtype).max)


def read_metadata(dataset: Any) -> RasterMeta:
    """Collect the metadata of an open rasterio dataset.

    The dataset must not have been opened with ``OVERVIEW_LEVEL``: GDAL then hides the
    overviews and, for a raster without a transform, returns uninitialised numbers for it.

    Raises
    ------
    InputError
        If the bands differ in type or are complex.
    """
    dtypes = set(dataset.dtypes)
    if len(dtypes) > 1:
        raise InputError(f"{dataset.name}: all bands must have one type, got {sorted(dtypes)}")
    name = dtypes.pop()
    if name.startswith("complex"):
        raise InputError(f"{dataset.name}: pixels must be real numbers, got {name}")
    dtype = np.dtype(name)
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
    notes = []
    if dataset.driver not in ("GTiff", "COG"):
        notes.append(f"{dataset.driver} cannot be written in place; the output is a GeoTIFF")
    shown = [band.name for band in dataset.colorinterp]
    if shown[0] == "undefined" or "gray" in shown[1:]:
        notes.append(
            f"a GeoTIFF cannot say that its bands are {', '.join(shown)}: the first becomes gray, "
            "the others undefined"
        )
    gcps, gcp_crs = dataset.gcps
    transform = dataset.transform
    flags = dataset.mask_flag_enums[0]
    compression = structure.get("COMPRESSION", "")
    return RasterMeta(
        driver=dataset.driver,
        height=dataset.height,
        width=dataset.width,
        dtype=dtype,
        bits=int(bits) if bits and dtype.kind in "ui" else None,
        nodata=dataset.nodata,
        crs=dataset.crs,
        transform=None if transform == Affine.identity() else transform,
        gcps=tuple(gcps),
        gcp_crs=gcp_crs,
        bands=tuple(_band(dataset, i) for i in dataset.indexes),
        tags=_tags(dataset),
        # With other flags beside it, the mask is only another view of alpha or nodata.
        dataset_mask=flags == [MaskFlags.per_dataset],
        overviews=tuple(dataset.overviews(1)),
        overview_resampling=_overview_resampling(dataset, structure),
        interleave=structure.get("INTERLEAVE", "PIXEL"),
        miniswhite=structure.get("MINISWHITE") == "YES",
        lossy=compression in _LOSSY and structure.get("COMPRESSION_REVERSIBILITY") != "LOSSLESS",
        cog=structure.get("LAYOUT") == "COG",
        notes=tuple(notes),
    )


def without_day(meta: RasterMeta, day: date | None) -> RasterMeta:
    """The same without the tags that say when the scene was taken, by name or by what they hold.

    Parameters
    ----------
    meta : RasterMeta
    day : date or None
        The day that is not to be named.
    """

    def rest(tags: Tags) -> Tags:
        return {
            space: {k: v for k, v in some.items() if k.upper() not in DATE_TAGS and not told(v)}
            for space, some in tags.items()
        }

    def told(text: str) -> bool:
        return day is not None and day in {parse_date(text), date_in_name(text)}

    bands = tuple(replace(band, tags=rest(band.tags)) for band in meta.bands)
    return replace(meta, tags=rest(meta.tags), bands=bands)


def drawn_metadata(size: int, names: Sequence[str], day: date | None) -> RasterMeta:
    """Metadata of a raster that is like no scene: reflectance as Sentinel-2 products store it.

    Bands named B02, B03 and B04 are shown as blue, green and red. There is no place on Earth.
    """
    shown = {"B02": ColorInterp.blue, "B03": ColorInterp.green, "B04": ColorInterp.red}
    bands = [
        BandMeta(name, "", 0.0001, 0.0, shown.get(name, ColorInterp.undefined), {}, None)
        for name in names
    ]
    return RasterMeta(
        driver="GTiff", height=size, width=size, dtype=np.dtype("uint16"), bits=None, nodata=0,
        crs=None, transform=None, gcps=(), gcp_crs=None, bands=bands,
        tags={} if day is None else {"": {"ACQUISITION_DATE": day.isoformat()}},
        dataset_mask=False, overviews=(), overview_resampling=None, interleave="PIXEL",
        miniswhite=False, lossy=False, cog=False, notes=(),
    )  # fmt: skip


def _band(dataset: Any, index: int) -> BandMeta:
    try:
        colormap = dataset.colormap(index)
    except ValueError:  # rasterio's way to say that there is none
        colormap = None
    return BandMeta(
        description=dataset.descriptions[index - 1] or "",
        unit=dataset.units[index - 1] or "",
        scale=dataset.scales[index - 1],
        offset=dataset.offsets[index - 1],
        colorinterp=dataset.colorinterp[index - 1],
        tags=_tags(dataset, index),
        colormap=colormap,
    )


def _tags(dataset: Any, band: int = 0) -> Tags:
    found: dict[str, dict[str, str]] = {}
    for namespace in ["", *dataset.tag_namespaces(band)]:
        if namespace in _NOT_COPIED:
            continue
        tags = dataset.tags(band, ns=namespace or None)
        kept = {k: v for k, v in tags.items() if not k.startswith(_STALE)}
        if kept:
            found[namespace] = kept
    return found


def _overview_resampling(dataset: Any, structure: Mapping[str, str]) -> str | None:
    said = structure.get("OVERVIEW_RESAMPLING") or dataset.tags(ns="rio_overview").get("resampling")
    return said.lower() if said else None


def georeference(meta: RasterMeta) -> dict[str, Any]:
    """Arguments for ``rasterio.open(..., "w")`` that put a raster where the scene is."""
    if meta.gcps and meta.transform is None:
        return {"gcps": list(meta.gcps), "crs": meta.gcp_crs}
    found = {"crs": meta.crs, "transform": meta.transform}
    return {key: value for key, value in found.items() if value is not None}


def scene_profile(meta: RasterMeta) -> dict[str, Any]:
    """Arguments for ``rasterio.open(..., "w")`` that make a raster of the scene's kind.

    Layout and compression are not among them (see `geot2t.io.options`).
    """
    profile = {
        "height": meta.height,
        "width": meta.width,
        "count": len(meta.bands),
        "dtype": meta.dtype.name,
        "nodata": meta.nodata,
        "photometric": _photometric(meta),
        # Otherwise GDAL makes a fourth band of an RGB raster an alpha band.
        "alpha": "NO",
        **georeference(meta),
    }
    if meta.bits:
        profile["NBITS"] = meta.bits
    return profile


def _photometric(meta: RasterMeta) -> str:
    if meta.miniswhite:  # GDAL shows one of a single bit as a palette
        return "MINISWHITE"
    shown = [band.colorinterp for band in meta.bands]
    if shown[0] is ColorInterp.palette and meta.bands[0].colormap:
        return "PALETTE"
    if shown[:3] == [ColorInterp.red, ColorInterp.green, ColorInterp.blue]:
        return "RGB"
    return "MINISBLACK"


def describe_scene(dataset: Any, meta: RasterMeta) -> None:
    """Give a dataset opened for writing what the scene says of itself and of its bands.

    To be called before the first pixel is written: colour interpretation and palette are
    fixed by then.
    """
    shown = [band.colorinterp for band in meta.bands]
    if list(dataset.colorinterp) != shown:  # setting it would make 0 black again
        dataset.colorinterp = shown
    describe_place(dataset, meta)
    for namespace, tags in meta.tags.items():
        if namespace != "RPC":
            _put_tags(dataset, tags, namespace)
    for index, band in enumerate(meta.bands, 1):
        if band.colormap and not meta.miniswhite:
            dataset.write_colormap(index, dict(band.colormap))
        if band.description:
            dataset.set_band_description(index, band.description)
        if band.unit:
            dataset.set_band_unit(index, band.unit)
        for namespace, tags in band.tags.items():
            _put_tags(dataset, tags, namespace, index)
    # Set only where they say something, as GDAL stores whatever is set.
    if any(band.scale != 1 or band.offset != 0 for band in meta.bands):
        dataset.scales = [band.scale for band in meta.bands]
        dataset.offsets = [band.offset for band in meta.bands]


def describe_place(dataset: Any, meta: RasterMeta) -> None:
    """Give a dataset opened for writing the scene's RPCs and pixel convention."""
    if "RPC" in meta.tags:
        dataset.update_tags(ns="RPC", **meta.tags["RPC"])
    point = meta.tags.get("", {}).get("AREA_OR_POINT")
    if point:
        dataset.update_tags(AREA_OR_POINT=point)


def _put_tags(dataset: Any, tags: Mapping[str, str], namespace: str, band: int = 0) -> None:
    if namespace.startswith("xml:"):
        # Such a namespace holds one document, which rasterio can only write as KEY=VALUE.
        document = next(iter(tags.values()))
        head, equals, tail = document.partition("=")
        if not equals:
            return
        tags = {head: tail}
    dataset.update_tags(band, ns=namespace or None, **tags)
