"""Whole dates of a series: observed ones as they are, others predicted, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner
from PIL import Image

import geot2t
from geot2t import blind, jobs, seasons
from geot2t.calibrate import chosen, self_check
from geot2t.cli import main
from geot2t.errors import InputError
from geot2t.fill import Around, Block, Prediction
from geot2t.grid import Box
from geot2t.io.checksums import verify
from geot2t.io.header import read_header
from geot2t.io.stack import open_stack

HEIGHT, WIDTH = 90, 70
DAYS = ["2024-05-01", "2024-05-06", "2024-05-11", "2024-05-16", "2024-05-21", "2024-05-26"]
SMALL: dict[str, Any] = {"window": 64, "overlap": 16}


class Methods:
    """Linear interpolation, and the nearest date; both expect errors of 5."""

    methods: tuple[str, ...] = ("nearest", "straight")

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        out = {}
        known = {"straight": geot2t.baselines.linear, "nearest": geot2t.baselines.nearest}
        for name in names:
            said = known[name](pixels, valid, days, target)
            out[name] = Prediction(said.mean, np.full_like(said.mean, 5), said.days)
        return out


def disc(row: int = 40, col: int = 30, radius: int = 20) -> np.ndarray:
    rows, cols = np.ogrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - row, cols - col) < radius


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Dates of ground that rises by 10 a day, with a noise of 3; the third has a gap."""
    folder = tmp_path / "dates"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    for i, day in enumerate(DAYS):
        values = 1000 + 3 * rows + 2 * cols + 50 * i + np.array([0, 400])[:, None, None]
        values = (values + rng.normal(0, 3, values.shape)).round().astype("uint16")
        if i == 2:
            values[:, disc()] = 0
        with rasterio.open(
            folder / f"{day}.tif", "w", driver="GTiff", height=HEIGHT, width=WIDTH, count=2,
            dtype="uint16", nodata=0, crs="EPSG:32632",
            transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
        ) as file:  # fmt: skip
            file.write(values)
            file.descriptions = ("red", "nir08")
            file.update_tags(ACQUISITION_DATE=day, PRODUCT=f"X_{day.replace('-', '')}", WHO="me")
    return folder


def make(series: Path, out: Path, dates: Any = (), **options: Any) -> seasons.Season:
    options = {"model": Methods(), **SMALL, **options}
    return geot2t.interpolate(series, out, dates, **options)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def beside(path: Path, kind: str) -> np.ndarray:
    return read(path.with_name(f"{path.stem}_{kind}.tif"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- what is written ---


def test_a_date_that_was_observed_is_its_inpaint(series, tmp_path) -> None:
    (path,) = make(series, tmp_path / "out", "2024-05-11").paths
    scene = series / "2024-05-11.tif"
    filled = jobs.inpaint(
        scene, tmp_path / "filled.tif", series=series, model=Methods(), **SMALL
    ).path
    np.testing.assert_array_equal(read(path), read(filled))
    for kind in ("quality", "error"):
        np.testing.assert_array_equal(beside(path, kind), beside(filled, kind))
    seen = ~disc()
    np.testing.assert_array_equal(read(path)[:, seen], read(scene)[:, seen])


def test_a_date_between_is_predicted_everywhere_and_stands_in_its_place(series, tmp_path) -> None:
    found = make(series, tmp_path / "out", date(2024, 5, 13))
    (path,) = found.paths
    assert path.name == "2024-05-13.tif"
    truth = read(series / "2024-05-16.tif").astype(float) - 30
    assert np.abs(read(path) - truth).mean() < 5
    provenance, days = beside(path, "quality")
    assert (provenance == 2).all()
    assert set(np.unique(days)) == {2, 3}, "the 11th, and where that has its gap the 16th"
    with rasterio.open(path) as mine, rasterio.open(series / "2024-05-11.tif") as like:
        for key in ("crs", "transform", "dtypes", "nodata", "descriptions", "colorinterp"):
            assert getattr(mine, key) == getattr(like, key), key
        assert mine.tags()["WHO"] == "me"
        assert not {"ACQUISITION_DATE", "PRODUCT"} & set(mine.tags()), "they tell another day"
    assert read_header(path).date == date(2024, 5, 13)


def test_each_raster_has_its_item_and_the_folder_its_list(series, tmp_path) -> None:
    found = make(series, tmp_path / "out", ["2024-05-13", "2024-05-11"])
    listed = json.loads(found.collection.read_text())
    whens = [feature["properties"]["datetime"] for feature in listed["features"]]
    assert whens == ["2024-05-11T00:00:00Z", "2024-05-13T00:00:00Z"]
    said = found.results[1].item["properties"]
    assert said["geot2t:gap_fraction"] == 1
    assert said["geot2t:dates_used"] == DAYS
    assert said["geot2t:self_check"]["hidden_dates"] >= 3
    assert all(r.ok for r in verify(found.paths))


def test_what_was_written_is_no_evidence_for_the_next_run(series, tmp_path) -> None:
    make(series, series, "2024-05-13")
    again = make(series, tmp_path / "out", "2024-05-14")
    assert again.results[0].item["properties"]["geot2t:dates_used"] == DAYS


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"every": "10d"}, ["2024-05-01", "2024-05-11", "2024-05-21"]),
        ({"every": 12, "start": "2024-04-25", "end": "2024-05-20"}, ["2024-04-25", "2024-05-07", "2024-05-19"]),  # noqa: E501
        ({"every": "1w", "end": "2024-05-10", "dates": "2024-05-03"}, ["2024-05-01", "2024-05-03", "2024-05-08"]),  # noqa: E501
        ({"every": "1m", "start": "2024-01-31", "end": "2024-04-01"}, ["2024-01-31", "2024-02-29", "2024-03-31"]),  # noqa: E501
        ({"every": "1y", "start": "2023-06-01", "end": "2025-01-01"}, ["2023-06-01", "2024-06-01"]),
    ],
)  # fmt: skip
def test_days_may_be_named_or_counted(series, asked, expected) -> None:
    with open_stack(series / f"{DAYS[0]}.tif", series) as stack:
        assert [str(day) for day in seasons.asked(stack, **asked)] == expected


@pytest.mark.parametrize("driver", ["NetCDF", "Zarr"])
def test_a_cube_holds_the_pixels_of_the_rasters(series, tmp_path, driver) -> None:
    asked = ["2024-05-13", "2024-05-11", "2024-06-02"]
    rasters = make(series, tmp_path / "out", asked).paths
    (path,) = make(series, tmp_path / "out", asked, driver=driver).paths
    engine = {"NetCDF": "h5netcdf", "Zarr": "zarr"}[driver]
    with xr.open_dataset(path, engine=engine, mask_and_scale=False) as cube:
        assert list(cube.time.values.astype("datetime64[D]").astype(str)) == sorted(asked)
        assert cube.attrs["Conventions"] == "CF-1.10"
        assert list(cube.band.values) == ["red", "nir08"]
        assert cube.x.attrs["standard_name"] == "projection_x_coordinate"
        assert "32632" in cube.spatial_ref.attrs["crs_wkt"]
        assert cube.filled.attrs["grid_mapping"] == "spatial_ref"
        for i, raster in enumerate(rasters):
            np.testing.assert_array_equal(cube.filled[i], read(raster))
            np.testing.assert_array_equal(cube.error[i], beside(raster, "error"))
            quality = beside(raster, "quality")
            np.testing.assert_array_equal(cube.provenance[i], quality[0])
            np.testing.assert_array_equal(cube.days[i], quality[1])
    assert not [name for name in names(tmp_path / "out") if "part" in name or "old" in name]


@pytest.mark.parametrize("window", [64, 128])
def test_arrays_of_xarray_get_the_same_pixels(series, tmp_path, window) -> None:
    asked = ["2024-05-13", "2024-06-02"]
    found = make(series, tmp_path / "out", asked, window=window)
    values = np.stack([read(series / f"{day}.tif") for day in DAYS])
    cube = xr.DataArray(
        values,
        {"time": np.array(DAYS, "datetime64[ns]")},
        ("time", "band", "y", "x"),
        attrs={"_FillValue": 0},
    )
    for one in (cube, cube.chunk(time=2, y=40)):
        out = geot2t.interpolate(one, asked, model=Methods(), window=window, overlap=16)
        for i, path in enumerate(found.paths):
            np.testing.assert_array_equal(out.filled[i], read(path))
            np.testing.assert_array_equal(out.error[i], beside(path, "error"))


def test_far_from_every_date_nothing_is_made_up(series, tmp_path) -> None:
    found = make(series, tmp_path / "out", ["2024-05-13", "2024-06-05"], max_gap=2)
    near, far = found.paths
    provenance = beside(near, "quality")[0]
    assert (provenance[disc()] == 0).all(), "the gap of the 11th: the 16th is three days away"
    assert (provenance[~disc()] == 2).all()
    assert (read(near)[:, disc()] == 0).all()
    assert not read(far).any()
    assert np.isnan(beside(far, "error")).all()
    assert found.results[0].item["properties"]["geot2t:options"]["max_gap"] == 2
    assert any("nothing was observed on 2024-06-05" in note for note in found.warnings)


def test_a_scene_on_another_grid_is_evidence_and_no_raster_to_copy(series, tmp_path) -> None:
    with rasterio.open(series / "2024-05-16.tif") as old:
        values, profile = old.read(), old.profile
    profile.update(transform=rasterio.Affine(10, 0, 6e5 + 5, 0, -10, 5e6))
    with rasterio.open(series / "2024-05-16.tif", "w", **profile) as file:
        file.write(values)
    (path,) = make(series, tmp_path / "out", "2024-05-16").paths
    provenance, days = beside(path, "quality")
    assert (provenance == 2).all()
    assert not days[5:-5, 5:-5].any()


# --- how sure it is ---


class Course:
    """Eight dates, ten days apart, of noise about a course that each pixel's own slope bends."""

    def __init__(self, day: float, *, dates: int = 8, spread: float = 1.0) -> None:
        rng = np.random.default_rng(1)
        self.extent = Box(0, 0, 48, 48)
        seen = 10.0 * np.arange(dates)
        self.target = int(np.searchsorted(seen, day))
        self.days = np.insert(seen, self.target, day).astype("float32")
        walk = np.cumsum(rng.normal(0, spread, (dates, 1, 48, 48)), 0)
        self.pixels = np.insert(walk, self.target, 0, axis=0).astype("float32")
        self.valid = np.ones((dates + 1, 48, 48), bool)
        self.valid[self.target] = False

    def read(self, box: Box) -> Block:
        cut = box.within(self.extent) if box.intersection(self.extent) == box else None
        assert cut is not None, "one window"
        return Block(self.pixels[..., *cut], self.valid[:, *cut], self.days, box)

    def read_target(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        block = self.read(box)
        return block.pixels[self.target], block.valid[self.target]


def check(source: Course, methods: Any = None, **options: Any) -> Any:
    return self_check(source, methods or Methods(), size=48, overlap=0, **options)


def stand_ins(source: Course) -> list[blind.HiddenDate]:
    return blind.hidden_dates(source.days, source.target, [source.extent], [source.valid])


def test_dates_stand_in_for_one_that_shows_nothing() -> None:
    found = check(Course(35))
    assert found.reason is None
    assert found.dates >= 5
    assert found.methods == ("straight",)
    errors = {row.method: row.mae for row in found.rows}
    assert errors["straight"] < errors["nearest"]


def test_dates_stand_in_for_one_that_shows_little_and_show_as_much() -> None:
    source = Course(35)
    source.valid[source.target, :10] = True
    cases = stand_ins(source)
    assert len(cases) >= 5
    found = check(source)
    assert found.dates == len(cases)
    assert found.cases > len(cases)  # what the date itself shows is asked as well
    for case in cases:
        assert case.hidden[10:].all()
        assert not case.hidden[:10].any()
        shown, at = case.shown(source.read(source.extent), source.target)
        assert shown.valid[at, :10].all()
        assert not shown.valid[at, 10:].any()
        assert not shown.pixels[at, :, 10:].any()


def test_windows_that_show_nothing_are_checked_on_other_dates() -> None:
    source = Course(35)
    source.valid[source.target, :, :24] = True
    found = self_check(source, Methods(), size=24, overlap=0)
    assert found.dates >= 5
    assert found.cases > found.dates
    own = self_check(source, Methods(), size=48, overlap=0)
    assert own.dates == 0


def test_stand_ins_are_told_of_what_lies_around_as_the_date_is() -> None:
    source = Course(35)
    around = Around(source.pixels[:, :, 0, :5], np.ones((*source.valid.shape[:1], 5), bool))
    (case, *_) = stand_ins(source)
    block = source.read(source.extent)
    shown, at = case.shown(dataclasses.replace(block, around=around), source.target)
    assert shown.around is not None
    np.testing.assert_array_equal(shown.around.pixels[at], around.pixels[case.date])
    assert len(shown.around.valid) == len(shown.days)


@pytest.mark.parametrize("side", [100, 240, 640, 5490])
def test_the_windows_looked_at_lie_in_several_rows_and_columns(side: int) -> None:
    found = blind.windows_read(Box(0, 0, side, side), size=64, overlap=16)
    assert len(found) <= blind.WINDOWS
    assert min(len({w.row for w in found}), len({w.col for w in found})) > 1


def test_stand_ins_do_not_choose_the_method_of_a_date_that_shows_something() -> None:
    source = Course(35)
    source.valid[source.target, :2] = True  # too little to hide some of it
    found = check(source)
    assert found.cases == found.dates > 0
    assert found.methods == (Methods().methods[0],)


def test_a_date_that_shows_enough_is_checked_by_itself() -> None:
    source = Course(35)
    source.valid[source.target, :24] = True
    assert check(source).dates == 0


def test_little_is_better_than_nothing_where_no_date_stands_in() -> None:
    source = Course(5, dates=2)
    source.valid[source.target, :12] = True
    found = check(source)
    assert found.cases > 0
    assert found.dates == 0


def test_what_is_nearer_to_a_stand_in_than_the_date_is_to_others_goes_too() -> None:
    source = Course(65, dates=14)
    source.valid[[6, 8]] = False  # days 60 and 70: 15 days to the next on either side
    cases = stand_ins(source)
    assert len(cases) >= 5
    for case in cases:
        apart = source.days[list(case.seen)] - source.days[case.date]
        assert -apart[apart <= 0].max() >= 15 * blind.ALIKE
        assert apart[apart > 0].min() >= 15 * blind.ALIKE


def test_after_the_last_date_stand_ins_see_only_what_came_before() -> None:
    source = Course(90)  # 20 days after the last
    cases = stand_ins(source)
    assert len(cases) >= 4
    for case in cases:
        assert (source.days[list(case.seen)] <= source.days[case.date] - 20 * blind.ALIKE).all()
        assert case.stretch == pytest.approx(1, abs=0.1)


def test_the_farther_beyond_the_series_the_wider_the_intervals() -> None:
    def width(day: float) -> float:
        source = Course(day)
        found = check(source)
        block = source.read(source.extent)
        out = chosen(Methods(), found)(
            block.pixels[None], block.valid[None], block.days, source.target
        )
        return float(out.scale.mean())

    widths = [width(day) for day in (72, 85, 110, 300)]
    assert widths == sorted(widths)
    assert widths[-1] > 2 * widths[1], "farther than the series is long, no date can stand in"


def test_intervals_hold_what_they_promise_on_a_date_nobody_saw() -> None:
    inside = []
    for day in (15, 35, 55):
        source, truth = Course(day), Course(day, dates=8)
        found = check(source)
        rng = np.random.default_rng(day)
        at = source.target
        middle = (truth.pixels[at - 1] + truth.pixels[at + 1]) / 2
        real = middle + rng.normal(0, 0.5, middle.shape)  # a random walk, half-way between
        block = source.read(source.extent)
        out = chosen(Methods(), found)(block.pixels[None], block.valid[None], block.days, at)
        inside.append((np.abs(out.mean[0] - real) <= out.scale[0]).mean())
    assert np.mean(inside) > 0.88


def test_nothing_of_a_stand_in_reaches_the_methods() -> None:
    source = Course(35)
    source.pixels[:, 0, 0, 0] = 1000 * np.arange(9)  # each date has a value of its own

    class Spy(Methods):
        def __call__(self, pixels: Any, valid: Any, days: Any, target: int, *rest: Any, **_: Any):
            assert not valid[0, target].any()
            assert not pixels[0, target].any()
            gone = {1000 * i for i in range(9)} - set(pixels[0, :, 0, 0, 0].tolist())
            seen.append((float(days[target]), gone))
            return super().__call__(pixels, valid, days, target, *rest)

    seen: list[tuple[float, set[int]]] = []
    check(source, Spy())
    assert len(seen) >= 5
    for day, gone in seen:
        assert 1000 * int(np.flatnonzero(source.days == day)[0]) in gone


def test_outcomes_are_shared_by_the_dates_of_a_series() -> None:
    calls = []

    class Counting(Methods):
        def __call__(self, *given: Any, **named: Any):
            calls.append(1)
            return super().__call__(*given, **named)

    known: dict[Any, Any] = {}
    first = check(Course(35), Counting(), known=known)
    made = len(calls)
    second = check(Course(45), Counting(), known=known)
    assert made == first.cases
    assert len(calls) == made, "the same neighbours, equally far: nothing is left to be measured"
    assert second.rows == first.rows
    alone = check(Course(45), Methods())
    np.testing.assert_array_equal(alone.factors, second.factors)


def test_too_short_a_series_says_so() -> None:
    assert check(Course(5, dates=1)).reason is not None
    assert stand_ins(Course(5, dates=2)) == []


def test_inpaint_checks_a_scene_that_shows_nothing(series, tmp_path) -> None:
    with rasterio.open(series / "2024-05-16.tif", "r+") as file:
        file.write(np.zeros((2, HEIGHT, WIDTH), "uint16"))
    found = jobs.inpaint(
        series / "2024-05-16.tif", tmp_path / "out.tif", series=series, model=Methods(), **SMALL
    )
    assert found.check is not None
    assert found.check.dates >= 2
    assert found.check.methods == ("straight", "straight")
    assert not any("self-check" in note for note in found.warnings)


# --- from the shell ---


def run(*args: object) -> Any:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_the_command_prints_a_path_for_each_date(series, tmp_path) -> None:
    out = tmp_path / "season"
    done = run(
        "interpolate", series, "-o", out, "--every", "10d", "--method", "linear", "--preview"
    )
    assert done.exit_code == 0, done.stderr
    dates = ["2024-05-01", "2024-05-11", "2024-05-21"]
    pictures = [out / "preview.gif", out / "preview.png"]
    assert done.stdout.split() == [str(p) for p in (*(out / f"{d}.tif" for d in dates), *pictures)]
    with Image.open(pictures[0]) as gif:
        assert gif.n_frames == 3
    with Image.open(pictures[1]) as strip:
        assert strip.width > 3 * WIDTH


def test_pictures_share_their_contrast(series, tmp_path) -> None:
    out = make(series, tmp_path / "out", ["2024-05-01", "2024-05-21"], preview=True).previews
    with Image.open(out[1]) as strip:
        first, second = np.array_split(np.asarray(strip.convert("L"), float)[16:], 2, axis=1)
    assert second.mean() > first.mean() + 5, "the ground became brighter"


def test_json_is_the_list_of_items(series, tmp_path) -> None:
    done = run(
        "interpolate", series, "-o", tmp_path / "out", "--date", "2024-05-13", "--date",
        "20240511", "--method", "linear", "--json",
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert [item["id"] for item in said["features"]] == ["2024-05-11", "2024-05-13"]
    done = run(
        "interpolate", series, "-o", tmp_path / "cube", "--date", "2024-05-13", "--format",
        "netcdf", "--method", "linear", "--json", "--no-error",
    )  # fmt: skip
    assert list(json.loads(done.stdout)["variables"]) == ["filled", "provenance", "days"]


def test_outputs_in_the_way_are_refused_before_any_work(series, tmp_path) -> None:
    out = tmp_path / "out"
    make(series, out, "2024-05-13", driver="NetCDF", preview=True)
    (out / "2024-05-14.tif").touch()
    before = names(out)
    for asked, options, way in [
        (["2024-05-13", "2024-05-14"], {}, "2024-05-14.tif"),
        ("2024-05-13", {"driver": "NetCDF"}, "cube.nc"),
        ("2024-05-13", {"preview": True}, "preview.gif"),
    ]:
        with pytest.raises(InputError, match=rf"{way} exists; pass --overwrite"):
            make(series, out, asked, **options)
    assert names(out) == before
    make(series, out, "2024-05-14", overwrite=True, driver="NetCDF", preview=True)


def test_a_list_of_others_in_the_folder_is_not_replaced(series, tmp_path) -> None:
    out = tmp_path / "out"
    make(series, out, "2024-05-13")
    listed = json.loads(make(series, out, "2024-05-14").collection.read_text())
    assert [item["id"] for item in listed["features"]] == ["2024-05-13", "2024-05-14"]
    (out / "items.json").write_text('{"features": [{"properties": {}}]}')
    with pytest.raises(InputError, match=r"items\.json exists; pass --overwrite"):
        make(series, out, "2024-05-15")


def test_an_input_is_never_replaced(series) -> None:
    with pytest.raises(InputError, match="is an input"):
        make(series, series, "2024-05-11", overwrite=True)


@pytest.mark.parametrize("driver", [None, "NetCDF"])
def test_what_fails_leaves_no_part_of_a_date(series, tmp_path, driver) -> None:
    class Broken(Methods):
        def __call__(self, *given: Any, **named: Any):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        make(series, tmp_path / "out", "2024-05-13", model=Broken(), driver=driver)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "no date was asked for"),
        (["--every", "often"], "steps are as 10d, 2w, 1m or 1y, got 'often'"),
        (["--every", "0d"], "steps are as"),
        (["--every", "1d", "--end", "2024-01-01"], "is after the last"),
        (["--start", "2024-01-01", "--date", "2024-05-01"], "goes with the steps"),
        (["--every", "1d", "--end", "2200-01-01"], "more than 5000 dates"),
        (["--slice", "7"], "the series has dates: ask for days"),
        (["--date", "2024-05-01", "--method", "kriging"], "kriging"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(series, tmp_path, args, said) -> None:
    done = run("interpolate", series, "-o", tmp_path / "out", *args)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_sample_is_interpolated_better_than_linearly(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real date is kept from the series, made again, and compared with itself."""
    kept = "2022-06-17"
    here = tmp_path / "dates"
    here.mkdir()
    for file in sample.glob("*.tif"):
        if not file.name.startswith(kept):
            with rasterio.open(file) as old:
                values, profile = old.read(), old.profile
            side = 64 if "SCL" not in file.name else 64 * old.width // 256
            profile.update(width=side, height=side, blockxsize=16, blockysize=16)
            with rasterio.open(here / file.name, "w", **profile) as new:
                new.write(values[:, :side, :side])
    truth = read(sample / f"{kept}.tif")[:, :64, :64].astype(float)

    def error(method: str) -> float:
        (path,) = geot2t.interpolate(here, tmp_path / method, kept, method=method).paths
        return float(np.abs(read(path) - truth).mean())

    assert error("prior") < 0.95 * error("linear")
