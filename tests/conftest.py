"""What several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything loads numpy or torch: the tests run side by side on small machines.
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest

import geot2t

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the scene that ships with the package."""
    return Path(geot2t.__file__).parent / "data" / "sample"
