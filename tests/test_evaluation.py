"""An evaluation: nothing hidden is seen, and its figures are those worked out by hand."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

import geot2t
from geot2t import evaluation, metrics
from geot2t.cli import main
from geot2t.errors import InputError, OutputError
from geot2t.evaluation import KINDS, Evaluation, evaluate, shown
from geot2t.evaluation.cases import SHARES, Crop, cloud_cases, crop_boxes, date_cases, gap_cases
from geot2t.evaluation.fills import half_width, pick
from geot2t.evaluation.scoring import BUCKETS, Tally
from geot2t.evaluation.summary import Outcome, summed_up
from geot2t.fill import Prediction
from geot2t.grid import Box
from geot2t.io.series import gaps_in, open_series

HEIGHT, WIDTH, BANDS = 60, 72, 2
DAYS = ("2022-06-01", "2022-06-04", "2022-06-10", "2022-06-12", "2022-06-20", "2022-06-25")
PLACE = Affine(10, 0, 600_000, 0, -10, 5_000_000)
RED, NIR = 0, 1
WHOLE = [kind for kind in KINDS if kind not in SHARES]


def write(path: Path, values: np.ndarray, transform: Affine = PLACE, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "count": len(values), "height": values.shape[1],
        "width": values.shape[2], "dtype": values.dtype, "crs": "EPSG:32632",
        "transform": transform, **more,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as dst:
        dst.write(values)
        if len(values) == BANDS:
            dst.descriptions = ("red", "nir")
            dst.scales = (1e-4,) * BANDS
    return path


def cloud(row: int, col: int, height: int, width: int) -> np.ndarray:
    hidden = np.zeros((HEIGHT, WIDTH), bool)
    hidden[row : row + height, col : col + width] = True
    return hidden


MASKS = {"2022-06-04": cloud(0, 0, HEIGHT, 40), "2022-06-12": cloud(3, 4, 5, 5)}


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Six dates on which every sample of the series has a value of its own; two have clouds."""
    folder = tmp_path / "series"
    values = np.arange(1, len(DAYS) * BANDS * HEIGHT * WIDTH + 1, dtype="uint16")
    for day, date in zip(DAYS, values.reshape(len(DAYS), BANDS, HEIGHT, WIDTH), strict=True):
        write(folder / f"{day}.tif", date, nodata=0)
        if day in MASKS:
            write(folder / f"{day}_mask.tif", MASKS[day][None].astype("uint8"))
    return folder


class Mean:
    """The mean of all other dates, with fixed scale; keeps all values that it was ever given."""

    methods = ("network", "prior")

    def __init__(self) -> None:
        self.seen: set[float] = set()

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **around: Any
    ) -> dict[str, Prediction]:
        self.seen.update(np.unique(pixels).tolist())
        if around.get("around") is not None:
            self.seen.update(np.unique(around["around"].pixels).tolist())
        there = valid[:, :, None].astype("float32")
        there[:, target] = 0
        mean = (pixels * there).sum(1) / np.maximum(there.sum(1), 1)
        used = np.where(there.sum((1, 2)) > 0, 5, np.inf).astype("float32")
        off = {"network": 0.001, "prior": 0}
        return {n: Prediction(mean + np.float32(off[n]), np.full_like(mean, 0.01), used)
                for n in names}  # fmt: skip


def measured(series: Path, *arguments: Any, **options: Any) -> Evaluation:
    return evaluate(series, *arguments, **{"model": Mean(), "cases": 3, "window": 64,
                                           "overlap": 16, **options})  # fmt: skip


def valid_of(series: Path) -> np.ndarray:
    with open_series(series) as stack:
        return stack.read(stack.extent).valid


# What is hidden


valids = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).random((5, 24, 30)) > [[[0.0]], [[0.01]], [[0.6]],
                                                                    [[0.02]], [[1.0]]]
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(valids, st.integers(0, 100), st.sampled_from([0, 1, 3]))
def test_only_hidden_pixels_that_are_surely_observed_are_scored(valid, seed, margin):
    crop = Crop.of(Box(0, 0, 24, 30), valid, range(5), margin)
    assert set(crop.truths) <= {0, 1, 3}
    drawn = cloud_cases(crop, "abcde", 6, np.random.default_rng(seed))
    drawn += cloud_cases(crop, "abcde", 2, np.random.default_rng(seed), "overcast")
    for kind in WHOLE:
        drawn += date_cases(crop, kind, 3)
    for case in drawn:
        assert not (case.scored & ~(case.hidden & valid[case.target])).any()
        gone = np.argwhere(~valid[case.target])
        for pixel in np.argwhere(case.scored)[:20]:
            assert not len(gone) or np.hypot(*(gone - pixel).T).min() > margin
        assert case.target not in case.without
        assert case.kind not in SHARES or not case.hidden.all()


def test_equal_seeds_draw_equal_cases_and_others_do_not(series):
    crop = Crop.of(Box(0, 0, HEIGHT, WIDTH), valid_of(series), range(6), 2)
    one, two, other = (cloud_cases(crop, DAYS, 8, np.random.default_rng(s)) for s in (1, 1, 2))
    same = [np.array_equal(a.hidden, b.hidden) for a, b in zip(one, two, strict=True)]
    assert all(same)
    assert not all(np.array_equal(a.hidden, b.hidden) for a, b in zip(one, other, strict=True))
    origins = {case.origin for case in one}
    assert origins == {"2022-06-04", "library"}


def test_clouds_hide_the_share_that_their_kind_says(series):
    crop = Crop.of(Box(0, 0, HEIGHT, WIDTH), valid_of(series), range(6), 2)
    for kind, (least, greatest) in SHARES.items():
        drawn = cloud_cases(crop, DAYS, 6, np.random.default_rng(0), kind)
        assert len(drawn) == 6
        assert all(least <= case.hidden.mean() <= greatest for case in drawn)


def test_whole_dates_take_their_neighbours_along(series):
    crop = Crop.of(Box(0, 0, HEIGHT, WIDTH), valid_of(series), range(6), 2)
    assert crop.truths == (0, 2, 3, 4, 5)
    gone = {kind: [(c.target, c.without) for c in date_cases(crop, kind, 9)] for kind in WHOLE}
    assert gone["missing"] == [(2, ()), (3, ()), (4, ())]
    assert gone["consecutive"] == [(2, (1, 3)), (3, (2, 4)), (4, (3, 5))]
    assert gone["first"] == [(0, ())]
    assert gone["last"] == [(5, ())]


def test_the_last_date_is_the_last_that_the_methods_know():
    valid = np.ones((4, 20, 20), bool)
    valid[3] = False
    crop = Crop.of(Box(0, 0, 20, 20), valid, range(4), 2)
    (case,) = date_cases(crop, "last", 1)
    assert (case.target, case.without) == (2, (3,))


def test_without_clear_dates_the_clearest_serve():
    valid = np.ones((5, 20, 20), bool)
    for i, share in enumerate((2, 9, 4, 6, 12)):
        valid[i, :share] = False
    crop = Crop.of(Box(0, 0, 20, 20), valid, range(5), 0)
    assert crop.truths == (0, 2, 3)


def test_large_scenes_are_cut_and_small_ones_are_not():
    assert crop_boxes(Box(0, 0, 512, 300), 512, 0) == [Box(0, 0, 512, 300)]
    boxes = crop_boxes(Box(0, 0, 1300, 600), 512, 0)
    assert len(set(boxes)) == 6
    assert {(b.height, b.width) for b in boxes} == {(512, 512)}


@pytest.mark.parametrize("kind", KINDS)
def test_no_method_is_given_a_value_that_is_hidden(series, kind, monkeypatch):
    monkeypatch.setattr(shown, "MOST_DATES", 4)  # so that dates are shortlisted too
    spy = Mean()
    result = measured(series, model=spy, kinds=[kind], cases=1)
    with open_series(series) as stack:
        (case,) = result.results["cases"]
        dates = [d.isoformat() for d in stack.dates]
        block = stack.read(stack.extent)
    at = dates.index(case["date"])
    hidden = {float(v) for i in map(dates.index, case["without"])
              for v in np.unique(block.pixels[i])} - {0.0}  # fmt: skip
    if kind in SHARES:
        _, valid = next(iter(drawn_again(series, kind)))
        hidden |= set(np.unique(block.pixels[at][:, ~valid]).tolist())
    else:
        hidden |= set(np.unique(block.pixels[at]).tolist())
    assert len(hidden - {0.0}) > 100
    assert spy.seen.isdisjoint(hidden - {0.0})
    assert len(spy.seen) > 1000


def drawn_again(series: Path, kind: str):
    """Targets of the cases under clouds, and what of them is left to see."""
    valid = valid_of(series)
    crop = Crop.of(Box(0, 0, HEIGHT, WIDTH), valid, range(6), 4)
    for case in cloud_cases(crop, DAYS, 1, np.random.default_rng(0), kind):
        yield case.target, valid[case.target] & ~case.hidden


def test_what_is_hidden_does_not_choose_the_dates(series, monkeypatch):
    monkeypatch.setattr(shown, "MOST_DATES", 3)
    crop = Crop.of(Box(0, 0, HEIGHT, WIDTH), valid_of(series), range(6), 4)
    (case,) = gap_cases(
        crop, [("gap", cloud(0, 20, HEIGHT, 40))], 1, np.random.default_rng(3)
    )  # fmt: skip
    path = series / f"{DAYS[case.target]}.tif"

    def seen() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with open_series(series) as stack:
            block = shown.held(stack, case, seed=0).block
        return block.pixels, block.valid, block.days

    before = seen()
    with rasterio.open(path, "r+") as file:
        values = file.read()
        values[:, case.hidden] = np.random.default_rng(0).integers(1, 9999, case.hidden.sum())
        file.write(values)
    for one, other in zip(before, seen(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(before[2]) == 3


# What is measured


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dates of one value each, red and near infrared, so that every error can be worked out."""
    folder = tmp_path_factory.mktemp("flat")
    for day, (red, nir) in zip(
        DAYS, ((1000, 3000), (1100, 3100), (1300, 3400), (1200, 3300), (900, 2800), (1000, 3000)),
        strict=True,
    ):  # fmt: skip
        values = np.stack([np.full((HEIGHT, WIDTH), v, "uint16") for v in (red, nir)])
        write(folder / f"{day}.tif", values)
    return folder


def test_errors_are_those_worked_out_by_hand(flat):
    results = measured(flat, kinds=["missing"], cases=9).results
    case = next(c for c in results["cases"] if c["date"] == "2022-06-12")
    nearest = case["scores"]["nearest"]  # of 10 June: 100 too much in both bands
    assert nearest["mae"] == pytest.approx(100, rel=1e-4)
    assert nearest["bias"] == pytest.approx(100, rel=1e-4)
    assert nearest["rmse"] == pytest.approx(100, rel=1e-4)
    assert nearest["psnr"] == pytest.approx(40, abs=1e-3)  # 0.01 of reflectance
    ndvi = abs((0.34 - 0.13) / (0.34 + 0.13) - (0.33 - 0.12) / (0.33 + 0.12))
    assert nearest["ndvi"] == pytest.approx(ndvi, rel=1e-4)
    assert nearest["nbr"] is None
    angle = [math.atan2(0.13, 0.34), math.atan2(0.12, 0.33)]
    assert nearest["sam"] == pytest.approx(math.degrees(angle[0] - angle[1]), rel=1e-3)
    # 2 of the 10 days from 10 to 20 June have gone by.
    assert case["scores"]["linear"]["mae"] == pytest.approx(
        ((1300 - 80 - 1200) + (3400 - 120 - 3300)) / 2 + 20, rel=1e-3
    )
    red, nir = case["by_band"]["next"]
    assert (red["bias"], nir["bias"]) == pytest.approx((-300, -500), rel=1e-4)
    assert (red["band"], nir["band"]) == ("red", "nir")
    assert case["pixels"] == HEIGHT * WIDTH
    assert results["unit"] == "file units of 0.0001"


def test_intervals_and_ratios_are_those_of_the_cases(flat):
    results = measured(flat, kinds=["missing"], cases=9).results
    summary = results["summary"]["missing"]
    ratios = [c["scores"]["next"]["mae"] / c["scores"]["linear"]["mae"] for c in results["cases"]]
    assert summary["next"]["to_linear"]["mean"] == pytest.approx(np.mean(ratios))
    errors = np.array(
        [[c["scores"][m]["mae"] for m in ("next", "linear")] for c in results["cases"]]
    )
    assert summary["next"]["to_linear"]["of_means"]["mean"] == pytest.approx(
        errors[:, 0].mean() / errors[:, 1].mean()
    )
    alone = summary["linear"]["to_linear"]
    assert [alone[k] for k in ("mean", "low", "high", "median")] == [1, 1, 1, 1]
    for method, scores in summary.items():
        mine = [c["scores"][method]["mae"] for c in results["cases"]]
        assert scores["mae"]["low"] <= np.mean(mine) <= scores["mae"]["high"]
        assert scores["mae"]["median"] == pytest.approx(np.median(mine))
    assert sum(s["wins"] for s in summary.values()) == pytest.approx(1)
    ranked = [summary[m]["mae"]["mean"] for m in results["methods"]]
    assert ranked == sorted(ranked)


def test_geot2t_is_what_its_self_check_chose(series):
    for case in measured(series, kinds=["cloud"]).results["cases"]:
        assert set(case["chosen"]) <= set(Mean.methods)
        if len(set(case["chosen"])) == 1:
            assert case["scores"]["geot2t"]["mae"] == case["scores"][case["chosen"][0]]["mae"]


def test_every_scored_pixel_is_in_one_bucket(series):
    results = measured(series, kinds=["cloud", "missing"]).results
    scored = sum(case["pixels"] for case in results["cases"] if case["kind"] == "cloud")
    for key in BUCKETS:
        rows = results["by"][key]
        assert sum(row["pixels"] for row in rows) == scored
        for method in results["methods"]:
            mae = sum(row["pixels"] * row["methods"][method]["mae"] for row in rows) / scored
            cases = [c for c in results["cases"] if c["kind"] == "cloud"]
            pooled = sum(c["pixels"] * c["scores"][method]["mae"] for c in cases) / scored
            assert mae == pytest.approx(pooled, rel=1e-6)


def test_buckets_are_found_by_size_distance_days_and_evidence(series, tmp_path):
    gap = write(tmp_path / "gap.tif", cloud(20, 30, 20, 20)[None].astype("uint8"))
    results = measured(series, gaps=gap, kinds=["cloud"], cases=20).results
    assert {c["cloud"] for c in results["cases"]} == {"gap.tif"}
    assert len(results["cases"]) == 5  # once for each clear date
    by = {key: {(r["from"], r["to"]): r["pixels"] for r in rows}
          for key, rows in results["by"].items()}  # fmt: skip
    assert by["gap_px"] == {(64, 1000): 5 * 400}
    assert by["distance_px"] == {(None, 4): 5 * (400 - 12 * 12), (4, 16): 5 * 12 * 12}
    assert by["observed"] == {(90, None): 5 * 400}
    half = 5 * 400 // 2  # in the other half, the cloud of 4 June hides that date
    assert by["evidence"] == {(3, 5): 2 * half}
    assert by["days"][None, 5] + by["days"][5, 15] == 5 * 400


def test_several_bands_of_a_gap_raster_are_several_gaps(series, tmp_path):
    two = np.stack([cloud(0, 40, 30, 20), cloud(30, 0, 20, 20)]).astype("uint8")
    path = write(tmp_path / "gaps.tif", two.astype("uint8"))
    results = measured(series, gaps=path, kinds=["cloud"], cases=20).results
    assert {c["cloud"] for c in results["cases"]} == {"gaps.tif band 1", "gaps.tif band 2"}
    with open_series(series) as stack, gaps_in(path, stack) as gaps:
        read = [gap.read(stack.extent)[0] for gap in gaps]
    np.testing.assert_array_equal(read, two > 0)


def test_a_gap_raster_that_was_written_again_is_read_again(series, tmp_path):
    for columns in (20, 40):
        gap = cloud(0, 0, HEIGHT, columns).astype("uint8")[None]
        path = write(tmp_path / "gap.tif", gap)
        results = measured(series, gaps=path, kinds=["cloud"], cases=1, margin=0).results
        pixels = sum(row["pixels"] for row in results["by"]["gap_px"])
        assert 0.9 * HEIGHT * columns < pixels <= HEIGHT * columns


def test_coverage_of_laplacian_errors_is_nominal():
    error = np.full((1, 200, 200), 0.02, "float32")
    drawn = np.random.default_rng(0).laplace(0, 0.02, error.shape)
    for level in (0.5, 0.9, 0.95):
        share = (np.abs(drawn) <= half_width(error, level)).mean()
        assert share == pytest.approx(level, abs=0.01)


def test_the_calibration_curve_meets_the_coverage_at_its_level(series):
    results = measured(series, kinds=["cloud"]).results
    curve = results["calibration"]["linear"]
    cases = results["cases"]
    weights = [c["pixels"] for c in cases]
    pooled = np.average([c["scores"]["linear"]["coverage"] for c in cases], weights=weights)
    assert curve["measured"][curve["nominal"].index(0.9)] == pytest.approx(pooled)
    assert curve["measured"] == sorted(curve["measured"])


def test_a_mean_over_cases_has_an_interval():
    values = np.random.default_rng(0).normal(5, 1, 400)
    mean, low, high = metrics.mean_interval(values)
    assert mean == values.mean()
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.1)
    assert metrics.mean_interval(np.array([3.0])) == (3, 3, 3)
    with pytest.raises(InputError, match="one case"):
        metrics.mean_interval(np.array([]))


def test_a_perfect_reference_has_no_ratios_and_shares_its_wins():
    def outcome(errors: dict[str, float]) -> Outcome:
        scores = {m: {"mae": mae, "psnr": None} for m, mae in errors.items()}
        sums = Tally({k: np.ones((4, len(b))) for k, b in BUCKETS.items()}, np.zeros(5), 1)
        return Outcome({"kind": "last", "scores": scores}, dict.fromkeys(errors, sums))

    cases = [{"linear": 0, "nearest": 0, "median": 2}, {"linear": 0, "nearest": 1, "median": 2}]
    results = summed_up([outcome(case) for case in cases], list(cases[0]), seed=0)
    summary = results["summary"]["last"]
    assert summary["median"]["to_linear"] is None
    assert summary["median"]["psnr"] is None
    assert {m: s["wins"] for m, s in summary.items()} == {
        "linear": 0.75, "nearest": 0.25, "median": 0
    }  # fmt: skip
    assert results["methods"] == ["linear", "nearest", "median"]


def test_numbers_are_the_same_in_whatever_folder_and_however_often(series):
    first, second = (measured(series).results for _ in range(2))
    assert first == second
    other = measured(series, seed=1).results
    assert other["cases"] != first["cases"]


def test_without_a_scale_ten_thousand_is_taken_for_one(tmp_path):
    for day, value in zip(DAYS, (1000, 1100, 1300, 1200, 900, 1000), strict=True):
        write(tmp_path / f"{day}.tif", np.full((1, HEIGHT, WIDTH), value, "uint16"))
    found = measured(tmp_path, kinds=["missing"], cases=9)
    assert "the files state no scale: 10000 is taken for the reflectance 1" in found.warnings
    case = next(c for c in found.results["cases"] if c["date"] == "2022-06-12")
    assert case["scores"]["nearest"]["psnr"] == pytest.approx(40, abs=1e-3)
    assert found.results["unit"] == "file units"
    assert case["scores"]["nearest"]["sam"] is None


def test_a_large_scene_is_evaluated_on_crops(series):
    found = measured(series, kinds=["cloud", "first"], cases=4, crop=32)
    boxes = {tuple(case["box"]) for case in found.results["cases"]}
    assert len(boxes) == 4
    assert all(box[2:] == (32, 32) for box in boxes)
    assert [c["kind"] for c in found.results["cases"]].count("cloud") == 4
    assert "the scene is large: 4 crops of 32 px stand for it" in found.warnings


def test_what_the_cloud_mask_marks_is_never_scored_nor_seen(series, tmp_path):
    mask = write(tmp_path / "sea.tif", cloud(0, 36, HEIGHT, 36)[None].astype("uint8"))
    found = measured(series, cloud_mask=mask, kinds=["missing"], margin=0)
    # Half of each date is gone, so that the clearest serve; the five that are clear elsewhere.
    assert {case["pixels"] for case in found.results["cases"]} <= {HEIGHT * 36, HEIGHT * 36 - 25}
    assert any("clearest serve as truth" in text for text in found.warnings)


# Which methods


def test_all_methods_or_those_that_are_named():
    model = ("network", "prior", "linear")
    assert pick("all", model)[0][:4] == ("geot2t", "network", "prior", "linear")
    assert pick("whittaker, prior", model)[0] == ("geot2t", "prior", "linear", "whittaker")
    assert pick(["median", "next"], model)[0] == ("geot2t", "linear", "next", "median")
    assert pick("all", ["prior"])[0][:3] == ("geot2t", "prior", "linear")
    with pytest.raises(InputError, match="no method 'prio'; there are all, geot2t, network"):
        pick("prio", model)
    with pytest.raises(InputError, match="the model has no method 'network'"):
        pick("network", ["prior"])


def test_biharmonic_is_left_out_and_that_is_said_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    methods, (note,) = pick("all", ["prior"])
    assert "biharmonic" not in methods
    assert note.startswith("biharmonic is left out: the method biharmonic needs scikit-image")
    with pytest.raises(InputError, match="needs scikit-image"):
        pick("biharmonic", ["prior"])


def test_the_shipped_model_and_none(sample, tmp_path):
    for path in sorted(sample.glob("2022-06-*.tif")):
        with rasterio.open(path) as src:
            cut = src.read(window=((0, 64), (0, 64)) if "SCL" not in path.name else None)
            if "SCL" in path.name:
                cut = np.kron(cut[0], np.ones((256 // src.height,) * 2, "uint8"))[None, :64, :64]
            profile = {"nodata": src.nodata} if src.nodata is not None else {}
            scales, names = src.scales, src.descriptions
        with rasterio.open(
            tmp_path / path.name, "w", driver="GTiff", count=len(cut), height=64, width=64,
            dtype=cut.dtype, crs="EPSG:32632", transform=PLACE, **profile,
        ) as dst:  # fmt: skip
            dst.write(cut)
            dst.scales, dst.descriptions = scales, names
    kinds = ["cloud"]
    with_network = evaluate(tmp_path, cases=1, kinds=kinds, against="network,prior", device="cpu")
    without = evaluate(tmp_path, cases=1, kinds=kinds, against="prior", model="none")
    assert with_network.results["options"]["model"]["name"] == "t2t-gan"
    assert set(without.results["methods"]) == {"geot2t", "prior", "linear"}
    (one,), (two,) = with_network.results["cases"], without.results["cases"]
    assert one["scores"]["prior"] == two["scores"]["prior"]
    assert one["scores"]["prior"]["mae"] < one["scores"]["linear"]["mae"]
    assert set(two["chosen"]) <= {"prior", "linear"}


# Where it is read from and written to


def test_the_grid_of_most_dates_is_used(series):
    write(series / "2022-05-20.tif", np.full((2, HEIGHT, WIDTH), 500, "uint16"),
          Affine(10, 0, 600_004, 0, -10, 5_000_000))  # fmt: skip
    with open_series(series) as stack:
        assert len(stack.dates) == 7
        assert stack.targets == (1, 2, 3, 4, 5, 6)
        pixels, valid = stack.read_date(0, stack.extent)
    assert valid.mean() > 0.8
    np.testing.assert_allclose(pixels[:, valid], 0.05, rtol=1e-4)
    assert {c["date"] for c in measured(series).results["cases"]} <= set(DAYS)


def test_a_single_date_can_be_filled_in_space_alone(series):
    found = measured(series / "2022-06-01.tif", against="fillnodata")
    assert {c["kind"] for c in found.results["cases"]} == set(SHARES)
    assert "the series gives no case of the kind 'missing'" in found.warnings


def test_results_report_and_figures_are_written(series, tmp_path):
    out = tmp_path / "out" / "deep"
    found = measured(series, out)
    assert found.report == out / "report.html"
    assert json.loads((out / "results.json").read_text()) == found.results
    assert (out / "figures" / "ratio_to_linear.svg").is_file()
    text = found.report.read_text()
    assert found.results["cases"][0]["date"] in text
    assert text.count("data:image/png") >= 5 * 4
    assert {p.case for p in found.pictures} <= {c["id"] for c in found.results["cases"]}


def test_pictures_show_the_gap_in_white_and_what_was_not_observed_in_grey(series):
    found = measured(series, kinds=["cloud"], cases=6)
    picture = found.pictures[0]
    assert picture.scene.shape == (HEIGHT, WIDTH, 3)
    white, grey = ((picture.scene == value).all(-1) for value in (255, 128))
    assert white.any()
    assert (picture.scene[~white] == picture.truth[~white]).all()
    for fill in picture.fills.values():
        np.testing.assert_array_equal(fill[~white & ~grey], picture.truth[~white & ~grey])


def test_results_are_refused_not_replaced(series, tmp_path):
    measured(series, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"results\.json exists; pass --overwrite"):
        measured(series, tmp_path, seed=1)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    measured(series, tmp_path, seed=1, overwrite=True)
    assert before[tmp_path / "results.json"] != (tmp_path / "results.json").read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        measured(series, tmp_path / "file")


def test_a_failure_leaves_nothing_behind(series, tmp_path, monkeypatch):
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(evaluation, "summed_up", fails)
    with pytest.raises(RuntimeError):
        measured(series, tmp_path / "out")
    assert not (tmp_path / "out").exists()


BAD: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "kind": ("no kind of case 'clouds'; there are cloud", lambda _: {"kinds": ["clouds"]}),
    "cases": ("cases must be at least 1, got 0", lambda _: {"cases": 0}),
    "margin": ("margin must be at least 0", lambda _: {"margin": -1}),
    "crop": ("crop must be at least 32", lambda _: {"crop": 8}),
    "window": ("the window must be at least 32", lambda _: {"window": 8}),
    "gaps": ("does not exist", lambda f: {"gaps": f / "none.tif"}),
    "device": ("no device", lambda _: {"device": "abacus", "model": None}),
}


@pytest.mark.parametrize("wrong", BAD)
def test_bad_input_is_one_line(series, wrong):
    message, options = BAD[wrong]
    with pytest.raises(geot2t.Geot2tError, match=message):
        measured(series, **options(series))


def test_a_series_without_truth_is_one_line(tmp_path):
    write(tmp_path / "2022-06-01.tif", np.zeros((2, HEIGHT, WIDTH), "uint16"), nodata=0)
    with pytest.raises(InputError, match="no date shows 50 % of the place"):
        measured(tmp_path)
    with pytest.raises(InputError, match="no scene"):
        measured(tmp_path / "empty*")
    with pytest.raises(InputError, match="a series needs at least one scene"):
        evaluate([])


def test_a_folder_made_for_nothing_goes_again(series, tmp_path):
    wrong = tmp_path / "wrong.tif"
    with pytest.raises(geot2t.Geot2tError):
        measured(series, tmp_path / "new" / "out", gaps=wrong)
    assert not (tmp_path / "new").exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(geot2t.Geot2tError):
        measured(series, kept, gaps=wrong)
    assert kept.exists()


# The benchmark and the command line


def test_the_benchmark_evaluates_a_cube(root, tmp_path):
    rng = np.random.default_rng(0)
    ground = rng.integers(1000, 3000, (2, 48, 40))
    bands = np.stack([ground + 100 * i for i in range(5)]).astype("uint16")
    np.savez(
        tmp_path / "cube.npz", bands=bands, mask=np.zeros((5, 48, 40), "uint8"),
        dates=np.array([f"month-{i:02}" for i in range(1, 6)]), band_names=np.array(["B04", "B08"]),
        crs=np.array("EPSG:32632"), transform=np.array([10.0, 0, 5e5, 0, -10, 5e6]),
    )  # fmt: skip
    command = [
        sys.executable, root / "benchmarks" / "accuracy.py", tmp_path / "cube.npz", "--model",
        "none", "--cases", "2", "--json", tmp_path / "out.json",
    ]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    head, rule, one, two, mean, _ = done.stdout.splitlines()
    assert "| prior / linear | geot2t / linear | geot2t / prior |" in head
    assert set(rule) <= set("| -")
    results = json.loads((tmp_path / "out.json").read_text())
    assert [c["date"] for c in results["cases"]] == [one.split(" | ")[1], two.split(" | ")[1]]
    assert f"| {results['summary']['cloud']['nearest']['mae']['mean']:.1f} |" in mean


@pytest.fixture
def _quick_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "load", lambda *_: (Mean(), {"name": "mean"}))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *(str(a) for a in arguments)])


@pytest.mark.usefixtures("_quick_model")
def test_the_command_prints_a_table_and_where_the_page_is(series, tmp_path):
    result = run(series, "-o", tmp_path / "out", "--cases", "3", "--window", "64",
                 "--overlap", "16", "--against", "linear,median", "--against", "next")  # fmt: skip
    assert result.exit_code == 0, result.output
    said = result.stdout.splitlines()
    assert said[0] == f"{series}: errors in file units of 0.0001"
    assert said[2].startswith("cloud: gaps in the shape of real clouds; 3 cases, ")
    heads = said[3].split()
    assert heads[:4] == ["method", "MAE", "RMSE", "bias"]
    named = [line.split()[0] for line in said[4:8]]
    assert sorted(named) == ["geot2t", "linear", "median", "next"]
    assert "MAE by size of the gap in pixels (cloud)" in said
    assert "MAE by band (cloud)" in said
    assert said[-1] == str(tmp_path / "out" / "report.html")
    assert all(line.startswith("Note: ") for line in result.stderr.splitlines())


@pytest.mark.usefixtures("_quick_model")
def test_the_command_prints_json_and_takes_all_its_options(series, tmp_path):
    gap = write(tmp_path / "gap.tif", cloud(20, 30, 20, 20)[None].astype("uint8"))
    result = run(
        series / "*.tif", "--gaps", gap, "--against", "prior", "--kinds", "cloud,last", "--cases",
        "2", "--margin", "1.5", "--crop", "64", "--clouds", "qa", "--cloud-mask",
        series / "2022-06-12_mask.tif", "--overwrite", "--device", "cpu", "--window", "64",
        "--overlap", "8", "--batch", "2", "--seed", "5", "--json", "-q",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    results = json.loads(result.stdout)
    assert results["format"] == "geot2t-evaluation/1"
    assert results["seed"] == 5
    assert results["options"] == {
        "gaps": str(gap), "against": ["prior"], "kinds": ["cloud", "last"], "cases": 2,
        "margin": 1.5, "crop": 64, "clouds": "qa",
        "cloud_mask": str(series / "2022-06-12_mask.tif"), "model": {"name": "mean"},
        "window": 64, "overlap": 8, "batch": 2, "reflectance_1": 1,
    }  # fmt: skip
    assert set(results["methods"]) == {"geot2t", "prior", "linear"}
    assert set(results["summary"]) == {"cloud", "last"}


@pytest.mark.usefixtures("_quick_model")
def test_what_cannot_be_done_is_one_line_on_stderr(series, tmp_path):
    (tmp_path / "report.html").touch()
    for arguments, message in (
        (["--against", "lineal"], "Error: no method 'lineal'; there are all, geot2t"),
        (["--kinds", "cloudy"], "Error: no kind of case 'cloudy'"),
        (["-o", tmp_path], f"Error: {tmp_path / 'report.html'} exists; pass --overwrite"),
    ):
        result = run(series, *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(message)
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == ""
