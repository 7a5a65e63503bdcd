"""The prior recovers what can be recovered, says how sure it is, and survives the rest."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geot2t.errors import InputError
from geot2t.prior import Prior, _estimate, estimate_prior
from geot2t.prior.pyramid import distance_error, enlarge, pool, pull_push


def texture(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Smooth random fields with some grain, float32 ``shape``, spread about 1."""
    *lead, y, x = shape
    coarse = torch.from_numpy(rng.normal(size=(*lead, -(-y // 8), -(-x // 8))).astype("float32"))
    grain = torch.from_numpy(rng.normal(size=shape).astype("float32"))
    return enlarge(coarse, (y, x)) * 1.5 + grain * 0.5


def season(seed: int = 0, dates: int = 5, bands: int = 3, side: int = 64) -> torch.Tensor:
    """Dates that mix the same two fields in different shares, ``(1, t, b, y, x)``."""
    rng = np.random.default_rng(seed)
    fields_ = texture(rng, 2, bands, side, side)
    share = torch.from_numpy(rng.uniform(0, 1, (dates, 1, 1, 1)).astype("float32"))
    noise = 0.02 * texture(rng, dates, bands, side, side)
    return (share * fields_[0] + (1 - share) * fields_[1] + share + noise)[None]


def with_gap(pixels: torch.Tensor, gap: tuple[slice, slice], target: int = 0) -> torch.Tensor:
    n, t, _, y, x = pixels.shape
    valid = torch.ones(n, t, y, x, dtype=torch.bool)
    valid[:, target, gap[0], gap[1]] = False
    return valid


GAP = (slice(20, 44), slice(16, 52))
DAYS = torch.arange(5).float() * 10


def same(a: Prior, b: Prior) -> None:
    for field in fields(Prior):
        torch.testing.assert_close(
            getattr(a, field.name), getattr(b, field.name), rtol=0, atol=0, msg=field.name
        )


@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_a_target_that_is_linear_in_a_date_is_recovered(offset):
    x = texture(np.random.default_rng(1), 1, 1, 2, 64, 64)
    pixels = torch.cat([0.6 * x - 0.3, x], 1) * 100 + offset
    valid = with_gap(pixels, GAP)
    prior = estimate_prior(pixels, valid, DAYS[:2], 0)
    error = (prior.mean - pixels[:, 0])[..., *GAP].abs().mean()
    assert error < 0.02 * pixels[:, 0].std()
    assert prior.chosen.tolist() == [[1]]


def test_a_target_that_mixes_two_dates_is_recovered_better_than_from_either():
    rng = np.random.default_rng(2)
    a, b = texture(rng, 1, 1, 64, 64), texture(rng, 1, 1, 64, 64)
    pixels = torch.stack([0.5 * a + 0.5 * b, a, b], 1)
    prior = estimate_prior(pixels, with_gap(pixels, GAP), DAYS[:3], 0)
    off = (prior.mean - pixels[:, 0])[..., *GAP].abs().mean()
    alone = (prior.per_date - pixels[:, :1])[..., *GAP].abs().mean((2, 3, 4))
    assert off < 0.25 * alone.min()


def test_it_beats_linear_interpolation_and_its_scale_is_about_right():
    ratios, honest = [], []
    for seed in range(4):
        pixels = season(seed)
        valid = with_gap(pixels, GAP, target=2)
        prior = estimate_prior(pixels, valid, DAYS, 2)
        off = (prior.mean - pixels[:, 2])[..., *GAP].abs().mean()
        linear = ((pixels[:, 1] + pixels[:, 3]) / 2 - pixels[:, 2])[..., *GAP].abs().mean()
        ratios.append(float(off / linear))
        honest.append(float(off / prior.scale[..., *GAP].mean()))
    assert np.mean(ratios) < 0.35
    assert 0.4 < np.mean(honest) < 1.6


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_what_lies_in_the_gap_is_not_looked_at(data):
    pixels = season(3, side=36)
    valid = torch.from_numpy(np.random.default_rng(data.draw(st.integers(0, 99))).random(
        (1, 5, 36, 36)
    ) > data.draw(st.sampled_from([0.1, 0.5, 0.95])))  # fmt: skip
    hidden = data.draw(st.sampled_from([0.0, 1e6, -5.0, float("nan")]))
    other = torch.where(valid.unsqueeze(2), pixels, hidden)
    same(estimate_prior(pixels, valid, DAYS, 1), estimate_prior(other, valid, DAYS, 1))


def test_windows_of_a_batch_do_not_touch_each_other():
    pixels = torch.cat([season(seed, side=48) for seed in range(3)])
    valid = torch.from_numpy(np.random.default_rng(0).random((3, 5, 48, 48)) > 0.4)
    valid[1, 2:] = False
    together = estimate_prior(pixels, valid, DAYS, 0)
    for i in range(3):
        one = estimate_prior(pixels[i : i + 1], valid[i : i + 1], DAYS, 0)
        same(one, Prior(*(getattr(together, f.name)[i : i + 1] for f in fields(Prior))))
    same(together, estimate_prior(pixels, valid, DAYS, 0))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_windows_computed_together_agree_with_windows_alone(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pixels = torch.cat([season(seed, side=48) for seed in range(3)])
    valid = torch.from_numpy(np.random.default_rng(0).random((3, 5, 48, 48)) > 0.4)
    valid[1, 2:] = False
    valid[2, 0] = False
    some = pixels[..., ::5, 7], valid[..., ::5, 7]
    moved = [v.to(device) for v in (pixels, valid, DAYS, *some)]
    together = _estimate(*moved[:3], 0, 12, (moved[3], moved[4]))  # as on a GPU
    alone = estimate_prior(pixels, valid, DAYS, 0, around=some)
    for name in ("mean", "scale", "per_date"):
        torch.testing.assert_close(
            getattr(together, name).cpu(), getattr(alone, name), rtol=1e-2, atol=1e-2
        )
    for name in ("chosen", "days", "per_date_valid"):
        assert torch.equal(getattr(together, name).cpu(), getattr(alone, name))


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_units_do_not_matter(unit):
    pixels = season(4)
    valid = with_gap(pixels, GAP)
    plain = estimate_prior(pixels, valid, DAYS, 0)
    scaled = estimate_prior(pixels * unit, valid, DAYS, 0)
    torch.testing.assert_close(scaled.mean / unit, plain.mean, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(scaled.scale / unit, plain.scale, rtol=1e-2, atol=1e-3)


@given(
    dates=st.sampled_from([1, 2, 3, 9, 33]),
    bands=st.sampled_from([1, 2, 5]),
    size=st.sampled_from([(32, 32), (33, 47), (40, 5), (1, 1)]),
    seen=st.sampled_from([0.0, 0.02, 0.6, 1.0]),
    odd=st.sampled_from(["none", "own", "others", "constant", "huge"]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_every_odd_input_gives_finite_numbers(dates, bands, size, seen, odd, seed):
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.normal(size=(1, dates, bands, *size)).astype("float32"))
    valid = torch.from_numpy(rng.random((1, dates, *size)) < seen)
    target = dates // 2
    if odd == "own":
        valid[:, target] = False
    if odd == "others":
        valid[:, [i for i in range(dates) if i != target]] = False
    if odd == "constant":
        pixels = torch.full_like(pixels, 7.0)
    if odd == "huge":
        pixels[:, 0] *= 1e8
    days = torch.from_numpy(rng.integers(0, 60, dates).astype("float32"))
    prior = estimate_prior(pixels, valid, days, target)
    k = prior.chosen.shape[1]
    assert k <= max(dates - 1, 0)
    assert prior.mean.shape == prior.scale.shape == (1, bands, *size)
    assert prior.per_date.shape == prior.per_date_scale.shape == (1, k, bands, *size)
    assert prior.per_date_valid.shape == (1, k, *size)
    for name in ("mean", "scale", "per_date", "per_date_scale"):
        assert getattr(prior, name).isfinite().all(), name
    assert (prior.scale > 0).all()
    assert (prior.per_date_scale > 0).all()
    used = prior.days.isfinite()
    others = torch.cat([valid[:, :target], valid[:, target + 1 :]], 1).any(1)
    assert torch.equal(used, others)
    if odd == "constant" and seen == 1.0:
        torch.testing.assert_close(prior.mean, pixels[:, 0])


def test_a_date_that_lies_a_fraction_of_a_pixel_off_is_moved_back():
    wide = texture(np.random.default_rng(8), 1, 1, 2, 66, 66)
    wide = torch.nn.functional.avg_pool2d(wide[0], 3, 1, 1)[None]
    moved = 0.6 * wide[..., 1:-1, 1:-1] + 0.4 * wide[..., 1:-1, 2:]
    pixels = torch.cat([moved, wide[..., 1:-1, 1:-1]], 1)
    prior = estimate_prior(pixels, with_gap(pixels, GAP), DAYS[:2], 0)
    off, apart = ((v - moved[:, 0])[..., *GAP].abs().mean() for v in (prior.mean, pixels[:, 1]))
    assert off < 0.35 * apart


def test_a_cloud_that_nobody_marked_does_not_shine_into_the_gap_beside_it():
    pixels = season(9)
    valid = with_gap(pixels, GAP)
    clean = estimate_prior(pixels, valid, DAYS, 0).mean[..., *GAP]
    clouded = pixels.clone()
    clouded[:, 0, :, 45:52, 20:40] += 8.0
    off = (estimate_prior(clouded, valid, DAYS, 0).mean[..., *GAP] - clean).abs().mean()
    assert off < 0.1


def test_a_window_that_saw_nothing_of_the_target_learns_from_around_it():
    scene = season(10, side=96)
    pixels = scene[..., :64]
    valid = with_gap(pixels, (slice(None), slice(None)))
    some = scene[..., 64:].flatten(3)
    around = some, torch.ones_like(some[:, :, 0], dtype=torch.bool)
    off = [
        (estimate_prior(pixels, valid, DAYS, 0, around=a).mean - pixels[:, 0]).abs().mean()
        for a in (around, None)
    ]
    assert off[0] < 0.3 * off[1]


def test_pixels_around_of_another_shape_are_refused():
    pixels = season()
    around = pixels[..., 0], torch.ones(1, 5, 3, dtype=torch.bool)
    with pytest.raises(InputError, match="pixels around"):
        estimate_prior(pixels, with_gap(pixels, GAP), DAYS, 0, around=around)


def test_a_date_with_nothing_observed_is_interpolated_in_time():
    pixels = season(5, dates=3)
    valid = torch.ones(1, 3, 64, 64, dtype=torch.bool)
    valid[:, 1] = False
    prior = estimate_prior(pixels, valid, torch.tensor([0.0, 10.0, 40.0]), 1)
    wanted = 0.75 * pixels[:, 0] + 0.25 * pixels[:, 2]
    torch.testing.assert_close(prior.mean, wanted, rtol=1e-4, atol=1e-4)
    assert prior.chosen.tolist() == [[0, 2]]
    torch.testing.assert_close(prior.per_date, pixels[:, [0, 2]], rtol=1e-4, atol=1e-4)
    assert prior.days.unique().tolist() == [10.0]


def test_a_lone_date_is_filled_from_around_and_less_surely_farther_in():
    y = torch.linspace(0, 1, 64)[:, None].expand(64, 64)
    pixels = y[None, None, None] + 0.01 * texture(np.random.default_rng(6), 1, 1, 1, 64, 64)
    prior = estimate_prior(pixels, with_gap(pixels, GAP), DAYS[:1], 0)
    inside = prior.mean[0, 0][GAP]
    assert (inside - y[GAP]).abs().max() < 0.15
    assert inside.min() > 0.2
    assert inside.max() < 0.8
    assert prior.scale[0, 0, 32, 34] > 1.2 * prior.scale[0, 0, 21, 17]
    assert prior.days.isinf().all()


def test_days_are_those_of_the_nearest_date_seen_at_the_pixel():
    pixels = season(7)
    valid = with_gap(pixels, GAP, target=2)
    valid[:, [1, 3], 24:30, 24:30] = False
    days = estimate_prior(pixels, valid, DAYS, 2).days
    assert days[0, 26, 26] == 20
    assert days[0, 40, 40] == 10


def test_an_unmarked_cloud_over_observed_ground_of_a_date_does_little_harm():
    pixels = season(8)
    valid = with_gap(pixels, GAP)
    cloudy = pixels.clone()
    cloudy[:, 3, :, 48:60, 20:36] += 20
    prior = estimate_prior(cloudy, valid, DAYS, 0)
    assert (prior.mean - pixels[:, 0])[..., *GAP].abs().mean() < 0.1 * pixels.std()


def test_no_more_dates_are_used_than_asked_for():
    pixels = season(9)
    valid = with_gap(pixels, GAP)
    one = estimate_prior(pixels, valid, DAYS, 0, dates=1)
    assert one.chosen.shape == (1, 1)
    best = int(one.chosen)
    assert best == int(estimate_prior(pixels, valid, DAYS, 0).chosen[0, 0])
    alone = estimate_prior(pixels[:, [0, best]], valid[:, [0, best]], DAYS[[0, best]], 0)
    torch.testing.assert_close(alone.mean, one.mean, rtol=1e-2, atol=2e-2)


@pytest.mark.parametrize(
    ("pixels", "valid", "days", "target"),
    [
        ((5, 3, 8, 8), (1, 5, 8, 8), 5, 0),
        ((1, 5, 3, 8, 8), (1, 5, 8, 9), 5, 0),
        ((1, 5, 3, 8, 8), (1, 5, 8, 8), 4, 0),
        ((1, 5, 3, 8, 8), (1, 5, 8, 8), 5, 5),
    ],
)
def test_shapes_that_do_not_fit_are_refused(pixels, valid, days, target):
    with pytest.raises(InputError, match="got"):
        estimate_prior(
            torch.zeros(pixels), torch.zeros(valid, dtype=torch.bool), torch.zeros(days), target
        )


@given(st.integers(0, 99), st.sampled_from([(3, 5), (8, 8), (1, 6), (13, 2)]))
@settings(max_examples=25, deadline=None)
def test_pull_push_keeps_constants_and_stays_within_what_was_seen(seed, size):
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy((rng.random((1, 1, *size)) > 0.6).astype("float32"))
    weight[..., 0, 0] = 1
    values = torch.from_numpy(rng.normal(size=(1, 1, *size)).astype("float32"))
    smooth = pull_push(values * weight, weight, 0.1)
    seen = values[weight > 0]
    assert smooth.min() >= seen.min() - 1e-3
    assert smooth.max() <= seen.max() + 1e-3
    flat = pull_push(3 * weight, weight, 0.1)
    torch.testing.assert_close(flat, torch.full_like(flat, 3.0), rtol=1e-3, atol=1e-3)
    assert distance_error(3 * weight, weight, 0.1).max() < 1e-4


def test_pooling_is_the_mean_of_cells():
    values = torch.arange(64.0).reshape(8, 8)
    by_hand = values.reshape(2, 4, 2, 4).mean((1, 3))
    torch.testing.assert_close(pool(values[None])[0], by_hand)
