"""Lessons of the critic: real ground beside what is wrong with it, whoever did it.

A critic that only ever meets its own generator learns what that generator does wrong. As a realism
score it must know more: flaws of instruments and of processing (`geot2t.flaws`), and the fills of
simpler methods. Each lesson is a pair of windows, of which one is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geot2t.baselines import fillnodata
from geot2t.critic import Critic, own_normalised
from geot2t.flaws import FLAWS, flawed
from geot2t.losses import relativistic
from geot2t.prior import Prior
from geot2t.realism import SEEN
from geot2t.tiles import Sample

FILLS = 0.5
"""Share of lessons in which the gap is filled badly; in the others there is a flaw."""

SURE = 0.25
"""Share of a token that must be wrong for the token to be called wrong."""

SMOOTH = 0.02
"""Doubt in what is right and wrong, which keeps scores from growing without end."""


def lesson(critic: Critic, batch: Sample, rng: np.random.Generator) -> Tensor:
    """Loss of the critic on one pair of windows for each sample; scalar."""
    right, wrong, where, known = pair(batch, rng)
    n = len(right)
    tokens, whole = critic(
        torch.cat([own_normalised(right, known), own_normalised(wrong, known)]),
        torch.cat([known, known]),
    )
    side = right.shape[-1] // tokens.shape[-1]
    share = F.avg_pool2d(torch.stack([where, known]).flatten(0, 1).float(), side)
    share, seen = share.squeeze(1).split(n)
    judged = (seen > SEEN).to(tokens)
    bad = (share > SURE) * judged
    good = (share == 0) * judged
    truth = torch.cat([torch.ones_like(whole[:n]), torch.zeros_like(whole[n:])])
    called = _called(whole, truth, torch.ones_like(whole))
    called = called + _called(tokens[:n], torch.ones_like(judged), judged)
    called = called + _called(tokens[n:], good, good + bad)
    ranked = relativistic(whole[:n], whole[n:]) + relativistic(tokens[:n], tokens[n:], bad)
    return called + 0.25 * ranked


def _called(scores: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """How surely scores call each what it is; mean cross-entropy."""
    truth = truth * (1 - 2 * SMOOTH) + SMOOTH
    each = F.binary_cross_entropy_with_logits(scores, truth, weight, reduction="sum")
    return each / weight.sum().clamp(min=1)


def pair(batch: Sample, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows as they are, the same with something wrong, where, and where they were observed.

    The former two are ``(n, b, y, x)``, the latter bool ``(n, 1, y, x)``.
    """
    gap = batch.weight > 0
    known = batch.evidence.valid[:, :1] | gap
    right = torch.where(known, batch.truth, 0)
    where = gap.clone()
    n = len(right)
    filled = torch.from_numpy(rng.random(n) < FILLS).to(gap.device)
    seen = known.to(right)
    count = seen.sum((2, 3), keepdim=True).clamp(min=1)
    centre = right.sum((2, 3), keepdim=True) / count
    spread = (((right - centre) * seen).square().sum((2, 3), keepdim=True) / count).sqrt() + 1e-9
    level = torch.where(known, (right - centre) / spread, 0)
    fill = _bad_fill(batch, another_day(level, rng) * spread + centre, rng)
    wrong = torch.where(filled[:, None, None, None] & gap, fill, right)
    names = rng.choice(list(FLAWS), n)
    for name in FLAWS:
        which = torch.from_numpy(names == name).to(gap.device) & ~filled
        if bool(which.any()):
            where[which] = _part(where[which], rng, whole=name != "foreign patch")
            made = flawed(level[which], where[which], rng, name)
            wrong[which] = made * spread[which] + centre[which]
    return right, torch.where(known, wrong, 0), where & known, known


def _part(gaps: Tensor, rng: np.random.Generator, *, whole: bool) -> Tensor:
    """Where a flaw lies in each window: in its gap, in a rectangle, or everywhere."""
    out = gaps.clone()
    y, x = gaps.shape[-2:]
    for part in out:
        draw = rng.random()
        if whole and draw < 0.35:
            part[:] = True
        elif draw < 0.75:
            part[:] = False
            height, width = (int(rng.integers(s // 4, 3 * s // 4)) for s in (y, x))
            row, col = int(rng.integers(y - height)), int(rng.integers(x - width))
            part[..., row : row + height, col : col + width] = True
    return out


def another_day(level: Tensor, rng: np.random.Generator) -> Tensor:
    """Normalised windows ``(n, b, y, x)`` as another date, or a mean of some, might show them.

    Light and haze are others, what is alike has changed alike, and some of the noise is gone. Few
    places have many dates, but any has outlines at which a date changes.
    """
    n, b = level.shape[:2]

    def drawn(own: float, common: float = 0.0) -> Tensor:
        draws = own * rng.normal(size=(n, b)) + common * rng.normal(size=(n, 1))
        return torch.from_numpy(draws).to(level)[..., None, None]

    near = F.avg_pool2d(level, 3, 1, 1, count_include_pad=False)
    index = (near * drawn(b**-0.5)).sum(1, keepdim=True)
    kind = torch.sigmoid(4 * (index - drawn(0.0, 1.0)[:, :1]))
    change = drawn(0.08, 0.15) + drawn(0.06, 0.1) * level + drawn(0.2) * kind
    strength = np.exp(rng.uniform(np.log(0.2), np.log(1.2), (n, 1, 1, 1)))
    lost = rng.uniform(0, 0.4, (n, 1, 1, 1))
    much, less = (torch.from_numpy(v).to(level) for v in (strength, lost))
    return level + much * change - less * (level - near)


def _bad_fill(batch: Sample, changed: Tensor, rng: np.random.Generator) -> Tensor:
    """The gap as a simpler method would fill it: by a date as it is, by their mean, by less.

    Where no other date shows ground, mostly by the ground itself as ``changed``.
    """
    e = batch.evidence
    others = e.valid[:, 1:, None]  # (n, f, 1, y, x)
    out = e.prior.clone()
    images = torch.where(others, e.images[:, 1:], 0)
    mean = images.sum(1) / others.sum(1).clamp(min=1)
    for i, draw in enumerate(rng.random(len(out))):
        shown = torch.nonzero(others[i].flatten(1).any(1)).flatten()
        if draw < (0.1 if len(shown) else 0.75):
            out[i] = changed[i]
        if not len(shown) or draw < 0.5:
            continue
        which = int(shown[int(rng.integers(len(shown)))])
        offer, there = (images[i, which], others[i, which]) if draw < 0.8 else (
            mean[i], others[i].any(0))  # fmt: skip
        out[i] = torch.where(there, offer, out[i])
    return out


def composite(
    pixels: Tensor, valid: Tensor, days: Tensor, target: int, *, around: Any = None
) -> Prior:
    """The median of the other dates, and GDAL's fill from the surroundings where there is none.

    What many fill clouds with, and all the critic needs to see of a gap to learn from it. Dates
    come in the order of their distance in time, as they are. Parameters are those of
    `geot2t.prior.estimate_prior`; ``around`` is not looked at.
    """
    del around
    n, t = valid.shape[:2]
    others = valid.clone()
    others[:, target] = False
    mean = torch.where(others.unsqueeze(2), pixels, torch.nan).nanmedian(1).values
    if not bool(mean.isfinite().all()):
        space = fillnodata(pixels.numpy(), valid.numpy(), days.numpy(), target)
        mean = torch.where(mean.isfinite(), mean, torch.from_numpy(space.mean))
    away = (days - days[target]).abs().nan_to_num()
    away[target] = torch.inf
    order = away.argsort(stable=True)[: t - 1]
    scale = mean.std((2, 3), keepdim=True).expand_as(mean) + 1e-6 * mean.abs() + 1e-12
    seen = others[:, order]
    return Prior(
        mean=mean,
        scale=scale,
        chosen=order.expand(n, -1),
        per_date=torch.where(seen.unsqueeze(2), pixels[:, order], mean.unsqueeze(1)),
        per_date_scale=scale.unsqueeze(1).expand(-1, t - 1, -1, -1, -1),
        per_date_valid=seen,
        days=torch.full_like(mean[:, 0], torch.inf),
    )
