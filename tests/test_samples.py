"""Samples: plausible fills that differ as much as the truth may, wherever the scene is cut."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import geot2t
from geot2t.cli import main
from geot2t.draws import OCTAVES, USUAL, Draws, Spread, field, root, shares, tailed
from geot2t.errors import InputError
from geot2t.grid import Box, blocks
from geot2t.intervals import LAGS, Errors, correlations, likeness
from geot2t.io.checksums import verify
from geot2t.io.names import scenes_in
from geot2t.jobs import Result, inpaint

SHARE = shares(USUAL)


@pytest.fixture
def scene(tmp_path: Path, sample: Path) -> Path:
    """Three dates of the sample, the one in the middle cloudy."""
    for date in ("2022-06-10", "2022-06-12", "2022-06-20"):
        for file in sample.glob(f"{date}*.tif"):
            shutil.copy(file, tmp_path)
    return tmp_path / "2022-06-10.tif"


def drawn(scene: Path, samples: int, **options: Any) -> Result:
    return inpaint(
        scene, series=scene.parent, method="linear", samples=samples, overwrite=True, **options
    )


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def named(result: Result, what: str) -> Path:
    return result.path.with_name(f"{result.path.stem}_{what}.tif")


def draws(count: int = 1, seed: int = 0, bands: int = 1) -> Draws:
    return Draws(count, seed, lambda: (np.eye(bands), USUAL))


# The files


def test_observed_pixels_stay_and_predicted_ones_differ(scene: Path) -> None:
    plain = {p.name: p.read_bytes() for p in _rasters(drawn(scene, 0))}
    result = drawn(scene, 3)
    assert {p.name: p.read_bytes() for p in _rasters(result)} == plain
    before, quality = pixels(scene), pixels(named(result, "quality"))[0]
    each = [pixels(named(result, f"sample_{i:02}")) for i in (1, 2, 3)]
    for values in each:
        np.testing.assert_array_equal(values[:, quality == 1], before[:, quality == 1])
        with rasterio.open(scene) as one:
            assert not (values[:, quality >= 2] == one.nodata).any()
    assert (each[0] != each[1])[:, quality >= 2].mean() > 0.9


def _rasters(result: Result) -> list[Path]:
    return [result.path, named(result, "quality"), named(result, "error")]


def test_a_sample_is_a_raster_like_the_filled_one(scene: Path) -> None:
    result = drawn(scene, 1)
    with rasterio.open(result.path) as one, rasterio.open(named(result, "sample_01")) as two:
        assert one.profile == two.profile
        assert one.descriptions == two.descriptions
        assert one.tags() == two.tags()
        assert one.colorinterp == two.colorinterp
    assert not named(result, "spread").exists()  # of one sample there is none


def test_the_spread_is_the_deviation_of_the_samples(scene: Path) -> None:
    result = drawn(scene, 4)
    each = np.stack([pixels(named(result, f"sample_{i:02}")) for i in range(1, 5)])
    spread = pixels(named(result, "spread"))
    np.testing.assert_allclose(spread, each.astype("float64").std(0, ddof=1), rtol=1e-5)
    quality = pixels(named(result, "quality"))[0]
    assert (spread[:, quality == 1] == 0).all()
    assert (spread[:, quality >= 2] > 0).mean() > 0.95


def test_what_was_not_filled_is_nodata_in_samples_and_nan_in_the_spread(scene: Path) -> None:
    limit = float(np.median(pixels(named(drawn(scene, 0), "error"))[pixels(
        named(drawn(scene, 0), "error")) > 0]))  # fmt: skip
    result = drawn(scene, 2, max_error=limit)
    left = pixels(named(result, "quality"))[0] == 0
    assert left.any()
    with rasterio.open(scene) as file:
        assert (pixels(named(result, "sample_02"))[:, left] == file.nodata).all()
    assert np.isnan(pixels(named(result, "spread"))[:, left]).all()


def test_the_item_and_verify_know_them(scene: Path) -> None:
    result = drawn(scene, 2)
    assert {"sample_01", "sample_02", "spread"} <= set(result.item["assets"])
    assert all(v.ok for v in verify([result.path]))
    named(result, "sample_02").write_bytes(b"other")
    assert [v.path.name for v in verify([result.path]) if not v.ok] == [
        "2022-06-10_filled_sample_02.tif"
    ]
    assert not all(v.ok for v in verify([named(result, "sample_02")]))


def test_samples_of_an_earlier_run_are_refused_or_go(scene: Path) -> None:
    drawn(scene, 3)
    with pytest.raises(InputError, match="pass --overwrite"):
        inpaint(scene, method="linear")
    result = drawn(scene, 1)
    assert sorted(p.name for p in scene.parent.glob("*_sample_*")) == [
        "2022-06-10_filled_sample_01.tif"
    ]
    assert not named(result, "spread").exists()


def test_samples_are_no_scenes(scene: Path) -> None:
    drawn(scene, 2)
    assert [p.stem for p in scenes_in(scene.parent)] == ["2022-06-10", "2022-06-12", "2022-06-20"]


def test_the_result_does_not_depend_on_the_blocks(scene: Path) -> None:
    def both(**options: str) -> list[np.ndarray]:
        result = drawn(scene, 2, creation_options=options)
        return [pixels(named(result, f"sample_{i:02}")) for i in (1, 2)]

    for one, two in zip(both(), both(BLOCKXSIZE="64", BLOCKYSIZE="48"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_seed_draws_others_and_the_same_ones_again(scene: Path) -> None:
    first = pixels(named(drawn(scene, 1, seed=3), "sample_01"))
    np.testing.assert_array_equal(first, pixels(named(drawn(scene, 2, seed=3), "sample_01")))
    assert (first != pixels(named(drawn(scene, 1, seed=4), "sample_01"))).any()


def test_dates_err_each_in_its_own_way() -> None:
    box = Box(0, 0, 64, 64)
    days = (-3.0, 3.0, 19000.0, 19000.4, float("nan"))
    a, b, c, d, e = (Draws(1, 0, draws()._known, day).errors(box, 0) for day in days)
    np.testing.assert_array_equal(c, d)
    for one, two in ((a, b), (b, c), (c, e)):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("chunks", [None, {"x": 100, "y": 70}])
def test_a_cube_has_the_samples_of_the_files(scene: Path, chunks: dict[str, int] | None) -> None:
    result = drawn(scene, 2, clouds="none", window=64, overlap=16)
    cubes = [
        rioxarray.open_rasterio(path).assign_coords(time=np.datetime64(path.stem, "ns"))
        for path in scenes_in(scene.parent)
    ]
    cube = xr.concat(cubes, "time")
    cube = cube if chunks is None else cube.chunk(chunks)
    options = {"method": "linear", "clouds": "none", "window": 64, "overlap": 16}
    filled = geot2t.inpaint(cube, dates=scene.stem, samples=2, **options)
    assert filled["samples"].dims == ("sample", *filled["filled"].dims)
    assert (filled["samples"].chunks is not None) == (chunks is not None)
    for k in (0, 1):
        np.testing.assert_array_equal(
            filled["samples"][k, 0], pixels(named(result, f"sample_0{k + 1}"))
        )
    assert "samples" not in geot2t.inpaint(cube, dates=scene.stem, **options)
    with pytest.raises(InputError, match="0 to 999 samples"):
        geot2t.inpaint(cube, samples=-1)


def test_the_command_line_writes_them_and_says_so_in_json(scene: Path) -> None:
    result = CliRunner().invoke(
        main, ["inpaint", str(scene), "--method", "linear", "--samples", "2", "--json", "-q"]
    )
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["properties"]["geot2t:options"]["samples"] == 2
    assert said["assets"]["spread"]["roles"] == ["metadata", "uncertainty"]
    with pytest.raises(InputError, match="0 to 999 samples"):
        drawn(scene, 1000)


def test_memory_does_not_grow_with_the_number_of_samples(scene: Path) -> None:
    def peak(samples: int) -> int:
        tracemalloc.start()
        drawn(scene, samples)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)  # what is loaded once
    assert peak(12) < 1.1 * peak(2)


# What is drawn


@given(
    st.integers(-300, 300), st.integers(-300, 300), st.integers(1, 90), st.integers(1, 90),
    st.integers(1, 40), st.integers(1, 40),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_field_is_the_same_through_any_box(
    row: int, col: int, height: int, width: int, high: int, wide: int
) -> None:
    whole = Box(row, col, height, width)
    seen = field(whole, (7, 1), SHARE)
    for part in blocks(whole, high, wide):
        np.testing.assert_array_equal(field(part, (7, 1), SHARE), seen[part.within(whole)])


def test_errors_have_the_size_that_intervals_promise() -> None:
    errors = np.stack([draws(20).errors(Box(0, 0, 256, 256), k) for k in range(20)])
    assert (np.abs(errors) <= 1).mean() == pytest.approx(0.9, abs=0.01)
    assert errors.mean() == pytest.approx(0, abs=0.02)
    # Between the normal (0.78) and the Laplacian distribution (0.70).
    assert np.quantile(np.abs(errors), 0.8) == pytest.approx(0.732, abs=0.02)


def test_the_ninetieth_percentile_is_one_whatever_the_tails() -> None:
    np.testing.assert_allclose(tailed(np.array([0, 1.6448536, -1.6448536])), [0, 1, -1], atol=1e-4)


@pytest.mark.parametrize("alike", [USUAL, (0.9, 0.85, 0.8, 0.7, 0.6, 0.5), (0,) * 6])
def test_neighbours_are_as_alike_as_was_measured(alike: tuple[float, ...]) -> None:
    box, everywhere = Box(0, 0, 256, 256), np.ones((256, 256), bool)
    fields = np.stack([field(box, (0, k), shares(alike)) for k in range(24)])
    found = likeness(fields, np.ones_like(fields), everywhere).mean(0)
    np.testing.assert_allclose(found, alike, atol=0.08)
    assert fields.var() == pytest.approx(1, abs=0.1)


def test_shares_are_shares() -> None:
    for alike in (USUAL, (0.0,) * len(LAGS), (1.0,) * len(LAGS)):
        share = shares(alike)
        assert share.shape == (len(OCTAVES),)
        assert share.min() >= 0
        assert share.sum() == pytest.approx(1)


def test_bands_are_as_alike_as_their_errors() -> None:
    want = np.array([[1, 0.8, -0.3], [0.8, 1, 0], [-0.3, 0, 1]])
    source = Draws(1, 0, lambda: (want, USUAL))
    errors = np.concatenate([source.errors(Box(0, 0, 256, 256), k) for k in range(6)], 1)
    np.testing.assert_allclose(np.corrcoef(errors.reshape(3, -1)), want, atol=0.06)


def test_bands_that_are_copies_of_each_other_can_be_drawn() -> None:
    assert np.isfinite(root(np.ones((3, 3)))).all()


def test_correlations_are_measured_and_a_dead_band_has_none() -> None:
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((2, 5000))
    one = np.ones(5000)
    case = [
        Errors(e, one, one, one > 0) for e in (common, 0.6 * common + 0.8 * own, np.zeros(5000))
    ]
    np.testing.assert_allclose(
        correlations([case]), [[1, 0.6, 0], [0.6, 1, 0], [0, 0, 1]], atol=0.03
    )


def test_the_spread_is_that_of_numpy() -> None:
    values = np.random.default_rng(0).integers(0, 9, (7, 2, 3, 3))
    spread = Spread(values.shape[1:])
    for one in values:
        spread.add(one)
    np.testing.assert_allclose(spread.deviation(), values.std(0, ddof=1), rtol=1e-6)
