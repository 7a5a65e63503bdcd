"""`benchmarks/ablations.py`: a whole run on tiny places, and what makes its figures fair."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from geot2t.baselines import linear
from geot2t.checkpoint import Model, save_model
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.generator import Generator, GeneratorConfig
from geot2t.places import find_places
from geot2t.tiles import Windows

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import ablation_runs
import ablations
from ablation_pools import a_tenth, nearest, set_apart, without_prior
from ablation_runs import filled, milliseconds
from ablation_tables import accuracy, summarised

SIDE = 48
HELD = "modis_ndvi_sinop"


def write_place(folder: Path, dates: int, east: float, seed: int) -> None:
    """Ground that drifts from date to date, ``east`` metres away from the other places."""
    rng = np.random.default_rng(seed)
    ground = 2000 + 400 * rng.standard_normal((2, SIDE // 4, SIDE // 4)).repeat(4, 1).repeat(4, 2)
    folder.mkdir()
    grid = {"crs": "EPSG:32632", "transform": from_origin(5e5 + east, 5e6, 10, 10)}
    for day in range(dates):
        now = ground * (1 + 0.05 * day) + 30 * rng.standard_normal(ground.shape)
        with rasterio.open(
            folder / f"2022-06-{1 + 4 * day:02d}.tif", "w", driver="GTiff", count=2,
            height=SIDE, width=SIDE, dtype="uint16", nodata=0, **grid,
        ) as file:  # fmt: skip
            file.write(now.astype("uint16"))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six places; one that is held back, and one that shows half of the same ground."""
    folder = tmp_path_factory.mktemp("tiles")
    for i, (name, dates, east) in enumerate([
        ("east", 4, 1e4), ("north", 1, 2e4), ("south", 1, 3e4), ("west", 5, 4e4),
        (HELD, 4, 0), ("sinop_again", 4, SIDE * 5),
    ]):  # fmt: skip
        write_place(folder / name, dates, east, seed=i)
    return folder


def run(tiles: Path, output: Path, *more: str) -> str:
    """What the command prints."""
    text = io.StringIO()
    few = ["--steps", "2", "--batch", "1", "--pool", "4", "--windows", "3", "--device", "cpu"]
    with contextlib.redirect_stdout(text):
        ablations.main([str(tiles), "-o", str(output), "--hold-out", HELD, *few, *more])
    return text.getvalue()


def rows_of(output: Path) -> dict[str, dict]:
    """The rows that were written, without what a clock measured."""
    document = json.loads((output / "ablations.json").read_text())
    rows = {row["name"]: row for row in document["rows"]}
    for row in rows.values():
        for key in ("seconds", "milliseconds"):
            row.get("network", {}).pop(key, None)
    return rows


@pytest.fixture(scope="module")
def done(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two networks, and what it printed."""
    output = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablations, "milliseconds", lambda generator: milliseconds(generator, 32))
        return output, run(tiles, output, "--only", "vit", "no-prior")


def test_a_run_prints_a_line_for_each_method(done: tuple[Path, str]) -> None:
    output, text = done
    lines = text.splitlines()
    assert lines[0] == f"3 windows of held-back places ({HELD}):"
    first = [line.split(" | ")[0].strip("| ") for line in lines if line.startswith("| ")]
    tried = ["prior", "linear interpolation", "T2T-GAN, no prior", "plain ViT"]
    assert [f for f in first if f and f != "---"] == [*tried, *tried[2:]]
    rows = rows_of(output)
    figures = rows["vit"]["sets"]["held-back places"]
    assert figures["windows"] == 3
    assert figures["prior"][1] <= figures["prior"][0] <= figures["prior"][2]
    assert figures["linear"][0] < 1  # all dates are alike but for a factor
    assert rows["vit"]["network"]["parameters"] > 1e6


def test_nothing_is_learnt_from_ground_that_is_held_back(done: tuple[Path, str]) -> None:
    settings = json.loads((done[0] / "settings.json").read_text())
    assert settings["learnt_from"] == ["east", "north", "south", "west"]


def test_the_same_pool_gives_the_same_figures(
    tiles: Path, done: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "milliseconds", lambda _: 1.0)
    shutil.copytree(done[0] / "pools", tmp_path / "pools")
    run(tiles, tmp_path, "--only", "vit", "no-prior")
    assert rows_of(tmp_path) == rows_of(done[0])


def test_what_is_finished_is_not_done_again(
    tiles: Path, done: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ablation_runs, "Learner")
    monkeypatch.delattr(ablation_runs, "filled")
    assert run(tiles, done[0], "--only", "vit") == done[1]


@pytest.mark.parametrize(
    ("learnt_from", "tried"), [("elsewhere", True), (HELD, False), ("sinop_again", False)]
)
def test_a_finished_model_is_not_tried_on_ground_that_it_learnt_from(
    tiles: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    learnt_from: str,
    *,
    tried: bool,
) -> None:
    generator = Generator(GeneratorConfig(token_dim=16, embed_dim=32, depth=1, heads=2))
    critic = Critic(CriticConfig(token_dim=8, embed_dim=24, depth=1))
    card = {"places": {"learnt_from": [learnt_from]}}
    save_model(tmp_path / "mine.safetensors", Model(generator, critic, "mine", card=card))
    text = run(
        tiles, tmp_path / "out", "--only", "model", "--model", f"{tmp_path}/mine.safetensors"
    )
    assert ("mine, all other dates" in text) == tried
    assert ("not tried there" in capsys.readouterr().err) != tried


def test_work_with_other_settings_is_not_mixed(tiles: Path, done: tuple[Path, str]) -> None:
    with pytest.raises(SystemExit, match=r"holds work with other seed; take another folder"):
        run(tiles, done[0], "--seed", "1")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--hold-out", "nowhere"], "no place is called nowhere"),
        (["--hold-out", "*"], "no place of three dates is left"),
        (["--hold-out"], "there is nothing to try on"),
    ],
)
def test_places_that_cannot_be_used_are_named(
    tiles: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        run(tiles, tmp_path, *more)


def test_the_list_says_what_is_done(
    done: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    ablations.main(["--list", "-o", str(done[0])])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ablations.JOBS)
    assert {line.split()[0] for line in lines if " done " in line} == {
        "references", "no-prior", "vit",
    }  # fmt: skip


# -- windows ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windows(tiles: Path) -> Windows:
    """Windows of a series, all dates shown."""
    places = [place for place in find_places(tiles) if place.name == "west"]
    return Windows(
        [(place, place.extent) for place in places],
        CloudShapes.load(),
        frames=5,
        seed=2,
        sizes=(SIDE,),
        dates=None,
    )


def test_without_a_prior_dates_are_shown_as_they_are(windows: Windows) -> None:
    window = windows.window(1)
    sample = window.sample(5, without_prior)
    evidence = sample.evidence
    line = linear(window.pixels.numpy(), window.valid.numpy(), window.days.numpy(), 0)
    torch.testing.assert_close(evidence.prior, torch.from_numpy(line.mean))
    apart = evidence.days[0].abs()
    assert apart.tolist() == sorted(apart.tolist())
    for image, fitted, seen in zip(
        evidence.images[0], evidence.fitted[0], evidence.valid[0], strict=True
    ):
        assert torch.equal(image[:, seen], fitted[:, seen])


def test_without_a_prior_nothing_is_read_of_what_is_hidden(windows: Windows) -> None:
    window = windows.window(1)
    hidden = ~window.valid.unsqueeze(2).expand_as(window.pixels)
    assert hidden.any()
    junk = window._replace(pixels=window.pixels.masked_fill(hidden, 1e6))
    for one, other in zip(
        vars_of(window.sample(5, without_prior)),
        vars_of(junk.sample(5, without_prior)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, equal_nan=True)


def vars_of(sample) -> list[torch.Tensor]:
    """What a network may read of a sample."""
    e = sample.evidence
    images = torch.where(e.valid.unsqueeze(2), e.images, 0)
    return [e.prior, e.prior_scale, images, e.fitted, e.fitted_scale, e.days, e.season]


def test_ground_that_no_other_date_shows_is_filled_from_around(windows: Windows) -> None:
    window = nearest(windows.window(1), 0)
    evidence = window.sample(5, without_prior).evidence
    own = evidence.valid[0, 0]
    assert not own.all()
    seen, gap = window.pixels[0, 0][:, own], evidence.prior[0][:, ~own]
    assert (gap.amin(1) >= seen.amin(1)).all()
    assert (gap.amax(1) <= seen.amax(1)).all()
    assert (gap.std(1) > 0).all()


def test_the_dates_nearest_in_time_are_shown(windows: Windows) -> None:
    window = windows.window(0)
    away = (window.days[1:] - window.days[0]).abs()
    assert len(away) == 4
    some = nearest(window, 2)
    assert torch.equal(some.pixels[:, 0], window.pixels[:, 0])
    assert sorted((some.days[1:] - some.days[0]).abs().tolist()) == sorted(away.tolist())[:2]
    assert some.pixels.shape[1] == some.valid.shape[1] == 3
    assert torch.equal(nearest(window, 99).pixels, window.pixels)


def test_a_tenth_does_not_depend_on_the_order_and_holds_a_series(tiles: Path) -> None:
    places = find_places(tiles)
    some = a_tenth(places)
    assert [p.name for p in some] == [p.name for p in a_tenth(places[::-1])]
    assert len(some) == 1
    assert some[0].times >= 3


def test_a_place_is_left_out_where_the_development_series_shows_its_ground(tiles: Path) -> None:
    places = find_places(tiles)
    dev = [place for place in places if place.name == HELD]
    learn, held = set_apart([p for p in places if p.name != HELD], ["east"], dev)
    assert [p.name for p in held] == ["east"]
    assert [p.name for p in learn] == ["north", "south", "west"]
    with pytest.raises(InputError, match="no place is called"):
        set_apart(places, ["east", "eats"], dev)


# -- figures ---------------------------------------------------------------------------------------


def rows() -> list[dict]:
    """Three windows of two places; one was not tried with the third method."""
    errors = {"prior": [2.0, 4.0, 1.0], "linear": [4.0, 4.0, 4.0], "t2t": [1.0, 4.0, None]}
    jobs = {"prior": "references", "linear": "references", "t2t": "t2t"}
    return [
        {
            "job": jobs[name],
            "name": name,
            "title": name,
            "sets": {"here": {"error": error, "texture": [0.5, 0.7, None]}},
        }
        for name, error in errors.items()
    ]


def test_ratios_are_of_windows_and_then_averaged() -> None:
    places = {"here": ["a", "b", "b"]}
    prior, line, learnt = summarised(rows(), places)
    own = learnt["sets"]["here"]
    assert own["windows"] == 2
    assert own["prior"][0] == pytest.approx((1 / 2 + 4 / 4) / 2)
    assert own["linear"][0] == pytest.approx((1 / 4 + 4 / 4) / 2)
    assert own["places"] == {"a": 0.5, "b": 1.0}
    assert own["wins"] == 0.5
    assert own["texture"] == pytest.approx(0.6)
    assert line["sets"]["here"]["wins"] == 0
    assert prior["sets"]["here"]["wins"] is None
    line_of_table = accuracy([learnt], "here").splitlines()[2]
    assert line_of_table.startswith("| t2t | 0.750 (0.500 to 1.000) | 0.500 to 1.000 | 0.625")


def test_windows_without_any_error_of_the_prior_are_left_out() -> None:
    known = rows()
    known[0]["sets"]["here"]["error"][0] = 0.0
    assert [row["sets"]["here"]["windows"] for row in summarised(known, {"here": ["a"] * 3})] == [
        2, 2, 1,
    ]  # fmt: skip


def test_a_network_is_timed_and_may_draw(windows: Windows) -> None:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(token_dim=16, embed_dim=32, depth=1, heads=2)).eval()
    assert milliseconds(generator, 32) > 0
    torch.nn.init.normal_(generator.noise.weight)
    torch.nn.init.normal_(generator.out[1].weight)
    evidence = windows[0].evidence
    noise = torch.randn(1, SIDE // 16, SIDE // 16, 8)
    assert not torch.equal(filled(generator, evidence), filled(generator, evidence, noise))
