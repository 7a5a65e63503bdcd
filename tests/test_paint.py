"""`geot2t train --only draws`: a library and a network that refines what is drawn from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner, Result
from scipy.ndimage import gaussian_filter

from geot2t import drawing, refine
from geot2t import paint as paint_module
from geot2t.checkpoint import Model, load_model
from geot2t.cli import main
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.generate import generate
from geot2t.generator import Generator, GeneratorConfig
from geot2t.ground import ANY, Ground
from geot2t.learner import TrainConfig
from geot2t.paint import NEW, Painter, described, distance, paint
from geot2t.refine import (
    CODE,
    CONDITIONS,
    START,
    WINDOW,
    Refiner,
    alike,
    code_of,
    normal,
    reached,
)
from geot2t.scenery import LEAST_WINDOWS, read_classes
from geot2t.train import Trainer

CPU = torch.device("cpu")
SHORT = TrainConfig(
    steps=4, batch=1, pool=8, seed=3, every=1, only="draws", adversarial=0.03, ramp=(0, 0.5)
)
SMALL = replace(NEW, token_dim=16, embed_dim=16, depth=1, heads=2)
WAVES = np.array([0.492, 0.560, 0.665, 0.833], "float32")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Small networks, few windows and few steps, for the sake of time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paint_module, "NEW", SMALL)
        patch.setattr(paint_module, "HELD_BACK", 4)
        patch.setattr(drawing, "TRIES", 2)
        patch.setattr(refine, "STEPS", 3)
        yield


@pytest.fixture(scope="module")
def tiles(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clear dates of the sample scene."""
    folder = tmp_path_factory.mktemp("tiles")
    for path in [*sample.glob("2022-06-12*"), *sample.glob("2022-06-2*")]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def classes(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list that calls windows of a clear date meadow, and what is beside them pond."""
    folder = tmp_path_factory.mktemp("classes")
    rows = []
    with rasterio.open(tiles / "2022-06-12.tif") as src:
        values, profile = src.read(), src.profile | {"height": 64, "width": 64}
        names, scales = src.descriptions, src.scales
    for i in range(LEAST_WINDOWS):
        for kind, step, times in (("Wet Meadow", 5, 1), ("pond", 7, 3)):
            path = folder / f"{kind}_{i}.tif"
            with rasterio.open(path, "w", **profile) as dst:
                window = values[:, step * i : step * i + 64, 8 * i : 8 * i + 64]
                dst.write(window.clip(times) // times)
                dst.descriptions, dst.scales = names, scales
            rows.append(f"{path.name},{kind}")
    path = folder / "classes.csv"
    path.write_text("path,class\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def taught(tiles: Path, classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model after a few steps, by the command line."""
    out = tmp_path_factory.mktemp("taught") / "painter.safetensors"
    command = ["train", "--tiles", tiles, "-o", out, "--only", "draws", "--classes", classes]
    result = run(*command, "--steps", 4, "--batch", 1, "--device", "cpu", "-q")
    assert result.stdout == f"{out}\n", result.stderr
    return out


# -- training --------------------------------------------------------------------------------------


def test_a_model_that_draws_has_its_library_in_its_card(taught: Path) -> None:
    model = load_model(taught)
    assert model.card["steps_done"] == 4
    assert model.card["settings"]["only"] == "draws"
    ground = Ground.from_json(model.card["ground"])
    assert set(ground.kinds) == {ANY, "wet-meadow", "pond"}
    seen = [0, 1, 2, 6]
    meadow, pond = (np.array(ground.kind(k).level)[seen] for k in ("Wet Meadow", "pond"))
    assert (pond < meadow - 0.5).all()
    assert model.generator.config.noise_dim == CONDITIONS


@pytest.mark.parametrize("arch", ["t2t", "vit"])
def test_a_run_taken_up_again_goes_on_to_the_last_bit(
    tiles: Path, classes: Path, tmp_path: Path, arch: str
) -> None:
    output, config = tmp_path / "m.safetensors", replace(SHORT, arch=arch)
    painter = Painter(tiles, output, config, CPU, classes=classes)
    errors = []
    for batch, rng in painter.batches():
        errors.append(painter.train_step(batch, rng))
        if painter.step == 2:
            painter.save(painter.held_back())
    assert any("game" in e for e in errors)
    again = Painter(tiles, output, config, CPU, classes=classes)
    again.resume()
    assert [again.train_step(batch, rng) for batch, rng in again.batches()] == errors[2:]


def test_learning_lowers_the_error(tiles: Path, tmp_path: Path) -> None:
    config = replace(SHORT, steps=60, rate=3e-3, adversarial=0, pool=1)
    painter = Painter(tiles, tmp_path / "m.safetensors", config, CPU)
    batch, _ = next(painter.batches())
    errors = [painter.train_step(batch, np.random.default_rng(i % 3))["error"] for i in range(40)]
    assert errors[0] == pytest.approx(1, abs=0.2)  # all that spreads tell is known beforehand
    assert np.mean(errors[-6:]) < 0.8


def test_a_model_that_fills_may_be_where_a_run_starts(tiles: Path, tmp_path: Path) -> None:
    painter = Painter(tiles, tmp_path / "m.safetensors", SHORT, CPU, "t2t-gan")
    own, start = painter.generator.state_dict(), load_model("t2t-gan").generator.state_dict()
    differing = {k for k in start if not torch.equal(own[k], start[k])}
    assert differing == {"noise.weight"}
    assert painter.generator.config.noise_dim == CONDITIONS


def test_classes_go_with_draws_only(tiles: Path, classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    result = run("train", "--tiles", tiles, "-o", out, "--classes", classes)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith("--classes goes with --only draws")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,kind\na.tif,wood\n", "must have the columns path and class"),
        ("path,class\na.tif,\n", "line 2 of .* lacks a path or a class"),
        ("path,class\na.tif,wood\nb.tif,wood\n", "line 3 of .*: there is no file .*b.tif"),
        ("path,class\na.tif,wood\na.tif,lake\n", "line 3 of .*: a.tif cannot be of the class lake"),
        ("path,class\na.tif,any\n", "cannot be of the class any"),
        ("path,class\n", "names no scenes"),
        ('path,class\n"a.tif,wood\n', "cannot read .* as CSV"),
    ],
)
def test_what_is_wrong_with_a_list_of_classes_is_said_in_a_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.tif").touch()
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_classes(path)


def test_tiles_without_a_whole_window_are_refused(tmp_path: Path) -> None:
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    with rasterio.open(
        tiles / "2022-06-12.tif", "w", driver="GTiff", width=40, height=40, count=3, dtype="uint16"
    ) as dst:
        dst.write(np.full((3, 40, 40), 1000, "uint16"))
        dst.descriptions = ("B02", "B03", "B04")
    with pytest.raises(InputError, match="fewer than two whole windows of 64 px"):
        paint(tiles, tmp_path / "m.safetensors", config=SHORT, device="cpu", quiet=True)


# -- the way from noise to a window ----------------------------------------------------------------


def test_before_anything_is_learnt_spreads_alone_tell_where_a_way_ends() -> None:
    torch.manual_seed(0)
    windows, noise = torch.randn(64, 1, 64, 64), torch.randn(64, 1, 64, 64)
    come = torch.full((64,), 0.6)
    season, waves = torch.full((64,), np.nan), torch.full((64, 1), 0.56)
    evidence = refine.evidence_of(refine.mixed(windows, noise, come), come, season, waves)
    end, error = reached(evidence, evidence.prior)
    assert (end - windows).std() == pytest.approx(float(error[0, 0, 0, 0]), rel=0.02)
    # No other share of what is seen comes nearer.
    assert all((f * end - windows).std() >= (end - windows).std() for f in (0.9, 1.1))


def test_noise_has_in_common_what_bands_have_in_common() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((1, 1, 64, 64))
    bands = shared + 0.3 * rng.standard_normal((1, 3, 64, 64))
    windows = normal(torch.from_numpy(bands.astype("float32")))
    white = torch.from_numpy(rng.standard_normal((1, 3, 64, 64), "float32"))
    want, got = (np.corrcoef(v[0].flatten(1).numpy()) for v in (windows, alike(windows, white)))
    np.testing.assert_allclose(got, want, atol=0.05)


def test_classes_and_sizes_of_detail_have_codes_of_their_own() -> None:
    rng = np.random.default_rng(0)
    rough = rng.standard_normal((2, 64, 64))
    smooth = gaussian_filter(rough, (0, 3, 3))
    forest, river, none = (code_of(kind, rough) for kind in ("forest", "river", None))
    assert torch.equal(code_of("Forest", rough), forest)
    assert not torch.equal(forest[:16], river[:16])
    assert (none[:16] == 0).all()
    assert torch.equal(forest[16:], none[16:])
    assert code_of(None, smooth)[16] < none[16] - 1  # less of it is in single pixels


def test_a_distance_is_nothing_to_itself_and_grows_with_noise() -> None:
    rng = np.random.default_rng(0)
    smooth = [np.cumsum(rng.standard_normal((2, 64, 64)), 1) for _ in range(12)]
    real = np.stack([described(normal(torch.from_numpy(v)[None])[0]) for v in smooth])
    rough = [v + 4 * rng.standard_normal(v.shape) for v in smooth]
    other = np.stack([described(normal(torch.from_numpy(v)[None])[0]) for v in rough])
    assert distance(real, real) == pytest.approx(0, abs=1e-9)
    assert distance(other, real) > 0.5


# -- refining --------------------------------------------------------------------------------------


def at_random() -> Model:
    """A model that adds something everywhere, and has learnt nothing."""
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    for parameter in generator.out[1].parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    config = CriticConfig(token_dim=8, embed_dim=16, depth=1, heads=2)
    return Model(generator, Critic(config), "at random")


def drawn(side: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.exp(0.1 * rng.standard_normal((4, side, side)) - 2).astype("float32")


def test_a_draw_depends_on_its_noise_alone_and_keeps_its_level() -> None:
    refined = Refiner(at_random(), CPU)
    one, again, other = (
        refined(drawn(64), WAVES, 0.5, None, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other, rtol=1e-3)
    assert not np.allclose(one, drawn(64), rtol=1e-3)
    level = np.log(one).mean((1, 2)) - np.log(drawn(64)).mean((1, 2))
    assert np.abs(level).max() < 0.1  # the spread of the draw


def test_windows_leave_no_steps_at_their_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    slope = torch.linspace(-1, 1, WINDOW)

    def tilted(_: Generator, evidence: refine.Evidence, __: torch.Tensor) -> torch.Tensor:
        """Neighbours that could not disagree more about the pixels on which they border."""
        return slope.expand_as(evidence.prior)

    monkeypatch.setattr(refine, "end_of", tilted)
    flat = drawn(160)
    level, spread = refine._local(np.log(flat))
    out = Refiner(at_random(), CPU)(flat, WAVES, None, None, np.random.default_rng(0))
    said = (np.log(out) - level) / spread
    np.testing.assert_allclose(said[..., :40], slope[:40].expand(4, 160, 40), atol=1e-4)
    # From 1 to -1 where two windows only touched; blended, a share of it between any two pixels.
    assert 0.05 < np.abs(np.diff(said, axis=2)).max() < 0.25


def test_order_and_number_of_windows_at_once_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    refined = Refiner(at_random(), CPU)
    whole = refined(drawn(160), WAVES, 0.2, "forest", np.random.default_rng(0))
    monkeypatch.setattr(refine, "_BATCH", 4)
    parts = refined(drawn(160), WAVES, 0.2, "forest", np.random.default_rng(0))
    np.testing.assert_allclose(parts, whole, rtol=1e-4)


@pytest.mark.parametrize("side", [16, 70])
def test_draws_of_any_size_can_be_refined(side: int) -> None:
    out = Refiner(at_random(), CPU)(drawn(side), WAVES, None, None, np.random.default_rng(0))
    assert out.shape == (4, side, side)
    assert np.isfinite(out).all()
    assert out.min() > 0


# -- geot2t generate -------------------------------------------------------------------------------


def test_what_was_taught_is_drawn(taught: Path, judge: Path, tmp_path: Path) -> None:
    how = {"size": 64, "model": taught, "judge": judge, "kind": "pond", "seed": 2}
    network = generate(tmp_path / "n", by="network", **how)
    statistics = generate(tmp_path / "s", by="statistics", **how)
    again = generate(tmp_path / "a", by="network", **how)
    images = []
    for found in (network, statistics, again):
        with rasterio.open(found.paths[0]) as file:
            images.append(file.read())
    assert not np.array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    said = [found.items[0]["properties"] for found in (network, statistics)]
    assert [s["geot2t:by"] for s in said] == ["network", "statistics"]
    assert said[0]["geot2t:model"] == "painter"
    assert said[0]["geot2t:model_sha256"] == load_model(taught).sha256
    assert "refined by a network" in said[0]["processing:lineage"]


def test_a_scene_s_look_is_refined_as_well(cloudy: Path, taught: Path, judge: Path) -> None:
    how = {"like": cloudy, "model": taught, "judge": judge}
    found = [generate(cloudy.parent / by, by=by, **how) for by in ("network", "statistics")]
    images = []
    for one in found:
        with rasterio.open(one.paths[0]) as file:
            images.append(file.read().astype(float))
    assert not np.array_equal(*images)
    ratio = np.median(images[0], (1, 2)) / np.median(images[1], (1, 2))
    assert ((ratio > 0.5) & (ratio < 2)).all()


def test_a_model_that_was_not_taught_to_draw_is_refused(judge: Path, tmp_path: Path) -> None:
    result = run("generate", "-o", tmp_path / "d", "--by", "network", "--model", judge)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: {judge} was not taught to draw")
    assert not (tmp_path / "d").exists()


def test_a_model_that_draws_does_not_fill(cloudy: Path, taught: Path) -> None:
    result = run("inpaint", cloudy, "--model", taught)
    assert result.exit_code == 1
    assert "was taught to draw, not to fill" in result.stderr.splitlines()[-1]


def test_training_to_fill_does_not_start_from_a_model_that_draws(
    tiles: Path, taught: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="was taught to draw, not to fill; give another --init"):
        Trainer(tiles, tmp_path / "m.safetensors", TrainConfig(), CPU, taught)


def test_what_ships_draws_the_classes_of_the_library(judge: Path, tmp_path: Path) -> None:
    model = load_model(drawing.DRAWS)
    assert set(model.card["ground"]) == set(drawing.library().kinds)
    found = generate(tmp_path / "d", by="network", kind="river", size=48, judge=judge)
    assert found.items[0]["properties"]["geot2t:model"] == drawing.DRAWS


def test_info_names_the_classes_of_a_model(taught: Path) -> None:
    result = run("info", taught)
    assert "card.ground: any, pond, wet-meadow" in result.stdout
    assert json.loads(run("info", taught, "--json").stdout)["card"]["ground"]["pond"]["windows"]


def test_what_starts_half_way_ends_at_its_end() -> None:
    steps = list(refine.way())
    assert steps[0] == (START, 1 / refine.STEPS)
    left = np.prod([1 - step for _, step in steps])
    assert left == pytest.approx(0)


def test_networks_of_other_sizes_take_the_same_conditions() -> None:
    config = GeneratorConfig(token_dim=8, embed_dim=16, depth=1, heads=2, noise_dim=CONDITIONS)
    e = refine.evidence_of(
        torch.randn(2, 3, 64, 64), torch.full((2,), 0.5), torch.zeros(2), torch.ones(2, 3)
    )
    assert refine.end_of(Generator(config), e, torch.zeros(2, CODE)).shape == (2, 3, 64, 64)
