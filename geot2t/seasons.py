"""Whole dates of a series, whether they were observed or not."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from geot2t.calibrate import Outcomes
from geot2t.errors import InputError, OutputError
from geot2t.fill import Estimates
from geot2t.io.collection import COLLECTION, write_collection
from geot2t.io.publish import check_targets, output_paths
from geot2t.io.series import open_series
from geot2t.io.stack import Location, Stack
from geot2t.jobs import Progress, Result, Work, outputs_of, run
from geot2t.methods import AUTO
from geot2t.request import Request

MOST = 5000
"""Dates that may be asked for at once."""

_STEP = re.compile(r"(\d+)\s*(d|w|m|y)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Season:
    """What `interpolate` wrote."""

    paths: tuple[Path, ...]
    """The rasters, by date."""

    results: tuple[Result, ...]
    """What was found of each of them."""

    collection: Path
    """The list of their STAC Items."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


def interpolate(
    series: Location | Sequence[Location],
    out: str | Path,
    dates: date | str | Sequence[date | str] = (),
    *,
    every: str | int | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    max_gap: float | None = None,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    max_error: float | None = None,
    max_distance: int = 64,
    error: bool = True,
    driver: str | None = None,
    creation_options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    model: str | Path | Estimates | None = None,
    method: str = AUTO,
    window: int = 256,
    overlap: int = 64,
    batch: int = 1,
    sharp: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Season:
    """Write whole rasters of dates of a series, as ``YYYY-MM-DD.tif`` in a folder.

    Of a date that was observed the raster is its scene with the gaps filled: every observed
    pixel is that of the file, bit for bit. Of any other date all pixels are predicted. Beside each
    lie its quality and error rasters and its STAC Item, and ``items.json`` lists all Items.

    Parameters
    ----------
    series : Path or str, or several
        Scenes of one place: directories, files or patterns, STAC Items and ItemCollections.
    out : str or Path
        The folder; made if it is not there.
    dates : date or str, or several
        Days to write, as dates or ``YYYY-MM-DD``.
    every : str or int, optional
        Steps between more days to write: days, or as ``10d``, ``2w``, ``1m`` or ``1y``.
    start, end : date or str, optional
        First day of those steps, and the day that none of them exceeds; by default the first and
        the last date of the series.
    max_gap : float, optional
        Pixels that no date shows within so many days are not filled.
    clouds, max_error, max_distance, error, creation_options, device, model, method, window, \
overlap, batch, sharp, seed
        As for `geot2t.jobs.inpaint`.
    cloud_mask : str or Path, optional
        Raster that is not zero where no date observed the ground.
    driver : str, optional
        GTiff or COG; by default what the scenes are.
    overwrite : bool
        Replace rasters of an earlier run.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    Season

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the folder cannot be used.
    """
    request = Request(
        clouds=clouds, max_error=max_error, max_distance=max_distance, max_gap=max_gap,
        error=error, driver=driver, creation_options=creation_options, device=device, model=model,
        method=method, window=window, overlap=overlap, batch=batch, sharp=sharp, seed=seed,
    )  # fmt: skip
    with open_series(series, clouds=clouds, cloud_mask=cloud_mask) as stack:
        days = asked(stack, dates, every=every, start=start, end=end)
        with _folder(Path(out)) as folder:
            paths = {day: folder / f"{day}.tif" for day in days}
            _check(stack, paths, error=error, overwrite=overwrite)
            outcomes: Outcomes = {}
            results = []
            for number, (day, path) in enumerate(paths.items()):
                step = _part(progress, number, len(paths))
                results.append(_one(stack, day, path, request, outcomes, step, overwrite=overwrite))
            items = [output_paths(path).item for path in paths.values()]
            listed = write_collection(folder, items)
    notes = dict.fromkeys(note for result in results for note in result.warnings)
    return Season(tuple(paths.values()), tuple(results), listed, tuple(notes))


def asked(
    stack: Stack,
    dates: date | str | Sequence[date | str] = (),
    *,
    every: str | int | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
) -> list[date]:
    """The days that a user means, in order; see `interpolate`.

    Raises
    ------
    InputError
        If there is none, or one cannot be understood.
    """
    given = [dates] if isinstance(dates, date | str) else list(dates)
    days = {_day(day) for day in given}
    if every is not None:
        known = [day for day in stack.dates if day is not None]
        first = min(known) if start is None else _day(start)
        last = max(known) if end is None else _day(end)
        if last < first:
            raise InputError(f"the first day, {first}, is after the last, {last}")
        for day in _steps(first, every):
            if day > last:
                break
            days.add(day)
            if len(days) > MOST:
                raise InputError(f"these are more than {MOST} dates; ask for fewer at once")
    elif start is not None or end is not None:
        raise InputError("a first or last day goes with the steps between days (every)")
    if not days:
        raise InputError("no date was asked for: name dates, or the steps between them")
    return sorted(days)


def _day(text: date | str) -> date:
    try:
        return text if isinstance(text, date) else date.fromisoformat(text)
    except ValueError:
        raise InputError(f"dates are days such as 2024-05-11, got {text!r}") from None


def _steps(first: date, every: str | int) -> Iterator[date]:
    """Days from ``first`` on, without end."""
    match = _STEP.fullmatch(str(every).strip())
    if match is None or not int(match[1]):
        raise InputError(f"steps are as 10d, 2w, 1m or 1y, got {every!r}")
    count, unit = int(match[1]), (match[2] or "d").lower()
    number = 0
    while True:
        if unit in "dw":
            yield first + timedelta(days=number * count * (7 if unit == "w" else 1))
        else:
            months = first.month - 1 + number * count * (12 if unit == "y" else 1)
            year, month = first.year + months // 12, months % 12 + 1
            yield date(year, month, min(first.day, calendar.monthrange(year, month)[1]))
        number += 1


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """The folder for the outputs; if it was made for them and stays empty, it goes again."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _check(stack: Stack, paths: Mapping[date, Path], *, error: bool, overwrite: bool) -> None:
    """Find what is in the way of any output before the first is computed."""
    inputs = [file for files in stack.files for file in files]
    for path in paths.values():
        check_targets(output_paths(path, error=error), inputs, overwrite=overwrite)
    listed = next(iter(paths.values())).with_name(COLLECTION)
    if listed.exists() and not overwrite:
        raise InputError(f"{listed} exists; pass --overwrite to replace it")


def _one(
    stack: Stack,
    day: date,
    path: Path,
    request: Request,
    outcomes: Outcomes,
    progress: Progress | None,
    *,
    overwrite: bool,
) -> Result:
    """Write one date."""
    at, observed = scene_for(stack, day)
    scene = stack.retarget(at)
    request = replace(request, date=day)
    missing = None if observed else day
    with outputs_of(scene, path, request, overwrite=overwrite, missing=not observed) as outputs:
        work = Work(scene, request, missing=missing, outcomes=outcomes)
        return replace(run(work, outputs, progress), path=path)


def scene_for(stack: Stack, day: date) -> tuple[int, bool]:
    """The date of a stack whose grid and metadata a raster of ``day`` gets, and if it is that day.

    A scene of the day on another grid would have to be resampled: it is evidence like any other.
    """
    there = [(abs((stack.dates[i] or day) - day), i) for i in stack.targets]
    apart, at = min(there)
    return at, stack.dates[at] is not None and not apart


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one date among all."""
    if progress is None:
        return None

    def update(done: int, total: int) -> None:
        progress(number * total + done, count * total)

    return update


def said_of(season: Season) -> dict[str, Any]:
    """The STAC ItemCollection of what was written."""
    return {"type": "FeatureCollection", "features": [dict(r.item) for r in season.results]}
