"""The public functions that take files and xarray objects alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from geot2t import jobs, seasons
from geot2t.errors import InputError
from geot2t.filling import Result

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from geot2t.difference.job import Change


@overload
def inpaint(scene: str | Path, *args: Any, **options: Any) -> Result: ...
@overload
def inpaint(scene: DataArray | Dataset, **options: Any) -> Dataset: ...
def inpaint(
    scene: str | Path | DataArray | Dataset, *args: Any, **options: Any
) -> Result | Dataset:
    """Fill the unobserved pixels of a raster file, or of a cube of xarray.

    Parameters
    ----------
    scene : str, Path, DataArray or Dataset
        What to fill. A file's filled raster is written beside it.
    *args, **options
        For a file as for `geot2t.jobs.inpaint`, for a cube as for `geot2t.xr.inpaint`. Most are
        the same: series, cloud_mask, clouds, date, max_error, max_distance, keep_nodata, error,
        device, model, method, window, overlap, batch, sharp, samples, seed.

    Returns
    -------
    Result or Dataset
        Of a file what was written and found; of a cube the filled one, lazily where it is lazy.

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the output cannot be used.
    """
    if isinstance(scene, str | Path):
        return jobs.inpaint(scene, *args, **options)
    from geot2t import xr  # costs xarray, which files do without

    return xr.inpaint(_cube(scene), *args, **options)


@overload
def interpolate(
    cube: str | Path | Sequence[str | Path], out: str | Path, *args: Any, **options: Any
) -> seasons.Season: ...
@overload
def interpolate(cube: DataArray | Dataset, dates: Any, **options: Any) -> Dataset: ...
def interpolate(cube: Any, *args: Any, **options: Any) -> seasons.Season | Dataset:
    """Predict whole dates of a series of files, or of a cube of xarray, observed or not.

    Parameters
    ----------
    cube : str or Path, or several; DataArray or Dataset
        A folder, files or patterns; or a cube.
    *args, **options
        For files as for `geot2t.seasons.interpolate`: the folder to write to, then the dates. For
        a cube as for `geot2t.xr.interpolate`: the dates.

    Returns
    -------
    Season or Dataset
        Of files what was written and found; of a cube its values at the dates, lazily where the
        cube is lazy.

    Raises
    ------
    Geot2tError
        If the cube, a date, an option or the model cannot be used.
    """
    several = isinstance(cube, list | tuple) and cube
    if all(isinstance(c, str | Path) for c in (cube if several else [cube])):
        return seasons.interpolate(cube, *args, **options)
    from geot2t import xr

    return xr.interpolate(_cube(cube), *args, **options)


def change(before: str | Path, after: str | Path, *args: Any, **options: Any) -> Change:
    """Compare two dates of a place, and write what changed beyond season, light and noise.

    Parameters
    ----------
    before, after : str or Path
        Rasters of one place with the same bands.
    *args, **options
        As for `geot2t.difference.job.change`: out, series, cloud_mask, clouds, date, false_alarm,
        min_area, report, overwrite, device, model, method, window, overlap, batch, seed.

    Returns
    -------
    Change

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the output cannot be used.
    """
    from geot2t.difference import job  # not needed to fill

    return job.change(before, after, *args, **options)


def _cube(cube: Any) -> DataArray | Dataset:
    import xarray

    if isinstance(cube, xarray.DataArray | xarray.Dataset):
        return cube
    raise InputError(f"geot2t takes a path, a DataArray or a Dataset, not {type(cube).__name__}")
