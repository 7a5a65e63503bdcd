"""Many scenes on many workers, by dask.distributed: resumable, each scene whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geot2t import __version__
from geot2t.baselines import METHODS
from geot2t.batch.board import Board, Progress, Say
from geot2t.batch.cluster import (
    LOCAL,
    check_workers,
    gpus_of,
    has_dashboard,
    hushed,
    local_client,
    remote_client,
)
from geot2t.batch.journal import DONE, FAILED, KEPT, Entry, Journal
from geot2t.batch.listing import COLUMNS, Job, list_jobs
from geot2t.batch.summary import lines, report
from geot2t.errors import OutputError
from geot2t.io.checksums import plain
from geot2t.io.collection import write_collection
from geot2t.io.inputs import Given, Location
from geot2t.io.lock import hold
from geot2t.io.publish import output_paths, terminated_as_exception, write_bytes
from geot2t.request import Request

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["COLUMNS", "Batch", "Entry", "Job", "batch", "lines", "list_jobs"]

JOURNAL = "journal.jsonl"
REPORT = "batch.json"
_LOCK = ".batch.lock"
_PARTS = ".parts"


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of a batch."""

    scenes: tuple[Entry, ...]
    """Each scene, in the order of the jobs."""

    report: dict[str, Any]
    """What ``batch.json`` holds."""

    path: Path
    """That file."""

    items: Path | None
    """The STAC ItemCollection of all outputs; None if there is none."""

    seconds: float
    """Time that it took."""

    @property
    def failed(self) -> int:
        """Scenes that could not be filled."""
        return sum(entry.state == FAILED for entry in self.scenes)


def _unsaid(_: str) -> None:
    pass


def batch(
    jobs: Location,
    folder: Path | str,
    *,
    series: Sequence[Given] = (),
    cloud_mask: Path | None = None,
    scheduler: str | Client = LOCAL,
    workers: int | None = None,
    memory_limit: str = "auto",
    tries: int = 3,
    rows: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    say: Say = _unsaid,
    **options: Any,
) -> Batch:
    """Fill many scenes, each as `geot2t.jobs.inpaint` fills it, on the workers of a dask cluster.

    Run again with the same folder, only what is missing, failed, or follows from inputs or options
    that have changed since is done. A scene that cannot be filled does not stop the others.

    Parameters
    ----------
    jobs : Path or str
        The scenes; see `geot2t.batch.listing.list_jobs`.
    folder : Path or str
        For the outputs, the journal, ``batch.json`` and ``items.json``; made if it is not there.
    series, cloud_mask
        For scenes that name none themselves; see `geot2t.batch.listing.list_jobs`.
    scheduler : str or Client
        ``local`` for processes on this computer, the address of a scheduler, or a client of any
        cluster, which stays open.
    workers : int, optional
        Local processes, by default one for each core or each GPU. Of a scheduler at an address,
        how many workers are waited for.
    memory_limit : str
        Of each local process.
    tries : int
        How many local processes a scene may end before it is tried alone.
    rows : int, optional
        Rows of the bands that scenes are cut into; 0 for none. By default large scenes are cut
        where workers would be idle otherwise.
    overwrite : bool
        Replace outputs that no batch of this folder wrote.
    progress, say : callable, optional
        Called with the scenes done and all scenes, and with what the user should know at once.
    **options
        As for `geot2t.jobs.inpaint`.

    Returns
    -------
    Batch

    Raises
    ------
    BusyError
        If another batch is writing into the folder.
    Geot2tError
        If the list of scenes, an option or the cluster cannot be used.
    """
    begun, started = time.monotonic(), datetime.now(UTC)
    folder = Path(folder).absolute()
    request = Request(**options)
    found = list_jobs(
        jobs, folder, series=series, cloud_mask=cloud_mask, trusted=request.trust_items
    )
    _make(folder)
    with (
        terminated_as_exception(),
        hold(folder / _LOCK, folder, strict=True),
        Journal(folder / JOURNAL) as journal,
    ):
        entries, cluster = _run(
            found, folder, request, journal, scheduler,
            workers=workers, memory_limit=memory_limit, tries=tries,
            board={"overwrite": overwrite, "rows": rows, "progress": progress, "say": say},
        )  # fmt: skip
        if not any(entry.state == FAILED for entry in entries):
            shutil.rmtree(folder / _PARTS, ignore_errors=True)
        seconds = time.monotonic() - begun
        items = _list_items(folder, entries)
        about = {
            "version": __version__,
            "jobs": str(jobs),
            "started": started.isoformat(),
            "seconds": seconds,
            "cluster": cluster,
            "options": request.said,
            "items": items,
        }
        whole = plain(report(entries, about))
        write_bytes(folder / REPORT, json.dumps(whole, indent=2).encode() + b"\n")
    return Batch(tuple(entries), whole, folder / REPORT, items, seconds)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}") from error


def _run(
    jobs: list[Job],
    folder: Path,
    request: Request,
    journal: Journal,
    scheduler: str | Client,
    *,
    workers: int | None,
    memory_limit: str,
    tries: int,
    board: dict[str, Any],
) -> tuple[list[Entry], dict[str, Any]]:
    handed: Board | None = None
    try:
        with (
            hushed(),
            _client(scheduler, request, workers, memory_limit, tries) as (client, there),
        ):
            check_workers(client, folder)
            if client.dashboard_link and there["dashboard"]:
                board["say"](f"the dashboard is at {client.dashboard_link}")
            handed = Board(client, replace(request, device=there["device"]), journal,
                           folder / _PARTS, **board)  # fmt: skip
            threads = client.nthreads()
            entries = handed.run(jobs)
    except BaseException:
        if handed is not None:
            handed.clear()
        raise
    return entries, {"workers": len(threads), "threads": sum(threads.values())}


@contextmanager
def _client(
    scheduler: str | Client, request: Request, workers: int | None, memory_limit: str, tries: int
) -> Iterator[tuple[Client, dict[str, Any]]]:
    """A client, the device that its workers should use, and whether there is a dashboard."""
    device = request.device
    if not isinstance(scheduler, str):
        yield scheduler, {"device": device, "dashboard": False}
    elif scheduler != LOCAL:
        with remote_client(scheduler, workers) as client:
            yield client, {"device": device, "dashboard": True}
    else:
        plain_only = request.method in METHODS and request.model is None
        gpus = [] if plain_only else gpus_of(device)
        with local_client(workers, memory_limit, gpus, tries) as client:
            # A process that sees one GPU knows it as the first, whichever it is.
            device = "cuda" if gpus else device
            yield client, {"device": device, "dashboard": has_dashboard()}


def _list_items(folder: Path, entries: Sequence[Entry]) -> Path | None:
    """Write the list of all outputs that are there."""
    items = [output_paths(Path(e.output)).item for e in entries if e.state in (DONE, KEPT)]
    return write_collection(folder, items) if items else None
