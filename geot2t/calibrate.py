"""The self-check: how well this very scene is filled, by which method, and how surely.

Observed pixels are hidden under the scene's own gap shapes, moved elsewhere, and predicted by
every method; where it shows little, other dates stand in (`geot2t.blind`). The method
with the least error is used for each band, and what its errors were makes its 90 % intervals
(`geot2t.intervals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geot2t import blind
from geot2t.blind import HiddenDate
from geot2t.draws import USUAL
from geot2t.errors import InputError
from geot2t.fill import Around, Estimates, Float, Predict, Prediction, Source
from geot2t.grid import Box
from geot2t.hidden import HiddenPixels, Shapes, find_cases
from geot2t.intervals import DEFAULT_FACTOR, Errors, correlations, factor_at, factors
from geot2t.trials import Case, Outcome, Outcomes, distances, evaluate_all, sampled

_FEW_SAMPLES, _FEW_CASES = 500, 3

STEADY = "prior"
"""Method where nothing can be hidden, and for dates of which little or nothing was observed."""

DOUBT = 0.05
"""Share by which any other must be better on dates that stand in: they are few and differ, and on
the training series others won by less only by chance."""

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """What one method achieved on the hidden pixels of one band, in the units of the source."""

    method: str
    """Name of the method."""

    band: int
    """Index of the band."""

    mae: float
    """Mean absolute error."""

    rmse: float
    """Root of the mean squared error."""

    bias: float
    """Mean of predicted minus observed."""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Which method fills each band, and how wide its 90 % intervals are."""

    methods: tuple[str, ...]
    """Method used, for each band."""

    factors: NDArray[np.float64]
    """Half-width of the 90 % interval over the expected error, by distance and whether another
    date was used, shape ``(band, 2, knot)``; see `geot2t.intervals.factors`."""

    coverage: tuple[float | None, ...]
    """For each band, share of hidden pixels inside intervals calibrated on other cases."""

    rows: tuple[Row, ...]
    """Errors by method and band; empty where nothing could be hidden."""

    cases: int
    """Windows in which pixels were hidden."""

    pixels: int
    """Hidden pixels, over all cases."""

    reason: str | None = None
    """Why the check was not possible; None if it was."""

    dates: int = 0
    """Other dates that stood in where little of this one was observed."""
    together: NDArray[np.float64] | None = None
    """Correlations of the errors between bands, ``(band, band)``; None where not measured."""

    alike: NDArray[np.float64] | None = None
    """Correlations of the errors of pixels `geot2t.intervals.LAGS` apart, ``(lag,)``; likewise."""


def self_check(
    source: Source,
    estimates: Estimates,
    *,
    size: int = 256,
    overlap: int = 64,
    seed: int = 0,
    cases: int | None = None,
    shapes: Shapes | None = None,
    use: str | None = None,
    known: Outcomes | None = None,
) -> SelfCheck:
    """Measure all methods of ``estimates`` on hidden observed pixels of the target date.

    The outcome follows from the scene, the window size and the seed; how the raster is cut
    into boxes for filling has no part in it.

    Parameters
    ----------
    source : Source
        The scene and its series.
    estimates : Estimates
        The methods. The first one is used where there is too little evidence, or a tie.
    size, overlap : int
        Model window and the part that neighbours share, in pixels.
    seed : int
        Of the choice of windows and shapes.
    cases : int, optional
        Windows to predict; by default a twentieth of those of the scene, from 8 to 24. Every
        second one calibrates the intervals whose coverage is measured on the others, and the
        other way round.
    shapes : callable, optional
        ``shapes(rng, height, width)`` gives a cloud, True where hidden, for scenes that have
        no usable gap of their own. By default from the library of real clouds.
    use : str, optional
        Method for all bands, however well the others do; they are measured all the same.
    known : dict, optional
        What became of whole dates that were hidden, of this series and by these methods: looked
        up and added to, as dates that are asked for one after another share most of them.

    Returns
    -------
    SelfCheck
        With ``reason`` set, and default intervals, where nothing could be hidden.
    """
    found: Sequence[Case] = find_cases(
        source, size=size, overlap=overlap, seed=seed, cases=cases, shapes=shapes
    )
    found = [*found, *blind.find_dates(source, size=size, overlap=overlap)]
    outcomes = evaluate_all(found, source, estimates, known)
    corner = Box(source.extent.row, source.extent.col, 1, 1)
    bands = len(source.read_target(corner)[0])
    return conclude(found, outcomes, estimates, bands, use=use)


def conclude(
    found: Sequence[Case],
    outcomes: list[dict[str, Outcome]],
    estimates: Estimates,
    bands: int,
    *,
    use: str | None = None,
) -> SelfCheck:
    """Choose methods and interval widths by what became of each case; see `self_check`.

    Parameters
    ----------
    found : sequence
        What `find_cases` gave.
    outcomes : list of dict
        What `evaluate` gave for each of them.
    estimates : Estimates
        The methods.
    bands : int
        Bands of the source.
    use : str, optional
        Method for all bands.
    """
    if not found:
        reason = "too few observed pixels to hide some of them"
        return _impossible(estimates, use or _steady(estimates.methods), bands, reason)
    hidden = {case.date for case in found if isinstance(case, HiddenDate)}
    # What the date itself shows tells the methods apart, if it shows anything.
    own = [i for i, case in enumerate(found) if isinstance(case, HiddenPixels)]
    told = own or range(len(found))
    heard = [outcomes[i] for i in told]
    rows = _errors(heard, estimates.methods)
    count = len(set(_groups([found[i] for i in told])))
    if not own and any(case.left.any() for case in found if isinstance(case, HiddenDate)):
        # What is seen of the date, too little to hide some of it, is heeded by a regression and
        # not by all others, and how much that helps differs from date to date.
        use = use or _steady(estimates.methods)
    methods = _winners(rows, estimates.methods, heard, count, blind=not own)
    if use is not None:
        methods = (use,) * len(methods)
    chosen = [_of_winner(c, outcome, methods) for c, outcome in zip(found, outcomes, strict=True)]
    defaults = [_default_factor(estimates, method) for method in methods]
    return SelfCheck(
        methods=methods,
        factors=_factors(chosen, defaults, len(set(_groups(found)))),
        coverage=_coverage(found, chosen, defaults),
        rows=rows,
        cases=len(found),
        pixels=int(sum(case.hidden.sum() for case in found)),
        dates=len(hidden),
        together=correlations(chosen),
        alike=_alike(outcomes, methods),
    )


def chosen(estimates: Estimates, check: SelfCheck) -> Predict:
    """Join the methods that the self-check chose, band by band, to one model.

    Returns
    -------
    Predict
        Its ``scale`` is the half-width of the 90 % interval.
    """
    wanted = tuple(dict.fromkeys(check.methods))

    def predict(
        pixels: Float, valid: Bool, days: Float, target: int, **around: Around
    ) -> Prediction:
        if pixels.shape[2] != len(check.methods):
            raise InputError(
                f"the self-check was made for {len(check.methods)} bands, got {pixels.shape[2]}"
            )
        out = estimates(pixels, valid, days, target, wanted, **around)
        mean, half = np.empty_like(pixels[:, 0]), np.empty_like(pixels[:, 0])
        for i, seen in enumerate(valid[:, target]):
            away = distances(seen)
            for band, method in enumerate(check.methods):
                said = out[method]
                mean[i, band] = said.mean[i, band]
                lone = np.isinf(said.days[i])
                half[i, band] = said.scale[i, band] * factor_at(check.factors[band], away, lone)
        nearest = np.minimum.reduce([out[method].days for method in wanted])
        return Prediction(mean, half, nearest)

    return predict


def likenesses(check: SelfCheck, bands: int) -> tuple[NDArray[np.float64], Sequence[float]]:
    """How alike errors are, as `geot2t.draws.Draws` takes it; the usual where not measured."""
    together = np.eye(bands) if check.together is None else check.together
    return together, USUAL if check.alike is None else check.alike.tolist()


def _impossible(estimates: Estimates, method: str, bands: int, reason: str) -> SelfCheck:
    table = np.stack([factors([], _default_factor(estimates, method))] * bands)
    return SelfCheck((method,) * bands, table, (None,) * bands, (), 0, 0, reason)


def _default_factor(estimates: Estimates, method: str) -> float:
    known: dict[str, float] = getattr(estimates, "factors", {})
    return known.get(method, DEFAULT_FACTOR)


def _errors(outcomes: list[dict[str, Outcome]], methods: Sequence[str]) -> tuple[Row, ...]:
    rows = []
    for method in methods:
        error = np.concatenate([o[method].error for o in outcomes], 1).astype("float64")
        mae, rmse = np.abs(error).mean(1), np.sqrt(np.square(error).mean(1))
        rows += [
            Row(method, band, float(mae[band]), float(rmse[band]), float(bias))
            for band, bias in enumerate(error.mean(1))
        ]
    return tuple(rows)


def _winners(
    rows: Sequence[Row],
    methods: Sequence[str],
    outcomes: list[dict[str, Outcome]],
    cases: int,
    *,
    blind: bool,
) -> tuple[str, ...]:
    usual = _steady(methods) if blind else methods[0]
    bands = 1 + max(row.band for row in rows)
    samples = sum(outcome[usual].lone.size for outcome in outcomes)
    if cases < _FEW_CASES or samples < _FEW_SAMPLES:
        return (usual,) * bands
    winners = []
    for band in range(bands):
        mae = {row.method: row.mae for row in rows if row.band == band}
        if blind:
            mae[usual] /= 1 + DOUBT
        winners.append(min(methods, key=mae.__getitem__))
    return tuple(winners)


def _steady(methods: Sequence[str]) -> str:
    return STEADY if STEADY in methods else methods[0]


def _of_winner(case: Case, outcome: dict[str, Outcome], methods: Sequence[str]) -> list[Errors]:
    """For each band, what its chosen method did, as far off as it will be on the target."""
    more = np.float32(case.stretch if isinstance(case, HiddenDate) else 1)
    return [
        Errors(outcome[m].error[b] * more, outcome[m].scale[b], outcome[m].away, outcome[m].lone)
        for b, m in enumerate(methods)
    ]


def _groups(cases: Sequence[Case]) -> list[int]:
    """Cases that tell the same thing: those of one date that was hidden whole."""
    return [case.date if isinstance(case, HiddenDate) else i for i, case in enumerate(cases)]


def _alike(
    outcomes: list[dict[str, Outcome]], methods: Sequence[str]
) -> NDArray[np.float64] | None:
    """Mean over cases and bands, for the chosen methods."""
    each = np.stack([o[m].alike[b] for o in outcomes for b, m in enumerate(methods)])
    known = np.isfinite(each).any(0)
    return np.nanmean(each, 0) if known.all() else None


def _factors(
    chosen: Sequence[Sequence[Errors]], defaults: Sequence[float], of: int
) -> NDArray[np.float64]:
    """Factors of each band, ``(band, 2, knot)``, from some ``of`` the cases."""
    return np.stack(
        [
            factors([case[band] for case in chosen], default, of=of)
            for band, default in enumerate(defaults)
        ]
    )


def _coverage(
    cases: Sequence[Case], chosen: Sequence[Sequence[Errors]], defaults: Sequence[float]
) -> tuple[float | None, ...]:
    """Share of hidden pixels inside their interval, calibrated without their half of the cases."""
    groups = _groups(cases)
    half = np.array([sorted(set(groups)).index(group) % 2 for group in groups])
    if not half.any():
        return (None,) * len(defaults)
    inside, total = np.zeros(len(defaults)), 0
    for own in (0, 1):
        rest = [i for i in range(len(cases)) if half[i] != own]
        tables = _factors([chosen[i] for i in rest], defaults, len(set(groups)))
        for i in np.flatnonzero(half == own).tolist():
            case, outcome = cases[i], chosen[i]
            fresh = ~_hidden_in([cases[k] for k in rest], case).ravel()[sampled(case)]
            total += int(fresh.sum())
            for band, of_band in enumerate(outcome):
                limit = factor_at(tables[band], of_band.away, of_band.lone)
                inside[band] += (of_band.scores <= limit)[fresh].sum()
    if not total:
        return (None,) * len(defaults)
    return tuple(float(share) for share in inside / total)


def _hidden_in(cases: Sequence[Case], case: Case) -> Bool:
    """Pixels of ``case`` that any of ``cases`` hid of the same date."""
    hidden = np.zeros(case.hidden.shape, bool)
    if isinstance(case, HiddenDate):  # the others are of other dates
        return hidden
    for other in cases:
        common = other.box.intersection(case.box)
        if common:
            hidden[common.within(case.box)] |= other.hidden[common.within(other.box)]
    return hidden
