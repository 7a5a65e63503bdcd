"""Lessons: what the critic is shown, and that a few of them teach it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from geot2t.checkpoint import Model, load_model, save_model
from geot2t.cli import main
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, CriticConfig, own_normalised, soft_minimum, widened
from geot2t.errors import InputError
from geot2t.generator import Generator, GeneratorConfig
from geot2t.learner import TrainConfig
from geot2t.lessons import another_day, composite, lesson, pair
from geot2t.places import find_places
from geot2t.teach import Teacher, teach
from geot2t.tiles import Sample, Windows, batch_of
from geot2t.views import STATISTICS, VIEWS, views

CPU = torch.device("cpu")
SMALL = CriticConfig(token_dim=8, embed_dim=24, depth=1)
AGREEING, HERE, IN_THE_WINDOW, ALONE = 4, 9, 10, 11
TEACH = TrainConfig(steps=4, batch=1, pool=4, seed=3)


@pytest.fixture(scope="module")
def tiles(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five dates of the sample scene."""
    folder = tmp_path_factory.mktemp("tiles")
    for path in sorted(sample.glob("2022-06-[012]*"))[:12]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def batch(tiles: Path) -> Sample:
    places = [(place, place.extent) for place in find_places(tiles)]
    windows = Windows(places, CloudShapes.load(), frames=5, seed=1, sizes=(64,), estimate=composite)
    samples = [s for s in (windows[i] for i in range(12)) if s.truth.shape[1] >= 2][:4]
    return batch_of(samples, 2, np.random.default_rng(0), CPU)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose critic has learnt nothing."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    small = {"token_dim": 8, "embed_dim": 16, "depth": 1, "heads": 2}
    save_model(path, Model(Generator(GeneratorConfig(**small)), Critic(SMALL), "start"))
    return path


# -- pairs -----------------------------------------------------------------------------------------


def test_a_pair_differs_only_where_it_says(batch: Sample) -> None:
    for seed in range(8):
        right, wrong, where, known = pair(batch, np.random.default_rng(seed))
        same = ~where.expand_as(right)
        torch.testing.assert_close(wrong[same], right[same])
        assert not right[~known.expand_as(right)].any()
        assert (right != wrong).flatten(1).any(1).sum() >= len(right) - 1


def test_what_is_right_is_what_was_observed(batch: Sample) -> None:
    right, _, _, known = pair(batch, np.random.default_rng(0))
    seen = known.expand_as(right)
    assert torch.equal(right[seen], batch.truth[seen])
    surely = batch.evidence.valid[:, :1] | (batch.weight > 0)
    assert torch.equal(known, surely)


def test_a_composite_is_the_median_of_the_other_dates() -> None:
    pixels = torch.arange(5.0)[None, :, None, None, None].expand(1, 5, 2, 4, 4) ** 2
    valid = torch.ones(1, 5, 4, 4, dtype=torch.bool)
    valid[:, 4, :2] = False
    prior = composite(pixels, valid, torch.arange(5.0), 2)
    assert (prior.mean[:, :, :2] == 1).all()  # of 0, 1 and 9
    assert (prior.mean[:, :, 2:] == 1).all()  # of 0, 1, 9 and 16 the lower
    assert prior.chosen.tolist() == [[1, 3, 0, 4]]


def test_without_other_dates_a_composite_comes_from_the_surroundings() -> None:
    pixels = torch.full((1, 1, 1, 8, 8), 0.3)
    valid = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    valid[..., 3:5, 3:5] = False
    prior = composite(pixels * valid[:, :, None], valid, torch.zeros(1), 0)
    torch.testing.assert_close(prior.mean, torch.full((1, 1, 8, 8), 0.3))


def test_another_day_is_the_same_ground_in_another_light() -> None:
    level = bands_alike(3)
    found = another_day(level.expand(8, 3, 96, 96), np.random.default_rng(0))
    assert found.shape == (8, 3, 96, 96)
    change = (found - level).square().mean((2, 3)).sqrt()
    assert ((change > 0.005) & (change < 1.5)).all()
    for one in found:
        assert np.corrcoef(one[0].flatten(), level[0, 0].flatten())[0, 1] > 0.8


# -- what the critic looks at ----------------------------------------------------------------------


def test_a_band_that_lies_aside_is_seen_in_the_statistics() -> None:
    rng = np.random.default_rng(0)
    fine = torch.from_numpy(rng.normal(size=(1, 1, 96, 96)).astype("float32"))
    image = own_normalised(torch.nn.functional.avg_pool2d(fine, 3, 1, 1).expand(1, 3, 96, 96))
    moved = image.clone()
    moved[:, 1] = moved[:, 1].roll(2, -1)
    known = torch.ones(1, 1, 96, 96, dtype=torch.bool)
    (pixels, before), (_, after) = views(image, known), views(moved, known)
    assert pixels.shape == (3, VIEWS, 96, 96)
    assert before.shape == (3, STATISTICS, 12, 12)
    gain, nearest = 3, 4
    assert (after[1, gain] > before[1, gain] + 1).all()
    assert (after[1, nearest] < before[1, nearest] - 1).float().mean() > 0.9


@pytest.mark.parametrize("shift", [(0, 1), (3, -1), (-4, 4)])
def test_a_shift_by_any_few_pixels_is_seen_however_many_bands_agree(shift: tuple[int, int]) -> None:
    image = bands_alike(6)
    moved = image.clone()
    moved[:, 2] = moved[:, 2].roll(shift, (-2, -1))
    found = statistics(moved)[:, [HERE, IN_THE_WINDOW]]
    others = [0, 1, 3, 4, 5]
    for i in range(2):
        assert found[2, i].min() > found[others, i].max() + 1


def test_a_band_that_agrees_with_no_other_does_not_look_shifted() -> None:
    image = bands_alike(4)
    lone, moved = image.clone(), image.clone()
    lone[:, 1] = torch.randn(96, 96, generator=torch.Generator().manual_seed(5))
    moved[:, 1] = moved[:, 1].roll(3, -1)
    before, after, aside = (statistics(own_normalised(v))[1] for v in (image, lone, moved))
    assert after[AGREEING].mean() < before[AGREEING].mean() - 1
    assert after[IN_THE_WINDOW].max() < aside[IN_THE_WINDOW].max() / 2


def test_the_outline_of_what_was_filled_is_sharper_than_edges_of_the_ground() -> None:
    ground = own_normalised(torch.nn.functional.avg_pool2d(bands_alike(3), 9, 1, 4))
    field, outline = torch.zeros(1, 1, 96, 96), torch.zeros(1, 1, 96, 96)
    field[..., :48] = outline[..., :48, :] = 1
    field = torch.nn.functional.avg_pool2d(field, 5, 1, 2)
    before, edge, seam = (statistics(own_normalised(ground + v)) for v in (0, field, outline))
    at = slice(5, 7)
    for here in (ALONE, ALONE + 2):
        assert seam[:, here, at].mean() > before[:, here, at].mean() + 0.3
        assert edge[:, here, :, at].mean() < before[:, here, :, at].mean() + 0.1
        assert (seam[:, here + 1] > before[:, here + 1]).all()
        assert (seam[:, here + 1] > edge[:, here + 1]).all()


def test_a_generator_can_learn_from_ground_that_is_flat_in_parts() -> None:
    image = bands_alike(3).clone()
    image[..., :40, :] = 0
    image.requires_grad_()
    pixels, cells = views(image, torch.ones(1, 1, 96, 96, dtype=torch.bool))
    (pixels.square().sum() + cells.square().sum()).backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def bands_alike(count: int) -> torch.Tensor:
    """Bands of which all show the same ground ``(1, count, 96, 96)``."""
    fine = torch.randn(1, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    return own_normalised(torch.nn.functional.avg_pool2d(fine, 3, 1, 1).expand(1, count, 96, 96))


def statistics(image: torch.Tensor) -> torch.Tensor:
    """Statistics of the bands of a window of which all is known ``(b, STATISTICS, y/8, x/8)``."""
    return views(image, torch.ones(1, 1, *image.shape[-2:], dtype=torch.bool))[1]


def test_a_critic_of_fewer_statistics_still_says_what_it_said() -> None:
    torch.manual_seed(0)
    before = Critic(replace(SMALL, statistics=9)).eval()
    after = widened(before).eval()
    assert after.config == SMALL
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(before(image), after(image), strict=True):
            torch.testing.assert_close(one, other)


def test_what_was_not_observed_is_not_looked_at() -> None:
    torch.manual_seed(0)
    critic = Critic(SMALL)
    image = torch.randn(1, 2, 64, 64)
    known = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    known[..., 20:40, 30:60] = False
    other = torch.where(known, image, 77.0)
    with torch.no_grad():
        one, two = (critic(own_normalised(v, known), known) for v in (image, other))
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b)


def test_one_bad_part_pulls_the_score_of_a_window_down() -> None:
    scores = torch.full((1, 64), 3.0)
    torch.testing.assert_close(soft_minimum(scores, 1), torch.tensor([3.0]))
    scores[0, 5] = -3
    assert soft_minimum(scores, 1) < 0


# -- learning --------------------------------------------------------------------------------------


def test_a_few_lessons_lower_the_loss(batch: Sample) -> None:
    torch.manual_seed(0)
    critic = Critic(SMALL)
    optimiser = torch.optim.AdamW(critic.parameters(), 3e-3)
    losses = []
    for step in range(25):
        loss = lesson(critic, batch, np.random.default_rng(step % 2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_the_critic_alone_learns_and_the_generator_stays(
    tiles: Path, start: Path, tmp_path: Path
) -> None:
    out = tmp_path / "judge.safetensors"
    command = ["train", "--tiles", tiles, "-o", out, "--init", start, "--only", "critic"]
    command += ["--steps", "1", "--batch", "1", "--device", "cpu", "-q"]
    result = CliRunner().invoke(main, [str(a) for a in command], catch_exceptions=False)
    assert result.stdout == f"{out}\n"
    before, after = load_model(start), load_model(out)
    for name, value in before.generator.state_dict().items():
        assert torch.equal(value, after.generator.state_dict()[name])
    old = before.critic.state_dict()
    assert any(not torch.equal(old[k], v) for k, v in after.critic.state_dict().items())
    assert after.card["critic"]["steps_done"] == 1
    for kind in ("token", "window"):
        levels = after.card["realism"][kind]
        assert len(levels) == 101
        assert levels == sorted(levels)


def test_teaching_taken_up_again_goes_on_to_the_last_bit(
    tiles: Path, start: Path, tmp_path: Path
) -> None:
    output = tmp_path / "m.safetensors"
    run = Teacher(tiles, output, TEACH, CPU, start)
    losses = []
    for batch, rng in run.batches():
        losses.append(run.train_step(batch, rng)["lesson"])
        if run.step == 2:
            run.save(run.held_back())
    again = Teacher(tiles, output, TEACH, CPU, start)
    again.resume()
    assert [again.train_step(b, rng)["lesson"] for b, rng in again.batches()] == losses[2:]


def test_the_critic_alone_needs_a_model_to_belong_to(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --init"):
        teach(tiles, tmp_path / "m.safetensors", config=TEACH, device="cpu", quiet=True)


def test_an_old_critic_is_begun_anew(tiles: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    small = {"token_dim": 8, "embed_dim": 16, "depth": 1, "heads": 2}
    critic = Critic(replace(SMALL, views=1))
    save_model(path, Model(Generator(GeneratorConfig(**small)), critic, "old"))
    run = Teacher(tiles, tmp_path / "m.safetensors", TEACH, CPU, path)
    assert run.critic.config.views == VIEWS
