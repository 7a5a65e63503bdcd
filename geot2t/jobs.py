"""A scene and its series in, the filled scene and what is known of it out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import __version__, pipeline
from geot2t.baselines import METHODS
from geot2t.calibrate import SelfCheck, chosen, self_check
from geot2t.errors import InputError
from geot2t.fill import Around, Estimates, Float, Predict, Prediction, Source, walk
from geot2t.grid import Box, lattice
from geot2t.intervals import LEVEL
from geot2t.io.inputs import Given
from geot2t.io.item import scene_item
from geot2t.io.sink import Outputs, encode, open_outputs
from geot2t.io.stack import Stack, open_stack
from geot2t.methods import AUTO, BaselineEstimates, Fewer, check_method
from geot2t.sharpen import Sharp
from geot2t.shortlist import shortlist
from geot2t.stream import (
    FROM_DATES,
    FROM_SURROUNDINGS,
    NOT_FILLED,
    Layout,
    Rules,
    Stream,
    Tally,
    Written,
)
from geot2t.survey import Surveyed

log = logging.getLogger(__name__)

MOST_DATES = 24
"""Dates of a longer series are shortlisted to this many before anything is filled."""

Progress = Callable[[int, int], None]
"""Called with the pixels done and the pixels of the scene."""


@dataclass(frozen=True, slots=True)
class Result:
    """What `inpaint` wrote and found."""

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
        model: str | Path | Estimates | None,
        device: str,
        *,
        method: str,
        size: int,
        overlap: int,
        seed: int,
        adapt: int = 0,
        sharp: bool = False,
    ) -> None:
        self._stack, self._source, self._model, self._device = stack, source, model, device
        self._size, self._overlap, self._seed, self._adapt = size, overlap, seed, adapt
        self._method, self._sharp = method, sharp
        self._estimates: Estimates | None = None
        self._predict: Predict | None = None
        self.check: SelfCheck | None = None
        self.about: dict[str, Any] = {}
        # What the user chose must be found wrong before any work, what is built in cannot be.
        if model is not None or device not in ("auto", "cpu") or method in METHODS:
            self.estimates()

    def estimates(self) -> Estimates:
        """The methods."""
        if self._estimates is None:
            if self._method in METHODS and self._model is None:
                self._estimates = BaselineEstimates(self._method)
                self.about = {"name": self._method}
            else:
                found, self.about = _load(
                    self._model, self._device, self._stack, self._adapt, self._seed
                )
                self._estimates = found if self._method == AUTO else Fewer(found, self._method)
            if self._sharp:
                period = self._size - self._overlap
                self._estimates = Sharp(self._estimates, period=period, seed=self._seed)
        return self._estimates

    def __call__(
        self, pixels: Float, valid: NDArray[np.bool_], days: Float, target: int, **around: Around
    ) -> Prediction:
        """Predict with the methods that the self-check chose; see `geot2t.fill.Predict`."""
        if self._predict is None:
            estimates = self.estimates()
            self.check = self_check(
                self._source,
                estimates,
                size=self._size,
                overlap=self._overlap,
                seed=self._seed,
                use=None if self._method == AUTO else self._method,
            )
            log.info("self-check: %s", self.check.reason or f"methods {self.check.methods}")
            self._predict = chosen(estimates, self.check)
        return self._predict(pixels, valid, days, target, **around)


def _load(
    model: str | Path | Estimates | None, device: str, stack: Stack, adapt: int, seed: int
) -> tuple[Estimates, dict[str, Any]]:
    if model is not None and not isinstance(model, str | Path):
        return model, {"name": type(model).__name__}
    from geot2t.checkpoint import load_model  # imports torch, which takes seconds
    from geot2t.model import ModelEstimates, pick_device

    chosen_device = pick_device(device)
    loaded = load_model(model)
    if adapt:
        from geot2t import adapt as learning

        loaded = learning.adapt(loaded, stack, adapt, chosen_device, seed=seed)
    about = {"name": loaded.name, "sha256": loaded.sha256, "device": str(chosen_device)}
    return ModelEstimates(loaded, stack.wavelengths, chosen_device), about


def inpaint(
    scene: str | Path,
    out: str | Path | None = None,
    *,
    series: Given | Sequence[Given] | None = None,
    cloud_mask: str | Path | None = None,
    clouds: str = "auto",
    date: date | None = None,
    max_error: float | None = None,
    max_distance: int = 64,
    keep_nodata: bool = False,
    error: bool = True,
    driver: str | None = None,
    creation_options: Mapping[str, str] | None = None,
    overwrite: bool = False,
    device: str = "auto",
    model: str | Path | Estimates | None = None,
    method: str = AUTO,
    window: int = 256,
    overlap: int = 64,
    batch: int = 1,
    adapt: int = 0,
    sharp: bool = False,
    seed: int = 0,
    bands: Sequence[str] = (),
    trust_items: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Fill the unobserved pixels of a scene and write the result beside it.

    Observed samples are written bit for bit as they were read. Everything that can be wrong
    with the input or the output is looked at before the first pixel is computed; if anything
    fails, nothing is left behind.

    Parameters
    ----------
    scene : str or Path
        Raster to fill, or the STAC Item of one: its bands then go into one raster, on the
        finest of their grids.
    out : str or Path, optional
        The filled raster; by default ``SCENE_filled.tif`` beside the scene. The quality and
        error rasters and the STAC Item go beside it.
    series : str or Path, or several
        Other dates: directories, files or patterns, STAC items, or a `geot2t.stac.Search`; the
        scene may be among them (see `geot2t.open_stack`). Of more than `MOST_DATES` dates the
        most promising are used (see `geot2t.shortlist`).
    cloud_mask : str or Path, optional
        Raster that is not zero where the scene was not observed.
    clouds : str
        auto, qa, none, or the name of a detector.
    date : datetime.date, optional
        Date of the scene, if its file does not say.
    max_error : float, optional
        Pixels whose 90 % interval is wider than this to either side in any band, in the
        file's units, are not filled.
    max_distance : int
        Pixels that no other date shows are filled up to this many pixels from an observed one.
    keep_nodata : bool
        Fill only what the cloud mask or quality raster marks.
    error : bool
        Write the error raster.
    driver : str, optional
        GTiff or COG; by default what the scene is.
    creation_options : mapping of str to str, optional
        GDAL creation options.
    overwrite : bool
        Replace outputs of an earlier run.
    device : str
        auto, cpu, cuda or cuda:N.
    model : str, Path or Estimates, optional
        A shipped model's name, a ``.safetensors`` file, or the methods themselves.
    method : str
        Used for all bands: ``network``, ``prior``, or a baseline (see `geot2t.baselines`),
        which needs no model. ``auto`` takes for each band whichever of the model's methods the
        self-check finds best.
    window, overlap, batch : int
        Model window and the part that neighbours share, in pixels, and windows at once. A
        batch above 1 may change the last bit of a prediction.
    adapt : int
        Steps of training on the other dates before anything is filled; 0 for none.
    sharp : bool
        Give fills the texture of the ground, at some cost in error (see `geot2t.sharpen`).
    seed : int
        Of the self-check, of adaptation and of drawn texture.
    bands, trust_items
        Of STAC items; see `geot2t.open_stack`.
    progress : callable, optional
        Called with pixels done and pixels in all.

    Returns
    -------
    Result

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the output cannot be used.
    """
    rules = Rules(max_error, max_distance, keep_nodata)
    check_windows(window, overlap, batch)
    if adapt < 0:
        raise InputError(f"the steps of adaptation must not be negative, got {adapt}")
    if model is None or isinstance(model, str | Path):
        check_method(method, model=model is not None, adapt=adapt > 0)
    options = {
        "clouds": clouds, "max_error": max_error, "max_distance": max_distance,
        "keep_nodata": keep_nodata, "window": window, "overlap": overlap, "batch": batch,
        "adapt": adapt, "sharp": sharp, "seed": seed, "method": method,
    }  # fmt: skip
    with ExitStack() as opened:
        stack = opened.enter_context(
            open_stack(
                scene,
                () if series is None else series,
                cloud_mask=cloud_mask,
                clouds=clouds,
                date=date,
                bands=bands,
                trust_items=trust_items,
            )
        )
        path = stack.default_output if out is None else Path(out)
        outputs = opened.enter_context(
            open_outputs(
                Path(scene),
                path,
                overwrite=overwrite,
                driver=driver,
                creation_options=creation_options,
                error=error,
                inputs=[file for files in stack.files for file in files],
                meta=stack.metadata,
            )
        )
        stack = _shortlisted(stack, seed)
        begun = datetime.now(UTC)
        # Baselines make nothing of what was observed elsewhere.
        source: Source = stack if method in METHODS and model is None else Surveyed(stack)
        lazy = Lazy(
            stack,
            source,
            model,
            device,
            method=method,
            size=window,
            overlap=overlap,
            seed=seed,
            adapt=adapt,
            sharp=sharp,
        )
        stream = Stream(
            stack,
            source,
            lazy,
            _layout(stack, outputs),
            rules,
            lone=len(stack.dates) == 1,
            size=window,
            overlap=overlap,
            batch=batch,
        )
        _run(stream, outputs, progress, error=error)
        warnings = _warnings(stack, outputs, stream.tally, lazy.check)
        item = scene_item(
            stack,
            outputs,
            {
                "version": __version__,
                "started": begun.isoformat(),
                "model": lazy.about,
                "options": options,
                **_statistics(stream.tally),
                "dates_used": [None if d is None else d.isoformat() for d in stack.dates],
                "observed_from": {
                    path.name: list(sources)
                    for path, sources in zip(stack.paths, stack.validity, strict=True)
                },
                "self_check": describe_check(stack, lazy.check),
                "warnings": warnings,
            },
        )
        outputs.commit(item)
    tally = stream.tally
    return Result(
        path=path,
        item=item,
        gap=tally.gap / tally.total,
        unfilled=int(tally.provenance[NOT_FILLED]) / tally.total,
        check=lazy.check,
        warnings=tuple(warnings),
    )


def check_windows(window: int, overlap: int, batch: int) -> None:
    """Refuse a window, overlap or batch that cannot be."""
    if window < 32:
        raise InputError(f"the window must be at least 32 px, got {window}")
    if batch < 1:
        raise InputError(f"the batch must be at least 1 window, got {batch}")
    next(lattice(Box(0, 0, 1, 1), Box(0, 0, 1, 1), size=window, overlap=overlap))


def _shortlisted(stack: Stack, seed: int) -> Stack:
    if len(stack.dates) <= MOST_DATES:
        return stack
    kept = shortlist(stack, MOST_DATES, seed=seed)
    note = f"of {len(stack.dates)} dates the {len(kept)} most promising are used"
    log.info("%s", note)
    short = stack.subset(kept)
    short.notes.append(note)
    return short


def _layout(stack: Stack, outputs: Outputs) -> Layout:
    meta = outputs.meta

    def to_file(values: NDArray[np.float64]) -> NDArray[Any]:
        return encode(values, meta.dtype, meta.nodata, meta.bits)

    return Layout(stack.data_bands, np.abs(stack.scale), meta.nodata, to_file)


def _run(stream: Stream, outputs: Outputs, progress: Progress | None, *, error: bool) -> None:
    """Read ahead, compute and write behind, block by block of the output."""
    extent = stream.scene.extent
    done, total = 0, extent.height * extent.width

    def write(block: Written) -> None:
        nonlocal done
        outputs.write(block.box, block.values, block.quality, block.error if error else None)
        done += block.box.height * block.box.width
        if progress is not None:
            progress(done, total)

    pipeline.overlap(walk(extent, *outputs.block), stream.read, stream.compute, write)


def _statistics(tally: Tally) -> dict[str, float]:
    share = tally.provenance / tally.total
    return {
        "gap_fraction": tally.gap / tally.total,
        "filled_from_dates": float(share[FROM_DATES]),
        "filled_from_surroundings": float(share[FROM_SURROUNDINGS]),
        "not_filled": float(share[NOT_FILLED]),
    }


def describe_check(stack: Stack, check: SelfCheck | None) -> dict[str, Any] | str:
    """The self-check as JSON says it, errors in the units of the scene's file.

    Returns
    -------
    dict or str
        A sentence where no check was made.
    """
    if check is None:
        return "not needed: nothing was filled"
    if check.reason is not None:
        return f"not possible: {check.reason}"
    unit = np.abs(stack.scale)
    names = band_names(stack.names)
    return {
        "cases": check.cases,
        "hidden_pixels": check.pixels,
        "interval": LEVEL,
        "bands": [
            {
                "band": names[band],
                "method": method,
                "coverage": check.coverage[band],
                "errors": {
                    row.method: {
                        "mae": row.mae / unit[band],
                        "rmse": row.rmse / unit[band],
                        "bias": row.bias / unit[band],
                    }
                    for row in check.rows
                    if row.band == band
                },
            }
            for band, method in enumerate(check.methods)
        ],
    }


def band_names(names: Sequence[str]) -> list[str]:
    """Names of the bands; ``band N`` where the file gives none."""
    return [name or f"band {i}" for i, name in enumerate(names, 1)]


def _warnings(stack: Stack, outputs: Outputs, tally: Tally, check: SelfCheck | None) -> list[str]:
    said = list(dict.fromkeys([*stack.notes, *outputs.meta.notes]))
    filled = int(tally.provenance[FROM_DATES] + tally.provenance[FROM_SURROUNDINGS])
    left = int(tally.provenance[NOT_FILLED])
    if tally.gap == 0:
        said.append("no gap was found: the scene was copied")
    elif tally.gap == tally.total and not filled:
        remedy = "" if len(stack.dates) > 1 else "; give other dates with --series"
        said.append(
            f"nothing was observed in {stack.paths[stack.target]}, and nothing filled{remedy}"
        )
    elif left:
        share = 100 * left / tally.total
        said.append(f"{share:.3g} % of the pixels could not be filled")
    if filled and check is not None and check.reason is not None:
        said.append(f"the self-check was not possible: {check.reason}")
    return said
