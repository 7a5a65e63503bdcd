"""The public functions that take files and xarray objects alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from geot2t import jobs
from geot2t.errors import InputError

if TYPE_CHECKING:
    from xarray import DataArray, Dataset


@overload
def inpaint(scene: str | Path, *args: Any, **options: Any) -> jobs.Result: ...
@overload
def inpaint(scene: DataArray | Dataset, **options: Any) -> Dataset: ...
def inpaint(
    scene: str | Path | DataArray | Dataset, *args: Any, **options: Any
) -> jobs.Result | Dataset:
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


def interpolate(cube: DataArray | Dataset, dates: Any, **options: Any) -> Dataset:
    """Predict whole dates of a cube of xarray, whether they were observed or not.

    Parameters
    ----------
    cube : DataArray or Dataset
    dates : date, str, datetime64, or several
    **options
        As for `geot2t.xr.interpolate`.

    Returns
    -------
    Dataset
        At ``dates``; lazily where the cube is lazy.

    Raises
    ------
    Geot2tError
        If the cube, a date, an option or the model cannot be used.
    """
    from geot2t import xr

    return xr.interpolate(_cube(cube), dates, **options)


def _cube(cube: Any) -> DataArray | Dataset:
    import xarray

    if isinstance(cube, xarray.DataArray | xarray.Dataset):
        return cube
    raise InputError(f"geot2t takes a path, a DataArray or a Dataset, not {type(cube).__name__}")
