"""Who does what next: a few scenes at a time are handed out, and what comes back is written down.

Only paths and figures pass through here, and never more than a few scenes for each worker are
known to the scheduler, so that a million scenes weigh no more than a hundred.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geot2t.batch import work
from geot2t.batch.journal import BEGUN, FAILED, KEPT, Entry, Journal
from geot2t.batch.listing import Job
from geot2t.errors import Geot2tError
from geot2t.io.publish import locked, output_paths
from geot2t.request import Request

if TYPE_CHECKING:
    from distributed import Client, Future

Progress = Callable[[float, float], None]
"""Called with the scenes done and all scenes."""

Say = Callable[[str], None]
"""Called with what the user should know at once, one sentence."""

_AHEAD = 4
"""Scenes that are known to the scheduler, for each thread of its workers."""

_FRESH = 10.0
"""Seconds for which a count of the workers holds."""


@dataclass(slots=True, eq=False)
class _Scene:
    """A scene that has been handed out."""

    order: work.Order
    begun: float
    alone: bool
    """Whether nothing else was handed out, so that it is to blame if its worker dies."""

    futures: list[Any]
    bands: int = 0
    """Bands that it is computed in."""

    share: float = 0
    """What of them is done, 0 to 1."""


class Board:
    """Hands scenes out to the workers of a client, and keeps the journal.

    Parameters
    ----------
    client : Client
    request : Request
        What is asked for, the same for all scenes.
    journal : Journal
        What earlier runs did.
    parts : Path
        Folder for bands.
    overwrite : bool
        Replace outputs that no run of this journal wrote.
    rows : int, optional
        Rows of a band; 0 for no bands.
    progress, say : callable, optional
        See `Progress` and `Say`.
    """

    def __init__(
        self,
        client: Client,
        request: Request,
        journal: Journal,
        parts: Path,
        *,
        overwrite: bool,
        rows: int | None,
        progress: Progress | None,
        say: Say,
    ) -> None:
        from distributed import as_completed

        self._client, self._request, self._journal = client, request, journal
        self._parts, self._overwrite, self._rows = parts, overwrite, rows
        self._progress, self._say = progress, say
        self._coming = as_completed(loop=client.loop)
        self._waiting: deque[Job] = deque()
        self._open: dict[Any, _Scene] = {}
        self._suspects: list[Job] = []
        self._number = itertools.count()
        self._counted = (-_FRESH, 1)
        self._found: dict[Path, Entry] = {}
        self._total = 0

    def run(self, jobs: Sequence[Job]) -> list[Entry]:
        """Fill all scenes; returns what became of them, in their order.

        A scene whose workers died is tried once more at the end, alone: then nothing else can
        be the cause, and no other scene is at risk.

        Raises
        ------
        Geot2tError
            If the scheduler is lost.
        """
        self._waiting.extend(jobs)
        self._total = len(jobs)
        self._tell()
        pieces = -(-_AHEAD * self._threads() // len(jobs))
        try:
            self._drain(pieces)
            for job in self._suspects:
                self._hand_out(job, pieces, alone=True)
                self._drain(pieces)
        except BaseException:
            self._client.cancel(list(self._open), force=True)
            raise
        return [self._found[job.output] for job in jobs]

    def clear(self) -> None:
        """Remove the temporary files of scenes that were cut off, once their workers are gone."""
        for scene in set(self._open.values()):
            _clear(scene.order)

    def _drain(self, pieces: int) -> None:
        while self._waiting or self._open:
            most = _AHEAD * self._threads()
            while self._waiting and len(self._open) < most:
                self._hand_out(self._waiting.popleft(), pieces)
            self._take(next(self._coming))

    def _threads(self) -> int:
        """Threads of all workers, which may come and go."""
        when, count = self._counted
        if time.monotonic() - when > _FRESH:
            count = max(sum(self._client.nthreads().values()), 1)
            self._counted = (time.monotonic(), count)
        return count

    def _hand_out(self, job: Job, pieces: int, *, alone: bool = False) -> None:
        output = str(job.output)
        before = self._journal.last.get(output)
        # What was not there when a batch began with it is the batch's own to replace.
        if output not in self._journal.owned and (self._overwrite or _is_free(job.output)):
            self._journal.add(Entry(job.label, output, BEGUN))
        order = work.Order(
            job=job,
            request=self._request,
            overwrite=self._overwrite or output in self._journal.owned,
            before=before if before is not None and before.key else None,
            parts=self._parts / hashlib.sha256(output.encode()).hexdigest()[:32],
            pieces=pieces,
            rows=self._rows,
        )
        scene = _Scene(order, time.monotonic(), alone, [])
        self._submit(scene, work.scene, order)

    def _submit(self, scene: _Scene, what: Callable[..., Any], *given: Any, urgent: int = 0) -> Any:
        """Hand out one task of a scene, and look out for it."""
        future: Future[Any] = self._client.submit(
            what,
            *given,
            key=(f"geot2t-{what.__name__}", next(self._number)),
            priority=urgent,
            pure=False,
        )
        scene.futures.append(future)
        self._open[future] = scene
        self._coming.add(future)
        return future

    def _take(self, future: Any) -> None:
        """Learn what became of a task."""
        scene = self._open.pop(future, None)
        if scene is None:  # of a scene that is given up
            return
        if future.status == "cancelled":
            raise Geot2tError("the scheduler is lost; run the same command again to go on")
        if future.status == "error":
            self._fail(scene, future.exception())
            return
        kind = future.key[0]
        if kind in {"geot2t-scene", "geot2t-join"}:
            found = future.result()
            if isinstance(found, work.Plan):
                self._cut(scene, found)
            else:
                took = time.monotonic() - scene.begun if found.seconds is None else found.seconds
                self._end(scene, replace(found, seconds=took))
        elif kind == "geot2t-band":
            scene.share += 1 / scene.bands
            self._tell()

    def _cut(self, scene: _Scene, plan: work.Plan) -> None:
        order, scene.bands = scene.order, len(plan.bands)
        known = self._submit(scene, work.find_out, order, urgent=1)
        parts = [
            self._submit(scene, work.band, order, plan, known, i, urgent=1)
            for i in range(len(plan.bands))
        ]
        self._submit(scene, work.join, order, plan, known, parts, urgent=2)

    def _fail(self, scene: _Scene, error: BaseException | None) -> None:
        from distributed.scheduler import KilledWorker

        job = scene.order.job
        if isinstance(error, KilledWorker):
            if not scene.alone:
                self._give_up(scene)
                self._suspects.append(job)
                self._say(f"{job.label} was on workers that died; it is tried alone in the end")
                return
            _clear(scene.order)
            text = (
                "each worker that tried it died, the last ones with nothing else to do: is it out "
                "of memory (--memory-limit), or is the file damaged?"
            )
        else:
            text = (
                str(error) if isinstance(error, Geot2tError) else f"{type(error).__name__}: {error}"
            )
        took = time.monotonic() - scene.begun
        text = " ".join(text.split())
        self._end(scene, Entry(job.label, str(job.output), FAILED, error=text, seconds=took))

    def _end(self, scene: _Scene, entry: Entry) -> None:
        self._give_up(scene)
        if entry.state != KEPT:
            self._journal.add(entry)
        if entry.state == FAILED:
            self._say(f"failed: {entry.complaint}")
        self._found[scene.order.job.output] = entry
        self._tell()

    def _give_up(self, scene: _Scene) -> None:
        """Let go of all tasks of a scene."""
        scene.share = 0
        for future in scene.futures:
            self._open.pop(future, None)
            future.release()

    def _tell(self) -> None:
        if self._progress is not None:
            begun = sum(scene.share for scene in set(self._open.values()))
            self._progress(len(self._found) + begun, self._total)


def _clear(order: work.Order) -> None:
    # What another process holds is being written, and will appear whole.
    with suppress(Geot2tError), locked(output_paths(order.job.output)):
        pass
    for part in order.parts.glob(".*.part-*"):
        part.unlink(missing_ok=True)


def _is_free(output: Path) -> bool:
    paths = output_paths(output)
    return not any(os.path.lexists(path) for path in (*paths.rasters.values(), paths.item))
