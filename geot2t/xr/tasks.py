"""What the tasks of a graph do. They know arrays only, and no task knows of another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import blind, calibrate, hidden, trials
from geot2t.arrays import Arrays, Bands, Piece, scene_block
from geot2t.baselines import METHODS
from geot2t.calibrate import SelfCheck, chosen, likenesses
from geot2t.draws import Draws
from geot2t.fill import Around, Estimates, Float, Prediction, Source, walk
from geot2t.grid import Box, lattice
from geot2t.methods import AUTO, estimates_for
from geot2t.missing import MissingDate
from geot2t.shortlist import MOST_DATES, shortlist
from geot2t.stream import Rules, Scene, Stream
from geot2t.survey import Survey, Surveyed

Bool = NDArray[np.bool_]
Dates = tuple[int | None, ...]
Outputs = tuple[
    NDArray[Any], NDArray[np.uint8], NDArray[np.uint8], Float | None, NDArray[Any] | None
]

BLOCK = 256
"""Side of the blocks that a task fills one after another, in pixels."""

_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What fills; equal recipes share one model in each process."""

    method: str
    """One of `geot2t.methods.NAMES`."""

    model: str | Path | Estimates | None
    """As for `geot2t.jobs.inpaint`."""

    written: int | None
    """When the model's file was written, so that another one of that name is loaded anew."""

    device: str
    """As for `geot2t.jobs.inpaint`."""

    wavelengths: tuple[float | None, ...]
    """Micrometres of each band, None where unknown: a NaN equals no other."""

    sharp: int | None
    """See `geot2t.methods.estimates_for`."""

    seed: int
    """Of drawn texture and the self-check."""

    @property
    def surveys(self) -> bool:
        """Whether pixels from the rest of the scene are of use."""
        return self.model is not None or self.method not in METHODS

    def estimates(self) -> Estimates:
        """The methods; loaded once in a process."""
        if not isinstance(self.model, str | Path | None):
            return _made(self)
        with _LOCK:  # two threads must not load the same weights
            return _remembered(self)


def _made(recipe: Recipe) -> Estimates:
    def load() -> tuple[Estimates, dict[str, Any]]:
        if not isinstance(recipe.model, str | Path | None):
            return recipe.model, {}
        from geot2t.model import open_estimates  # imports torch, which takes seconds

        waves = [np.nan if w is None else w for w in recipe.wavelengths]
        return open_estimates(recipe.model, recipe.device, np.array(waves, "float32"))

    return estimates_for(
        recipe.method, load, model=recipe.model is not None, sharp=recipe.sharp, seed=recipe.seed
    )[0]


_remembered = lru_cache(maxsize=2)(_made)


@dataclass(frozen=True, slots=True)
class Target:
    """A date to be filled."""

    day: float
    """Days since 1970-01-01; NaN if it is not known."""

    index: int | None
    """Which date of the cube it is; None if it was never observed."""

    dates: Dates
    """The dates to fill it from and itself, sorted; None is a date that was never observed."""


@dataclass(frozen=True)
class Job:
    """What all tasks of a graph have in common."""

    extent: Box
    """The whole raster."""

    days: tuple[float, ...]
    """Of all dates, group after group (see `geot2t.arrays.Piece`)."""

    bands: tuple[Bands, ...]
    """Of each group."""

    dtype: np.dtype[Any]
    """Of the first group, which is filled."""

    count: int
    """Bands of that group, those included that are not filled."""

    recipe: Recipe
    """What fills."""

    rules: Rules
    """What is filled."""

    window: int
    """Side of the model window, in pixels."""

    overlap: int
    """Pixels that neighbouring windows share."""

    batch: int
    """Windows predicted at once."""

    error: bool
    """Whether half-widths are wanted."""

    samples: int = 0
    """Different plausible fills that are wanted."""

    def scene(
        self,
        target: Target,
        dates: Dates,
        pieces: Sequence[Piece],
        observed: tuple[Box, Bool] | None = None,
        exact: tuple[Box, NDArray[Any]] | None = None,
    ) -> Scene:
        """The target and other dates as one scene, of what is in memory."""
        days = np.array(self.days, "float32")
        seen = [i for i in dates if i is not None]
        if target.index is not None:
            at = seen.index(target.index)
            return Arrays(pieces, self.bands, days, self.extent, seen, at, observed, exact)
        known = Arrays(pieces, self.bands, days, self.extent, seen, 0)
        blank = np.zeros(self.count, self.dtype)
        for i, nodata in zip(self.bands[0].data, self.bands[0].nodata, strict=True):
            blank[i] = 0 if nodata is None else nodata
        return MissingDate(known, target.day, blank, len(self.bands[0].data))

    def source(self, scene: Scene, survey: Survey | None, dates: Dates) -> Source:
        """The scene as the model sees it."""
        return scene if survey is None else Surveyed(scene, survey.of(dates))

    @property
    def windowing(self) -> Any:
        """Which windows the self-check chooses from, as keyword arguments."""
        return {"size": self.window, "overlap": self.overlap, "seed": self.recipe.seed}


def survey(job: Job, pieces: list[Piece]) -> Survey:
    """Sample all dates, from the cells that a survey reads."""
    everything = tuple(range(len(job.days)))
    scene = job.scene(Target(job.days[0], 0, everything), everything, pieces)
    return Survey(scene.read, job.extent)


def dates_used(job: Job, target: Target, pieces: list[Piece]) -> Dates:
    """The most promising dates of a long series."""
    scene = job.scene(target, target.dates, pieces)
    return tuple(target.dates[i] for i in shortlist(scene, MOST_DATES, seed=job.recipe.seed))


def seen(job: Job, piece: Piece) -> Bool:
    """Where the ground was observed in a piece of one date of the first group, ``(y, x)``."""
    codes = piece.codes[0]
    return scene_block(piece.values[0][0], None if codes is None else codes[0], job.bands[0]).valid


def shown(job: Job, piece: Piece) -> Bool:
    """Where the ground was observed in a piece, ``(date, y, x)``; all dates, group after group."""
    found = []
    for values, codes, bands in zip(piece.values, piece.codes, job.bands, strict=True):
        for i, date in enumerate(values):
            found.append(scene_block(date, None if codes is None else codes[i], bands).valid)
    return np.stack(found)


class _Validity:
    """A source of which only validity is known, in the windows that the self-check looks at."""

    target = 0

    def __init__(self, extent: Box, valid: dict[Box, Bool]) -> None:
        self.extent, self._valid = extent, valid

    def read(self, box: Box) -> Any:
        raise LookupError(f"{box} was not prepared")

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        valid = self._valid[box]
        return np.zeros((0, *valid.shape), "float32"), valid


def cases(
    job: Job, target: Target, dates: Dates | None, valid: list[Bool], everywhere: list[Bool]
) -> list[Any] | None:
    """What the self-check hides of the target, or of other dates where it shows little.

    Parameters
    ----------
    job, target
        What is filled.
    dates : tuple of int or None, optional
        The dates that are used, if not all.
    valid : list of ndarray of bool, shape ``(y, x)``
        Where the target was observed in the windows of `geot2t.hidden.windows_read`; empty for
        a date that never was.
    everywhere : list of ndarray of bool, shape ``(date, y, x)``
        Where all dates were, in the windows of `geot2t.blind.windows_read`.

    Returns
    -------
    list or None
        None if there is no gap.
    """
    found: list[Any] = []
    if valid:
        windows = hidden.windows_read(job.extent, **job.windowing)
        every = lattice(job.extent, job.extent, size=job.window, overlap=job.overlap)
        if len(windows) == sum(1 for _ in every) and all(v.all() for v in valid):
            return None
        known = _Validity(job.extent, dict(zip(windows, valid, strict=True)))
        found = hidden.find_cases(known, **job.windowing)
    used = dates or target.dates
    days = np.array([target.day if i is None else job.days[i] for i in used], "float32")
    at = used.index(target.index)
    boxes = blind.windows_read(job.extent, size=job.window, overlap=job.overlap)
    shown = [
        np.stack([np.zeros_like(v[0]) if i is None else v[i] for i in used]) for v in everywhere
    ]
    if little := [i for i, v in enumerate(shown) if blind.shows_little(v[at])]:
        some = [boxes[i] for i in little], [shown[i] for i in little]
        found += blind.hidden_dates(days, at, *some)
    return found


def outcomes(
    job: Job,
    targets: Sequence[Target],
    chosen_dates: Sequence[Dates | None],
    cases_of: Sequence[list[Any] | None],
    known: Survey | None,
    piece: Piece,
) -> dict[tuple[int, int], Any]:
    """What becomes of the cases of all dates in one window, by date and number."""
    found: dict[tuple[int, int], Any] = {}
    known_dates: trials.Outcomes = {}
    for t, (target, dates) in enumerate(zip(targets, chosen_dates, strict=True)):
        mine = {i: case for i, case in enumerate(cases_of[t] or ()) if case.box == piece.box}
        if mine:
            used = dates or target.dates
            source = job.source(job.scene(target, used, [piece]), known, used)
            each = trials.evaluate_all(
                list(mine.values()), source, job.recipe.estimates(), known_dates
            )
            found |= {(t, i): outcome for i, outcome in zip(mine, each, strict=True)}
    return found


def checks(
    job: Job,
    cases_of: Sequence[list[Any] | None],
    parts: Sequence[dict[tuple[int, int], Any]],
) -> list[SelfCheck | None]:
    """The self-check of each date, of all outcomes; None where there is nothing to fill."""
    every = {key: outcome for part in parts for key, outcome in part.items()}
    use = None if job.recipe.method == AUTO else job.recipe.method
    bands = len(job.bands[0].data)
    return [
        None
        if found is None
        else calibrate.conclude(
            found,
            [every[t, i] for i in range(len(found))],
            job.recipe.estimates(),
            bands,
            use=use,
        )
        for t, found in enumerate(cases_of)
    ]


def fill(
    job: Job,
    target: Target,
    dates: Dates | None,
    checked: SelfCheck | None,
    known: Survey | None,
    box: Box,
    piece: Piece,
    observed: tuple[Box, Bool] | None,
    exact: NDArray[Any] | None,
) -> Outputs:
    """Fill ``box`` of one date.

    Returns
    -------
    ndarray, ndarray, ndarray, ndarray or None, ndarray or None
        Values ``(band, y, x)``, provenance and days ``(y, x)``, and if they are wanted half-widths
        ``(band, y, x)`` and samples ``(sample, band, y, x)``.
    """
    dates = dates or target.dates
    stored = None if exact is None else (box, exact[0])
    scene = job.scene(target, dates, [piece], observed, stored)

    def predict(
        pixels: Float, valid: Bool, days: Float, target: int, **around: Around
    ) -> Prediction:
        # Loaded only where a gap is met, and from then on there.
        assert checked is not None  # noqa: S101  a scene with a gap was checked
        return chosen(job.recipe.estimates(), checked)(pixels, valid, days, target, **around)

    def known_errors() -> tuple[NDArray[np.float64], Sequence[float]]:
        assert checked is not None  # noqa: S101  as above
        return likenesses(checked, len(job.bands[0].data))

    stream = Stream(
        scene,
        job.source(scene, known, dates),
        predict,
        job.bands[0].layout(job.dtype),
        job.rules,
        lone=len(dates) == 1,
        size=job.window,
        overlap=job.overlap,
        batch=job.batch,
        draws=Draws(job.samples, job.recipe.seed, known_errors, target.day)
        if job.samples
        else None,
    )
    values = np.empty((job.count, box.height, box.width), job.dtype)
    quality = np.empty((2, box.height, box.width), "uint8")
    error = np.empty(values.shape, "float32") if job.error else None
    samples = np.empty((job.samples, *values.shape), job.dtype) if job.samples else None
    for part in walk(box, BLOCK, BLOCK):
        written = stream.compute(stream.read(part))
        r, c = part.within(box)
        values[:, r, c], quality[:, r, c] = written.values, written.quality
        if error is not None:
            error[:, r, c] = written.error
        if samples is not None:
            for k, sample in enumerate(written.samples):
                samples[k, :, r, c] = sample
    return values, quality[0], quality[1], error, samples
