"""A series of files as a cube of xarray, read when it is computed, and a filled cube as a file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.callbacks import Callback
from numpy.typing import NDArray

from geot2t import __version__
from geot2t.errors import InputError, OutputError
from geot2t.fill import walk
from geot2t.grid import Box
from geot2t.io.publish import part_path
from geot2t.io.stack import EPOCH, Stack
from geot2t.request import Request
from geot2t.stream import Progress
from geot2t.xr.filled import Options, interpolate

CHUNK = 512
"""Side of the chunks, in pixels."""

_NEEDS = {".zarr": "zarr", ".nc": "h5netcdf"}
_EXTRA = {".zarr": "zarr", ".nc": "netcdf"}


class _Date:
    """One part of one date as dask reads it: by slices."""

    def __init__(self, stack: Stack, index: int, what: str) -> None:
        self._stack, self._index, self._what = stack, index, what
        size = stack.extent.height, stack.extent.width
        header = stack.retarget(index).header if what == "values" else None
        bands = {"values": header.count if header else 0, "pixels": len(stack.names)}.get(what)
        self.shape = size if bands is None else (bands, *size)
        self.dtype = {"hidden": np.dtype(bool), "pixels": np.dtype("float32")}.get(
            what, np.dtype(header.dtype if header else "uint8")
        )
        self.ndim = len(self.shape)

    def __getitem__(self, cut: tuple[slice, ...]) -> NDArray[Any]:
        rows, cols = cut[-2:]
        box = Box(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        if self._what == "pixels":
            pixels, valid = self._stack.read_date(self._index, box)
            return np.where(valid, pixels, np.float32(np.nan))
        block = self._stack.retarget(self._index).read_scene(box)
        # A band on its own is missing where it holds nodata, which xarray sees for itself.
        return block.values if self._what == "values" else block.cloud | block.empty.all(0)

    def array(self) -> da.Array:
        """The same as a dask array."""
        chunks = (*self.shape[:-2], CHUNK, CHUNK)
        name = f"geot2t-read-{tokenize(self._stack.files, self._index, self._what)}"
        out: da.Array = da.from_array(self, chunks, name=name, asarray=False)
        return out


def cube_of(stack: Stack) -> tuple[xr.DataArray, xr.DataArray, list[xr.DataArray]]:
    """A stack as `geot2t.xr` takes it; no pixel is read.

    Returns
    -------
    DataArray, DataArray, list of DataArray
        The dates stored as the target is, on its grid, in the units of the files; where they did
        not observe the ground; and all other dates, in physical units.
    """
    like = stack.header
    alike = []
    for i in stack.targets:
        header = stack.retarget(i).header
        same = (header.dtype, header.nodata, header.data) == (like.dtype, like.nodata, like.data)
        scaled = np.array_equal(header.scale, like.scale)
        if same and scaled and np.array_equal(header.offset, like.offset):
            alike.append(i)
    others = [i for i in range(len(stack.dates)) if i not in alike]
    values = da.stack([_Date(stack, i, "values").array() for i in alike])
    values = values[:, list(stack.data_bands)]
    hidden = da.stack([_Date(stack, i, "hidden").array() for i in alike])
    coords = _coords(stack)
    named = all(stack.names) and len(set(stack.names)) == len(stack.names)
    band = list(stack.names) if named else list(range(1, len(stack.names) + 1))
    dims = ("time", "band", "y", "x")
    times = _times([stack.dates[i] or EPOCH for i in alike])
    cube = xr.DataArray(
        values, {**coords, "time": times, "band": band}, dims, "filled", _attrs(stack)
    )
    waves = stack.wavelengths
    cube = cube.assign_coords(center_wavelength=("band", waves.astype("float64")))
    mask = xr.DataArray(hidden, {**coords, "time": times}, ("time", "y", "x"))
    rest = []
    if others:
        pixels = da.stack([_Date(stack, i, "pixels").array() for i in others])
        when = _times([stack.dates[i] or EPOCH for i in others])
        rest = [xr.DataArray(pixels, {**coords, "time": when, "band": band}, dims)]
    return cube, mask, rest


def write_cube(
    stack: Stack,
    days: Sequence[date],
    path: Path,
    request: Request,
    *,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write dates of a stack as one cube without gaps; it appears whole or not at all.

    Parameters
    ----------
    stack : Stack
    days : sequence of date
        Observed or not.
    path : Path
        Ends in ``.zarr`` or ``.nc``; what is there is replaced.
    request : Request
        What is asked for.
    progress : callable, optional
        Called with parts done and parts in all.

    Returns
    -------
    dict
        What the cube holds, for JSON.

    Raises
    ------
    InputError
        If the package that writes it is not installed, or a day was observed by a scene that is
        stored otherwise than the rest.
    OutputError
        If it cannot be written.
    """
    ending = path.suffix
    if find_spec(_NEEDS[ending]) is None:
        raise InputError(
            f"{path.name} needs {_NEEDS[ending]} (pip install 'geot2t[{_EXTRA[ending]}]')"
        )
    cube, hidden, rest = cube_of(stack)
    for i in stack.targets:
        day = stack.dates[i]
        if day in days and np.datetime64(str(day)) not in cube.time.values:
            raise InputError(
                f"{stack.paths[i]} is stored otherwise than {stack.paths[stack.target]}, and a "
                "cube has one type: write GeoTIFFs"
            )
    made = interpolate(
        cube,
        _times(days),
        Options(
            series=rest, cloud_mask=hidden, max_error=request.max_error, max_gap=request.max_gap,
            max_distance=request.max_distance, error=request.error, device=request.device,
            model=request.model, method=request.method, window=request.window,
            overlap=request.overlap, batch=request.batch,
            sharp=request.sharp, seed=request.seed,
        ),
    )  # fmt: skip
    made = _described(made, stack, days)
    part, old = part_path(path), part_path(path.with_name(f"{path.name}.old"))
    parts = len(days) * sum(1 for _ in walk(stack.extent, CHUNK, CHUNK))
    try:
        with _Parts(progress, parts):
            if ending == ".zarr":
                made.to_zarr(part, mode="w", zarr_format=2, consolidated=True)
            else:
                made.to_netcdf(part, engine="h5netcdf")
        if path.exists():
            path.replace(old)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for left in (part, old):
            if left.is_dir():
                shutil.rmtree(left)
            left.unlink(missing_ok=True)
    return {
        "path": str(path),
        "variables": {str(k): list(map(str, v.dims)) for k, v in made.data_vars.items()},
        "sizes": {str(k): v for k, v in made.sizes.items()},
        "days": [stack.label(day) for day in days],
        "attributes": {str(k): str(v) for k, v in made.attrs.items()},
    }


def _times(days: Sequence[date]) -> NDArray[np.datetime64]:
    return np.array([str(day) for day in days], "datetime64[ns]")


def _coords(stack: Stack) -> dict[str, Any]:
    """Pixel centres and the CRS, where the grid has them along its axes."""
    header, t = stack.header, stack.header.transform
    if t.b or t.d:
        raise InputError(f"{header.location} is on a rotated grid, which a cube cannot hold")
    x = t.c + t.a * (np.arange(header.width) + 0.5)
    y = t.f + t.e * (np.arange(header.height) + 0.5)
    if header.crs is None:
        return {"y": y, "x": x}
    lonlat = header.crs.is_geographic
    names = ("latitude", "longitude") if lonlat else (
        "projection_y_coordinate", "projection_x_coordinate"
    )  # fmt: skip
    units = ("degrees_north", "degrees_east") if lonlat else (header.crs.linear_units,) * 2
    wkt = header.crs.to_wkt(version="WKT2_2019")
    frame = {
        "crs_wkt": wkt,
        "spatial_ref": wkt,
        "GeoTransform": " ".join(map(repr, map(float, t.to_gdal()))),
    }
    if lonlat:
        frame["grid_mapping_name"] = "latitude_longitude"
    if find_spec("pyproj") is not None:
        from pyproj import CRS

        frame |= CRS.from_wkt(wkt).to_cf()
    return {
        "y": ("y", y, {"standard_name": names[0], "units": units[0], "axis": "Y"}),
        "x": ("x", x, {"standard_name": names[1], "units": units[1], "axis": "X"}),
        "spatial_ref": ((), 0, frame),
    }


def _attrs(stack: Stack) -> dict[str, Any]:
    """Attributes that say what values mean, as CF has them where it can."""
    header = stack.header
    found: dict[str, Any] = {}
    if header.crs is not None:
        found["grid_mapping"] = "spatial_ref"
    if len(set(header.nodata)) == 1 and header.nodata[0] is not None:
        found["_FillValue"] = np.dtype(header.dtype).type(header.nodata[0])
    if (header.scale == 1).all() and (header.offset == 0).all():
        return found
    if len(set(header.scale)) == len(set(header.offset)) == 1:
        return found | {
            "scale_factor": float(header.scale[0]), "add_offset": float(header.offset[0])
        }  # fmt: skip
    return found | {"scales": header.scale.tolist(), "offsets": header.offset.tolist()}


def _described(made: xr.Dataset, stack: Stack, days: Sequence[date]) -> xr.Dataset:
    """The same with what CF wants to be said; slices count from their number."""
    made = made.drop_vars("center_wavelength")
    waves = ("band", stack.wavelengths.astype("float64"), {"units": "um"})
    if np.isfinite(stack.wavelengths).any():
        made = made.assign_coords(radiation_wavelength=waves)
    made.attrs |= {
        "Conventions": "CF-1.10",
        "title": "A series of rasters without gaps",
        "source": ", ".join(path.name for path in stack.paths),
        "history": f"geot2t {__version__}",
    }
    made["filled"].attrs.setdefault("long_name", "values, predicted where not observed")
    if not stack.numbered:
        made["time"].attrs["standard_name"] = "time"
        made["time"].encoding |= {"units": "days since 1970-01-01", "dtype": "int64"}
        return made
    labels = [stack.label(day) for day in days]
    return made.assign_coords(time=labels).rename(time="slice")


class _Parts(Callback):
    """Counts the parts of a cube that are done."""

    def __init__(self, progress: Progress | None, parts: int) -> None:
        super().__init__(posttask=self._counted)  # type: ignore[no-untyped-call]
        self._progress, self._parts, self._done = progress, parts, 0

    def _counted(self, key: Any, *_: Any) -> None:
        if self._progress is not None and str(key[0]).startswith("geot2t-fill-"):
            self._done += 1
            self._progress(min(self._done, self._parts), self._parts)
