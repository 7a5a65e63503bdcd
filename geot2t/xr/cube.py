"""What an xarray object holds, by its dims, coordinates, attributes and encoding."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import is_dask_collection
from numpy.typing import NDArray

from geot2t import sensors
from geot2t.arrays import Bands, Packing
from geot2t.clouds import EMPTY, HIDDEN, QA_KINDS, decode, dilate
from geot2t.errors import InputError
from geot2t.io.header import find_date, pixel_metres_of

ROWS = ("y", "latitude", "lat", "northing")
COLUMNS = ("x", "longitude", "lon", "easting")
TIMES = ("time", "t")
FILL = ("_FillValue", "missing_value", "fill_value", "nodata")
"""Attributes that hold the value of missing data, the most telling one first."""

_NUMBERS = (*FILL, "scale_factor", "add_offset", "scales", "offsets")
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")
_KINDS = {kind.casefold(): kind for kind in QA_KINDS}

Object = xr.DataArray | xr.Dataset


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
    axes = _axes(variables[0])
    parts = [_canonical(v, axes) for v in variables]
    _check_alike(variables)
    values: da.Array = parts[0] if len(parts) == 1 else da.concatenate(parts, axis=1)
    labels = _labels(variables, axes, values.shape[1])
    kinds = {i: _KINDS[n.casefold()] for i, n in enumerate(labels) if n.casefold() in _KINDS}
    data = tuple(i for i in range(len(labels)) if i not in kinds)
    if not data:
        raise InputError(f"there is no band to fill, only {', '.join(kinds.values())}")
    codes = None
    if clouds != "none":
        metres = _pixel_metres(variables[0], axes)
        found = [(kind, values[:, i]) for i, kind in kinds.items()]
        found += [(_KINDS[str(v.name).casefold()], _flat(v, axes)) for v in quality]
        for kind, band in found:
            codes = _joined(codes, _decoded(kind, band, metres))
    if cloud_mask is not None:
        codes = _joined(codes, _hidden(cloud_mask, variables[0], axes))
    names = tuple(labels[i] for i in data)
    return Cube(
        like,
        given,
        axes,
        values,
        codes,
        _bands(variables, len(labels), data),
        names,
        _wavelengths(variables[0], axes, names, data),
        _times(variables[0], axes, when),
        any(is_dask_collection(v.variable) for v in (*variables, *quality))
        or (cloud_mask is not None and is_dask_collection(cloud_mask.variable)),
    )


def _of_dataset(like: xr.Dataset) -> tuple[list[xr.DataArray], list[xr.DataArray]]:
    """Variables that hold bands, and those that are quality rasters."""
    rasters = [v for v in like.data_vars.values() if _spatial(v) is not None]
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
    if len(bands) > 1 and _axes(bands[0]).band is not None:
        raise InputError(
            f"each of {[v.name for v in bands]} has several bands; fill one of them at a time"
        )
    # DataArray.to_dataset("band") hands the attributes of the array to the data set.
    shared = {key: like.attrs[key] for key in _NUMBERS if key in like.attrs}
    return [v.assign_attrs({**shared, **v.attrs}) for v in bands], quality


def _spatial(variable: xr.DataArray) -> tuple[Hashable, Hashable] | None:
    """Dims of rows and columns, by name or as CF says."""
    found = [
        _named(variable, ROWS, "Y", ("projection_y_coordinate", "latitude")),
        _named(variable, COLUMNS, "X", ("projection_x_coordinate", "longitude")),
    ]
    y, x = found
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


def _axes(variable: xr.DataArray) -> Axes:
    spatial = _spatial(variable)
    if spatial is None:
        raise InputError(
            f"which dims are rows and columns? There are {variable.dims}; rename two of them to "
            "y and x"
        )
    y, x = spatial
    time = _named(variable, TIMES, "T", ("time",))
    rest = [d for d in variable.dims if d not in (y, x, time)]
    if time is None:
        time = next((d for d in rest if variable[d].dtype.kind == "M"), None)
        rest = [d for d in rest if d != time]
    if len(rest) > 1:
        raise InputError(f"dims {variable.dims} are too many: beside time, y and x there is one")
    return Axes(time, rest[0] if rest else None, y, x)


def _canonical(variable: xr.DataArray, axes: Axes) -> da.Array:
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


def _flat(variable: xr.DataArray, axes: Axes) -> da.Array:
    """A variable without bands, as ``(time, y, x)``."""
    if axes.time is not None and axes.time not in variable.dims:
        variable = variable.expand_dims({axes.time: 1})
    dims = [d for d in (axes.time, axes.y, axes.x) if d is not None]
    if set(variable.dims) != set(dims):
        raise InputError(f"{variable.name} has dims {variable.dims}, not {tuple(dims)}")
    array = _dask(variable.transpose(*dims).data)
    return array if axes.time is not None else array[None]


def _check_alike(variables: Sequence[xr.DataArray]) -> None:
    types = {str(v.dtype) for v in variables}
    if len(types) > 1:
        shown = ", ".join(f"{v.name} {v.dtype}" for v in variables)
        raise InputError(f"the bands differ in type: {shown}; choose with ds[[...]], or convert")


def _labels(variables: Sequence[xr.DataArray], axes: Axes, count: int) -> list[str]:
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


def _bands(variables: Sequence[xr.DataArray], count: int, data: tuple[int, ...]) -> Bands:
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


def _wavelengths(
    variable: xr.DataArray, axes: Axes, names: tuple[str, ...], data: tuple[int, ...]
) -> NDArray[np.float32]:
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


def _pixel_metres(variable: xr.DataArray, axes: Axes) -> float:
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
    _check_grid("cloud_mask", cloud_mask, variable, axes)
    hidden = (cloud_mask != 0).astype("uint8") * np.uint8(HIDDEN)
    if axes.time is not None and axes.time in hidden.coords:
        hidden = hidden if axes.time in hidden.dims else hidden.expand_dims(axes.time)
        strange = set(hidden[axes.time].values) - set(variable[axes.time].values)
        if strange:
            raise InputError(f"cloud_mask has dates that the array lacks: {sorted(strange)}")
        hidden = hidden.reindex({axes.time: variable[axes.time]}, fill_value=np.uint8(0))
    elif axes.time is not None:
        hidden = hidden.expand_dims({axes.time: variable.sizes[axes.time]})
    return _flat(hidden, axes)


def _check_grid(name: str, other: xr.DataArray, variable: xr.DataArray, axes: Axes) -> None:
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


def same_grid(cube: Cube, series: Cube) -> None:
    """Refuse a series whose pixels are not those of ``cube``; InputError."""
    one, other = (
        c.like if isinstance(c.like, xr.DataArray) else c.like[next(iter(c.given))]
        for c in (cube, series)
    )
    names = {series.axes.y: cube.axes.y, series.axes.x: cube.axes.x}
    _check_grid("series", other.rename({k: v for k, v in names.items() if k != v}), one, cube.axes)


def _joined(codes: da.Array | None, more: da.Array) -> da.Array:
    return more if codes is None else codes | more
