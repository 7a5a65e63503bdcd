"""Time and memory of filling a Zarr cube, written region by region by independent workers.

    python benchmarks/zarr_cube.py [--size 2000] [--method prior] [--workers 2] [--rows 1000]

Builds a cube of the packaged sample, tiled, with its clouds as SCL tells them; makes an empty
store of the results; and lets each worker open the cube, fill it lazily and write a band of rows.
Prints the time, and the greatest memory of each worker beside that of one that has only imported
what it needs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import dask
import numpy as np
import rasterio
import xarray as xr
from dask.distributed import Client, LocalCluster
from numpy.typing import NDArray

import geot2t
from geot2t.io import scenes_in

SAMPLE = Path(__file__).parent.parent / "geot2t" / "data" / "sample"
SIDE = 500
"""Side of the stored chunks, in pixels; they hold one date each."""


def build(path: Path, size: int, dates: int) -> None:
    """Write the cube as archives do: integers, scale and no data in attributes."""
    scenes = scenes_in(SAMPLE)[:dates]
    with rasterio.open(scenes[0]) as file:
        bands, transform, crs = list(file.descriptions), file.transform, file.crs
    values = np.stack([tiled(scene, size) for scene in scenes])
    classes = [tiled(scene.with_name(f"{scene.stem}_SCL.tif"), size) for scene in scenes]
    at = np.arange(size) + 0.5
    attrs = {"_FillValue": 0, "scale_factor": 1e-4, "grid_mapping": "spatial_ref"}
    cube = xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), values, attrs),
            "SCL": (("time", "y", "x"), np.concatenate(classes)),
        },
        coords={
            "time": np.array([scene.stem for scene in scenes], "datetime64[ns]"),
            "band": bands,
            "y": transform.f + transform.e * at,
            "x": transform.c + transform.a * at,
            "spatial_ref": ((), 0, {"crs_wkt": crs.to_wkt()}),
        },
    )
    cube.chunk(time=1, y=SIDE, x=SIDE).to_zarr(path)


def tiled(path: Path, size: int) -> NDArray[np.generic]:
    """A raster in mirrored tiles, which join without a seam, cut to ``size``."""
    with rasterio.open(path) as file:
        values = file.read()
    tile = np.concatenate([values, values[:, ::-1]], 1)
    tile = np.concatenate([tile, tile[..., ::-1]], 2)
    times = -(-size // min(tile.shape[1:]))
    return np.tile(tile, (1, times, times))[:, :size, :size]


def filled(cube: Path, method: str) -> xr.Dataset:
    """Lay out the fill; nothing is computed."""
    out: xr.Dataset = geot2t.inpaint(xr.open_zarr(cube), method=method)
    return out


def fill_rows(cube: Path, out: Path, method: str, first: int, last: int) -> float:
    """Fill some rows of all dates and write them; returns seconds."""
    begun = time.perf_counter()
    with dask.config.set(scheduler="synchronous"):
        part = filled(cube, method).isel(y=slice(first, last))
        there = [name for name, v in part.variables.items() if "y" not in v.dims]
        part.drop_vars(there).to_zarr(out, region={"y": slice(first, last)})
    return time.perf_counter() - begun


def peak() -> float:
    """The greatest memory of this process so far, in GiB."""
    import torch  # noqa: F401  what a fill cannot do without

    status = Path("/proc/self/status").read_text("utf-8")
    found = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) / 2**20


def main() -> None:
    """Build, fill and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2000, help="side of the cube in pixels")
    parser.add_argument("--dates", type=int, default=12, help="dates of the cube, 12 at most")
    parser.add_argument("--method", default="prior", help="as for geot2t inpaint")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=int, default=1000, help="rows that are written at once")
    parser.add_argument("--folder", type=Path, help="where to put both stores, [default: TMPDIR]")
    options = parser.parse_args()
    size = options.size
    if options.rows % SIDE:
        parser.error(f"--rows must be a multiple of {SIDE}: no two workers may share a chunk")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cube, out = Path(folder) / "cube.zarr", Path(folder) / "filled.zarr"
        build(cube, size, options.dates)
        begun = time.perf_counter()
        template = filled(cube, options.method)
        laid_out, tasks = time.perf_counter() - begun, len(template.__dask_graph__())
        template.to_zarr(out, compute=False)
        with (
            LocalCluster(n_workers=options.workers, threads_per_worker=1, memory_limit=0) as local,
            Client(local) as client,
        ):
            before = client.run(peak)
            begun = time.perf_counter()
            jobs = [
                client.submit(fill_rows, cube, out, options.method, y, min(y + options.rows, size))
                for y in range(0, size, options.rows)
            ]
            took = client.gather(jobs)
            elapsed = time.perf_counter() - begun
            after = client.run(peak)
        provenance = xr.open_zarr(out, mask_and_scale=False).provenance
        counts = np.bincount(provenance.values.ravel(), minlength=4)
    print(f"cube             {options.dates} x 4 x {size} x {size}, uint16")
    print(f"graph            {tasks} tasks, laid out in {laid_out:.1f} s")
    print(
        f"gap              {100 * (1 - counts[1] / counts.sum()):.1f} %, of which "
        f"{100 * counts[2:].sum() / (counts.sum() - counts[1]):.1f} % were filled"
    )
    print(f"filled in        {elapsed:.1f} s by {options.workers} workers, {options.method}")
    print(f"regions          {', '.join(f'{t:.1f} s' for t in took)}")
    for worker, memory in after.items():
        print(f"peak memory      {memory:.2f} GiB, {before[worker]:.2f} GiB of it once imported")


if __name__ == "__main__":
    main()
