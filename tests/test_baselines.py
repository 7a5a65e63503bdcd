"""The baselines do what their names say: checked by hand, and held together by properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from geot2t.baselines import (
    METHODS,
    SPATIAL,
    TEMPORAL,
    biharmonic,
    curves,
    fillnodata,
    following,
    harmonic,
    least_cloudy,
    linear,
    median,
    nearest,
    previous,
    space,
    whittaker,
)
from geot2t.errors import InputError

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
        (previous, [1, 0, 1, 1], 1.0, 10),
        (previous, [0, 0, 1, 1], 3.0, 10),
        (previous, [0, 0, 0, 1], 8.0, 40),
        (following, [1, 0, 1, 1], 3.0, 10),
        (following, [1, 0, 0, 1], 8.0, 40),
        (following, [1, 0, 0, 0], 1.0, 10),
        (least_cloudy, [1, 0, 1, 1], 1.0, 10),
        (least_cloudy, [0, 0, 0, 1], 8.0, 40),
        (harmonic, [1, 0, 1, 0], 2.0, 10),
    ],
)
def test_by_hand(method, seen, value, days):
    pixels, valid = pixel([1, 99, 3, 8], [bool(s) for s in seen])
    out = method(pixels, valid, DAYS, 1)
    assert out.mean.item() == pytest.approx(value)
    assert out.days.item() == days


@pytest.mark.parametrize("method", TEMPORAL.values(), ids=TEMPORAL)
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


@pytest.mark.parametrize("method", TEMPORAL.values(), ids=TEMPORAL)
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


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_series_that_never_changes_is_continued(method):
    rng = np.random.default_rng(2)
    level = np.array([0.02, 0.4, 7000], "float32")[:, None, None]
    valid = rng.random((2, 6, 20, 24)) < 0.5
    valid[:, 2, 4:15, 3:19] = False
    pixels = np.where(valid[:, :, None], level, np.nan).astype("float32")
    out = method(np.nan_to_num(pixels), valid, np.arange(6, dtype="float32") * 20, 2)
    np.testing.assert_allclose(out.mean, np.broadcast_to(level, out.mean.shape), rtol=2e-5)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("case", ["alone", "nothing", "target only", "no days", "one day", "full"])
def test_nothing_makes_numbers_unknown(method, case):
    rng = np.random.default_rng(3)
    dates = 1 if case == "alone" else 5
    pixels = rng.normal(size=(2, dates, 2, 9, 11)).astype("float32")
    valid = rng.random((2, dates, 9, 11)) < 0.6
    days = np.arange(dates, dtype="float32") * 9
    target = dates // 2
    if case == "nothing":
        valid[:] = False
    elif case == "target only":
        valid[:, np.arange(dates) != target] = False
    elif case == "no days":
        days[:] = np.nan
    elif case == "one day":
        days[:] = 7
    elif case == "full":
        valid[:] = True
    out = method(np.where(valid[:, :, None], pixels, 0), valid, days, target)
    assert out.mean.shape == out.scale.shape == (2, 2, 9, 11)
    assert out.mean.dtype == out.scale.dtype == np.float32
    assert np.isfinite(out.mean).all()
    assert np.isfinite(out.scale).all()
    assert (out.scale > 0).all()
    assert not np.isnan(out.days).any()


def test_a_line_in_time_is_exact_for_linear_and_kept_by_whittaker():
    days = np.array([3, 40, 12, 20, 31], "float32")
    pixels = np.broadcast_to((0.1 + 0.004 * days)[:, None, None, None], (5, 1, 4, 4))
    pixels = np.ascontiguousarray(pixels)[None]
    valid = np.ones((1, 5, 4, 4), bool)
    np.testing.assert_allclose(linear(pixels, valid, days, 3).mean, 0.18, rtol=1e-5)
    np.testing.assert_allclose(whittaker(pixels, valid, days, 3).mean, 0.18, rtol=1e-3)


@pytest.mark.parametrize("method", [previous, following, nearest, least_cloudy, linear, median])
def test_all_agree_where_there_is_one_date(method):
    rng = np.random.default_rng(4)
    pixels = rng.normal(size=(1, 2, 2, 8, 8)).astype("float32")
    out = method(pixels, np.ones((1, 2, 8, 8), bool), np.array([30, 4], "float32"), 0)
    np.testing.assert_array_equal(out.mean, pixels[:, 1])
    assert (out.days == 26).all()


def test_the_least_cloudy_date_is_that_of_the_window():
    pixels = np.arange(4, dtype="float32").reshape(1, 4, 1, 1, 1) * np.ones((2, 1, 1, 4, 4), "f4")
    valid = np.ones((2, 4, 4, 4), bool)
    valid[0, 2, 0] = valid[0, 0, :2] = False  # window 0: date 3 shows most, then 2, then 0
    valid[0, 3, 3, 3] = valid[0, 2, 3, 3] = False
    valid[1, [2, 3]] = False  # window 1: date 0
    out = least_cloudy(pixels, valid, DAYS, 1)
    assert (out.mean[0, 0] == np.where(np.arange(16).reshape(4, 4) == 15, 0, 3)).all()
    assert (out.mean[1] == 0).all()


def test_the_harmonic_finds_the_season_that_was_sampled():
    days = np.arange(0, 365, 15, dtype="float32")
    season = 0.3 + 0.1 * np.cos(2 * np.pi * (days - 200) / curves.YEAR)
    pixels = (season[:, None, None, None] * np.ones((1, 3, 3))).astype("float32")[None]
    valid = np.ones((1, len(days), 3, 3), bool)
    for target in (0, 9, 24):
        out = harmonic(pixels, valid, days, target)
        np.testing.assert_allclose(out.mean, season[target], atol=0.003)


@given(seed=st.integers(0, 999), dates=st.integers(2, 14), span=st.sampled_from([3, 30, 100, 800]))
@settings(max_examples=40, deadline=None)
def test_curves_do_not_explode_outside_of_their_dates(seed, dates, span):
    rng = np.random.default_rng(seed)
    days = np.append(rng.uniform(0, span, dates), span + 60).astype("float32")
    pixels = rng.random((1, dates + 1, 1, 6, 6), "float32")
    valid = rng.random((1, dates + 1, 6, 6)) < 0.8
    for method, most in ((harmonic, 3), (whittaker, 1)):  # ranges of the values
        out = method(pixels, valid, days, dates)
        assert np.abs(out.mean - 0.5).max() < most


def test_whittaker_is_the_minimum_of_what_it_says():
    rng = np.random.default_rng(6)
    days = np.array([9, 0, 25, 25, 61, 14], "float32")  # unordered, two scenes of one day
    pixels = rng.random((1, 6, 1, 5, 5), "float32")
    valid = rng.random((1, 6, 5, 5)) < 0.7
    out = whittaker(pixels, valid, days, 0)

    knots = np.unique(days)
    step = np.diff(knots)
    slope = np.diff(np.eye(len(knots)), axis=0) / step[:, None]
    width = (step[1:] + step[:-1]) / 2
    bend = np.diff(slope, axis=0) / width[:, None]
    penalties = [
        np.sqrt(curves.STEEP * step)[:, None] * slope,
        np.sqrt(curves.BENT * width)[:, None] * bend,
    ]
    for row, col in np.argwhere(valid[0, 1:].any(0)):
        seen = [i for i in range(1, 6) if valid[0, i, row, col]]
        observed = (knots == days[seen, None]).astype("float64")
        system = np.concatenate([observed, *penalties])
        right = np.zeros(len(system))
        right[: len(seen)] = pixels[0, seen, 0, row, col]
        curve = np.linalg.lstsq(system, right)[0]
        day = np.clip(days[0], days[seen].min(), days[seen].max())
        assert out.mean[0, 0, row, col] == pytest.approx(curve[knots == day].item(), abs=1e-5)


@pytest.mark.parametrize("method", SPATIAL.values(), ids=SPATIAL)
def test_space_alone_counts_for_spatial_methods(method):
    rng = np.random.default_rng(7)
    pixels = rng.random((1, 3, 2, 32, 32), "float32")
    valid = np.ones((1, 3, 32, 32), bool)
    valid[0, 1, 8:24, 8:24] = False
    out = method(pixels, valid, DAYS[:3], 1)
    assert np.isinf(out.days).all()
    np.testing.assert_allclose(out.mean[0][:, valid[0, 1]], pixels[0, 1][:, valid[0, 1]], rtol=1e-6)
    changed = pixels.copy()
    changed[:, [0, 2]] = 9
    changed[0, 1][:, ~valid[0, 1]] = np.nan
    again = method(changed, valid, DAYS[:3], 1)
    np.testing.assert_array_equal(again.mean, out.mean)


@pytest.mark.parametrize("method", SPATIAL.values(), ids=SPATIAL)
def test_a_plane_is_continued_and_its_error_grows_with_distance(method):
    rows, cols = np.mgrid[:64, :64].astype("float32")
    plane = (0.2 + 0.003 * rows + 0.002 * cols)[None, None, None]
    valid = np.hypot(rows - 32, cols - 30)[None, None] > 20
    out = method(np.where(valid[:, :, None], plane, 0), valid, np.zeros(1, "float32"), 0)
    gap = ~valid[0, 0]
    assert np.abs(out.mean - plane)[0, 0, 0][gap].max() < (1e-3 if method is biharmonic else 0.06)
    away = distance_transform_edt(gap)
    order = np.argsort(away[gap])
    assert (np.diff(out.scale[0, 0][gap][order]) >= 0).all()
    assert out.scale[0, 0][away > 15].min() > 3 * out.scale[0, 0][(away > 0) & (away < 2)].max()


def test_the_cost_of_biharmonic_is_bounded(monkeypatch):
    rng = np.random.default_rng(8)
    pixels = rng.random((1, 1, 1, 48, 48), "float32")
    valid = np.ones((1, 1, 48, 48), bool)
    valid[..., 4:44, 4:44] = False
    solved = []
    real = space._library("biharmonic").inpaint_biharmonic

    def spy(image, gap, **options):
        solved.append(int(gap.sum()))
        return real(image, gap, **options)

    monkeypatch.setattr(space._library("biharmonic"), "inpaint_biharmonic", spy)
    monkeypatch.setattr(space, "MOST_UNKNOWN", 500)
    out = biharmonic(pixels, valid, np.zeros(1, "float32"), 0)
    assert 0 < solved[0] <= 500
    rough = fillnodata(pixels, valid, np.zeros(1, "float32"), 0)
    np.testing.assert_array_equal(out.mean[..., 20:28, 20:28], rough.mean[..., 20:28, 20:28])


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(space.LIBRARIES, "biharmonic", ("no_such_module", "scikit-image"))
    with pytest.raises(InputError, match=r"needs scikit-image: pip install 'geot2t\[spatial\]'"):
        space.check_installed("biharmonic")
    space.check_installed("linear")
