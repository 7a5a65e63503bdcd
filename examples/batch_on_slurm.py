"""Fill many scenes with jobs of a SLURM cluster, through dask-jobqueue.

    pip install 'geot2t[hpc]'
    python examples/batch_on_slurm.py scenes.csv /shared/filled --partition main --jobs 40

Run it where sbatch works, in a screen or in a job of its own: it holds the scheduler, and ends when
all scenes are done. Workers come and go with their jobs. When SLURM ends this one, run it again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import dask
from dask_jobqueue import SLURMCluster

from geot2t.batch import batch, lines


def make(partition: str, cores: int, memory: str, hours: int) -> SLURMCluster:
    """A cluster whose jobs have a process for each of ``cores``, with one thread each."""
    return SLURMCluster(
        queue=partition,
        cores=cores,
        processes=cores,
        memory=memory,
        walltime=f"{hours:02}:00:00",
        job_script_prologue=[
            "export OMP_NUM_THREADS=1 GDAL_NUM_THREADS=1",
            # Dask's own setting gives the memory of every array back, which costs more than it is.
            "export MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432",
        ],
        # A worker that leaves before its job ends hands its scenes on; one that is killed is tried.
        worker_extra_args=["--lifetime", f"{60 * hours - 10}m", "--lifetime-stagger", "5m"],
    )


def main() -> None:
    """Read the arguments, start jobs, fill, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", type=Path, help="CSV, pattern or item collection")
    parser.add_argument("output", type=Path, help="folder on storage that all nodes share")
    parser.add_argument("--partition", required=True)
    parser.add_argument("--jobs", type=int, default=10, help="jobs at a time")
    parser.add_argument("--cores", type=int, default=16, help="cores of a job")
    parser.add_argument("--memory", default="64GB", help="memory of a job")
    parser.add_argument("--hours", type=int, default=4, help="hours of a job")
    parser.add_argument("--series", action="append", default=[], help="as for geot2t batch")
    parser.add_argument("--show", action="store_true", help="print the job script, do nothing")
    given = parser.parse_args()
    # Read when the scheduler is made: how many lost workers a scene may be on.
    dask.config.set({"distributed.scheduler.allowed-failures": 2})
    with make(given.partition, given.cores, given.memory, given.hours) as cluster:
        if given.show:
            print(cluster.job_script())
            return
        cluster.adapt(minimum_jobs=1, maximum_jobs=given.jobs)
        with cluster.get_client() as client:
            client.wait_for_workers(1)
            found = batch(given.scenes, given.output, series=given.series, scheduler=client,
                          say=lambda text: print(text, file=sys.stderr))  # fmt: skip
    print("\n".join(lines(found.scenes, found.seconds)))
    sys.exit(3 if found.failed else 0)


if __name__ == "__main__":
    main()
