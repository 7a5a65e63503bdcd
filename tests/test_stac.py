"""STAC items in: read as scenes, filled like the GeoTIFFs that they are; valid items out."""

from __future__ import annotations

import json
import pickle
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.transform import Affine
from rasterio.windows import Window
from rio_cogeo import cog_validate
from stac_sample import SCENE, cut, item, plain_series, write_items
from stac_schemas import validate

import geot2t
from geot2t.about import about
from geot2t.cli import main
from geot2t.errors import InputError, RasterReadError
from geot2t.grid import Box
from geot2t.io import open_stack
from geot2t.io.checksums import verify
from geot2t.io.collection import write_collection
from geot2t.io.series import open_series
from geot2t.stac import load_items

WINDOW = Window(40, 90, 70, 60)
WHOLE = Box(0, 0, 60, 70)
DAY = date.fromisoformat(SCENE)
CLEAR_DAY = "2022-06-25"


@pytest.fixture(scope="module")
def made(sample, tmp_path_factory) -> tuple[Path, Path, Path]:
    """The scene's item, the collection, and the same series as plain GeoTIFFs."""
    folder = tmp_path_factory.mktemp("stac")
    scene, series = write_items(sample, folder / "items", WINDOW)
    return scene, series, plain_series(sample, folder / "plain", WINDOW)


@pytest.fixture
def items(made, tmp_path) -> Path:
    """A folder of items that a test may spoil."""
    return Path(shutil.copytree(made[0].parent, tmp_path / "items"))


def edited(path: Path, change: Any) -> Path:
    document = json.loads(path.read_text())
    for feature in document.get("features", [document]):
        change(feature)
    path.write_text(json.dumps(document))
    return path


# -- read ------------------------------------------------------------------------------------


def test_items_are_read_as_the_files_that_they_were_made_from(made) -> None:
    scene, series, plain = made
    ours, theirs = open_stack(scene, series), open_stack(plain, plain.parent)
    assert ours.dates == theirs.dates
    assert ours.target == theirs.target
    assert ours.names == theirs.names == ("B02", "B03", "B04", "B08")
    np.testing.assert_array_equal(ours.wavelengths, theirs.wavelengths)
    np.testing.assert_array_equal(ours.scale, theirs.scale)
    one, two = ours.read(WHOLE), theirs.read(WHOLE)
    np.testing.assert_array_equal(one.valid, two.valid)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert not ours.notes


def test_both_versions_of_stac_say_the_same(made, sample, tmp_path) -> None:
    old = write_items(sample, tmp_path, WINDOW, version="1.0.0")
    one, two = (open_stack(*pair).read(WHOLE) for pair in (old, made[:2]))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.valid, two.valid)


def test_a_plain_scene_takes_its_series_from_items_and_the_other_way_round(made) -> None:
    scene, series, plain = made
    for mixed in (open_stack(plain, series), open_stack(scene, plain.parent)):
        assert len(mixed.dates) == 12
        assert mixed.dates[mixed.target] == DAY
        assert any("of the same day as the scene" in note for note in mixed.notes)
        np.testing.assert_array_equal(
            mixed.read(WHOLE).pixels, open_stack(plain, plain.parent).read(WHOLE).pixels
        )


def test_several_files_may_be_named_and_the_scene_may_be_chosen_from_a_collection(made) -> None:
    scene, series, _ = made
    chosen = open_stack(series, [series, scene], date=DAY)
    assert chosen.dates[chosen.target] == DAY
    assert len(chosen.dates) == 12
    assert chosen.default_output.name == f"S2_32TPS_{SCENE}_filled.tif"
    assert open_stack(scene).default_output == scene.with_name("item_filled.tif")
    with pytest.raises(InputError, match="holds 12 items: say with --date which one to fill"):
        open_stack(series)
    with pytest.raises(InputError, match="holds no item of 2022-01-01"):
        open_stack(series, date=date(2022, 1, 1))


def test_a_collection_is_a_series_to_evaluate(made) -> None:
    _, series, plain = made
    ours, theirs = open_series(series), open_series(plain.parent)
    assert ours.dates == theirs.dates
    np.testing.assert_array_equal(ours.read(WHOLE).pixels, theirs.read(WHOLE).pixels)


def test_a_pattern_of_items_is_a_series(items) -> None:
    features = json.loads((items / "items.json").read_text())["features"]
    for feature in features:
        (items / f"{feature['id']}.json").write_text(json.dumps(feature))
    stack = open_stack(items / "item.json", items / "S2_*.json")
    assert len(stack.dates) == 12
    assert stack.paths[0].name == "S2_32TPS_2022-06-02.json"


def test_a_program_may_hand_over_pystac_objects(made) -> None:
    scene, series, _ = made
    held = pystac.ItemCollection.from_file(str(series))
    for one in held:
        one.set_self_href(str(series))
    want = open_stack(scene, series)
    for given in (held, list(held)):
        assert open_stack(scene, given).dates == want.dates


def test_a_stack_of_items_goes_to_another_process(made) -> None:
    stack = open_stack(*made[:2])
    again = pickle.loads(pickle.dumps(stack))  # noqa: S301  ours
    np.testing.assert_array_equal(again.read(WHOLE).pixels, stack.read(WHOLE).pixels)


def test_what_the_item_says_goes_before_what_its_files_say(items) -> None:
    def change(feature: dict[str, Any]) -> None:
        feature["assets"]["red"]["bands"][0] |= {"raster:scale": 0.5, "raster:offset": -3.0}
        del feature["assets"]["nir"]["bands"][0]["raster:scale"]
        del feature["assets"]["nir"]["bands"][0]["raster:offset"]

    with rasterio.open(items / SCENE / "B08.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        dst.scales = (0.25,)
    stack = open_stack(edited(items / "item.json", change))
    np.testing.assert_allclose(stack.scale, [0.0001, 0.0001, 0.5, 0.25])
    np.testing.assert_allclose(stack.offset, [0, 0, -3, 0])
    assert stack.metadata is not None
    assert [b.scale for b in stack.metadata.bands] == [0.0001, 0.0001, 0.5, 0.25]


def test_bands_are_chosen_by_name(made) -> None:
    stack = open_stack(*made[:2], bands=("nir", "B02"))
    assert stack.names == ("B08", "B02")
    every = open_stack(*made[:2]).read(WHOLE)
    np.testing.assert_array_equal(stack.read(WHOLE).pixels, every.pixels[:, [3, 0]])
    with pytest.raises(InputError, match=r"2022-06-10\.tif is a raster"):
        open_stack(made[2], bands=("nir",))


def test_an_item_that_says_nothing_of_its_bands_is_read_by_what_its_file_says(
    made, items, sample
) -> None:
    whole = cut(sample / f"{SCENE}.tif", items / "whole.tif", WINDOW)

    def change(feature: dict[str, Any]) -> None:
        kept = {k: feature["assets"][k] for k in ("scl", "shade")}
        feature["assets"] = kept | {"data": {"href": f"./{whole.name}", "roles": ["data"]}}

    stack = open_stack(edited(items / "item.json", change), items / "items.json")
    want = open_stack(*made[:2])
    assert stack.names == want.names
    np.testing.assert_array_equal(stack.read(WHOLE).pixels, want.read(WHOLE).pixels)
    np.testing.assert_array_equal(stack.read(WHOLE).valid, want.read(WHOLE).valid)


# -- several resolutions, tiles and projections ----------------------------------------------


def coarsened(path: Path, factor: int) -> np.ndarray:
    """Replace a file by means of squares of its pixels; returns them."""
    with rasterio.open(path) as src:
        values, t, crs = src.read(1), src.transform, src.crs
    high, wide = (n // factor for n in values.shape)
    small = values[: high * factor, : wide * factor].reshape(high, factor, wide, factor)
    means = small.mean((1, 3)).astype("uint16")
    profile = {"driver": "COG", "height": high, "width": wide, "count": 1, "dtype": "uint16",
               "crs": crs,
               "transform": Affine(t.a * factor, 0, t.c, 0, t.e * factor, t.f)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(means[None])
    return means


def test_coarse_bands_keep_their_values_on_the_finest_grid(items) -> None:
    means = coarsened(items / SCENE / "B04.tif", 2)
    stack = open_stack(items / "item.json")
    assert (stack.extent.height, stack.extent.width) == (60, 70)
    values = stack.read_scene(WHOLE).values
    np.testing.assert_array_equal(values[2], means.repeat(2, 0).repeat(2, 1))
    for box in (Box(7, 3, 1, 1), Box(13, 21, 30, 17)):
        np.testing.assert_array_equal(stack.read_scene(box).values, values[:, *box.slices])


def test_where_a_file_does_not_reach_only_its_band_is_empty(items) -> None:
    coarsened(items / SCENE / "B04.tif", 8)  # 56 x 64 of the 60 x 70 pixels
    block = open_stack(items / "item.json").read_scene(WHOLE)
    beyond = np.ones((60, 70), bool)
    beyond[:56, :64] = False
    assert block.empty[2][beyond].all()
    nodata = block.values[[0, 1, 3]] == 0
    np.testing.assert_array_equal(block.empty[[0, 1, 3]], nodata)


def test_what_is_filled_of_an_item_of_mixed_resolutions_keeps_what_was_observed(items) -> None:
    coarsened(items / SCENE / "B04.tif", 2)
    result = geot2t.inpaint(items / "item.json", series=items / "items.json", method="linear")
    block = open_stack(items / "item.json").read_scene(WHOLE)
    with rasterio.open(result.path) as out, rasterio.open(items / SCENE / "B02.tif") as fine:
        filled = out.read()
        assert (out.crs, out.transform, out.shape) == (fine.crs, fine.transform, fine.shape)
    keep = block.valid
    np.testing.assert_array_equal(filled[:, keep], block.values[:, keep])
    assert not np.array_equal(filled[:, ~keep], block.values[:, ~keep])


def halves(sample: Path, folder: Path, day: str) -> list[dict[str, Any]]:
    """One date in two overlapping tiles."""
    left, right = Window(40, 90, 40, 60), Window(70, 90, 40, 60)
    features = []
    for name, window in (("left", left), ("right", right)):
        feature = item(sample, folder / name, day, window) | {"id": name}
        for asset in feature["assets"].values():
            asset["href"] = f"./{name}/{asset['href'].removeprefix('./')}"
        features.append(feature)
    return features


@pytest.mark.parametrize("order", [1, -1])
def test_tiles_of_one_pass_are_one_date_and_the_first_that_saw_a_pixel_counts(
    made, sample, tmp_path, order
) -> None:
    day = CLEAR_DAY
    features = halves(sample, tmp_path, day)[::order]
    # The right tile is brighter, so that one sees which was taken where both are there.
    for name in ("B02", "B03", "B04", "B08"):
        with rasterio.open(tmp_path / "right" / day / f"{name}.tif") as src:
            profile, values = src.profile, src.read()
        with rasterio.open(tmp_path / "right" / day / f"{name}.tif", "w", **profile) as dst:
            dst.write(values + 1000)
    series = tmp_path / "tiles.json"
    series.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    stack = open_stack(made[2], series)
    assert stack.dates == (DAY, date.fromisoformat(day))
    whole = open_stack(made[2], made[1])
    want = whole.read(WHOLE).pixels[whole.dates.index(date.fromisoformat(day))]
    block = stack.read(WHOLE)
    assert block.valid[1].all(), "the sample is clear there"
    brighter = np.isclose(block.pixels[1] - want, 0.1, atol=1e-5).all(0)
    assert (brighter | np.isclose(block.pixels[1], want).all(0)).all()
    seam = 40 if order == 1 else 30  # the tiles overlap in between
    np.testing.assert_array_equal(brighter, np.tile(np.arange(70) >= seam, (60, 1)))


def test_a_cloud_in_the_first_tile_is_looked_through_by_the_second(sample, made, tmp_path) -> None:
    day = CLEAR_DAY
    features = halves(sample, tmp_path, day)
    with rasterio.open(tmp_path / "left" / day / "SCL.tif") as src:
        profile = src.profile
    with rasterio.open(tmp_path / "left" / day / "SCL.tif", "w", **profile) as dst:
        dst.write(np.full((1, 60, 40), 9, "uint8"))
    series = tmp_path / "tiles.json"
    series.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    valid = open_stack(made[2], series).read(WHOLE).valid[1]
    assert valid[:, 30:].all()
    assert not valid[:, :30].any()


def test_an_item_in_another_projection_is_brought_onto_the_grid_of_the_scene(
    made, items, sample
) -> None:
    from rasterio.warp import Resampling, reproject

    day = CLEAR_DAY
    for name in ("B02", "B03", "B04", "B08", "SCL"):
        path = items / day / f"{name}.tif"
        with rasterio.open(path) as src:
            grid = {"crs": "EPSG:32633", "transform": None}
            nearest = Resampling.nearest if name == "SCL" else Resampling.cubic
            values, grid["transform"] = reproject(
                src.read(), src_crs=src.crs, src_transform=src.transform,
                dst_crs=grid["crs"], resampling=nearest,
            )  # fmt: skip
            profile = (
                src.profile | grid | dict(zip(("height", "width"), values.shape[1:], strict=True))
            )
        with rasterio.open(path, "w", **profile) as dst:
            dst.write(values)
    ours, want = (open_stack(made[2], series) for series in (items / "items.json", made[1]))
    at = ours.dates.index(date.fromisoformat(day))
    one, two = ours.read(WHOLE), want.read(WHOLE)
    both = one.valid[at] & two.valid[at]
    assert both.mean() > 0.7
    away = np.abs(one.pixels[at][:, both] - two.pixels[at][:, both])
    assert np.median(away) < 0.01  # two resamplings of real ground


def test_items_of_another_place_are_left_out(made, items) -> None:
    def move(feature: dict[str, Any]) -> None:
        for asset in feature["assets"].values():
            path = items / asset["href"]
            if path.exists():
                with rasterio.open(path) as src:
                    values, profile = src.read(), src.profile
                t = profile["transform"]
                there = Affine(t.a, t.b, t.c + 90_000, t.d, t.e, t.f)
                with rasterio.open(path, "w", **{**profile, "transform": there}) as dst:
                    dst.write(values)

    first = json.loads((items / "items.json").read_text())["features"][0]
    move(first)
    stack = open_stack(made[0], items / "items.json")
    assert len(stack.dates) == 11
    assert "1 items show another place and are left out" in stack.notes
    (items / "one.json").write_text(json.dumps(first))
    with pytest.raises(InputError, match="no item of the series shows the place of"):
        open_stack(made[0], items / "one.json")


# -- what is refused ---------------------------------------------------------------------------


def test_items_that_say_they_lie_elsewhere_are_not_opened(made, items) -> None:
    listed = json.loads((items / "items.json").read_text())
    first = listed["features"][0]
    first["bbox"] = [side + 20 for side in first["bbox"]]
    first["assets"] = {"B02": {"href": "./nowhere.tif", "type": "image/tiff"}}
    (items / "items.json").write_text(json.dumps(listed))
    stack = open_stack(made[0], items / "items.json")
    assert len(stack.dates) == 11
    assert "1 items show another place and are left out" in stack.notes
    # Across the antimeridian, boxes cannot be compared so simply: the files are looked at.
    first["bbox"] = [179, 46, -179, 47]
    (items / "items.json").write_text(json.dumps(listed))
    with pytest.raises((InputError, RasterReadError), match="nowhere"):
        open_stack(made[0], items / "items.json")


def test_files_elsewhere_are_opened_only_if_the_user_trusts_the_items(items) -> None:
    away = items.parent / "away.tif"
    shutil.move(items / SCENE / "B04.tif", away)
    scene = edited(items / "item.json", lambda f: f["assets"]["red"].update(href="../away.tif"))
    with pytest.raises(InputError, match=r"asset red of .*item\.json is .*away\.tif, outside of"):
        open_stack(scene)
    assert open_stack(scene, trust_items=True).names[2] == "B04"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"href": "./none.tif"}, RasterReadError, r"none\.tif does not exist"),
        ({"href": "./item.json"}, RasterReadError, r"item\.json is not a GeoTIFF"),
        ({"href": f"./{SCENE}/SCL.tif"}, InputError, "bands of different types"),
        ({"bands": [{"name": "a"}, {"name": "B04"}]}, InputError, "speaks of band 2 of asset red"),
    ],
)
def test_an_asset_that_does_not_do_is_named(items, change, error, message) -> None:
    scene = edited(items / "item.json", lambda f: f["assets"]["red"].update(change))
    with pytest.raises(error, match=message):
        open_stack(scene, bands=("blue", "B04"))


def test_one_raster_has_one_nodata(items) -> None:
    scene = edited(
        items / "item.json", lambda f: f["assets"]["red"]["bands"][0].update(nodata=65535)
    )
    with pytest.raises(InputError, match=r"no data by different values \(0\.0, 65535\.0\)"):
        geot2t.inpaint(scene, method="linear")


def test_an_item_without_the_bands_of_the_scene_is_named(items, made) -> None:
    series = edited(items / "items.json", lambda f: f["assets"].pop("nir"))
    with pytest.raises(InputError, match=r"2022-06-02 has no band like B08 842 nm of the scene"):
        open_stack(made[0], series)


# -- fill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["prior", "linear"])
def test_items_are_filled_exactly_as_the_files_that_they_were_made_from(
    made, tmp_path, method
) -> None:
    scene, series, plain = made
    kept = {"window": 64, "overlap": 16, "method": method}
    ours = geot2t.inpaint(scene, tmp_path / "ours.tif", series=series, **kept)
    theirs = geot2t.inpaint(plain, tmp_path / "theirs.tif", series=plain.parent, **kept)
    assert ours.gap == theirs.gap > 0.2
    for end in ("", "_quality", "_error"):
        with rasterio.open(tmp_path / f"ours{end}.tif") as one:
            with rasterio.open(tmp_path / f"theirs{end}.tif") as two:
                np.testing.assert_array_equal(one.read(), two.read())
                for what in ("crs", "transform", "nodata", "scales", "descriptions"):
                    np.testing.assert_equal(getattr(one, what), getattr(two, what))
    check = [r.item["properties"]["geot2t:self_check"] for r in (ours, theirs)]
    assert check[0] == check[1]
    validate(json.loads((tmp_path / "ours.json").read_text()))
    validate(json.loads((tmp_path / "theirs.json").read_text()))
    assert all(result.ok for result in verify([ours.path]))


def test_the_whole_way_from_the_shell(items) -> None:
    arguments = ["inpaint", str(items / "item.json"), "--series", str(items / "items.json"),
                 "--bands", "red,nir", "--method", "linear"]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{items / 'item_filled.tif'}\n"
    for end in ("", "_quality", "_error"):
        out = items / f"item_filled{end}.tif"
        assert cog_validate(out, strict=True, quiet=True) == (True, [], []), "as its assets are"
    with rasterio.open(items / "item_filled.tif") as filled:
        assert filled.descriptions == ("B04", "B08")
        assert filled.tags()["ACQUISITION_DATE"] == SCENE
        assert filled.tags(1, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"] == "0.665"
    written = json.loads((items / "item_filled.json").read_text())
    validate(written)
    links = {Path(link["href"]).name for link in written["links"]}
    assert {"item.json", "B04.tif", "SCL.tif"} <= links
    assert {a: (v["type"].split("=")[-1], v["roles"]) for a, v in written["assets"].items()} == {
        "filled": ("cloud-optimized", ["data"]),
        "quality": ("cloud-optimized", ["metadata", "quality"]),
        "error": ("cloud-optimized", ["metadata", "uncertainty"]),
    }
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert "item_filled.tif exists; pass --overwrite to replace it" in again.stderr


def test_an_output_never_replaces_the_item(items) -> None:
    with pytest.raises(InputError, match=r"item\.json is an input"):
        geot2t.inpaint(items / "item.json", items / "item.tif", overwrite=True, method="linear")
    with pytest.raises(InputError, match=r"B02\.tif is an input"):
        geot2t.inpaint(
            items / "item.json", items / SCENE / "B02.tif", overwrite=True, method="linear"
        )


def test_info_describes_items(made, items) -> None:
    known = about(made[0])
    assert (known["date"], known["date_from"]) == (SCENE, "STAC datetime")
    assert [Path(b["file"]).name for b in known["bands"]] == [
        "B02.tif", "B03.tif", "B04.tif", "B08.tif"
    ]  # fmt: skip
    assert known["validity"] == ["nodata 0", "SCL SCL.tif", "mask shade.tif"]
    done = CliRunner().invoke(main, ["info", str(made[1])])
    assert done.exit_code == 0
    first, *rows = done.stdout.splitlines()
    assert first == f"{made[1]}: 12 scenes"
    assert rows[3].split()[0] == SCENE
    assert rows[3].endswith("items.json#S2_32TPS_2022-06-10")
    (items / "odd.json").write_text("{}")
    assert "not a STAC Item" in CliRunner().invoke(main, ["info", str(items / "odd.json")]).stderr


# -- outputs as items ------------------------------------------------------------------------------


def test_outputs_are_listed_and_read_again_without_what_was_predicted(made, tmp_path) -> None:
    scene, series, _ = made
    folder, other = tmp_path / "out", tmp_path / "other"
    for where, day in ((folder, SCENE), (other, "2022-06-27")):
        where.mkdir()
        geot2t.inpaint(series, where / f"{day}.tif", series=series, method="linear",
                       date=date.fromisoformat(day))  # fmt: skip
    alone = write_collection(folder)
    (one,) = json.loads(alone.read_text())["features"]
    assert one == json.loads((folder / f"{SCENE}.json").read_text())
    listed = write_collection(folder, [folder / f"{SCENE}.json", other / "2022-06-27.json"])
    assert listed == alone == folder / "items.json"
    features = json.loads(listed.read_text())["features"]
    for feature in features:
        validate(feature)
    assert features[1]["assets"]["filled"]["href"] == "../other/2022-06-27.tif"
    assert len(pystac.ItemCollection.from_file(str(listed))) == 2

    again = open_stack(listed, date=DAY, trust_items=True)
    first = open_stack(scene)
    block, want = again.read_scene(WHOLE), first.read_scene(WHOLE)
    np.testing.assert_array_equal(block.valid, want.valid)
    np.testing.assert_array_equal(block.values[:, want.valid], want.values[:, want.valid])
    assert again.names == first.names
    np.testing.assert_allclose(again.scale, first.scale)


def test_only_items_of_our_own_are_listed(made, tmp_path) -> None:
    with pytest.raises(InputError, match="there is no item that geot2t wrote in"):
        write_collection(tmp_path)
    with pytest.raises(InputError, match=r"not an item that geot2t wrote: .*item\.json"):
        write_collection(tmp_path, [made[0]])
    assert not list(tmp_path.iterdir())


def test_items_need_no_library_of_their_own(made) -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "sys.modules['pystac'] = sys.modules['pystac_client'] = None\n"
        "from geot2t.io import open_stack\n"
        f"print(len(open_stack({str(made[0])!r}, {str(made[1])!r}).dates))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "12\n"
    assert len(load_items(made[1])) == 12
