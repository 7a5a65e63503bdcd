"""What others do with a gap: linear interpolation in time, the nearest date, a median composite.

They are what better methods are measured against, and what is used where those fail. Each is
a `geot2t.fill.Predict`. None looks at the target date, not even where it was observed, except to
say how wrong it is there. Where no other date was observed, the mean of all that was is given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Prediction

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

FEW = 32
"""Pixels observed with the target under which their errors are not averaged."""

UNKNOWN = 1.0
"""Error expected where nothing tells, in standard deviations of what was observed."""


def linear(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """Linear interpolation between the nearest dates before and after; at the ends, the nearest.

    Parameters
    ----------
    pixels : ndarray of float32, shape ``(n, t, b, y, x)``
    valid : ndarray of bool, shape ``(n, t, y, x)``
    days : ndarray of float32, shape ``(t,)``
        In any order; NaN counts as the day of the target.
    target : int
        Index in time of the date to predict.

    Returns
    -------
    Prediction
        ``scale`` is one number for each window and band: the mean error over pixels where the
        target was observed, else over those of the dates' differences.
    """
    apart = _apart(days, target)
    before, before_days = _nearest(pixels, valid, np.where(apart <= 0, -apart, np.inf), target)
    after, after_days = _nearest(pixels, valid, np.where(apart > 0, apart, np.inf), target)
    both = np.isfinite(before_days) & np.isfinite(after_days)
    with np.errstate(invalid="ignore"):
        share = before_days / np.maximum(before_days + after_days, np.float32(1e-6))
    share = np.where(both, share, np.isinf(before_days))[:, None].astype("float32")
    mean = before * (1 - share) + after * share
    difference = np.where(both[:, None], np.abs(after - before), np.nan)
    return _finished(mean, np.minimum(before_days, after_days), pixels, valid, target, difference)


def nearest(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The nearest date on which a pixel was observed, the earlier of two; as for `linear`."""
    apart = _apart(days, target)
    order = np.abs(apart) + np.where(apart > 0, np.float32(1e-3), 0)
    mean, away = _nearest(pixels, valid, order, target)
    return _finished(mean, np.round(away, 2), pixels, valid, target, None)


def median(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The median of all other dates, as composites are made; parameters as for `linear`.

    ``scale`` is as for `linear`, from how far the dates are from their median.
    """
    seen = valid.copy()
    seen[:, target] = False
    middle = np.zeros_like(pixels[:, 0])
    deviation = np.full_like(middle, np.nan)
    for i in range(len(pixels)):  # a window at a time: the copy with NaN is as large as its input
        known = np.where(seen[i, :, None], pixels[i], np.nan)
        there = seen[i].any(0)
        values = known[..., there]
        centre = np.nanmedian(values, axis=0) if there.any() else values[0]
        middle[i][:, there] = centre
        deviation[i][:, there] = np.nanmean(np.abs(values - centre), axis=0) if len(centre) else 0
    away = np.where(seen, np.abs(_apart(days, target))[:, None, None], np.inf).min(1)
    return _finished(middle, away.astype("float32"), pixels, valid, target, deviation)


METHODS: dict[str, Callable[[Float, Bool, Float, int], Prediction]] = {
    "linear": linear,
    "nearest": nearest,
    "median": median,
}
"""Every baseline by the name that tables give it."""


def _apart(days: Float, target: int) -> Float:
    apart: Float = np.nan_to_num(np.asarray(days - days[target], dtype="float32"))
    return apart


def _nearest(
    pixels: Float, valid: Bool, distance: NDArray[np.floating], target: int
) -> tuple[Float, Float]:
    """Pixels of the date of least ``distance (t,)``, ``(n, b, y, x)``; and it, ``(n, y, x)``."""
    n, _, b, y, x = pixels.shape
    value = np.zeros((n, b, y, x), dtype="float32")
    best = np.full((n, y, x), np.inf, dtype="float32")
    for i in np.argsort(distance, kind="stable"):
        if i != target and np.isfinite(distance[i]):
            new = valid[:, i] & np.isinf(best)
            np.copyto(value, pixels[:, i], where=new[:, None])
            best[new] = distance[i]
    return value, best


def _finished(
    mean: Float, away: Float, pixels: Float, valid: Bool, target: int, change: Float | None
) -> Prediction:
    """Fill what no date shows, and attach the expected error.

    ``change (n, b, y, x)`` stands in for the error where the target was not observed; NaN where
    it is not known.
    """
    n, _, b, y, x = pixels.shape
    known = np.isfinite(away)
    count = np.maximum(valid.sum((1, 2, 3)), 1)[:, None].astype("float32")
    seen = valid[:, :, None]
    average = np.where(seen, pixels, 0).sum((1, 3, 4), dtype="float64") / count  # (n, b)
    off = np.where(seen, pixels - average[:, None, :, None, None], 0)
    spread = np.sqrt(np.square(off).sum((1, 3, 4)) / count)
    mean = np.where(known[:, None], mean, average[..., None, None]).astype("float32")

    shared = (valid[:, target] & known)[:, None]  # (n, 1, y, x)
    enough = shared.sum((1, 2, 3))[:, None] >= FEW
    error = _mean_where(np.abs(mean - pixels[:, target]), np.broadcast_to(shared, mean.shape))
    if change is not None:
        instead = _mean_where(np.nan_to_num(change), np.isfinite(change))
        error = np.where(enough, error, np.where(instead > 0, instead, UNKNOWN * spread))
    else:
        error = np.where(enough, error, UNKNOWN * spread)
    error = np.where(known[:, None], error[..., None, None], spread[..., None, None])
    tiny = 1e-3 * spread + 1e-6 * np.abs(average) + 1e-12
    scale = np.maximum(error, tiny[..., None, None])
    return Prediction(mean, np.broadcast_to(scale, (n, b, y, x)).astype("float32"), away)


def _mean_where(values: Float, where: Bool) -> NDArray[np.float64]:
    """Mean over each window and band of ``values (n, b, y, x)``, 0 where there is nothing."""
    total = np.where(where, values, 0).sum((2, 3), dtype="float64")
    mean: NDArray[np.float64] = total / np.maximum(where.sum((2, 3)), 1)
    return mean
