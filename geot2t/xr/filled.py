"""From an xarray object to its tasks, and from their results to an xarray object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute
from numpy.typing import NDArray

from geot2t.baselines import METHODS
from geot2t.errors import InputError
from geot2t.fill import Estimates
from geot2t.grid import Box
from geot2t.methods import check_method
from geot2t.request import check_samples, check_windows
from geot2t.stream import Rules
from geot2t.xr.cube import Cube, Object, same_grid, understand
from geot2t.xr.graph import build
from geot2t.xr.reading import Group
from geot2t.xr.results import assembled
from geot2t.xr.tasks import Job, Recipe, Target

Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class Options:
    """What may be asked of a fill; see `geot2t.xr.inpaint`."""

    series: Object | Sequence[Object] | None = None
    cloud_mask: xr.DataArray | None = None
    clouds: str = "auto"
    date: date | None = None
    max_error: float | None = None
    max_distance: int = 64
    keep_nodata: bool = False
    max_gap: float | None = None
    error: bool = True
    device: str = "auto"
    model: str | Path | Estimates | None = None
    method: str = "auto"
    window: int = 256
    overlap: int = 64
    batch: int = 1
    sharp: bool = False
    samples: int = 0
    seed: int = 0


def inpaint(like: Object, dates: Any, options: Options) -> xr.Dataset:
    """See `geot2t.xr.inpaint`."""
    request = _Request(like, options)
    cube = request.cube
    chosen = list(range(len(cube.times)))
    if dates is not None:
        if cube.axes.time is None:
            raise InputError("dates chooses among those of a dim time, and there is none")
        chosen = [i for day in _asked(dates) for i in request.on(day)]
    return request.run([request.observed(i) for i in chosen], kept=chosen)


def interpolate(like: Object, dates: Any, options: Options) -> xr.Dataset:
    """See `geot2t.xr.interpolate`."""
    request = _Request(like, options)
    if np.isnat(request.cube.times).any():
        raise InputError("the date of the array is not known; pass date")
    asked = _asked(dates)
    targets = []
    for day in asked:
        there = request.on(day, missing=True)
        targets.append(request.observed(there[0]) if there else request.missing(day))
    return request.run(targets, times=asked)


class _Request:
    """A cube, its other dates, and what is to be done with them."""

    def __init__(self, like: Object, options: Options) -> None:
        rules = Rules(options.max_error, options.max_distance, options.keep_nodata, options.max_gap)
        check_windows(options.window, options.overlap, options.batch)
        check_samples(options.samples)
        model = options.model
        if model is None or isinstance(model, str | Path):
            check_method(options.method, model=model is not None, adapt=False)
        cube = self.cube = understand(
            like, clouds=options.clouds, cloud_mask=options.cloud_mask, when=options.date
        )
        others = [_matched(cube, o, options.clouds) for o in _several(options.series)]
        if others and np.isnat(cube.times).any():
            raise InputError("the date of the array is not known, and a series needs it; pass date")
        self._cubes = [cube, *others]
        self._days = np.concatenate([c.days for c in self._cubes])
        recipe = Recipe(
            options.method,
            model,
            _written(model),
            options.device,
            tuple(None if np.isnan(w) else float(w) for w in cube.wavelengths),
            options.window - options.overlap if options.sharp else None,
            options.seed,
        )
        # What the user chose must be found wrong before any work, what is built in cannot be.
        if model is not None or options.device not in ("auto", "cpu") or options.method in METHODS:
            recipe.estimates()
        self.job = Job(
            Box(0, 0, *cube.values.shape[2:]),
            tuple(self._days.tolist()),
            tuple(c.bands for c in self._cubes),
            cube.values.dtype,
            cube.values.shape[1],
            recipe,
            rules,
            options.window,
            options.overlap,
            options.batch,
            options.error,
            options.samples,
        )

    def on(self, day: np.datetime64, *, missing: bool = False) -> list[int]:
        """Dates of the cube on a day."""
        days = self.cube.times.astype("datetime64[D]")
        found = np.flatnonzero(days == day.astype("datetime64[D]")).tolist()
        if not found and not missing:
            raise InputError(
                f"there is no date {day.astype('datetime64[D]')}; there are {days.min()} to "
                f"{days.max()}, and geot2t.interpolate makes others"
            )
        return found

    def observed(self, index: int) -> Target:
        """A date of the cube; what else was taken on that day tells no more of it."""
        day = self._days[index]
        dates = [i for i, d in enumerate(self._days) if i == index or d != day]
        dates.sort(key=lambda i: self._days[i])
        return Target(float(day), index, tuple(dates))

    def missing(self, time: np.datetime64) -> Target:
        """A date that nobody observed."""
        day = float(time.astype("datetime64[D]").astype("int64"))
        dates: list[int | None] = [int(i) for i in np.argsort(self._days, kind="stable")]
        dates.insert(int((self._days < day).sum()), None)
        return Target(day, None, tuple(dates))

    def run(
        self,
        targets: Sequence[Target],
        *,
        kept: Sequence[int] | None = None,
        times: Times | None = None,
    ) -> xr.Dataset:
        """Fill ``targets``, which are dates of the cube or stand at other times."""
        if not targets:
            raise InputError("no date was asked for")
        lazy = any(cube.lazy for cube in self._cubes)
        group = Group.compact if lazy else lambda values, codes, _: Group(values, codes)
        groups = [group(cube.values, cube.codes, cube.bands) for cube in self._cubes]
        arrays = build(self.job, targets, groups, whole=not lazy)
        if lazy:
            arrays = {name: _chunked_like(a, self.cube) for name, a in arrays.items()}
        else:
            # As on the command line: one window at a time, with all of torch's threads.
            done = compute(*arrays.values(), scheduler="synchronous")
            arrays = dict(zip(arrays, done, strict=True))
        return assembled(self.cube, arrays, self.job.recipe, kept=kept, times=times)


def _several(series: Object | Sequence[Object] | None) -> Sequence[Object]:
    if series is None:
        return ()
    return [series] if isinstance(series, xr.DataArray | xr.Dataset) else list(series)


def _written(model: object) -> int | None:
    path = Path(model) if isinstance(model, str | Path) else None
    return path.stat().st_mtime_ns if path is not None and path.is_file() else None


def _asked(dates: Any) -> Times:
    """The dates that a user means, each a datetime64."""
    try:
        times: Times = np.atleast_1d(np.asarray(dates, "datetime64[ns]")).ravel()
    except (ValueError, TypeError) as error:
        raise InputError(f"dates must be days such as '2024-05-11', got {dates!r}") from error
    if np.isnat(times).any():
        raise InputError("a date that was asked for is not known (NaT)")
    return times


def _matched(cube: Cube, other: Object, clouds: str) -> Cube:
    """Other dates, with the bands of ``cube`` in their order.

    Raises
    ------
    InputError
        If the grid or the bands differ.
    """
    found = understand(other, clouds=clouds)
    if np.isnat(found.times).any():
        raise InputError("the series must say when each of its dates is: give it a coordinate time")
    same_grid(cube, found)
    count = len(cube.bands.data)
    if len(found.bands.data) != count:
        raise InputError(f"the series has {len(found.bands.data)} bands, the array has {count}")
    mine, theirs = ([n.casefold() for n in c.names] for c in (cube, found))
    if all(mine) and len(set(mine)) == count and set(mine) == set(theirs):
        return found.reordered([theirs.index(name) for name in mine])
    return found


def _chunked_like(array: da.Array, cube: Cube) -> da.Array:
    """The chunks of the input; along time where it has as many dates."""
    time, band, y, x = cube.values.chunks
    dates = time if array.shape[0] == sum(time) else max(time)
    sizes = (dates, y, x) if array.ndim == 3 else (dates, *array.chunks[1:-3], band, y, x)
    out: da.Array = array.rechunk(sizes)
    return out
