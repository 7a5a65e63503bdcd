"""Cubes of xarray, filled: lazily where they are dask arrays, with the same pixels as files.

Importing this registers the accessor ``.geot2t``; `import geot2t` does it too. It costs nothing
but xarray: everything else is loaded when something is filled.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

__all__ = ["inpaint", "interpolate"]


def inpaint(cube: xr.DataArray | xr.Dataset, *, dates: Any = None, **options: Any) -> xr.Dataset:
    """Fill the unobserved pixels of a cube.

    A pixel is unobserved where it holds NaN, infinity or the value of ``_FillValue``, where a
    quality band of the cube says so (see ``clouds``), and where ``cloud_mask`` is not zero. All
    other pixels come out bit for bit as they went in.

    Parameters
    ----------
    cube : DataArray or Dataset
        With dims for rows and columns (``y`` and ``x``, or ``latitude`` and ``longitude``), and
        for time and bands where there are several, in any order. Of a data set, each variable
        of measurements is a band. Integers are understood by their attributes ``_FillValue``,
        ``scale_factor`` and ``add_offset``, floating values by NaN.
    dates : date, str, datetime64, or several, optional
        Days to be filled and returned; by default all. The others are used all the same.
    series : DataArray or Dataset, or several, optional
        More dates of the same grid and bands, which are used but not filled.
    cloud_mask : DataArray, optional
        Not zero where the ground was hidden. Without a dim or coordinate for time it holds for
        all dates of ``cube``; dates that it lacks are not hidden.
    clouds : str
        ``auto`` or ``qa``: bands or variables named SCL, MSK_CLDPRB, QA_PIXEL, pixel_qa, BQA or
        Fmask say where the ground was observed. ``none``: they do not. They are never filled.
    date : datetime.date, optional
        Date of a cube without time.
    max_error : float, optional
        Pixels whose 90 % interval is wider than this to either side in any band, in units of
        the cube, are not filled.
    max_distance : int
        Pixels that no other date shows are filled up to this many pixels from an observed one.
    keep_nodata : bool
        Fill only what ``cloud_mask`` or a quality band marks.
    max_gap : float, optional
        Pixels that no date shows within so many days are not filled.
    error : bool
        Return the half-widths of the 90 % intervals too.
    samples : int
        Return so many different plausible fills too.
    device, model, method, window, overlap, batch, sharp, seed
        As for `geot2t.jobs.inpaint`.

    Returns
    -------
    Dataset
        Of dask arrays if ``cube`` or anything beside it is one, with its chunks. The variables:

        - ``filled``: like ``cube``, or for a data set its own variables under their names.
        - ``provenance``: 0 not filled, 1 observed, 2 predicted with evidence from other dates,
          3 predicted from surroundings only; uint8.
        - ``days``: days to the nearest date used, 255 = none or more; uint8.
        - ``error``, or for a data set ``<variable>_error``: half-width of the 90 % interval in
          the units of the values, 0 where observed, NaN where not filled; float32.
        - ``samples``, or for a data set ``<variable>_samples``: if asked for, like ``filled`` with
          a further dim ``sample``.

    Raises
    ------
    Geot2tError
        If the cube, an option or the model cannot be used.
    """
    from geot2t.xr import filled

    return filled.inpaint(cube, dates, filled.Options(**options))


def interpolate(cube: xr.DataArray | xr.Dataset, dates: Any, **options: Any) -> xr.Dataset:
    """Predict whole dates of a cube, whether they were observed or not.

    Parameters
    ----------
    cube : DataArray or Dataset
        As for `inpaint`.
    dates : date, str, datetime64, or several
        Dates of the result. Of a day that the cube has, observed pixels stay as they are.
    **options
        As for `inpaint`, ``keep_nodata`` excepted.

    Returns
    -------
    Dataset
        As of `inpaint`, at ``dates``. Quality bands and other rasters of the cube are left out.

    Raises
    ------
    Geot2tError
        If the cube, a date, an option or the model cannot be used.
    """
    from geot2t.xr import filled

    return filled.interpolate(cube, dates, filled.Options(**options))


@xr.register_dataarray_accessor("geot2t")
@xr.register_dataset_accessor("geot2t")
class Accessor:
    """``cube.geot2t``: what geot2t does with a DataArray or a Dataset."""

    def __init__(self, cube: xr.DataArray | xr.Dataset) -> None:
        self._cube = cube

    def inpaint(self, **options: Any) -> xr.Dataset:
        """Fill the unobserved pixels; see `geot2t.xr.inpaint`."""
        return inpaint(self._cube, **options)

    def interpolate(self, dates: Any, **options: Any) -> xr.Dataset:
        """Predict whole dates; see `geot2t.xr.interpolate`."""
        return interpolate(self._cube, dates, **options)
