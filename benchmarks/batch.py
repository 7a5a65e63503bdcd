"""What a batch costs beyond the scenes: start, overhead per scene, second worker, scheduler.

    python benchmarks/batch.py [--scenes 1000] [--size 1024] [--json measured.json]

Prints, one line each, and writes to the JSON that benchmarks/continent.py reads:

- overhead for each of many tiny scenes, and of starting and ending, over a loop in one process;
- time of a batch that computes, by two workers over one;
- tasks that the scheduler hands out and takes back in a second, and bytes that it is given;
- core seconds and bytes of one scene as the packaged sample is tiled to it, by method.

Times of processes that share a machine are noisy: compare ratios, and core seconds before seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import speed
from rasterio.transform import Affine

from geot2t.batch import batch, work
from geot2t.batch.cluster import hushed, local_client
from geot2t.batch.listing import Job
from geot2t.jobs import inpaint
from geot2t.request import Request

CHEAP: dict[str, Any] = {"method": "linear", "clouds": "none"}
TASKS = 3000
REPEATS = 2


def tiny(folder: Path, count: int) -> None:
    """Write scenes of 32 x 32 pixels, all of them with a gap."""
    folder.mkdir()
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 6e5, 0, -10, 5e6)}
    size = {"height": 32, "width": 32, "count": 1, "dtype": "uint16", "nodata": 0}
    for i in range(count):
        values = np.random.default_rng(i).integers(1, 4000, (1, 32, 32)).astype("uint16")
        values[:, 8:16, 8:16] = 0
        with rasterio.open(folder / f"{i:05}.tif", "w", driver="GTiff", **size, **place) as file:
            file.write(values)


def overhead(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Seconds and core seconds per tiny scene: alone, in a batch, and kept by one; of a start."""
    tiny(folder / "tiny", count)
    (folder / "alone").mkdir()
    some = sorted((folder / "tiny").glob("*.tif"))[: max(count // 10, 1)]

    def loop() -> None:
        for scene in some:
            inpaint(scene, folder / "alone" / scene.name, overwrite=True, **CHEAP)

    def run(scenes: Path, out: str) -> None:
        batch(scenes, folder / out, workers=1, **CHEAP)

    loop()  # loads what is needed
    first = _timed(loop)
    start = _timed(lambda: run(some[0], "single"))
    whole = _timed(lambda: run(folder / "tiny", "batch"))
    again = _timed(lambda: run(folder / "tiny", "batch"))
    last = _timed(loop)  # the machine may be busier at one end
    found: dict[str, dict[str, float]] = {}
    for i, unit in enumerate(("seconds", "core_seconds")):
        alone = (first[i] + last[i]) / 2 / len(some)
        found[unit] = {
            "alone": alone,
            "batch": (whole[i] - start[i]) / (count - 1),
            "kept": (again[i] - start[i]) / (count - 1),
            "start": start[i] - alone,
        }
    return found


def _timed(what: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and core seconds of this process and those that it has ended."""

    def cores() -> float:
        both = (
            resource.getrusage(resource.RUSAGE_SELF),
            resource.getrusage(resource.RUSAGE_CHILDREN),
        )
        return sum(used.ru_utime + used.ru_stime for used in both)

    begun, used = time.perf_counter(), cores()
    what()
    return time.perf_counter() - begun, cores() - used


def second_worker(folder: Path, scenes: int = 6) -> list[float]:
    """Time by two workers over that by one, of scenes that take long to compute; repeated."""
    for i in range(scenes):
        (folder / "work" / str(i)).mkdir(parents=True)
        speed.build(folder / "work" / str(i), 192, 3, 0.4)
    ratios = []
    given: dict[str, Any] = {"method": "prior", "clouds": "qa", "device": "cpu"}
    pattern = str(folder / "work" / "*" / speed.SCENE)
    with hushed(), local_client(1, "auto", (), 3) as one, local_client(2, "auto", (), 3) as two:
        for client in (one, two):  # so that all have loaded what they need
            client.run(_load)
        for turn in range(REPEATS):
            took = []
            for name, client in (("one", one), ("two", two)):
                begun = time.perf_counter()
                batch(
                    pattern,
                    folder / f"{name}{turn}",
                    series=["{folder}"],
                    scheduler=client,
                    **given,
                )
                took.append(time.perf_counter() - begun)
            ratios.append(took[1] / took[0])
    return ratios


def _load() -> None:
    import geot2t.model  # noqa: F401


def _nothing(_: work.Order) -> None:
    pass


def scheduler_load(folder: Path) -> dict[str, float]:
    """Tasks through the scheduler, by the clock and by its core; bytes that describe a scene."""
    from distributed import as_completed

    job = Job("scene", folder / "place" / "scene.tif", folder / "scene_filled.tif",
              series=(folder / "place",))  # fmt: skip
    order = work.Order(job, Request(), False, None, folder / ("0" * 32), 1, None)
    with hushed(), local_client(2, "auto", (), 3) as client:
        begun, used = time.perf_counter(), time.process_time()
        coming = as_completed(loop=client.loop)
        ahead = 8
        for i in range(TASKS):
            coming.add(client.submit(_nothing, order, key=("nothing", i), pure=False))
            if i >= ahead:
                next(coming)
        for _ in range(min(ahead, TASKS)):
            next(coming)
        took, used = time.perf_counter() - begun, time.process_time() - used
    return {
        "tasks_per_second": TASKS / took,
        "tasks_per_core_second": TASKS / used,
        "bytes_per_scene": len(pickle.dumps(order)),
    }


def throughput(folder: Path, size: int) -> dict[str, Any]:
    """Core seconds and bytes for each pixel of the tiled sample, by method.

    What needs no model is so quick that it gets a scene of twice the side.
    """
    found: dict[str, Any] = {"dates": 6, "core_seconds": {}}
    for side, methods in ((size, ("prior", "auto")), (2 * size, ("copy", "linear"))):
        out = folder / str(side)
        series = out / "series"
        series.mkdir(parents=True)
        scene = speed.build(series, side, 6, 0.3)
        shape = scene.with_name(f"{scene.stem}_mask.tif")
        with rasterio.open(shape) as file:
            gap = float(file.read(1).mean())
        model = "" if "copy" in methods else ", geot2t.model"
        nothing = _core_seconds("-c", f"import geot2t.cli, geot2t.jobs{model}")
        for method in methods:
            more = ["--method", "linear" if method == "copy" else method]
            if method == "copy":
                shape.rename(folder / shape.name)  # nothing is hidden, then
            used = _core_seconds(
                "-m", "geot2t", "inpaint", scene, "--series", series, "-o", out / f"{method}.tif",
                "--clouds", "qa", "--device", "cpu", "-q", *more,
            )  # fmt: skip
            if method == "copy":
                (folder / shape.name).rename(shape)
            found["core_seconds"][method] = max(used - nothing, 0.0) / side**2
        # The last one that is built is the larger, and its bytes are nearer to those of a tile.
        found["gap"] = gap if side == size else found["gap"]
        found["gap_of_baselines"] = gap
        found["read"] = sum(path.stat().st_size for path in series.glob("2*.tif")) / side**2
        written = out.glob(f"{methods[-1]}*")
        found["written"] = sum(path.stat().st_size for path in written) / side**2
    return found


def _core_seconds(*arguments: Path | str) -> float:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GDAL_NUM_THREADS": "1"}

    def run() -> None:
        command = [sys.executable, *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=env)  # noqa: S603  our own

    return _timed(run)[1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=1000, help="tiny scenes")
    parser.add_argument("--size", type=int, default=1024, help="side of the scene to be filled")
    parser.add_argument("--json", type=Path, help="where to write what continent.py reads")
    parser.add_argument("--only", nargs="*", default=["tiny", "workers", "scheduler", "scene"])
    options = parser.parse_args()
    measured: dict[str, Any] = {}
    if options.json and options.json.exists():
        measured = json.loads(options.json.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "tiny" in options.only:
            measured["tiny"] = overhead(folder, options.scenes)
            for unit, t in measured["tiny"].items():
                more = 1e3 * (t["batch"] - t["alone"])
                print(f"{unit.replace('_', ' ')} of {options.scenes} tiny scenes")
                print(f"  one process   {1e3 * t['alone']:.0f} ms each")
                print(f"  one worker    {1e3 * t['batch']:.0f} ms each: {more:.0f} ms more, "
                      f"{t['batch'] / t['alone']:.2f} times")  # fmt: skip
                print(f"  kept          {1e3 * t['kept']:.0f} ms each")
                print(f"  start, end    {t['start']:.1f} s")
        if "workers" in options.only:
            ratios = measured["two_over_one"] = second_worker(folder)
            print("two workers     " + ", ".join(f"{r:.2f}" for r in ratios) + " of one's time")
        if "scheduler" in options.only:
            s = measured["scheduler"] = scheduler_load(folder)
            print(f"scheduler       {s['tasks_per_second']:.0f} tasks/s, "
                  f"{s['tasks_per_core_second']:.0f} for each second of its core, "
                  f"{s['bytes_per_scene']} bytes for each scene")  # fmt: skip
        if "scene" in options.only:
            m = measured["scene"] = throughput(folder, options.size)
            for method, seconds in m["core_seconds"].items():
                print(f"{method:15} {1e6 * seconds:.2f} core seconds for each Mpx")
            print(f"                gap {100 * m['gap']:.0f} %, of copy 0 %, of linear "
                  f"{100 * m['gap_of_baselines']:.0f} %")  # fmt: skip
            print(f"bytes           {m['read']:.1f} read from {m['dates']} dates and "
                  f"{m['written']:.1f} written for each pixel")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2) + "\n")


if __name__ == "__main__":
    main()
