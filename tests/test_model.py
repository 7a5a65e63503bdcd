"""Predictions of the network and of the prior do not depend on where they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geot2t.fill import Prediction
from geot2t.grid import Box
from geot2t.io import open_stack, scenes_in
from geot2t.model import ModelEstimates, open_estimates

METHODS = ("network", "prior", "linear")


@pytest.fixture(scope="module")
def given(sample: Path) -> tuple[ModelEstimates, tuple[Any, ...]]:
    """The shipped model, and two windows of the sample under the middle of a cloud."""
    scene, *others = scenes_in(sample)[:6]
    with open_stack(scene, others) as stack:
        block = stack.read(Box(0, 0, 128, 256))
        waves, target = stack.wavelengths, stack.target
    valid = block.valid.copy()
    valid[target, 30:90, 40:200] = False
    two = [np.ascontiguousarray(part) for part in np.split(block.pixels, 2, -1)]
    seen = [np.ascontiguousarray(part) for part in np.split(valid, 2, -1)]
    estimates, _ = open_estimates(None, "cpu", waves)
    return estimates, (np.stack(two), np.stack(seen), block.days, target)


@pytest.fixture
def threads() -> Iterator[None]:
    """Give torch its number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def same(one: dict[str, Prediction], other: dict[str, Prediction]) -> bool:
    return all(
        np.array_equal(a, b)
        for m in METHODS
        for a, b in zip(astuple(one[m]), astuple(other[m]), strict=True)
    )


def test_threads_of_torch_do_not_change_a_bit(given: Any, threads: None) -> None:
    estimates, windows = given
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(estimates(*windows, METHODS))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_threads_of_the_caller_do_not_change_a_bit(given: Any) -> None:
    estimates, (pixels, valid, days, target) = given

    def one(i: int) -> dict[str, Prediction]:
        return dict(estimates(pixels[i : i + 1], valid[i : i + 1], days, target, METHODS))

    alone = [one(0), one(1)]
    with ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(one, (0, 1)))
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


def test_computing_leaves_the_threads_of_torch_as_they_are(given: Any, threads: None) -> None:
    estimates, windows = given
    torch.set_num_threads(2)
    estimates(*windows, ("prior",))
    assert torch.get_num_threads() == 2
