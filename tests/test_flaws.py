"""Flaws: that they are there, and only where they were asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geot2t.flaws import FLAWS, flawed


@pytest.fixture
def windows() -> torch.Tensor:
    rng = np.random.default_rng(0)
    fine = torch.from_numpy(rng.normal(size=(3, 2, 40, 56)).astype("float32"))
    return torch.nn.functional.avg_pool2d(fine, 3, 1, 1) * 3


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_lies_where_it_was_asked_for_and_nowhere_else(flaw: str, windows) -> None:
    where = torch.zeros(3, 1, 40, 56, dtype=torch.bool)
    where[:, :, 8:30, 10:44] = True
    out = flawed(windows, where, np.random.default_rng(1), flaw)
    assert torch.equal(out[~where.expand_as(out)], windows[~where.expand_as(out)])
    changed = (out != windows).any(1, keepdim=True)[where]
    assert changed.float().mean() > 0.5
    assert out.isfinite().all()


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_lone_window_of_one_band_can_be_flawed(flaw: str, windows) -> None:
    alone = windows[:1, :1]
    out = flawed(alone, torch.ones(1, 1, 40, 56, dtype=torch.bool), np.random.default_rng(2), flaw)
    assert out.shape == alone.shape
    assert not torch.equal(out, alone)


def test_equal_seeds_give_equal_flaws(windows) -> None:
    where = torch.ones(3, 1, 40, 56, dtype=torch.bool)
    one, two, other = (flawed(windows, where, np.random.default_rng(s)) for s in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
