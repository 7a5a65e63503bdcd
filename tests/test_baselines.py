"""The baselines do what their names say: checked by hand, and held together by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geot2t.baselines import METHODS, linear, median, nearest

DAYS = np.array([0, 10, 20, 50], dtype="float32")


def pixel(values: list[float], seen: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """One pixel, one band, four dates."""
    return (
        np.array(values, dtype="float32").reshape(1, -1, 1, 1, 1),
        np.array(seen).reshape(1, -1, 1, 1),
    )


@pytest.mark.parametrize(
    ("method", "seen", "value", "days"),
    [
        (linear, [1, 0, 1, 1], 2.0, 10),
        (linear, [1, 0, 0, 1], 1 + 0.2 * 7, 10),
        (linear, [0, 0, 1, 1], 3.0, 10),
        (linear, [1, 0, 0, 0], 1.0, 10),
        (nearest, [1, 0, 1, 1], 1.0, 10),
        (nearest, [0, 0, 1, 1], 3.0, 10),
        (nearest, [0, 0, 0, 1], 8.0, 40),
        (median, [1, 0, 1, 1], 3.0, 10),
        (median, [1, 0, 1, 0], 2.0, 10),
    ],
)
def test_by_hand(method, seen, value, days):
    pixels, valid = pixel([1, 99, 3, 8], [bool(s) for s in seen])
    out = method(pixels, valid, DAYS, 1)
    assert out.mean.item() == pytest.approx(value)
    assert out.days.item() == days


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_scale_is_the_mean_error_over_observed_pixels(method):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 4, 3, 16, 16)).astype("float32")
    valid = rng.random((2, 4, 16, 16)) < 0.8
    out = method(pixels, valid, DAYS, 1)
    shared = valid[:, 1] & np.isfinite(out.days)
    for n in range(2):
        off = np.abs(out.mean - pixels[:, 1])[n][:, shared[n]].mean(1)
        inside = out.scale[n][:, np.isfinite(out.days[n])]
        np.testing.assert_allclose(inside, np.broadcast_to(off[:, None], inside.shape), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@given(seed=st.integers(0, 99), dates=st.integers(1, 5), share=st.sampled_from([0, 0.1, 0.7, 1]))
@settings(max_examples=20, deadline=None)
def test_always_finite_and_blind_to_the_target(method, seed, dates, share):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(size=(2, dates, 2, 6, 7)).astype("float32") + 5
    valid = rng.random((2, dates, 6, 7)) < share
    days = rng.integers(0, 9, dates).astype("float32")
    target = dates // 2
    out = method(pixels, valid, days, target)
    assert out.mean.shape == out.scale.shape == (2, 2, 6, 7)
    assert out.mean.dtype == out.scale.dtype == np.float32
    assert np.isfinite(out.mean).all()
    assert np.isfinite(out.scale).all()
    assert (out.scale > 0).all()
    others = np.delete(valid, target, axis=1).any(1)
    np.testing.assert_array_equal(np.isfinite(out.days), others)

    changed = pixels.copy()
    changed[:, target] += 100
    again = method(changed, valid, days, target)
    told = np.broadcast_to(others[:, None], out.mean.shape)
    np.testing.assert_array_equal(again.mean[told], out.mean[told])


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_windows_and_order_of_dates_do_not_matter(method):
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(3, 4, 2, 8, 8)).astype("float32")
    valid = rng.random((3, 4, 8, 8)) < 0.5
    out = method(pixels, valid, DAYS, 1)
    for i in range(3):
        one = method(pixels[i : i + 1], valid[i : i + 1], DAYS, 1)
        np.testing.assert_array_equal(one.mean[0], out.mean[i])
    turned = method(pixels[:, ::-1], valid[:, ::-1], DAYS[::-1], 2)
    np.testing.assert_allclose(turned.mean, out.mean, rtol=1e-6)
    np.testing.assert_allclose(turned.scale, out.scale, rtol=1e-5)


def test_unknown_days_do_not_make_numbers_unknown():
    pixels, valid = pixel([1, 99, 3, 8], [True, False, True, True])
    days = np.array([np.nan, np.nan, np.nan, np.nan], dtype="float32")
    for method in METHODS.values():
        assert np.isfinite(method(pixels, valid, days, 1).mean).all()
