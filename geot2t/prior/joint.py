"""Regressions of the target on all chosen dates and bands together, for a whole window.

Linear terms and random cosine features (Rahimi and Recht 2007, "Random features for large-scale
kernel machines") of all bands of all dates, and derivatives of their mean, which stand for dates
that lie a fraction of a pixel apart, go into one ridge, learnt on a sample of the observed
pixels. A second one, on the same features, learns how large the error of the first is. Where a
date was not observed it is first filled by a regression on the dates that were seen more.

Many dates dilute what the best ones say, few leave their noise in it. How many are best differs
from place to place, and the mean of several regressions on the best few, the best some and all
is nearly as good as the best of them.

Axes: n windows, k dates, b bands, f features, p pixels (y x), s sampled pixels.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLE = 10240
"""Pixels of a window to learn from at most."""

FEWER = (3, 6)
"""Numbers of dates that are also tried alone; what all of them say is averaged."""

COSINES = 256
DIRECTIONS = 16
"""Principal components of the features that the cosines see."""

FREQUENCY = 0.15
RIDGE, LINEAR, CURVED = 3e-4, 3.0, 30.0
"""Penalties: for every term; then over the number of observed pixels, by kind of term."""

COMPLETE = 6
"""Dates at most that a date's own gaps are filled from."""

REWEIGHT = 2
"""Times that the pixels learnt from are weighted anew, by how far they are off."""

AROUND = 0.3
"""Weight of a pixel around the window, one inside has 1."""

CHUNK = 8192
"""Pixels at a time, to stay in a processor's cache."""


def every(pixels: int) -> int:
    """Step between sampled pixels; odd, so that no column of a window is left out."""
    return pixels // SAMPLE // 2 * 2 + 1


def joint_regression(
    target: Tensor, observed: Tensor, dates: Tensor, seen: Tensor, *, around: int, width: int
) -> tuple[Tensor, Tensor]:
    """Estimate of the target and its expected absolute error, where any date was seen.

    Parameters
    ----------
    target : Tensor
        Normalised, ``(n, b, p)``; 0 where not observed.
    observed : Tensor
        1 where the target was observed, else 0, ``(n, 1, p)``.
    dates, seen : Tensor
        The other dates, best first, ``(n, k, b, p)``, 0 where not ``seen (n, k, 1, p)``.
    around : int
        The last so many pixels lie around the window: they teach, by `AROUND` as much as
        others, and are not estimated.
    width : int
        Of the window.

    Returns
    -------
    tuple of Tensor
        Both ``(n, b, p)``; the error is not yet calibrated and may be 0 or less.
    """
    inside = dates.shape[-1] - around
    weight, teach = _taught((observed * seen.amax(1))[:, 0], around)  # (n, 1, s), (n, s)
    y = _at(target, teach)
    # A cloud that nobody marked must not be extrapolated to: stay near what was ever seen.
    low = torch.minimum(dates.amin((1, 3)), y.amin(2)).unsqueeze(2) - 0.5
    high = torch.maximum(dates.amax((1, 3)), y.amax(2)).unsqueeze(2) + 0.5
    even = torch.arange(inside, device=dates.device)[:: every(inside)]
    even = torch.cat([even, torch.arange(inside, dates.shape[-1], device=dates.device)])

    counts = [k for k in FEWER if k < dates.shape[1]] + [dates.shape[1]]
    estimates, errors = [], []
    for k in counts:
        features = _complete(dates[:, :k], seen[:, :k], even)
        image = features[..., :inside].mean(1).unflatten(-1, (-1, width))
        # What lies around are single pixels.
        shifts = F.pad(_shifts(image).flatten(2), (0, around))
        features = torch.cat([features.flatten(1, 2), shifts], 1)  # (n, f, p)
        estimate, error = _regression(
            features[..., :inside], _at(features, teach), shifts.shape[1], y, weight
        )
        estimates.append(estimate.clamp(low, high))
        errors.append(error)
    return torch.stack(estimates).mean(0), torch.stack(errors).mean(0)


def _taught(weight: Tensor, around: int) -> tuple[Tensor, Tensor]:
    """Weights ``(n, 1, s)`` and places ``(n, s)`` of the pixels that teach.

    ``weight (n, p)`` is 1 where there is something to learn. Of the pixels in a window up to
    `SAMPLE` are taken, evenly; those around it all.
    """
    inside = weight.shape[1] - around
    known = weight[:, :inside]
    count = known.sum(1)  # (n,)
    size = min(max(int(count.max()), 1), SAMPLE)
    # Windows of a batch that know less than others end in places that teach nothing.
    rank = torch.arange(size, device=weight.device) * (count / SAMPLE).clamp(min=1)[:, None]
    first = known.argsort(dim=1, descending=True, stable=True)
    teach = first.gather(1, rank.long())
    beyond = torch.arange(inside, weight.shape[1], device=weight.device).expand(len(weight), -1)
    weights = torch.cat([known.gather(1, teach), weight[:, inside:] * AROUND], 1)
    return weights.unsqueeze(1), torch.cat([teach, beyond], 1)


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Values ``(n, c, p)`` at ``places (n, s)``: ``(n, c, s)``."""
    if len(values) == 1:
        return values[..., places[0]]
    return values.gather(2, places.unsqueeze(1).expand(-1, values.shape[1], -1))


def _regression(
    features: Tensor, x: Tensor, edges: int, y: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """One ridge and what it says of every pixel, with its expected absolute error, ``(n, b, p)``.

    ``features (n, f, p)`` of all pixels, the last ``edges`` of them derivatives; those of the
    pixels that teach ``x (n, f, s)``, what these show ``y (n, b, s)`` and their ``weight``.
    """
    count = weight.sum(-1, keepdim=True).clamp(min=1)
    x, centre = _centred(x, weight, count)
    spread = ((x.square() * weight).sum(-1, keepdim=True) / count).sqrt() + 1e-4
    x = x / spread
    bend = x[:, :-edges]  # edges are no kind of ground
    turn, phase = _turned((bend * weight) @ bend.transpose(1, 2) / count)
    turn = F.pad(turn, (0, edges))
    bent, bent_mean = _centred(torch.cos(torch.baddbmm(phase, turn, x)), weight, count)
    there = (weight > 0).float()
    a = torch.cat([x, bent, there], 1)  # the last makes up for centres that move below
    penalty = torch.cat([LINEAR / count.expand_as(spread), CURVED / count.expand_as(bent_mean)], 1)
    penalty = F.pad(penalty[..., 0] + RIDGE, (0, 1), value=1e-6).double()
    y_mean = (y * weight).sum(-1, keepdim=True) / count
    y = (y - y_mean) * there

    trust = weight
    for _ in range(REWEIGHT):  # clouds and haze that nobody marked must not teach
        some = trust[..., ::3].sqrt()
        theta = _ridge(a[..., ::3] * some, y[..., ::3] * some, penalty, count / 3)
        off = (theta @ a - y).abs()
        usual = torch.where(weight > 0, off, torch.nan).nanmedian(-1, keepdim=True).values
        ratio = off / (3 * torch.nan_to_num(usual) + 1e-4)
        trust = weight / (1 + ratio.square().mean(1, keepdim=True))
    inverse, freedom = _inverse(a * trust.sqrt(), penalty, count)
    theta = _solve(inverse, a, y * trust, count)
    off = (theta @ a - y).abs() * count / (count - freedom).clamp(min=0.1 * count)
    theta = torch.cat([theta, _solve(inverse, a, off * trust, count)], 1)  # (n, 2b, f + c + 1)

    # The normalisation of the features goes into the coefficients: one pass over all pixels.
    f = x.shape[1]
    turn = turn / spread.transpose(1, 2)
    phase = phase - turn @ centre
    linear, curved = theta[..., :f] / spread.transpose(1, 2), theta[..., f:-1]
    level = F.pad(y_mean, (0, 0, 0, y_mean.shape[1])) + theta[..., -1:]
    level = level - linear @ centre - curved @ bent_mean
    parts = [
        torch.baddbmm(
            torch.baddbmm(level, linear, part),
            curved,
            torch.baddbmm(phase, turn, part).cos_(),
        )
        for part in features.split(CHUNK, -1)
    ]
    estimate, error = torch.cat(parts, -1).chunk(2, 1)
    return estimate, error


def _shifts(image: Tensor) -> Tensor:
    """First and second derivatives ``(n, 5 b, y, x)`` of ``image (n, b, y, x)``.

    Dates lie a fraction of a pixel apart: by Taylor's formula an image that is shifted is a
    linear combination of the image and these.
    """
    p = F.pad(image, (1, 1, 1, 1), mode="replicate")
    left, right = p[..., 1:-1, :-2], p[..., 1:-1, 2:]
    above, below = p[..., :-2, 1:-1], p[..., 2:, 1:-1]
    across = p[..., 2:, 2:] + p[..., :-2, :-2] - p[..., 2:, :-2] - p[..., :-2, 2:]
    second = right + left - 2 * image, below + above - 2 * image, across
    return torch.cat([right - left, below - above, *second], 1)


def _centred(values: Tensor, weight: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    mean = (values * weight).sum(-1, keepdim=True) / count
    return (values - mean) * (weight > 0), mean


def _ridge(a: Tensor, y: Tensor, penalty: Tensor, count: Tensor) -> Tensor:
    """Coefficients ``(n, b, f)`` of ``y (n, b, s)`` on ``a (n, f, s)``, penalised ``(n, f)``."""
    return _solve(_inverse(a, penalty, count)[0], a, y, count)


def _inverse(a: Tensor, penalty: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of the penalised covariance, ``(n, f, f)``, and its effective parameters."""
    gram = (a @ a.transpose(1, 2) / count).double() + torch.diag_embed(penalty)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    unused = (inverse.diagonal(dim1=1, dim2=2) * penalty).sum(1)
    return inverse, (penalty.shape[1] - unused).float()[:, None, None]


def _solve(inverse: Tensor, a: Tensor, y: Tensor, count: Tensor) -> Tensor:
    return (inverse @ (a @ y.transpose(1, 2) / count).double()).float().transpose(1, 2)


def _turned(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies ``(n, c, f)`` and phases ``(n, c, 1)`` of the cosines.

    Strong components turn them more, but less than in proportion to their spread: the fourth
    root of the variance keeps fine distinctions between kinds of ground.
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    r = min(DIRECTIONS, covariance.shape[-1])
    scaled = vectors[..., -r:] * values[:, None, -r:].clamp(min=1e-4).pow(-0.25)
    turn, phase = _waves(r, covariance.device)
    return turn @ scaled.transpose(1, 2).float(), phase.expand(len(values), -1, -1)


@cache
def _waves(directions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    turn = torch.randn(COSINES, directions, generator=generator) * FREQUENCY
    phase = torch.rand(COSINES, 1, generator=generator) * 2 * math.pi
    return (turn * math.sqrt(10 / directions)).to(device), phase.to(device)


def _complete(dates: Tensor, seen: Tensor, teach: Tensor) -> Tensor:
    """The dates, most seen first, with what is not seen estimated from those before."""
    order = seen.sum((2, 3)).argsort(dim=1, descending=True, stable=True)
    each = torch.arange(len(dates), device=dates.device)[:, None]
    mean = dates.sum(1) / seen.sum(1).clamp(min=1)  # (n, b, p)
    out, there = dates[each, order], seen[each, order]
    for i in range(dates.shape[1]):
        values, here = out[:, i], there[:, i]  # (n, b, p), (n, 1, p)
        if bool((here > 0).all()):
            continue
        source = out[:, : min(i, COMPLETE)].flatten(1, 2)
        weight = here[..., teach]
        count = weight.sum(-1, keepdim=True).clamp(min=1)
        x = torch.cat([source[..., teach], mean[..., teach]], 1)
        x, x_mean = _centred(x, weight, count)
        y, y_mean = _centred(values[..., teach], weight, count)
        penalty = (1e-2 + 3 / count).expand(-1, x.shape[1], -1)[..., 0].double()
        theta = _ridge(x, y, penalty, count)
        f = source.shape[1]
        guess = torch.baddbmm(y_mean - theta @ x_mean, theta[..., f:], mean)
        if f:
            guess = torch.baddbmm(guess, theta[..., :f], source)
        out[:, i] = torch.where(here > 0, values, guess)
    return out
