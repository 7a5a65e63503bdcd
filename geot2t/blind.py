"""What the self-check hides where little or nothing of the date itself was observed: other dates.

A clear date of the series stands in for the one that is missing, hidden where that one was not
observed. With it go all dates that are nearer to it than the missing date is to what was observed,
on the same side or sides, so that the methods know as little of it as they know of the missing one.
What they make of it is compared with what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Around, Block, Float, Source
from geot2t.grid import Box, lattice

WINDOWS = 6
"""Windows of a scene that are looked at."""

DATES = 12
"""Dates at most that stand in for the missing one."""

CASES = 24
"""Pairs of such a date and a window at most."""

FEWEST = 3
"""Dates that should be there to stand in; for fewer, nearer ones are left to the methods."""

ALIKE = 0.75
"""Share of the missing date's distance to its neighbours that a stand-in must have from its own."""

SPARSE = 0.3
"""Share of a window below which its date shows little of it."""

SHOWN = 0.05
"""Share of the looked-at windows that a date must show to count as observed."""

CLEAR = 0.3
"""Share that it must show to stand in, and of a window for a case there."""

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HiddenDate:
    """A window of a date that is hidden where the missing one was not observed."""

    box: Box
    """The window."""

    hidden: Bool
    """What was observed of the date and is hidden, ``(y, x)``."""

    left: Bool
    """What the missing date shows, and so is left of this one, ``(y, x)``."""

    date: int
    """Index in time of the date."""

    seen: tuple[int, ...]
    """Indices of the other dates that the methods see, in order."""

    stretch: float
    """How many times as far off the missing date is expected to be, at least 1."""

    key: Hashable
    """Equal for cases of equal outcome, among those of one series."""

    def shown(self, block: Block, _target: int) -> tuple[Block, int]:
        """What the methods see of ``block``, and which of its dates they predict."""
        order = sorted((*self.seen, self.date))
        at = order.index(self.date)
        pixels, valid = block.pixels[order], block.valid[order]
        pixels[at][:, ~self.left] = 0
        valid[at] &= self.left
        around = block.around
        if around is not None:  # there, too, it shows what the missing date does
            around = Around(around.pixels[order], around.valid[order])
        return Block(pixels, valid, block.days[order], block.box, around), at

    def truth(self, block: Block, _target: int) -> Float:
        """The date as it was observed, ``(band, y, x)``."""
        out: Float = block.pixels[self.date]
        return out


def shows_little(valid: Bool) -> bool:
    """Whether so little of a window was observed that gaps which fit into it say too little.

    They are far smaller than the one to be filled.
    """
    return bool(valid.mean() < SPARSE)


def windows_read(extent: Box, *, size: int, overlap: int) -> list[Box]:
    """The windows of a scene that are looked at, spread evenly over rows and columns."""
    windows = list(lattice(extent, extent, size=size, overlap=overlap))
    golden = (math.sqrt(5) - 1) / 2  # a step that is in no ratio with the windows of a row
    count = min(len(windows), WINDOWS)
    spread = {int((i + 0.5) * golden % 1 * len(windows)) for i in range(count)}
    return [windows[i] for i in sorted(spread if count < len(windows) else range(count))]


def find_dates(source: Source, *, size: int, overlap: int) -> list[HiddenDate]:
    """Other dates to hide, where little of the target was observed; see `hidden_dates`."""
    windows = windows_read(source.extent, size=size, overlap=overlap)
    windows = [w for w in windows if shows_little(source.read_target(w)[1])]
    valid: list[Bool] = []
    days = np.zeros(0, "float32")
    for window in windows:
        block = source.read(window)
        valid.append(block.valid)
        days = block.days
    return hidden_dates(days, source.target, windows, valid) if windows else []


def hidden_dates(
    days: Float, target: int, windows: Sequence[Box], valid: Sequence[Bool]
) -> list[HiddenDate]:
    """Choose the dates that stand in for one of which little or nothing was observed.

    Parameters
    ----------
    days : ndarray, shape ``(time,)``
        NaN where a date is not known.
    target : int
        Index of the missing date.
    windows : sequence of Box
        See `windows_read`.
    valid : sequence of ndarray of bool, shape ``(time, y, x)``
        Where each date was observed in each of them.

    Returns
    -------
    list of HiddenDate
        By date; empty where the series is too short for any.
    """
    if not math.isfinite(days[target]):
        return []
    gaps = [v & ~v[target] for v in valid]
    shares = np.array([gap.mean((1, 2)) for gap in gaps])  # (window, time)
    share = np.array([v.mean((1, 2)) for v in valid]).mean(0)
    observed = [i for i in range(len(days)) if i != target and share[i] > SHOWN]
    dates = [i for i in observed if math.isfinite(days[i])]
    wide = _neighbours(days, days[target], dates)
    reach = _reach(*wide)
    if not math.isfinite(reach):
        return []
    sides = wide
    found = _stand_ins(days, dates, share, sides)
    while len(found) < FEWEST and max(s for s in sides if math.isfinite(s)) > 1:
        sides = sides[0] / 1.5, sides[1] / 1.5
        nearer = _stand_ins(days, dates, share, sides)
        found = nearer if len(nearer) > len(found) else found
    cost = {i: abs(math.log((r + 0.5) / (reach + 0.5))) - share[i] for i, (_, r) in found.items()}
    chosen = sorted(sorted(found, key=lambda i: (cost[i], i))[:DATES])
    each = max(CASES // max(len(chosen), 1), 1)
    usual = float(np.median([found[i][1] for i in chosen])) if chosen else reach
    stretch = math.sqrt(max(reach / max(usual, 0.5), 1.0))
    cases = []
    for i in chosen:
        seen = found[i][0]
        best = [int(w) for w in np.argsort(-shares[:, i], kind="stable") if shares[w, i] >= CLEAR]
        for w in sorted(best[:each]):
            left = valid[w][target]
            key = (windows[w], float(days[i]), tuple(days[list(seen)].tolist()), left.tobytes())
            cases.append(HiddenDate(windows[w], gaps[w][i], left, i, seen, stretch, key))
    return cases


def _neighbours(days: Float, day: float, dates: Sequence[int]) -> tuple[float, float]:
    """Days from ``day`` back to the nearest of ``dates``, and on to it; infinite if none is."""
    since = np.array([days[i] - day for i in dates], "float64")
    before = np.min(-since, initial=np.inf, where=since <= 0)
    after = np.min(since, initial=np.inf, where=since > 0)
    return float(before), float(after)


def _reach(before: float, after: float) -> float:
    """One distance for two: what is drawn between two ends strays as far as from one so near."""
    if math.isfinite(before) and math.isfinite(after):
        return before * after / max(before + after, 1e-6)
    return min(before, after)


def _stand_ins(
    days: Float, dates: Sequence[int], share: NDArray[np.float64], sides: tuple[float, float]
) -> dict[int, tuple[tuple[int, ...], float]]:
    """Clear dates, with the dates that are left when those near them go, and their reach."""
    before, after = sides
    found: dict[int, tuple[tuple[int, ...], float]] = {}
    for i in dates:
        if share[i] < CLEAR or any(days[k] == days[i] for k in found):
            continue
        left = tuple(
            k for k in dates
            if k != i and not -ALIKE * before < days[k] - days[i] < ALIKE * after
        )  # fmt: skip
        own = _neighbours(days, days[i], left)
        if [math.isfinite(side) for side in own] == [math.isfinite(side) for side in sides]:
            found[i] = left, _reach(*own)
    return found
