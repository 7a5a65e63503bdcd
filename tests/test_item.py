"""The item says where, when, from what and how, in words that STAC readers know."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.warp import transform
from stac_schemas import validate

from geot2t.io.checksums import plain, sha256_file, with_checksums
from geot2t.io.item import build_item, footprint
from geot2t.io.metadata import BandMeta, RasterMeta

BLUE = BandMeta("blue", "reflectance", 1e-4, -0.1, ColorInterp.blue, {}, None)
NIR = BandMeta("", "", 1.0, 0.0, ColorInterp.nir, {}, None)
META = RasterMeta(
    driver="GTiff",
    height=200,
    width=300,
    dtype=np.dtype("uint16"),
    bits=None,
    nodata=0.0,
    crs=CRS.from_epsg(32632),
    transform=Affine(10, 0, 600000, 0, -10, 5100000),
    gcps=(),
    gcp_crs=None,
    bands=(BLUE, NIR),
    tags={},
    dataset_mask=False,
    overviews=(),
    overview_resampling=None,
    interleave="PIXEL",
    miniswhite=False,
    lossy=False,
    cog=False,
    notes=(),
)
NOWHERE = replace(META, crs=None, transform=None)
GCPS = tuple(
    GroundControlPoint(row, col, 11 + col / 3000, 47 - row / 2000)
    for row, col in ((0, 0), (0, 300), (200, 0), (200, 300))
)


def item_of(meta: RasterMeta, **changes: Any) -> dict[str, Any]:
    names = ("filled", "quality", "error")
    rasters = {name: Path("/data") / f"scene_{name}.tif" for name in names}
    given = {"when": date(2022, 6, 1), "processed": "2024-02-03T04:05:06+00:00", "version": "1.2"}
    return build_item(meta, rasters, **{**given, **changes})


EVERYWHERE = pytest.mark.parametrize(
    "meta",
    [
        META,
        NOWHERE,
        replace(META, crs=None),
        replace(NOWHERE, gcps=GCPS, gcp_crs=CRS.from_epsg(4326)),
        replace(META, crs=CRS.from_string("+proj=laea +lat_0=17 +lon_0=5 +ellps=bessel")),
        replace(META, bands=(NIR,), nodata=None),
        replace(META, dtype=np.dtype("float32"), nodata=float("nan")),
    ],
    ids=["placed", "nowhere", "no CRS", "control points", "own CRS", "plain band", "nan"],
)


@EVERYWHERE
@pytest.mark.parametrize("wavelengths", [(), (0.49, 0.84)])
@pytest.mark.parametrize("when", [date(2022, 6, 1), None])
def test_every_item_is_valid(tmp_path: Path, meta: RasterMeta, when: date | None, wavelengths):
    item = item_of(meta, when=when, wavelengths=wavelengths, items=["https://x.org/an-item"])
    assets = {key: tmp_path / Path(a["href"]).name for key, a in item["assets"].items()}
    assets["filled_aux"] = tmp_path / "scene_filled.tif.aux.xml"
    for path in assets.values():
        path.write_bytes(b"written")
    whole = with_checksums(item, assets, {path: path for path in assets.values()})
    validate(json.loads(json.dumps(whole, allow_nan=False)))
    assert all(a["roles"] and a["type"] and a["title"] for a in whole["assets"].values())


def test_a_wrong_item_is_not_valid() -> None:
    item = plain(item_of(META, wavelengths=[0.49, np.nan]))
    with pytest.raises(pystac.errors.STACValidationError, match="file/v2"):
        validate(item)  # it has no checksum yet
    item["stac_extensions"].remove("https://stac-extensions.github.io/file/v2.1.0/schema.json")
    validate(item)
    for place, key, value in (
        (item["properties"], "proj:shape", "200 x 300"),
        (item["properties"], "processing:tool", "geot2t"),
        (item["assets"]["filled"]["bands"][0], "eo:centre_wavelength", 0.49),
        (item["properties"], "datetime", 2022),
    ):
        before = place.get(key)
        place[key] = value
        with pytest.raises(pystac.errors.STACValidationError):
            validate(item)
        place[key] = before
        if before is None:
            del place[key]


def test_only_extensions_that_are_used_are_named() -> None:
    def named(meta: RasterMeta, **changes: Any) -> set[str]:
        return {uri.split("/")[3] for uri in item_of(meta, **changes)["stac_extensions"]}

    always = {"processing", "projection", "classification", "file"}
    assert named(replace(META, bands=(NIR,))) == always
    assert named(META) == always | {"raster"}
    assert named(replace(META, bands=(NIR,)), wavelengths=[0.84]) == always | {"eo"}


@pytest.mark.parametrize(
    ("meta", "cog", "media"),
    [
        (META, False, "image/tiff; application=geotiff"),
        (META, True, "image/tiff; application=geotiff; profile=cloud-optimized"),
        (NOWHERE, False, "image/tiff"),
    ],
)
def test_media_types_are_those_of_the_files(meta: RasterMeta, cog: bool, media: str) -> None:
    assets = item_of(meta, cog=cog)["assets"]
    assert {asset["type"] for asset in assets.values()} == {media}


@EVERYWHERE
@pytest.mark.parametrize("when", [date(2022, 6, 1), None])
def test_item_goes_through_pystac_unchanged(meta: RasterMeta, when: date | None) -> None:
    item = json.loads(json.dumps(plain(item_of(meta, when=when)), allow_nan=False))
    again = pystac.Item.from_dict(item, migrate=False).to_dict(
        include_self_link=False, transform_hrefs=False
    )
    for key, value in item.items():
        if key not in ("stac_version", "properties"):
            assert again[key] == value, key
    assert ("bbox" in item) == (item["geometry"] is not None)


def test_outline_is_where_the_corners_are_and_runs_counter_clockwise() -> None:
    found = footprint(META)
    assert found is not None
    ring = np.array(found["coordinates"][0])
    (west, east), (north, south) = transform(
        META.crs, "EPSG:4326", [600000, 603000], [5100000, 5098000]
    )
    for corner in ((west, north), (east, south)):
        assert np.abs(ring - corner).sum(1).min() < 1e-6
    x, y = ring.T
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0
    assert (ring[0] == ring[-1]).all()
    box = item_of(META)["bbox"]
    assert box == [x.min(), y.min(), x.max(), y.max()]


def test_south_up_raster_has_the_same_outline() -> None:
    flipped = replace(META, transform=Affine(10, 0, 600000, 0, 10, 5098000))
    one, two = footprint(META), footprint(flipped)
    assert one is not None
    assert two is not None
    points = [{tuple(p) for p in found["coordinates"][0]} for found in (one, two)]
    assert points[0] == points[1]


def test_control_points_place_a_raster() -> None:
    found = footprint(replace(NOWHERE, gcps=GCPS, gcp_crs=CRS.from_epsg(4326)))
    assert found is not None
    ring = np.array(found["coordinates"][0])
    np.testing.assert_allclose(ring.min(0), [11, 46.9], atol=1e-6)
    np.testing.assert_allclose(ring.max(0), [11.1, 47], atol=1e-6)


def test_raster_across_the_antimeridian_has_two_parts_and_a_bbox_that_wraps() -> None:
    meta = replace(META, crs=CRS.from_epsg(32701), transform=Affine(500, 0, 120000, 0, -500, 8e6))
    item = item_of(meta)
    assert item["geometry"]["type"] == "MultiPolygon"
    west, south, east, north = item["bbox"]
    assert 170 < west < 180
    assert -180 < east < -170
    assert south < north


def test_plane_that_is_not_on_earth_has_no_outline() -> None:
    local = CRS.from_wkt('LOCAL_CS["site plan",UNIT["metre",1]]')
    assert footprint(replace(META, crs=local)) is None


def test_scene_without_a_date_gets_the_range_in_which_it_was_taken() -> None:
    told = item_of(META, when=None)["properties"]
    assert told["datetime"] is None
    assert told["start_datetime"] == "1900-01-01T00:00:00Z"
    assert told["end_datetime"] == "2024-02-03T04:05:06+00:00"
    assert item_of(META)["properties"]["datetime"] == "2022-06-01T00:00:00Z"


def test_code_is_given_only_if_it_is_the_very_system() -> None:
    assert item_of(META)["properties"]["proj:code"] == "EPSG:32632"
    own = CRS.from_string("+proj=laea +lat_0=17 +lon_0=5 +ellps=bessel +units=m")
    told = item_of(replace(META, crs=own))["properties"]
    assert told["proj:code"] is None
    assert CRS.from_wkt(told["proj:wkt2"]) == own
    assert told["proj:shape"] == [200, 300]
    assert told["proj:transform"] == [10, 0, 600000, 0, -10, 5100000]


def test_bands_tell_how_to_read_the_numbers() -> None:
    item = item_of(replace(META, nodata=float("nan")), wavelengths=[0.49, np.nan])
    blue, nir = item["assets"]["filled"]["bands"]
    assert blue == {
        "name": "blue",
        "unit": "reflectance",
        "data_type": "uint16",
        "nodata": "nan",
        "raster:scale": 1e-4,
        "raster:offset": -0.1,
        "eo:center_wavelength": 0.49,
    }
    assert nir == {"name": "band 2", "data_type": "uint16", "nodata": "nan"}
    half_width = item["assets"]["error"]["bands"][0]
    assert half_width["raster:scale"] == 1e-4
    assert "raster:offset" not in half_width, "a difference has no offset"
    provenance = item["assets"]["quality"]["bands"][0]
    assert [c["value"] for c in provenance["classification:classes"]] == [0, 1, 2, 3]


def test_every_source_is_linked_once_with_its_checksum(tmp_path: Path) -> None:
    source = tmp_path / "other.tif"
    source.write_bytes(b"pixels")
    items = ["https://x.org/i"] * 2
    *links, item = item_of(META, sources=[source, source, tmp_path / "gone.tif"], items=items)[
        "links"
    ]
    assert item == {"rel": "derived_from", "href": items[0], "type": "application/geo+json"}
    assert [link["href"] for link in links] == [str(source), str(tmp_path / "gone.tif")]
    assert links[0]["file:checksum"] == sha256_file(source)
    assert links[0]["file:size"] == 6


def test_numbers_of_any_kind_become_plain_json() -> None:
    odd = {
        "array": np.array([1.5, np.nan], "float32"),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "path": Path("a/b"),
        "day": date(2022, 6, 1),
        "inf": float("inf"),
        "nested": ({"x": np.float64(2)},),
        7: None,
    }
    assert json.loads(json.dumps(plain(odd), allow_nan=False)) == {
        "array": [1.5, None],
        "int": 3,
        "bool": True,
        "path": "a/b",
        "day": "2022-06-01",
        "inf": None,
        "nested": [{"x": 2.0}],
        "7": None,
    }
