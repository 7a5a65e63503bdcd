"""The classical estimate that the network refines: the target date regressed on the others.

For each other date, each band has a linear regression of the target on it, whose coefficients
vary smoothly over the window: first and second moments over co-observed pixels are pooled to
cells and spread by pull-push (Gortler et al. 1996, "The Lumigraph", section 3.4.2), so that a
pixel far inside a gap borrows from a wide neighbourhood and one at its edge from close by. The
dates' estimates are combined by their local residuals, then a ridge per band learns on
observed pixels what that combination misses. No loop over pixels, no files.

Axes: n windows, t dates, k chosen dates, b bands, y x pixels; v u are rows, columns of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from geot2t.errors import InputError

CELL = 4  # px; side of the cells in which moments are summed
HOLD = 0.1  # observed share of a cell at which its own moments count as much as their surroundings
FLAT = 0.02  # share of a date's variance added to it, so that flat ground has slope 0
FEW = 32  # co-observed pixels under which no regression is tried


@dataclass(frozen=True)
class Prior:
    """What simple statistics say of the target date; every tensor float32 unless said."""

    mean: Tensor
    """Estimate at every pixel, observed or not, ``(n, b, y, x)``, units of the input."""

    scale: Tensor
    """Expected absolute error of ``mean`` at an unobserved pixel, above 0, same shape."""

    chosen: Tensor
    """Dates used, best first, as indices into time, int64 ``(n, k)``; -1 where there is none."""

    per_date: Tensor
    """Regression on each chosen date where it is valid, else ``mean``, ``(n, k, b, y, x)``."""

    per_date_scale: Tensor
    """Expected absolute error of ``per_date``, above 0, ``(n, k, b, y, x)``."""

    per_date_valid: Tensor
    """Where the chosen date was observed, bool ``(n, k, y, x)``."""

    days: Tensor
    """Days between the target and the nearest chosen date valid there, ``(n, y, x)``; infinite
    where none is."""


def estimate_prior(
    pixels: Tensor, valid: Tensor, days: Tensor, target: int, *, dates: int = 12
) -> Prior:
    """Estimate the target date from the other dates and from what was observed around.

    Each window is independent of the others in its batch; on a CPU it gives the same bits
    whatever it is batched with.

    Parameters
    ----------
    pixels : Tensor
        float32 ``(n, t, b, y, x)``; what is not valid is not looked at, if finite.
    valid : Tensor
        bool ``(n, t, y, x)``, True where the ground was observed.
    days : Tensor
        float32 ``(t,)``, in any order; NaN or equal dates are allowed.
    target : int
        Index in time of the date to estimate.
    dates : int
        Other dates to use at most: those which tell most about the target are chosen.

    Raises
    ------
    InputError
        If the shapes do not go together.
    """
    if pixels.ndim != 5 or valid.shape != pixels.shape[:2] + pixels.shape[3:]:
        raise InputError(
            f"pixels must be (n, t, b, y, x) and valid (n, t, y, x), got {tuple(pixels.shape)} "
            f"and {tuple(valid.shape)}"
        )
    if days.shape != pixels.shape[1:2] or not 0 <= target < len(days):
        raise InputError(
            f"{pixels.shape[1]} dates need as many days and a target among them, got "
            f"{tuple(days.shape)} and {target}"
        )
    with torch.no_grad():
        if pixels.device.type == "cpu":
            # One by one: what a window gives must not depend on how kernels split a batch.
            each = [
                _estimate(p[None], v[None], days, target, dates)
                for p, v in zip(pixels, valid, strict=True)
            ]
            return Prior(*(torch.cat(parts) for parts in zip(*each, strict=True)))
        return Prior(*_estimate(pixels, valid, days, target, dates))


def _estimate(
    pixels: Tensor, valid: Tensor, days: Tensor, target: int, dates: int
) -> tuple[Tensor, ...]:
    height, width = pixels.shape[-2:]
    edge = (0, -width % CELL, 0, -height % CELL)
    seen = F.pad(valid, edge).unsqueeze(2).float()  # (n, t, 1, y, x)
    centre, spread = _normalisation(pixels, valid)  # (n, 1, b, 1, 1)
    z = (F.pad(pixels, edge) - centre) / spread * seen
    n, t, b, y, x = z.shape

    others = [i for i in range(t) if i != target]
    own, own_seen = z[:, target], seen[:, target]  # (n, b, y, x), (n, 1, y, x)
    around, trend = _surroundings(own, own_seen)
    between, has_between = _between_dates(z, seen, days, target)
    mean = torch.where(has_between > 0, between, around)
    if not others:
        scale = trend.expand_as(mean)
        empty = mean.new_zeros(n, 0, b, y, x)
        parts = (mean, scale, torch.zeros(n, 0, dtype=torch.long), empty, empty, empty[:, :, 0] > 0)
        return _finish(*parts, torch.full_like(mean[:, 0], torch.inf), centre, spread, (height, width))

    x_all, x_seen = z[:, others], seen[:, others]
    slope, shift, residual, support = _regressions(own.unsqueeze(1), own_seen.unsqueeze(1), x_all, x_seen)
    best, usable = _choose(residual, support, own_seen, x_seen, min(dates, len(others)))
    take = _Taker(best)
    size = (y, x)
    chosen_seen = take(x_seen) * usable[:, :, None, None, None]  # (n, k, 1, y, x)
    per_date = _enlarge(take(slope), size) * take(x_all) + _enlarge(take(shift), size)
    variance = _enlarge(take(residual), size)

    weight = (variance + 1e-4) ** -1.5 * chosen_seen
    total = weight.sum(1)
    known = total > 0
    mean = torch.where(known, (weight * per_date).sum(1) / total.clamp(min=1e-12), mean)
    mean = mean + _ridge(own - mean, own_seen, torch.where(chosen_seen > 0, per_date - mean.unsqueeze(1), 0))
    mean = mean + _surroundings(own - mean, own_seen)[0] * known

    share = weight / total.unsqueeze(1).clamp(min=1e-12)
    scale = torch.where(known, (share * variance.sqrt()).sum(1), trend.expand_as(mean))
    there = chosen_seen[:, :, 0] > 0
    index = torch.tensor(others, device=z.device)[best]
    apart = (days.to(z.device)[index] - days[target]).abs().float()[:, :, None, None]
    near = torch.where(there, apart, torch.inf).amin(1)
    per_date = torch.where(chosen_seen > 0, per_date, mean.unsqueeze(1))
    chosen = torch.where(usable, index, -1)
    return _finish(
        mean, scale, chosen, per_date, variance.sqrt(), there, near, centre, spread, (height, width)
    )


def _finish(
    mean: Tensor,
    scale: Tensor,
    chosen: Tensor,
    per_date: Tensor,
    per_date_scale: Tensor,
    there: Tensor,
    near: Tensor,
    centre: Tensor,
    spread: Tensor,
    size: tuple[int, int],
) -> tuple[Tensor, ...]:
    """Back to the units and the size of the input."""
    h, w = size
    return (
        (mean * spread[:, 0] + centre[:, 0])[..., :h, :w],
        ((scale + 1e-3) * spread[:, 0])[..., :h, :w],
        chosen,
        (per_date * spread + centre)[..., :h, :w],
        ((per_date_scale + 1e-3) * spread)[..., :h, :w],
        there[..., :h, :w],
        near.nan_to_num(nan=0.0, posinf=torch.inf)[..., :h, :w],
    )


def _normalisation(pixels: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of what was observed, for each window and band, ``(n, 1, b, 1, 1)``."""
    seen = valid.unsqueeze(2)
    axes = (1, 3, 4)
    count = seen.sum(axes, keepdim=True).clamp(min=1)
    centre = torch.where(seen, pixels, 0).sum(axes, keepdim=True) / count
    variance = torch.where(seen, pixels - centre, 0).square().sum(axes, keepdim=True) / count
    return centre, variance.sqrt() + 1e-6 * centre.abs() + 1e-12


def _pool(values: Tensor) -> Tensor:
    """Mean over each cell, ``(..., y, x)`` to ``(..., v, u)``."""
    flat = F.avg_pool2d(values.flatten(0, -3).unsqueeze(0), CELL)
    return flat.reshape(*values.shape[:-2], *flat.shape[-2:])


def _enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear ``(..., v, u)`` to ``(..., y, x)``."""
    flat = F.interpolate(values.flatten(0, -3).unsqueeze(0), size=size, mode="bilinear")
    return flat.reshape(*values.shape[:-2], *size)


def _halve(values: Tensor) -> Tensor:
    """Half the rows and columns, under the kernel [1 3 3 1] / 8: the dual of `_double`."""
    h, w = values.shape[-2:]
    p = F.pad(values, (1, 1 + w % 2, 1, 1 + h % 2))
    p = (p[..., :-3:2, :] + p[..., 3::2, :] + 3 * (p[..., 1:-2:2, :] + p[..., 2:-1:2, :])) / 8
    return (p[..., :-3:2] + p[..., 3::2] + 3 * (p[..., 1:-2:2] + p[..., 2:-1:2])) / 8


def _double(values: Tensor, size: tuple[int, int]) -> Tensor:
    h, w = values.shape[-2:]
    return _enlarge(values, (2 * h, 2 * w))[..., : size[0], : size[1]]


def _spread(sums: Tensor, weight: Tensor) -> Tensor:
    """Pull-push: a weighted mean in every cell, from near where there is weight, else from far.

    ``sums (..., m, v, u)`` are weighted values, ``weight (..., 1, v, u)`` at most 1 a cell.
    """
    levels = [(sums, weight)]
    while max(levels[-1][0].shape[-2:]) > 1:
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    sums, weight = levels.pop()
    mean = sums / (weight + 1e-6)
    for sums, weight in reversed(levels):
        h, w = sums.shape[-2:]
        mean = (sums + HOLD * _double(mean, (h, w))) / (weight + HOLD)
    return mean


def _surroundings(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Spatial fill of ``values (n, b, y, x)`` and its expected error, ``(n, b, 1, 1)``."""
    size = (values.shape[-2], values.shape[-1])
    weight = _pool(seen).unsqueeze(2).expand(-1, values.shape[1], -1, -1, -1)
    coarse = _spread(_pool(values * seen).unsqueeze(2), weight)[:, :, 0]
    fill = _enlarge(coarse, size)
    count = seen.sum((2, 3), keepdim=True)
    error = ((values - fill).abs() * seen).sum((2, 3), keepdim=True) / count.clamp(min=1)
    return fill, torch.where(count > 0, error + 0.3, 3.0)


def _between_dates(z: Tensor, seen: Tensor, days: Tensor, target: int) -> tuple[Tensor, Tensor]:
    """Linear interpolation in time, and where any other date was observed."""
    apart = torch.nan_to_num(days.to(z.device) - days[target])
    apart[target] = torch.inf
    total, weight = torch.zeros_like(z[:, 0]), torch.zeros_like(seen[:, 0])
    sides = []
    for side in (apart <= 0, (apart > 0) & apart.isfinite()):
        distance = torch.where(side & apart.isfinite(), apart.abs(), torch.inf)
        far = torch.where(seen[:, :, 0] > 0, distance[None, :, None, None], torch.inf)
        gap, which = far.min(1, keepdim=True)  # (n, 1, y, x)
        index = which.unsqueeze(2).expand(-1, -1, z.shape[2], -1, -1)
        sides.append((gap, z.gather(1, index)[:, 0]))
    for i, (gap, value) in enumerate(sides):
        other = sides[1 - i][0]
        share = torch.where(other.isfinite(), other / (gap + other).clamp(min=1e-6), 1.0)
        share = torch.where(gap.isfinite(), share.nan_to_num(1.0), 0.0)
        total, weight = total + share * value, weight + share
    return total / weight.clamp(min=1e-6), weight


def _regressions(y: Tensor, y_seen: Tensor, x: Tensor, x_seen: Tensor) -> tuple[Tensor, ...]:
    """Slope, shift, residual variance ``(n, t, b, v, u)`` and support ``(n, t, 1, v, u)``."""
    xo, yo = x * y_seen, y * x_seen
    moments = torch.stack([_pool(m) for m in (xo, yo, xo * x, xo * y, yo * y)], 3)
    support = _pool(y_seen * x_seen)
    mx, my, xx, xy, yy = _spread(moments, support.unsqueeze(3)).unbind(3)
    var_x = (xx - mx * mx).clamp(min=0)
    var_y = (yy - my * my).clamp(min=0)
    covariance = xy - mx * my
    floor = FLAT * var_x.mean((-1, -2), keepdim=True) + 1e-6
    slope = (covariance / (var_x + floor)).clamp(-4, 4)
    residual = (var_y - 2 * slope * covariance + slope * slope * var_x).clamp(min=1e-6)
    return slope, my - slope * mx, residual, support


def _choose(
    residual: Tensor, support: Tensor, own_seen: Tensor, x_seen: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """The ``count`` dates of least residual for the share of the gap they cover, best first."""
    there = support.sum((-1, -2)).clamp(min=1e-6)  # (n, t, 1)
    error = ((residual.sqrt() * support).sum((-1, -2)) / there).mean(2)  # (n, t)
    gap = 1 - own_seen.unsqueeze(1)
    cover = ((gap * x_seen).sum((2, 3, 4)) + 1) / (gap.sum((2, 3, 4)) + 1)
    helps = (there[..., 0] * CELL * CELL >= FEW) & (x_seen.sum((2, 3, 4)) > 0)
    cost = torch.where(helps, error / cover, torch.inf)
    best = cost.argsort(dim=1, stable=True)[:, :count]
    return best, cost.gather(1, best).isfinite()


class _Taker:
    """Take the chosen dates out of ``(n, t, ...)``."""

    def __init__(self, index: Tensor) -> None:
        self._index = index

    def __call__(self, values: Tensor) -> Tensor:
        shape = (*self._index.shape, *[1] * (values.ndim - 2))
        return values.gather(1, self._index.reshape(shape).expand(-1, -1, *values.shape[2:]))


def _ridge(missed: Tensor, seen: Tensor, deviations: Tensor) -> Tensor:
    """What dates' disagreement with their combination says of its error, ``(n, b, y, x)``.

    ``missed (n, b, y, x)`` is learnt where ``seen``, from ``deviations (n, k, b, y, x)`` in
    the band itself and in the mean of all bands.
    """
    features = deviations.transpose(1, 2).flatten(3)  # (n, b, k, y x)
    if features.shape[1] > 1:
        features = torch.cat([features, features.mean(1, keepdim=True).expand_as(features)], 2)
    some = features[..., ::3] * seen.flatten(2)[:, :, None, ::3]
    gram = some @ some.transpose(-1, -2)
    cross = some @ missed.flatten(2)[..., ::3, None]
    strength = 0.01 * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] + 1e-3
    theta = torch.linalg.solve(gram + strength * torch.eye(gram.shape[-1], device=gram.device), cross)
    return (features * theta).sum(2).reshape(missed.shape)
