"""What two dates differ by where nothing happened, and from where on that is not enough.

Most of a scene is assumed not to have changed. Its bulk says how predictions err in each band and
how bands err together, and makes of the errors of a pixel one number. The threshold is the
quantile of that number which leaves the share of false alarms that was asked for, over all of the
scene or, where more of the scene is far off than is ever seen without an event, over the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.difference.hidden import grown
from geot2t.difference.relation import FEWEST, Spread, spread_of
from geot2t.errors import InputError
from geot2t.fill import Float

SIGMA = 1.5
"""Errors are averaged over neighbours under a Gaussian of this width, in pixels."""

REACH = 6
"""Pixels that it reaches."""

REFERENCE = 100.0
"""Times the median strangeness that 1 % of the pixels exceed at most in pairs of dates without
event; see docs/change.md."""

TAIL = 0.78
"""Power by which the tail falls there: ten times rarer is 6 times as strange."""

LEVEL = 0.9
"""Share of unchanged pixels that differ from the prediction by less than the half-width."""

_ROUNDS = 2

Bool = NDArray[np.bool_]


def averaged(scores: Float, valid: Bool) -> Float:
    """Scores ``(band, y, x)`` averaged over valid neighbours; 0 where not valid."""
    smooth = {"sigma": SIGMA, "truncate": REACH / SIGMA, "mode": "constant"}
    weight = ndimage.gaussian_filter(valid.astype("float32"), **smooth)
    out = np.stack([ndimage.gaussian_filter(np.where(valid, s, 0), **smooth) for s in scores])
    return np.asarray(np.where(valid, out / np.maximum(weight, 1e-3), 0), "float32")


def sieved(changed: Bool, least: int) -> Bool:
    """``changed (y, x)`` without groups of fewer than ``least`` pixels that touch at a side."""
    if least < 2 or not changed.any():
        return changed
    label, _ = ndimage.label(changed)
    keep = np.bincount(label.ravel()) >= least
    keep[0] = False
    return np.asarray(keep[label])


@dataclass(frozen=True, slots=True)
class Case:
    """Scores of one window: measured minus predicted, over the expected error."""

    scores: Float
    """``(band, y, x)``; 0 where not valid."""

    valid: Bool
    """Where both dates were observed, ``(y, x)``."""

    changed: Bool
    """What looks changed at first sight, ``(y, x)``; has no say in what is usual."""


@dataclass(frozen=True, slots=True)
class Null:
    """What is usual where nothing happened."""

    spread: Spread
    """Of averaged scores."""

    half: NDArray[np.float64]
    """Half-width that holds `LEVEL` of unchanged pixels over the expected error, ``(band,)``."""

    threshold: float
    """Strangeness above which a pixel has changed."""

    limit: float
    """Strangeness that only an event explains; infinite if the scene shows none."""

    @property
    def event(self) -> bool:
        """Whether more of the scene is strange than without an event."""
        return bool(np.isfinite(self.limit))

    def strangeness(self, scores: Float, valid: Bool) -> NDArray[np.float64]:
        """One number for each pixel of ``scores (band, y, x)``; 0 where not valid."""
        return np.asarray(np.where(valid, self.spread.strangeness(averaged(scores, valid)), 0))


def learn_null(cases: Sequence[Case], false_alarm: float, least: int = 1) -> Null:
    """Learn from windows of a scene what is usual in it.

    Parameters
    ----------
    cases : sequence of Case
    false_alarm : float
        Share of unchanged pixels that may be found changed.
    least : int
        Smaller groups of pixels are dropped; see `sieved`.

    Raises
    ------
    InputError
        If too few pixels were observed on both dates.
    """
    smooth = [averaged(c.scores, c.valid) for c in cases]
    usual = [c.valid & ~c.changed for c in cases]
    known = np.concatenate([s[:, u] for s, u in zip(smooth, usual, strict=True)], 1)
    if known.shape[1] < FEWEST:
        raise InputError(
            f"{known.shape[1]} pixels were observed on both dates; comparing them takes {FEWEST}"
        )
    spread = spread_of(known)
    maps = [np.where(c.valid, spread.strangeness(s), 0) for s, c in zip(smooth, cases, strict=True)]
    rest = [c.valid for c in cases]
    limit = REFERENCE * (0.01 / false_alarm) ** TAIL
    event = _share([m > limit for m in maps], rest) > false_alarm
    threshold = _threshold(maps, rest, false_alarm, least)
    for _ in range(_ROUNDS if event else 0):
        before, threshold = threshold, min(threshold, limit)
        # What surely changed, with all that hangs together with it, is no measure of the rest.
        rest = [
            _unchanged(m, c.valid, limit, threshold, least)
            for m, c in zip(maps, cases, strict=True)
        ]
        threshold = min(_threshold(maps, rest, false_alarm, least), threshold)
        if threshold > 0.98 * before:
            break
    still = [r & (m <= threshold) for r, m in zip(rest, maps, strict=True)]
    scores = np.concatenate([c.scores[:, s] for c, s in zip(cases, still, strict=True)], 1)
    half = np.quantile(np.abs(scores), LEVEL, axis=1) + np.finfo("float32").tiny
    return Null(spread, half, threshold, limit if event else np.inf)


def false_alarms(null: Null, cases: Sequence[Case], least: int = 1) -> tuple[int, int]:
    """Pixels that ``null`` finds changed, and pixels in all, leaving out what surely changed.

    Parameters
    ----------
    null : Null
        Learnt elsewhere in the scene.
    cases : sequence of Case
    least : int
        See `learn_null`.
    """
    found = total = 0
    for case in cases:
        strange = null.strangeness(case.scores, case.valid)
        rest = _unchanged(strange, case.valid, null.limit, null.threshold, least)
        found += int((sieved(strange > null.threshold, least) & rest).sum())
        total += int(rest.sum())
    return found, total


def _unchanged(
    strange: NDArray[np.float64], valid: Bool, limit: float, threshold: float, least: int
) -> Bool:
    """Valid pixels but those that changed around what surely did, and their neighbours."""
    surely = sieved(strange > limit, max(least, 4))
    if not surely.any():
        return valid
    changed = ndimage.binary_propagation(surely, mask=strange > threshold)
    return np.asarray(valid & ~grown(changed, 2))


def _share(changed: Sequence[Bool], of: Sequence[Bool]) -> float:
    return sum(int((c & o).sum()) for c, o in zip(changed, of, strict=True)) / max(
        sum(int(o.sum()) for o in of), 1
    )


def _threshold(
    maps: Sequence[NDArray[np.float64]], rest: Sequence[Bool], share: float, least: int
) -> float:
    """The strangeness that ``share`` of ``rest`` exceed in groups of ``least`` pixels."""
    values = np.concatenate([m[r] for m, r in zip(maps, rest, strict=True)])
    if not values.size:
        return np.inf
    high = float(np.quantile(values, 1 - share))
    if least < 2:
        return high
    # Dropping small groups lowers the share: look below the quantile for the one that is left.
    low = float(np.quantile(values, max(1 - 4 * share, 0)))
    for _ in range(16):
        middle = (low + high) / 2
        groups = [sieved((m > middle) & r, least) for m, r in zip(maps, rest, strict=True)]
        low, high = (middle, high) if _share(groups, rest) > share else (low, middle)
    return high
