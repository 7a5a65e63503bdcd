"""Model files: round trip, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch

from geot2t.checkpoint import Model, load_model, read_tensors, save_model
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import ModelError
from geot2t.generator import Generator, GeneratorConfig

GENERATOR = "6a2671704711450a392a5b262561594a9c56ff73df25a89292bf2f06bf80fd64"
"""Of the generator that the tables of accuracy were made with."""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = Model(
        Generator(GeneratorConfig(token_dim=8, embed_dim=16, depth=1, heads=2)),
        Critic(CriticConfig(token_dim=8, embed_dim=12, depth=1, heads=2)),
        "small",
        card={"data": "none"},
        factors={"network": 2.5},
    )
    path = tmp_path / "small.safetensors"
    save_model(path, model)
    return path


def test_a_model_comes_back_as_it_was_saved(saved: Path) -> None:
    one, other = load_model(saved), load_model(str(saved.with_suffix(".json")))
    assert (one.name, one.card, one.factors) == ("small", {"data": "none"}, {"network": 2.5})
    for key, value in one.generator.state_dict().items():
        assert torch.equal(value, other.generator.state_dict()[key])
    assert one.sha256 == json.loads(saved.with_suffix(".json").read_text())["sha256"]
    assert not one.generator.training
    assert sorted(p.name for p in saved.parent.iterdir()) == ["small.json", "small.safetensors"]


def test_the_default_model_ships() -> None:
    model = load_model()
    assert model.name == "t2t-gan"
    assert model.card["places"]["held_back"]
    assert model.factors["network"] > 0


def test_teaching_the_critic_has_left_the_generator_that_ships_as_it_was() -> None:
    digest = hashlib.sha256()
    for name, value in sorted(load_model().generator.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == GENERATOR


def test_a_critic_from_before_its_statistics_were_counted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    small = {"token_dim": 8, "embed_dim": 12, "depth": 1, "heads": 2}
    critic = Critic(CriticConfig(**small, statistics=9))
    save_model(path, Model(Generator(GeneratorConfig(**small)), critic))
    beside = path.with_suffix(".json")
    document = json.loads(beside.read_text())
    del document["critic"]["statistics"]
    beside.write_text(json.dumps(document))
    assert load_model(path).critic.config == critic.config


def test_a_flipped_bit_is_noticed(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-3] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ModelError, match="was altered"):
        load_model(saved)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (canary,))

    for name in ("evil.pt", "evil.safetensors"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Evil()))
        path.with_suffix(".json").write_text('{"format": "geot2t-model/1"}')
        with pytest.raises(ModelError):
            load_model(path)
    with pytest.raises(ModelError, match="is not a safetensors file"):
        read_tensors(tmp_path / "evil.safetensors")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is not of the format"),
        ({"generator": {"depth": 1, "code": "x"}}, "does not describe a GeneratorConfig"),
        ({"generator": {"depth": 10**9}}, "is not 1 to 4096"),
        ({"generator": {"depth": 2, "token_dim": 8, "embed_dim": 16}}, "does not fit"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    saved: Path, change: dict[str, object], message: str
) -> None:
    beside = saved.with_suffix(".json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | change))
    with pytest.raises(ModelError, match=message) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 100])
def test_a_torn_file_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(ModelError, match="is not a safetensors file"):
        load_model(saved)


def test_a_model_that_is_not_there_lists_those_that_ship(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model nowhere: .*\(t2t-draw, t2t-gan\)"):
        load_model("nowhere")
    with pytest.raises(ModelError, match="no model"):
        load_model(tmp_path / "x.safetensors")
