"""The model as a STAC Item that catalogues of models understand."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest
from click.testing import CliRunner
from pystac.extensions.mlm import MLMExtension
from stac_schemas import validate

from geot2t.about import about, model_item
from geot2t.checkpoint import SHIPPED, Model, load_model, save_model
from geot2t.cli import main
from geot2t.critic import Critic, CriticConfig
from geot2t.generator import Generator, GeneratorConfig
from geot2t.io.checksums import sha256_file


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A small model of the user's own."""
    small = {"token_dim": 8, "embed_dim": 16, "depth": 1, "heads": 2}
    generator = Generator(GeneratorConfig(**small, arch="unet"))
    path = tmp_path / "my_model.safetensors"
    save_model(path, Model(generator, Critic(CriticConfig(**small)), "my_model"))
    return path


def test_the_shipped_model_is_described_from_its_own_files() -> None:
    item = json.loads(json.dumps(model_item("t2t-gan")))
    validate(item)
    said, known = item["properties"], about(SHIPPED / "t2t-gan.safetensors")
    config = json.loads((SHIPPED / "t2t-gan.json").read_text())
    assert said["mlm:name"] == config["name"] == item["id"]
    assert said["mlm:architecture"] == "GAN of a Tokens-to-Token ViT generator and critic"
    assert said["mlm:total_parameters"] == sum(known["parameters"].values())
    assert said["mlm:hyperparameters"]["generator"].items() >= config["generator"].items()
    assert said["mlm:pretrained_source"] == (
        f"{len(config['card']['places']['learnt_from'])} places, listed in t2t-gan.json"
    )
    assert said["license"] == "Apache-2.0"
    weights = item["assets"]["weights"]
    assert weights["file:checksum"] == sha256_file(Path(weights["href"]))
    assert weights["file:size"] == Path(weights["href"]).stat().st_size


def test_inputs_and_outputs_are_those_of_the_network() -> None:
    mlm = MLMExtension.ext(pystac.Item.from_dict(model_item(None)))
    shapes = {i.name: i.input.dim_order for i in mlm.input}
    assert shapes == {
        "pixels": ["batch", "time", "channel", "height", "width"],
        "valid": ["batch", "time", "height", "width"],
        "days": ["time"],
        "wavelengths": ["channel"],
    }
    assert {o.name for o in mlm.output} == {"mean", "scale"}
    assert all(i.bands == [] for i in mlm.input), "any bands"
    module, function = mlm.input[0].pre_processing_function.expression.split(":")
    assert hasattr(__import__(module, fromlist=["x"]), function)


def test_a_model_of_the_users_own_is_described_too(trained: Path) -> None:
    item = model_item(trained)
    validate(item)
    said = item["properties"]
    assert said["mlm:architecture"] == "GAN of a U-Net generator and critic"
    assert "license" not in said
    assert "mlm:pretrained_source" not in said
    assert item["assets"]["config"]["href"] == str(trained.with_suffix(".json"))


def test_the_shell_prints_the_item(trained: Path) -> None:
    done = CliRunner().invoke(main, ["info", "--mlm", str(trained.with_suffix(".json"))])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(json.dumps(model_item(trained)))
    missing = CliRunner().invoke(main, ["info", "--mlm", "none-of-them"])
    assert missing.exit_code == 1
    assert "no model none-of-them" in missing.stderr


def test_the_schema_can_fail(trained: Path) -> None:
    for spoil in (
        lambda item: item["properties"].pop("mlm:input"),
        lambda item: item["properties"]["mlm:tasks"].append("guessing"),
        lambda item: item["properties"]["mlm:input"][0]["input"].pop("shape"),
        lambda item: item["properties"]["mlm:input"][0]["value_scaling"].append({"type": "?"}),
        lambda item: item["assets"]["weights"].pop("mlm:artifact_type"),
        lambda item: item["assets"].pop("weights"),
    ):
        item = model_item(trained)
        spoil(item)
        with pytest.raises(pystac.errors.STACValidationError):
            validate(item)
    assert load_model(trained).name == "my_model"
