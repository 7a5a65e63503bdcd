"""Which dims of an xarray object are rows, columns, bands and dates, and where its pixels lie."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import is_dask_collection

from geot2t.errors import InputError
from geot2t.io.header import pixel_metres_of

ROWS = ("y", "latitude", "lat", "northing")
COLUMNS = ("x", "longitude", "lon", "easting")
TIMES = ("time", "t")


@dataclass(frozen=True)
class Axes:
    """Names of the dims; None where there is no such dim."""

    time: Hashable | None
    band: Hashable | None
    y: Hashable
    x: Hashable

    @property
    def all(self) -> tuple[Hashable, ...]:
        """Those there are, in the order ``time, band, y, x``."""
        return tuple(d for d in (self.time, self.band, self.y, self.x) if d is not None)


def spatial(variable: xr.DataArray) -> tuple[Hashable, Hashable] | None:
    """Dims of rows and columns, by name or as CF says."""
    y = _named(variable, ROWS, "Y", ("projection_y_coordinate", "latitude"))
    x = _named(variable, COLUMNS, "X", ("projection_x_coordinate", "longitude"))
    return None if y is None or x is None else (y, x)


def _named(
    variable: xr.DataArray, names: Sequence[str], axis: str, standard: Sequence[str]
) -> Hashable | None:
    for name in names:
        if name in variable.dims:
            return name
    for dim in variable.dims:
        attrs = variable.coords[dim].attrs if dim in variable.coords else {}
        if attrs.get("axis") == axis or attrs.get("standard_name") in standard:
            return dim
    return None


def axes_of(variable: xr.DataArray) -> Axes:
    """The dims of a raster, whatever their order.

    Raises
    ------
    InputError
        If rows and columns cannot be told, or there are more dims than four.
    """
    found = spatial(variable)
    if found is None:
        raise InputError(
            f"which dims are rows and columns? There are {variable.dims}; rename two of them to "
            "y and x"
        )
    y, x = found
    time = _named(variable, TIMES, "T", ("time",))
    rest = [d for d in variable.dims if d not in (y, x, time)]
    if time is None:
        time = next((d for d in rest if variable[d].dtype.kind == "M"), None)
        rest = [d for d in rest if d != time]
    if len(rest) > 1:
        raise InputError(f"dims {variable.dims} are too many: beside time, y and x there is one")
    return Axes(time, rest[0] if rest else None, y, x)


def canonical(variable: xr.DataArray, axes: Axes) -> da.Array:
    """Pixels as a dask array ``(time, band, y, x)``."""
    if variable.dtype.kind not in "iuf":
        raise InputError(f"{variable.name or 'the array'} holds {variable.dtype}, not numbers")
    if not variable.size:
        raise InputError(f"the array is empty: {dict(variable.sizes)}")
    array = _dask(variable.transpose(*axes.all).data)
    if axes.band is None:
        array = array[..., None, :, :]
    return array if axes.time is not None else array[None]


def _dask(data: Any) -> da.Array:
    # Named at random: hashing all pixels of an array in memory would take longer.
    array: da.Array = data
    if not is_dask_collection(data):
        array = da.from_array(data, chunks=-1, name=False)
    return array


def flat(variable: xr.DataArray, axes: Axes) -> da.Array:
    """A variable without bands, as ``(time, y, x)``."""
    if axes.time is not None and axes.time not in variable.dims:
        variable = variable.expand_dims({axes.time: 1})
    dims = [d for d in (axes.time, axes.y, axes.x) if d is not None]
    if set(variable.dims) != set(dims):
        raise InputError(f"{variable.name} has dims {variable.dims}, not {tuple(dims)}")
    array = _dask(variable.transpose(*dims).data)
    return array if axes.time is not None else array[None]


def check_grid(name: str, other: xr.DataArray, variable: xr.DataArray, axes: Axes) -> None:
    """Refuse an array whose pixels are not those of ``variable``."""
    for dim in (axes.y, axes.x):
        if other.sizes.get(dim) != variable.sizes[dim]:
            raise InputError(
                f"{name} has {dict(other.sizes)} pixels, the array {dict(variable.sizes)}; bring "
                f"it onto the array's grid, for instance with {name}.rio.reproject_match"
            )
        if dim in other.coords and dim in variable.coords:
            mine, theirs = (np.asarray(v[dim].values, "float64") for v in (variable, other))
            pixel = np.abs(np.diff(mine)).min(initial=np.inf)
            away = np.abs(mine - theirs).max()
            if away > (0.01 * pixel if np.isfinite(pixel) else 0):
                raise InputError(
                    f"{name} lies on another grid: its {dim} differs by up to {away:g}; bring it "
                    f"onto the array's grid, for instance with {name}.rio.reproject_match"
                )


def pixel_metres(variable: xr.DataArray, axes: Axes) -> float:
    """Length of a pixel; 10 m, which quality rasters were made at, where it is not known."""
    x, y = (np.asarray(variable[d].values, "float64") for d in (axes.x, axes.y))
    mapping = variable.encoding.get("grid_mapping") or variable.attrs.get("grid_mapping")
    place = variable.coords.get(mapping or "spatial_ref")
    crs = None if place is None else place.attrs.get("crs_wkt", place.attrs.get("spatial_ref"))
    crs = crs or variable.attrs.get("crs") or variable.attrs.get("epsg")
    if crs is None and str(axes.y) in ("latitude", "lat"):
        crs = "EPSG:4326"
    if crs is None or axes.x not in variable.coords or min(x.size, y.size) < 2:
        return 10.0
    return pixel_metres_of(crs, x, y) or 10.0
