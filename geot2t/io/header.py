"""What a raster says of itself: grid, bands, units, date. Headers only, no pixel is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError
from rasterio.transform import Affine

from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io import names
from geot2t.io.safe import open_raster
from geot2t.sensors import (
    COMMON_NAMES,
    Scaling,
    product_scaling,
    sensor_in_tags,
    sensor_of,
    wavelengths,
)

if TYPE_CHECKING:
    from geot2t.io.composed import Parts

# Those that name the acquisition come first; TIFFTAG_DATETIME is at times when a file was made.
DATE_TAGS = (
    "ACQUISITION_DATE", "ACQUISITIONDATETIME", "ACQUISITION_TIME", "DATE_ACQUIRED",
    "SENSING_TIME", "DATATAKE_1_DATATAKE_SENSING_START", "PRODUCT_START_TIME",
    "RANGEBEGINNINGDATE", "START_DATETIME", "DATETIME", "DATE", "TIME_START",
    "TIFFTAG_DATETIME",
)  # fmt: skip

_WAVELENGTH_TAGS = ("CENTRAL_WAVELENGTH_UM", "WAVELENGTH", "CENTER_WAVELENGTH")

# Number of the band in Sentinel-2 metadata, which counts 8A between 8 and 9.
_SENTINEL_2_IDS = {
    name: i for i, name in enumerate([*"12345678", "8A", "9", "10", "11", "12"])
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a raster says of itself."""

    location: str | Path
    """File, or address."""

    height: int
    width: int
    count: int
    """Bands in the file, an alpha band included."""

    dtype: str
    """Type of its pixels."""

    crs: Any
    """rasterio CRS, or None."""

    transform: Any
    """Affine from pixel to map coordinates; the identity where there is none."""

    data: tuple[int, ...]
    """Numbers of the bands that hold measurements, from 1."""

    alpha: int | None
    """Number of the alpha band, or None."""

    own_mask: bool
    """Whether the file has a mask band."""

    nodata: tuple[float | None, ...]
    """Nodata value of each data band."""

    names: tuple[str, ...]
    """Names of the data bands, empty where there is none."""

    wavelengths: NDArray[np.float32]
    """Micrometres, NaN where unknown, shape ``(band,)``."""

    scale: NDArray[np.float64]
    """Physical value is ``value * scale + offset``, shape ``(band,)``."""

    offset: NDArray[np.float64]

    scaled_by: str | None
    """Where scale and offset come from; None where they are unknown (1 and 0)."""

    date: date | None
    """Day of acquisition."""

    dated_by: str | None
    """The tag that gave the date, ``file name``, or None."""

    block: tuple[int, int]
    """Rows and columns of a block."""

    has_gcps: bool
    """Whether the file is placed by ground control points instead of a transform."""

    parts: Parts | None = None
    """The files that it lies in, if a STAC item describes it; ``location`` is then its name."""

    @property
    def extent(self) -> Box:
        """All of its pixels."""
        return Box(0, 0, self.height, self.width)

    @property
    def pixel_metres(self) -> float | None:
        """Length of a pixel on the ground, in metres; None where the raster does not say."""
        return _pixel_metres(self.crs, self.transform, self.width, self.height)


def _pixel_metres(crs: Any, t: Any, width: int, height: int) -> float | None:
    if crs is None:
        return None
    if crs.is_geographic:
        latitude = t.d * width / 2 + t.e * height / 2 + t.f
        east = 111_320 * float(np.cos(np.radians(latitude)))
        sides = np.hypot(t.a * east, t.d * 111_320), np.hypot(t.b * east, t.e * 111_320)
    elif not crs.is_projected:  # a local or a geocentric one
        return None
    else:
        _, factor = crs.linear_units_factor
        sides = np.hypot(t.a, t.d) * factor, np.hypot(t.b, t.e) * factor
    metres = float(np.sqrt(sides[0] * sides[1]))
    return metres if metres > 0 else None


def pixel_metres_of(crs: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Length of a pixel on the ground, in metres, by the coordinates of columns and rows.

    Parameters
    ----------
    crs : str, int or dict
        As ``rasterio.crs.CRS.from_user_input`` takes it.
    x, y : ndarray
        Of pixel centres, two or more each.

    Returns
    -------
    float or None
        None where the CRS is not known or has no length.
    """
    try:
        known = CRS.from_user_input(crs)
    except CRSError:
        return None
    right, down = (float(c[-1] - c[0]) / (c.size - 1) for c in (x, y))
    t = Affine(right, 0, float(x[0]) - right / 2, 0, down, float(y[0]) - down / 2)
    return _pixel_metres(known, t, x.size, y.size)


def read_header(location: str | Path, *, vrt: bool = False, when: date | None = None) -> Header:
    """Read what a raster of measurements says of itself.

    Parameters
    ----------
    location : Path or str
    vrt : bool
        As for `open_raster`.
    when : date or None
        Day of acquisition, if the user knows better than the file.

    Raises
    ------
    RasterReadError
        As for `open_raster`.
    InputError
        If the raster holds colours of a palette, or nothing but an alpha band.
    """
    with open_raster(location, vrt=vrt) as ds:
        if ColorInterp.palette in ds.colorinterp:
            raise InputError(
                f"{location} holds numbers of palette colours, which cannot be interpolated; "
                "expand it to RGB (gdal_translate -expand rgb)"
            )
        alpha = next((i for i, c in enumerate(ds.colorinterp, 1) if c == ColorInterp.alpha), None)
        data = tuple(i for i in ds.indexes if i != alpha)
        if not data:
            raise InputError(f"{location} has an alpha band only, no measurements")
        tags = _all_tags(ds)
        band_names = tuple((ds.descriptions[i - 1] or "").strip() for i in data)
        header = Header(
            location=location,
            height=ds.height,
            width=ds.width,
            count=ds.count,
            dtype=ds.dtypes[0],
            crs=ds.crs,
            transform=ds.transform,
            data=data,
            alpha=alpha,
            own_mask=any(
                MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in ds.mask_flag_enums
            ),
            nodata=tuple(ds.nodatavals[i - 1] for i in data),
            names=band_names,
            wavelengths=_wavelengths(
                ds, data, band_names, _hint(location, tags) or _by_size(ds, band_names)
            ),
            scale=np.array([ds.scales[i - 1] for i in data], "float64"),
            offset=np.array([ds.offsets[i - 1] for i in data], "float64"),
            scaled_by=None,
            date=when,
            dated_by="--date" if when else None,
            block=ds.block_shapes[0],
            has_gcps=ds.crs is None and all(ds.gcps),
        )
    if when is None:
        found, by = find_date(tags, Path(str(location)).name)
        header = replace(header, date=found, dated_by=by)
    return _with_scaling(header, tags)


def _all_tags(ds: Any) -> dict[str, str]:
    """Tags of the file and of its first band, names in upper case."""
    merged: dict[str, str] = {}
    for tags in (ds.tags(1), ds.tags(ns="IMAGERY"), ds.tags()):
        merged.update({key.upper(): value for key, value in tags.items()})
    return merged


def _hint(location: str | Path, tags: Mapping[str, str]) -> str | None:
    """The sensor, from the file's name or from tags that name it."""
    name = Path(str(location)).name
    return sensor_of(name) or sensor_in_tags({**tags, "": name})


def _by_size(ds: Any, names: Sequence[str]) -> str | None:
    """Landsat 8, if all its numbered bands are there at 30 m, at which Sentinel-2 has none."""
    metres = _pixel_metres(ds.crs, ds.transform, ds.width, ds.height)
    numbers = {name.upper().lstrip("B").lstrip("0") for name in names}
    whole = numbers in ({*"234567"}, {*"1234567"})
    return "landsat-8" if whole and metres is not None and 29 < metres < 31 else None


def _wavelengths(
    ds: Any, data: tuple[int, ...], band_names: tuple[str, ...], sensor: str | None
) -> NDArray[np.float32]:
    known = list(band_names)
    if len(data) == 1 and not known[0] and ds.name:
        known = [re.sub(r"_\d\dm$", "", names.band_token(ds.name) or "", flags=re.IGNORECASE)]
    found = wavelengths(known, sensor)
    for k, i in enumerate(data):
        tags = {key.upper(): v for ns in ("IMAGERY", None) for key, v in ds.tags(i, ns=ns).items()}
        stated = next((tags[t] for t in _WAVELENGTH_TAGS if t in tags), None)
        if stated and (number := re.search(r"\d+(\.\d+)?", stated)):
            value = float(number[0])
            found[k] = value / 1000 if value > 100 else value  # nanometres
        elif np.isnan(found[k]):
            found[k] = COMMON_NAMES.get(ds.colorinterp[i - 1].name, np.nan)
    return found


def find_date(tags: Mapping[str, str], name: str) -> tuple[date | None, str | None]:
    """The day of acquisition from tags (upper-case names), else from the file name.

    Returns
    -------
    date or None, str or None
        The date, and the tag that gave it or ``"file name"``.
    """
    for tag in DATE_TAGS:
        if tag in tags and (found := parse_date(tags[tag])) is not None:
            return found, tag
    found = names.date_in_name(name)
    return found, "file name" if found else None


def parse_date(text: str) -> date | None:
    """The day in a tag: ISO 8601, TIFF's ``YYYY:MM:DD``, ``YYYYMMDD``, or a time in epoch ms."""
    text = text.strip()
    if match := re.match(r"(\d{4})([-:/])(\d\d?)\2(\d\d?)(?!\d)", text):
        year, month, day = int(match[1]), int(match[3]), int(match[4])
    elif match := re.match(r"((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)", text):
        year, month, day = (int(part) for part in match.groups())
    elif re.fullmatch(r"\d{12,13}(\.0*)?", text):
        return datetime.fromtimestamp(float(text) / 1000, UTC).date()
    else:
        return None
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return found if 1970 <= year < 2200 else None


def _with_scaling(header: Header, tags: Mapping[str, str]) -> Header:
    """Complete scale and offset from the product's metadata, if the bands state none."""
    if (header.scale != 1).any() or (header.offset != 0).any():
        return replace(header, scaled_by="the file's band scale and offset")
    if np.dtype(header.dtype).kind == "f":
        return header
    found = _sentinel_2_scaling(header, tags)
    if found is None:
        name = Path(str(header.location)).name
        products = [product_scaling(name, band, header.dtype) for band in header.names]
        found = [p for p in products if p is not None]
    if len(found) != len(header.data):
        return header
    return replace(
        header,
        scale=np.array([f.scale for f in found]),
        offset=np.array([f.offset for f in found]),
        scaled_by=found[0].source,
    )


def _sentinel_2_scaling(header: Header, tags: Mapping[str, str]) -> list[Scaling] | None:
    """Scaling by the numbers in tags or in the product's MTD file, one for each band."""
    quantity = next(
        (tags[k] for k in ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE") if k in tags), None
    )
    source = "the file's Sentinel-2 tags"
    offsets: dict[int, float] = {}
    if quantity is not None:
        shared = _number(tags.get("BOA_ADD_OFFSET", tags.get("RADIO_ADD_OFFSET", "")))
        offsets = dict.fromkeys(range(13), shared or 0.0)
        for key, value in tags.items():
            if match := re.fullmatch(r"(?:BOA|RADIO)_ADD_OFFSET_(?:B)?(\d{1,2}A?)", key):
                offsets[_SENTINEL_2_IDS.get(match[1].lstrip("0"), -1)] = _number(value) or 0.0
    elif not isinstance(header.location, str) and (mtd := _product_metadata(header)):
        text, source = mtd[0], f"{mtd[1]}"
        match = re.search(r"<(?:BOA_)?QUANTIFICATION_VALUE[^>]*>\s*([\d.]+)", text)
        quantity = match[1] if match else None
        found = re.findall(r'<(?:BOA|RADIO)_ADD_OFFSET band_id="(\d+)"[^>]*>\s*(-?[\d.]+)', text)
        offsets = {int(band): float(value) for band, value in found}
    divisor = _number(quantity or "")
    if not divisor:
        return None
    numbers = [_sentinel_2_id(header, k) for k in range(len(header.data))]
    if offsets and len(set(offsets.values())) > 1 and None in numbers:
        return None  # the offsets differ, and which band is which is not known
    shared = next(iter(offsets.values()), 0.0)
    return [
        Scaling(1 / divisor, (shared if n is None else offsets.get(n, shared)) / divisor, source)
        for n in numbers
    ]


def _sentinel_2_id(header: Header, band: int) -> int | None:
    name = header.names[band] or names.band_token(str(header.location)) or ""
    match = re.match(r"B0?(\d{1,2}A?)(?![A-Z0-9])", name.upper().split("_")[0])
    return _SENTINEL_2_IDS.get(match[1]) if match else None


def _number(text: str) -> float | None:
    match = re.match(r"\s*-?\d+(\.\d+)?", text)
    return float(match[0]) if match else None


def _product_metadata(header: Header) -> tuple[str, Path] | None:
    """Text and path of the MTD file of the Sentinel-2 product that the raster belongs to.

    It lies beside the raster, or above it in the product's folder. One of another date is
    another product's.
    """
    path = Path(header.location)
    folders = [path.parent]
    if any(p.name.endswith(".SAFE") for p in path.absolute().parents):
        folders += list(path.absolute().parents)[1:5]
    for folder in folders:
        for mtd in (folder / "MTD_MSIL2A.xml", folder / "MTD_MSIL1C.xml"):
            try:
                if not mtd.is_file() or mtd.stat().st_size > 2**24:
                    continue
                text = mtd.read_text("utf-8", errors="replace")
            except OSError:
                continue
            start = re.search(r"<PRODUCT_START_TIME>\s*([^<]+)", text)
            if start and header.date in {parse_date(start[1]), None}:
                return text, mtd
    return None
