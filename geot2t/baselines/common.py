"""What all baselines share: the nearest date, and how wrong an estimate is expected to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Float, Prediction

Bool = NDArray[np.bool_]

FEW = 32
"""Pixels observed with the target under which their errors are not averaged."""

UNKNOWN = 1.0
"""Error expected where nothing tells, in standard deviations of what was observed."""


def apart(days: Float, target: int) -> Float:
    """Days from the target to each date, ``(t,)``, below 0 before it; 0 where not known."""
    since: Float = np.nan_to_num(np.asarray(days - days[target], dtype="float32"))
    return since


def nearest_days(valid: Bool, since: Float, target: int) -> Float:
    """Days to the nearest other date that shows a pixel, ``(n, y, x)``; infinite if none does."""
    away = np.where(valid, np.abs(since)[:, None, None], np.inf)
    away[:, target] = np.inf
    return np.asarray(away.min(1), dtype="float32")


def finished(
    mean: Float, away: Float, pixels: Float, valid: Bool, target: int, change: Float | None = None
) -> Prediction:
    """Fill what no date shows, and attach the expected error.

    Parameters
    ----------
    mean : ndarray of float32, shape ``(n, b, y, x)``
        The estimate; looked at where ``away`` is finite.
    away : ndarray of float32, shape ``(n, y, x)``
        Days to the nearest date used, infinite where none was.
    pixels, valid, target
        As for a `geot2t.fill.Predict`.
    change : ndarray, shape ``(n, b, y, x)``, optional
        Stands in for the error where the target was not observed; NaN where it is not known.

    Returns
    -------
    Prediction
        Where no date was used, ``mean`` is that of all that was observed in the window.
        ``scale`` is one number for each window and band: the mean error over pixels where the
        target was observed.
    """
    known = np.isfinite(away)
    average, spread = level(pixels, valid)  # (n, b)
    mean = np.where(known[:, None], mean, average[..., None, None]).astype("float32")

    shared = (valid[:, target] & known)[:, None]  # (n, 1, y, x)
    enough = shared.sum((1, 2, 3))[:, None] >= FEW
    error = _mean_where(np.abs(mean - pixels[:, target]), np.broadcast_to(shared, mean.shape))
    instead = UNKNOWN * spread
    if change is not None:
        changed = _mean_where(np.nan_to_num(change), np.isfinite(change))
        instead = np.where(changed > 0, changed, instead)
    error = np.where(enough, error, instead)
    error = np.where(known[:, None], error[..., None, None], spread[..., None, None])
    scale = np.maximum(error, least_error(average, spread)[..., None, None])
    return Prediction(mean, np.broadcast_to(scale, mean.shape).astype("float32"), away)


def level(pixels: Float, valid: Bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of all that was observed, each ``(n, b)``; 0 if nothing was."""
    count = np.maximum(valid.sum((1, 2, 3)), 1)[:, None].astype("float32")
    seen = valid[:, :, None]
    average = np.where(seen, pixels, 0).sum((1, 3, 4), dtype="float64") / count
    off = np.where(seen, pixels - average[:, None, :, None, None], 0)
    return average, np.sqrt(np.square(off).sum((1, 3, 4)) / count)


def least_error(average: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """What no expected error is below, so that none is 0, ``(n, b)``."""
    tiny: NDArray[np.float64] = 1e-3 * spread + 1e-6 * np.abs(average) + 1e-12
    return tiny


def _mean_where(values: Float, where: Bool) -> NDArray[np.float64]:
    """Mean over each window and band of ``values (n, b, y, x)``, 0 where there is nothing."""
    total = np.where(where, values, 0).sum((2, 3), dtype="float64")
    mean: NDArray[np.float64] = total / np.maximum(where.sum((2, 3)), 1)
    return mean
