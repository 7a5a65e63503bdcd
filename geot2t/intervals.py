"""Intervals made of errors that were measured: split conformal prediction.

Errors in units of the expected error give the factor that turns the one into an interval (Lei et
al. 2018, "Distribution-free predictive inference for regression",
doi:10.1080/01621459.2017.1307116). The factor depends on the distance to what was observed, and on
whether any other date was used: only so does the promise hold for large gaps as well as for small
ones. Between the distances at which it is measured it is interpolated, so that widths do not step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

LEVEL = 0.9
"""Share of errors that an interval is meant to hold."""

DEFAULT_FACTOR = math.log(10)
"""Half-width of the 90 % interval over the expected absolute error, if errors are Laplacian."""

KNOTS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Distances in pixels to the nearest observed pixel at which the factor is measured."""

FEWEST = 50
"""Measured errors near a distance without which the factor there is that of all distances."""

LAGS = (1, 2, 4, 8, 16, 32)
"""Distances in pixels at which it is measured how alike errors are."""

HOLD = 0.5
"""Cases that the factor of all distances counts for beside those that tell of one distance."""

MARGIN = 0.1
"""Added to the level is so much over one more than the cases: the next one may differ from all."""


@dataclass(frozen=True, slots=True)
class Errors:
    """What was measured in one case, for one band, at ``n`` pixels."""

    error: NDArray[np.floating]
    """Predicted minus observed, ``(n,)``."""

    scale: NDArray[np.floating]
    """Expected absolute error, same units, ``(n,)``."""

    away: NDArray[np.floating]
    """Distance in pixels to the nearest observed pixel, ``(n,)``."""

    lone: NDArray[np.bool_]
    """True where no other date was used, ``(n,)``."""

    @property
    def scores(self) -> Float:
        """Absolute errors over what was expected."""
        least = np.finfo("float32").tiny
        return np.asarray(np.abs(self.error) / np.maximum(self.scale, least), "float64")


def factors(cases: Sequence[Errors], default: float, *, of: int | None = None) -> Float:
    """Half-width of the interval over the expected error, by distance.

    Parameters
    ----------
    cases : sequence of Errors
        Of one band.
    default : float
        Factor where nothing was measured.
    of : int, optional
        Cases that the level is chosen for, if these are only some of them.

    Returns
    -------
    ndarray, shape ``(2, len(KNOTS))``
        First where another date was used, then where none was. To be read by `factor_at`.
    """
    level = LEVEL + MARGIN / ((of or len(cases)) + 1)
    dated, alone = (_by_distance(cases, level, lone=lone) for lone in (False, True))
    if dated is None:
        dated = np.full(len(KNOTS), default) if alone is None else alone
    if alone is None:  # too few hidden pixels must not make surroundings look as good as dates
        alone = np.full(len(KNOTS), max(default, float(dated.max())))
    return np.stack([dated, alone])


def factor_at(
    table: Float, away: NDArray[np.floating], lone: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Factors of pixels at distances ``away``; of the shape of ``away`` and ``lone``."""
    steps = np.log(np.maximum(away, KNOTS[0]))
    dated, alone = (np.interp(steps, np.log(KNOTS), row) for row in table)
    return np.asarray(np.where(lone, alone, dated))


def likeness(
    error: NDArray[np.floating], scale: NDArray[np.floating], hidden: NDArray[np.bool_]
) -> Float:
    """How alike the errors of pixels some pixels apart are, each over what was expected.

    Parameters
    ----------
    error, scale : ndarray, shape ``(band, y, x)``
        Predicted minus observed, and the expected absolute error.
    hidden : ndarray of bool, shape ``(y, x)``
        Which pixels count.

    Returns
    -------
    ndarray, shape ``(band, len(LAGS))``
        Correlations about zero along rows and columns; NaN where no two pixels lie so far apart.
    """
    out = np.full((len(error), len(LAGS)), np.nan)
    least = np.finfo("float32").tiny
    for band in range(len(error)):
        scores = np.where(hidden, error[band] / np.maximum(scale[band], least), 0).astype("float64")
        size = math.sqrt(np.square(scores[hidden]).mean()) or 1.0
        scores = np.clip(scores / size, -4, 4)  # some large errors would decide
        for i, lag in enumerate(LAGS):
            here = [
                (scores[lag:], scores[:-lag], hidden[lag:] & hidden[:-lag]),
                (scores[:, lag:], scores[:, :-lag], hidden[:, lag:] & hidden[:, :-lag]),
            ]
            power = sum(float(((a * a + b * b) / 2)[both].sum()) for a, b, both in here)
            product = sum(float((a * b)[both].sum()) for a, b, both in here)
            if any(both.any() for _, _, both in here):
                out[band, i] = product / power if power else 0
    return out


def correlations(cases: Sequence[Sequence[Errors]]) -> Float:
    """How alike the errors of bands are, each over what was expected.

    Parameters
    ----------
    cases : sequence
        For each case the errors of all bands at the same pixels.

    Returns
    -------
    ndarray, shape ``(band, band)``
        A correlation matrix; of a band without errors, the identity.
    """
    least = np.finfo("float32").tiny
    bands = [
        np.concatenate([case[b].error / np.maximum(case[b].scale, least) for case in cases])
        for b in range(len(cases[0]))
    ]
    spread = [float(np.std(band, dtype="float64")) for band in bands]
    # Some large errors would decide, so they are cut off.
    cut = np.stack(
        [np.clip(b / s if s else b, -4, 4) for b, s in zip(bands, spread, strict=True)]
    ).astype("float64")
    alive = np.ptp(cut, axis=1) > 0
    out = np.eye(len(bands))
    if alive.any():
        out[np.ix_(alive, alive)] = np.atleast_2d(np.corrcoef(cut[alive]))
    return out


def _by_distance(cases: Sequence[Errors], level: float, *, lone: bool) -> Float | None:
    """Factors at the knots; None if there are too few errors of this sort."""
    picked = [(c.scores[c.lone == lone], c.away[c.lone == lone]) for c in cases]
    picked = [(scores, away) for scores, away in picked if scores.size]
    if sum(scores.size for scores, _ in picked) < FEWEST:
        return None
    scores = np.concatenate([scores for scores, _ in picked])
    overall = _quantile(scores, np.ones(scores.size), level)
    knots = np.log(KNOTS)
    found = np.empty(len(KNOTS))
    for i, knot in enumerate(knots):
        # Triangles from knot to knot: each error tells of the two distances nearest to it.
        shares = [_triangle(np.log(np.maximum(away, KNOTS[0])), knots, knot) for _, away in picked]
        each = np.array([share.sum() for share in shares])
        if each.sum() < FEWEST:
            found[i] = overall
            continue
        here = _quantile(scores, np.concatenate(shares), level)
        told = each.sum() ** 2 / np.square(each).sum()  # cases that tell, were they alike in size
        # A band that is constant is filled without any error.
        least = float(np.finfo("float32").tiny)
        logs = math.log(max(here, least)) * told + math.log(max(overall, least)) * HOLD
        found[i] = math.exp(logs / (told + HOLD))
    return found


def _triangle(at: Float, knots: Float, knot: float) -> Float:
    return np.asarray(np.interp(at, knots, (knots == knot).astype("float64")))


def _quantile(scores: Float, weight: Float, level: float) -> float:
    """Weighted conformal quantile: the smallest score with ``level`` of the weight at or below."""
    order = np.argsort(scores, kind="stable")
    total = np.cumsum(weight[order])
    # One more score, of which nothing is known, has the weight of a usual one.
    target = level * (total[-1] + total[-1] / max(np.count_nonzero(weight), 1))
    return float(scores[order[min(int(np.searchsorted(total, target)), scores.size - 1)]])
