"""What all methods made of one case, one after the other; no more than one fill is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.evaluation.cases import Case
from geot2t.evaluation.fills import Fill
from geot2t.evaluation.pictures import Studio
from geot2t.evaluation.scoring import Tally, Truth, Units, by_band, scores, tally
from geot2t.evaluation.shown import held
from geot2t.evaluation.summary import Outcome
from geot2t.io import Stack
from geot2t.report import Picture
from geot2t.report.scores import KINDS
from geot2t.said import band_names

MOST_PICTURES = 6
"""Fills that are pictured: those with the least error."""


class Judge:
    """Score the fills of a case.

    Parameters
    ----------
    stack : Stack
        The series.
    case : Case
    number : int
        Of the case.
    units : Units
    seed : int
        Of the choice of dates in a long series.

    Attributes
    ----------
    held : Held
        What the methods may see.
    """

    def __init__(self, stack: Stack, case: Case, number: int, units: Units, *, seed: int) -> None:
        self.held = held(stack, case, seed=seed)
        self._truth = Truth.of(stack, case, self.held, units)
        self._studio = Studio(self._truth, stack.wavelengths)
        self._names = band_names(stack.names)
        self._tallies: dict[str, Tally] = {}
        self._shown: dict[str, NDArray[np.uint8]] = {}
        dates = [None if day is None else day.isoformat() for day in stack.dates]
        self._row: dict[str, Any] = {
            "id": number,
            "kind": case.kind,
            "date": dates[case.target] or stack.paths[case.target].name,
            "without": [dates[i] for i in case.without],
            "box": [case.box.row, case.box.col, case.box.height, case.box.width],
            "gap": float(case.hidden.mean()),
            "cloud": case.origin or None,
            "observed": float(self._truth.seen.mean()),
            "pixels": int(case.scored.sum()),
            "scores": {},
            "by_band": {},
        }

    def take(self, fill: Fill) -> None:
        """Score a fill."""
        self._row["scores"][fill.method] = scores(fill, self._truth)
        self._row["by_band"][fill.method] = by_band(fill, self._truth, self._names)
        self._tallies[fill.method] = tally(fill, self._truth)
        self._shown[fill.method] = self._studio.fill(fill.pixels)
        if fill.check is not None:
            self._row["chosen"] = list(fill.check.methods)
            self._row["self_check"] = fill.check.reason

    def outcome(self) -> Outcome:
        """The case and all that was taken."""
        return Outcome(self._row, self._tallies)

    def picture(self) -> Picture:
        """The case and the best of its fills, to look at."""
        row = self._row
        best = sorted(self._shown, key=lambda method: row["scores"][method]["mae"])
        what = f"shape from {row['cloud']}" if row["cloud"] else KINDS.get(row["kind"], row["kind"])
        return Picture(
            row["id"],
            f"{row['date']}, {what}",
            self._studio.scene(),
            self._studio.truth(),
            {method: self._shown[method] for method in best[:MOST_PICTURES]},
        )
