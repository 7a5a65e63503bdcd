"""Smooth maps out of scattered values: pooling to cells, and pull-push over a pyramid of them.

Pull-push (Gortler et al. 1996, "The Lumigraph", section 3.4.2) gives every cell a weighted mean
of its surroundings: from near by where there is weight, from ever farther where there is none.
It costs one pass over the cells and a third, whatever the size of the gap.

Axes: any leading axes, then y x pixels, or v u rows and columns of cells.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 4
"""Side of a cell in pixels."""


def pool(values: Tensor) -> Tensor:
    """Mean over each cell, ``(..., y, x)`` to ``(..., v, u)``; sides are multiples of `CELL`."""
    flat = F.avg_pool2d(values.flatten(0, -3).unsqueeze(0), CELL)
    return flat.reshape(*values.shape[:-2], *flat.shape[-2:])


def enlarge(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation, ``(..., v, u)`` to ``(..., *size)``."""
    flat = F.interpolate(values.flatten(0, -3).unsqueeze(0), size=size, mode="bilinear")
    return flat.reshape(*values.shape[:-2], *size)


def pull_push(sums: Tensor, weight: Tensor, hold: float) -> Tensor:
    """Weighted mean in every cell, ``(..., v, u)``; 0 where there is no weight anywhere.

    Parameters
    ----------
    sums : Tensor
        Weighted values, mean over each cell, ``(..., v, u)``.
    weight : Tensor
        Their weights, a full cell has 1; broadcasts against ``sums``.
    hold : float
        Weight of the surroundings in the mean of a cell.
    """
    levels = _pull(sums, weight)
    sums, weight = levels.pop()
    mean = sums / (weight + 1e-6)
    for sums, weight in reversed(levels):
        mean = (sums + hold * _double(mean, sums)) / (weight + hold)
    return mean


def distance_error(values: Tensor, weight: Tensor, hold: float) -> Tensor:
    """Square of the error of `pull_push` due to distance, expected in every cell.

    How far the means of observed cells are from the means of their surroundings is measured
    level by level; a cell adds up the levels that its own mean had to be taken from.
    ``values`` are weighted; shapes as for `pull_push`.
    """
    levels = _pull(values, weight)
    sums, weight = levels.pop()
    mean = sums / (weight + 1e-6)
    square = torch.zeros_like(mean)
    for sums, weight in reversed(levels):
        around = _double(mean, sums)
        own = sums / weight.clamp(min=1e-6)
        full = weight.expand_as(sums)
        count = full.sum((-1, -2), keepdim=True).clamp(min=1e-6)
        off = ((own - around).square() * full).sum((-1, -2), keepdim=True) / count
        share = hold / (weight + hold)
        mean = (sums + hold * around) / (weight + hold)
        square = share * (_double(square, sums) + off)
    return square


def _pull(sums: Tensor, weight: Tensor) -> list[tuple[Tensor, Tensor]]:
    levels = [(sums, weight)]
    while max(levels[-1][0].shape[-2:]) > 1:
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    return levels


def _halve(values: Tensor) -> Tensor:
    """Half the rows and columns, under the kernel [1 3 3 1] / 8: the adjoint of `_double`."""
    h, w = values.shape[-2:]
    p = F.pad(values, (1, 1 + w % 2, 1, 1 + h % 2))
    p = (p[..., :-3:2, :] + p[..., 3::2, :] + 3 * (p[..., 1:-2:2, :] + p[..., 2:-1:2, :])) / 8
    return (p[..., :-3:2] + p[..., 3::2] + 3 * (p[..., 1:-2:2] + p[..., 2:-1:2])) / 8


def _double(values: Tensor, like: Tensor) -> Tensor:
    h, w = values.shape[-2:]
    return enlarge(values, (2 * h, 2 * w))[..., : like.shape[-2], : like.shape[-1]]
