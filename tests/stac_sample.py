"""The packaged sample as a STAC item collection: one COG for each band, as archives have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rasterio
from rasterio.warp import transform_bounds
from rasterio.windows import Window, transform

BANDS = {"B02": ("blue", 0.490), "B03": ("green", 0.560), "B04": ("red", 0.665),
         "B08": ("nir", 0.842)}  # fmt: skip
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
SCENE = "2022-06-10"


def dates(sample: Path) -> list[str]:
    return sorted(p.stem for p in sample.glob("????-??-??.tif"))


def cut(source: Path, to: Path, window: Window, band: int | None = None, **changes: Any) -> Path:
    """Write a window of a raster, or of one of its bands, as a COG that says little of itself."""
    with rasterio.open(source) as src:
        bands = list(src.indexes) if band is None else [band]
        profile = {
            "driver": "COG",
            "height": window.height,
            "width": window.width,
            "count": len(bands),
            "dtype": src.dtypes[0],
            "crs": src.crs,
            "transform": transform(window, src.transform),
            "nodata": src.nodata,
        } | changes
        values = src.read(bands, window=window)
        if band is not None:
            profile |= {"nodata": None}
        to.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(to, "w", **profile) as dst:
            dst.write(values)
            if band is None:
                dst.descriptions = src.descriptions
                dst.scales, dst.offsets = src.scales, src.offsets
                dst.update_tags(**src.tags())
                for i in src.indexes:
                    dst.update_tags(i, ns="IMAGERY", **src.tags(i, ns="IMAGERY"))
    return to


def plain_series(sample: Path, folder: Path, window: Window) -> Path:
    """The sample cut to ``window``, as the GeoTIFFs that it is."""
    for date in dates(sample):
        cut(sample / f"{date}.tif", folder / f"{date}.tif", window)
        cut(sample / f"{date}_SCL.tif", folder / f"{date}_SCL.tif", window)
    cut(sample / f"{SCENE}_mask.tif", folder / f"{SCENE}_mask.tif", window)
    return folder / f"{SCENE}.tif"


def bands_in_1_1(name: str) -> dict[str, Any]:
    """What STAC 1.1 says of a band."""
    common, wavelength = BANDS[name]
    described = {
        "name": name,
        "eo:common_name": common,
        "eo:center_wavelength": wavelength,
        "raster:scale": 0.0001,
        "raster:offset": 0.0,
        "nodata": 0,
        "data_type": "uint16",
    }
    return {"bands": [described]}


def bands_in_1_0(name: str) -> dict[str, Any]:
    """What STAC 1.0 says of a band."""
    common, wavelength = BANDS[name]
    colour = {"name": name, "common_name": common, "center_wavelength": wavelength}
    values = {"scale": 0.0001, "offset": 0.0, "nodata": 0, "data_type": "uint16"}
    return {"eo:bands": [colour], "raster:bands": [values]}


def item(
    sample: Path, folder: Path, date: str, window: Window, *, version: str = "1.1.0"
) -> dict[str, Any]:
    """One date of the sample as an Item in ``folder``; its files go into a folder of the date."""
    described = bands_in_1_1 if version == "1.1.0" else bands_in_1_0
    assets: dict[str, Any] = {}
    for number, (name, (common, _)) in enumerate(BANDS.items(), 1):
        cut(sample / f"{date}.tif", folder / date / f"{name}.tif", window, number)
        assets[common] = {"href": f"./{date}/{name}.tif", "type": COG, "roles": ["data"],
                          **described(name)}  # fmt: skip
    scl = cut(sample / f"{date}_SCL.tif", folder / date / "SCL.tif", window)
    assets["scl"] = {"href": f"./{date}/SCL.tif", "type": COG, "roles": ["data"]}
    if date == SCENE:
        cut(sample / f"{date}_mask.tif", folder / date / "shade.tif", window)
        assets["shade"] = {"href": f"./{date}/shade.tif", "type": COG, "roles": ["cloud-shadow"]}
    assets["thumbnail"] = {"href": "./no-such-file.png", "type": "image/png",
                           "roles": ["thumbnail"]}  # fmt: skip
    with rasterio.open(scl) as src:
        box = transform_bounds(src.crs, "EPSG:4326", *src.bounds)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [],
        "id": f"S2_32TPS_{date}",
        "collection": "sentinel-2-l2a",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(box),
        "properties": {"datetime": f"{date}T10:10:31.024000Z", "platform": "sentinel-2a"},
        "links": [],
        "assets": assets,
    }


def write_items(
    sample: Path, folder: Path, window: Window, *, version: str = "1.1.0"
) -> tuple[Path, Path]:
    """The whole sample as an ItemCollection, and its scene as an Item of its own.

    Returns
    -------
    Path, Path
        The scene's ``item.json`` and the collection ``items.json``.
    """
    features = [item(sample, folder, date, window, version=version) for date in dates(sample)]
    own = next(f for f in features if f["id"].endswith(SCENE))
    scene, series = folder / "item.json", folder / "items.json"
    scene.write_text(json.dumps(own))
    series.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return scene, series
