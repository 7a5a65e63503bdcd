"""A date of which nothing was observed: what its weighted mean keeps, and what cannot move it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geot2t.prior import estimate_prior
from geot2t.prior.temporal import interpolate_date

DAYS = torch.tensor([-40.0, -30, -20, -10, 10, 20, 30, 40])


def ground(slope: float, noise: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Dates that change evenly, ``(t, b, y, x)``, and the ground on day 0."""
    rng = np.random.default_rng(seed)
    base, trend = rng.normal(size=(2, 2, 32, 32)).astype("float32")
    grain = rng.normal(size=(8, 2, 32, 32)).astype("float32")
    change = slope * trend * DAYS[:, None, None, None].numpy() / 40
    return torch.from_numpy(base + change + noise * grain), torch.from_numpy(base)


def filled(z: torch.Tensor, days: torch.Tensor = DAYS) -> torch.Tensor:
    out = interpolate_date(z, torch.ones(len(z), *z.shape[2:], dtype=torch.bool), days)
    assert out is not None
    assert (out[1] >= 0).all()
    assert (out[2] == 10).all()
    return out[0]


@pytest.mark.parametrize(("slope", "most"), [(0.0, 1e-5), (1.0, 0.03)])
def test_even_change_is_followed(slope, most):
    z, truth = ground(slope)
    assert (filled(z) - truth).abs().mean() < most


def test_noise_is_averaged():
    z, truth = ground(0.0, noise=0.3)
    straight = (z[3] + z[4]) / 2
    assert (filled(z) - truth).abs().mean() < 0.9 * (straight - truth).abs().mean()


def test_a_hazy_neighbour_moves_it_less_than_interpolation():
    z, _ = ground(0.0, noise=0.1)
    hazy = z.clone()
    hazy[3] += 2.0
    assert (filled(hazy) - filled(z)).abs().mean() < 0.6


def test_the_order_of_dates_does_not_matter_and_runs_agree():
    z, _ = ground(0.5, noise=0.1)
    order = torch.tensor([5, 0, 7, 2, 1, 6, 3, 4])
    assert torch.equal(filled(z[order], DAYS[order]), filled(z))


def test_too_few_dates_are_left_to_interpolation():
    z, _ = ground(0.0)
    seen = torch.ones(8, 32, 32, dtype=torch.bool)
    assert interpolate_date(z[3:5], seen[3:5], DAYS[3:5]) is None


def test_after_the_last_date_noise_is_averaged_and_no_slope_runs_on():
    z, truth = ground(0.0, noise=0.3)
    seen = torch.ones(8, 32, 32, dtype=torch.bool)
    after = interpolate_date(z[:4], seen[:4], DAYS[:4])
    assert after is not None
    assert (after[0] - truth).abs().mean() < 0.95 * (z[3] - truth).abs().mean()
    steep, _ = ground(1.0)
    beyond = interpolate_date(steep, seen, DAYS - 70)
    assert beyond is not None
    assert (beyond[0] - steep[-1]).abs().max() < (steep[-1] - steep[-4]).abs().max()


def test_the_error_grows_with_the_days_to_the_last_date():
    z, _ = ground(1.0, noise=0.05)
    seen = torch.ones(8, 32, 32, dtype=torch.bool)
    said = [interpolate_date(z, seen, DAYS - 40 - more) for more in (5, 15, 25)]
    errors = [float(out[1].mean()) for out in said if out is not None]
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0]


def test_dates_without_a_day_are_survived():
    z, _ = ground(0.0, noise=0.1)
    pixels = torch.cat([z, z[:1]])[None]
    valid = torch.ones(1, 9, 32, 32, dtype=torch.bool)
    valid[:, 8] = False
    days = torch.cat([DAYS, torch.zeros(1)])
    days[2] = torch.nan
    prior = estimate_prior(pixels, valid, days, 8)
    assert prior.mean.isfinite().all()
    assert (prior.scale > 0).all()
    assert (prior.days == 0).all()


def test_haze_that_lies_on_some_pixels_of_every_date_is_left_out():
    z, truth = ground(0.5, noise=0.1)
    rng = np.random.default_rng(1)
    hazy = z + 3 * torch.from_numpy(rng.random((8, 1, 32, 32)) < 0.15)
    straight = (hazy[3] + hazy[4]) / 2
    assert (filled(hazy) - truth).abs().mean() < 0.8 * (straight - truth).abs().mean()
