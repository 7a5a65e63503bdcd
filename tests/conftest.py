"""What several test modules share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Set before anything loads numpy or torch: the tests run side by side on small machines.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as geot2t does, if it is loaded first
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest
import torch

import geot2t
from geot2t.checkpoint import Model, save_model
from geot2t.critic import Critic, CriticConfig
from geot2t.generator import Generator, GeneratorConfig

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the scene that ships with the package."""
    return Path(geot2t.__file__).parent / "data" / "sample"


@pytest.fixture
def cloudy(tmp_path: Path, sample: Path) -> Path:
    """The cloudy date of the sample, with its quality rasters, in a folder of its own."""
    for file in sample.glob("2022-06-10*.tif"):
        shutil.copy(file, tmp_path)
    return tmp_path / "2022-06-10.tif"


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a small critic at random, and what it says of real ground."""
    small = {"token_dim": 8, "embed_dim": 16, "depth": 1, "heads": 2}
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    card = {"realism": {kind: np.linspace(-1, 1, 101).tolist() for kind in ("token", "window")}}
    critic = Critic(CriticConfig(**small)).eval()
    save_model(path, Model(Generator(GeneratorConfig(**small)), critic, "judge", "", card))
    return path
