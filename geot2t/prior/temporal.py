"""A date of which nothing was observed: the median of several readings of each pixel's course.

Linear interpolation takes two dates at their word. Levels and lines fitted to a pixel's own course,
over shorter and longer times, do without what contradicts it there and then, mostly haze and
shadows that no mask marks (Cleveland 1979, "Robust locally weighted regression and smoothing
scatterplots", doi:10.2307/2286407); but they miss what happens in a week. The median of all goes
with those that agree. Combinations that are learnt by predicting the dates that were observed did
worse on nearly all series (see docs/experiments.md); that is done only to learn the error.

Axes: t dates, b bands, p pixels (y x), s sampled pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geot2t.prior.pyramid import CELL, enlarge, pool

NEAR = 14
"""Dates at most, those nearest in time."""

SEEN = 0.02
"""Share of the window that a date must show."""

SAMPLE = 512
"""Pixels on which the error is learnt."""

FEWEST = 3
"""Observed dates that must be predictable from the rest."""

FITS: tuple[tuple[bool, float, int], ...] = (
    (True, 10.0, 1),
    (True, 20.0, 2),
    (True, 40.0, 1),
    (False, 10.0, 1),
)
"""Whether a line or a level is fitted, days in which a date's weight falls to a third, and how
often its reading counts; linear interpolation counts once."""

ENDS: tuple[tuple[bool, float, int], ...] = ((False, 5.0, 1), (False, 10.0, 1), (False, 20.0, 1))
"""The same before the first date and after the last, where lines run away; the days are then
counted from the nearest date, which counts once."""

SCALED = 2048
"""Pixels from which the usual distance of dates from a fit is taken."""

REWEIGHT = 6
"""Times that a fit weighs the dates anew, by how far they are off."""

STEADY = 0.05
"""Spread of dates, in units of a fit's days, added so that few dates make no steep line."""

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
        dates were observed to learn from.
    """
    share = seen.float().mean((1, 2)).cpu().numpy()
    day = apart.cpu().numpy().astype("float64")
    order = [i for i in np.argsort(np.abs(day), kind="stable") if share[i] > SEEN][:NEAR]
    if len(order) < FEWEST:
        return None
    index = torch.tensor(sorted(order, key=lambda i: (day[i], i)), device=z.device)
    z, seen, apart = z[index], seen[index], apart[index]
    flat, flat_seen = z.flatten(2), seen.flatten(1)
    step = max(flat.shape[2] // SAMPLE, 1) // 2 * 2 + 1
    error = _error(flat[..., ::step], flat_seen[:, ::step], apart)
    if error is None:
        return None
    mean, spread = _readings(flat, flat_seen, apart)
    off = _smooth(spread.unflatten(1, z.shape[-2:]))
    off = off / off.mean((1, 2), keepdim=True).clamp(min=1e-6)
    far = apart.abs().to(z)[:, None, None]
    days = torch.where(seen, far, torch.inf).amin(0)
    return mean.unflatten(1, z.shape[-2:]), error[:, None, None] * (0.5 + 0.5 * off), days


def _readings(z: Tensor, seen: Tensor, apart: Tensor) -> tuple[Tensor, Tensor]:
    """Median of all readings of ``z (t, b, p)`` at day 0, and how far nearby dates are from it."""
    found = [_between(z, seen, apart)]
    inside = bool((apart < 0).any() and (apart > 0).any())
    since = apart.to(z)
    for line, days, times in FITS if inside else ENDS:
        first = 0 if inside else since.abs().min() * since.sign()
        found += [_fitted(z, seen, since - first, days, line=line)] * times
    ranked = torch.stack(found).sort(0).values
    middle = len(found) // 2
    mean = (ranked[middle] + ranked[(len(found) - 1) // 2]) / 2
    near = seen.to(z) * torch.exp(-(since.abs() - since.abs().min()) / FITS[1][1])[:, None]
    off = (near.unsqueeze(1) * (z - mean).abs()).sum(0) / near.sum(0).clamp(min=1e-9)
    return mean, off


def _between(z: Tensor, seen: Tensor, apart: Tensor) -> Tensor:
    """Linear interpolation between the nearest dates seen before and after, else the nearest."""
    far = torch.where(seen, apart.abs().to(z)[:, None], torch.inf)  # (t, p)
    earlier = (apart <= 0)[:, None]
    before, i = torch.where(earlier, far, torch.inf).min(0)
    after, k = torch.where(earlier, torch.inf, far).min(0)
    both = before.isfinite() & after.isfinite()
    share = torch.where(both, before / (before + after).clamp(min=1e-6), before.isinf().to(z))
    first, second = (z.gather(0, n[None, None].expand(1, *z.shape[1:]))[0] for n in (i, k))
    return first + share * (second - first)


def _fitted(z: Tensor, seen: Tensor, apart: Tensor, days: float, *, line: bool) -> Tensor:
    """Level, or line in time, of each pixel's course, read at the target, ``(b, p)``."""
    near = (seen.to(z) * torch.exp(-apart.abs() / days)[:, None]).unsqueeze(1)  # (t, 1, p)
    step = max(z.shape[2] // SCALED, 1)
    shown = seen[:, ::step]
    weight = near.expand_as(z)
    x = (apart / days)[:, None, None]
    for again in range(REWEIGHT, -1, -1):
        total = weight.sum(0).clamp(min=1e-9)
        level = (weight * z).sum(0) / total
        off = z - level
        if line:
            middle = (weight * x).sum(0) / total
            lean = x - middle
            turned = weight * lean
            spread = (turned * lean).sum(0) / total + STEADY
            along = (turned * off).sum(0) / total / spread
            level = level - along * middle
            off = off - along * lean
        if again:
            usual = off[..., ::step].transpose(0, 1)[:, shown].abs().median().clamp(min=1e-6)
            weight = near / (1 + (off / (2 * usual)).square())
    return level


def _error(z: Tensor, seen: Tensor, apart: Tensor) -> Tensor | None:
    """Mean absolute error ``(b,)`` of dates that were observed, predicted as the target is.

    ``z (t, b, s)`` and ``seen (t, s)`` are sampled pixels. None if too few dates can be predicted
    from others that are as far from them as those of the target are.
    """
    day: NDArray[np.float64] = apart.cpu().numpy().astype("float64")
    before = np.min(-day, initial=np.inf, where=day <= 0)
    after = np.min(day, initial=np.inf, where=day > 0)
    errors = []
    for i in range(len(day)):
        since = day - day[i]
        near = (since > -ALIKE * before) & (since < ALIKE * after)
        rest = np.flatnonzero(~near & (np.arange(len(day)) != i))
        sides = (since[rest] <= 0).any(), (since[rest] > 0).any()
        if sides != (bool(np.isfinite(before)), bool(np.isfinite(after))):
            continue
        known = seen[rest]
        good = seen[i] & known.any(0)
        if int(good.sum()) < 32:
            continue
        said, _ = _readings(z[rest][..., good], known[:, good], torch.from_numpy(since[rest]).to(z))
        errors.append((said - z[i][:, good]).abs().mean(1))
    return torch.stack(errors).mean(0) if len(errors) >= FEWEST else None


def _smooth(values: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    padded = F.pad(values, (0, -width % CELL, 0, -height % CELL), mode="replicate")
    return enlarge(pool(padded), (padded.shape[-2], padded.shape[-1]))[..., :height, :width]
