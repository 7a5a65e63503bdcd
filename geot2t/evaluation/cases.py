"""What is hidden of a series: cases whose truth is known. Equal seeds give equal cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.clouds import CloudShapes
from geot2t.grid import Box, lattice

Bool = NDArray[np.bool_]

SHARES = {"cloud": (0.05, 0.6), "overcast": (0.8, 0.97)}
"""Kinds of cases with a gap in the shape of a cloud: least and greatest share of the place that it
hides."""

KINDS = (*SHARES, "missing", "consecutive", "first", "last")
"""All kinds; the others hide a date whole; a date and its neighbours; the first date; the last."""

LIBRARY = "library"
"""Origin of a cloud that ships with geot2t."""

CLEAR = 0.95
"""Share of the place that a date must show to serve as truth."""

LEAST, FEW = 0.5, 3
"""Where no date is that clear, the clearest `FEW` serve that show at least `LEAST`."""

FEWEST = 16
"""Scored pixels that a case needs."""

_SPECKLE = 2  # px; smaller spots of a quality raster are bright roofs and fields, not clouds
_SHOWN = 0.05  # share that a date must show to count as a neighbour in time
_TRIES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of a scene, and where each date of the series showed it."""

    box: Box
    """Where it lies."""

    valid: Bool
    """True where the ground was observed, shape ``(t, y, x)``."""

    truths: tuple[int, ...]
    """Dates that are clear enough to serve as truth, in order of time."""

    margin: float
    """Pixels that scored ones stay away from what the date itself did not show."""

    @classmethod
    def of(cls, box: Box, valid: Bool, targets: Sequence[int], margin: float) -> Crop:
        """A crop whose truths are the clear ones among ``targets``."""
        share = {i: float(valid[i].mean()) for i in targets}
        clear = [i for i in targets if share[i] > CLEAR]
        best = sorted((i for i in targets if share[i] >= LEAST), key=lambda i: -share[i])[:FEW]
        return cls(box, valid, tuple(clear or sorted(best)), margin)

    def trusted(self, date: int) -> Bool:
        """Observed pixels of a date that lie more than the margin from those that were not."""
        seen: Bool = self.valid[date]
        if not seen.all():
            seen = ndimage.distance_transform_edt(seen) > self.margin
        return seen


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A date of which something is hidden, and what of it is scored."""

    kind: str
    """One of `KINDS`."""

    box: Box
    """The part of the scene that is looked at."""

    target: int
    """Index in time of the date."""

    hidden: Bool
    """True where the methods see nothing of the date, shape ``(y, x)``."""

    scored: Bool
    """The hidden pixels that are scored, ``(y, x)``."""

    without: tuple[int, ...] = ()
    """Other dates that the methods do not see at all."""

    origin: str = ""
    """Where the shape of the gap comes from."""


def crop_boxes(extent: Box, side: int, seed: int) -> list[Box]:
    """The whole scene, or crops of it in random order where it is longer or wider than ``side``."""
    boxes = list(lattice(extent, extent, size=side, overlap=0))
    rng = np.random.default_rng([seed, len(boxes)])
    return [boxes[i] for i in rng.permutation(len(boxes))]


def cloud_cases(
    crop: Crop, labels: Sequence[str], count: int, rng: np.random.Generator, kind: str = "cloud"
) -> list[Case]:
    """Clear dates in random order, each under another cloud.

    The gaps of the series, mirrored and shifted, and clouds of the library take turns.

    Parameters
    ----------
    crop : Crop
    labels : sequence of str
        Names of the dates, to say where a cloud is from.
    count : int
    rng : Generator
    kind : str
        One of `SHARES`.
    """
    share = SHARES[kind]
    own = [
        (label, ndimage.binary_opening(~seen, iterations=_SPECKLE))
        for label, seen in zip(labels, crop.valid, strict=True)
    ]
    own = [(label, cloud) for label, cloud in own if share[0] < cloud.mean() < CLEAR]
    library = CloudShapes.load()
    cases = []
    for i, target in enumerate(_in_turn(crop.truths, count, rng)):
        for _ in range(_TRIES):
            moved = _moved(own, share, rng) if own and i % 2 == 0 else None
            if moved is None:
                moved = LIBRARY, library.sample(rng, crop.box.height, crop.box.width, share=share)
            if (case := _case(kind, crop, target, moved[1], origin=moved[0])) is not None:
                cases.append(case)
                break
    return cases


def gap_cases(
    crop: Crop, gaps: Sequence[tuple[str, Bool]], count: int, rng: np.random.Generator
) -> list[Case]:
    """Clear dates under given gaps, each as it lies; fewer where the pairs are fewer."""
    pairs = [(target, *gap) for target in crop.truths for gap in gaps]
    drawn = (pairs[i] for i in rng.permutation(len(pairs)))
    found = (_case("cloud", crop, target, gap, origin=name) for target, name, gap in drawn)
    return [case for case in found if case is not None][:count]


def date_cases(crop: Crop, kind: str, count: int) -> list[Case]:
    """Clear dates, evenly spread, hidden whole; one only where ``kind`` is first or last.

    With ``consecutive`` the nearest dates before and after that show something are taken away
    too, and all between; with ``first`` and ``last`` all that lies beyond.
    """
    count_of_dates = len(crop.valid)
    shown = [i for i in range(count_of_dates) if crop.valid[i].mean() >= _SHOWN]
    picks: dict[int, range]
    if kind == "first":
        picks = {i: range(i) for i in crop.truths[:1]}
    elif kind == "last":
        picks = {i: range(i + 1, count_of_dates) for i in crop.truths[-1:]}
    else:
        inside = [i for i in crop.truths if shown and shown[0] < i < shown[-1]]
        even = np.linspace(0, len(inside) - 1, min(count, len(inside))).round().astype(int)
        picks = {inside[k]: range(0) for k in np.unique(even)}
        if kind == "consecutive":
            picks = {i: _with_neighbours(i, shown) for i in picks}
    found = []
    for target, away in picks.items():
        without = tuple(i for i in away if i != target)
        left = [i for i in shown if i != target and i not in without]
        case = _case(kind, crop, target, np.ones(crop.valid.shape[1:], bool), without)
        if left and case is not None:
            found.append(case)
    return found[:count]


def _with_neighbours(date: int, shown: Sequence[int]) -> range:
    """From the nearest of ``shown`` before a date to the nearest after it."""
    return range(max(i for i in shown if i < date), min(i for i in shown if i > date) + 1)


def _case(
    kind: str,
    crop: Crop,
    target: int,
    hidden: Bool,
    without: tuple[int, ...] = (),
    origin: str = "",
) -> Case | None:
    """A case, or None if too little of what it hides is known."""
    scored = hidden & crop.trusted(target)
    if scored.sum() < FEWEST:
        return None
    return Case(kind, crop.box, target, hidden, scored, without, origin)


def _in_turn(dates: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """``count`` dates in random order, none a second time before all have had their turn."""
    order: list[int] = []
    while dates and len(order) < count:
        order += rng.permutation(dates).tolist()
    return order[:count]


def _moved(
    own: Sequence[tuple[str, Bool]], share: tuple[float, float], rng: np.random.Generator
) -> tuple[str, Bool] | None:
    """One of the series' gaps, mirrored and shifted; None if none hides a fair share."""
    for _ in range(_TRIES):
        label, cloud = own[int(rng.integers(len(own)))]
        cloud = cloud[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        shift = [int(rng.integers(-n // 2, n // 2 + 1)) for n in cloud.shape]
        cloud = ndimage.shift(cloud.astype("uint8"), shift, order=0, mode="constant") > 0
        if share[0] < cloud.mean() < share[1]:
            return label, cloud
    return None
