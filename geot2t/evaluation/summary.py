"""All cases summed up, as ``geot2t-evaluation/1`` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import metrics
from geot2t.evaluation.cases import KINDS
from geot2t.evaluation.scoring import BUCKETS, LEVELS, Tally

_OTHERS = ("linear", "prior")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What all methods made of a case."""

    row: dict[str, Any]
    """The case and its scores, as in the results."""

    tallies: Mapping[str, Tally]
    """Sums for each method."""


def summed_up(outcomes: Sequence[Outcome], methods: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Means, ratios and shares over cases, and errors by what pixels are sorted by.

    Parameters
    ----------
    outcomes : sequence of Outcome
        At least one.
    methods : sequence of str
        All that were measured.
    seed : int
        Of the resampling.

    Returns
    -------
    dict
        ``methods``, the best first; ``cases``; ``summary`` for each kind of case; ``by`` and
        ``calibration``, over all values of the first kind there is.
    """
    there = {outcome.row["kind"] for outcome in outcomes}
    kinds = [kind for kind in KINDS if kind in there]
    first = [outcome for outcome in outcomes if outcome.row["kind"] == kinds[0]]
    summary = {
        kind: _summary([o.row for o in outcomes if o.row["kind"] == kind], methods, seed)
        for kind in kinds
    }
    ranked = sorted(methods, key=lambda m: summary[kinds[0]][m]["mae"]["mean"])
    total = {m: sum((o.tallies[m] for o in first[1:]), first[0].tallies[m]) for m in methods}
    return {
        "methods": ranked,
        "cases": [outcome.row for outcome in outcomes],
        "summary": summary,
        "by": {key: _buckets(key, total) for key in BUCKETS},
        "calibration": {
            m: {"nominal": list(LEVELS), "measured": (t.held / t.values).tolist()}
            for m, t in total.items()
        },
    }


def _summary(
    rows: Sequence[Mapping[str, Any]], methods: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Of the cases of one kind."""
    mae = {m: np.array([row["scores"][m]["mae"] for row in rows]) for m in methods}
    wins = metrics.win_shares(np.stack([mae[m] for m in methods], 1))
    summary: dict[str, dict[str, Any]] = {}
    for method, won in zip(methods, wins.tolist(), strict=True):
        keys = rows[0]["scores"][method]
        columns = {k: [row["scores"][method][k] for row in rows] for k in keys}
        summary[method] = {
            **{key: _resampled(values, seed) for key, values in columns.items()},
            **{f"to_{o}": _ratio(mae[method], mae[o], seed) for o in _OTHERS if o in mae},
            "wins": won,
        }
    return summary


def _resampled(values: Sequence[float | None], seed: int) -> dict[str, float] | None:
    """Mean, its interval and median over the cases in which a score is defined."""
    known = np.array([v for v in values if v is not None])
    if not known.size:
        return None
    mean, low, high = metrics.mean_interval(known, seed)
    return {"mean": mean, "low": low, "high": high, "median": float(np.median(known))}


def _ratio(
    mine: NDArray[np.float64], other: NDArray[np.float64], seed: int
) -> dict[str, Any] | None:
    """Mean of the ratios and ratio of the means; cases are resampled in pairs."""
    if not (other > 0).all():
        return None
    of_means, *between = metrics.ratio_interval(mine, other, seed)
    ratios = _resampled((mine / other).tolist(), seed) or {}
    return {**ratios, "of_means": {"mean": of_means, "low": between[0], "high": between[1]}}


def _buckets(key: str, total: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """Buckets that hold a pixel."""
    pixels = next(iter(total.values())).pixels(key)
    rows = zip(*(tally.rows(key) for tally in total.values()), strict=True)
    return [
        {"from": low, "to": high, "pixels": int(n), "methods": dict(zip(total, row, strict=True))}
        for (low, high), n, row in zip(BUCKETS[key], pixels, rows, strict=True)
        if n
    ]
