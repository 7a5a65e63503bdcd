"""What a pair of dates teaches before it is compared: relation, clouds, methods, threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from geot2t.difference.clearing import (
    SHADOW_METRES,
    Cleared,
    Dates,
    Looks,
    Test,
    find_shift,
)
from geot2t.difference.hidden import NoEvent, Pair
from geot2t.difference.null import Case, Null, false_alarms, learn_null
from geot2t.difference.relation import relate
from geot2t.errors import InputError
from geot2t.fill import Block, Estimates, Source
from geot2t.grid import Box, lattice
from geot2t.survey import Survey

WINDOWS = 16
"""Windows that teach at most."""

_SCANNED = 48
_TRIED = 4  # windows on which methods are compared
_TILE = 64  # side of the tiles of which every second is held out
_LOOKED = 9  # boxes in which clouds and their shadows are looked for
_SIDE = 512


@dataclass(frozen=True, slots=True)
class Learnt:
    """All that a comparison needs besides the pixels."""

    predict: NoEvent
    """The date after the event, had there been none."""

    null: Null
    """What is usual where nothing happened."""

    measured: float | None
    """Share of unchanged pixels found changed in tiles that were held out; None if unknown."""

    held_out: int
    """Pixels in those tiles."""

    errors: dict[str, tuple[float, ...]]
    """Median absolute error of each method in each band, in physical units."""


def find_clouds(
    dates: Dates, survey: Survey, pair: Pair, looks: Looks | None, metres: float
) -> Cleared:
    """The dates without the clouds that comparison finds, and what was learnt for it.

    Parameters
    ----------
    dates : Dates
    survey : Survey
        Pixels from all over the scene.
    pair : Pair
    looks : Looks, optional
        None if clouds cannot be told by the bands there are.
    metres : float
        Side of a pixel.
    """
    if looks is None:
        return Cleared(dates, pair)
    seen = survey.valid[pair.before] & survey.valid[pair.after]
    before, after = (survey.pixels[i][:, seen] for i in (pair.before, pair.after))
    tests = [
        Test(looks, relate(before, after), metres),
        Test(looks, relate(after, before), metres),
    ]
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for box in _looked_at(dates.extent):
        read = [dates.read_date(i, box) for i in (pair.before, pair.after)]
        both = read[0][1] & read[1][1]
        for test, (own, _), (other, _), cases in zip(tests, read, read[::-1], found, strict=True):
            clouds = test.clouds(own, other, both)
            cases.append((clouds, test.dark(own, other, both)))
    reach = min(ceil(SHADOW_METRES / metres), 256, min(dates.extent.height, dates.extent.width))
    least = max(ceil(5000 / metres**2), 10)
    shifts = [find_shift(cases, reach, least) for cases in found]
    return Cleared(dates, pair, [replace(t, shift=s) for t, s in zip(tests, shifts, strict=True)])


def _looked_at(extent: Box) -> list[Box]:
    boxes = list(lattice(extent, extent, size=_SIDE, overlap=0))
    return boxes if len(boxes) <= _LOOKED else boxes[:: ceil(len(boxes) / _LOOKED)]


def learn(
    source: Source,
    survey: Survey,
    estimates: Estimates,
    pair: Pair,
    *,
    false_alarm: float,
    least: int,
    size: int,
    overlap: int,
    seed: int,
    use: str | None = None,
) -> Learnt:
    """Choose methods, and calibrate what counts as change.

    Parameters
    ----------
    source : Source
        The stack; its target is the date after the event.
    survey : Survey
        Of the same source.
    estimates : Estimates
    pair : Pair
    false_alarm, least
        See `learn_null`.
    size, overlap : int
        Model window and the part that neighbours share.
    seed : int
        Of the choice of windows.
    use : str, optional
        Method for all bands.

    Raises
    ------
    InputError
        If too few pixels were observed on both dates.
    """
    seen = survey.valid[pair.before] & survey.valid[pair.after]
    relation = relate(survey.pixels[pair.after][:, seen], survey.pixels[pair.before][:, seen])
    bands = survey.pixels.shape[1]
    boxes = _windows(source, pair, size=size, overlap=overlap, seed=seed)
    wanted = estimates.methods if use is None else (use,)
    every = NoEvent(estimates, wanted, relation, pair)
    tried = [_tried(every, source.read(box), pair, wanted) for box in boxes[:_TRIED]]
    errors = {
        m: tuple(
            float(np.median(np.abs(np.concatenate([t[m][0][b] for t in tried]))))
            for b in range(bands)
        )
        for m in wanted
    }
    # The first method where several do equally well.
    methods = [min(wanted, key=lambda m, b=b: errors[m][b]) for b in range(bands)]  # type: ignore[misc]
    predict = NoEvent(estimates, methods, relation, pair)
    cases = [_of(t, methods) for t in tried]
    cases += [_case(predict, source.read(box), pair) for box in boxes[_TRIED:]]
    null = learn_null(cases, false_alarm, least)
    measured, held_out = _held_out(cases, false_alarm, least)
    return Learnt(predict, null, measured, held_out, errors)
