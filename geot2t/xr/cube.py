"""What an xarray object holds, by its dims, coordinates, attributes and encoding."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import is_dask_collection
from numpy.typing import NDArray

from geot2t import sensors
from geot2t.arrays import Bands
from geot2t.clouds import EMPTY, HIDDEN, QA_KINDS, decode, dilate
from geot2t.errors import InputError
from geot2t.io.header import find_date
from geot2t.xr.bands import STORAGE, bands_of, labels, wavelengths_of
from geot2t.xr.dims import Axes, axes_of, canonical, check_grid, flat, pixel_metres, spatial

_KINDS = {kind.casefold(): kind for kind in QA_KINDS}
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")

Object = xr.DataArray | xr.Dataset


@dataclass(frozen=True)
class Cube:
    """Dates and bands of an xarray object as one array."""

    like: Object
    """As it was given."""

    given: dict[Hashable, xr.Variable]
    """What holds the bands, by name: a variable each, or one with all of them."""

    axes: Axes
    """Of those variables."""

    values: da.Array
    """As stored, ``(time, band, y, x)``."""

    codes: da.Array | None
    """Bits `HIDDEN` and `EMPTY`, uint8 ``(time, y, x)``; None where nothing marks clouds."""

    bands: Bands
    """What the bands hold."""

    names: tuple[str, ...]
    """Names of the bands that measure, empty where there is none."""

    wavelengths: NDArray[np.float32]
    """Micrometres of the same, NaN where unknown."""

    times: NDArray[np.datetime64]
    """Of each date; NaT where it is not known."""

    lazy: bool
    """Whether any part of it is a dask array."""

    @property
    def days(self) -> NDArray[np.float32]:
        """Days since 1970-01-01, NaN where not known, shape ``(time,)``."""
        since = self.times.astype("datetime64[D]").astype("float64")
        return np.where(np.isnat(self.times), np.nan, since).astype("float32")

    def reordered(self, order: Sequence[int]) -> Cube:
        """The same with its measuring bands in another order."""
        bands = self.bands
        some = Bands(
            tuple(bands.data[i] for i in order),
            bands.scale[list(order)],
            bands.offset[list(order)],
            tuple(bands.nodata[i] for i in order),
            tuple(bands.packing[i] for i in order),
        )
        return replace(self, bands=some, names=tuple(self.names[i] for i in order))


def understand(
    like: Object,
    *,
    clouds: str = "auto",
    cloud_mask: xr.DataArray | None = None,
    when: date | None = None,
) -> Cube:
    """Read from an xarray object what is in it; no pixel is looked at.

    Parameters
    ----------
    like : DataArray or Dataset
        With dims for rows and columns, and for time and bands where there are several. The bands
        of a data set may be variables.
    clouds : str
        ``auto`` or ``qa``: quality bands say where the ground was hidden; ``none``: they do not.
    cloud_mask : DataArray, optional
        Not zero where the ground was hidden.
    when : datetime.date, optional
        Date of an object without time.

    Raises
    ------
    InputError
        If dims, types or dates are not what can be filled.
    """
    if clouds not in ("auto", "qa", "none"):
        raise InputError(
            f"clouds={clouds!r} is for files; for arrays use auto, qa or none, and give what a "
            "detector finds as cloud_mask"
        )
    if isinstance(like, xr.Dataset):
        variables, quality = _of_dataset(like)
        given = {v.name: like.variables[v.name] for v in variables}
    else:
        variables, quality, given = [like], [], {like.name: like.variable}
    axes = axes_of(variables[0])
    parts = [canonical(v, axes) for v in variables]
    _check_alike(variables)
    values: da.Array = parts[0] if len(parts) == 1 else da.concatenate(parts, axis=1)
    called = labels(variables, axes, values.shape[1])
    kinds = {i: _KINDS[n.casefold()] for i, n in enumerate(called) if n.casefold() in _KINDS}
    data = tuple(i for i in range(len(called)) if i not in kinds)
    if not data:
        raise InputError(f"there is no band to fill, only {', '.join(kinds.values())}")
    codes = None
    if clouds != "none":
        metres = pixel_metres(variables[0], axes)
        found = [(kind, values[:, i]) for i, kind in kinds.items()]
        found += [(_KINDS[str(v.name).casefold()], flat(v, axes)) for v in quality]
        for kind, band in found:
            codes = _joined(codes, _decoded(kind, band, metres))
    if cloud_mask is not None:
        codes = _joined(codes, _hidden(cloud_mask, variables[0], axes))
    names = tuple(called[i] for i in data)
    return Cube(
        like,
        given,
        axes,
        values,
        codes,
        bands_of(variables, len(called), data),
        names,
        wavelengths_of(variables[0], axes, names, data),
        _times(variables[0], axes, when),
        any(is_dask_collection(v.variable) for v in (*variables, *quality))
        or (cloud_mask is not None and is_dask_collection(cloud_mask.variable)),
    )


def _of_dataset(like: xr.Dataset) -> tuple[list[xr.DataArray], list[xr.DataArray]]:
    """Variables that hold bands, and those that are quality rasters."""
    rasters = [v for v in like.data_vars.values() if spatial(v) is not None]
    quality = [v for v in rasters if str(v.name).casefold() in _KINDS]
    bands = [
        v
        for v in rasters
        if not any(v is q for q in quality)
        and v.dtype.kind in "iuf"
        and not any(flag in v.attrs for flag in _FLAGS)
    ]
    if not bands:
        raise InputError(f"no variable of {list(like.data_vars)} is a raster of measurements")
    if len(bands) > 1 and len({v.dims for v in bands}) > 1:
        shown = ", ".join(f"{v.name} {v.dims}" for v in bands)
        raise InputError(f"the variables differ in dims: {shown}; choose with ds[[...]]")
    if len(bands) > 1 and axes_of(bands[0]).band is not None:
        raise InputError(
            f"each of {[v.name for v in bands]} has several bands; fill one of them at a time"
        )
    # DataArray.to_dataset("band") hands the attributes of the array to the data set.
    shared = {key: like.attrs[key] for key in STORAGE if key in like.attrs}
    return [v.assign_attrs({**shared, **v.attrs}) for v in bands], quality


def _check_alike(variables: Sequence[xr.DataArray]) -> None:
    types = {str(v.dtype) for v in variables}
    if len(types) > 1:
        shown = ", ".join(f"{v.name} {v.dtype}" for v in variables)
        raise InputError(f"the bands differ in type: {shown}; choose with ds[[...]], or convert")


def _times(variable: xr.DataArray, axes: Axes, when: date | None) -> NDArray[np.datetime64]:
    if axes.time is None:
        time = variable.coords.get("time")
        if when is not None:
            return np.array([when], "datetime64[ns]")
        if time is not None and time.ndim == 0 and time.dtype.kind == "M":
            return np.atleast_1d(time.values)
        tags = {str(k).upper(): v for k, v in variable.attrs.items() if isinstance(v, str)}
        return np.array([find_date(tags, "")[0] or "NaT"], "datetime64[ns]")
    if when is not None:
        raise InputError(f"the dim {axes.time} says when each date is; leave out date")
    times = variable[axes.time]
    if axes.time not in variable.coords or times.dtype.kind != "M":
        raise InputError(
            f"the dim {axes.time} must have dates (datetime64), it has {times.dtype}; assign them "
            f"with assign_coords({axes.time}=...)"
        )
    if np.isnat(times.values).any():
        raise InputError(f"a date of the dim {axes.time} is not known (NaT)")
    return np.asarray(times.values)


def _decoded(kind: str, band: da.Array, metres: float) -> da.Array:
    """Codes ``(time, y, x)`` of a quality band, clouds grown as in files."""
    radius = sensors.SOFT_EDGE_METRES.get(kind, 0.0) / metres
    depth = {1: int(radius), 2: int(radius)}
    codes: da.Array = da.map_overlap(
        _decode, band, depth=depth, boundary="none", dtype="uint8", kind=kind, radius=radius
    )
    return codes


def _decode(band: NDArray[Any], kind: str, radius: float) -> NDArray[np.uint8]:
    """The same of one chunk; a quality value that is not known counts as no data."""
    known = np.isfinite(band) if band.dtype.kind == "f" else np.ones(band.shape, bool)
    codes = decode(kind, np.where(known, band, 0).astype("int64"))
    codes[~known] = EMPTY
    grown = np.stack([dilate(date == HIDDEN, radius) for date in codes])
    return codes | np.where(grown, np.uint8(HIDDEN), np.uint8(0))


def _hidden(cloud_mask: xr.DataArray, variable: xr.DataArray, axes: Axes) -> da.Array:
    """Codes of a cloud mask, which may lack time, or show fewer dates."""
    if not isinstance(cloud_mask, xr.DataArray):
        raise InputError(f"cloud_mask must be a DataArray, got {type(cloud_mask).__name__}")
    own = (axes.time, axes.y, axes.x)
    idle = [d for d, n in cloud_mask.sizes.items() if n == 1 and d not in own]
    cloud_mask = cloud_mask.squeeze(idle, drop=True)  # as rioxarray opens a file of one band
    check_grid("cloud_mask", cloud_mask, variable, axes)
    hidden = (cloud_mask != 0).astype("uint8") * np.uint8(HIDDEN)
    if axes.time is not None and axes.time in hidden.coords:
        hidden = hidden if axes.time in hidden.dims else hidden.expand_dims(axes.time)
        strange = set(hidden[axes.time].values) - set(variable[axes.time].values)
        if strange:
            raise InputError(f"cloud_mask has dates that the array lacks: {sorted(strange)}")
        hidden = hidden.reindex({axes.time: variable[axes.time]}, fill_value=np.uint8(0))
    elif axes.time is not None:
        hidden = hidden.expand_dims({axes.time: variable.sizes[axes.time]})
    return flat(hidden, axes)


def same_grid(cube: Cube, series: Cube) -> None:
    """Refuse a series whose pixels are not those of ``cube``; InputError."""
    one, other = (
        c.like if isinstance(c.like, xr.DataArray) else c.like[next(iter(c.given))]
        for c in (cube, series)
    )
    names = {series.axes.y: cube.axes.y, series.axes.x: cube.axes.x}
    check_grid("series", other.rename({k: v for k, v in names.items() if k != v}), one, cube.axes)


def _joined(codes: da.Array | None, more: da.Array) -> da.Array:
    return more if codes is None else codes | more
