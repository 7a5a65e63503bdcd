"""The scripts for clusters do what they say; the clusters are stand-ins where there are none."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
import pytest
import rasterio
from distributed import Client


class Stand:
    """A cluster of threads of this process, which remembers what was asked for."""

    asked: dict[str, Any]
    scaled: dict[str, int]

    def __init__(self, **asked: Any) -> None:
        type(self).asked = asked

    def adapt(self, **scaled: int) -> None:
        type(self).scaled = scaled

    def get_client(self) -> Client:
        return Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None)

    def job_script(self) -> str:
        return "#!/usr/bin/env bash"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Gateway(Stand):
    def __init__(self, address: str) -> None:
        type(self).asked = {"address": address}

    def new_cluster(self, **options: Any) -> Stand:
        return Stand(**options)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two dates of a place, with a gap each."""
    (tmp_path / "place").mkdir()
    for i in (1, 2):
        values = np.random.default_rng(i).integers(500, 4000, (1, 64, 64)).astype("uint16")
        values[:, 20 * i : 20 * i + 10, 5:40] = 0
        with rasterio.open(
            tmp_path / "place" / f"2024-05-0{i}.tif", "w", driver="GTiff", height=64, width=64,
            count=1, dtype="uint16", nodata=0, crs="EPSG:32632",
            transform=rasterio.Affine(10, 0, 6e5, 0, -10, 5e6),
        ) as file:  # fmt: skip
            file.write(values)
    return tmp_path / "place"


@pytest.fixture
def example(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a script with arguments, and with stand-ins for what starts clusters."""
    jobqueue, gateway = ModuleType("dask_jobqueue"), ModuleType("dask_gateway")
    jobqueue.SLURMCluster, gateway.Gateway = Stand, Gateway
    monkeypatch.setitem(sys.modules, "dask_jobqueue", jobqueue)
    monkeypatch.setitem(sys.modules, "dask_gateway", gateway)

    def run(name: str, *arguments: object) -> int:
        path = root / "examples" / name
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_jobs_of_slurm(example: Any, scenes: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "filled"
    given = (scenes, out, "--partition", "fast", "--jobs", 7, "--cores", 4, "--series", scenes)
    assert example("batch_on_slurm.py", *given) == 0
    assert "2 scenes: 2 filled, 0 kept, 0 failed" in capsys.readouterr().out
    assert (out / "2024-05-01_filled.tif").exists()
    assert Stand.scaled == {"minimum_jobs": 1, "maximum_jobs": 7}
    assert Stand.asked["cores"] == Stand.asked["processes"] == 4
    (scenes / "2024-05-02.tif").write_bytes(b"")
    assert example("batch_on_slurm.py", scenes, out, "--partition", "fast") == 3
    assert example("batch_on_slurm.py", scenes, out, "--partition", "fast", "--show") == 0
    assert capsys.readouterr().out.endswith("#!/usr/bin/env bash\n")


def test_a_gateway_to_kubernetes(example: Any, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "filled"
    given = ("https://gateway.example.org", scenes, out, "--image", "i:1", "--workers", 9)
    assert example("batch_on_kubernetes.py", *given) == 0
    assert (out / "2024-05-02_filled.tif").exists()
    assert Gateway.asked == {"address": "https://gateway.example.org"}
    assert Stand.asked["image"] == "i:1"
    assert Stand.scaled == {"minimum": 1, "maximum": 9}


def test_the_script_of_a_slurm_job(root: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    make = runpy.run_path(str(root / "examples" / "batch_on_slurm.py"))["make"]
    with make("fast", 4, "8GB", 2) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p fast", "#SBATCH --cpus-per-task=4", "#SBATCH -t 02:00:00"):
        assert line in script.splitlines()
    assert "export OMP_NUM_THREADS=1 GDAL_NUM_THREADS=1" in script
    assert "export MALLOC_TRIM_THRESHOLD_=" in script
    assert "--nthreads 1" in script
    assert "--nworkers 4" in script
    assert "--lifetime 110m" in script
