"""Intervals: what they hold, where they widen, and that they never step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geot2t.intervals import KNOTS, LEVEL, Errors, factor_at, factors


def cases(
    count: int, pixels: int = 4000, *, growth: float = 0.0, lone: float = 0.0, seed: int = 0
) -> list[Errors]:
    """Laplacian errors, which grow with the logarithm of the distance as the scale does not."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        away = np.exp(rng.uniform(0, np.log(100), pixels))
        error = rng.laplace(size=pixels) * (1 + growth * np.log(away))
        found.append(Errors(error, np.ones(pixels), away, rng.random(pixels) < lone))
    return found


@pytest.mark.parametrize(("growth", "within"), [(0.0, 0.02), (1.0, 0.05)])
def test_what_was_not_measured_is_held_as_promised_at_every_distance(
    growth: float, within: float
) -> None:
    table = factors(cases(20, growth=growth), 2.3)
    for fresh in cases(1, 40_000, growth=growth, seed=1):
        inside = fresh.scores <= factor_at(table, fresh.away, fresh.lone)
        for low, high in pairwise(KNOTS):
            near = (fresh.away >= low) & (fresh.away < high)
            assert inside[near].mean() == pytest.approx(LEVEL, abs=within)


def test_few_cases_make_wider_intervals_than_many() -> None:
    pixels = cases(1, 40_000)[0]
    parts = [
        Errors(pixels.error[i::8], pixels.scale[i::8], pixels.away[i::8], pixels.lone[i::8])
        for i in range(8)
    ]
    assert (factors(parts[:1] * 8, 2.3, of=2) > factors(parts[:1] * 8, 2.3, of=20)).all()


@given(st.floats(0.5, 300), st.floats(0.5, 300))
def test_widths_do_not_step_with_distance(first: float, second: float) -> None:
    table = factors(cases(4, growth=0.5), 2.3)
    ends = np.array([first, second])
    at = factor_at(table, ends, np.zeros(2, bool))
    steepest = np.abs(np.diff(table[0]) / np.diff(np.log(KNOTS))).max()
    assert abs(at[1] - at[0]) <= steepest * abs(np.log(second / first)) + 1e-9


def test_pixels_without_another_date_have_factors_of_their_own() -> None:
    table = factors(cases(6, lone=0.5), 2.3)
    assert not np.array_equal(table[0], table[1])
    none = factors(cases(6), 9.9)
    assert (none[1] == 9.9).all(), "nothing measured: not narrower than the default"
    assert (factors(cases(6), 0.1)[1] == factors(cases(6), 0.1)[0].max()).all()


def test_where_nothing_was_measured_the_default_stands() -> None:
    assert (factors([], 2.3) == 2.3).all()
    assert (factors(cases(1, 10), 2.3) == 2.3).all()
