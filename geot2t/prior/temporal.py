"""A date of which nothing was observed: a weighted mean of the other dates.

Several rules give the weights: interpolation between neighbours, kriging with noise under several
covariances (Cressie 1993, "Statistics for Spatial Data", section 3.2, here in time), and kernels.
Dates that contradict the others, mostly by haze that no mask marks, count less. Levels and lines
fitted to each pixel's own course do without what contradicts it there and then (Cleveland 1979,
"Robust locally weighted regression and smoothing scatterplots", doi:10.2307/2286407). Every date
that was observed is predicted from the rest as the target is, and all of these are combined by how
well they did there, held near what did well on other series.

Axes: t dates, b bands, p pixels (y x), s sampled pixels, u patterns of what a pixel shows, r rules,
m rules and fits.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional as F

from geot2t.prior.pyramid import CELL, enlarge, pool

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

NEAR = 14
"""Dates at most, those nearest in time."""

SEEN = 0.02
"""Share of the window that a date must show."""

SAMPLE = 512
"""Pixels on which the rules are tried."""

FEWEST = 3
"""Observed dates that must be predictable from the rest for the rules to be combined."""

RULES: tuple[tuple[str, float, float, float], ...] = (
    ("straight", 0.0, 1e-3, 0.0),
    ("straight", 0.0, 0.1, 1.0),
    ("straight", 0.0, 0.3, 3.0),
    ("straight", 0.0, 1.0, 3.0),
    ("smooth", 60.0, 1.0, 1.0),
    ("kernel", 5.0, 0.0, 1.0),
    ("kernel", 20.0, 0.0, 1.0),
)
"""Kind, days, noise over the change between neighbouring dates, and weight of haze."""

FITS: tuple[tuple[bool, float], ...] = (
    (True, 10.0),
    (True, 20.0),
    (True, 40.0),
    (False, 5.0),
    (False, 20.0),
)
"""Whether a line or a level is fitted, and days in which a date's weight falls to a third."""

REWEIGHT = 2
"""Times that a fit weighs the dates anew, by how far they are off."""

STEADY = 0.05
"""Spread of dates, in units of a fit's days, added so that few dates make no steep line."""

USUAL = (0.06, 0.12, 0.06, 0.06, 0.06, 0.19, 0.06, 0.06, 0.12, 0.06, 0.03, 0.12)
"""Shares of the rules and the fits where a series tells nothing."""

HOLD = 10.0
"""Strength of those, over that of one predicted date; from the training series."""

ALIKE = 0.75
"""Share of the target's distance to its neighbours that a predicted date must have from its."""


def interpolate_date(
    z: Tensor, seen: Tensor, apart: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Estimate a date of one window from the others.

    Parameters
    ----------
    z : Tensor
        The other dates, normalised, float32 ``(t, b, y, x)``; 0 where not seen.
    seen : Tensor
        bool ``(t, y, x)``.
    apart : Tensor
        Days from the target, ``(t,)``.

    Returns
    -------
    tuple of Tensor, or None
        Estimate and its expected absolute error, ``(b, y, x)``, and days to the nearest date
        used, ``(y, x)``, infinite where none of the dates used was seen. None where too few
        dates were observed to learn from, and before the first and after the last date: what
        was tried there was no better than the nearest date.
    """
    share = seen.float().mean((1, 2)).cpu().numpy()
    day = apart.cpu().numpy().astype("float64")
    order = [i for i in np.argsort(np.abs(day), kind="stable") if share[i] > SEEN][:NEAR]
    if len(order) < FEWEST or not day[order].min() < 0 < day[order].max():
        return None
    index = torch.tensor(sorted(order, key=lambda i: (day[i], i)), device=z.device)
    z, seen, day = z[index], seen[index], day[index.cpu().numpy()]
    t = len(z)
    flat, flat_seen = z.flatten(2), seen.flatten(1)
    step = max(flat.shape[2] // SAMPLE, 1) // 2 * 2 + 1
    some = flat[..., ::step].cpu().numpy().astype("float64")
    some_seen = flat_seen[:, ::step].cpu().numpy()
    haze = _haze(some, some_seen, day)
    learnt = _combine(some, some_seen, day, haze)
    if learnt is None:
        return None
    shares, error = learnt

    bit = 2 ** torch.arange(t, device=z.device)
    codes, which = torch.unique((flat_seen * bit[:, None]).sum(0), return_inverse=True)
    patterns = ((codes[:, None] & bit) > 0).cpu().numpy()
    rules = np.tensordot(shares[: len(RULES)], _weights(day, patterns, haze), 1)  # (u, t)
    weights = torch.from_numpy(rules.astype("float32")).to(z.device)[which].T  # (t, p)
    mean = (weights.unsqueeze(1) * flat).sum(0)  # (b, p)
    since = torch.from_numpy(day).to(flat)
    for (line, reach), share in zip(FITS, shares[len(RULES) :].tolist(), strict=True):
        if share > 0:
            mean = mean + share * _fitted(flat, flat_seen, since, reach, line=line)
    off = (weights.abs().unsqueeze(1) * (flat - mean).abs() * flat_seen.unsqueeze(1)).sum(0)
    off = _smooth(off.unflatten(1, z.shape[-2:]))
    off = off / off.mean((1, 2), keepdim=True).clamp(min=1e-6)
    scale = torch.from_numpy(error.astype("float32")).to(z.device)[:, None, None]
    far = torch.from_numpy(np.abs(day).astype("float32")).to(z.device)[:, None, None]
    days = torch.where(seen, far, torch.inf).amin(0)
    return mean.unflatten(1, z.shape[-2:]), scale * (0.5 + 0.5 * off), days


def _smooth(values: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    padded = F.pad(values, (0, -width % CELL, 0, -height % CELL), mode="replicate")
    return enlarge(pool(padded), (padded.shape[-2], padded.shape[-1]))[..., :height, :width]


def _covariance(kind: str, days: float, apart: Float) -> Float:
    """Covariance of the ground at times ``apart``, up to a constant; neighbours differ by 1."""
    lag = np.abs(apart[:, None] - apart)
    days_seen = np.unique(apart[1:])
    between = np.diff(days_seen) if len(days_seen) > 1 else np.ones(1)
    usual = np.array([max(float(np.median(between)), 1.0)])

    def change(lag: Float) -> Float:
        if kind == "straight":
            return lag / 365
        x = np.sqrt(3) * lag / days
        return np.asarray(1 - (1 + x) * np.exp(-x))

    gamma = change(lag) / change(usual)
    return np.asarray(20 * gamma.max() + 50 - gamma)


def _weights(apart: Float, patterns: Bool, haze: Float) -> Float:
    """Weights of the dates by every rule ``(r, u, t)``, where ``patterns (u, t)`` are seen."""
    there = patterns.astype("float64")
    far = np.abs(apart)
    nearest = np.where(patterns, far, np.inf).min(1, keepdims=True)
    nearest = np.where(np.isfinite(nearest), nearest, 0)
    out = []
    for kind, days, noise, weight in RULES:
        trust = 1 + weight * haze
        if kind == "kernel":
            w = np.exp(-np.maximum(far - nearest, 0) / days) / trust * there
        else:
            covariance = _covariance(kind, days, np.concatenate([[0.0], apart]))
            inverse = _inverse(covariance[1:, 1:], noise * trust, patterns)
            x = np.einsum("uij,uj->ui", inverse, covariance[0, 1:] * there)
            one = np.einsum("uij,uj->ui", inverse, there)
            rest = 1 - x.sum(1, keepdims=True)
            w = (x + rest / np.maximum(one.sum(1, keepdims=True), 1e-12) * one) * there
        total = w.sum(1, keepdims=True)
        out.append(w / np.where(np.abs(total) > 1e-9, total, 1))
    return np.stack(out)


def _inverse(covariance: Float, noise: Float, patterns: Bool) -> Float:
    """Inverses ``(u, t, t)`` over the dates of each pattern; the others stand alone."""
    there = patterns.astype("float64")
    matrix = covariance * there[:, :, None] * there[:, None]
    each = np.arange(len(noise))
    matrix[:, each, each] += np.where(patterns, noise, 1)
    return np.linalg.inv(matrix)


def _fitted(z: Tensor, seen: Tensor, apart: Tensor, days: float, *, line: bool) -> Tensor:
    """Level, or line in time, of each pixel's course, read at the target, ``(b, p)``."""
    near = seen.to(z) * torch.exp(-apart.abs() / days)[:, None]  # (t, p)
    trust = torch.ones_like(z)
    x = (apart / days)[:, None, None]
    level = along = torch.zeros_like(z[0])
    for again in range(REWEIGHT, -1, -1):
        weight = near.unsqueeze(1) * trust  # (t, b, p)
        total = weight.sum(0).clamp(min=1e-9)
        level = (weight * z).sum(0) / total
        if line:
            middle = (weight * x).sum(0) / total
            spread = (weight * (x - middle).square()).sum(0) / total
            along = (weight * (x - middle) * (z - level)).sum(0) / total / (spread + STEADY)
            level = level - along * middle
        if again:
            off = (z - level - along * x).abs()
            usual = off.transpose(0, 1)[:, seen].median().clamp(min=1e-6)
            trust = 1 / (1 + (off / (2 * usual)).square())
    return level


def _haze(some: Float, seen: Bool, apart: Float) -> Float:
    """How much more each date contradicts the others than dates do, ``(t,)``, 0 for most.

    Kriging's error of each date predicted from all others has a closed form (Dubrule 1983,
    "Cross validation of kriging in a unique neighborhood").
    """
    patterns, which = np.unique(seen.T, axis=0, return_inverse=True)
    covariance = _covariance("straight", 0.0, np.concatenate([[0.0], apart]))[1:, 1:]
    inverse = _inverse(covariance, np.full(len(apart), 0.3), patterns)
    one = np.einsum("uij,uj->ui", inverse, patterns.astype("float64"))
    total = np.maximum(one.sum(1), 1e-12)[:, None, None]
    inverse = inverse - one[:, :, None] * one[:, None] / total
    q = np.maximum(np.diagonal(inverse, axis1=1, axis2=2), 1e-9)
    off = np.einsum("sij,jbs->sib", (inverse / np.sqrt(q)[:, :, None])[which.ravel()], some)
    count = np.maximum(seen.sum(1) * some.shape[1], 1)
    error = ((np.abs(off) * seen.T[:, :, None]).sum((0, 2)) / count) ** 2
    return np.asarray(np.maximum(error / (np.median(error) + 1e-12) - 1, 0))


def _combine(some: Float, seen: Bool, apart: Float, haze: Float) -> tuple[Float, Float] | None:
    """Shares of the rules and fits ``(m,)``, and the error they make together, ``(b,)``."""
    before, after = (
        float(np.min(s * apart, initial=np.inf, where=s * apart >= 0)) for s in (-1, 1)
    )
    count = len(USUAL)
    gram, errors = np.zeros((count, count)), []
    for i in range(len(apart)):
        since = apart - apart[i]
        near = (since > -ALIKE * before) & (since < ALIKE * after)
        rest = np.flatnonzero(~near & (np.arange(len(apart)) != i))
        both = (np.isinf(before) or bool((since[rest] < 0).any())) and (
            np.isinf(after) or bool((since[rest] > 0).any())
        )
        if not len(rest) or not both:
            continue
        good = seen[i] & seen[rest].any(0)
        if good.sum() < 32:
            continue
        patterns, which = np.unique(seen[rest][:, good].T, axis=0, return_inverse=True)
        weights = _weights(since[rest], patterns, haze[rest])[:, which.ravel()]  # (r, s, t)
        said = np.einsum("rst,tbs->rbs", weights, some[rest][..., good])
        z, known = torch.from_numpy(some[rest][..., good]), torch.from_numpy(seen[rest][:, good])
        day = torch.from_numpy(since[rest])
        fits = [_fitted(z, known, day, days, line=line).numpy() for line, days in FITS]
        off = np.concatenate([said, fits]) - some[i][:, good]  # (m, b, s)
        unit = np.abs(off[0]).mean() + 1e-3
        gram += np.einsum("rbs,qbs->rq", off, off) / (unit**2 * off[0].size)
        errors.append(off)
    if len(errors) < FEWEST:
        return None
    gram /= len(errors)
    usual, hold = np.array(USUAL), HOLD / len(errors) * float(np.trace(gram)) / count
    sure = 1e3 * np.sqrt(np.trace(gram) + 1)
    root = np.linalg.cholesky(gram + 1e-9 * (np.trace(gram) + 1) * np.eye(count)).T
    a = np.concatenate([root, np.sqrt(hold) * np.eye(count), np.full((1, count), sure)])
    b = np.concatenate([np.zeros(count), np.sqrt(hold) * usual, [sure]])
    shares = nnls(a, b)[0]
    shares = shares / shares.sum()
    error = np.mean([np.abs(np.tensordot(shares, off, 1)).mean(1) for off in errors], axis=0)
    return shares, error
