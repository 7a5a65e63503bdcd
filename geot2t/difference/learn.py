"""What a pair of dates teaches before it is compared: relation, clouds, methods, threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from geot2t.difference.hidden import Bool, NoEvent, Pair
from geot2t.difference.null import Case, Null, false_alarms, learn_null
from geot2t.difference.relation import relate
from geot2t.errors import InputError
from geot2t.fill import Block, Estimates, Float, Source
from geot2t.grid import Box, lattice
from geot2t.survey import Survey

WINDOWS = 16
"""Windows that teach at most."""

_SCANNED = 48
_TRIED = 2  # windows on which methods are compared
_WORTH = 0.97  # error of the network over that of the prior from which it is worth its time
_TILE = 32  # side of the tiles of which every second is held out
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
    found: list[list[tuple[Bool, Bool]]] = [[], []]
    for box in _looked_at(dates.extent):
        read = [dates.read_date(i, box) for i in (pair.before, pair.after)]
        both = read[0][1] & read[1][1]
        for test, (own, _), (other, _), cases in zip(tests, read, read[::-1], found, strict=True):
            clouds = test.clouds(own, other, both)
            cases.append((clouds, test.dark(own, other, both)))
    reach = min(ceil(SHADOW_METRES / metres), 256, dates.extent.height, dates.extent.width)
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
    boxes = _windows(source, pair, size=size, overlap=overlap, seed=seed)
    wanted = estimates.methods if use is None else (use,)
    every = NoEvent(estimates, wanted, relation, pair)
    tried: list[dict[str, _Tried]] = []
    for box in boxes[:_TRIED]:
        block = source.read(box)
        tried.append(_compared(every, block, pair))
    errors = {m: _median_errors([t[m] for t in tried]) for m in wanted}
    bands = range(survey.pixels.shape[1])
    methods = [min(wanted, key=lambda m: _cost(m, errors[m][b])) for b in bands]
    predict = NoEvent(estimates, methods, relation, pair)
    cases = [_case(t, methods) for t in tried]
    cases += [_case(_compared(predict, source.read(b), pair), methods) for b in boxes[_TRIED:]]
    null = learn_null(cases, false_alarm, least)
    measured, held_out = _held_out(cases, false_alarm, least)
    return Learnt(predict, null, measured, held_out, errors)


def _cost(method: str, error: float) -> float:
    """Error of a method; the network, five times as slow as the prior, must earn that."""
    return error / _WORTH if method == "network" else error


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one method made of one window."""

    error: Float  # (band, y, x), measured minus predicted
    scale: Float  # (band, y, x)
    valid: Bool  # (y, x)
    changed: Bool  # (y, x), at first sight


def _compared(predict: NoEvent, block: Block, pair: Pair) -> dict[str, _Tried]:
    """What each method of ``predict`` makes of a window."""
    measured, valid = block.pixels[pair.after], block.valid[pair.after] & block.valid[pair.before]
    changed = predict.changed(block.pixels, block.valid)
    return {
        m: _Tried(measured - said.mean[0], said.scale[0], valid, changed)
        for m, said in predict.all(block).items()
    }


def _median_errors(tried: Sequence[_Tried]) -> tuple[float, ...]:
    """Median absolute error of each band; robust against what changed."""
    errors = np.concatenate([t.error[:, t.valid & ~t.changed] for t in tried], 1)
    if not errors.shape[1]:
        return (0.0,) * len(errors)
    return tuple(float(e) for e in np.median(np.abs(errors), 1))


def _case(tried: Mapping[str, _Tried], methods: Sequence[str]) -> Case:
    scores = np.stack([tried[m].error[b] / tried[m].scale[b] for b, m in enumerate(methods)])
    one = tried[methods[0]]
    return Case(np.where(one.valid, scores, 0).astype("float32"), one.valid, one.changed)


def _windows(source: Source, pair: Pair, *, size: int, overlap: int, seed: int) -> list[Box]:
    """Windows that both dates saw most of, in a random order."""
    rng = np.random.default_rng(seed)
    windows = list(lattice(source.extent, source.extent, size=size, overlap=overlap))
    if len(windows) > WINDOWS:
        windows = [windows[i] for i in rng.choice(len(windows), min(_SCANNED, len(windows)), False)]
        share = []
        for window in windows:
            valid = source.read(window).valid
            share.append(float((valid[pair.before] & valid[pair.after]).mean()))
        # Clear enough will do: the clearest ones alone might be all of one kind of ground.
        clear = [w for w, s in zip(windows, share, strict=True) if s > 0.5 * max(share)]
        windows = clear[:WINDOWS]
    return windows


def _held_out(cases: Sequence[Case], false_alarm: float, least: int) -> tuple[float | None, int]:
    """False alarms in every second tile of the windows, learnt from the tiles between them."""
    found = total = 0
    for half in (0, 1):
        inside, outside = ([_tiles(c, half == k) for c in cases] for k in (0, 1))
        try:
            null = learn_null(inside, false_alarm, least)
        except InputError:  # too few pixels in half of the tiles
            return None, 0
        alarms, pixels = false_alarms(null, outside, least)
        found, total = found + alarms, total + pixels
    return (found / total, total) if total else (None, 0)


def _tiles(case: Case, odd: bool) -> Case:
    row, col = (np.arange(n) // _TILE for n in case.valid.shape)
    valid = case.valid & ((row[:, None] + col[None]) % 2 == int(odd))
    return Case(case.scores, valid, case.changed)
