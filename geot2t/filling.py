"""What fills a scene: its model and self-check, its stream, and what is said of the result."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geot2t import __version__, pipeline
from geot2t.baselines import METHODS
from geot2t.calibrate import SelfCheck, chosen, likenesses, self_check
from geot2t.draws import Draws
from geot2t.fill import Around, Estimates, Float, Predict, Prediction, Source, threads_of, walk
from geot2t.grid import Box
from geot2t.io.checksums import plain
from geot2t.io.inputs import Given
from geot2t.io.item import scene_item
from geot2t.io.metadata import RasterMeta
from geot2t.io.sink import Outputs, encode, open_outputs
from geot2t.io.stack import Stack, open_stack
from geot2t.methods import AUTO, estimates_for
from geot2t.missing import MissingDate, missing_from
from geot2t.request import Request
from geot2t.said import describe_check, statistics, warnings_of
from geot2t.shortlist import MOST_DATES, shortlist
from geot2t.stac import Item
from geot2t.stream import NOT_FILLED, Layout, Progress, Stream, Tally, Written
from geot2t.survey import Survey, Surveyed
from geot2t.trials import Outcomes

if TYPE_CHECKING:
    import torch

    from geot2t.checkpoint import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a fill wrote and found."""

    path: Path
    """The filled raster."""

    item: Mapping[str, Any]
    """The STAC Item, as written beside it."""

    gap: float
    """Share of pixels in which something was not observed."""

    unfilled: float
    """Share of pixels in which something was neither observed nor filled."""

    check: SelfCheck | None
    """The self-check; None if there was nothing to fill."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


class Lazy:
    """The model, loaded and checked on the scene when the first gap is met.

    A scene without gaps costs no more than its copy: no torch, no weights, no self-check.
    """

    def __init__(
        self,
        stack: Stack,
        source: Source,
        request: Request,
        known: SelfCheck | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._stack, self._source, self._request = stack, source, request
        self._known, self._outcomes = known, outcomes
        self._estimates: Estimates | None = None
        self._predict: Predict | None = None
        self.check: SelfCheck | None = None
        self.about: Mapping[str, Any] = {}
        # What the user chose must be found wrong before any work, what is built in cannot be.
        chosen = request.device not in ("auto", "cpu") or request.method in METHODS
        if request.model is not None or chosen:
            self.estimates()

    def estimates(self) -> Estimates:
        """The methods."""
        if self._estimates is None:
            request = self._request
            self._estimates, self.about = estimates_for(
                request.method,
                lambda: _load(
                    request.model, request.device, self._stack, request.adapt, request.seed
                ),
                model=request.model is not None,
                sharp=request.window - request.overlap if request.sharp else None,
                seed=request.seed,
            )
        return self._estimates

    def checked(self) -> SelfCheck:
        """The self-check, made when it is first asked for unless it is known."""
        if self.check is None:
            request = self._request
            self.check = self._known or self_check(
                self._source,
                self.estimates(),
                size=request.window,
                overlap=request.overlap,
                seed=request.seed,
                use=None if request.method == AUTO else request.method,
                known=self._outcomes,
            )
            log.info("self-check: %s", self.check.reason or f"methods {self.check.methods}")
        return self.check

    @property
    def threads(self) -> int:
        """How many may call at once, now that all is loaded and checked."""
        self._ready()
        return threads_of(self.estimates())

    def __call__(
        self, pixels: Float, valid: NDArray[np.bool_], days: Float, target: int, **around: Around
    ) -> Prediction:
        """Predict with the methods that the self-check chose; see `geot2t.fill.Predict`."""
        return self._ready()(pixels, valid, days, target, **around)

    def _ready(self) -> Predict:
        if self._predict is None:
            self._predict = chosen(self.estimates(), self.checked())
        return self._predict


def _load(
    model: str | Path | Estimates | None, device: str, stack: Stack, adapt: int, seed: int
) -> tuple[Estimates, dict[str, Any]]:
    if model is not None and not isinstance(model, str | Path):
        return model, {"name": type(model).__name__}
    from geot2t.model import open_estimates  # imports torch, which takes seconds

    if not adapt:
        return open_estimates(model, device, stack.wavelengths)
    from geot2t import adapt as learning

    def taught(loaded: Model, chosen: torch.device) -> Model:
        return learning.adapt(loaded, stack, adapt, chosen, seed=seed)

    return open_estimates(model, device, stack.wavelengths, taught)


def open_scene(
    scene: str | Path | Item,
    series: Given | Sequence[Given] | None,
    cloud_mask: str | Path | None,
    request: Request,
) -> Stack:
    """Open what a fill reads."""
    return open_stack(
        scene,
        () if series is None else series,
        cloud_mask=cloud_mask,
        clouds=request.clouds,
        date=request.date,
        bands=request.bands,
        trust_items=request.trust_items,
    )


def outputs_of(
    stack: Stack, out: Path, request: Request, *, overwrite: bool, missing: bool = False
) -> AbstractContextManager[Outputs]:
    """Open what a fill writes; see `geot2t.io.sink.open_outputs`.

    With ``missing``, it is not of the day of the stack's target.
    """
    return open_outputs(
        stack.paths[stack.target],
        out,
        overwrite=overwrite,
        driver=request.driver,
        creation_options=request.creation_options,
        error=request.error,
        samples=request.samples,
        report=request.report,
        inputs=[file for files in stack.files for file in files],
        meta=stack.metadata,
        not_of=stack.dates[stack.target] if missing else None,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is found out once about a scene, however many processes fill it."""

    dates: tuple[int, ...]
    """The dates that are used, among all of the stack."""

    survey: Survey | None
    """Pixels from all over the scene; None if the method makes nothing of them."""

    check: SelfCheck
    """The self-check."""

    about: Mapping[str, Any]
    """The model."""


class Work:
    """What fills a scene.

    Parameters
    ----------
    stack : Stack
        The scene and all of its series.
    request : Request
        What is asked for.
    known : Known, optional
        What was found out before; by default it is found out when it is needed.
    missing : date, optional
        A day that the stack lacks, which is then filled instead of the scene.
    outcomes : dict, optional
        As for `geot2t.calibrate.self_check`, shared by the dates of one series.
    """

    def __init__(
        self,
        stack: Stack,
        request: Request,
        known: Known | None = None,
        *,
        missing: date | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        self.request, self._missing = request, missing
        self._begun = datetime.now(UTC)
        self._dates = known.dates if known else _dates_used(self._scene(stack), request.seed)
        self.stack = _shortlisted(stack, self._dates)
        self.scene = self._scene(self.stack)
        # Baselines make nothing of what was observed elsewhere.
        surveys = request.method not in METHODS or request.model is not None
        self._surveyed = Surveyed(self.scene, known.survey if known else None) if surveys else None
        self._source: Source = self._surveyed or self.scene
        check = known.check if known else None
        self.lazy = Lazy(self.stack, self._source, request, check, outcomes)

    def _scene(self, stack: Stack) -> Stack | MissingDate:
        return stack if self._missing is None else missing_from(stack, self._missing)

    def find_out(self) -> Known:
        """What processes that share the work on this scene must know."""
        check = self.lazy.checked()
        survey = self._surveyed.survey if self._surveyed else None
        return Known(self._dates, survey, check, self.lazy.about)

    def recall(self, known: Known) -> None:
        """Say in the item what was found out by those who predicted pixels."""
        self.lazy.check, self.lazy.about = known.check, known.about

    def stream(self, meta: RasterMeta) -> Stream:
        """The stages between the scene and outputs of such metadata."""
        request = self.request
        return Stream(
            self.scene,
            self._source,
            self.lazy,
            layout_of(self.stack, meta),
            request.rules,
            lone=len(self.scene.days) == 1,
            size=request.window,
            overlap=request.overlap,
            batch=request.batch,
            draws=self._draws(),
        )

    def _draws(self) -> Draws | None:
        request, bands = self.request, len(self.stack.names)
        if not request.samples:
            return None

        return Draws(
            request.samples,
            request.seed,
            lambda: likenesses(self.lazy.checked(), bands),
            float(self.scene.days[self.scene.target]),
        )

    def finish(self, outputs: Outputs, tally: Tally) -> Result:
        """Give the outputs, all of whose blocks are written, their item and final names."""
        stack, check = self.stack, self.lazy.check
        day = self._missing or stack.dates[stack.target]
        named = "" if self._missing is None else _named(stack, day)
        warnings = warnings_of(stack, outputs, tally, check, missing=named)
        item = scene_item(
            stack,
            outputs,
            {
                "version": __version__,
                "started": self._begun.isoformat(),
                "model": self.lazy.about,
                "options": self.request.said,
                **statistics(tally),
                **({"slice": stack.label(day)} if stack.numbered else {}),
                "dates_used": [stack.label(d) for d in stack.dates],
                "observed_from": {
                    path.name: list(sources)
                    for path, sources in zip(stack.paths, stack.validity, strict=True)
                },
                "self_check": describe_check(stack, check),
                "warnings": warnings,
            },
            when=None if stack.numbered else day,
        )
        where = stack.header.location
        own = where if isinstance(where, Path) else None

        def page(files: Mapping[str, Path]) -> str:
            from geot2t.report.scene import scene_page  # costs jinja2, which few runs need

            return scene_page(plain(item), files, own)

        outputs.commit(item, page)
        return Result(
            path=outputs.paths.filled,
            item=item,
            gap=tally.gap / tally.total,
            unfilled=int(tally.provenance[NOT_FILLED]) / tally.total,
            check=check,
            warnings=tuple(warnings),
        )


def _named(stack: Stack, day: date | None) -> str:
    return f"slice {stack.label(day)}" if stack.numbered else str(day)


def _dates_used(scene: Stack | MissingDate, seed: int) -> tuple[int, ...]:
    """Which dates of the stack are used; a date that it lacks is none of them."""
    dates: Sequence[int] = range(len(scene.days))
    if len(dates) > MOST_DATES:
        dates = shortlist(scene, MOST_DATES, seed=seed)
    if isinstance(scene, Stack):
        return tuple(dates)
    return tuple(i - (i > scene.target) for i in dates if i != scene.target)


def _shortlisted(stack: Stack, dates: Sequence[int]) -> Stack:
    if len(dates) == len(stack.dates):
        return stack
    note = f"of {len(stack.dates)} dates the {len(dates)} most promising are used"
    log.info("%s", note)
    if stack.target not in dates and (others := set(dates) & set(stack.targets)):
        stack = stack.retarget(min(others))  # it lends its grid only
    short = stack.subset(dates)
    short.notes.append(note)
    return short


def layout_of(stack: Stack, meta: RasterMeta) -> Layout:
    """What an output of such metadata holds, and how."""

    def to_file(values: NDArray[np.float64], _: int) -> NDArray[Any]:
        return encode(values, meta.dtype, meta.nodata, meta.bits)

    bands = stack.data_bands
    return Layout(bands, np.abs(stack.scale), [meta.nodata] * len(bands), to_file)


def fill_whole(work: Work, outputs: Outputs, progress: Progress | None) -> Result:
    """Fill a scene block by block of the outputs, and finish them."""
    stream = work.stream(outputs.meta)
    run(stream, walk(work.stack.extent, *outputs.block), write_to(outputs), progress)
    return work.finish(outputs, stream.tally)


def write_to(outputs: Outputs) -> Callable[[Written], None]:
    """What puts the blocks of a stream into outputs."""
    return lambda b: outputs.write(b.box, b.values, b.quality, b.error, b.samples)


def run(
    stream: Stream,
    boxes: Iterable[Box],
    write: Callable[[Written], None],
    progress: Progress | None = None,
) -> None:
    """Read ahead, compute and write behind, block by block of the output."""
    extent = stream.scene.extent
    done, total = 0, extent.height * extent.width

    def write_and_say(block: Written) -> None:
        nonlocal done
        write(block)
        done += block.box.height * block.box.width
        if progress is not None:
            progress(done, total)

    pipeline.overlap(boxes, stream.read, stream.compute, write_and_say)
