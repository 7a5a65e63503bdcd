"""A scene filled end to end with a model simple enough to check by hand."""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from geot2t import filling, jobs
from geot2t.errors import Geot2tError, InputError
from geot2t.fill import Block, Prediction
from geot2t.grid import Box
from geot2t.io.checksums import verify
from geot2t.jobs import inpaint
from geot2t.shortlist import shortlist
from geot2t.stream import far_from_observed

HEIGHT, WIDTH = 150, 130


class Copy:
    """Takes each pixel from the nearest date that shows it, else the mean of the window."""

    methods = ("network",)
    windows = 0

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        self.windows += len(pixels)
        own = valid[:, target, None]
        total = (pixels[:, target] * own).sum((2, 3), keepdims=True)
        mean = np.broadcast_to(
            total / np.maximum(own.sum((2, 3), keepdims=True), 1), pixels[:, 0].shape
        )
        mean, nearest = mean.astype("float32"), np.full(valid[:, 0].shape, np.inf, "float32")
        for i in np.argsort(-np.abs(days - days[target])):
            if i != target:
                mean = np.where(valid[:, i, None], pixels[:, i], mean)
                nearest = np.where(valid[:, i], np.abs(days[i] - days[target]), nearest)
        scale = np.full_like(mean, 5)
        return {name: Prediction(mean, scale, nearest) for name in names}


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Path]:
    """Write one date of a place whose values are 100 * (row + column) + the day, plus noise."""

    def write(
        name: str = "2024-05-11.tif",
        hidden: Any = None,
        empty: Any = None,
        dtype: str = "uint16",
        nodata: float | None = 0,
        crs: str | None = "EPSG:32632",
        count: int = 2,
        shape: tuple[int, int] = (HEIGHT, WIDTH),
        **profile: Any,
    ) -> Path:
        rows, cols = np.mgrid[: shape[0], : shape[1]]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        values = np.stack([1000 + 2 * rows + 3 * cols + 100 * b for b in range(count)])
        values = (values + rng.integers(0, 9, values.shape)).astype("float64")
        if dtype == "uint8":
            values = values / 10
        values = values.astype(dtype)
        if empty is not None:
            values[..., empty] = nodata
        path = tmp_path / name
        profile = {"blockxsize": 64, "blockysize": 64, "tiled": True, **profile}
        with rasterio.open(
            path, "w", driver="GTiff", height=shape[0], width=shape[1], count=count, dtype=dtype,
            nodata=nodata, crs=crs, transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6), **profile,
        ) as file:  # fmt: skip
            file.write(values)
        if hidden is not None:
            with rasterio.open(
                path.with_name(f"{path.stem}_mask.tif"), "w", driver="GTiff", height=shape[0],
                width=shape[1], count=1, dtype="uint8", crs=crs,
                transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
            ) as file:  # fmt: skip
                file.write(hidden.astype("uint8"), 1)
        return path

    return write


def disc(row: int = 60, col: int = 50, radius: int = 30) -> np.ndarray:
    rows, cols = np.ogrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - row, cols - col) < radius


def fill(scene: Path, **options: Any) -> jobs.Result:
    options = {"model": Copy(), "window": 64, "overlap": 16, **options}
    return inpaint(scene, **options)


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def companion(result: jobs.Result, kind: str) -> np.ndarray:
    return read(result.path.with_name(f"{result.path.stem}_{kind}.tif"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_gap_is_filled_from_another_date_and_all_else_is_untouched(place) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif")
    result = fill(scene, series=[other])
    filled, gap = read(result.path), disc()
    np.testing.assert_array_equal(filled[:, ~gap], read(scene)[:, ~gap])
    np.testing.assert_array_equal(filled[:, gap], read(other)[:, gap])
    provenance, days = companion(result, "quality")
    np.testing.assert_array_equal(provenance, np.where(gap, 2, 1))
    np.testing.assert_array_equal(days, np.where(gap, 5, 0))
    error = companion(result, "error")
    assert (error[:, ~gap] == 0).all()
    assert (error[:, gap] > 0).all()
    assert result.gap == pytest.approx(gap.mean())
    assert result.unfilled == 0
    assert result.path == scene.with_name("2024-05-11_filled.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
@pytest.mark.parametrize("nodata", [None, 0, 7, "nan"])
def test_observed_samples_are_kept_in_all_types(place, dtype: str, nodata: Any) -> None:
    if nodata == "nan":
        if not dtype.startswith("float"):
            return
        nodata = np.nan
    rng = np.random.default_rng(5)
    empty = rng.random((2, HEIGHT, WIDTH)) < (0 if nodata is None else 0.1)
    scene = place(dtype=dtype, nodata=nodata, hidden=disc())
    if empty.any():
        with rasterio.open(scene, "r+") as file:
            values = file.read()
            values[empty] = nodata
            file.write(values)
    observed = ~disc() & ~empty
    before = read(scene)
    result = fill(scene, series=[place("2024-05-16.tif", dtype=dtype, nodata=nodata)])
    after = read(result.path)
    np.testing.assert_array_equal(after[observed], before[observed])
    assert result.unfilled == 0
    if nodata is not None:
        assert not (np.isnan(after) if np.isnan(nodata) else after == nodata).any()
    np.testing.assert_array_equal(companion(result, "error") == 0, observed)


@pytest.mark.parametrize("block", [16, 48, 112])
def test_the_same_pixels_come_out_however_the_output_is_cut(place, block: int) -> None:
    gaps = disc() | disc(20, 110, 25) | disc(140, 5, 20)
    scene, other = place(hidden=gaps), place("2024-05-16.tif", hidden=disc(50, 50, 20))
    whole = fill(scene, series=[other], max_distance=9, out=scene.with_name("whole.tif"))
    cut = fill(
        scene,
        series=[other],
        max_distance=9,
        out=scene.with_name("cut.tif"),
        creation_options={"BLOCKXSIZE": str(block), "BLOCKYSIZE": str(block)},
    )
    assert set(np.unique(companion(whole, "quality")[0])) == {0, 1, 2, 3}
    np.testing.assert_array_equal(read(cut.path), read(whole.path))
    for kind in ("quality", "error"):
        np.testing.assert_array_equal(companion(cut, kind), companion(whole, kind))


def test_far_from_everything_observed_nothing_is_invented(place) -> None:
    gap = disc(radius=40)
    scene = place(hidden=gap)
    result = fill(scene, max_distance=10)
    away = np.full(gap.shape, np.inf)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    for row, col in np.argwhere(~gap & disc(radius=42)):
        away = np.minimum(away, np.hypot(rows - row, cols - col))
    provenance, days = companion(result, "quality")
    np.testing.assert_array_equal(provenance, np.where(gap, np.where(away <= 10, 3, 0), 1))
    assert (read(result.path)[:, provenance == 0] == 0).all(), "nodata"
    assert np.isnan(companion(result, "error")[:, provenance == 0]).all()
    assert (days[gap] == 255).all()
    assert any("could not be filled" in said for said in result.warnings)


def test_a_file_without_nodata_keeps_what_cannot_be_filled(place) -> None:
    scene = place(hidden=disc(), nodata=None)
    result = fill(scene, max_distance=5)
    left = companion(result, "quality")[0] == 0
    assert left.any()
    np.testing.assert_array_equal(read(result.path)[:, left], read(scene)[:, left])


def test_what_is_less_sure_than_asked_for_is_left_out(place) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif", hidden=disc(60, 50, 10))
    result = fill(scene, series=[other])
    error = companion(result, "error")[0]
    limit = float(np.median(error[disc()])) * 1.01
    strict = fill(scene, series=[other], max_error=limit, overwrite=True)
    provenance = companion(strict, "quality")[0]
    np.testing.assert_array_equal(provenance == 0, error > limit)
    assert 0 < (provenance == 0).sum() < disc().sum()


def test_nodata_is_kept_on_request_and_clouds_over_it_are_filled(place) -> None:
    empty = np.zeros((HEIGHT, WIDTH), bool)
    empty[:, 40:60] = True
    scene, other = place(hidden=disc(), empty=empty), place("2024-05-16.tif")
    provenance = companion(fill(scene, series=[other], keep_nodata=True), "quality")[0]
    np.testing.assert_array_equal(provenance, np.where(disc(), 2, np.where(empty, 0, 1)))
    provenance = companion(fill(scene, series=[other], overwrite=True), "quality")[0]
    np.testing.assert_array_equal(provenance == 2, disc() | empty)


def test_a_scene_without_gaps_is_copied_and_no_model_is_loaded(place, monkeypatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(filling, "_load", refuse)
    scene = place()
    result = inpaint(scene, clouds="qa")
    np.testing.assert_array_equal(read(result.path), read(scene))
    assert (companion(result, "quality") == np.array([1, 0])[:, None, None]).all()
    assert result.warnings == ("no gap was found: the scene was copied",)
    assert result.gap == 0


def test_windows_without_a_gap_do_not_reach_the_model(place) -> None:
    model = Copy()
    fill(place(hidden=disc(20, 20, 8)), model=model, max_distance=20)
    in_self_check = 8
    assert model.windows == in_self_check + 1


def test_a_scene_all_in_cloud_is_filled_from_its_series(place) -> None:
    scene, other = place(hidden=np.ones((HEIGHT, WIDTH))), place("2024-05-16.tif")
    result = fill(scene, series=[other])
    np.testing.assert_array_equal(read(result.path), read(other))
    assert any("self-check was not possible" in said for said in result.warnings)
    said = result.item["properties"]["geot2t:self_check"]
    assert said.startswith("not possible: ")


@pytest.mark.parametrize("how", ["cloud", "nodata"])
def test_where_nothing_was_ever_observed_nothing_is_filled(place, how: str) -> None:
    whole = np.ones((HEIGHT, WIDTH), bool)
    scene = place(hidden=whole) if how == "cloud" else place(empty=whole)
    result = fill(scene, max_distance=2048)
    assert (read(result.path) == 0).all()
    assert (companion(result, "quality")[0] == 0).all()
    assert any("nothing was observed" in said for said in result.warnings)
    assert result.unfilled == 1


def test_a_raster_without_crs_is_filled_on_its_pixel_grid(place) -> None:
    scene, other = place(hidden=disc(), crs=None), place("2024-05-16.tif", crs=None)
    result = fill(scene, series=[other])
    assert (companion(result, "quality")[0][disc()] == 2).all()
    assert any("without CRS" in said for said in result.warnings)
    assert result.item["geometry"] is None


def test_an_alpha_band_is_not_predicted_and_becomes_opaque_where_filled(place) -> None:
    scene = place(count=4, dtype="uint8", nodata=None, photometric="RGB", alpha="YES")
    with rasterio.open(scene, "r+") as file:
        file.colorinterp = [*file.colorinterp[:3], ColorInterp.alpha]
        alpha = np.where(disc(), 0, 255).astype("uint8")
        file.write(alpha, 4)
    result = fill(scene, max_distance=12)
    provenance = companion(result, "quality")[0]
    np.testing.assert_array_equal(provenance == 1, ~disc())
    np.testing.assert_array_equal(read(result.path)[3], np.where(provenance == 0, 0, 255))


def test_tiny_scenes_are_filled(place) -> None:
    for height, width in itertools.product((1, 3, 40), (1, 7)):
        hidden = np.zeros((height, width))
        hidden[0, 0] = 1
        shape = {"shape": (height, width), "tiled": False, "blockxsize": width, "blockysize": 1}
        scene = place("2024-05-11.tif", hidden=hidden, **shape)
        result = fill(scene, series=[place("2024-05-16.tif", **shape)], overwrite=True)
        assert companion(result, "quality")[0][0, 0] == 2


def test_the_item_says_what_was_done(place) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif")
    result = fill(scene, series=[other], max_error=1e6, seed=3)
    written = json.loads(result.path.with_suffix(".json").read_text())
    said = written["properties"]
    assert said["geot2t:options"]["max_error"] == 1e6
    assert said["geot2t:options"]["seed"] == 3
    assert said["geot2t:gap_fraction"] == pytest.approx(disc().mean())
    assert said["geot2t:dates_used"] == ["2024-05-11", "2024-05-16"]
    check = said["geot2t:self_check"]
    assert [band["method"] for band in check["bands"]] == ["network", "network"]
    assert check["bands"][0]["errors"]["network"]["mae"] == pytest.approx(3, abs=0.7)
    assert check["bands"][0]["coverage"] > 0.8
    derived = {Path(link["href"]).name for link in written["links"]}
    assert {scene.name, other.name} <= derived
    assert all("file:checksum" in link for link in written["links"])
    assert [checked.problem for checked in verify([result.path])] == [None] * 4


def test_intervals_are_in_the_units_of_the_file(place) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif")
    plain = companion(fill(scene, series=[other]), "error")
    for path in (scene, other):
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    scaled = companion(fill(scene, series=[other], overwrite=True), "error")
    np.testing.assert_allclose(scaled, plain, rtol=2e-2)


@pytest.mark.parametrize("stage", ["model", "interrupt", "writer"])
def test_a_failure_on_the_way_leaves_nothing_behind(place, stage: str, monkeypatch) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif")
    before = names(scene.parent), scene.read_bytes()
    model: Any = Copy()
    if stage == "writer":
        calls = itertools.count()

        def full(*_: Any) -> None:
            if next(calls) == 1:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr("geot2t.io.sink.Outputs.write", full)
    else:

        class Failing(Copy):
            def __call__(self, *arguments: Any, **named: Any) -> dict[str, Prediction]:
                if self.windows > 10:
                    raise (KeyboardInterrupt if stage == "interrupt" else MemoryError)
                return super().__call__(*arguments, **named)

        model = Failing()
    options = {"creation_options": {"BLOCKXSIZE": "32", "BLOCKYSIZE": "32"}}
    with pytest.raises((OSError, MemoryError, KeyboardInterrupt)):
        fill(scene, series=[other], model=model, **options)
    assert (names(scene.parent), scene.read_bytes()) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_error": 0.0}, "error must be above 0"),
        ({"max_distance": -1}, "distance must be 0 to 2048"),
        ({"window": 64, "overlap": 40}, "overlap must be 0 to 32"),
        ({"window": 8}, "window must be at least 32"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"driver": "PNG"}, "GTiff or COG"),
        ({"creation_options": {"COMPRESS": "JPEG"}}, "could change observed pixels"),
        ({"out": "filled.png"}, "GeoTIFF"),
        ({"model": "no such model"}, "no model"),
        ({"device": "gpu"}, "no device"),
    ],
)
def test_bad_options_are_refused_before_any_work(place, options: dict[str, Any], said: str) -> None:
    scene = place(hidden=disc())
    before = names(scene.parent)
    if "out" in options:
        options["out"] = scene.with_name(options["out"])
    with pytest.raises(Geot2tError, match=said):
        fill(scene, **{"model": None if "device" in options else Copy(), **options})
    assert names(scene.parent) == before


def test_inputs_are_never_overwritten(place) -> None:
    scene, other = place(hidden=disc()), place("2024-05-16.tif")
    for victim in (scene, other, scene.with_name("2024-05-11_mask.tif")):
        before = victim.read_bytes()
        with pytest.raises(InputError, match="is an input"):
            fill(scene, out=victim, series=[other], overwrite=True)
        assert victim.read_bytes() == before


def test_long_series_are_shortlisted(place, monkeypatch) -> None:
    monkeypatch.setattr(filling, "MOST_DATES", 4)
    scene = place(hidden=disc())
    others = [place(f"2024-06-{day:02}.tif", shape=(HEIGHT, WIDTH)) for day in range(1, 10)]
    result = fill(scene, series=others)
    used = result.item["properties"]["geot2t:dates_used"]
    assert len(used) == 4
    assert used[:2] == ["2024-05-11", "2024-06-01"]
    assert any("of 10 dates the 4 most promising" in said for said in result.warnings)


class Dates:
    """Forty dates of noise; ``good`` resemble the target, ``clouded`` show nothing."""

    target, extent = 20, Box(0, 0, 128, 128)

    def __init__(self, good: set[int], clouded: set[int]) -> None:
        rng = np.random.default_rng(0)
        self.pixels = rng.random((40, 1, 128, 128), "float32")
        for i in good:
            self.pixels[i] = 0.3 + 0.5 * self.pixels[self.target]
        self.valid = np.ones((40, 128, 128), bool)
        self.valid[self.target, 30:60] = False
        self.valid[list(clouded)] = False

    def read(self, box: Box) -> Block:
        where = (..., *box.slices)
        days = np.arange(40, dtype="float32")
        return Block(self.pixels[where], self.valid[where], days, box)

    def read_target(self, box: Box) -> Any:
        raise NotImplementedError


def test_the_shortlist_holds_the_near_and_the_alike_but_not_the_clouded() -> None:
    good, clouded = {1, 7, 38}, {19, 21, 2}
    kept = shortlist(Dates(good, clouded), 10)
    assert len(kept) == 10
    assert good < set(kept)
    assert not clouded & set(kept)
    assert {18, 20, 22} < set(kept)
    assert list(kept) == sorted(kept)


class Observed:
    """Where a scene was observed, and nothing else."""

    target = 0

    def __init__(self, valid: np.ndarray) -> None:
        self.valid, self.extent = valid, Box(0, 0, *valid.shape)

    def read_target(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        valid = self.valid[box.slices]
        return np.zeros((1, *valid.shape), "float32"), valid

    def read(self, box: Box) -> Block:
        raise NotImplementedError


@settings(max_examples=40)
@given(st.integers(0, 99), st.integers(1, 400), st.integers(0, 300), st.integers(0, 9))
def test_distance_is_exact_and_does_not_depend_on_the_cut(
    seed: int, width: int, limit: int, seen: int
) -> None:
    rng = np.random.default_rng(seed)
    valid = np.zeros((12, width), bool)
    points = [(int(rng.integers(12)), int(rng.integers(width))) for _ in range(seen)]
    for row, col in points:
        valid[row, col] = True
    box = Box(0, width // 3, 12, width - width // 3)
    rows, cols = np.mgrid[0:12, box.col : width]
    away = np.min(
        [np.full(rows.shape, np.inf), *(np.hypot(rows - r, cols - c) for r, c in points)], 0
    )
    far = far_from_observed(Observed(valid), box, ~valid[box.slices], limit)
    np.testing.assert_array_equal(far, (away > limit) & ~valid[box.slices])
