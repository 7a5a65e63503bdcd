"""Two dates in, their difference and what it means out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from geot2t import __version__, pipeline
from geot2t.difference.clearing import looks_of
from geot2t.difference.direction import Direction
from geot2t.difference.hidden import Fill, Pair
from geot2t.difference.learn import Learnt, find_clouds, learn
from geot2t.difference.opening import opened
from geot2t.difference.pictures import Album
from geot2t.difference.stream import Compared, Comparison
from geot2t.difference.told import found, warnings_of
from geot2t.errors import InputError
from geot2t.fill import Estimates, walk
from geot2t.filling import Lazy, layout_of
from geot2t.grid import Box
from geot2t.io.area import PixelAreas
from geot2t.io.change_item import change_item
from geot2t.io.compared import ChangeOutputs, default_change, open_change
from geot2t.io.inputs import Given
from geot2t.io.stack import Stack
from geot2t.methods import AUTO
from geot2t.request import Request
from geot2t.stream import Progress
from geot2t.survey import Survey, Surveyed

log = logging.getLogger(__name__)

MIN_AREA = 0.1
"""Default size of the smallest change that is kept, in hectares."""

LARGEST = 1024
"""Pixels of the smallest change that is kept, at most; a block is read with a margin as wide."""


@dataclass(frozen=True, slots=True)
class Change:
    """What `change` wrote and found."""

    path: Path
    """The difference, after minus before."""

    item: Mapping[str, Any]
    """The STAC Item, as written beside it."""

    hectares: Mapping[str, float]
    """Areas: ``change``, ``no_change``, ``not_judged``, ``no_data``, and parts of the change by
    direction; empty if the raster has no place on Earth."""

    pixels: Mapping[str, int]
    """The same in pixels."""

    false_alarm: float | None
    """Measured share of unchanged pixels that are found changed."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


def change(
    before: str | Path,
    after: str | Path,
    out: str | Path | None = None,
    *,
    series: Given | Sequence[Given] | None = None,
    cloud_mask: str | Path | None = None,
    clouds: str = "auto",
    date: date | None = None,
    false_alarm: float = 0.01,
    min_area: float = MIN_AREA,
    report: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    model: str | Path | Estimates | None = None,
    method: str = AUTO,
    window: int = 256,
    overlap: int = 64,
    batch: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Change:
    """Compare two dates, and write what changed beyond season, light and noise.

    The date after the event is predicted as if nothing had happened: each of its pixels from
    the rest of the date and from earlier ones, with itself, its neighbours and all that looks
    changed hidden. Where it differs from that by more than unchanged ground does, it has
    changed. It is assumed that most of the scene has not.

    Parameters
    ----------
    before, after : str or Path
        Rasters of one place with the same bands. All outputs have the grid of ``after``.
    out : str or Path, optional
        The difference, after minus before, float32, in the units of ``after``'s file; by
        default ``AFTER_change.tif``. Beside it go ``_expected.tif``, ``_significance.tif``,
        ``_mask.tif``, ``_quality.tif``, a STAC Item and perhaps ``.html``.
    series : str or Path, or several
        Other dates, as for `geot2t.inpaint`. Those after ``before`` are left out: they may show
        the event.
    cloud_mask : str or Path, optional
        Raster that is not zero where ``after`` was not observed.
    clouds : str
        auto, qa, none, or the name of a detector. With auto, clouds and shadows that none of
        these marks are told by comparing the two dates.
    date : datetime.date, optional
        Date of ``after``, if its file does not say.
    false_alarm : float
        Share of the unchanged pixels that may be found changed, from 0.0001 to 0.2.
    min_area : float
        Smaller changes are dropped; hectares, or pixels where the raster has no place on Earth.
    report : bool
        Write a page with pictures and areas.
    overwrite : bool
        Replace outputs of an earlier run.
    device, model, window, overlap, batch : str, Path or Estimates, int
        As for `geot2t.jobs.inpaint`.
    method : str
        As for `geot2t.jobs.inpaint`. ``auto`` takes for each band the method with the least
        median error on hidden pixels.
    seed : int
        Of the choice of windows that teach.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    Change

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the output cannot be used.
    """
    request = Request(
        clouds=clouds, date=date, device=device, model=model, method=method, window=window,
        overlap=overlap, batch=batch, seed=seed,
    )  # fmt: skip
    if not 1e-4 <= false_alarm <= 0.2:
        raise InputError(f"the false-alarm rate must be 0.0001 to 0.2, got {false_alarm:g}")
    if min_area < 0:
        raise InputError(f"the least area must not be negative, got {min_area:g}")
    begun = datetime.now(UTC)
    with opened(before, after, series, cloud_mask, request) as (stack, pair):
        path = (default_change(Path(after)) if out is None else Path(out)).absolute()
        with open_change(
            stack.paths[stack.target],
            path,
            data=stack.data_bands,
            inputs=[file for files in stack.files for file in files],
            report=report,
            overwrite=overwrite,
            meta=stack.metadata,
        ) as outputs:
            least = _pixels(min_area, outputs)
            lazy = Lazy(stack, stack, request)
            learnt, comparison = _prepared(
                stack, pair, outputs, lazy.estimates(), request, false_alarm, least
            )
            album = Album(stack.extent, stack.wavelengths) if report else None
            _run(comparison, outputs, album, progress)
            warnings = warnings_of(stack, learnt, comparison)
            said = {
                "version": __version__,
                "started": begun.isoformat(),
                "model": lazy.about,
                "options": {
                    "clouds": clouds, "date": date, "false_alarm": false_alarm,
                    "min_area": min_area, "method": method, "window": window,
                    "overlap": overlap, "batch": batch, "seed": seed,
                },
                **found(stack, learnt, comparison, false_alarm),
                "warnings": warnings,
            }  # fmt: skip
            item = change_item(stack, outputs, pair.before, said)
            page = None
            if album is not None:
                from geot2t.report.change import render  # jinja2, which others do without

                page = render(item, album.pictures()).encode()
            outputs.commit(item, page)
    return Change(
        path=path,
        item=item,
        hectares=comparison.sums.hectares,
        pixels=comparison.sums.pixels,
        false_alarm=learnt.measured,
        warnings=tuple(warnings),
    )


def _pixels(min_area: float, outputs: ChangeOutputs) -> int:
    """Pixels of the smallest change that is kept; without a place a pixel counts as 10 m."""
    meta = outputs.meta
    area = PixelAreas(meta).of(Box(meta.height // 2, meta.width // 2, 1, 1))
    each = 0.01 if area is None else float(area[0, 0])
    least = max(ceil(min_area / each - 1e-6), 1)
    if least > LARGEST:
        raise InputError(
            f"the least area may be {LARGEST} px, here {LARGEST * each:.4g} ha; got {min_area:g} ha"
        )
    return least


def _prepared(
    stack: Stack,
    pair: Pair,
    outputs: ChangeOutputs,
    estimates: Estimates,
    request: Request,
    false_alarm: float,
    least: int,
) -> tuple[Learnt, Comparison]:
    """Learn from the dates what unchanged ground looks like."""
    survey = Survey(stack.read, stack.extent)
    looks = None
    if request.clouds not in ("none", "qa"):
        looks = looks_of(stack.wavelengths.tolist(), _reflectance(stack))
        if looks is None:
            stack.notes.append(
                "clouds that nothing marks are not looked for: blue, green, red and near infrared "
                "bands are not known, or are no reflectance"
            )
    metres = stack.header.pixel_metres or 10.0
    cleared = find_clouds(stack, survey, pair, looks, metres)
    survey = Survey(cleared.read, cleared.extent)
    source = Surveyed(cleared, survey)
    learnt = learn(
        source,
        survey,
        estimates,
        pair,
        false_alarm=false_alarm,
        least=least,
        size=request.window,
        overlap=request.overlap,
        seed=request.seed,
        use=None if request.method == AUTO else request.method,
    )
    log.info("methods %s, threshold %.3g", learnt.predict.methods, learnt.null.threshold)
    comparison = Comparison(
        stack,
        cleared,
        source,
        pair,
        learnt.predict,
        Fill(estimates, learnt.predict.methods),
        learnt.null,
        layout_of(stack, outputs.meta),
        Direction.by(stack.wavelengths.tolist()),
        PixelAreas(outputs.meta).of,
        least=least,
        size=request.window,
        overlap=request.overlap,
        batch=request.batch,
    )
    return learnt, comparison


def _reflectance(stack: Stack) -> float:
    """What the stack's pixels are multiplied by to be reflectance; NaN if they are none."""
    header = stack.header
    dtype = np.dtype(header.dtype)
    if dtype.itemsize == 1:
        return np.nan
    # Integers of unknown scale are reflectance x 10000 in every product with these bands.
    return 1e-4 if dtype.kind in "iu" and header.scaled_by is None else 1.0


def _run(
    comparison: Comparison,
    outputs: ChangeOutputs,
    album: Album | None,
    progress: Progress | None,
) -> None:
    """Read ahead, compute and write behind, block by block of the outputs."""
    extent = comparison.dates.extent
    done, total = 0, extent.height * extent.width

    def write(block: Compared) -> None:
        nonlocal done
        values = {
            "change": block.difference, "expected": block.expected,
            "significance": block.significance, "mask": block.mask[None],
            "quality": block.quality,
        }  # fmt: skip
        outputs.write(block.box, values, block.known)
        if album is not None:
            album.add(block)
        done += block.box.height * block.box.width
        if progress is not None:
            progress(done, total)

    pipeline.overlap(walk(extent, *outputs.block), comparison.read, comparison.compute, write)
