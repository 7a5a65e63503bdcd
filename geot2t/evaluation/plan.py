"""Which cases a series gives: where, on which dates, and under which gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geot2t.errors import InputError
from geot2t.evaluation.cases import (
    CLEAR,
    LEAST,
    SHARES,
    Bool,
    Case,
    Crop,
    cloud_cases,
    crop_boxes,
    date_cases,
    gap_cases,
)
from geot2t.grid import Box
from geot2t.io import Stack
from geot2t.io.series import gaps_in

REAL = "real"
"""Gaps of the series itself and clouds of the library, in turn."""

CROPS, LOOKED_AT = 4, 16
"""Crops of a large scene that are used at most, and that are looked at to find them."""

FEWER = 3
"""For so many cases with a cloud there is one of each kind with whole dates."""


def plan(
    stack: Stack,
    *,
    gaps: str | Path,
    kinds: Sequence[str],
    cases: int,
    margin: float,
    crop: int,
    seed: int,
) -> tuple[list[Case], list[str]]:
    """Draw the cases of a series; parameters as for `geot2t.evaluate`.

    Returns
    -------
    list of Case, list of str
        By kind, and what should be said of them.

    Raises
    ------
    InputError
        If no case can be drawn.
    """
    given = str(gaps) != REAL
    if given and not (kinds := [kind for kind in kinds if kind != "overcast"]):
        raise InputError("given gaps are as large as they are; leave the kind overcast out")
    notes: list[str] = []
    crops = _crops(stack, crop, margin, seed, notes)
    shapes = _given(Path(gaps), stack, crops) if given else []
    labels = [str(day or path.name) for day, path in zip(stack.dates, stack.paths, strict=True)]
    found: list[Case] = []
    for kind in kinds:
        rng = np.random.default_rng(seed)
        wanted = cases if kind == "cloud" else -(-cases // FEWER)
        drawn: list[Case] = []
        for i, place in enumerate(crops):
            count = wanted // len(crops) + (i < wanted % len(crops))
            if kind not in SHARES:
                drawn += date_cases(place, kind, count)
            elif given:
                drawn += gap_cases(place, shapes[i], count, rng)
            else:
                drawn += cloud_cases(place, labels, count, rng, kind)
        if not drawn:
            notes.append(f"the series gives no case of the kind {kind!r}")
        found += drawn
    if not found:
        raise InputError(
            "nothing can be hidden whose truth is known: too few dates, or too little observed of "
            "them"
        )
    return found, notes


def _given(path: Path, stack: Stack, crops: Sequence[Crop]) -> list[list[tuple[str, Bool]]]:
    """Names and shapes of the gaps of a raster, in each crop."""
    with gaps_in(path, stack) as rasters:
        names = [f"{path.name} band {j}" for j in range(1, len(rasters) + 1)]
        if len(names) == 1:
            names = [path.name]
        return [
            [(name, r.read(place.box)[0]) for name, r in zip(names, rasters, strict=True)]
            for place in crops
        ]


def _crops(stack: Stack, side: int, margin: float, seed: int, notes: list[str]) -> list[Crop]:
    """The parts of the scene in which a date can serve as truth."""
    boxes = crop_boxes(stack.extent, side, seed)
    crops: list[Crop] = []
    for box in boxes[:LOOKED_AT]:
        place = Crop.of(box, _valid(stack, box), stack.targets, margin)
        if place.truths:
            crops.append(place)
        if len(crops) == CROPS:
            break
    if not crops:
        raise InputError(
            f"no date shows {100 * LEAST:g} % of the place, so that none can serve as truth"
        )
    if len(boxes) > 1:
        notes.append(f"the scene is large: {len(crops)} crops of {side} px stand for it")
    if any(place.valid[i].mean() <= CLEAR for place in crops for i in place.truths):
        notes.append(f"no date shows {100 * CLEAR:g} % of the place: the clearest serve as truth")
    return crops


def _valid(stack: Stack, box: Box) -> Bool:
    """Where each date observed the ground, ``(t, y, x)``; one date after the other is read."""
    return np.stack([stack.read_date(i, box)[1] for i in range(len(stack.days))])
