"""A model taught by the user's own series."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from geot2t.adapt import adapt
from geot2t.checkpoint import load_model
from geot2t.cli import main
from geot2t.clouds import CloudShapes
from geot2t.errors import InputError
from geot2t.io import Stack, open_stack, scenes_in
from geot2t.places import Place
from geot2t.tiles import Windows

CPU = torch.device("cpu")
SCENE = "2022-06-10.tif"


@pytest.fixture
def stack(sample: Path) -> Iterator[Stack]:
    with open_stack(sample / SCENE, [p for p in scenes_in(sample) if p.name != SCENE]) as opened:
        yield opened


def test_dates_that_are_untold_are_never_asked_for(stack: Stack) -> None:
    whole = stack.read(stack.extent)
    told = int(whole.valid.mean((1, 2)).argmax())
    untold = [i for i in range(len(whole.days)) if i != told]
    place = Place(stack, "series", untold)
    windows = Windows([(place, place.extent)], CloudShapes.load(), frames=3, seed=0, sizes=(64,))
    for i in range(4):
        truth = windows[i].truth.numpy()
        assert np.isin(truth, whole.pixels[told]).all()


def test_adapting_changes_a_copy_and_repeats_itself(stack: Stack) -> None:
    model = load_model()
    before = {k: v.clone() for k, v in model.generator.state_dict().items()}
    first = adapt(model, stack, 2, CPU, seed=5).generator.state_dict()
    again = adapt(model, stack, 2, CPU, seed=5).generator.state_dict()
    assert all(torch.equal(v, model.generator.state_dict()[k]) for k, v in before.items())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], before[k]) for k in first)


def test_without_other_dates_there_is_nothing_to_learn(sample: Path) -> None:
    with open_stack(sample / SCENE, []) as lone, pytest.raises(InputError, match="two of them"):
        adapt(load_model(), lone, 2, CPU)


def test_the_command_line_says_that_the_model_was_adapted(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "filled.tif"
    series = [f"--series={p}" for p in scenes_in(sample) if p.name < "2022-06-20"]
    run = CliRunner().invoke(
        main, ["inpaint", str(sample / SCENE), *series, "-o", str(out), "--adapt", "1"]
    )
    assert run.exit_code == 0, run.output
    said = json.loads(out.with_suffix(".json").read_text())["properties"]
    assert said["geot2t:options"]["adapt"] == 1
    assert said["geot2t:model"]["name"].endswith("adapted by 1 steps")
