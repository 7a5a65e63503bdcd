"""Which dates of a long series to use: those near in time, and those that explain the scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Block, Source
from geot2t.grid import Box, lattice

MOST_DATES = 24
"""Dates of a longer series are shortlisted to this many before anything is filled."""

_SIDE = 128
_WINDOWS = 6
_STEP = 2
_ENOUGH = 64


def shortlist(source: Source, dates: int, *, seed: int = 0) -> tuple[int, ...]:
    """Choose the dates of a series that promise most for filling the target.

    A third of the places goes to the nearest dates that show some ground. The others go to
    the dates on which the target regresses best, as in the prior: least residual over the
    pixels that both dates show, divided by the share of the gap that the date shows. Both are
    taken on a few windows of the scene, every second pixel. Where nothing of the target was
    observed, no date promises more than another, and all are the nearest.

    Parameters
    ----------
    source : Source
        The scene and its series.
    dates : int
        Dates to keep at most, the target included.
    seed : int
        Of the choice of windows.

    Returns
    -------
    tuple of int
        Indices in time, in order, the target among them.
    """
    blocks = [_thinned(source.read(box)) for box in windows_read(source.extent, seed)]
    days, target = blocks[0].days, source.target
    others = [i for i in range(len(days)) if i != target]
    clear = np.mean([block.valid.mean((1, 2)) for block in blocks], axis=0)
    nearness = sorted(others, key=lambda i: (clear[i] < 0.05, abs(days[i] - days[target])))
    if not any(block.valid[target].any() for block in blocks):
        return tuple(sorted([target, *nearness[: dates - 1]]))
    score = _scores(blocks, target)
    promise = sorted(others, key=lambda i: (score[i], abs(days[i] - days[target])))
    near = nearness[: (dates - 1) // 3]
    rest = [i for i in promise if i not in near]
    return tuple(sorted([target, *near, *rest[: dates - 1 - len(near)]]))


def windows_read(extent: Box, seed: int) -> list[Box]:
    """The windows of a scene that `shortlist` reads."""
    windows = list(lattice(extent, extent, size=_SIDE, overlap=0))
    rng = np.random.default_rng(seed)
    if len(windows) > _WINDOWS:
        windows = [windows[i] for i in sorted(rng.choice(len(windows), _WINDOWS, replace=False))]
    return windows


def _thinned(block: Block) -> Block:
    pixels, valid = block.pixels[..., ::_STEP, ::_STEP], block.valid[:, ::_STEP, ::_STEP]
    box = Box(block.box.row, block.box.col, *valid.shape[1:])
    return Block(pixels.copy(), valid.copy(), block.days, box)


def _scores(blocks: list[Block], target: int) -> NDArray[np.float64]:
    """Unexplained share of the target's spread over the share of its gap shown; low is good."""
    count = len(blocks[0].days)
    unexplained, weight = np.zeros(count), np.zeros(count)
    shown, gap = np.zeros(count), 0
    for block in blocks:
        seen = block.valid[target]
        gap += int((~seen).sum())
        shown += (block.valid & ~seen).sum((1, 2))
        for i in range(count):
            both = seen & block.valid[i]
            if (n := int(both.sum())) >= _ENOUGH:
                unexplained[i] += n * _residual(
                    block.pixels[target][:, both], block.pixels[i][:, both]
                )
                weight[i] += n
    # A date that shares no pixel with the target explains nothing, as far as is known.
    residual = np.where(weight > 0, unexplained / np.maximum(weight, 1), 1.0)
    covered = shown / gap if gap else np.ones(count)
    return np.asarray(residual / np.maximum(covered, 1e-3))


def _residual(target: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean over bands of sqrt(1 - r**2) between two dates' samples, each ``(band, n)``."""
    a = target - target.mean(1, keepdims=True, dtype="float64")
    b = other - other.mean(1, keepdims=True, dtype="float64")
    power = np.maximum((a * a).sum(1) * (b * b).sum(1), np.finfo("float64").tiny)
    return float(np.sqrt(np.clip(1 - (a * b).sum(1) ** 2 / power, 0, 1)).mean())
