"""Cubes of xarray come out filled: the same pixels as of files, and everything else kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from dask.base import is_dask_collection

import geot2t
from geot2t.errors import InputError
from geot2t.fill import Prediction
from geot2t.jobs import inpaint as inpaint_file

SAMPLE = Path(geot2t.__file__).parent / "data" / "sample"
SCENE = "2022-06-10"
BANDS = ["B02", "B03", "B04", "B08"]
DATES = ["2024-05-01", "2024-05-11", "2024-05-16", "2024-05-26"]
HEIGHT, WIDTH = 150, 130
SMALL = {"window": 64, "overlap": 16}


class Copy:
    """Takes each pixel from the nearest date that shows it, else the mean of the window."""

    methods = ("network",)

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        own = valid[:, target, None]
        total = (pixels[:, target] * own).sum((2, 3), keepdims=True)
        mean = np.broadcast_to(
            total / np.maximum(own.sum((2, 3), keepdims=True), 1), pixels[:, 0].shape
        )
        mean, nearest = mean.astype("float32"), np.full(valid[:, 0].shape, np.inf, "float32")
        for i in np.argsort(-np.abs(days - days[target]), kind="stable"):
            if i != target:
                mean = np.where(valid[:, i, None], pixels[:, i], mean)
                nearest = np.where(valid[:, i], np.abs(days[i] - days[target]), nearest)
        scale = np.full_like(mean, 0.01) * (1 + np.abs(mean))
        return {name: Prediction(mean, scale, nearest) for name in names}


def fill(cube: Any, **options: Any) -> xr.Dataset:
    return geot2t.inpaint(cube, **{"model": Copy(), **SMALL, **options})


def disc(row: int = 60, col: int = 50, radius: int = 30) -> np.ndarray:
    rows, cols = np.ogrid[:HEIGHT, :WIDTH]
    return np.hypot(rows - row, cols - col) < radius


GAPS = np.stack([disc(20, 110, 25), disc() | disc(140, 5, 20), disc(50, 50, 20), disc(0, 0, 0)])


def place(dtype: str = "uint16", count: int = 2) -> xr.DataArray:
    """Four dates of a place, unsorted as archives give them, with gaps of nodata 0."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    rng = np.random.default_rng(3)
    shape = (len(DATES), count, HEIGHT, WIDTH)
    values = 1000 + 2 * rows + 3 * cols + rng.integers(0, 90, shape)
    values[np.broadcast_to(GAPS[:, None], shape)] = 0
    return xr.DataArray(
        values.astype(dtype),
        dims=("time", "band", "y", "x"),
        coords={
            "time": np.array(DATES, "datetime64[ns]"),
            "band": ["blue", "nir08"][:count],
            "y": 5e6 - 10 * np.arange(HEIGHT) - 5,
            "x": 6e5 + 10 * np.arange(WIDTH) + 5,
        },
        attrs={"_FillValue": 0, "scale_factor": 1e-4, "add_offset": -0.1, "units": "1"},
        name="reflectance",
    ).rio.write_crs(32632)[[1, 3, 0, 2]]


@pytest.fixture
def cube() -> xr.DataArray:
    return place()


def write(cube: xr.DataArray, folder: Path) -> dict[str, Path]:
    """The dates of a cube as GeoTIFFs, by date."""
    paths = {}
    for date in cube.time.values:
        path = folder / f"{date.astype('datetime64[D]')}.tif"
        cube.sel(time=date, drop=True).rio.to_raster(path)
        paths[path.stem] = path
    return paths


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


def companion(path: Path, kind: str) -> np.ndarray:
    return read(path.with_name(f"{path.stem}_{kind}.tif"))


@pytest.fixture(scope="module")
def sample() -> xr.Dataset:
    """The packaged series as a user opens it: a variable for each band, and SCL."""
    paths = sorted(SAMPLE.glob("????-??-??.tif"))
    time = xr.Variable("time", np.array([p.stem for p in paths], "datetime64[ns]"))
    opened = [rioxarray.open_rasterio(p) for p in paths]
    cube = xr.concat(opened, time, combine_attrs="drop_conflicts")
    scl = [rioxarray.open_rasterio(p.with_name(f"{p.stem}_SCL.tif"))[0] for p in paths]
    cube = cube.assign_coords(band=list(cube.long_name)).to_dataset("band")
    return cube.assign(SCL=xr.concat(scl, time).drop_vars("band"))


@pytest.fixture(scope="module")
def sample_mask() -> xr.DataArray:
    found = rioxarray.open_rasterio(SAMPLE / f"{SCENE}_mask.tif")
    return found.assign_coords(time=np.datetime64(SCENE, "ns"))


@pytest.mark.parametrize("method", ["auto", "prior"])
def test_the_sample_comes_out_as_from_the_command_line(
    sample, sample_mask, tmp_path, method
) -> None:
    size = 96 if method == "auto" else 256  # the network takes its time
    part = {"x": slice(60, 60 + size), "y": slice(100, 100 + size)} if size < 256 else {}
    cut, mask = sample.isel(part), sample_mask.isel(part)
    for date in sample.time.values:
        stem = str(date.astype("datetime64[D]"))
        one = cut.sel(time=date, drop=True)
        bands = (
            one[BANDS]
            .to_array("band")
            .assign_attrs(
                long_name=BANDS, **{k: sample.attrs[k] for k in ("_FillValue", "scale_factor")}
            )
        )
        bands.rio.to_raster(tmp_path / f"{stem}.tif")
        one.SCL.rio.to_raster(tmp_path / f"{stem}_SCL.tif")
    mask[0].rio.to_raster(tmp_path / f"{SCENE}_mask.tif")
    file = inpaint_file(tmp_path / f"{SCENE}.tif", series=tmp_path, method=method).path

    lazy = cut.chunk(time=1, y=70, x=61)
    out = geot2t.inpaint(lazy, dates=SCENE, cloud_mask=mask, method=method).compute()
    provenance, days = companion(file, "quality")
    assert (provenance == 2).sum() > 1000
    np.testing.assert_array_equal(out.provenance[0], provenance)
    np.testing.assert_array_equal(out.days[0], days)
    for band, filled, error in zip(BANDS, read(file), companion(file, "error"), strict=True):
        np.testing.assert_array_equal(out[band][0], filled)
        np.testing.assert_array_equal(out[f"{band}_error"][0], error)


@pytest.mark.parametrize("overcast", [False, True])
@pytest.mark.parametrize("max_distance", [9, 64, 300])
def test_any_cube_comes_out_as_from_the_command_line(
    cube, tmp_path, max_distance, overcast
) -> None:
    if overcast:
        cube[1, :, 20:] = 0
    options = {"model": Copy(), "max_distance": max_distance, "max_error": 60, **SMALL}
    paths = write(cube, tmp_path)
    eager = fill(cube, **options)
    lazy = fill(cube.chunk(time=2, band=1, y=40, x=33), **options).compute()
    xr.testing.assert_identical(lazy, eager)
    for date, path in paths.items():
        out = eager.sel(time=date)
        file = inpaint_file(path, series=paths.values(), **options).path
        np.testing.assert_array_equal(out.filled, read(file))
        np.testing.assert_array_equal(out.error, companion(file, "error"))
        quality = np.stack([out.provenance, out.days])
        np.testing.assert_array_equal(quality, companion(file, "quality"))


def test_a_cube_is_handed_back_without_gaps_and_otherwise_untouched(cube) -> None:
    out = fill(cube)
    assert list(out.data_vars) == ["filled", "provenance", "days", "error"]
    gap = cube == 0
    assert gap.any()
    xr.testing.assert_identical(out.filled.where(~gap), cube.where(~gap).rename("filled"))
    assert not (out.filled == 0).any()
    np.testing.assert_array_equal(out.provenance == 2, gap.any("band"))
    np.testing.assert_array_equal(out.error > 0, gap)
    for name in ("attrs", "encoding", "dtype", "dims"):
        assert getattr(out.filled, name) == getattr(cube, name), name
    for variable in out.data_vars.values():
        assert variable.rio.crs == cube.rio.crs


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.transpose("y", "x", "time", "band"),
        lambda c: c.transpose("band", "time", "x", "y").rename(x="longitude", y="latitude"),
        lambda c: c.rename(x="lon", y="lat", band="bands", time="t"),
        lambda c: c.rename(x="E", y="N").assign_coords(
            E=("E", c.x.values, {"axis": "X"}),
            N=("N", c.y.values, {"standard_name": "projection_y_coordinate"}),
        ),
        lambda c: c.rename(band="variable", time="acquired"),
        lambda c: c.isel(y=slice(None, None, -1)).drop_vars(["x", "y", "spatial_ref"]),
    ],
)
def test_dims_may_have_any_usual_name_and_order(cube, change) -> None:
    there = change(cube)
    out = fill(there)
    assert out.filled.dims == there.dims
    np.testing.assert_array_equal(out.filled, change(fill(cube).filled))
    np.testing.assert_array_equal(
        fill(there.chunk({there.dims[0]: 2})).filled, out.filled, "lazily too"
    )


def test_a_band_of_its_own_needs_no_dim(cube) -> None:
    one = fill(cube.isel(band=[0]))
    flat = fill(cube.isel(band=0))
    assert flat.filled.dims == flat.error.dims == ("time", "y", "x")
    np.testing.assert_array_equal(flat.filled, one.filled.isel(band=0))


@pytest.mark.parametrize("chunks", [None, {"time": 1, "y": 50, "x": 130}])
def test_a_data_set_keeps_its_bands_as_variables(cube, chunks) -> None:
    """As odc.stac.load gives it: a variable a band, nodata as an attribute, SCL among them."""
    scl = xr.where(cube.isel(band=0, drop=True) == 0, 9, 4).astype("uint8")
    there = cube.where(cube > 0, 7).astype("uint16").drop_attrs().to_dataset("band")
    there = there.assign(SCL=scl, crs_is_known=True)
    for name in ("blue", "nir08"):
        there[name].attrs = {"nodata": 0, "units": "1", "grid_mapping": "spatial_ref"}
    given = there if chunks is None else there.chunk(chunks)
    out = fill(given)
    assert set(out.data_vars) == {
        "blue", "nir08", "SCL", "crs_is_known", "provenance", "days", "blue_error", "nir08_error",
    }  # fmt: skip
    xr.testing.assert_identical(out.SCL.compute(), there.SCL)
    assert out.blue.attrs == there.blue.attrs
    assert out.nir08_error.attrs["units"] == "1"
    hidden = (scl == 9).values
    assert (out.provenance.values[hidden] == 2).all()
    assert not (out.blue.values[hidden] == 7).any()
    grown = out.provenance.values != 1
    assert hidden.sum() < grown.sum() < 1.6 * hidden.sum(), "40 m around clouds are not trusted"
    np.testing.assert_array_equal(out.blue.values[~grown], there.blue.values[~grown])
    believed = fill(given, clouds="none")
    assert (believed.provenance == 1).all()


def test_a_quality_band_in_the_cube_is_used_and_not_filled(cube) -> None:
    """As stackstac gives it: all assets as bands of one floating type, NaN outside the scene."""
    scl = xr.where(cube.isel(band=[0]) == 0, 9.0, 4.0).assign_coords(band=["SCL"])
    values = (cube * 1e-4).drop_attrs()
    there = xr.concat([values, scl.drop_attrs()], "band", join="override")
    there[..., :20] = np.nan
    out = fill(there)
    np.testing.assert_array_equal(out.filled.sel(band="SCL"), there.sel(band="SCL"))
    assert np.isfinite(out.filled.sel(band="blue")).any(("y", "x")).all()
    assert (out.provenance.isel(x=5) != 1).all()
    assert (out.error.sel(band="SCL").fillna(0) == 0).all()


def test_one_variable_with_all_bands_keeps_its_name(cube) -> None:
    """As xr.open_zarr gives a cube that was stored."""
    out = fill(cube.to_dataset())
    assert list(out.data_vars) == ["reflectance", "provenance", "days", "reflectance_error"]
    np.testing.assert_array_equal(out.reflectance, fill(cube).filled)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("missing", ["_FillValue", "nodata", "nan"])
def test_observed_samples_are_kept_in_all_types(dtype: str, missing: str) -> None:
    cube = place("float64").drop_attrs()
    cube = (cube / 10).astype("float64") if dtype == "uint8" else cube
    if missing == "nan":
        if not dtype.startswith("float"):
            return
        cube = cube.where(cube > 0)
    cube = cube.astype(dtype)
    if missing != "nan":
        cube.attrs[missing] = 0
    out = fill(cube)
    assert out.filled.dtype == cube.dtype
    seen = ((cube > 0) & cube.notnull()).values
    np.testing.assert_array_equal(out.filled.values[seen], cube.values[seen])
    assert np.isfinite(out.filled).all()
    assert not (out.filled == 0).any()


def test_what_cannot_be_filled_is_missing(cube) -> None:
    alone = cube.isel(time=[0])
    out = fill(alone, max_distance=5)
    left = (out.provenance == 0).values
    assert 0 < left.sum() < (alone == 0).any("band").sum()
    assert (out.filled.where(out.provenance == 0, 0) == 0).all(), "_FillValue"
    assert out.error.where(out.provenance == 0, drop=True).isnull().any()
    floating = fill(alone.where(alone > 0).drop_attrs(), max_distance=5)
    np.testing.assert_array_equal(floating.filled.isnull().any("band"), left)


def test_physical_units_are_those_of_the_attributes(cube) -> None:
    """A limit on the error is in the units of the values, whatever these stand for."""
    plain = fill(cube)
    decoded = xr.decode_cf(cube.to_dataset()).reflectance
    assert decoded.dtype.kind == "f"
    physical = fill(decoded)
    stored = (physical.filled - cube.add_offset) / cube.scale_factor
    np.testing.assert_allclose(stored, plain.filled, atol=0.02)
    np.testing.assert_allclose(physical.error / cube.scale_factor, plain.error, rtol=2e-3)
    assert plain.error.scale_factor == cube.scale_factor


def test_a_filled_pixel_is_one_still_after_it_was_stored(tmp_path) -> None:
    """A decoded cube is encoded when it is written: what is below the range must not wrap."""
    values = np.where(GAPS, 0, np.random.default_rng(1).integers(1, 4, GAPS.shape))
    there = xr.Dataset(
        {"red": (("time", "y", "x"), values.astype("uint8"), {"_FillValue": 0, "add_offset": 1.0})},
        coords={"time": np.array(DATES, "datetime64[ns]")},
    )
    there.to_zarr(tmp_path / "there.zarr")
    cube = xr.open_zarr(tmp_path / "there.zarr", chunks=None)
    assert cube.red.isnull().any()

    class Dark(Copy):
        def __call__(self, *arguments: Any, **named: Any) -> dict[str, Prediction]:
            out = super().__call__(*arguments, **named)
            return {k: Prediction(p.mean - 30, p.scale, p.days) for k, p in out.items()}

    out = fill(cube, model=Dark(), error=False)
    out.to_zarr(tmp_path / "out.zarr")
    again = xr.open_zarr(tmp_path / "out.zarr", chunks=None)
    np.testing.assert_array_equal(again.red, out.red)
    assert (again.red.values[GAPS] == 2).all(), "the least that can be stored and is not nodata"


@pytest.mark.parametrize("masked", [False, True])
def test_a_series_of_files_goes_through_rioxarray_and_back(cube, tmp_path, masked) -> None:
    paths = write(cube.assign_attrs(long_name=("blue", "nir08")), tmp_path)
    opened = [rioxarray.open_rasterio(path, masked=masked) for path in paths.values()]
    time = xr.Variable("time", np.array(list(paths), "datetime64[ns]"))
    out = fill(xr.concat(opened, time), dates=DATES[1])
    target = tmp_path / "filled.tif"
    out.filled[0].rio.to_raster(target)
    out.error[0].rio.to_raster(tmp_path / "error.tif")
    out.provenance[0].rio.to_raster(tmp_path / "provenance.tif")
    file = inpaint_file(paths[DATES[1]], series=paths.values(), model=Copy(), **SMALL).path
    with rasterio.open(target) as ours, rasterio.open(file) as theirs:
        for key in ("dtypes", "nodata", "crs", "transform", "scales", "offsets", "descriptions"):
            assert getattr(ours, key) == getattr(theirs, key), key
        np.testing.assert_array_equal(ours.read(), theirs.read())
    np.testing.assert_array_equal(
        read(tmp_path / "provenance.tif")[0], companion(file, "quality")[0]
    )
    with rasterio.open(tmp_path / "error.tif") as error:
        assert error.descriptions == ("blue", "nir08")
        np.testing.assert_array_equal(error.read(), companion(file, "error"))


def test_only_the_dates_asked_for_are_filled(cube) -> None:
    whole = fill(cube)
    some = fill(cube, dates=["2024-05-16", np.datetime64("2024-05-01")])
    xr.testing.assert_identical(some, whole.isel(time=[3, 2]))
    xr.testing.assert_identical(
        fill(cube.chunk(time=3, y=70), dates=cube.time[1]).compute(), whole.isel(time=[1])
    )


def test_other_dates_may_come_as_a_series(cube) -> None:
    whole = fill(cube, dates=DATES[1])
    scene, others = cube.sel(time=DATES[1]), cube.sel(time=[DATES[0], DATES[2], DATES[3]])
    out = fill(scene, series=others)
    xr.testing.assert_identical(out.filled, whole.filled[0])
    dateless = scene.drop_vars("time")
    more = [others.isel(time=[2]), (others.isel(time=[0, 1], band=[1, 0]))]
    out = fill(dateless, series=more, date=np.datetime64(DATES[1]).item())
    np.testing.assert_array_equal(out.filled, whole.filled[0])
    tagged = dateless.assign_attrs(ACQUISITION_DATE=DATES[1])
    physical = xr.decode_cf(others.to_dataset(name="red"))
    lazy = fill(tagged, series=physical.chunk(y=40))
    np.testing.assert_allclose(lazy.filled, whole.filled[0], atol=1)
    assert lazy.chunks is not None


def test_what_was_taken_on_the_same_day_is_no_other_date(cube) -> None:
    twice = xr.concat([cube, cube.isel(time=[0]).assign_coords(time=cube.time[:1] + 1)], "time")
    out = fill(twice)
    xr.testing.assert_identical(out.filled[0], fill(cube).filled[0])
    assert np.isfinite(out.error).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_a_cloud_mask_says_where_the_ground_was_hidden(cube, lazy) -> None:
    whole = cube.where(cube > 0, 5000).astype("uint16")
    hidden = xr.DataArray(GAPS[1], dims=("y", "x"))
    mask = (hidden.chunk(y=31) if lazy else hidden).astype("float32")
    everywhere = fill(whole, cloud_mask=mask)
    assert is_dask_collection(everywhere) == lazy
    assert (everywhere.provenance.isel(time=2).values[GAPS[1]] != 1).all()
    on_a_day = mask.expand_dims(band=[1]).assign_coords(time=np.datetime64(DATES[1], "ns"))
    out = fill(whole, cloud_mask=on_a_day)
    expected = np.where(np.array([DATES[1]]) == np.datetime_as_string(cube.time, "D"), 2, 1)
    np.testing.assert_array_equal(out.provenance.values[:, 60, 50], expected)
    nobody_knows = mask.where(mask == 0)
    np.testing.assert_array_equal(fill(whole, cloud_mask=nobody_knows).filled, everywhere.filled)


def test_nodata_is_kept_on_request_and_clouds_over_it_are_filled(cube) -> None:
    mask = xr.DataArray(disc(75, 65, 40), dims=("y", "x"))
    out = fill(cube, cloud_mask=mask, keep_nodata=True, dates=DATES[1])
    provenance = out.provenance.values[0]
    assert (provenance[GAPS[1] & ~mask.values] == 0).all()
    assert (provenance[mask.values] != 1).all()


def test_the_accessor_does_the_same(cube) -> None:
    options = {"model": Copy(), **SMALL}
    xr.testing.assert_identical(cube.geot2t.inpaint(**options), fill(cube))
    there = cube.to_dataset("band")
    xr.testing.assert_identical(there.geot2t.inpaint(**options), fill(there))
    day = "2024-05-05"
    xr.testing.assert_identical(
        cube.geot2t.interpolate(day, **options), geot2t.interpolate(cube, dates=day, **options)
    )


@pytest.mark.parametrize(
    "code",
    [
        "import geot2t, xarray as xr",
        "import xarray as xr, geot2t",
        "import geot2t.xr, xarray as xr",
        "import geot2t, importlib.util; importlib.util.find_spec('xarray'); import xarray as xr",
    ],
)
def test_importing_geot2t_is_enough_for_the_accessor(code) -> None:
    code += (
        "; import sys; print(xr.Dataset().geot2t.inpaint.__name__, xr.DataArray(1).geot2t is None);"
        "print('loaded:', *({'torch', 'rasterio', 'geot2t.jobs'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.split() == ["inpaint", "False", "loaded:"]


# --- dates that were never observed ---


def test_a_date_between_others_is_made_of_them(sample) -> None:
    """A clear date is taken out of the series, made again, and compared with itself."""
    cut = sample.isel(x=slice(64), y=slice(64))
    truth = cut[BANDS].sel(time="2022-06-17").to_array().astype(float)
    rest = cut.drop_sel(time=np.datetime64("2022-06-17"))

    def error(method: str) -> float:
        out = geot2t.interpolate(rest, "2022-06-17", method=method)
        assert list(out.time.values) == [np.datetime64("2022-06-17")]
        assert (out.provenance == 2).all()
        return float(abs(out[BANDS].isel(time=0).to_array() - truth).mean())

    assert error("prior") < error("linear") < error("nearest")


def test_dates_asked_for_stand_in_their_order(cube) -> None:
    asked = ["2024-06-05", "2024-05-11", "2024-05-03"]
    out = geot2t.interpolate(cube, asked, model=Copy(), **SMALL)
    np.testing.assert_array_equal(out.time, np.array(asked, "datetime64[ns]"))
    assert (out.provenance[[0, 2]] == 2).all()
    assert out.days[0].values[0, 0] == 10, "from 26 May"
    assert out.filled.attrs == cube.attrs
    observed = fill(cube, dates="2024-05-11")
    np.testing.assert_array_equal(out.filled[1], observed.filled[0])
    np.testing.assert_array_equal(out.provenance[1], observed.provenance[0])
    lazy = geot2t.interpolate(cube.chunk(time=1, y=40), asked, model=Copy(), **SMALL)
    xr.testing.assert_identical(lazy.compute(), out)


def test_no_date_invents_a_quality_band(cube) -> None:
    there = cube.to_dataset("band").assign(
        SCL=(("time", "y", "x"), np.full(GAPS.shape, 4, "uint8"))
    )
    out = geot2t.interpolate(there, "2024-05-05", model=Copy(), **SMALL)
    assert set(out.data_vars) == {
        "blue", "nir08", "provenance", "days", "blue_error", "nir08_error",
    }  # fmt: skip
    joined = there.to_array("band").transpose("time", "band", "y", "x").assign_attrs(_FillValue=0)
    out = geot2t.interpolate(joined, "2024-05-05", model=Copy(), **SMALL)
    assert list(out.band.values) == ["blue", "nir08"]


def test_a_scene_and_its_series_make_other_dates(cube) -> None:
    scene, others = cube.sel(time=DATES[1]), cube.drop_sel(time=np.array(DATES[1], "datetime64"))
    out = geot2t.interpolate(scene, "2024-05-14", series=others, model=Copy(), **SMALL)
    expected = geot2t.interpolate(cube, "2024-05-14", model=Copy(), **SMALL)
    assert out.filled.dims == ("time", "band", "y", "x")
    np.testing.assert_array_equal(out.filled, expected.filled)


# --- what cannot be done is said ---


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda c: c.rename(x="i", y="j"), {}, "which dims are rows and columns"),
        (lambda c: c.expand_dims(orbit=[1, 2]), {}, "are too many"),
        (lambda c: c.astype("complex64"), {}, "holds complex64, not numbers"),
        (lambda c: c.drop_vars("time"), {}, "must have dates"),
        (lambda c: c.isel(x=[]), {}, "the array is empty"),
        (lambda c: c, {"dates": "2023-01-01"}, "there is no date 2023-01-01; there are 2024-05-01"),
        (lambda c: c, {"dates": "yesterday"}, "dates must be days such as"),
        (lambda c: c, {"dates": []}, "no date was asked for"),
        (lambda c: c, {"date": np.datetime64("2024-05-11").item()}, "says when each date is"),
        (lambda c: c.isel(time=0), {"dates": "2024-05-11"}, "there is none"),
        (lambda c: c.isel(time=0).drop_vars("time"), {"series": place()}, "a series needs it"),
        (lambda c: c, {"series": place().isel(x=slice(9))}, "pixels, the array"),
        (lambda c: c, {"series": place().assign_coords(x=place().x + 3)}, "on another grid"),
        (lambda c: c, {"series": place().isel(band=[0])}, "the series has 1 bands"),
        (lambda c: c, {"cloud_mask": "mask.tif"}, "must be a DataArray, got str"),
        (lambda c: c, {"cloud_mask": place()[:, 0, 3:]}, "cloud_mask has"),
        (lambda c: c, {"clouds": "ukis-csmask"}, "for arrays use auto, qa or none"),
        (lambda c: c, {"method": "kriging"}, "no method 'kriging'"),
        (lambda c: c, {"window": 16}, "at least 32 px"),
        (lambda c: c, {"max_error": -1}, "must be above 0"),
        (lambda c: c.assign_attrs(scale_factor=0), {}, "cannot be used"),
        (lambda c: c.isel(band=[0]).assign_coords(band=["SCL"]), {}, "no band to fill, only SCL"),
        (lambda c: c.assign_coords(days=1), {}, "'days'.* would be replaced"),
        (lambda c: xr.Dataset({"a": 1}), {}, "is a raster of measurements"),
        (
            lambda c: c.to_dataset("band").assign(ndvi=c[:, 0].astype("float32")),
            {},
            "differ in type: blue uint16, nir08 uint16, ndvi float32",
        ),
        (lambda c: c.to_dataset().assign(b=c[:, 0]), {}, "differ in dims"),
        (lambda c: c.to_dataset().assign(b=c), {}, "has several bands"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(cube, change, options, said) -> None:
    with pytest.raises(InputError, match=said):
        fill(change(cube), **({"model": None} if "method" in options else {}), **options)


def test_anything_else_is_no_cube() -> None:
    with pytest.raises(InputError, match="a path, a DataArray or a Dataset, not ndarray"):
        geot2t.inpaint(np.zeros((3, 4)))
    with pytest.raises(InputError, match="not list"):
        geot2t.interpolate([], "2024-05-01")
