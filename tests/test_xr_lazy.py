"""Lazy cubes: nothing is done before it is asked for, and any number of workers may share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.distributed import Client, LocalCluster
from test_xr import SMALL, Copy, place

import geot2t
from geot2t.xr import tasks

LINEAR = {"method": "linear", **SMALL}


def never(block: np.ndarray) -> np.ndarray:
    raise AssertionError("a chunk was read")


def untouchable(dates: int = 4, side: int = 300, chunk: int = 100) -> xr.DataArray:
    """A cube that cannot be read."""
    array = da.zeros((dates, 2, side, side), "uint16", chunks=(1, 2, chunk, chunk))
    time = np.datetime64("2024-05-01", "ns") + np.arange(dates) * np.timedelta64(5, "D")
    return xr.DataArray(
        array.map_blocks(never, dtype="uint16", meta=np.empty((0,) * 4, "uint16")),
        dims=("time", "band", "y", "x"),
        coords={"time": time, "band": ["red", "nir08"]},
        attrs={"_FillValue": 0},
    )


@pytest.mark.parametrize("method", ["auto", "linear"])
def test_nothing_is_read_before_it_is_asked_for(method) -> None:
    cube = untouchable()
    scl = untouchable().isel(band=0, drop=True)
    for given in (cube, cube.to_dataset("band").assign(SCL=scl)):
        out = geot2t.inpaint(given, method=method, cloud_mask=scl == 9, **SMALL)
        made = geot2t.interpolate(given, "2024-05-03", method=method, **SMALL)
        for whole in (out, made):
            assert all(v.chunks is not None for v in whole.data_vars.values())
            with pytest.raises(AssertionError, match="a chunk was read"):
                whole.isel(y=slice(9), x=slice(9)).compute(scheduler="synchronous")
    assert out.red.chunks == cube.isel(band=0).chunks


@pytest.mark.parametrize(
    ("some", "more"),
    [
        ({"side": 1024, "chunk": 256}, {"side": 2048, "chunk": 256}),
        ({"side": 1024, "chunk": 512}, {"side": 1024, "chunk": 256}),
        ({"dates": 6, "side": 1024, "chunk": 256}, {"dates": 24, "side": 1024, "chunk": 256}),
    ],
)
def test_the_graph_grows_as_the_chunks_do(some, more) -> None:
    """Four times as many chunks make four times as many tasks, and as many ties between them."""

    def weight(of: dict[str, int]) -> np.ndarray:
        graph = dask.optimize(geot2t.inpaint(untouchable(**of), **LINEAR).filled.data)[0].dask
        return np.array(
            [len(graph), sum(len(task) for task in graph.get_all_dependencies().values())]
        )

    assert (weight(more) < 4.4 * weight(some)).all()


def test_weights_are_loaded_once_in_a_process(monkeypatch) -> None:
    loaded = []

    def load(*_: Any) -> tuple[Copy, dict[str, Any]]:
        loaded.append(1)
        return Copy(), {}

    monkeypatch.setattr("geot2t.model.open_estimates", load)
    tasks._remembered.cache_clear()
    cube = place().chunk(time=1, y=40, x=33)
    for _ in range(2):
        geot2t.inpaint(cube, method="network", **SMALL).compute(scheduler="threads", num_workers=4)
    assert loaded == [1]
    tasks._remembered.cache_clear()


# --- Zarr ---


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A cube as archives store it: integers with scale, offset and no data."""
    path = tmp_path / "cube.zarr"
    cube = place().assign_attrs(scale_factor=2.75e-5, add_offset=-0.2)
    cube.to_dataset().chunk(time=1, y=50, x=65).to_zarr(path)
    return path


def raw(path: Path) -> xr.Dataset:
    return xr.open_zarr(path, mask_and_scale=False, chunks=None)


def test_independent_workers_write_regions_of_one_store(stored, tmp_path) -> None:
    whole = geot2t.inpaint(xr.open_zarr(stored), **LINEAR)
    whole.to_zarr(tmp_path / "whole.zarr")
    out = tmp_path / "out.zarr"
    whole.to_zarr(out, compute=False)
    for first in (100, 0, 50):  # each as a worker of its own would
        part = geot2t.inpaint(xr.open_zarr(stored), **LINEAR).isel(y=slice(first, first + 50))
        part = part.drop_vars([n for n, v in part.variables.items() if "y" not in v.dims])
        part.to_zarr(out, region={"y": slice(first, first + 50)})
    xr.testing.assert_identical(raw(out), raw(tmp_path / "whole.zarr"))

    given, filled = raw(stored).reflectance, raw(out).reflectance
    assert filled.dtype == given.dtype
    assert filled.attrs == given.attrs
    gap = (given == 0).values
    np.testing.assert_array_equal(filled.values[~gap], given.values[~gap])
    np.testing.assert_array_equal(raw(out).provenance != 1, gap.any(1))
    assert (filled.values[gap] != 0).all()


def test_a_cluster_fills_a_store(stored, tmp_path) -> None:
    expected = geot2t.inpaint(xr.open_zarr(stored, chunks=None), **LINEAR)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local),
    ):
        geot2t.inpaint(xr.open_zarr(stored), **LINEAR).to_zarr(tmp_path / "out.zarr")
    out = xr.open_zarr(tmp_path / "out.zarr", chunks=None)
    for name in expected.data_vars:
        np.testing.assert_array_equal(out[name], expected[name])
