"""What becomes of what the self-check hides: the errors of every method, case by case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geot2t.blind import HiddenDate
from geot2t.fill import Block, Estimates, Float, Source, beside, threads_of
from geot2t.hidden import HiddenPixels
from geot2t.intervals import likeness
from geot2t.pipeline import abreast

MOST = 8192
"""Hidden pixels of a case that are kept."""

Bool = NDArray[np.bool_]

Case = HiddenPixels | HiddenDate

Outcomes = dict[Any, "dict[str, Outcome]"]
"""What became of dates that were hidden, by `HiddenDate.key`, for each method."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Errors of one method in one case, at up to `MOST` hidden pixels."""

    error: Float  # (band, n)
    scale: Float  # (band, n)
    away: Float  # (n,), pixels to the nearest observed one
    lone: Bool  # (n,), True where no other date was used
    alike: NDArray[np.float64]  # (band, lag), see `geot2t.intervals.likeness`


def evaluate_all(
    found: Sequence[Case], source: Source, estimates: Estimates, known: Outcomes | None = None
) -> list[dict[str, Outcome]]:
    """Predict what each case hides by every method; only its box is read, unless it is known.

    Cases are computed side by side where the estimates have more than one of ``threads``.
    """
    known = {} if known is None else known

    def read(case: Case) -> tuple[Case, Block | None]:
        there = isinstance(case, HiddenDate) and case.key in known
        return case, None if there else source.read(case.box)

    def work(item: tuple[Case, Block | None]) -> dict[str, Outcome]:
        case, block = item
        if block is not None:
            return _evaluate(case, block, source.target, estimates)
        assert isinstance(case, HiddenDate)  # noqa: S101  no other kind is known
        return known[case.key]

    outcomes = list(abreast(work, map(read, found), threads_of(estimates)))
    for case, outcome in zip(found, outcomes, strict=True):
        if isinstance(case, HiddenDate):
            known[case.key] = outcome
    return outcomes


def _evaluate(case: Case, block: Block, target: int, estimates: Estimates) -> dict[str, Outcome]:
    shown, at_date = case.shown(block, target)
    out = estimates(
        shown.pixels[None],
        shown.valid[None],
        shown.days,
        at_date,
        estimates.methods,
        **beside([shown]),
    )
    at = sampled(case)
    whole = case.truth(block, target)
    truth = whole.reshape(len(whole), -1)[:, at]
    away = distances(shown.valid[at_date])
    return {
        method: Outcome(
            error=said.mean[0].reshape(truth.shape[0], -1)[:, at] - truth,
            scale=said.scale[0].reshape(truth.shape[0], -1)[:, at],
            away=away.ravel()[at],
            lone=np.isinf(said.days[0]).ravel()[at],
            alike=likeness(said.mean[0] - whole, said.scale[0], case.hidden),
        )
        for method, said in out.items()
    }


def sampled(case: Case) -> NDArray[np.intp]:
    """Flat indices of hidden pixels; thinned evenly where they are many."""
    at = np.flatnonzero(case.hidden)
    return at[:: math.ceil(at.size / MOST)]


def distances(seen: Bool) -> Float:
    """Distance in pixels to the nearest observed pixel of the window."""
    if not seen.any():
        return np.full(seen.shape, np.inf, "float32")
    return np.asarray(distance_transform_edt(~seen), "float32")
