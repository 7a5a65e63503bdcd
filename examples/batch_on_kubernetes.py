r"""Fill many scenes on Kubernetes, through a dask-gateway server.

    pip install geot2t dask-gateway
    python examples/batch_on_kubernetes.py https://gateway.example.org scenes.csv /shared/filled \
        --image registry.example.org/geot2t:0.1.0 --workers 100

The image holds the same versions of Python, dask and geot2t as this computer. Scenes and outputs
lie on a volume that is mounted at the same path here and in all workers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from dask_gateway import Gateway

from geot2t.batch import batch, lines


def main() -> None:
    """Read the arguments, start workers, fill, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gateway", help="address of the dask-gateway server")
    parser.add_argument("scenes", type=Path, help="CSV, pattern or item collection")
    parser.add_argument("output", type=Path, help="folder on the shared volume")
    parser.add_argument("--image", help="as the server's option 'image' takes it")
    parser.add_argument("--workers", type=int, default=10, help="workers at most")
    parser.add_argument("--series", action="append", default=[], help="as for geot2t batch")
    given = parser.parse_args()
    # Which options there are is for the administrator to say: see Gateway.cluster_options().
    options: dict[str, Any] = {
        "environment": {
            "OMP_NUM_THREADS": "1",
            "GDAL_NUM_THREADS": "1",
            # Dask's own setting gives the memory of every array back, which costs more than it is.
            "MALLOC_TRIM_THRESHOLD_": "268435456",
            "MALLOC_MMAP_THRESHOLD_": "33554432",
        },
        "worker_cores": 1,
        "worker_memory": 4,
    }
    if given.image:
        options["image"] = given.image
    with Gateway(given.gateway) as gateway, gateway.new_cluster(**options) as cluster:
        cluster.adapt(minimum=1, maximum=given.workers)
        with cluster.get_client() as client:
            client.wait_for_workers(1)
            found = batch(given.scenes, given.output, series=given.series, scheduler=client,
                          say=lambda text: print(text, file=sys.stderr))  # fmt: skip
    print("\n".join(lines(found.scenes, found.seconds)))
    sys.exit(3 if found.failed else 0)


if __name__ == "__main__":
    main()
