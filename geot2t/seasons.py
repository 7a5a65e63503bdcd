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

from geot2t.errors import InputError, OutputError
from geot2t.fill import Estimates
from geot2t.filling import Result, Work, fill_whole, outputs_of
from geot2t.io.collection import check_list, write_collection
from geot2t.io.publish import check_targets, output_paths, refuse
from geot2t.io.series import open_series
from geot2t.io.stack import EPOCH, Location, Stack
from geot2t.methods import AUTO
from geot2t.preview import draw, previews
from geot2t.request import Request
from geot2t.stream import Progress
from geot2t.trials import Outcomes

MOST = 5000
"""Dates that may be asked for at once."""

CUBES = {"Zarr": "zarr", "NetCDF": "nc"}
"""Formats that hold all dates in one, and how their names end."""

When = date | str | int
"""A day, or the number of a slice."""

_STEP = re.compile(r"(\d+)\s*(d|w|m|y)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Season:
    """What `interpolate` wrote."""

    paths: tuple[Path, ...]
    """The rasters, by date; or the cube."""

    results: tuple[Result, ...]
    """What was found of each raster."""

    collection: Path | None
    """The list of their STAC Items and of those of earlier runs; None of a cube."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""

    about: Mapping[str, Any]
    """The STAC ItemCollection of the rasters, or what a cube holds, as JSON says it."""

    previews: tuple[Path, ...] = ()
    """The pictures."""


def interpolate(
    series: Location | Sequence[Location],
    out: str | Path,
    dates: When | Sequence[When] = (),
    *,
    slices: Sequence[int] = (),
    every: str | int | None = None,
    start: When | None = None,
    end: When | None = None,
    max_gap: float | None = None,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    max_error: float | None = None,
    max_distance: int = 64,
    error: bool = True,
    driver: str | None = None,
    preview: bool = False,
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
    lie its quality and error rasters and its STAC Item; ``items.json`` lists all in the folder.

    Parameters
    ----------
    series : Path or str, or several
        Scenes of one place: directories, files or patterns, STAC Items and ItemCollections.
    out : str or Path
        The folder; made if it is not there.
    dates : date, str or int, or several
        Days to write, as dates or ``YYYY-MM-DD``; of a stack without dates, numbers of slices.
    slices : sequence of int
        More slices to write.
    every : str or int, optional
        Steps between more days to write: days, or as ``10d``, ``2w``, ``1m`` or ``1y``.
    start, end : date, str or int, optional
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
        GTiff or COG; by default what the scenes are. Or Zarr or NetCDF: one cube of all dates,
        ``cube.zarr`` or ``cube.nc``, which has them all or is not there.
    preview : bool
        Also draw all dates, as ``preview.gif`` and ``preview.png``.
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
        error=error, driver=None if driver in CUBES else driver, creation_options=creation_options,
        device=device, model=model, method=method, window=window, overlap=overlap, batch=batch,
        sharp=sharp, seed=seed,
    )  # fmt: skip
    with open_series(series, clouds=clouds, cloud_mask=cloud_mask) as stack:
        days = asked(stack, (*_several(dates), *slices), every=every, start=start, end=end)
        with _folder(Path(out)) as folder:
            job = _Job(stack, days, folder, request, overwrite, progress)
            pictures = previews(folder, overwrite=overwrite) if preview else None
            made = job.rasters() if driver not in CUBES else job.cube(str(driver))
            if pictures is None:
                return made
            labels = [str(stack.label(day)) for day in days]
            draw(made.paths, labels, pictures, stack.wavelengths)
            return replace(made, previews=pictures)


def asked(
    stack: Stack,
    dates: When | Sequence[When] = (),
    *,
    every: str | int | None = None,
    start: When | None = None,
    end: When | None = None,
) -> list[date]:
    """The days that a user means, in order; see `interpolate`.

    Raises
    ------
    InputError
        If there is none, or one cannot be understood.
    """
    days = {_day(day, stack) for day in _several(dates)}
    if every is not None:
        known = [day for day in stack.dates if day is not None]
        first = min(known) if start is None else _day(start, stack)
        last = max(known) if end is None else _day(end, stack)
        if last < first:
            raise InputError(f"the first, {stack.label(first)}, is after the last, "
                             f"{stack.label(last)}")  # fmt: skip
        for day in _steps(first, every, months=not stack.numbered):
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


def _several(dates: When | Sequence[When]) -> list[When]:
    return [dates] if isinstance(dates, date | str | int) else list(dates)


def _day(when: When, stack: Stack) -> date:
    """A day as the stack counts them."""
    if stack.numbered:
        try:
            return EPOCH + timedelta(days=int(str(when)))
        except (ValueError, OverflowError):
            raise InputError(
                f"the stack has slice numbers instead of dates: ask for slices, not {when}"
            ) from None
    if isinstance(when, int):
        raise InputError(f"the series has dates: ask for days such as 2024-05-11, not {when}")
    try:
        return when if isinstance(when, date) else date.fromisoformat(when)
    except ValueError:
        raise InputError(f"dates are days such as 2024-05-11, got {when!r}") from None


def _steps(first: date, every: str | int, *, months: bool) -> Iterator[date]:
    """Days from ``first`` on, without end."""
    match = _STEP.fullmatch(str(every).strip())
    count, unit = (int(match[1]), (match[2] or "d").lower()) if match else (0, "")
    if not 0 < count < 10**6 or (not months and unit != "d"):
        raise InputError(f"steps are as {'10d, 2w, 1m or 1y' if months else 2}, got {every!r}")
    number = 0
    while True:
        if unit in "dw":
            yield first + timedelta(days=number * count * (7 if unit == "w" else 1))
        else:
            month = first.month - 1 + number * count * (12 if unit == "y" else 1)
            year, month = first.year + month // 12, month % 12 + 1
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


@dataclass(frozen=True, slots=True)
class _Job:
    """What is written, of what, and where."""

    stack: Stack
    days: Sequence[date]
    folder: Path
    request: Request
    overwrite: bool
    progress: Progress | None

    def rasters(self) -> Season:
        """Write a raster for each date, and the list of all."""
        paths = [self.folder / f"{self._stem(day)}.tif" for day in self.days]
        inputs = [file for files in self.stack.files for file in files]
        for path in paths:
            named = output_paths(path, error=self.request.error)
            check_targets(named, inputs, overwrite=self.overwrite)
        check_list(self.folder, overwrite=self.overwrite)
        outcomes: Outcomes = {}
        results = [
            self._one(day, path, outcomes, _part(self.progress, number, len(paths)))
            for number, (day, path) in enumerate(zip(self.days, paths, strict=True))
        ]
        listed = write_collection(self.folder)
        notes = dict.fromkeys(note for result in results for note in result.warnings)
        about = {"type": "FeatureCollection", "features": [dict(r.item) for r in results]}
        return Season(tuple(paths), tuple(results), listed, tuple(notes), about)

    def cube(self, kind: str) -> Season:
        """Write all dates as one cube."""
        from geot2t.xr.files import write_cube  # dask and xarray, which rasters do without

        path = self.folder / f"cube.{CUBES[kind]}"
        refuse(path, overwrite=self.overwrite)
        about = write_cube(self.stack, self.days, path, self.request, progress=self.progress)
        return Season((path,), (), None, tuple(dict.fromkeys(self.stack.notes)), about)

    def _stem(self, day: date) -> str:
        """Name of a raster without its ending; numbers of slices get as many digits."""
        label = self.stack.label(day)
        if not isinstance(label, int):
            return str(label)
        most = max(*self.days, *(d for d in self.stack.dates if d is not None))
        return f"slice_{label:0{max(len(str(self.stack.label(most))), 3)}d}"

    def _one(self, day: date, path: Path, outcomes: Outcomes, progress: Progress | None) -> Result:
        """Write the raster of one date."""
        at, observed = scene_for(self.stack, day)
        scene, request = self.stack.retarget(at), replace(self.request, date=day)
        with outputs_of(
            scene, path, request, overwrite=self.overwrite, missing=not observed
        ) as outputs:
            work = Work(scene, request, missing=None if observed else day, outcomes=outcomes)
            return replace(fill_whole(work, outputs, progress), path=path)


def scene_for(stack: Stack, day: date) -> tuple[int, bool]:
    """The date of a stack whose grid and metadata a raster of ``day`` gets, and if it is that day.

    A scene of the day on another grid would have to be resampled: it is evidence like any other.
    """
    there = [(abs((stack.dates[i] or day) - day), i) for i in stack.targets]
    _, at = min(there)
    return at, stack.dates[at] == day


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress of one date among all."""
    if progress is None:
        return None

    def update(done: int, total: int) -> None:
        progress(number * total + done, count * total)

    return update
