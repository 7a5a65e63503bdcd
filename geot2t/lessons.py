"""Lessons of the critic: real ground beside what is wrong with it, whoever did it.

A critic that only ever meets its own generator learns what that generator does wrong. As a realism
score it must know more: flaws of instruments and of processing (`geot2t.flaws`), and the fills of
simpler methods. Each lesson is a pair of windows, of which one is right.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from geot2t.critic import Critic, own_normalised
from geot2t.flaws import flawed
from geot2t.losses import relativistic
from geot2t.tiles import Sample

FILLS = 0.5
"""Share of lessons in which the gap is filled badly; in the others there is a flaw."""

SURE = 0.25
"""Share of a token that must be wrong for the token to be called wrong."""

SMOOTH = 0.05
"""Doubt in what is right and wrong, which keeps scores from growing without end."""


def lesson(critic: Critic, batch: Sample, rng: np.random.Generator) -> Tensor:
    """Loss of the critic on one pair of windows for each sample; scalar."""
    right, wrong, where = pair(batch, rng)
    where_right, right_score = critic(own_normalised(right))
    where_wrong, wrong_score = critic(own_normalised(wrong))
    tokens = F.avg_pool2d(where.float(), right.shape[-1] // where_right.shape[-1]).squeeze(1)
    bad, good = tokens > SURE, tokens == 0
    judged = torch.cat([right_score, wrong_score, where_right.flatten(), where_wrong[good | bad]])
    truth = torch.cat([
        torch.ones_like(right_score), torch.zeros_like(wrong_score),
        torch.ones_like(where_right).flatten(), good[good | bad].to(judged),
    ])  # fmt: skip
    count = 2 * len(right_score)
    weight = torch.ones_like(judged)
    weight[count:] = count / max(len(judged) - count, 1)  # all tokens as much as all windows
    called = F.binary_cross_entropy_with_logits(
        judged, truth * (1 - 2 * SMOOTH) + SMOOTH, weight, reduction="sum"
    ) / (2 * count)
    ranked = relativistic(right_score, wrong_score) + relativistic(
        where_right, where_wrong, bad.to(tokens)
    )
    return called + 0.5 * ranked


def pair(batch: Sample, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Windows as they are, with something wrong, and where ``(n, 1, y, x)``."""
    e = batch.evidence
    known = e.valid[:, :1] | (batch.weight > 0)
    right = torch.where(known, batch.truth, e.prior)
    gap = batch.weight > 0
    if rng.random() < FILLS:
        return right, torch.where(gap, _bad_fill(batch, rng), right), gap
    where = gap
    if rng.random() < 0.6:
        where = torch.ones_like(gap)
        if rng.random() < 0.5:
            where = torch.zeros_like(gap)
            y, x = right.shape[-2:]
            height, width = (int(rng.integers(n // 4, n + 1)) for n in (y, x))
            row, col = int(rng.integers(y - height + 1)), int(rng.integers(x - width + 1))
            where[..., row : row + height, col : col + width] = True
    centre = right.mean((2, 3), keepdim=True)
    spread = right.std((2, 3), keepdim=True) + 1e-9
    wrong = flawed((right - centre) / spread, where, rng) * spread + centre
    return right, wrong, where


def _bad_fill(batch: Sample, rng: np.random.Generator) -> Tensor:
    """The gap as a simpler method would fill it: by a date as it is, by their mean, by less."""
    e = batch.evidence
    others = e.valid[:, 1:, None].float()  # (n, f, 1, y, x)
    if not others.shape[1] or not bool(others.any()):
        return F.avg_pool2d(F.pad(e.prior, [4] * 4, mode="reflect"), 9, 1)
    pick = rng.random()
    images = torch.where(others > 0, e.images[:, 1:], 0)
    if pick < 0.4:
        which = int(rng.integers(images.shape[1]))
        return torch.where(others[:, which] > 0, images[:, which], e.prior)
    if pick < 0.8:
        mean = images.sum(1) / others.sum(1).clamp(min=1)
        return torch.where(others.amax(1) > 0, mean, e.prior)
    return e.prior
