"""How far a fill lies from the truth, on arrays alone.

Reflectance runs from 0 to 1. `pred` and `truth` are (b, y, x) float arrays without NaN; `where` is
(y, x) bool, True on the pixels that are scored. A figure that is not defined is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import rankdata

from geot2t.errors import InputError

Array = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

MIN_SUM = 0.05
"""Normalised differences are noise where the two bands add up to less than this."""


def _pixels(pred: Array, truth: Array, where: Bools) -> tuple[Array, Array]:
    """Scored pixels as (b, n) float64, after a check of the shapes."""
    if pred.ndim != 3 or pred.shape != truth.shape or pred.shape[1:] != where.shape:
        raise InputError(
            f"Shapes do not agree: {pred.shape} against {truth.shape} where {where.shape}."
        )
    if not where.any():
        raise InputError("No pixel is left to score.")
    return pred[:, where].astype(np.float64), truth[:, where].astype(np.float64)


def errors(pred: Array, truth: Array, where: Bools) -> dict[str, float | None]:
    """MAE, RMSE, bias (fill minus truth) and PSNR over all bands and scored pixels.

    PSNR is 10 log10(1 / MSE) in dB with the MSE pooled over bands; None for a perfect fill.
    """
    p, t = _pixels(pred, truth, where)
    d = p - t
    mse = float(np.mean(d**2))
    return {
        "mae": float(np.abs(d).mean()),
        "rmse": float(np.sqrt(mse)),
        "bias": float(d.mean()),
        "psnr": float(-10 * np.log10(mse)) if mse > 0 else None,
    }


def ssim(pred: Array, truth: Array, where: Bools, window: int = 11) -> float:
    """Structural similarity (Wang et al., 2004), uniform window, range 1, map's mean over `where`.

    Variances are unbiased, as in scikit-image; edges are mirrored.
    """
    _pixels(pred, truth, where)
    n = window**2
    c1, c2 = 0.01**2, 0.03**2
    total = 0.0
    for p, t in zip(pred.astype(np.float64), truth.astype(np.float64), strict=True):
        mp, mt = ndimage.uniform_filter(p, window), ndimage.uniform_filter(t, window)
        scale = n / (n - 1)
        vp = scale * (ndimage.uniform_filter(p * p, window) - mp * mp)
        vt = scale * (ndimage.uniform_filter(t * t, window) - mt * mt)
        cov = scale * (ndimage.uniform_filter(p * t, window) - mp * mt)
        ratio = (2 * mp * mt + c1) * (2 * cov + c2) / ((mp**2 + mt**2 + c1) * (vp + vt + c2))
        total += float(ratio[where].mean())
    return total / len(pred)


def sam(pred: Array, truth: Array, where: Bools) -> float:
    """Mean spectral angle in degrees (Kruse et al., 1993)."""
    p, t = _pixels(pred, truth, where)
    cosine = (p * t).sum(0) / (np.linalg.norm(p, axis=0) * np.linalg.norm(t, axis=0) + 1e-8)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def ergas(pred: Array, truth: Array, where: Bools) -> float | None:
    """100 sqrt(mean over bands of (RMSE / mean)^2) at ratio 1 (Wald, 2000)."""
    p, t = _pixels(pred, truth, where)
    mean = t.mean(1)
    if not mean.all():
        return None
    return float(100 * np.sqrt(np.mean(((p - t) ** 2).mean(1) / mean**2)))


def difference_mae(
    pred: Array, truth: Array, where: Bools, first: int | None, second: int | None
) -> float | None:
    """MAE of (first - second) / (first + second): NDVI of NIR and red, NBR of NIR and SWIR 2.

    Pixels count where the sum's size is above `MIN_SUM` in fill and truth; None without any.
    """
    if first is None or second is None:
        return None
    p, t = _pixels(pred, truth, where)
    sums = p[first] + p[second], t[first] + t[second]
    use = (np.abs(sums[0]) > MIN_SUM) & (np.abs(sums[1]) > MIN_SUM)
    if not use.any():
        return None
    a = (p[first] - p[second])[use] / sums[0][use]
    b = (t[first] - t[second])[use] / sums[1][use]
    return float(np.abs(a - b).mean())


def seam(pred: Array, truth: Array, where: Bools, observed: Bools) -> float | None:
    """Step across the gap's edge, as a multiple of the truth's own step there.

    Mean |p_i - t_j| over mean |t_i - t_j|, over bands and all pairs of a scored pixel i and an
    observed 4-neighbour j. One is natural, more a visible seam, less a smeared one.
    """
    _pixels(pred, truth, where)
    top = bottom = 0.0
    for axis in (0, 1):
        for step in (1, -1):
            a = [slice(None), slice(None)]
            b = [slice(None), slice(None)]
            a[axis], b[axis] = (
                (slice(None, -1), slice(1, None)) if step > 0 else (slice(1, None), slice(None, -1))
            )
            i, j = tuple(a), tuple(b)
            pair = where[i] & observed[j] & ~where[j]
            other = truth[(slice(None), *j)][:, pair].astype(np.float64)
            top += float(np.abs(pred[(slice(None), *i)][:, pair] - other).sum())
            bottom += float(np.abs(truth[(slice(None), *i)][:, pair] - other).sum())
    return top / bottom if bottom > 0 else None


def texture(pred: Array, truth: Array, where: Bools, lag: int = 1) -> float | None:
    """Mean absolute difference of scored pixels `lag` apart, of the fill over that of the truth.

    Along rows and columns, both pixels in the gap. Below one the fill is too smooth.
    """
    _pixels(pred, truth, where)
    top = bottom = 0.0
    for axis in (0, 1):
        w = np.moveaxis(where, axis - 2, -1)
        p, t = (np.moveaxis(v, axis - 2, -1) for v in (pred, truth))
        pair = w[..., lag:] & w[..., :-lag]
        top += float(np.abs(p[..., lag:] - p[..., :-lag])[:, pair].sum())
        bottom += float(np.abs(t[..., lag:] - t[..., :-lag])[:, pair].sum())
    return top / bottom if bottom > 0 else None


def interval(pred: Array, truth: Array, where: Bools, half: Array) -> dict[str, float]:
    """Share of band values within `half` (b, y, x) of the fill, and the interval's mean width."""
    p, t = _pixels(pred, truth, where)
    h = half[:, where]
    return {"coverage": float((np.abs(p - t) <= h).mean()), "width": float(2 * h.mean())}


def gap_sizes(where: Bools) -> NDArray[np.int64]:
    """Area in pixels of each scored pixel's 8-connected gap, 0 elsewhere, as (y, x)."""
    labels, _ = ndimage.label(where, np.ones((3, 3)))
    area = np.bincount(labels.ravel())
    area[0] = 0
    return np.asarray(area[labels], np.int64)


def variogram(pred: Array, truth: Array, where: Bools, lag: int) -> float | None:
    """Semivariance of the fill at `lag` over that of the truth, both pixels of a pair in the gap.

    Half the mean squared difference along rows and columns (Matheron, 1963), pooled over bands.
    """
    _pixels(pred, truth, where)
    top = bottom = 0.0
    for axis in (0, 1):
        w = np.moveaxis(where, axis - 2, -1)
        p, t = (np.moveaxis(v, axis - 2, -1) for v in (pred, truth))
        pair = w[..., lag:] & w[..., :-lag]
        top += float(((p[..., lag:] - p[..., :-lag])[:, pair] ** 2).sum())
        bottom += float(((t[..., lag:] - t[..., :-lag])[:, pair] ** 2).sum())
    return top / bottom if bottom > 0 else None


def gap_distance(where: Bools, observed: Bools) -> Array:
    """Euclidean distance in pixels to the nearest observed pixel, (y, x); infinite without one."""
    if not (observed & ~where).any():
        return np.full(where.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~(observed & ~where)), np.float64)


def win_shares(scores: Array) -> Array:
    """Share of cases that each method wins, of (cases, methods) errors; ties are split evenly."""
    best = scores == scores.min(1, keepdims=True)
    return np.asarray((best / best.sum(1, keepdims=True)).mean(0), np.float64)


def ratio_interval(
    scores: Array, reference: Array, seed: int = 0, draws: int = 2000
) -> tuple[float, float, float]:
    """Mean of `scores` over mean of `reference`, with a 95 % paired bootstrap interval.

    Both are (cases,) and one case's pair is drawn together (Efron, 1979): (ratio, low, high).
    """
    if scores.shape != reference.shape or scores.ndim != 1 or not scores.size:
        raise InputError("A ratio needs the same cases, one at least, on both sides.")
    if not (reference > 0).all():
        raise InputError("A ratio needs reference errors above zero.")
    pick = np.random.default_rng(seed).integers(0, len(scores), (draws, len(scores)))
    low, high = np.percentile(scores[pick].mean(1) / reference[pick].mean(1), [2.5, 97.5])
    return float(scores.mean() / reference.mean()), float(low), float(high)


def calibration(
    pred: Array, truth: Array, where: Bools, halves: Mapping[float, Array]
) -> dict[str, list[float]]:
    """Measured beside nominal coverage; `halves` maps each level to its half-width (b, y, x)."""
    nominal = sorted(halves)
    measured = [interval(pred, truth, where, halves[level])["coverage"] for level in nominal]
    return {"nominal": nominal, "measured": measured}


def mean_interval(values: Array, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of one value per case, with a 95 % bootstrap interval: (mean, low, high)."""
    if values.ndim != 1 or not values.size:
        raise InputError("A mean needs one case at least.")
    pick = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(values[pick].mean(1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def auroc(real: Array, other: Array) -> float:
    """Share of pairs in which ``real`` scores above ``other``, ties as a half.

    The area under the curve of true over false alarms (Hanley & McNeil 1982,
    doi:10.1148/radiology.143.1.7063747): 1 where scores separate the two, 0.5 where they say
    nothing.
    """
    if not real.size or not other.size:
        raise InputError("An AUROC needs scores of both kinds.")
    ranks = rankdata(np.concatenate([real, other]))
    count = real.size * other.size
    return float((ranks[: real.size].sum() - real.size * (real.size + 1) / 2) / count)
