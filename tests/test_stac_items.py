"""What the JSON of STAC items says: dates, bands, masks, and where assets may lead."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geot2t.clouds import CLEAR, EMPTY, HIDDEN, QA_KINDS, decode
from geot2t.errors import InputError
from geot2t.io.assets import _kind
from geot2t.sensors import QA_BITS
from geot2t.stac import Asset, Item, is_stac, items_of, load_items
from geot2t.stac.bands import bands_of, chosen, matching
from geot2t.stac.legend import legend_of
from geot2t.stac.origin import Origin

TIFF = "image/tiff; application=geotiff"


def feature(assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "an-item",
        "geometry": None,
        "properties": {"datetime": "2022-06-10T10:10:31Z", **properties},
        "links": [],
        "assets": {key: {"href": f"./{key}.tif", "type": TIFF, **a} for key, a in assets.items()},
    }


def parsed(document: dict[str, Any], origin: Origin | None = None) -> Item:
    (item,) = items_of(document, origin or Origin(Path("/data/item.json")))
    return item


def eo(name: str, common: str | None = None, wave: float | None = None, **raster) -> dict[str, Any]:
    """An asset of one band, as STAC 1.0 describes it."""
    colour = {"name": name, "common_name": common, "center_wavelength": wave}
    kept = {k: v for k, v in colour.items() if v is not None}
    return {"roles": ["data"], "eo:bands": [kept], "raster:bands": [raster]}


EARTH_SEARCH = {
    "blue": eo("blue", "blue", 0.49, scale=0.0001, offset=-0.1, nodata=0),
    "blue-jp2": eo("blue", "blue", 0.49) | {"href": "s3://x/B02.jp2", "type": "image/jp2"},
    "nir": eo("nir", "nir", 0.842),
    "rededge1": eo("rededge1", "rededge", 0.704),
    "rededge2": eo("rededge2", "rededge", 0.74),
    "visual": eo("red", "red", 0.665) | {"roles": ["visual"]},
    "aot": {"roles": ["data", "reflectance"]},
    "scl": {"roles": ["data", "reflectance"]},
    "thumbnail": {"href": "./preview.jpg", "type": "image/jpeg", "roles": ["thumbnail"]},
}
PLANETARY_COMPUTER = {
    "B02": eo("B02", "blue", 0.49),
    "B08": eo("B08", "nir", 0.842),
    "visual": {
        "roles": ["data"],
        "eo:bands": [
            {"name": name, "common_name": common}
            for name, common in (("B04", "red"), ("B03", "green"), ("B02", "blue"))
        ],
    },
    "SCL": {"roles": ["data"]},
}
LANDSAT = {
    "red": eo("OLI_B4", "red", 0.65, scale=2.75e-5, offset=-0.2),
    "nir08": eo("OLI_B5", "nir08", 0.87, scale=2.75e-5, offset=-0.2),
    "pan": eo("OLI_B8", "pan", 0.59),
    "lwir11": eo("TIRS_B10", "lwir11", 10.9) | {"roles": ["data", "temperature"]},
    "qa_pixel": {"roles": ["cloud", "cloud-shadow", "snow-ice", "water-mask"]},
    "qa_radsat": {"roles": ["saturation"]},
}


def test_the_files_of_earth_search_are_found_once_each() -> None:
    item = parsed(feature(EARTH_SEARCH))
    bands = bands_of(item)
    assert [b.asset.key for b in bands] == ["blue", "nir", "rededge1", "rededge2"]
    assert (bands[0].scale, bands[0].offset, bands[0].nodata) == (0.0001, -0.1, 0)
    assert bands[1].scale is None, "the file is asked"


def test_a_picture_of_true_colours_does_not_stand_for_its_bands() -> None:
    bands = bands_of(parsed(feature(PLANETARY_COMPUTER)))
    assert {b.name: b.asset.key for b in bands}["B02"] == "B02"
    assert {b.name for b in bands} == {"B02", "B08", "B03", "B04"}


def test_both_ways_to_describe_a_band_say_the_same() -> None:
    new = {
        "bands": [
            {
                "name": "B04",
                "eo:common_name": "red",
                "eo:center_wavelength": 0.665,
                "raster:scale": 0.0001,
                "raster:offset": -0.1,
                "nodata": 0,
            }
        ],
        "roles": ["data"],
    }
    flat = {"roles": ["data"], "eo:common_name": "red", "eo:center_wavelength": 0.665,
            "raster:scale": 0.0001, "raster:offset": -0.1, "nodata": 0}  # fmt: skip
    old = eo("B04", "red", 0.665, scale=0.0001, offset=-0.1, nodata=0)
    facts = [
        (b.name, b.common, b.wavelength, b.scale, b.offset, b.nodata)
        for asset in (new, old, flat)
        for b in bands_of(parsed(feature({"B04": asset})))
    ]
    assert facts == [("B04", "red", 0.665, 0.0001, -0.1, 0.0)] * 3


def test_what_holds_for_the_whole_item_holds_for_its_bands() -> None:
    item = parsed(feature({"B04": eo("B04")}, nodata=-9999, **{"raster:scale": 0.01}))
    (band,) = bands_of(item)
    assert (band.nodata, band.scale) == (-9999, 0.01)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", 0, -9999.0])
def test_nodata_may_be_spelled(value: Any) -> None:
    (band,) = bands_of(parsed(feature({"B04": eo("B04", nodata=value)})))
    np.testing.assert_equal(band.nodata, float(value))


@pytest.mark.parametrize(
    ("name", "platform", "wave"),
    [("B8A", "sentinel-2b", 0.865), ("B05", "landsat-8", 0.865), ("nir08", None, 0.865)],
)
def test_wavelengths_follow_from_names_where_they_are_not_stated(name, platform, wave) -> None:
    (band,) = bands_of(parsed(feature({"x": eo(name)}, platform=platform)))
    assert band.wavelength == pytest.approx(wave)


def test_an_offset_that_was_already_applied_is_not_applied_again() -> None:
    item = parsed(feature(EARTH_SEARCH, **{"earthsearch:boa_offset_applied": True}))
    assert bands_of(item)[0].offset == 0
    item = parsed(feature(EARTH_SEARCH, **{"earthsearch:boa_offset_applied": False}))
    assert bands_of(item)[0].offset == -0.1


def test_a_scene_has_the_bands_that_show_the_ground_unless_told_otherwise() -> None:
    item = parsed(feature(LANDSAT))
    bands = bands_of(item)
    assert [b.name for b in chosen(bands, (), item)] == ["OLI_B4", "OLI_B5"]
    wanted = chosen(bands, ("lwir11", "OLI_B4", "NIR08"), item)
    assert [b.name for b in wanted] == ["TIRS_B10", "OLI_B4", "OLI_B5"]
    with pytest.raises(InputError, match=r"no band 'green'; there are OLI_B4 \(red\), OLI_B5"):
        chosen(bands, ("green",), item)


def names_of(document: dict[str, Any], names: tuple[str, ...], waves: list[float]) -> list[str]:
    item = parsed(feature(document))
    return [b.name for b in matching(bands_of(item), names, np.array(waves), item)]


def test_bands_follow_the_scene_by_name_then_by_wavelength_then_by_position() -> None:
    nan = math.nan
    assert names_of(PLANETARY_COMPUTER, ("B08", "B02"), [nan, nan]) == ["B08", "B02"]
    assert names_of(EARTH_SEARCH, ("B08", "B02"), [0.84, 0.49]) == ["nir", "blue"]
    assert names_of(LANDSAT, ("B8A", "B04"), [0.865, 0.665]) == ["OLI_B5", "OLI_B4"]
    assert names_of(EARTH_SEARCH, ("rededge",), [0.742]) == ["rededge2"]
    pair = {"a": {"roles": ["data"]}, "b": {"roles": ["data"]}}
    assert names_of(pair, ("", ""), [nan, nan]) == ["a", "b"]
    with pytest.raises(InputError, match=r"no band like B11 1610 nm of the scene; it has blue"):
        names_of(EARTH_SEARCH, ("B11",), [1.61])


@given(order=st.permutations(["B02", "B03", "B04", "B05", "B06", "B08", "B8A", "B11", "B12"]))
def test_the_order_of_assets_does_not_matter(order: list[str]) -> None:
    item = parsed(feature({name: eo(name) for name in order}, constellation="sentinel-2"))
    names = ("B04", "B03", "B8A", "B12")
    found = matching(bands_of(item), names, np.full(4, np.nan), item)
    assert tuple(b.asset.key for b in found) == names


# -- dates and items -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "west", "day"),
    [
        ("2022-06-10T10:10:31Z", 11, date(2022, 6, 10)),
        ("2022-06-09T22:30:00Z", 178, date(2022, 6, 10)),  # half past ten in the morning there
        ("2022-06-10T00:30:00+02:00", -150, date(2022, 6, 9)),
        ("2022-06-10T18:00:00.123456789Z", -120, date(2022, 6, 10)),
    ],
)
def test_a_day_is_one_by_the_sun_at_the_place(time: str, west: float, day: date) -> None:
    item = feature({"B04": eo("B04")}, datetime=time) | {"bbox": [west, 46, west + 1, 47]}
    assert parsed(item).day == day
    ring = [[west, 46], [west + 1, 46], [west, 47], [west, 46]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    assert parsed({**item, "bbox": None, "geometry": shape}).day == day


def test_a_range_of_time_counts_from_its_begin() -> None:
    item = parsed(feature({"B04": eo("B04")}, datetime=None, start_datetime="2022-06-10T00:00:00Z"))
    assert item.day == date(2022, 6, 10)


def test_neighbouring_tiles_of_one_pass_belong_together() -> None:
    tiles = [
        parsed(feature({"B04": eo("B04")}, platform=platform) | {"id": name})
        for name, platform in (("32TPS", "s2a"), ("32TPT", "s2a"), ("32TPS", "s2b"))
    ]
    assert tiles[0].pass_key == tiles[1].pass_key != tiles[2].pass_key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "is not a STAC Item or ItemCollection"),
        ('{"type": "Collection"}', "is a STAC Collection; give its items"),
        ('{"type": "FeatureCollection", "features": []}', "holds no item"),
        ('{"type": "Feature", "id": "x"}', "not as STAC asks: KeyError 'properties'"),
        (json.dumps(feature({"B04": eo("B04")}, datetime="soon")), "not as STAC asks: ValueError"),
        (json.dumps(feature({"B04": {"type": "text/html"}})), "has no raster among its assets"),
    ],
)
def test_what_is_no_item_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load_items(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
CLOUD = {"offset": 1, "length": 2, "name": "cloud", "classes": [{"value": 1, "name": "cloud"}]}
WHOLE = feature(
    {"red": eo("B04", "red", 0.665, scale=1, nodata=0),
     "qa": {"roles": ["cloud"], "bands": [{"classification:bitfields": [CLOUD]}]}}
) | {"bbox": [11, 46, 12, 47], "links": [{"rel": "self", "href": "https://x.org"}]}  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = [way]
    for key, inner in inside if isinstance(value, dict | list) else ():
        found += places(inner, (*way, key)) if isinstance(inner, dict | list) else [(*way, key)]
    return found


@settings(max_examples=300)
@given(st.sampled_from(places(WHOLE)[1:]), JSON)
def test_an_item_with_anything_in_any_place_is_read_or_refused(way: Any, value: Any) -> None:
    document = json.loads(json.dumps(WHOLE))
    place = document
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    try:
        item = parsed(document)
        bands = chosen(bands_of(item), (), item)
        kinds = [kind for a in item.assets if (kind := _kind(a)) is not None]
    except InputError:
        return
    assert bands
    for kind in kinds:
        decode(kind, np.arange(256, dtype="uint8"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read: No such file"):
        load_items(tmp_path / "none.json")


def test_an_item_with_nothing_but_masks_is_refused() -> None:
    item = parsed(feature({"x": {"roles": ["cloud"]}}))
    with pytest.raises(InputError, match="no asset that holds measurements"):
        bands_of(item)


@pytest.mark.parametrize(
    ("location", "is_one"),
    [
        ("a.json", True), (Path("a.GeoJSON"), True), ("a.tif", False), (Path("dir"), False),
        ("https://x.org/collections/c/items/i", True), ("https://x.org/i.json?sig=1", True),
        ("https://x.org/a.TIF?sig=1", False), (3, False),
    ],
)  # fmt: skip
def test_items_are_told_from_rasters_by_their_names(location: Any, is_one: bool) -> None:
    assert is_stac(location) is is_one


@pytest.mark.parametrize("id_", ["../../etc/x", "/abs", "a b/c", "..", "S2A_x.1"])
def test_an_identifier_makes_a_name_within_its_folder(id_: str) -> None:
    features = [feature({"B04": eo("B04")}) | {"id": id_}]
    document = {"type": "FeatureCollection", "features": features}
    for origin, folder in ((LOCAL, FOLDER), (REMOTE, Path())):
        beside = parsed(document, origin).beside
        assert beside.parent == folder
        assert not beside.name.startswith(".")


# -- where assets may lead -----------------------------------------------------------------

FOLDER = Path("/data/stac")
LOCAL = Origin(FOLDER / "item.json")
REMOTE = Origin("https://x.org/items/item.json")


@pytest.mark.parametrize(
    ("origin", "href", "leads_to"),
    [
        (LOCAL, "./B04.tif", FOLDER / "B04.tif"),
        (LOCAL, "a/../B04.tif", FOLDER / "B04.tif"),
        (LOCAL, "/data/stac/B04.tif", FOLDER / "B04.tif"),
        (LOCAL, "file:///data/stac/a%20b.tif", FOLDER / "a b.tif"),
        (REMOTE, "./B04.tif", "https://x.org/items/B04.tif"),
        (REMOTE, "/B04.tif", "https://x.org/B04.tif"),
        (REMOTE, "http://y.org/B04.tif?sig=1", "http://y.org/B04.tif?sig=1"),
        (Origin(LOCAL.where, trusted=True), "../B04.tif", Path("/data/B04.tif")),
        (Origin(LOCAL.where, trusted=True), "https://y.org/a.tif", "https://y.org/a.tif"),
        (Origin(LOCAL.where, trusted=True), "s3://b/a.tif", "s3://b/a.tif"),
    ],
)
def test_assets_lead_where_their_item_may_lead(origin: Origin, href: str, leads_to) -> None:
    found = origin.resolve(href, "asset x")
    assert (found, type(found).__name__) == (leads_to, type(leads_to).__name__)


@pytest.mark.parametrize(
    ("origin", "href", "message"),
    [
        (LOCAL, "../B04.tif", r"is /data/B04\.tif, outside of /data/stac; pass --trust-items"),
        (LOCAL, "/etc/passwd", "outside of /data/stac"),
        (LOCAL, "file:///etc/passwd", "outside of /data/stac"),
        (LOCAL, "https://y.org/a.tif?sig=secret", r"is at https://y\.org/a\.tif, not beside"),
        (LOCAL, "s3://b/a.tif", "read with your own credentials"),
        (LOCAL, "/vsicurl/https://y.org/a.tif", "virtual path of GDAL's"),
        (LOCAL, "/VSIzip/a.zip/a.tif", "virtual path of GDAL's"),
        (REMOTE, "/vsis3/b/a.tif", "virtual path of GDAL's"),
        (REMOTE, "zip+https://y.org/a.zip!/vsimem/a.tif", "virtual path of GDAL's"),
        (REMOTE, "file:///etc/passwd", "begins with file: is not read"),
        (REMOTE, "s3://b/a.tif", "read with your own credentials"),
        (LOCAL, "GTIFF_DIR:1:/etc/passwd", "begins with gtiff_dir: is not read"),
        (LOCAL, "data:image/tiff;base64,AAAA", "begins with data: is not read"),
        (Origin(LOCAL.where, trusted=True), "/vsicurl/http://y.org/a.tif", "virtual path"),
        (Origin(REMOTE.where, trusted=True), "file:///etc/passwd", "begins with file:"),
    ],
)
def test_and_nowhere_else(origin: Origin, href: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        origin.resolve(href, "asset x")
    assert "secret" not in str(caught.value)


def test_a_link_in_the_folder_does_not_lead_out_of_it(tmp_path: Path) -> None:
    inside, outside = tmp_path / "stac", tmp_path / "private"
    inside.mkdir()
    outside.mkdir()
    (inside / "way").symlink_to(outside)
    with pytest.raises(InputError, match="outside of"):
        Origin(inside / "item.json").resolve("./way/B04.tif", "asset x")


# -- masks -----------------------------------------------------------------------------------


def asset(key: str, **fields: Any) -> Asset:
    return Asset.of(key, {"href": f"./{key}.tif", **fields}, {})


@pytest.mark.parametrize(
    ("key", "fields", "kind"),
    [
        ("scl", {}, "SCL"),
        ("SCL", {"roles": ["data"]}, "SCL"),
        ("classification", {"href": "./T32TPS_20220610T101031_SCL_20m.jp2"}, "SCL"),
        ("qa_pixel", {"roles": ["cloud"]}, "QA_PIXEL"),
        ("Fmask", {}, "Fmask"),
        ("cloud", {"title": "Cloud Probabilities", "roles": ["cloud"]}, "MSK_CLDPRB"),
        ("clouds", {"roles": ["cloud"]}, "mask"),
        ("valid", {"roles": ["data-mask"]}, "data-mask"),
        ("water_mask", {"roles": ["water-mask"]}, None),
        ("qa_radsat", {"roles": ["saturation"]}, None),
        ("B04", {"roles": ["data"]}, None),
    ],
)
def test_a_mask_is_known_by_its_name_or_its_role(key, fields, kind) -> None:
    assert _kind(asset(key, **fields)) == kind


UDM = [
    {"value": 0, "name": "no_data"}, {"value": 1, "name": "clear"},
    {"value": 2, "name": "thin-cirrus"}, {"value": 3, "name": "cloud_shadow"},
    {"value": 4, "description": "Cloud, medium probability"}, {"value": 5, "name": "cloud_free"},
    {"value": 6, "name": "other", "nodata": True},
]  # fmt: skip


def test_classes_are_read_by_their_names() -> None:
    legend = _kind(asset("udm", roles=["cloud"], bands=[{"classification:classes": UDM}]))
    codes = decode(legend, np.arange(7))
    assert codes.tolist() == [EMPTY, CLEAR, HIDDEN, HIDDEN, HIDDEN, CLEAR, EMPTY]


def bit(first: int, name: str, length: int = 1, **classes: int) -> dict[str, Any]:
    named = [{"value": value, "name": key} for key, value in classes.items()]
    return {"offset": first, "length": length, "name": name, "classes": named}


LANDSAT_BITS = [
    bit(0, "fill", not_fill=0, fill=1),
    bit(1, "dilated_cloud", not_dilated=0, yes=1),
    bit(2, "cirrus", not_cirrus=0, cirrus=1),
    bit(3, "cloud", not_cloud=0, cloud=1),
    bit(4, "cloud_shadow", not_shadow=0, shadow=1),
    bit(5, "snow", not_snow=0, snow=1),
    bit(8, "cloud_confidence", 2, not_set=0, low=1, medium=2, high=3),
]


@given(st.integers(0, 2**16 - 1))
def test_described_bits_of_landsat_say_what_is_known_of_them(value: int) -> None:
    legend = legend_of({"classification:bitfields": LANDSAT_BITS})
    assert legend is not None
    values = np.array([value], "uint16")
    assert decode(legend, values) == decode("QA_PIXEL", values)


def test_a_legend_without_clouds_is_none() -> None:
    assert legend_of({"classification:classes": [{"value": 1, "name": "forest"}]}) is None
    assert legend_of({"classification:classes": "broken"}) is None
    assert legend_of({}) is None


def test_a_data_mask_is_zero_where_there_is_nothing() -> None:
    assert decode("data-mask", np.array([0, 1, 255])).tolist() == [EMPTY, CLEAR, CLEAR]
    assert set(QA_BITS) < set(QA_KINDS)
