"""Clouds and shadows that nothing marks, found by comparing two dates of one place.

A cloud is brighter than the ground was on the other date, in all visible bands alike and in the
infrared as well; what burnt, was built or dried up is not all of that over a hectare. Its shadow
is dark in all bands and lies where all shadows of the scene lie from their clouds, which burnt
ground does not. Cores with soft edges grow as in Fmask (Zhu & Woodcock 2012,
doi:10.1016/j.rse.2011.10.028).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import ndimage, signal

from geot2t.clouds import dilate
from geot2t.difference.hidden import Bool, Pair
from geot2t.difference.relation import Relation
from geot2t.fill import Block, Float, Source
from geot2t.grid import Box
from geot2t.sensors import band_at

CORE, EDGE = 0.05, 0.02
"""Reflectance that a cloud adds to each visible band in its core and at its edge."""

BRIGHT = 0.1
"""Reflectance that a cloud has in each visible band at least."""

SHADE = 0.8
"""Share of the infrared light that is left at most in a shadow."""

CORE_METRES = 70.0
"""Side of the square that half consists of core."""

EDGE_METRES, SOFT_METRES = 240.0, 60.0
"""How far an edge reaches from its core, and what is added around all of it."""

SHADOW_METRES = 2500.0
"""Greatest distance of a shadow from its cloud."""

_ALONG = (0.6, 0.8, 1.0, 1.25, 1.5)  # clouds of one scene are not all equally high
_MATCHED = 0.25


@dataclass(frozen=True, slots=True)
class Looks:
    """Which bands a cloud is told by."""

    visible: tuple[int, int, int]
    """Blue, green and red."""

    infrared: tuple[int, ...]
    """Near and, where there are some, short-wave infrared."""

    reflectance: float
    """What pixels are multiplied by to be reflectance."""


def looks_of(wavelengths: Sequence[float], reflectance: float) -> Looks | None:
    """The bands to look at; None where colour or infrared are not known.

    Parameters
    ----------
    wavelengths : sequence of float
        Micrometres, NaN where unknown.
    reflectance : float
        What pixels are multiplied by to be reflectance; NaN if they are none.
    """
    blue, green, red = (band_at(wavelengths, at, 0.04) for at in (0.485, 0.56, 0.66))
    infrared = [band_at(wavelengths, at, 0.06) for at in (0.85, 1.61, 2.2)]
    if not np.isfinite(reflectance):
        return None
    if blue is None or green is None or red is None or infrared[0] is None:
        return None
    return Looks((blue, green, red), tuple(i for i in infrared if i is not None), reflectance)


@dataclass(frozen=True, slots=True)
class Test:
    """Clouds of one date, by comparison with another."""

    looks: Looks
    relation: Relation
    """Of the date to the other one."""

    metres: float
    """Side of a pixel."""

    shift: tuple[int, int] | None = None
    """Rows and columns from a cloud to its shadow, where shadows were found."""

    @property
    def margin(self) -> int:
        """Pixels around a box that decide on those in it."""
        reach = 0.0 if self.shift is None else _ALONG[-1] * math.hypot(*self.shift)
        return math.ceil(reach) + sum(map(self._px, (CORE_METRES, EDGE_METRES, 3 * SOFT_METRES)))

    def _px(self, metres: float) -> int:
        return max(round(metres / self.metres), 1)

    def clouds(self, date: Float, other: Float, valid: Bool) -> Bool:
        """True where ``date (band, y, x)`` shows a cloud that ``other`` does not, ``(y, x)``."""
        looks = self.looks
        added = (date - self.relation.expected(other)) * looks.reflectance
        seen = added[list(looks.visible)]
        least = seen.min(0)
        own = date[list(looks.visible)]
        # Snow darkens the short-wave infrared, and what was built or dried is rather red. Over
        # water, which is blue itself, a cloud adds less blue than red.
        flat = (seen[0] >= 0.9 * seen[2]) | ((own[0] >= own[2]) & (seen[0] >= 0.75 * seen[2]))
        warm = (added[list(looks.infrared[1:])] > -0.01).all(0)
        bright = (own * looks.reflectance).min(0) > BRIGHT
        core = valid & warm & bright & flat & (least > CORE) & (least >= 0.5 * seen.max(0))
        side = self._px(CORE_METRES) | 1
        core &= ndimage.uniform_filter(core.astype("float32"), side, mode="constant") > 0.5
        edge = valid & warm & (least > EDGE) & (seen[0] >= 0.7 * seen[2])
        found = core | (dilate(core, self._px(EDGE_METRES)) & edge)
        return dilate(found, self._px(SOFT_METRES))

    def dark(self, date: Float, other: Float, valid: Bool) -> Bool:
        """True where ``date`` is darker than ``other`` as in a shadow, ``(y, x)``."""
        looks, expected = self.looks, self.relation.expected(other)
        infrared = list(looks.infrared)
        least = 0.01 / looks.reflectance
        left = date[infrared] / np.maximum(expected[infrared], least)
        lit = expected[infrared[0]] * looks.reflectance > 0.08
        added = (date - expected)[list(looks.visible)] * looks.reflectance
        return np.asarray(valid & lit & (left.max(0) < SHADE) & (added.max(0) < 0.005))

    def shadows(self, clouds: Bool, dark: Bool, away: Bool) -> Bool:
        """True in the shadows of ``clouds``, and of clouds where ``away`` says none can be seen.

        Parameters
        ----------
        clouds, dark : ndarray of bool, shape ``(y, x)``
            See there.
        away : ndarray of bool, shape ``(y, x)``
            True outside the scene and where it was not observed.
        """
        if self.shift is None:
            return np.zeros_like(clouds)
        near = self._px(SOFT_METRES)
        under = np.zeros_like(clouds)
        for factor in _ALONG:
            rows, cols = (round(factor * d) for d in self.shift)
            under |= _moved(clouds | away, rows, cols)
        certain = _moved(clouds, *self.shift)
        return dilate(certain | (dilate(under, 2 * near) & dark), near) & ~clouds


def _moved(pixels: Bool, rows: int, cols: int) -> Bool:
    """``pixels`` shifted down and to the right; False where they leave."""
    return np.asarray(ndimage.shift(pixels.astype("uint8"), (rows, cols), order=0) > 0)


def find_shift(
    cases: Sequence[tuple[Bool, Bool]], reach: int, least: int = 10
) -> tuple[int, int] | None:
    """The shift from clouds to shadows that most of them share.

    Parameters
    ----------
    cases : sequence of tuple
        Clouds and what is dark, each ``(y, x)``, of parts of the scene.
    reach : int
        Greatest distance in pixels.
    least : int
        Cloudy pixels without which no shift is looked for.

    Returns
    -------
    tuple of int, or None
        Rows and columns; None if no shift stands out.
    """
    side = 2 * reach + 1
    hits, total = np.zeros((side, side)), 0
    for clouds, dark in cases:
        if not clouds.any():
            continue
        total += int(clouds.sum())
        wide = np.pad(dark.astype("float32"), reach)
        hits += signal.fftconvolve(wide, clouds[::-1, ::-1].astype("float32"), "valid")
    away = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    if total < least:
        return None
    ring = (away <= reach) & (away >= 2)
    best = np.where(ring, hits, -1)
    row, col = np.unravel_index(best.argmax(), best.shape)
    if best[row, col] < max(_MATCHED * total, 2 * hits[ring].mean()):
        return None
    return int(row) - reach, int(col) - reach


class Dates(Source, Protocol):
    """A source that reads single dates."""

    def read_date(self, index: int, box: Box) -> tuple[Float, Bool]:
        """Pixels ``(band, y, x)`` and validity ``(y, x)`` of one date."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What comparison finds in a box of one date."""

    clouds: Bool
    shadows: Bool

    @property
    def hidden(self) -> Bool:
        """Either."""
        return np.asarray(self.clouds | self.shadows)


class Cleared:
    """A source in which clouds and shadows found by comparison count as not observed.

    Parameters
    ----------
    dates : Dates
    pair : Pair
    tests : sequence of Test
        For the date before and the date after; empty if no test can be made.
    """

    def __init__(self, dates: Dates, pair: Pair, tests: Sequence[Test] = ()) -> None:
        self._dates, self._pair, self.tests = dates, pair, tuple(tests)
        self.extent, self.target = dates.extent, dates.target

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates."""
        block = self._dates.read(box)
        if not self.tests:
            return block
        valid = block.valid.copy()
        for index, found in zip((self._pair.before, self._pair.after), self.found(box),
                                strict=True):  # fmt: skip
            valid[index] &= ~found.hidden
        return replace(block, pixels=block.pixels * valid[:, None], valid=valid)

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Pixels ``(band, y, x)`` and valid ``(y, x)`` of the target date in ``box``."""
        block = self.read(box)
        return block.pixels[self.target], block.valid[self.target]

    def found(self, box: Box) -> tuple[Found, Found]:
        """What comparison finds in ``box``, before and after; the same however it is cut."""
        if not self.tests:
            nothing = np.zeros((box.height, box.width), bool)
            return Found(nothing, nothing), Found(nothing, nothing)
        margin = max(test.margin for test in self.tests)
        # What lies outside the scene is not valid there, which is where clouds may be unseen.
        wide = Box(box.row - margin, box.col - margin,
                   box.height + 2 * margin, box.width + 2 * margin)  # fmt: skip
        dates = [self._dates.read_date(i, wide) for i in (self._pair.before, self._pair.after)]
        both = dates[0][1] & dates[1][1]
        cut, out = box.within(wide), []
        for test, (own, seen), (other, _) in zip(self.tests, dates, dates[::-1], strict=True):
            clouds = test.clouds(own, other, both)
            shadows = np.zeros_like(clouds)
            if test.shift is not None:
                shadows = test.shadows(clouds, test.dark(own, other, both), ~seen)
            out.append(Found(clouds[cut], shadows[cut]))
        return out[0], out[1]
