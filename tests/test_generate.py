"""`geot2t generate`: draws have the statistics that were asked for, and say what they are."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from geot2t.cli import main
from geot2t.drawing import library
from geot2t.errors import InputError
from geot2t.generate import BANDS, generate
from geot2t.ground import ANY, WAVELENGTHS, Ground, look, season_terms, turn_of

RGBN = np.array([0.492, 0.560, 0.665, 0.833])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


# -- the library -----------------------------------------------------------------------------------


def summer_and_winter(rng: np.random.Generator, spread: float = 0.1) -> Ground:
    """Ground that is twice as bright in summer as in winter, at several places."""
    looks = []
    for i in range(60):
        turn = (i % 12) / 12
        level = np.log(0.1) - 0.5 * np.log(2) * np.cos(2 * np.pi * turn) + 0.3 * (i // 12)
        logs = level + spread * rng.standard_normal((len(WAVELENGTHS), 24, 24))
        found = look(np.exp(logs), WAVELENGTHS, turn, f"place {i // 12}")
        assert found is not None
        looks.append(found)
    return Ground.learnt({ANY: looks})


def test_the_year_is_learnt_from_what_changes_within_places() -> None:
    ground = summer_and_winter(np.random.default_rng(0))
    year = ground.season(None, RGBN, 0.5) - ground.season(None, RGBN, 0.0)
    np.testing.assert_allclose(np.exp(year), 2, rtol=0.05)


@given(st.floats(0, 1))
@settings(max_examples=20)
def test_a_year_ends_as_it_begins(turn: float) -> None:
    np.testing.assert_allclose(season_terms(turn), season_terms(turn + 1), atol=1e-9)
    assert (season_terms(None) == 0).all()


def test_draws_have_the_spread_that_was_learnt() -> None:
    ground = summer_and_winter(np.random.default_rng(0), spread=0.2)
    drawn = ground.draw((96, 96), WAVELENGTHS, np.random.default_rng(1))
    logs = np.log(drawn)
    # The point spread takes some of the finest detail, of which this ground has nothing else.
    assert 0.08 < logs.std((1, 2)).mean() < 0.25


def test_bands_that_a_class_lacks_are_completed_from_all_ground() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.5, (80, 1))
    levels = np.log(0.1) + common + rng.normal(0, 0.02, (80, len(WAVELENGTHS)))
    noise = 0.05 * rng.standard_normal((80, len(WAVELENGTHS), 16, 16))
    pairs = zip(levels, noise, strict=True)
    full = [look(np.exp(v[:, None, None] + n), WAVELENGTHS, None) for v, n in pairs]
    dark = [look(0.3 * np.exp(n[:3] - 2.3), WAVELENGTHS[:3], None) for n in noise[:30]]
    ground = Ground.learnt({ANY: full, "dark": dark})
    level = np.array(ground.kind("dark").level)
    np.testing.assert_allclose(level, level[0], atol=0.1)


def test_the_library_survives_json() -> None:
    ground = library()
    again = Ground.from_json(json.loads(json.dumps(ground.to_json())))
    one, two = (g.draw((16, 16), RGBN, np.random.default_rng(3)) for g in (ground, again))
    np.testing.assert_array_equal(one, two)


def test_what_ships_knows_seasons_and_classes() -> None:
    ground = library()
    nir = ground.season(None, RGBN, turn_of(date(2022, 7, 1)))[3]
    assert nir > ground.season(None, RGBN, turn_of(date(2022, 1, 1)))[3]
    forest, crops = (
        np.mean([
            np.log(ground.draw((48, 48), RGBN, np.random.default_rng(i), kind=kind)).std((1, 2))
            for i in range(6)
        ])
        for kind in ("forest", "annual crop")
    )  # fmt: skip
    assert crops > forest  # fields differ more than trees do


def test_a_class_that_is_not_there_is_answered_by_the_list(judge: Path, tmp_path: Path) -> None:
    result = run("generate", "-o", tmp_path / "d", "--class", "moon", "--by", "statistics")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no class 'moon'; there are ")
    assert "forest" in result.stderr
    assert not (tmp_path / "d").exists()


# -- draws -----------------------------------------------------------------------------------------


def test_draws_are_written_with_names_and_items(judge: Path, tmp_path: Path) -> None:
    out = tmp_path / "draws"
    result = run(
        "generate", "-o", out, "--count", 2, "--date", "2022-07-01", "--class", "forest",
        "--size", 64, "--by", "statistics", "--judge", judge,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [p.name for p in paths] == ["draw_01.tif", "draw_02.tif"]
    assert not np.array_equal(pixels(paths[0]), pixels(paths[1]))
    with rasterio.open(paths[0]) as file:
        assert file.descriptions == tuple(BANDS)
        assert file.crs is None
        assert (file.nodata, file.dtypes[0], file.scales[0]) == (0, "uint16", 0.0001)
        assert file.read().min() > 0
    item = json.loads(paths[0].with_suffix(".json").read_text())
    said = item["properties"]
    assert said["geot2t:observed"] == 0
    assert said["datetime"] == "2022-07-01T00:00:00Z"
    assert "Nothing" in said["processing:lineage"]
    assert 0 <= said["geot2t:realism_percentile"] <= 100
    assert run("verify", *paths).exit_code == 0


def test_a_draw_depends_on_its_seed_and_number_alone(judge: Path, tmp_path: Path) -> None:
    common = {"size": 48, "by": "statistics", "judge": judge, "seed": 5}
    both = generate(tmp_path / "a", count=2, **common)
    one = generate(tmp_path / "b", count=1, **common)
    np.testing.assert_array_equal(pixels(one.paths[0]), pixels(both.paths[0]))
    other = generate(tmp_path / "c", count=1, **common | {"seed": 6})
    assert not np.array_equal(pixels(other.paths[0]), pixels(one.paths[0]))


def test_existing_draws_are_not_replaced_unasked(judge: Path, tmp_path: Path) -> None:
    common = {"size": 32, "by": "statistics", "judge": judge}
    path = generate(tmp_path / "a", **common).paths[0]
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists; pass --overwrite"):
        generate(tmp_path / "a", seed=1, **common)
    assert path.read_bytes() == before
    generate(tmp_path / "a", seed=1, overwrite=True, **common)
    assert path.read_bytes() != before


# -- like a scene ----------------------------------------------------------------------------------


def test_a_draw_like_a_scene_has_its_grid_and_its_look(cloudy: Path, judge: Path) -> None:
    path = generate(cloudy.parent / "d", like=cloudy, by="statistics", judge=judge).paths[0]
    with rasterio.open(cloudy) as src, rasterio.open(path) as dst:
        for what in ("crs", "transform", "shape", "dtypes", "nodata", "scales", "descriptions"):
            assert getattr(dst, what) == getattr(src, what), what
        real, drawn = src.read().astype(float), dst.read().astype(float)
    clear = (real > 0).all(0)
    with rasterio.open(cloudy.with_name("2022-06-10_mask.tif")) as file:
        clear &= file.read(1) == 0
    ratio = np.median(drawn, (1, 2)) / np.median(real[:, clear], 1)
    assert ((ratio > 1 / 3) & (ratio < 3)).all()


def test_a_scene_moved_to_its_own_date_stays_and_to_winter_darkens(cloudy: Path) -> None:
    same = generate(cloudy.parent / "same", like=cloudy, day=date(2022, 6, 10)).paths[0]
    winter = generate(cloudy.parent / "winter", like=cloudy, day=date(2022, 1, 10))
    assert [p.name for p in winter.paths] == ["2022-01-10.tif"]
    with rasterio.open(cloudy) as src, rasterio.open(same) as moved:
        before, after = src.read(), moved.read()
    shown = (after > 0).all(0)
    assert 0.5 < shown.mean() < 1  # clouds are not ground, and are not moved
    np.testing.assert_array_equal(after[:, shown], before[:, shown])
    nir = 3
    assert pixels(winter.paths[0])[nir][shown].mean() < 0.9 * before[nir][shown].mean()
    assert winter.items[0]["properties"]["geot2t:moved_from"] == "2022-06-10"


def test_a_move_has_one_outcome(cloudy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave --count out"):
        generate(tmp_path / "d", like=cloudy, day=date(2022, 1, 1), count=2)
