"""The self-check: how well this very scene is filled, by which method, and how surely.

Observed pixels are hidden under the scene's own gap shapes, moved elsewhere, and predicted by
every method. The method with the least error is used for each band, and what its errors were
makes its 90 % intervals (`geot2t.intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geot2t.draws import USUAL
from geot2t.errors import InputError
from geot2t.fill import Around, Estimates, Float, Predict, Prediction, Source, beside
from geot2t.grid import Box, lattice
from geot2t.intervals import DEFAULT_FACTOR, Errors, correlations, factor_at, factors, likeness

_SCANNED = 48
_SAMPLES = 8192
_FEW_SAMPLES, _FEW_CASES = 500, 3

Bool = NDArray[np.bool_]
Shapes = Callable[[np.random.Generator, int, int], Bool]


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

    together: NDArray[np.float64] | None = None
    """Correlations of the errors between bands, ``(band, band)``; None where not measured."""

    alike: NDArray[np.float64] | None = None
    """Correlations of the errors of pixels `geot2t.intervals.LAGS` apart, ``(lag,)``; likewise."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A window with some of its observed pixels hidden."""

    box: Box
    hidden: Bool  # (y, x)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Errors of one method in one case, at up to `_SAMPLES` hidden pixels."""

    error: Float  # (band, n)
    scale: Float  # (band, n)
    away: Float  # (n,), pixels to the nearest observed one
    lone: Bool  # (n,), True where no other date was used
    alike: NDArray[np.float64]  # (band, lag), see `geot2t.intervals.likeness`


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

    Returns
    -------
    SelfCheck
        With ``reason`` set, and default intervals, where nothing could be hidden.
    """
    found = find_cases(source, size=size, overlap=overlap, seed=seed, cases=cases, shapes=shapes)
    outcomes = [evaluate(case, source, estimates) for case in found]
    corner = Box(source.extent.row, source.extent.col, 1, 1)
    bands = len(source.read_target(corner)[0])
    return conclude(found, outcomes, estimates, bands, use=use)


def conclude(
    found: Sequence[_Case],
    outcomes: list[dict[str, _Outcome]],
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
        return _impossible(estimates, use or estimates.methods[0], bands, reason)
    rows = _errors(outcomes, estimates.methods)
    methods = _winners(rows, estimates.methods, outcomes)
    if use is not None:
        methods = (use,) * len(methods)
    chosen = [_of_winner(outcome, methods) for outcome in outcomes]
    defaults = [_default_factor(estimates, method) for method in methods]
    return SelfCheck(
        methods=methods,
        factors=_factors(chosen, defaults, len(chosen)),
        coverage=_coverage(found, chosen, defaults),
        rows=rows,
        cases=len(found),
        pixels=int(sum(case.hidden.sum() for case in found)),
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
            away = _distance(seen)
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


def _library_shape(rng: np.random.Generator, height: int, width: int) -> Bool:
    from geot2t.clouds import CloudShapes  # read only where a scene has no gap of its own

    return CloudShapes.load().sample(rng, height, width, share=(0.05, 0.4))


def windows_read(extent: Box, *, size: int, overlap: int, seed: int) -> list[Box]:
    """The windows of a scene among which `find_cases` chooses."""
    return _scanned(extent, size, overlap, np.random.default_rng(seed))[0]


def _scanned(
    extent: Box, size: int, overlap: int, rng: np.random.Generator
) -> tuple[list[Box], int]:
    """Windows to choose from, and how many the scene has."""
    windows = list(lattice(extent, extent, size=size, overlap=overlap))
    count = len(windows)
    if count > _SCANNED:
        windows = [windows[i] for i in sorted(rng.choice(count, _SCANNED, replace=False))]
    return windows, count


def find_cases(
    source: Source,
    *,
    size: int,
    overlap: int,
    seed: int,
    cases: int | None = None,
    shapes: Shapes | None = None,
) -> list[_Case]:
    """Windows with observed pixels hidden under gap shapes that come from elsewhere.

    Only `Source.read_target` is called, for the boxes of `windows_read`; see `self_check`.
    """
    shapes = shapes or _library_shape
    rng = np.random.default_rng(seed)
    windows, count = _scanned(source.extent, size, overlap, rng)
    if cases is None:
        cases = min(max(count // 20, 8), 24)
    seen = [source.read_target(window)[1] for window in windows]
    share = np.array([s.mean() for s in seen])
    usable = np.flatnonzero(share * seen[0].size >= min(256, 0.2 * seen[0].size))
    if not usable.size:
        return []
    # The better half: windows with little left to learn from say little of the scene.
    best = usable[np.argsort(-share[usable], kind="stable")][: max(cases, usable.size // 2)]
    donors = [~s for s, part in zip(seen, share, strict=True) if 0.1 < part < 0.98]

    found = []
    for i in np.resize(rng.permutation(best), cases).tolist():
        hidden = _hide(seen[i], donors, shapes, rng)
        if hidden is not None:
            found.append(_Case(windows[i], hidden))
    return found


def _hide(
    seen: Bool, donors: Sequence[Bool], shapes: Shapes, rng: np.random.Generator
) -> Bool | None:
    """Observed pixels under a moved gap: some of them, but not most; None if none will do."""
    count = int(seen.sum())
    least, most = max(16, 0.02 * count), 0.6 * count
    for attempt in range(24):
        own = len(donors) > 0 and attempt < 16
        shape = donors[int(rng.integers(len(donors)))] if own else shapes(rng, *seen.shape)
        hidden = _moved(shape, rng) & seen
        if least <= hidden.sum() <= most:
            return hidden
    return None


def _moved(shape: Bool, rng: np.random.Generator) -> Bool:
    """Mirror and shift a shape at random; what leaves on one side returns on the other."""
    if rng.integers(2):
        shape = shape[::-1]
    if rng.integers(2):
        shape = shape[:, ::-1]
    if shape.shape[0] == shape.shape[1] and rng.integers(2):
        shape = shape.T
    shift = [int(rng.integers(n)) for n in shape.shape]
    return np.roll(shape, shift, (0, 1))


def evaluate(case: _Case, source: Source, estimates: Estimates) -> dict[str, _Outcome]:
    """Predict what ``case`` hides by every method; only the case's box is read."""
    block, target = source.read(case.box), source.target
    pixels, valid = block.pixels.copy(), block.valid.copy()
    valid[target] &= ~case.hidden
    pixels[target][:, case.hidden] = 0
    # What lies around is outside the box, and so nothing that was hidden.
    out = estimates(
        pixels[None], valid[None], block.days, target, estimates.methods, **beside([block])
    )
    at = _sampled(case)
    truth = block.pixels[target].reshape(pixels.shape[1], -1)[:, at]
    away = _distance(valid[target])
    return {
        method: _Outcome(
            error=said.mean[0].reshape(truth.shape[0], -1)[:, at] - truth,
            scale=said.scale[0].reshape(truth.shape[0], -1)[:, at],
            away=away.ravel()[at],
            lone=np.isinf(said.days[0]).ravel()[at],
            alike=likeness(said.mean[0] - block.pixels[target], said.scale[0], case.hidden),
        )
        for method, said in out.items()
    }


def _sampled(case: _Case) -> NDArray[np.intp]:
    """Flat indices of hidden pixels; thinned evenly where they are many."""
    at = np.flatnonzero(case.hidden)
    return at[:: math.ceil(at.size / _SAMPLES)]


def _distance(seen: Bool) -> Float:
    """Distance in pixels to the nearest observed pixel of the window."""
    if not seen.any():
        return np.full(seen.shape, np.inf, "float32")
    return np.asarray(distance_transform_edt(~seen), "float32")


def _errors(outcomes: list[dict[str, _Outcome]], methods: Sequence[str]) -> tuple[Row, ...]:
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
    rows: Sequence[Row], methods: Sequence[str], outcomes: list[dict[str, _Outcome]]
) -> tuple[str, ...]:
    first = methods[0]
    bands = 1 + max(row.band for row in rows)
    samples = sum(outcome[first].lone.size for outcome in outcomes)
    if len(outcomes) < _FEW_CASES or samples < _FEW_SAMPLES:
        return (first,) * bands
    winners = []
    for band in range(bands):
        mae = {row.method: row.mae for row in rows if row.band == band}
        winners.append(min(methods, key=mae.__getitem__))
    return tuple(winners)


def _of_winner(outcome: dict[str, _Outcome], methods: Sequence[str]) -> list[Errors]:
    """For each band, what its chosen method did."""
    return [
        Errors(outcome[m].error[b], outcome[m].scale[b], outcome[m].away, outcome[m].lone)
        for b, m in enumerate(methods)
    ]


def _alike(
    outcomes: list[dict[str, _Outcome]], methods: Sequence[str]
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
    cases: Sequence[_Case], chosen: Sequence[Sequence[Errors]], defaults: Sequence[float]
) -> tuple[float | None, ...]:
    """Share of hidden pixels inside their interval, calibrated without their half of the cases."""
    if len(cases) < 2:
        return (None,) * len(defaults)
    inside, total = np.zeros(len(defaults)), 0
    for half in (0, 1):
        tables = _factors(chosen[1 - half :: 2], defaults, len(cases))
        for case, outcome in zip(cases[half::2], chosen[half::2], strict=True):
            fresh = ~_hidden_in(cases[1 - half :: 2], case.box).ravel()[_sampled(case)]
            total += int(fresh.sum())
            for band, of_band in enumerate(outcome):
                limit = factor_at(tables[band], of_band.away, of_band.lone)
                inside[band] += (of_band.scores <= limit)[fresh].sum()
    if not total:
        return (None,) * len(defaults)
    return tuple(float(share) for share in inside / total)


def _hidden_in(cases: Sequence[_Case], box: Box) -> Bool:
    """Pixels of ``box`` that any of ``cases`` hid."""
    hidden = np.zeros((box.height, box.width), bool)
    for case in cases:
        common = case.box.intersection(box)
        if common:
            hidden[common.within(box)] |= case.hidden[common.within(case.box)]
    return hidden
