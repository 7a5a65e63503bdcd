"""Training: windows, one run from start to end, and a run that is killed and taken up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from geot2t.checkpoint import load_model
from geot2t.clouds import CloudShapes
from geot2t.errors import InputError
from geot2t.learner import TrainConfig
from geot2t.places import find_places, split
from geot2t.tiles import Windows, batch_of
from geot2t.train import Trainer, train

SMALL = TrainConfig(steps=6, batch=1, pool=6, ramp=(0.2, 0.5), every=2, seed=3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiles(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five dates of the sample scene."""
    folder = tmp_path_factory.mktemp("tiles")
    for path in sorted(sample.glob("2022-06-[012]*"))[:12]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def windows(tiles: Path) -> Windows:
    learn, _ = split(find_places(tiles))
    return Windows(learn, CloudShapes.load(), frames=3, seed=1, sizes=(64,))


def test_a_sample_depends_on_its_index_alone(windows: Windows) -> None:
    first, again, other = windows[4], windows[4], windows[5]
    assert torch.equal(first.truth, again.truth)
    assert torch.equal(first.evidence.prior, again.evidence.prior)
    assert first.truth.shape != other.truth.shape or not torch.equal(first.truth, other.truth)


def test_the_truth_is_hidden_from_the_evidence(windows: Windows) -> None:
    for i in range(6):
        sample = windows[i]
        hidden = sample.weight > 0
        assert hidden.sum() >= 64
        assert not sample.evidence.valid[:, :1][hidden].any()
        own = sample.evidence.images[:, 0]
        assert torch.equal(own[hidden.expand_as(own)], sample.evidence.prior[hidden.expand_as(own)])
        seen = sample.evidence.valid[:, :1].expand_as(own)
        assert torch.equal(own[seen], sample.truth[seen])


def test_held_back_pixels_are_never_learnt_from(tiles: Path) -> None:
    learn, check = split(find_places(tiles))
    for (_, area), (_, held) in zip(learn, check, strict=True):
        assert area.intersection(held) is None


def test_whole_places_are_held_back_where_there_are_enough(tiles: Path) -> None:
    place = find_places(tiles)[0]
    places = [type(place).__new__(type(place)) for _ in range(16)]
    for p in places:
        p.__dict__.update(place.__dict__)
    learn, check = split(places)
    assert len(check) == 2
    assert not {id(p) for p, _ in learn} & {id(p) for p, _ in check}


def test_turned_batches_keep_pixels_together(windows: Windows) -> None:
    sample = windows[0]
    rng = np.random.default_rng(0)
    batch = batch_of([sample] * 8, sample.truth.shape[1], rng, CPU)
    hidden = (batch.weight > 0).expand_as(batch.truth)
    want = sample.truth[(sample.weight > 0).expand_as(sample.truth)].sort().values
    for one, where in zip(batch.truth, hidden, strict=True):
        torch.testing.assert_close(one[where].sort().values, want)
    assert not batch.evidence.valid[:, :1][batch.weight > 0].any()


def test_a_run_writes_a_model_its_card_and_its_log(tiles: Path, tmp_path: Path) -> None:
    output = train(tiles, tmp_path / "m.safetensors", config=SMALL, device="cpu", quiet=True)
    model = load_model(output)
    assert model.card["steps_done"] == 6
    assert model.card["settings"]["seed"] == 3
    assert set(model.factors) == {"network", "prior"}
    rows = [json.loads(line) for line in (tmp_path / "m.log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 6
    assert {"error", "critic", "game", "ratio"} <= set(rows[-1])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "m.json",
        "m.log.jsonl",
        "m.safetensors",
    ]


def test_a_run_taken_up_again_goes_on_to_the_last_bit(tiles: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    run = Trainer(tiles, output, SMALL, CPU)
    errors = []
    for batch, rng in run.batches():
        errors.append(run.train_step(batch, rng)["error"])
        if run.step == 3:
            run.save(run.held_back())
    again = Trainer(tiles, output, SMALL, CPU)
    again.resume()
    assert [again.train_step(batch, rng)["error"] for batch, rng in again.batches()] == errors[3:]


def test_a_run_is_not_resumed_with_other_settings(tiles: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    run = Trainer(tiles, output, SMALL, CPU)
    run.save(run.held_back())
    other = TrainConfig(steps=7)
    with pytest.raises(InputError, match="of a run with other settings"):
        train(tiles, output, config=other, resume=True, device="cpu", quiet=True)


def test_learning_lowers_the_error_of_what_it_sees(tiles: Path, tmp_path: Path) -> None:
    config = TrainConfig(steps=40, batch=1, pool=1, rate=3e-3, adversarial=0, seed=0)
    run = Trainer(tiles, tmp_path / "m.safetensors", config, CPU)
    batch, rng = next(run.batches())
    errors = [run.train_step(batch, rng)["error"] for _ in range(30)]
    assert errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [("m.pt", "is a .safetensors file"), ("no/m.safetensors", "does not exist")],
)
def test_bad_outputs_are_refused_before_any_work(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(tmp_path, tmp_path / name)


def test_an_existing_model_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match="exists; pass --overwrite"):
        train(tmp_path, path)
    assert path.read_bytes() == b"x"


def test_tiles_without_scenes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no GeoTIFFs"):
        train(tmp_path, tmp_path / "m.safetensors", device="cpu")
