"""Baselines that draw a smooth curve through all other dates of a pixel.

Both are least squares, so what a curve says of the target is a weighted sum of the dates, and
the weights depend only on the days and on which dates show the pixel. Pixels that the same
dates show share them: there are as many small systems to solve as there are such patterns, not
as many as there are pixels and bands.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geot2t.baselines.common import Bool, apart, finished, nearest_days
from geot2t.fill import Float, Prediction

YEAR = 365.2425

HARMONIC_DATES = (6, 10)
"""Dates that must show a pixel for a first and for a second annual harmonic: two for each
coefficient. With fewer, only the mean is fitted."""

TREND_DATES = 12
"""Dates for a trend, which is fitted only where the series spans more than a year."""

SEASON = YEAR / 4
"""Days that the dates of a pixel must span for harmonics: with less, a season is made up."""

RIDGE = 0.2
"""Penalty on the squares of amplitudes, in observations: the variance of a date about the curve
over that of an amplitude."""

BENT = 15.0**3
"""Whittaker's penalty on the integral of the squared second derivative, in days cubed: dates
that are nearer to each other than 15 days are smoothed."""

STEEP = 0.01
"""Penalty on the integral of the squared first derivative, in days: next to nothing, but it
makes the curve of a single date a constant."""

_CHUNK = 16384

Weights = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def harmonic(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """A mean, a trend and one or two annual harmonics, fitted to the other dates of each pixel.

    Terms are fitted only where dates enough show the pixel (see `HARMONIC_DATES`) over a
    quarter of a year, and a ridge shrinks what they do not determine. Dates of one month give
    their mean. The regression of Zhu and Woodcock 2014, "Continuous change detection and
    classification of land cover using all available Landsat data",
    doi:10.1016/j.rse.2014.01.011, without its search for change.

    Parameters
    ----------
    pixels, valid, days, target
        As for `geot2t.baselines.linear`.
    """
    since = apart(days, target).astype("float64")
    angle = 2 * np.pi * since / YEAR
    others = np.delete(since, target)
    long = bool(others.size) and np.ptp(others) > YEAR
    season = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    terms = np.stack([np.ones_like(angle), *season, since / YEAR], 1)  # (t, p)
    first, second = HARMONIC_DATES
    needed = np.array([0, first, first, second, second, TREND_DATES if long else np.inf])
    penalty = np.array([0, *[RIDGE] * (terms.shape[1] - 1)])

    def weights(seen: NDArray[np.float64]) -> NDArray[np.float64]:
        shown = np.where(seen > 0, since, np.nan)  # (m, t)
        span = np.nanmax(shown, 1) - np.nanmin(shown, 1)
        allowed = seen.sum(1)[:, None] >= needed  # (m, p)
        allowed[:, 1:] &= (span >= SEASON)[:, None]
        moments = np.einsum("mt,tp,tq->mpq", seen, terms, terms, optimize=True)
        moments += np.eye(len(needed)) * np.where(allowed, penalty, 1.0)[:, None]
        both = allowed[:, :, None] & allowed[:, None]
        moments = np.where(both | np.eye(len(needed), dtype=bool), moments, 0)
        at = np.where(allowed, terms[target], 0)[..., None]
        share: NDArray[np.float64] = seen * (np.linalg.solve(moments, at)[..., 0] @ terms.T)
        return share

    return _summed(pixels, valid, days, target, weights)


def whittaker(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """Whittaker's smoother on irregular dates: close to what was observed, and not bent much.

    Eilers 2003, "A perfect smoother", doi:10.1021/ac034173t, with differences divided by the
    days between dates. The curve ``z`` is that of least ``sum((y - z)**2)`` over observed dates
    plus `BENT` and `STEEP` times its squared second and first derivatives, integrated over time.
    Before the first and after the last date that shows a pixel, the curve stays at its end: a
    slope between dates of one week says nothing of a day months away.

    Parameters
    ----------
    pixels, valid, days, target
        As for `geot2t.baselines.linear`.
    """
    # To the quarter of an hour: what lies nearer shares a knot, or the system is ill-conditioned.
    when = np.round(apart(days, target).astype("float64"), 2)
    knots, knot = np.unique(when, return_inverse=True)
    place = np.eye(len(knots))[knot]  # (t, knot)
    rough = _roughness(knots)

    def weights(seen: NDArray[np.float64]) -> NDArray[np.float64]:
        system = rough + (seen @ place)[..., None] * np.eye(len(knots))  # (m, knot, knot)
        shown = np.where(seen > 0, knot, np.nan)  # (m, t)
        here = np.clip(knot[target], np.nanmin(shown, 1), np.nanmax(shown, 1)).astype("intp")
        at = np.eye(len(knots))[here][..., None]  # (m, knot, 1)
        share: NDArray[np.float64] = seen * (np.linalg.solve(system, at)[..., 0] @ place.T)
        return share

    return _summed(pixels, valid, days, target, weights)


def _roughness(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix of the penalties on a curve given at ascending ``knots``, ``(knot, knot)``."""
    count, step = len(knots), np.diff(knots)
    slope = np.diff(np.eye(count), axis=0) / step[:, None]  # (knot - 1, knot)
    rough: NDArray[np.float64] = STEEP * slope.T @ (step[:, None] * slope)
    if count > 2:
        width = (step[1:] + step[:-1])[:, None] / 2
        bend = np.diff(slope, axis=0) / width
        rough = rough + BENT * bend.T @ (width * bend)
    return rough


def _summed(pixels: Float, valid: Bool, days: Float, target: int, weights: Weights) -> Prediction:
    """Sum the dates with ``weights(seen (m, t)) -> (m, t)`` of each pattern of shown dates."""
    seen = valid.copy()
    seen[:, target] = False
    mean = np.zeros_like(pixels[:, 0])
    for i, shown in enumerate(seen):
        flat = shown.reshape(len(shown), -1)
        packed = np.ascontiguousarray(np.packbits(flat, axis=0).T)  # (pixel, byte)
        keys = packed.view(np.dtype((np.void, packed.shape[1])))[:, 0]
        _, at, pattern = np.unique(keys, return_index=True, return_inverse=True)
        each = flat[:, at].T.astype("float64")  # (pattern, t)
        there = each.any(1)
        found = np.zeros_like(each)
        for start in range(0, len(each), _CHUNK):
            part = slice(start, start + _CHUNK)
            found[part][there[part]] = weights(each[part][there[part]])
        share = found.astype("float32").T[:, pattern].reshape(shown.shape)  # (t, y, x)
        for date in np.flatnonzero(shown.any((1, 2))):
            mean[i] += np.where(shown[date], pixels[i, date], 0) * share[date]
    away = nearest_days(valid, apart(days, target), target)
    return finished(mean, away, pixels, valid, target)
