"""A STAC item as a scene: its bands from one or several files, its clouds from quality assets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from rasterio.enums import ColorInterp

from geot2t.clouds import Legend
from geot2t.errors import InputError
from geot2t.io import names
from geot2t.io.composed import Composed, Part, Parts
from geot2t.io.header import Header, read_header
from geot2t.io.metadata import BandMeta, RasterMeta, read_metadata
from geot2t.io.place import Grid
from geot2t.io.safe import Raster, open_raster
from geot2t.stac import Asset, Item
from geot2t.stac.bands import Band, all_of, bands_of, chosen, matching
from geot2t.stac.legend import legend_of

_AT_ONCE = 8
"""Headers read at a time; over a network, waiting is what takes long."""

_CLOUD_ROLES = frozenset({"cloud", "cloud-shadow", "cirrus"})
_EITHER_ROLE = frozenset({"data-mask", "saturation", "quality"})

Headers = dict[Path | str, Header]


def read_item(
    item: Item,
    *,
    like: Header | None = None,
    wanted: Sequence[str] = (),
    when: date | None = None,
    rank: int = 0,
) -> Header:
    """What an item says of itself, and its files where it says nothing.

    Parameters
    ----------
    item : Item
    like : Header, optional
        Scene whose bands are wanted, in its order. Without it the item is itself the scene.
    wanted : sequence of str
        Bands of the scene (see `geot2t.stac.bands.chosen`); not looked at with ``like``.
    when : date, optional
        Day of acquisition, if the user knows better.
    rank : int
        Place of the item in its collection.

    Raises
    ------
    RasterReadError
        If a file cannot be opened or exceeds a limit.
    InputError
        If an asset leads where it may not, or the wanted bands are not there.
    """
    listed = bands_of(item)
    files: Headers = {}
    if any(band.number == 0 for band in listed):
        files = _headers(item, (band.asset for band in listed))
        listed = [one for band in listed for one in _all_of(band, files[item.resolve(band.asset)])]
    if like is None:
        bands = chosen(listed, wanted, item)
    else:
        bands = matching(listed, like.names, like.wavelengths, item)
    missing = [band.asset for band in bands if item.resolve(band.asset) not in files]
    files |= _headers(item, missing)
    own = [files[item.resolve(band.asset)] for band in bands]
    raster = Composed(str(item), [_part(b, h, item) for b, h in zip(bands, own, strict=True)])
    first = next(h for h in own if h.location == raster.finest.raster.location)
    scaling = [_scaling(b, h) for b, h in zip(bands, own, strict=True)]
    return Header(
        location=str(item),
        height=raster.grid.height,
        width=raster.grid.width,
        count=len(bands),
        dtype=first.dtype,
        crs=first.crs,
        transform=first.transform,
        data=tuple(range(1, len(bands) + 1)),
        alpha=None,
        own_mask=raster.incomplete,
        nodata=tuple(part.nodata for part in raster.parts),
        names=tuple(b.name for b in bands) if like is None else like.names,
        wavelengths=np.array(
            [_wavelength(b, h) for b, h in zip(bands, own, strict=True)], "float32"
        ),
        scale=np.array([s for s, _, _ in scaling], "float64"),
        offset=np.array([o for _, o, _ in scaling], "float64"),
        scaled_by=next((by for _, _, by in scaling if by), None),
        date=when or item.day,
        dated_by="--date" if when else "STAC datetime",
        block=first.block,
        has_gcps=first.has_gcps,
        parts=Parts(item, raster, tuple(_quality(item)), rank),
    )


def _headers(item: Item, assets: Iterable[Asset]) -> Headers:
    locations = list(dict.fromkeys(item.resolve(asset) for asset in assets))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        # The day is the item's: files are not asked, so that none is sought for product metadata.
        read = partial(read_header, when=item.day)
        return dict(zip(locations, pool.map(read, locations), strict=True))


def _all_of(band: Band, header: Header) -> list[Band]:
    return all_of(band, header.names, header.wavelengths.tolist())


def _part(band: Band, header: Header, item: Item) -> Part:
    if band.number > len(header.data):
        raise InputError(
            f"{item} speaks of band {band.number} of asset {band.asset.key}, which has "
            f"{len(header.data)}"
        )
    nodata = header.nodata[band.number - 1] if band.nodata is None else band.nodata
    return Part(
        raster=Raster(header.location),
        number=header.data[band.number - 1],
        grid=Grid.of(header),
        nodata=nodata if nodata is not None and _holds(header.dtype, nodata) else None,
        dtype=header.dtype,
        masked=header.own_mask or header.alpha is not None,
        common=band.common,
        unit=band.unit,
    )


def _holds(dtype: str, value: float) -> bool:
    """Whether a type can hold ``value``."""
    if np.dtype(dtype).kind == "f":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max


def _scaling(band: Band, header: Header) -> tuple[float, float, str | None]:
    """Scale, offset, and where they come from: the item if it states either, else the file."""
    i = band.number - 1
    if band.scale is None:
        offset = header.offset[i] if band.offset is None else band.offset
        return float(header.scale[i]), float(offset), header.scaled_by
    return band.scale, band.offset or 0.0, "the STAC item"


def _wavelength(band: Band, header: Header) -> float:
    if np.isfinite(band.wavelength):
        return band.wavelength
    return float(header.wavelengths[band.number - 1])


def _quality(item: Item) -> Iterable[tuple[str | Legend, Path | str]]:
    """Quality rasters among the assets: one of each kind, and all that say what they mean."""
    known: dict[str | Legend, Asset] = {}
    for asset in item.assets:
        kind = _kind(asset)
        if kind is not None:
            known.setdefault(kind, asset)
    return ((kind, item.resolve(asset)) for kind, asset in known.items())


def _kind(asset: Asset) -> str | Legend | None:
    """How to read an asset that says where the ground was observed; None for any other."""
    file = urlsplit(asset.href).path.rsplit("/", 1)[-1]
    for name in (asset.key, file):
        kind = names.qa_kind(name)
        if kind not in (None, "mask"):  # water_mask.tif is one by name too
            return kind
    speaks = asset.roles & (_CLOUD_ROLES | _EITHER_ROLE)
    if not speaks:
        return None
    if "prob" in f"{asset.key} {asset.title} {file}".lower():
        return "MSK_CLDPRB"
    legend = legend_of(asset.bands[0]) if asset.bands else None
    if legend is not None:
        return legend
    if asset.roles & _CLOUD_ROLES:
        return "mask"
    return "data-mask" if "data-mask" in asset.roles else None


def scene_metadata(header: Header) -> RasterMeta:
    """Metadata for the outputs of a scene that is not one local file.

    Those of a scene that an item describes are one raster of all its bands. Place, overviews
    and tags of the file are those of the asset with the finest pixels, the rest those of each
    band's asset.

    Raises
    ------
    RasterReadError
        If a file cannot be opened.
    InputError
        If the bands mark no data by different values: a GeoTIFF has one for all.
    """
    if header.parts is None:
        with open_raster(header.location) as dataset:
            return read_metadata(dataset)
    composed = header.parts.raster
    if len(different := set(header.nodata)) > 1:
        shown = ", ".join(map(str, sorted(different, key=str)))
        raise InputError(
            f"the bands of {header.location} mark no data by different values ({shown}), and a "
            "GeoTIFF has one: choose bands with --bands"
        )
    metas: dict[Path | str, RasterMeta] = {}
    for part in composed.parts:
        if part.raster.location not in metas:
            with open_raster(part.raster.location) as dataset:
                metas[part.raster.location] = read_metadata(dataset)
    whole = metas[composed.finest.raster.location]
    bits = {meta.bits for meta in metas.values()}
    tags = {**whole.tags, "": {**whole.tags.get("", {}), "ACQUISITION_DATE": str(header.date)}}
    return replace(
        whole,
        bits=bits.pop() if len(bits) == 1 else None,
        nodata=header.nodata[0],
        bands=tuple(
            _band_meta(metas[part.raster.location].bands[part.number - 1], part, header, i)
            for i, part in enumerate(composed.parts)
        ),
        tags=tags,
        dataset_mask=any(part.masked for part in composed.parts),
        interleave="PIXEL",
        miniswhite=False,
        lossy=any(meta.lossy for meta in metas.values()),
        cog=all(meta.cog for meta in metas.values()),
        notes=tuple(dict.fromkeys(note for meta in metas.values() for note in meta.notes)),
    )


def _band_meta(band: BandMeta, part: Part, header: Header, index: int) -> BandMeta:
    imagery: dict[str, Any] = dict(band.tags.get("IMAGERY", {}))
    if np.isfinite(header.wavelengths[index]):
        imagery["CENTRAL_WAVELENGTH_UM"] = f"{header.wavelengths[index]:.4g}"
    # In a single-band file every band is grey.
    shown = getattr(ColorInterp, part.common, ColorInterp.undefined)
    return replace(
        band,
        description=header.names[index],
        unit=part.unit or band.unit,
        scale=float(header.scale[index]),
        offset=float(header.offset[index]),
        colorinterp=shown if len(header.names) > 1 else band.colorinterp,
        tags={**band.tags, **({"IMAGERY": imagery} if imagery else {})},
        colormap=None,
    )
