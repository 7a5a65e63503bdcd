"""Where a batch runs: processes of this computer, or a dask cluster that somebody started."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geot2t import __version__
from geot2t.batch.work import greet
from geot2t.errors import Geot2tError, InputError, OutputError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")
_KEPT = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
"""Bytes that glibc keeps for the next array. As dask sets it, each array is given back, and the
system clears it again for the next."""
_SECONDS = 20
"""Time for a scheduler to answer."""


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what dask logs to itself, unless geot2t's own log shows everything.

    A lost worker is no news to the user: what it did is done again.
    """
    import distributed  # noqa: F401  sets the level of its log when it is loaded

    log = logging.getLogger("distributed")
    level = log.level
    if not logging.getLogger("geot2t").isEnabledFor(logging.DEBUG):
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def local_client(
    workers: int | None, memory_limit: str, gpus: Sequence[str], tries: int
) -> Iterator[Client]:
    """A client of new processes on this computer, which end with the ``with`` block.

    Parameters
    ----------
    workers : int, optional
        Processes; by default one for each core, or for each of ``gpus``. Cores are shared out
        among them as threads of the libraries, never as threads of dask.
    memory_limit : str
        Of each process, such as ``4GiB``; ``auto`` for an equal share.
    gpus : sequence of str
        As ``CUDA_VISIBLE_DEVICES`` names them; each process sees one.
    tries : int
        How often a scene may end its process.

    Raises
    ------
    InputError
        If the memory limit cannot be understood.
    """
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, Nanny, Scheduler, SpecCluster
    from distributed.worker_memory import parse_memory_limit

    count = workers or len(gpus) or CPU_COUNT
    try:
        limit = parse_memory_limit(memory_limit, 1, count, logger=logging.getLogger(__name__))
    except ValueError as error:
        raise InputError(f"no memory limit {memory_limit!r}; give it like 4GiB") from error
    threads = {name: str(max(CPU_COUNT // count, 1)) for name in _THREADS}
    trim = "MALLOC_TRIM_THRESHOLD_"
    usual = str(dask.config.get(f"distributed.nanny.pre-spawn-environ.{trim}", None))
    # Dask looks here before it looks at its configuration, and leaves its own setting here.
    if os.environ.get(trim, usual) == usual:
        os.environ.update(_KEPT)

    def options(i: int) -> dict[str, Any]:
        one = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
        return {
            "host": "127.0.0.1",
            "nthreads": 1,
            "memory_limit": limit,
            "env": threads | one,
            "preload": ["geot2t.batch.preload"],
            "silence_logs": logging.CRITICAL,
            "dashboard": False,
        }

    scheduler = {
        "host": "127.0.0.1",
        "port": 0,
        "dashboard": has_dashboard(),
        "dashboard_address": "127.0.0.1:0",
    }
    # Read by the scheduler when it is made. Deaths are counted, and one more is one too many.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": tries - 1}),
        SpecCluster(
            scheduler={"cls": Scheduler, "options": scheduler},
            workers={i: {"cls": Nanny, "options": options(i)} for i in range(count)},
            silence_logs=logging.CRITICAL,
            name="geot2t",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def has_dashboard() -> bool:
    """Whether a scheduler on this computer can show its dashboard."""
    from importlib.util import find_spec

    return find_spec("bokeh") is not None


@contextmanager
def remote_client(address: str, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at ``address``, once it has so many workers (1 by default).

    Raises
    ------
    InputError
        If no scheduler answers there.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"no scheduler answers at {address}: {said}") from error
    with client:
        client.wait_for_workers(workers or 1)
        yield client


def check_workers(client: Client, folder: Path) -> None:
    """Make sure that workers can do what they will be asked for.

    Raises
    ------
    Geot2tError
        If geot2t is not there, or of another version.
    OutputError
        If a worker does not see the folder of the outputs, or may not write into it.
    """
    try:
        found = client.run(greet, folder)
    except ImportError as error:
        raise Geot2tError(f"geot2t is not installed where workers run: {error}") from error
    for worker, (version, writable) in found.items():
        if version != __version__:
            raise Geot2tError(
                f"the worker at {worker} has geot2t {version}, and this is {__version__}"
            )
        if not writable:
            raise OutputError(
                f"the worker at {worker} cannot write into {folder}: it must be on storage that "
                "all workers share"
            )


def gpus_of(device: str) -> list[str]:
    """The GPUs to be used, as ``CUDA_VISIBLE_DEVICES`` names them; none for a CPU.

    Raises
    ------
    InputError
        If the device is not there.
    """
    if device == "cpu":
        return []
    from geot2t.model import count_gpus  # imports torch, which takes seconds

    there = [str(i) for i in range(count_gpus(device))]
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        there = [name.strip() for name in named.split(",")][: len(there)]
    return [there[int(device.split(":")[1])]] if ":" in device else there
