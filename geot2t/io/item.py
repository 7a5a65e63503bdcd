"""The STAC Item that goes with the outputs of a scene: where, when, from what, and how.

STAC 1.1.0 with the extensions processing, projection, classification and file, and raster and eo
where there is something to say in their terms: naming them for nothing is invalid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import GCPTransformer, RPCTransformer
from rasterio.warp import transform_geom

from geot2t.errors import RasterReadError
from geot2t.io.checksums import file_fields
from geot2t.io.metadata import BandMeta, RasterMeta
from geot2t.io.safe import gdal
from geot2t.io.sink import PROVENANCE, Outputs
from geot2t.io.stack import Stack

_SCHEMAS = "https://stac-extensions.github.io/{}/schema.json"
_EXTENSIONS = {
    "processing": "processing/v1.2.0",
    "proj": "projection/v2.0.0",
    "raster": "raster/v2.0.0",
    "eo": "eo/v2.0.0",
    "classification": "classification/v2.0.0",
    "file": "file/v2.1.0",
}
"""By the prefix of their fields."""

_TIFF = "image/tiff"
_GEOTIFF = "image/tiff; application=geotiff"
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_ROLES = {
    "filled": ["data"],
    "quality": ["metadata", "quality"],
    "error": ["metadata", "uncertainty"],
    "spread": ["metadata", "uncertainty"],
}
_TITLES = {
    "filled": "The scene without gaps",
    "quality": "Where each pixel comes from, and days to the nearest date used",
    "error": "Half-width of the 90 % interval, in the units of the scene",
    "spread": "Standard deviation of the samples, in the units of the scene",
}
_REPORT = {
    "type": "text/html",
    "title": "The scene before and after, to look at",
    "roles": ["overview"],
}
_EARLIEST = "1900-01-01T00:00:00Z"
Coordinates = Sequence[float] | NDArray[np.float64]

_SIDE = 20
"""Stretches into which each side of the outline is cut, so that it may curve."""


def scene_item(
    stack: Stack, outputs: Outputs, said: Mapping[str, Any], *, when: date | None
) -> dict[str, Any]:
    """Build the STAC Item of a filled scene.

    Parameters
    ----------
    stack : Stack
        What was read. Each of its files becomes a link ``derived_from`` with its checksum.
    outputs : Outputs
        What was written; size and checksum are added when it is committed.
    said : mapping
        ``version`` of geot2t, ``started`` (ISO 8601), and whatever else there is to say of
        the run, under names that get the prefix ``geot2t:``.
    when : date or None
        Day that the outputs show.

    Returns
    -------
    dict
        See `build_item`.
    """
    wavelengths = np.full(len(outputs.meta.bands), np.nan)
    wavelengths[list(stack.data_bands)] = stack.wavelengths
    more = {f"geot2t:{k}": v for k, v in said.items() if k not in ("version", "started")}
    item = build_item(
        outputs.meta,
        outputs.paths.rasters,
        when=when,
        processed=said["started"],
        version=said["version"],
        sources=(path for files in stack.files for path in files),
        items=stack.items,
        wavelengths=wavelengths,
        cog=outputs.cog,
        properties=more,
    )
    if isinstance(stack.header.location, Path):
        link = _link(stack.header.location, outputs.paths.filled.parent)
        item["properties"]["geot2t:scene"] = link["href"]
    if outputs.paths.report is not None:
        item["assets"]["report"] = {"href": f"./{outputs.paths.report.name}", **_REPORT}
    return item


def build_item(
    meta: RasterMeta,
    rasters: Mapping[str, Path],
    *,
    when: date | None,
    processed: str,
    version: str,
    sources: Iterable[Path] = (),
    items: Iterable[str] = (),
    wavelengths: Sequence[float] | NDArray[np.floating[Any]] = (),
    cog: bool = False,
    properties: Mapping[str, Any] | None = None,
    assets: Mapping[str, Mapping[str, Any]] | None = None,
    lineage: str = "Unobserved pixels were predicted; observed ones are unchanged.",
) -> dict[str, Any]:
    """Build the STAC Item of the outputs from plain values.

    Parameters
    ----------
    meta : RasterMeta
        Metadata of the scene.
    rasters : mapping of str to Path
        The assets, the main one first: ``filled``, ``quality`` and perhaps ``error``, ``spread``
        and samples.
    when : date or None
        Day of acquisition. ``datetime`` is then its midnight, with the whole day as its
        range. Of a scene without a date, all that is known is that it was taken before
        ``processed``: ``datetime`` is null, and the range, which STAC then asks for, begins
        in 1900.
    processed : str
        When the run began, ISO 8601.
    version : str
        Of geot2t.
    sources : iterable of Path
        Files that were read; links ``derived_from`` with their checksums.
    items : iterable of str
        Addresses of the STAC items that were read; links ``derived_from`` too.
    wavelengths : sequence of float
        Centre of each band in micrometres, NaN where unknown.
    cog : bool
        Whether the rasters are Cloud Optimized GeoTIFFs.
    properties : mapping, optional
        Further properties.
    assets : mapping of str to mapping, optional
        For rasters of another kind, the title, roles and bands of each.
    lineage : str
        What was done, in a sentence.

    Returns
    -------
    dict
        With null as ``geometry`` and no ``bbox`` where the scene has no place on Earth.
    """
    placed = meta.transform is not None or bool(meta.gcps) or "RPC" in meta.tags
    kind = _COG if cog else _GEOTIFF if placed else _TIFF
    main = next(iter(rasters.values()))
    folder = main.parent
    geometry = footprint(meta)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": main.stem,
        "geometry": geometry,
        "properties": {
            **_time(when, processed),
            "processing:datetime": processed,
            "processing:software": {"geot2t": version},
            "processing:lineage": lineage,
            **_projection(meta),
            **(properties or {}),
        },
        "links": [
            *(_link(path, folder) for path in dict.fromkeys(sources)),
            *(
                {"rel": "derived_from", "href": href, "type": "application/geo+json"}
                for href in dict.fromkeys(items)
            ),
        ],
        "assets": {
            key: {
                "href": f"./{path.name}",
                "type": kind,
                **(assets[key] if assets else _described(key, meta, wavelengths)),
            }
            for key, path in rasters.items()
        },
    }
    if geometry is not None:
        item["bbox"] = _bbox(geometry)
    item["stac_extensions"] = extensions_of(item)
    return item


def extensions_of(item: Mapping[str, Any]) -> list[str]:
    """Schemas of the extensions whose fields ``item`` uses, and of checksums, which follow."""
    used = _prefixes(item) | {"file"}
    return [_SCHEMAS.format(name) for prefix, name in _EXTENSIONS.items() if prefix in used]


def _described(
    key: str, meta: RasterMeta, wavelengths: Sequence[float] | NDArray[np.floating[Any]]
) -> dict[str, Any]:
    """What is said of a raster of a filled scene."""
    number = key.removeprefix("sample_")
    return {
        "title": _TITLES.get(key, f"Another plausible fill, number {number}"),
        "roles": _ROLES.get(key, ["data"]),
        "bands": _bands(key, meta, wavelengths),
    }


def _prefixes(value: Any) -> set[str]:
    """What stands before the colon of the keys in ``value``."""
    if isinstance(value, Mapping):
        own = {str(key).split(":")[0] for key in value if ":" in str(key)}
        return own.union(*map(_prefixes, value.values()))
    return set().union(*map(_prefixes, value)) if isinstance(value, list) else set()


def _time(when: date | None, processed: str) -> dict[str, str | None]:
    if when is None:
        return {"datetime": None, "start_datetime": _EARLIEST, "end_datetime": processed}
    day = when.isoformat()
    return {
        "datetime": f"{day}T00:00:00Z",
        "start_datetime": f"{day}T00:00:00Z",
        "end_datetime": f"{day}T23:59:59Z",
    }


def _projection(meta: RasterMeta) -> dict[str, Any]:
    crs = meta.crs
    found: dict[str, Any] = {"proj:shape": [meta.height, meta.width], "proj:code": None}
    if meta.transform is not None:
        found["proj:transform"] = list(meta.transform)[:6]
    if crs is not None:
        code = crs.to_epsg()
        # to_epsg() also returns codes of systems that are only alike.
        if code is not None and CRS.from_epsg(code) == crs:
            found["proj:code"] = f"EPSG:{code}"
        else:
            found["proj:wkt2"] = crs.to_wkt(version="WKT2_2019")
    return found


def _link(path: Path, folder: Path) -> dict[str, Any]:
    path = path.absolute()
    href = f"./{path.name}" if path.parent == folder.absolute() else path.as_posix()
    link = {"rel": "derived_from", "href": href}
    return {**link, **file_fields(path)} if path.is_file() else link


def _bands(
    key: str, meta: RasterMeta, wavelengths: Sequence[float] | NDArray[np.floating[Any]]
) -> list[dict[str, Any]]:
    if key == "quality":
        classes = [
            {"value": value, "name": meaning.replace(" ", "-"), "description": meaning}
            for value, meaning in PROVENANCE.items()
        ]
        return [
            {"name": "provenance", "data_type": "uint8", "classification:classes": classes},
            {"name": "days", "data_type": "uint8", "unit": "d"},
        ]
    described = []
    for index, band in enumerate(meta.bands):
        entry = _band(band, index)
        if key in ("error", "spread"):
            entry |= {"data_type": "float32", "nodata": "nan"}
            if band.scale != 1:
                entry["raster:scale"] = band.scale
        else:
            entry["data_type"] = meta.dtype.name
            if meta.nodata is not None:
                entry["nodata"] = meta.nodata if np.isfinite(meta.nodata) else str(meta.nodata)
            if band.scale != 1 or band.offset != 0:
                entry |= {"raster:scale": band.scale, "raster:offset": band.offset}
            if index < len(wavelengths) and np.isfinite(wavelengths[index]):
                entry["eo:center_wavelength"] = round(float(wavelengths[index]), 4)
        described.append(entry)
    return described


def _band(band: BandMeta, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": band.description or f"band {index + 1}"}
    if band.unit:
        entry["unit"] = band.unit
    return entry


def footprint(meta: RasterMeta) -> dict[str, Any] | None:
    """Outline of a raster in longitude and latitude.

    Returns
    -------
    dict or None
        A GeoJSON Polygon, counter-clockwise, or a MultiPolygon where it crosses the
        antimeridian. None where the raster has no place on Earth.
    """
    steps = np.linspace(0, 1, _SIDE + 1)[:-1]
    ones, zeros = np.ones(_SIDE), np.zeros(_SIDE)
    rows = meta.height * np.concatenate([zeros, steps, ones, 1 - steps])
    cols = meta.width * np.concatenate([steps, ones, 1 - steps, zeros])
    try:
        with gdal("the footprint"):
            placed = _place(meta, rows, cols)
            if placed is None:
                return None
            crs, xs, ys = placed
            ring = [*zip(xs, ys, strict=True), (xs[0], ys[0])]
            outline = {"type": "Polygon", "coordinates": [ring]}
            found = transform_geom(crs, "EPSG:4326", outline)
    except RasterReadError:  # a system of no place on Earth, or a part beyond its limits
        return None
    polygons = found["coordinates"] if found["type"] == "MultiPolygon" else [found["coordinates"]]
    rings = [_ring(polygon[0]) for polygon in polygons]
    if not np.isfinite(np.concatenate(rings)).all():
        return None
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _place(
    meta: RasterMeta, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[Any, Coordinates, Coordinates] | None:
    """Coordinates of pixel corners, and their system; None if they have none."""
    if meta.transform is not None:
        if meta.crs is None:
            return None
        t = meta.transform
        return meta.crs, t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    if meta.gcps and meta.gcp_crs is not None:
        with GCPTransformer(list(meta.gcps)) as transformer:
            xs, ys = transformer.xy(rows, cols, offset="ul")
        return meta.gcp_crs, xs, ys
    if "RPC" in meta.tags:
        rpc = RPC.from_gdal(dict(meta.tags["RPC"]))
        with RPCTransformer(rpc, RPC_HEIGHT=rpc.height_off) as transformer:
            xs, ys = transformer.xy(rows, cols, offset="ul")
        return "EPSG:4326", xs, ys
    return None


def _ring(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """``points`` counter-clockwise, to about a centimetre."""
    x, y = np.asarray(points, "float64")[:, :2].T
    area = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])
    order = slice(None) if area >= 0 else slice(None, None, -1)
    return [
        [round(float(a), 7), round(float(b), 7)] for a, b in zip(x[order], y[order], strict=True)
    ]


def _bbox(geometry: Mapping[str, Any]) -> list[float]:
    """West, south, east, north; west exceeds east across the antimeridian (RFC 7946)."""
    if geometry["type"] == "Polygon":
        x, y = np.asarray(geometry["coordinates"][0]).T
        return [float(v) for v in (x.min(), y.min(), x.max(), y.max())]
    parts = [np.asarray(polygon[0]) for polygon in geometry["coordinates"]]
    east = [part[:, 0].min() for part in parts if part[:, 0].mean() > 0]
    west = [part[:, 0].max() for part in parts if part[:, 0].mean() <= 0]
    every = np.concatenate(parts)
    span = (min(east), max(west)) if east and west else (every[:, 0].min(), every[:, 0].max())
    return [float(v) for v in (span[0], every[:, 1].min(), span[1], every[:, 1].max())]
