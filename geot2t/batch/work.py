"""What workers do: a scene, or a band of rows of one, from files to files.

Whatever is done may be done twice, one after the other or at the same time, and comes out the same:
a worker that was given up may still be alive. Files appear whole, and only paths and figures
travel.
"""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from geot2t import __version__, pipeline
from geot2t.batch.journal import DONE, FAILED, KEPT, Entry, fingerprint
from geot2t.batch.listing import Job
from geot2t.errors import BusyError, Geot2tError
from geot2t.fill import walk
from geot2t.filling import Known, Result, Work, open_scene, outputs_of, run, write_to
from geot2t.grid import Box, blocks
from geot2t.io.parts import reading_part, writing_part
from geot2t.io.publish import output_paths
from geot2t.io.sink import metadata_of
from geot2t.io.stack import Stack
from geot2t.request import Request
from geot2t.stac import load_items
from geot2t.stream import Tally, Written

T = TypeVar("T")

SMALLEST = 2**24
"""Pixels from which on a scene is cut into bands where workers would be idle otherwise."""

LOWEST = 1024
"""Rows of such a band at least: windows on its edges are computed by both neighbours."""

MOST_SAMPLES = 16
"""Samples up to which that is done: all those of a block are held when bands are joined."""

PATIENCE = 10.0
"""Seconds to wait for a worker that is losing its hold of the same outputs."""


@dataclass(frozen=True, slots=True)
class Order:
    """One scene, and how it is to be filled."""

    job: Job
    """The scene."""

    request: Request
    """What is asked for."""

    overwrite: bool
    """Whether outputs that are there may be replaced."""

    before: Entry | None
    """What an earlier run did, if it did not fail."""

    parts: Path
    """Folder for bands of this scene."""

    pieces: int
    """Into how many bands a large scene is cut."""

    rows: int | None
    """Rows of a band, if the user says so; 0 for no bands."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a large scene is cut."""

    key: str
    """Fingerprint of what its outputs follow from."""

    block: tuple[int, int]
    """Height and width of the blocks of its outputs."""

    bands: tuple[Box, ...]
    """Rows, from top to bottom."""


def scene(order: Order) -> Entry | Plan:
    """Fill a scene, unless it is as an earlier run left it or should be cut.

    Returns
    -------
    Entry or Plan
        An error is an entry too: what is wrong with a scene is the same for every worker.
    """
    return _reported(order, lambda: _scene(order))


def _scene(order: Order) -> Entry | Plan:
    begun = time.perf_counter()
    job, request = order.job, order.request
    with _open(order) as stack:
        key = fingerprint(stack, request, () if job.cloud_mask is None else (job.cloud_mask,))
        if order.before is not None and order.before.key == key and order.before.intact:
            return replace(order.before, state=KEPT)
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with outputs_of(stack, job.output, request, overwrite=order.overwrite) as outputs:
            bands = _bands(stack.extent, outputs.block[0], order)
            if len(bands) > 1:
                return Plan(key, outputs.block, bands)
            work = Work(stack, request)
            stream = work.stream(outputs.meta)
            run(stream, walk(stack.extent, *outputs.block), write_to(outputs))
            result = work.finish(outputs, stream.tally)
    return _done(order, key, result, time.perf_counter() - begun)


def find_out(order: Order) -> Known:
    """What the bands of a scene must know of all of it."""
    with _open(order) as stack:
        return Work(stack, order.request).find_out()


def band(order: Order, plan: Plan, known: Known, index: int) -> Path:
    """Compute one band, unless an earlier run did; returns its file."""
    path = order.parts / f"{plan.key[:32]}-{index}-{len(plan.bands)}.npy.gz"
    if path.exists():
        return path
    order.parts.mkdir(parents=True, exist_ok=True)
    with _open(order) as stack, writing_part(path) as part:
        work = Work(stack, order.request, known)
        stream = work.stream(stack.metadata or metadata_of(stack.paths[stack.target]))

        def write(block: Written) -> None:
            part.write((block.values, block.quality, block.error))
            for sample in block.samples:  # one at a time is held
                part.write([sample])

        run(stream, walk(plan.bands[index], *plan.block), write)
        part.write([np.array(work.lazy.check is not None)])
    return path


def join(order: Order, plan: Plan, known: Known, parts: list[Path]) -> Entry:
    """Put the bands of a scene together, and remove them."""
    return _reported(order, lambda: _join(order, plan, known, parts))


def _join(order: Order, plan: Plan, known: Known, parts: list[Path]) -> Entry:
    tally = Tally()
    with (
        _open(order) as stack,
        outputs_of(stack, order.job.output, order.request, overwrite=order.overwrite) as outputs,
    ):
        work = Work(stack, order.request, known)
        write = write_to(outputs)
        for path, rows in zip(parts, plan.bands, strict=True):
            with reading_part(path) as part:

                def read(box: Box) -> Written:
                    values, quality, error, *samples = part.read(3 + order.request.samples)
                    tally.count(quality[0])
                    return Written(box, values, quality, error, samples)

                pipeline.overlap(walk(rows, *plan.block), read, lambda block: block, write)
                if part.read(1)[0]:
                    work.recall(known)
                part.end()
        result = work.finish(outputs, tally)
    shutil.rmtree(order.parts, ignore_errors=True)
    return replace(_done(order, plan.key, result, None), bands=len(plan.bands))


def _bands(extent: Box, block: int, order: Order) -> tuple[Box, ...]:
    """The rows of a scene, cut on the edges of blocks."""
    rows = order.rows
    if rows is None:
        # Adaptation teaches a network of its own to whoever fills; it is not done for each band.
        large = extent.height * extent.width >= SMALLEST and not order.request.adapt
        large = large and order.request.samples <= MOST_SAMPLES
        rows = max(-(-extent.height // order.pieces), LOWEST) if large else 0
    rows = -(-(rows or extent.height) // block) * block
    return tuple(blocks(extent, rows, extent.width))


def _open(order: Order) -> Stack:
    job, request = order.job, order.request
    found = job.scene
    if job.item is not None:
        items = load_items(found, trusted=request.trust_items)
        return open_scene(items[job.item], job.series, job.cloud_mask, request)
    return open_scene(found, job.series, job.cloud_mask, request)


def _done(order: Order, key: str, result: Result, seconds: float | None) -> Entry:
    request = order.request
    paths = output_paths(
        order.job.output, error=request.error, samples=request.samples, report=request.report
    )
    check = result.check
    return Entry(
        scene=order.job.label,
        output=str(order.job.output),
        state=DONE,
        key=key,
        seconds=seconds,
        gap=result.gap,
        unfilled=result.unfilled,
        methods=check.methods if check is not None else (),
        warnings=result.warnings,
        files={str(path): path.stat().st_size for path in paths.parts},
    )


def _reported(order: Order, work: Callable[[], T]) -> T | Entry:
    """Do the work once nobody else holds the outputs; what goes wrong is an entry."""
    begun = time.perf_counter()
    failed = Entry(order.job.label, str(order.job.output), FAILED)
    while True:
        try:
            return work()
        except BusyError as error:
            if time.perf_counter() - begun < PATIENCE:
                time.sleep(0.5)
                continue
            text, trace = str(error), ""
        except Geot2tError as error:
            text, trace = str(error), ""
        except Exception as error:  # noqa: BLE001  one scene must not end the batch
            text, trace = f"{type(error).__name__}: {error}", traceback.format_exc()
        took = time.perf_counter() - begun
        return replace(failed, error=" ".join(text.split()), trace=trace, seconds=took)


def greet(folder: Path) -> tuple[str, bool]:
    """The version of geot2t on a worker, and whether it can write into a folder."""
    return __version__, os.access(folder, os.W_OK)
