"""Baselines that take one or two other dates, or their median, pixel by pixel.

None looks at the target date, not even where it was observed, except to say how wrong it is
there. Where no other date was observed, the mean of all that was is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geot2t.baselines.common import Bool, apart, finished, nearest_days
from geot2t.fill import Float, Prediction


def linear(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """Linear interpolation between the nearest dates before and after; at the ends, the nearest.

    Parameters
    ----------
    pixels : ndarray of float32, shape ``(n, t, b, y, x)``
        What is not valid is not looked at.
    valid : ndarray of bool, shape ``(n, t, y, x)``
        True where the ground was observed.
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
    since = apart(days, target)
    before_order = np.where(since <= 0, -since, np.inf)
    after_order = np.where(since > 0, since, np.inf)
    before, before_days = _first(pixels, valid, before_order, before_order, target)
    after, after_days = _first(pixels, valid, after_order, after_order, target)
    both = np.isfinite(before_days) & np.isfinite(after_days)
    with np.errstate(invalid="ignore"):
        share = before_days / np.maximum(before_days + after_days, np.float32(1e-6))
    share = np.where(both, share, np.isinf(before_days))[:, None].astype("float32")
    mean = before * (1 - share) + after * share
    difference = np.where(both[:, None], np.abs(after - before), np.nan)
    return finished(mean, np.minimum(before_days, after_days), pixels, valid, target, difference)


def nearest(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The nearest date on which a pixel was observed, the earlier of two; as for `linear`."""
    since = apart(days, target)
    order = np.lexsort([since > 0, np.abs(since)])
    return _taken(pixels, valid, _ranks(order), since, target)


def previous(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The last date before the target on which a pixel was observed, else the next after it.

    What an archive that must not look ahead would show. Parameters as for `linear`; a date of
    the target's own day counts as before it.
    """
    since = apart(days, target)
    order = np.lexsort([np.abs(since), since > 0])
    return _taken(pixels, valid, _ranks(order), since, target)


def following(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The next date after the target on which a pixel was observed, else the last before it.

    Parameters as for `linear`.
    """
    since = apart(days, target)
    order = np.lexsort([np.abs(since), since <= 0])
    return _taken(pixels, valid, _ranks(order), since, target)


def least_cloudy(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The date that shows most of the window; where it shows nothing, the one that shows next most.

    Of two that show as much, the nearer one. Parameters as for `linear`.
    """
    since = apart(days, target)
    shown = valid.sum((2, 3))  # (n, t)
    order = np.stack([np.lexsort([since > 0, np.abs(since), -some]) for some in shown])
    return _taken(pixels, valid, _ranks(order), since, target)


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
    away = nearest_days(valid, apart(days, target), target)
    return finished(middle, away, pixels, valid, target, deviation)


def _ranks(order: NDArray[np.intp]) -> NDArray[np.float64]:
    """Place of each date in ``order (..., t)``, the first date being the best."""
    return np.argsort(order, axis=-1).astype("float64")


def _taken(
    pixels: Float, valid: Bool, rank: NDArray[np.float64], since: Float, target: int
) -> Prediction:
    """Each pixel from the date of least ``rank (t,)`` or ``(n, t)`` that shows it."""
    if rank.ndim == 1:
        mean, away = _first(pixels, valid, rank, np.abs(since), target)
    else:
        parts = [
            _first(pixels[i : i + 1], valid[i : i + 1], own, np.abs(since), target)
            for i, own in enumerate(rank)
        ]
        mean, away = (np.concatenate(part) for part in zip(*parts, strict=True))
    return finished(mean, away, pixels, valid, target)


def _first(
    pixels: Float,
    valid: Bool,
    rank: NDArray[np.floating],
    distance: NDArray[np.floating],
    target: int,
) -> tuple[Float, Float]:
    """Pixels ``(n, b, y, x)`` of the valid date of least ``rank (t,)``, and its distance.

    Dates of infinite rank are left out; where none is left, the distance is infinite.
    """
    n, _, b, y, x = pixels.shape
    value = np.zeros((n, b, y, x), dtype="float32")
    best = np.full((n, y, x), np.inf, dtype="float32")
    for i in np.argsort(rank, kind="stable"):
        if i != target and np.isfinite(rank[i]):
            new = valid[:, i] & np.isinf(best)
            np.copyto(value, pixels[:, i], where=new[:, None])
            best[new] = distance[i]
    return value, best
