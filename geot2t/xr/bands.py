"""What the bands of an xarray object are called, and how their values are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geot2t import sensors
from geot2t.arrays import Bands, Packing
from geot2t.errors import InputError
from geot2t.xr.dims import Axes

FILL = ("_FillValue", "missing_value", "fill_value", "nodata")
"""Attributes that hold the value of missing data, the most telling one first."""

STORAGE = (*FILL, "scale_factor", "add_offset", "scales", "offsets")
"""Attributes that say what values mean."""


def labels(variables: Sequence[xr.DataArray], axes: Axes, count: int) -> list[str]:
    """Names of all bands, empty where there is none."""
    first = variables[0]
    if len(variables) > 1:
        return [str(v.name) for v in variables]
    if axes.band in first.coords and first[axes.band].dtype.kind in "UOT":
        return [str(label) for label in first[axes.band].values]
    long_name = first.attrs.get("long_name", ())
    if not isinstance(long_name, str) and len(long_name) == count:
        return [str(label or "") for label in long_name]
    if axes.band is None:
        return [str(first.name or (long_name if isinstance(long_name, str) else ""))]
    return [""] * count


def bands_of(variables: Sequence[xr.DataArray], count: int, data: tuple[int, ...]) -> Bands:
    """What the bands of some variables hold, as their attributes and encoding say.

    Parameters
    ----------
    variables : sequence of DataArray
        One for each band, or one with all of them.
    count : int
        How many bands there are.
    data : tuple of int
        Which of them hold measurements.

    Raises
    ------
    InputError
        If a scale is 0, or not finite.
    """
    per: dict[str, list[Any]] = {"scale": [], "offset": [], "nodata": [], "packing": []}
    for variable in variables:
        attrs, n = variable.attrs, count // len(variables)
        per["scale"] += _numbers(attrs, "scale_factor", "scales", n, 1.0)
        per["offset"] += _numbers(attrs, "add_offset", "offsets", n, 0.0)
        per["nodata"] += [_nodata(variable)] * n
        per["packing"] += [_packing(variable)] * n
    some = {key: [values[i] for i in data] for key, values in per.items()}
    scale, offset = np.array(some["scale"], "float64"), np.array(some["offset"], "float64")
    if not (np.isfinite(scale) & (scale != 0) & np.isfinite(offset)).all():
        raise InputError(f"scale {scale.tolist()} and offset {offset.tolist()} cannot be used")
    return Bands(data, scale, offset, tuple(some["nodata"]), tuple(some["packing"]))


def _numbers(
    attrs: Mapping[Any, Any], one: str, each: str, count: int, default: float
) -> list[float]:
    """A number for each band: rioxarray has one attribute for all, or another for each."""
    found = attrs.get(one, attrs.get(each, default))
    return [float(v) for v in np.broadcast_to(np.asarray(found, "float64"), count)]


def _nodata(variable: xr.DataArray) -> float | None:
    """Value of missing data in memory."""
    places: list[Mapping[Any, Any]] = [variable.attrs]
    if variable.dtype.kind in "iu":
        places.append(variable.encoding)  # written with it, the value would be missing
    for place in places:
        for name in FILL:
            if place.get(name) is not None:
                return float(np.ravel(place[name])[0])
    return np.nan if variable.dtype.kind == "f" else None


def _packing(variable: xr.DataArray) -> Packing | None:
    """How floating values were stored, and will be again, as xarray and rioxarray decode them."""
    encoding = variable.encoding
    stored = np.dtype(encoding.get("dtype") or variable.dtype)
    if variable.dtype.kind != "f" or stored.kind not in "iu":
        return None
    nodata = next((encoding[n] for n in FILL if encoding.get(n) is not None), None)
    return Packing(
        stored,
        float(encoding.get("scale_factor", 1.0)),
        float(encoding.get("add_offset", 0.0)),
        None if nodata is None else float(np.ravel(nodata)[0]),
    )


def wavelengths_of(
    variable: xr.DataArray, axes: Axes, names: tuple[str, ...], data: tuple[int, ...]
) -> NDArray[np.float32]:
    """Wavelengths of the bands ``data``, in micrometres, NaN where unknown."""
    tags = {str(k).upper(): v for k, v in variable.attrs.items() if isinstance(v, str)}
    found = sensors.wavelengths(names, sensors.sensor_in_tags(tags))
    along = {
        str(n): c.values[list(data)] for n, c in variable.coords.items() if c.dims == (axes.band,)
    }
    # As STAC names them, and stackstac hands them on.
    if "common_name" in along:
        common = sensors.wavelengths([str(n or "") for n in along["common_name"]])
        found = np.where(np.isnan(found), common, found)
    if "center_wavelength" in along:
        stated = np.array([_number(v) for v in along["center_wavelength"]], "float32")
        found = np.where(np.isnan(stated), found, stated)
    return found


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
