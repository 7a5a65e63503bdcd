"""Scenes and series read onto the grid of the scene, and what was observed of them."""

from __future__ import annotations

import json
import pickle
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.warp import transform as project

from geot2t.errors import InputError, RasterReadError
from geot2t.grid import Box
from geot2t.io import Stack, describe, detect, open_stack

HEIGHT, WIDTH = 90, 70
WHOLE = Box(0, 0, HEIGHT, WIDTH)
PLACE = Affine(10, 0, 600_000, 0, -10, 5_000_000)


def shifted(cols: float, rows: float, side: float = 10) -> Affine:
    """The grid moved by pixels of 10 m."""
    return Affine(side, 0, PLACE.c + 10 * cols, 0, -side, PLACE.f - 10 * rows)


def landscape(transform: Affine = PLACE, size=(HEIGHT, WIDTH), bands=3, crs="EPSG:32632"):
    """Smooth values that depend on the place on Earth alone, so that any grid shows the same."""
    rows, cols = np.mgrid[: size[0], : size[1]] + 0.5
    x = transform.a * cols + transform.b * rows + transform.c
    y = transform.d * cols + transform.e * rows + transform.f
    if crs != "EPSG:32632":
        flat = project(crs, "EPSG:32632", x.ravel(), y.ravel())
        x, y = (np.reshape(v, size) for v in flat[:2])
    return np.stack(
        [
            2000 + 600 * np.sin((x - 600_000) / 150 + b) + 500 * np.cos((y - 5_000_000) / 180)
            for b in range(bands)
        ]
    )


def write(path: Path, values=None, *, names=None, tags=None, **profile) -> Path:
    values = landscape().astype("uint16") if values is None else np.asarray(values)
    given = {
        "driver": "GTiff",
        "count": values.shape[0],
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
        "crs": "EPSG:32632",
        "transform": PLACE,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 32,
    } | profile
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **given) as dst:
            dst.write(values)
            if names:
                dst.descriptions = names
            dst.update_tags(**(tags or {}))
    return path


def flag(path: Path, *boxes: Box, value=1, size=(HEIGHT, WIDTH), fill=0, **profile) -> Path:
    """Write a one-band uint8 raster that holds ``value`` in ``boxes``."""
    values = np.full((1, *size), fill, "uint8")
    for box in boxes:
        values[0][box.slices] = value
    return write(path, values, **profile)


@pytest.fixture
def series(tmp_path) -> Path:
    for day in (1, 6, 11):
        write(tmp_path / f"2022-06-{day:02}.tif", landscape().astype("uint16") + day, nodata=0)
    return tmp_path


def scene_of(series: Path) -> Path:
    return series / "2022-06-06.tif"


def test_a_series_is_read_as_it_is_on_file(series) -> None:
    with open_stack(scene_of(series), series) as stack:
        block = stack.read(WHOLE)
    assert stack.target == 1
    assert stack.dates == tuple(date(2022, 6, d) for d in (1, 6, 11))
    assert stack.days.tolist() == [19144, 19149, 19154]
    assert [p.name for p in stack.paths] == ["2022-06-01.tif", "2022-06-06.tif", "2022-06-11.tif"]
    assert stack.extent == WHOLE
    assert block.valid.all()
    want = np.stack([landscape().astype("uint16") + d for d in (1, 6, 11)])
    np.testing.assert_array_equal(block.pixels, want)
    assert open_stack(scene_of(series), series, clouds="qa").notes == []


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.integers(-20, HEIGHT),
    col=st.integers(-20, WIDTH),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
)
def test_a_box_is_the_same_part_of_the_whole(series, row, col, height, width) -> None:
    flag(series / "2022-06-06_SCL.tif", Box(10, 10, 20, 20), value=9, fill=4)
    box = Box(row, col, height, width)
    stack = open_stack(scene_of(series), series)
    whole, part = stack.read(WHOLE), stack.read(box)
    inside = box.intersection(WHOLE)
    outside = np.ones((height, width), bool)
    if inside is not None:
        here, there = inside.within(box), inside.slices
        outside[here] = False
        np.testing.assert_array_equal(part.pixels[:, :, *here], whole.pixels[:, :, *there])
        np.testing.assert_array_equal(part.valid[:, *here], whole.valid[:, *there])
    assert not part.valid[:, outside].any()
    assert not part.pixels[:, :, outside].any()
    pixels, valid = stack.read_target(box)
    np.testing.assert_array_equal(pixels, part.pixels[stack.target])
    np.testing.assert_array_equal(valid, part.valid[stack.target])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
                                   "float32", "float64"])  # fmt: skip
def test_the_scene_comes_back_in_its_own_type(tmp_path, dtype) -> None:
    values = (landscape() / 50).astype(dtype)
    stack = open_stack(write(tmp_path / "a.tif", values))
    block = stack.read_scene(WHOLE)
    assert block.values.dtype == dtype
    np.testing.assert_array_equal(block.values, values)
    assert block.valid.all()


def test_units_follow_scale_and_offset_and_come_back(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as dst:
        dst.scales, dst.offsets = (1e-4, 1e-4, 2e-4), (-0.1, -0.1, 0.0)
    stack = open_stack(path)
    raw, block = stack.read_scene(WHOLE).values, stack.read(WHOLE)
    np.testing.assert_allclose(block.pixels[0, 0], raw[0] * 1e-4 - 0.1, rtol=1e-6)
    np.testing.assert_allclose(block.pixels[0, 2], raw[2] * 2e-4, rtol=1e-6)
    np.testing.assert_array_equal(np.rint(stack.to_file_units(block.pixels[0])), raw)


MTD = """<?xml version="1.0"?><n1:Level-2A_User_Product><PRODUCT_START_TIME>{day}T10:10:31.024Z
</PRODUCT_START_TIME><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
<BOA_ADD_OFFSET band_id="1">-1000</BOA_ADD_OFFSET><BOA_ADD_OFFSET band_id="2">-1000
</BOA_ADD_OFFSET><BOA_ADD_OFFSET band_id="3">-900</BOA_ADD_OFFSET></n1:Level-2A_User_Product>"""


def test_the_offset_of_sentinel_2_is_read_from_the_product(tmp_path) -> None:
    granule = tmp_path / "S2A.SAFE" / "GRANULE" / "L2A" / "IMG_DATA" / "R10m"
    path = write(granule / "T32TPS_20220606T101031_X_10m.tif", names=("B02", "B03", "B04"))
    (tmp_path / "S2A.SAFE" / "MTD_MSIL2A.xml").write_text(MTD.format(day="2022-06-06"))
    stack = open_stack(path)
    np.testing.assert_allclose(stack.scale, 1e-4)
    np.testing.assert_allclose(stack.offset, [-0.1, -0.1, -0.09])
    (tmp_path / "S2A.SAFE" / "MTD_MSIL2A.xml").write_text(MTD.format(day="2022-07-06"))
    assert open_stack(path).offset.tolist() == [0, 0, 0]  # another date's product


def test_the_offset_of_sentinel_2_is_read_from_tags(tmp_path) -> None:
    tags = {"QUANTIFICATION_VALUE": "10000", "BOA_ADD_OFFSET": "-1000"}
    stack = open_stack(write(tmp_path / "S2A_x_20220606.tif", tags=tags))
    np.testing.assert_allclose(stack.offset, -0.1)


def test_no_offset_is_guessed_from_the_date(tmp_path) -> None:
    path = write(tmp_path / "S2A_MSIL2A_20220606T101031.tif", names=("B02", "B03", "B04"))
    assert describe(path)["scale_from"] is None


def test_a_date_of_unknown_scale_takes_that_of_the_scene(series) -> None:
    with rasterio.open(scene_of(series), "r+") as dst:
        dst.scales = (1e-4,) * 3
    stack = open_stack(scene_of(series), series)
    assert stack.read(WHOLE).pixels.max() < 1
    assert any("no scale is stated in 2022-06-01.tif, 2022-06-11.tif" in n for n in stack.notes)


# -- where the ground was observed -------------------------------------------------------


def clear_in(path: Path, **options) -> np.ndarray:
    return open_stack(path, **options).read(WHOLE).valid[0]


def seen_but(*boxes: Box) -> np.ndarray:
    out = np.ones((HEIGHT, WIDTH), bool)
    for box in boxes:
        out[box.slices] = False
    return out


GAP = Box(20, 30, 12, 16)


def test_nodata_of_any_band_is_a_gap(tmp_path) -> None:
    values = landscape().astype("uint16")
    values[1][GAP.slices] = 7
    path = write(tmp_path / "a.tif", values, nodata=7)
    np.testing.assert_array_equal(clear_in(path), seen_but(GAP))
    block = open_stack(path).read_scene(WHOLE)
    assert not block.cloud.any()
    assert block.empty.sum((1, 2)).tolist() == [0, GAP.height * GAP.width, 0]


@pytest.mark.parametrize("nodata", [None, -9999.0, np.nan, 3.4028234663852886e38])
def test_nan_and_infinity_are_gaps_whatever_the_nodata_value(tmp_path, nodata) -> None:
    values = landscape().astype("float32")
    values[0][GAP.slices] = np.nan
    values[2][GAP.slices] = np.inf
    if nodata is not None:
        values[1, 0, 0] = nodata
    want = seen_but(GAP)
    want[0, 0] = nodata is None
    np.testing.assert_array_equal(clear_in(write(tmp_path / "a.tif", values, nodata=nodata)), want)


def test_a_mask_band_is_a_gap(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dst:
        dst.write_mask(seen_but(GAP))
    np.testing.assert_array_equal(clear_in(path), seen_but(GAP))
    assert open_stack(path).validity == (("mask band",),)


def test_an_alpha_band_is_a_gap_and_no_measurement(tmp_path) -> None:
    values = np.concatenate([landscape() / 20, np.full((1, HEIGHT, WIDTH), 255.0)]).astype("uint8")
    values[3][GAP.slices] = 0
    path = write(tmp_path / "a.tif", values, photometric="RGB", alpha="YES")
    stack = open_stack(path)
    assert stack.data_bands == (0, 1, 2)
    assert stack.alpha_band == 3
    np.testing.assert_allclose(stack.wavelengths, [0.66, 0.56, 0.49])
    np.testing.assert_array_equal(clear_in(path), seen_but(GAP))
    block = stack.read_scene(WHOLE)
    np.testing.assert_array_equal(block.values, values)
    assert block.empty.shape == (3, HEIGHT, WIDTH)


def test_a_cloud_mask_hides_where_it_is_not_zero(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    cloud = flag(tmp_path / "c.tif", GAP, value=200)
    for clouds in ("auto", "qa", "none"):
        np.testing.assert_array_equal(
            clear_in(path, cloud_mask=cloud, clouds=clouds), seen_but(GAP)
        )
    assert open_stack(path, cloud_mask=cloud).read_scene(WHOLE).cloud.any()


def test_a_mask_beside_the_scene_is_used_but_for_none(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    flag(tmp_path / "a_mask.tif", GAP)
    np.testing.assert_array_equal(clear_in(path), seen_but(GAP))
    assert clear_in(path, clouds="none").all()


def test_a_mask_of_the_same_size_needs_no_crs(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    flag(tmp_path / "a_mask.tif", GAP, crs=None, transform=None)
    np.testing.assert_array_equal(clear_in(path), seen_but(GAP))


def test_scene_classes_at_20_m_hide_with_a_margin_of_40_m(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    coarse = shifted(0, 0, side=20)
    classes = {"size": (HEIGHT // 2, WIDTH // 2), "fill": 4, "transform": coarse}
    flag(tmp_path / "a_SCL.tif", Box(10, 15, 6, 8), value=9, **classes)
    clear = clear_in(path)
    assert not clear[GAP.slices].any()
    assert not clear[16, 30]  # 40 m north of the cloud
    assert clear[15, 30]
    assert clear[16, 26]  # but 57 m from its corner
    assert open_stack(path).validity == (("SCL a_SCL.tif",),)


def test_no_data_in_the_classes_is_no_cloud(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    flag(tmp_path / "a_SCL.tif", GAP, value=0, fill=4)
    block = open_stack(path).read_scene(WHOLE)
    assert not block.cloud.any()
    np.testing.assert_array_equal(~block.empty.any(0), seen_but(GAP))


def test_quality_on_a_grid_of_another_zone_finds_its_place(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    x, y = project("EPSG:32632", "EPSG:32633", [600_300], [4_999_750])
    place = Affine(10, 0, x[0] - 1000, 0, -10, y[0] + 1000)
    flag(tmp_path / "a_mask.tif", Box(95, 95, 10, 10), size=(200, 200), crs="EPSG:32633",
         transform=place)  # fmt: skip
    hidden = ~clear_in(path)
    assert 80 <= hidden.sum() <= 120
    rows, cols = hidden.nonzero()
    assert abs(rows.mean() - 25) < 1
    assert abs(cols.mean() - 30) < 1


def test_a_mask_of_another_place_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.tif")
    far = flag(tmp_path / "c.tif", GAP, transform=shifted(1000, 0))
    with pytest.raises(InputError, match=r"c\.tif does not cover .*a\.tif"):
        open_stack(path, cloud_mask=far)


def test_a_missing_detector_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(detect, "installed", lambda name: False)
    path = write(tmp_path / "a.tif")
    assert "detector ukis-csmask is not installed" in open_stack(path).notes[0]
    assert "skipped" in open_stack(path, clouds="ukis-csmask").notes[0]
    assert open_stack(path, clouds="qa").notes == []
    flag(tmp_path / "a_mask.tif", GAP)
    assert open_stack(path).notes == []


def test_a_detector_is_asked_where_nothing_else_is_known(tmp_path, monkeypatch) -> None:
    seen = []

    def bright(pixels, bands, level):
        seen.append((pixels.shape, list(bands), level))
        return pixels[0] > 0.25

    monkeypatch.setattr(detect, "installed", lambda name: True)
    monkeypatch.setattr(detect, "_csmask", bright)
    values = landscape(bands=4).astype("uint16")
    path = write(tmp_path / "a.tif", values, names=("B02", "B03", "B04", "B08"))
    stack = pickle.loads(pickle.dumps(open_stack(path)))  # noqa: S301  made here
    whole = stack.read(WHOLE).valid[0]
    assert 0.05 < whole.mean() < 0.95
    assert seen == [((4, 30, 24), ["blue", "green", "red", "nir"], "l2a")]
    part = stack.read(Box(5, 6, 30, 31)).valid[0]
    np.testing.assert_array_equal(part, whole[5:35, 6:37])
    assert stack.validity == (("detector ukis-csmask",),)
    unknown = open_stack(write(tmp_path / "b.tif", values))
    assert "needs blue, green, red and near infrared" in unknown.notes[0]


def test_unknown_detectors_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no cloud detector 'magic'; use auto, qa, none"):
        open_stack(write(tmp_path / "a.tif"), clouds="magic")


# -- other grids -------------------------------------------------------------------------


def test_whole_pixel_shifts_copy_bit_for_bit(tmp_path) -> None:
    scene = write(tmp_path / "2022-06-06.tif")
    moved = shifted(13, -8)
    values = landscape(moved).astype("uint16")
    values[:, 40:50, 20:30] = 0
    write(tmp_path / "2022-06-01.tif", values, transform=moved, nodata=0)
    block = open_stack(scene, tmp_path).read(WHOLE)
    want = np.zeros((3, HEIGHT, WIDTH), "float32")
    want[:, : HEIGHT - 8, 13:] = values[:, 8:, : WIDTH - 13]
    np.testing.assert_array_equal(block.pixels[0], want)
    np.testing.assert_array_equal(block.valid[0], (want != 0).all(0))


OTHER_GRIDS = {
    "half a pixel off": (shifted(-3.5, -4.5), (100, 80), "EPSG:32632", 5),
    "20 m": (Affine(20, 0, 599_930, 0, -20, 5_000_090), (55, 45), "EPSG:32632", 10),
    "4 m": (Affine(4, 0, 599_942, 0, -4, 5_000_038), (260, 210), "EPSG:32632", 10),
    "next zone": (None, (150, 150), "EPSG:32633", 5),
    "south up": (Affine(10, 0, 599_965, 0, 10, 4_998_995), (110, 80), "EPSG:32632", 5),
}


@pytest.mark.parametrize("name", OTHER_GRIDS)
def test_other_grids_show_the_same_ground(tmp_path, name) -> None:
    place, size, crs, tolerance = OTHER_GRIDS[name]
    if place is None:
        x, y = project("EPSG:32632", crs, [600_350], [4_999_550])
        place = Affine(10, 0, x[0] - 753, 0, -10, y[0] + 748)
    scene = write(tmp_path / "2022-06-06.tif")
    values = landscape(place, size, crs=crs)
    hole = Box(size[0] // 2, size[1] // 2, 5, 5)
    values[:, *hole.slices] = 0
    write(tmp_path / "2022-06-01.tif", values.astype("uint16"), transform=place, crs=crs, nodata=0)
    stack = open_stack(scene, tmp_path)
    block = stack.read(WHOLE)
    valid = block.valid[0]
    # A pixel is valid only if no part of it comes from the hole: then it is right.
    assert 0.8 < valid.mean() < 1
    wrong = np.abs(block.pixels[0] - landscape())[:, valid]
    assert wrong.max() < tolerance
    assert not block.pixels[0][:, ~valid].any()
    pieces = [stack.read(b) for b in (Box(0, 0, 33, 41), Box(17, 29, 50, 41))]
    for piece in pieces:
        np.testing.assert_array_equal(piece.pixels, block.pixels[:, :, *piece.box.slices])
        np.testing.assert_array_equal(piece.valid, block.valid[:, *piece.box.slices])


def test_resampling_does_not_depend_on_how_the_scene_is_cut(tmp_path) -> None:
    size = (400, 300)
    scene = write(tmp_path / "2022-06-06.tif", landscape(size=size).astype("uint16"))
    place = Affine(9.5, 0.3, 599_900, 0.2, -9.7, 5_000_100)
    write(tmp_path / "2022-06-01.tif", landscape(place, (450, 350)).astype("uint16"),
          transform=place)  # fmt: skip
    whole = open_stack(scene, tmp_path).read(Box(0, 0, *size))
    part = open_stack(scene, tmp_path).read(Box(200, 190, 100, 110))
    np.testing.assert_array_equal(part.pixels, whole.pixels[:, :, 200:300, 190:300])


def test_the_series_may_reach_only_into_a_corner(tmp_path) -> None:
    scene = write(tmp_path / "2022-06-06.tif")
    place = shifted(60.5, 80.5)
    write(tmp_path / "2022-06-01.tif", landscape(place).astype("uint16"), transform=place)
    valid = open_stack(scene, tmp_path).read(WHOLE).valid[0]
    assert valid[85:, 65:].all()
    assert not valid[:80].any()


# -- what belongs together ---------------------------------------------------------------


def test_the_scene_is_not_doubled_by_its_series(series) -> None:
    scene = scene_of(series)
    for asked in (series, [series], [scene, *series.glob("*.tif")], str(series / "2022-*.tif")):
        assert len(open_stack(scene, asked).dates) == 3
    (series / "link.tif").symlink_to(scene)
    assert len(open_stack(scene, [series / "link.tif"]).dates) == 1


def test_of_one_day_the_clearest_is_kept(series) -> None:
    worse = landscape().astype("uint16")
    worse[:, :50] = 0
    write(series / "a_2022-06-01.tif", worse, nodata=0)
    stack = open_stack(scene_of(series), series)
    assert [p.name for p in stack.paths] == ["2022-06-01.tif", "2022-06-06.tif", "2022-06-11.tif"]
    assert any("several files of 2022-06-01" in n and "a_2022" in n for n in stack.notes)


def test_the_scenes_own_day_is_the_scene(series) -> None:
    write(series / "a_2022-06-06.tif")
    stack = open_stack(scene_of(series), series)
    assert stack.paths[stack.target] == scene_of(series)
    assert len(stack.dates) == 3
    assert any("same day as the scene" in n for n in stack.notes)


def test_bands_are_matched_by_name_then_wavelength_then_position(tmp_path) -> None:
    values = landscape().astype("uint16")
    scene = write(tmp_path / "2022-06-06.tif", values, names=("B02", "B03", "B04"))
    write(tmp_path / "2022-06-01.tif", values[::-1], names=("B04", "B03", "B02"))
    write(tmp_path / "2022-06-02.tif", values[[1, 0, 2]], names=("green", "blue", "red"))
    write(tmp_path / "2022-06-03.tif", values)
    pixels = open_stack(scene, tmp_path).read(WHOLE).pixels
    for other in pixels:
        np.testing.assert_array_equal(other, values)


@pytest.mark.parametrize(
    ("tags", "name", "day"),
    [
        ({"TIFFTAG_DATETIME": "2022:06:06 10:10:31"}, "2022-01-01.tif", 6),
        ({"ACQUISITION_DATE": "2022-06-06"}, "2022-01-01.tif", 6),
        ({"DATE_ACQUIRED": "2022-06-06"}, "a.tif", 6),
        ({"SENSING_TIME": "2022-06-06T10:10:31.024Z; 2022-06-06T10:10:40Z"}, "a.tif", 6),
        ({"datetime": "20220606T101031"}, "a.tif", 6),
        ({"time_start": "1654510231024"}, "a.tif", 6),
        ({"ACQUISITION_DATE": "2022-06-06", "TIFFTAG_DATETIME": "2023:01:01 00:00:00"}, "a.tif", 6),
        ({"ACQUISITION_DATE": "unknown"}, "2022-06-06.tif", 6),
    ],
)
def test_tags_date_a_file_before_its_name(tmp_path, tags, name, day) -> None:
    stack = open_stack(write(tmp_path / name, tags=tags))
    assert stack.dates == (date(2022, 6, day),)


def test_the_users_date_comes_first(series) -> None:
    stack = open_stack(scene_of(series), series, date=date(2022, 7, 1))
    assert stack.target == 2
    assert stack.dates[2] == date(2022, 7, 1)


def test_a_lone_scene_needs_no_date(tmp_path) -> None:
    stack = open_stack(write(tmp_path / "a.tif"))
    assert stack.dates == (None,)
    assert np.isnan(stack.days).all()


def test_training_may_do_without_dates(tmp_path) -> None:
    scene = write(tmp_path / "a.tif")
    write(tmp_path / "b.tif")
    write(tmp_path / "2022-06-06.tif")
    stack = open_stack(scene, tmp_path, need_dates=False)
    assert [p.name for p in stack.paths] == ["2022-06-06.tif", "a.tif", "b.tif"]
    assert stack.target == 1


def refused(message: str, scene: Path, *series: Path, error=InputError, **options) -> None:
    with pytest.raises(error, match=message) as caught:
        open_stack(scene, series, **options)
    assert "\n" not in str(caught.value)


def test_what_does_not_belong_is_refused_by_name(series) -> None:
    scene = scene_of(series)
    other = series / "other"
    far = write(other / "2022-05-01.tif", transform=shifted(500, 0))
    refused(r"2022-05-01\.tif shows another place than .*2022-06-06\.tif", scene, far)
    south = write(other / "2022-05-02.tif", crs="EPSG:32733")
    refused(r"2022-05-02\.tif shows another place", scene, south)
    two = write(other / "2022-05-03.tif", landscape(bands=2).astype("uint16"))
    refused(r"2022-05-03\.tif has 2 bands, .* has 3", scene, two)
    undated = write(other / "a.tif")
    refused(r"date of .*a\.tif is not known; put it in the file name", scene, undated)
    refused(r"date of .*a\.tif is not known, and a series needs it; pass --date", undated, scene)
    refused(r"no scene matches .*x\*\.tif", scene, series / "x*.tif")
    empty = series / "empty"
    empty.mkdir()
    refused(r"there is no scene \(\.tif, \.jp2\) in ", scene, empty)
    refused(r"absent\.tif does not exist", scene, series / "absent.tif", error=RasterReadError)


def test_palettes_and_complex_numbers_are_refused(tmp_path) -> None:
    values = np.ones((1, HEIGHT, WIDTH), "uint8")
    palette = write(tmp_path / "a.tif", values, photometric="palette")
    with rasterio.open(palette, "r+") as dst:
        dst.write_colormap(1, {1: (255, 0, 0, 255)})
    refused("palette colours, which cannot be interpolated", palette)
    radar = write(tmp_path / "b.tif", values.astype("complex64"))
    refused("holds complex numbers", radar, error=RasterReadError)


def test_a_scene_without_crs_is_read_on_its_pixel_grid(tmp_path) -> None:
    bare = {"crs": None, "transform": None}
    scene = write(tmp_path / "2022-06-06.tif", **bare)
    write(tmp_path / "2022-06-01.tif", **bare)
    stack = open_stack(scene, tmp_path)
    assert any("without CRS: it is filled on its pixel grid" in n for n in stack.notes)
    np.testing.assert_array_equal(*stack.read(WHOLE).pixels)
    write(tmp_path / "2022-06-02.tif", landscape(size=(91, 70)).astype("uint16"), **bare)
    refused(r"has no CRS, so .*2022-06-02\.tif must have the size of", scene, tmp_path)


def test_ground_control_points_do_not_bend_the_scene(tmp_path) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=600_000 + 10 * c, y=5_000_000 - 10 * r)
        for r in (0, HEIGHT)
        for c in (0, WIDTH)
    ]
    scene = write(tmp_path / "a.tif", transform=None, gcps=points)
    stack = open_stack(scene)
    assert any("ground control points" in n for n in stack.notes)
    np.testing.assert_array_equal(stack.read_scene(WHOLE).values, landscape().astype("uint16"))


@pytest.mark.parametrize(
    "place",
    [Affine(10, 0, 600_000, 0, 10, 4_999_100), Affine(8, 6, 6e5, 6, -8, 5e6),
     Affine(10, 0, 6e5, 0, -20, 5e6)],
    ids=["south up", "rotated", "oblong"],
)  # fmt: skip
def test_unusual_grids_are_the_scenes_own(tmp_path, place) -> None:
    values = landscape(place).astype("uint16")
    for day in (1, 6):
        write(tmp_path / f"2022-06-0{day}.tif", values, transform=place)
    stack = open_stack(tmp_path / "2022-06-06.tif", tmp_path)
    np.testing.assert_array_equal(stack.read(WHOLE).pixels, np.stack([values, values]))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_the_smallest_scenes_are_read(tmp_path, size) -> None:
    values = landscape(size=size).astype("uint16")
    path = write(tmp_path / "a.tif", values, tiled=False)
    flag(tmp_path / "a_SCL.tif", fill=4, size=size, tiled=False)
    stack = open_stack(path)
    np.testing.assert_array_equal(stack.read(Box(0, 0, *size)).pixels[0], values)
    window = stack.read(Box(0, 0, 64, 64))
    assert window.valid.sum() == size[0] * size[1]


# -- what a stack can do -----------------------------------------------------------------


def test_a_stack_survives_pickling_and_choosing(series) -> None:
    stack = open_stack(scene_of(series), series)
    again: Stack = pickle.loads(pickle.dumps(stack))  # noqa: S301  made here
    np.testing.assert_array_equal(again.read(WHOLE).pixels, stack.read(WHOLE).pixels)
    chosen = stack.subset([2])
    assert chosen.dates == stack.dates[1:]
    assert chosen.target == 0
    other = stack.retarget(0)
    assert other.target == 0
    np.testing.assert_array_equal(other.read_scene(WHOLE).values, landscape().astype("uint16") + 1)


def test_the_files_read_are_listed_with_their_quality(series) -> None:
    flag(series / "2022-06-06_mask.tif", GAP)
    stack = open_stack(scene_of(series), series)
    names = [[p.name for p in files] for files in stack.files]
    assert names == [
        ["2022-06-01.tif"],
        ["2022-06-06.tif", "2022-06-06_mask.tif"],
        ["2022-06-11.tif"],
    ]


def test_gaps_are_counted_exactly(tmp_path) -> None:
    values = landscape().astype("uint16")
    values[0, :10] = 0
    path = write(tmp_path / "S2A_20220606.tif", values, nodata=0, names=("B02", "B03", "B04"))
    flag(tmp_path / "S2A_20220606_mask.tif", Box(5, 0, 10, WIDTH))
    said = json.loads(json.dumps(describe(path), allow_nan=False))
    assert said["gap"] == {"total": 15 / 90, "cloud": 10 / 90, "empty": 10 / 90}
    assert said["date"] == "2022-06-06"
    assert said["date_from"] == "file name"
    assert [b["name"] for b in said["bands"]] == ["B02", "B03", "B04"]
    assert said["validity"] == ["nodata 0", "mask S2A_20220606_mask.tif"]


def test_a_huge_sparse_scene_is_described_at_once(tmp_path) -> None:
    path = tmp_path / "a.tif"
    options = {"tiled": True, "blockxsize": 512, "blockysize": 512, "sparse_ok": True}
    with rasterio.open(
        path, "w", driver="GTiff", height=30_000, width=30_000, count=4, dtype="uint16", nodata=0,
        crs="EPSG:32632", transform=PLACE, bigtiff="yes", **options,
    ) as dst:  # fmt: skip
        dst.write(np.ones((4, 512, 512), "uint16"), window=((512, 1024), (512, 1024)))
    gap = describe(path)["gap"]
    assert gap["total"] == pytest.approx(1 - 512**2 / 30_000**2)
    assert gap["cloud"] == 0


def test_the_sample_is_understood(sample) -> None:
    stack = open_stack(sample / "2022-06-10.tif", sample)
    assert len(stack.dates) == 12
    assert stack.names == ("B02", "B03", "B04", "B08")
    assert np.isfinite(stack.wavelengths).all()
    target = stack.validity[stack.target]
    assert {v.split()[0] for v in target} >= {"SCL", "mask"}


@pytest.mark.parametrize("first", ["a", "z"])
def test_of_two_files_of_a_day_that_are_as_clear_the_first_given_is_used(tmp_path, first):
    scene = write(tmp_path / "2024-05-02.tif")
    doubles = {name: write(tmp_path / name / "2024-05-01.tif") for name in "az"}
    given = [doubles.pop(first), *doubles.values()]
    with open_stack(scene, given) as stack:
        assert stack.paths[1 - stack.target] == given[0]
