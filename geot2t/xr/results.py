"""Filled arrays as an xarray data set like the object they came from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geot2t import __version__
from geot2t.errors import InputError
from geot2t.xr.cube import Cube
from geot2t.xr.dims import Axes
from geot2t.xr.tasks import Recipe

PROVENANCE: dict[str, Any] = {
    "long_name": "where the value is from",
    "flag_values": np.arange(4, dtype="uint8"),
    "flag_meanings": "not_filled observed predicted_from_other_dates predicted_from_surroundings",
}
"""Attributes of ``provenance``, as CF writes them."""

# Not as an attribute units: xarray would read the numbers as a timedelta.
DAYS: dict[str, Any] = {"long_name": "days to the nearest date used, 255 = none or more"}
"""Attributes of ``days``."""

_PLACE = ("grid_mapping", "AREA_OR_POINT")


def assembled(
    cube: Cube,
    arrays: Mapping[str, Any],
    recipe: Recipe,
    *,
    kept: Sequence[int] | None = None,
    times: NDArray[np.datetime64] | None = None,
) -> xr.Dataset:
    """A data set of what was filled.

    Parameters
    ----------
    cube : Cube
        What was given.
    arrays : mapping of str to array
        ``filled`` and perhaps ``error``, ``(time, band, y, x)``, ``provenance`` and ``days``,
        ``(time, y, x)``, and perhaps ``samples``, ``(time, sample, band, y, x)``.
    recipe : Recipe
        What filled.
    kept : sequence of int, optional
        Which dates of the cube they are, or
    times : ndarray of datetime64, optional
        at which other times they stand.

    Raises
    ------
    InputError
        If a name that is needed is taken.
    """
    axes = cube.axes
    if times is not None and axes.time is None:
        axes = replace(axes, time="time")
    frame = _frame(cube, axes, kept, times)
    alone = isinstance(cube.like, xr.DataArray)
    made: dict[Hashable, xr.Variable] = {}
    errors: dict[Hashable, xr.Variable] = {}
    for i, (name, old) in enumerate(cube.given.items()):
        bands = [i] if len(cube.given) > 1 else _bands(cube, times)
        made["filled" if alone else name] = _like(old, axes, arrays["filled"], bands)
        if "error" in arrays:
            half = _like(old, axes, arrays["error"], bands)
            half.attrs, half.encoding = _error_attrs(name, old), _place(old.encoding)
            errors["error" if alone else f"{name}_error"] = half
        if "samples" in arrays:
            drawn = arrays["samples"]
            each = [_like(old, axes, drawn[:, k], bands) for k in range(drawn.shape[1])]
            joined = xr.Variable.concat(each, "sample")
            errors["samples" if alone else f"{name}_samples"] = joined
    flat = (*(() if axes.time is None else (axes.time,)), axes.y, axes.x)
    for name, attrs in (("provenance", PROVENANCE), ("days", DAYS)):
        array = arrays[name] if axes.time is not None else arrays[name][0]
        made[name] = xr.Variable(flat, array, attrs | _place(old.attrs), _place(old.encoding))
    made |= errors
    if taken := set(made) & set(frame.variables):
        raise InputError(f"{sorted(map(str, taken))} would be replaced; rename or drop it first")
    out = frame.assign(made)
    out.attrs |= {"geot2t_version": __version__, "geot2t_method": recipe.method}
    if recipe.model is not None:
        named = isinstance(recipe.model, str | Path)
        out.attrs["geot2t_model"] = str(recipe.model) if named else type(recipe.model).__name__
    return out


def _frame(
    cube: Cube, axes: Axes, kept: Sequence[int] | None, times: NDArray[np.datetime64] | None
) -> xr.Dataset:
    """All that stays as it was."""
    if isinstance(cube.like, xr.DataArray):
        frame = cube.like.coords.to_dataset()
    else:
        frame = cube.like.drop_vars(cube.given)
    if times is None:
        if axes.time is None or kept == list(range(len(cube.times))):
            return frame
        return frame.isel({axes.time: kept})
    old = frame.variables.get(axes.time)
    stale = [
        name
        for name, v in frame.variables.items()
        if axes.time in v.dims or name == axes.time
        or (name in frame.data_vars and {axes.y, axes.x} <= set(v.dims))
    ]  # fmt: skip
    frame = frame.drop_vars(stale)
    if axes.band in frame.dims:
        frame = frame.isel({axes.band: _bands(cube, times)})
    return frame.assign_coords({axes.time: (axes.time, times, {} if old is None else old.attrs)})


def _bands(cube: Cube, times: NDArray[np.datetime64] | None) -> list[int]:
    """Bands of the result: a quality band is handed on, but no date invents one."""
    return list(range(cube.values.shape[1]) if times is None else cube.bands.data)


def _like(old: xr.Variable, axes: Axes, array: Any, bands: list[int]) -> xr.Variable:
    """Some bands of ``array (time, band, y, x)`` with the dims and attributes of ``old``."""
    if len(bands) < array.shape[1]:
        array = array[:, bands]
    if axes.band is None:
        array = array[:, 0]
    if axes.time is None:
        array = array[0]
    order = old.dims if axes.time is None or axes.time in old.dims else (axes.time, *old.dims)
    return xr.Variable(axes.all, array, old.attrs, old.encoding).transpose(*order)


def _place(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: attrs[key] for key in _PLACE if key in attrs}


def _error_attrs(name: Hashable, old: xr.Variable) -> dict[Any, Any]:
    """Attributes of half-widths: those of the values that hold for differences, too."""
    attrs = {key: old.attrs[key] for key in ("units", "scale_factor", "scales") if key in old.attrs}
    label = old.attrs.get("long_name")
    if label is None or isinstance(label, str):
        label = f"half-width of the 90 % interval of {label or name or 'the values'}"
    return {"long_name": label, **attrs, **_place(old.attrs)}
