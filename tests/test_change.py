"""Two dates compared: what happened is found, what did not is not, and clouds are never change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
from click.testing import CliRunner
from scipy import ndimage

import geot2t
from geot2t.cli import main
from geot2t.difference import job
from geot2t.difference.clearing import find_shift
from geot2t.difference.null import Case, learn_null, sieved
from geot2t.difference.relation import relate
from geot2t.difference.stream import Compared
from geot2t.errors import Geot2tError, InputError
from geot2t.fill import Prediction
from geot2t.grid import Box, blocks
from geot2t.io.area import PixelAreas
from geot2t.io.checksums import verify
from geot2t.io.sink import metadata_of
from geot2t.jobs import inpaint

LAHAINA = Path(__file__).parent / "data" / "lahaina"
QUICK = {"method": "prior", "clouds": "auto"}
RASTERS = ("", "_expected", "_significance", "_mask", "_quality")


class Copy:
    """Expects that a date looks like the one before it, and errs by one unit."""

    methods = ("copy",)

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        other = int(np.flatnonzero(np.arange(len(days)) != target)[0])
        away = np.where(valid[:, other], np.abs(days[other] - days[target]), np.inf)
        mean = pixels[:, other].astype("float32")
        said = Prediction(mean, np.ones_like(mean), away.astype("float32"))
        return dict.fromkeys(names, said)


def read(path: Path, bands: int | None = None) -> Any:
    with rasterio.open(path) as file:
        return file.read(bands)


def beside(path: Path, end: str) -> Path:
    return path.with_name(f"{path.stem}{end}.tif")


@pytest.fixture
def pair(sample: Path, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Copy two clear dates of the sample, the second one as ``edit`` leaves it."""

    def copied(
        edit: Callable[[Any], None] | None = None, dates: tuple[str, str] = ("12", "15")
    ) -> tuple[Path, Path]:
        paths = []
        for date in dates:
            for end in ("", "_SCL"):
                shutil.copy(sample / f"2022-06-{date}{end}.tif", tmp_path)
            paths.append(tmp_path / f"2022-06-{date}.tif")
        if edit is not None:
            with rasterio.open(paths[1], "r+") as file:
                values = file.read()
                edit(values)
                file.write(values)
        return paths[0], paths[1]

    return copied


def disk(row: int, col: int, radius: float) -> Any:
    return np.hypot(*np.ogrid[-row : 256 - row, -col : 256 - col]) < radius


def burnt(where: Any) -> Callable[[Any], None]:
    """Near infrared falls, and the ground gets darker: blue, green, red, near infrared."""

    def edit(values: Any) -> None:
        for band, factor in enumerate((0.9, 0.8, 0.9, 0.4)):
            values[band][where] = values[band][where] * factor

    return edit


@pytest.mark.parametrize("dates", [("12", "15"), ("27", "30")])
def test_without_event_as_much_is_found_as_was_asked_for(pair, dates):
    before, after = pair(dates=dates)
    result = geot2t.change(before, after, **QUICK)
    judged = result.pixels["change"] + result.pixels["no_change"]
    assert 0.007 <= result.pixels["change"] / judged <= 0.013
    assert 0.005 <= result.false_alarm <= 0.015
    assert not result.item["properties"]["geot2t:event"]


def test_an_event_is_found_and_little_else(pair):
    scar = disk(120, 150, 30) | disk(60, 60, 22)
    before, after = pair(burnt(scar))
    result = geot2t.change(before, after, **QUICK)
    changed = read(beside(result.path, "_mask"), 1) == 1
    inside = ndimage.binary_erosion(scar, iterations=2)
    outside = ~ndimage.binary_dilation(scar, iterations=4)
    assert changed[inside].mean() > 0.85
    assert changed[outside].mean() < 0.025
    assert result.item["properties"]["geot2t:event"]
    # Forest and meadow burn to less of an index; the town in the scar had little to lose.
    assert result.hectares["ndvi_loss"] > 0.6 * result.hectares["change"]
    assert result.hectares["change"] == pytest.approx(result.pixels["change"] * 0.01, rel=0.01)


def test_what_is_expected_ignores_the_event(pair):
    scar = disk(120, 150, 30)
    before, after = pair(burnt(scar))
    truth = read(Path(geot2t.__file__).parent / "data" / "sample" / after.name).astype(float)
    result = geot2t.change(before, after, **QUICK)
    expected = read(beside(result.path, "_expected")).astype(float)
    off = np.abs(expected - truth)[3][scar].mean()
    assert off < 0.25 * np.abs(read(after) - truth)[3][scar].mean()


def test_clouds_never_count_as_change_marked_or_not(pair):
    cloud, shadow = disk(90, 120, 18), disk(76, 96, 18) & ~disk(90, 120, 18)
    marked = disk(190, 60, 14)

    def edit(values: Any) -> None:
        values[:, cloud] = values[:, cloud] * 0.3 + 4500
        values[:, shadow] = values[:, shadow] * np.array([0.8, 0.7, 0.6, 0.35])[:, None]
        values[:, marked] = 6000

    before, after = pair(edit)
    with rasterio.open(after) as file:
        profile = {**file.profile, "count": 1, "dtype": "uint8", "nodata": None}
    mask = after.with_name("clouds.tif")
    with rasterio.open(mask, "w", **profile) as file:
        file.write(marked.astype("uint8"), 1)
    result = geot2t.change(before, after, cloud_mask=mask, **QUICK)
    found, quality = read(beside(result.path, "_mask"), 1), read(beside(result.path, "_quality"))
    assert not (found[cloud | marked] == 1).any()
    assert (found[shadow] == 1).mean() < 0.02
    assert (quality[1][ndimage.binary_erosion(cloud, iterations=3)] == 3).all()
    assert (quality[1][ndimage.binary_erosion(shadow, iterations=3)] == 4).mean() > 0.8
    assert (quality[1][marked] == 2).all()
    # What is filled says so, and a filled pixel is never judged.
    assert (quality[2][marked] == 2).all()
    assert (found[quality[2] > 0] == 2).all()
    assert np.isfinite(read(result.path)[:, found != 255]).all()


def test_clouds_of_the_earlier_date_do_not_count_either(pair):
    before, after = pair()
    cloud = disk(100, 100, 20)
    with rasterio.open(before, "r+") as file:
        values = file.read()
        values[:, cloud] = values[:, cloud] * 0.3 + 4500
        file.write(values)
    result = geot2t.change(before, after, **QUICK)
    assert not (read(beside(result.path, "_mask"), 1)[cloud] == 1).any()
    assert (read(beside(result.path, "_quality"), 1)[disk(100, 100, 16)] == 3).all()


def test_outputs_lie_where_the_scene_does_and_inputs_stay(pair):
    def edit(values: Any) -> None:
        values[:, :20, :30] = 0

    before, after = pair(edit)
    kept = [path.read_bytes() for path in (before, after)]
    result = geot2t.change(before, after, report=True, **QUICK)
    assert [path.read_bytes() for path in (before, after)] == kept
    with rasterio.open(after) as scene:
        for end in RASTERS:
            with rasterio.open(beside(result.path, end)) as file:
                assert (file.crs, file.transform, file.shape) == (
                    scene.crs, scene.transform, scene.shape
                )  # fmt: skip
        with rasterio.open(beside(result.path, "_expected")) as file:
            assert (file.dtypes, file.nodata) == (scene.dtypes, scene.nodata)
            assert file.descriptions == scene.descriptions
    nothing = (read(after) == 0).any(0) | (read(before) == 0).any(0)
    mask = read(beside(result.path, "_mask"), 1)
    assert (mask[nothing] == 255).all()
    assert not (mask[~nothing] == 255).any()
    # Where both dates were observed the difference is that of the files, to the last bit.
    difference, seen = read(result.path), (read(beside(result.path, "_quality"))[:2] == 1).all(0)
    exact = read(after).astype("float32") - read(before).astype("float32")
    np.testing.assert_array_equal(difference[:, seen], exact[:, seen])
    significance = read(beside(result.path, "_significance"))
    assert (np.isfinite(significance).all(0) == (mask < 2)).all()
    assert (significance[-1][mask == 1] > 1).all()
    assert all(found.ok for found in verify([result.path]))
    page = result.path.with_suffix(".html").read_text()
    assert "hectares" in page
    assert "http" not in page.replace("http-equiv", "")


def test_any_way_of_cutting_the_scene_gives_the_same(pair, monkeypatch):
    scar = disk(120, 150, 30)
    before, after = pair(burnt(scar))
    found: list[list[Compared]] = []

    def run(comparison: Any, outputs: Any, album: Any, progress: Any) -> None:
        extent = comparison.dates.extent
        for size in ((256, 256), (64, 100), (37, 256)):
            got = [comparison.compute(comparison.read(b)) for b in blocks(extent, *size)]
            found.append(got)
        raise InputError("seen enough")

    monkeypatch.setattr(job, "_run", run)
    with pytest.raises(InputError, match="seen enough"):
        job.change(before, after, model=Copy(), window=96, overlap=32)
    whole = found[0][0]
    for several in found[1:]:
        for part in several:
            cut = part.box.slices
            for name in ("difference", "expected", "significance", "quality"):
                np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:, *cut])
            np.testing.assert_array_equal(part.mask, whole.mask[cut])


def test_small_changes_are_dropped(pair):
    before, after = pair(burnt(disk(120, 150, 30)))
    result = geot2t.change(before, after, min_area=1.5, **QUICK)
    label, count = ndimage.label(read(beside(result.path, "_mask"), 1) == 1)
    assert count >= 1
    assert np.bincount(label.ravel())[1:].min() >= 150


def test_other_dates_help_but_later_ones_might_show_the_event(pair, sample):
    before, after = pair(burnt(disk(120, 150, 30)))
    result = geot2t.change(before, after, series=sample, **QUICK)
    used = result.item["properties"]["geot2t:dates_used"]
    assert all(d <= "2022-06-12" for d in map(str, used) if d != "2022-06-15")
    assert len(used) > 3
    assert any("may show the event" in w for w in result.warnings)


def write(path: Path, values: Any, **profile: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=values.dtype, **profile,
    ) as file:  # fmt: skip
        file.write(values)
    return path


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_raster_without_place_or_dates_is_compared_in_pixels(tmp_path):
    rng = np.random.default_rng(0)
    ground = rng.normal(1000, 200, (2, 96, 96))
    dates = [ground + rng.normal(0, 5, ground.shape) for _ in range(2)]
    dates[1][:, 40:60, 40:60] -= 300
    paths = [write(tmp_path / f"{i}.tif", d.astype("float32")) for i, d in enumerate(dates)]
    result = geot2t.change(*paths, model=Copy())
    assert not result.hectares
    assert (read(beside(result.path, "_mask"), 1)[42:58, 42:58] == 1).all()
    assert any("no place on Earth" in w for w in result.warnings)


def test_a_date_that_does_not_reach_leaves_no_data(pair):
    before, after = pair()
    with rasterio.open(before) as file:
        values, profile = file.read(), file.profile
    smaller = before.with_name("2022-06-01.tif")
    with rasterio.open(smaller, "w", **{**profile, "width": 200}) as file:
        file.write(values[..., :200])
    result = geot2t.change(smaller, after, **QUICK)
    mask = read(beside(result.path, "_mask"), 1)
    assert (mask[:, 200:] == 255).all()
    assert (mask[:, :200] < 2).mean() > 0.95


def test_what_cannot_be_compared_is_said_in_one_line(pair, sample, tmp_path):
    before, after = pair()
    ground = np.ones((4, 64, 64), "uint16")
    elsewhere = write(tmp_path / "2022-06-01.tif", ground, crs="EPSG:32632",
                      transform=rasterio.Affine(10, 0, 0, 0, -10, 0))  # fmt: skip
    bands = write(tmp_path / "2022-06-03.tif", ground[:2], crs="EPSG:32632",
                  transform=rasterio.Affine(10, 0, 680000, 0, -10, 5153000))  # fmt: skip
    cases = [
        ((after, after), "one file"),
        ((after, before), "later than"),
        ((elsewhere, after), "another place"),
        ((bands, after), "has 2 bands"),
        ((tmp_path / "none.tif", after), "none.tif"),
    ]
    for (first, second), message in cases:
        with pytest.raises(Geot2tError, match=message):
            geot2t.change(first, second, **QUICK)
    for options, message in [
        ({"false_alarm": 0.5}, "false-alarm rate"),
        ({"min_area": -1}, "least area"),
        ({"min_area": 1e6}, "least area may be"),
        ({"method": "magic"}, "no method"),
        ({"out": tmp_path / "out.png"}, "name it out.tif"),
        ({"out": after}, "is an input|exists"),
    ]:
        with pytest.raises(Geot2tError, match=message):
            geot2t.change(before, after, **{**QUICK, **options})
    assert not list(tmp_path.glob("*change*"))
    assert not list(tmp_path.glob(".*"))


def test_all_files_appear_or_none(pair):
    before, after = pair()

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    there = sorted(after.parent.iterdir())
    with pytest.raises(KeyboardInterrupt):
        geot2t.change(before, after, progress=fail, model=Copy())
    assert sorted(after.parent.iterdir()) == there
    geot2t.change(before, after, model=Copy())
    with pytest.raises(InputError, match="pass --overwrite"):
        geot2t.change(before, after, model=Copy())
    geot2t.change(before, after, model=Copy(), overwrite=True)


def test_the_command_prints_the_path_and_the_areas(pair):
    before, after = pair(burnt(disk(120, 150, 30)))
    options = ["--method", "prior", "--report"]
    ran = CliRunner().invoke(main, ["change", str(before), str(after), *options])
    assert ran.exit_code == 0, ran.stderr
    assert ran.stdout == f"{after.with_name('2022-06-15_change.tif')}\n"
    assert "changed" in ran.stderr
    assert "1 % asked for" in ran.stderr
    item = json.loads(after.with_name("2022-06-15_change.json").read_text())
    assert set(item["assets"]) == {
        "change", "expected", "significance", "mask", "quality", "report"
    }  # fmt: skip
    again = ["change", str(before), str(after), *options, "--overwrite", "--json"]
    shown = json.loads(CliRunner().invoke(main, again).stdout)
    assert shown["properties"]["geot2t:area_ha"]["change"] > 20


def test_the_fire_of_lahaina_stands_out(tmp_path):
    for file in LAHAINA.glob("*.tif"):
        shutil.copy(file, tmp_path)
    before, after = sorted(tmp_path.glob("*.tif"))
    result = geot2t.change(before, after, **QUICK)
    mask = read(beside(result.path, "_mask"), 1)
    assert (mask[130:144, 70:86] == 1).mean() > 0.8  # the town, at 156.678 W 20.878 N
    assert (mask[50:80, 76:100] == 1).mean() > 0.9  # fields north of it
    assert result.hectares["nbr_loss"] > 200
    assert (mask == 1).mean() < 0.4


def test_a_fill_does_not_erase_the_scar_that_it_lies_in(tmp_path):
    """A gap in burnt fields is filled from the scar around it, not from the fields of before."""
    for file in LAHAINA.glob("*.tif"):
        shutil.copy(file, tmp_path)
    before, after = sorted(tmp_path.glob("*.tif"))
    gap = np.zeros((144, 128), "uint8")
    gap[46:66, 76:92] = 1
    with rasterio.open(after) as file:
        profile = {**file.profile, "count": 1, "dtype": "uint8", "nodata": None}
    with rasterio.open(tmp_path / "gap.tif", "w", **profile) as file:
        file.write(gap, 1)
    truth, past = (read(p).astype(float)[:, gap > 0] for p in (after, before))
    for method in ("auto", "prior"):
        filled = inpaint(after, tmp_path / f"{method}.tif", series=before, method=method,
                         cloud_mask=tmp_path / "gap.tif", clouds="qa")  # fmt: skip
        fill = read(filled.path).astype(float)[:, gap > 0]
        off, kept = np.abs(fill - truth).mean(1), np.abs(past - truth).mean(1)
        # Near and both short-wave infrared bands, which tell a scar.
        assert (off[3:] < 0.5 * kept[3:]).all(), (method, off, kept)


def test_a_relation_is_not_taught_by_what_changed():
    rng = np.random.default_rng(1)
    other = rng.uniform(0.05, 0.4, (3, 4000))
    mixing = np.array([[1.1, 0.1, 0], [0, 0.9, 0.1], [0.1, 0, 1.2]])
    date = mixing @ other + 0.02 + rng.normal(0, 0.002, other.shape)
    changed = np.arange(4000) < 1200
    date[:, changed] -= 0.3 * other[:, changed]
    relation = relate(date, other)
    np.testing.assert_allclose(relation.coefficients[:-1].T, mixing, atol=0.02)
    strange = relation.strangeness(date, other)
    assert np.median(strange[changed]) > 20 * np.median(strange[~changed])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_the_rate_of_false_alarms_does_not_depend_on_how_much_changed(share):
    rng = np.random.default_rng(2)
    noise = rng.standard_t(5, (3, 256, 256)).astype("float32")
    scores = np.stack([ndimage.gaussian_filter(n, 1) for n in noise])
    changed = np.zeros((256, 256), bool)
    changed[: round(256 * share)] = True
    scores[:, changed] += 6
    null = learn_null([Case(scores, np.ones((256, 256), bool), np.zeros((256, 256), bool))], 0.01)
    assert null.event == (share > 0)
    found = null.strangeness(scores, np.ones((256, 256), bool)) > null.threshold
    far = ~ndimage.binary_dilation(changed, iterations=8)
    assert 0.006 <= found[far].mean() <= 0.014
    if share:
        assert found[ndimage.binary_erosion(changed, iterations=3, border_value=1)].mean() > 0.99


def test_groups_that_are_too_small_are_sieved():
    found = np.zeros((20, 20), bool)
    found[2:5, 2:5] = found[10, 10:12] = True
    assert sieved(found, 3).sum() == 9
    assert sieved(found, 1) is found


def test_shadows_lie_where_most_clouds_have_theirs():
    rng = np.random.default_rng(3)
    clouds = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 6) > 0.09
    dark = ndimage.shift(clouds.astype("uint8"), (-9, 14), order=0) > 0
    assert find_shift([(clouds, dark)], 40) == (-9, 14)
    assert find_shift([(clouds, np.zeros_like(clouds))], 40) is None


@pytest.mark.parametrize(("crs", "corner", "step"), [
    ("EPSG:4326", (11.2, 46.5), 1e-4), ("EPSG:4326", (-150.0, 70.0), 1e-3),
    ("EPSG:3857", (1.25e6, 5.9e6), 10), ("EPSG:32632", (680000, 5153000), 10),
])  # fmt: skip
def test_areas_are_those_on_the_ground(tmp_path, crs, corner, step):
    place = {"crs": crs, "transform": rasterio.Affine(step, 0, corner[0], 0, -step, corner[1])}
    path = write(tmp_path / "a.tif", np.ones((1, 50, 40), "uint8"), **place)
    areas = PixelAreas(metadata_of(path))
    whole = areas.of(Box(0, 0, 50, 40))
    with rasterio.open(path) as file:
        west, south, east, north = rasterio.warp.transform_bounds(crs, "EPSG:4326", *file.bounds)
    if crs == "EPSG:32632":
        want = 50 * 40 * 0.01
    else:
        want = _ellipsoidal(west, south, east, north) / 1e4
    assert whole.sum() == pytest.approx(want, rel=2e-3)
    np.testing.assert_array_equal(areas.of(Box(7, 5, 20, 30)), whole[7:27, 5:35])


def _ellipsoidal(west: float, south: float, east: float, north: float) -> float:
    """Area between parallels and meridians of WGS 84, in square metres (Snyder 1987, 3-12)."""
    a, e2 = 6378137.0, 0.00669437999014
    e = np.sqrt(e2)

    def q(latitude: float) -> float:
        s = np.sin(np.radians(latitude))
        tail = np.log((1 - e * s) / (1 + e * s)) / (2 * e)
        return float((1 - e2) * (s / (1 - e2 * s * s) - tail))

    return float(np.radians(east - west) * a * a / 2 * (q(north) - q(south)))
