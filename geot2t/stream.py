"""One scene, block by block: what to replace, by what, and what to say of each pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geot2t.draws import Drawn, Draws
from geot2t.errors import InputError
from geot2t.fill import Block, Filled, Filler, Float, Predict, Source, Task
from geot2t.grid import Box

Bool = NDArray[np.bool_]

NOT_FILLED, OBSERVED, FROM_DATES, FROM_SURROUNDINGS = range(4)
"""Values of the provenance band."""

NO_DATE = 255
"""Value of the days band where no other date was used, or none within 254 days."""

Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all, such as pixels."""

FARTHEST = 2048
"""Greatest `Rules.max_distance`, in pixels; a block is read with a margin as wide."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which unobserved pixels are filled."""

    max_error: float | None = None
    """Half-width of the 90 % interval, in the file's units, that no band may exceed."""

    max_distance: int = 64
    """Pixels from the nearest observed one, for a pixel that no other date shows."""

    keep_nodata: bool = False
    """Fill only what a cloud mask or quality raster marks."""

    max_gap: float | None = None
    """Days to the nearest date used, for a pixel that other dates show."""

    def __post_init__(self) -> None:
        if self.max_error is not None and not self.max_error > 0:
            raise InputError(f"the greatest error must be above 0, got {self.max_error:g}")
        if not 0 <= self.max_distance <= FARTHEST:
            raise InputError(
                f"the greatest distance must be 0 to {FARTHEST} px, got {self.max_distance}"
            )
        if self.max_gap is not None and not self.max_gap >= 0:
            raise InputError(f"the greatest gap must not be negative, got {self.max_gap:g} days")


class SceneBlock(Protocol):
    """A box of the scene as it is in the file; see `geot2t.io.observed.SceneBlock`."""

    @property
    def values(self) -> NDArray[Any]:
        """All bands in the file's type, ``(band, y, x)``."""
        ...

    @property
    def cloud(self) -> Bool:
        """True where a cloud mask or quality raster marks the pixel, ``(y, x)``."""
        ...

    @property
    def empty(self) -> Bool:
        """True where a sample is nodata or not finite, ``(data band, y, x)``."""
        ...


class Scene(Source, Protocol):
    """A source that also gives the file's own values."""

    def read_scene(self, box: Box) -> SceneBlock:
        """Read the scene's own values in ``box``."""
        ...

    def to_file_units(self, pixels: Float) -> NDArray[np.float64]:
        """Physical values of the data bands as the file would hold them, before rounding."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """What the file holds besides measurements, and how."""

    data: Sequence[int]
    """Indices of the bands that hold measurements; an alpha band does not."""

    unit: NDArray[np.float64]
    """Physical units per unit of the file, for each of those bands."""

    nodata: Sequence[float | None]
    """Value that marks missing data, for each of those bands."""

    encode: Callable[[NDArray[np.float64], int], NDArray[Any]]
    """Rounds values in file units to the file's type; the second argument says which band."""


@dataclass(frozen=True, slots=True)
class Written:
    """A box of the outputs."""

    box: Box
    """Where."""

    values: NDArray[Any]
    """Shape ``(band, y, x)``, the file's type."""

    quality: NDArray[np.uint8]
    """Provenance and days, shape ``(2, y, x)``."""

    error: Float
    """Half-widths in file units, shape ``(band, y, x)``; 0 where observed, NaN where not filled."""

    samples: Iterable[NDArray[Any]] = ()
    """Other plausible ``values``, as many as were asked for; made when they are looked at."""


@dataclass(slots=True)
class Tally:
    """Pixels by what became of them."""

    provenance: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, "int64"))
    """Pixels by value of the provenance band."""

    gap: int = 0
    """Pixels in which a sample was not observed."""

    @property
    def total(self) -> int:
        """All pixels."""
        return int(self.provenance.sum())

    def count(self, provenance: NDArray[np.uint8]) -> None:
        """Add the pixels of a block; only what was missing is anything but observed."""
        self.provenance += np.bincount(provenance.ravel(), minlength=4)
        self.gap += int((provenance != OBSERVED).sum())


@dataclass(frozen=True, slots=True)
class _Read:
    box: Box
    scene: SceneBlock
    wanted: Bool  # (data band, y, x), samples to be replaced
    task: Task | None  # None where there is nothing to predict


class _Gaps:
    """The stack, whose target date counts as observed wherever nothing is to be replaced."""

    def __init__(self, source: Source, bands: int) -> None:
        self._source, self._bands = source, bands
        self.extent, self.target = source.extent, source.target
        self.gap = np.zeros((0, 0), bool)  # (y, x), of the box about to be read

    def read(self, box: Box) -> Block:
        return self._source.read(box)

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        # Observed pixels are taken from the file itself, so nobody looks at these.
        return np.zeros((self._bands, box.height, box.width), "float32"), ~self.gap


class Stream:
    """The three stages between a scene and its outputs; see `geot2t.pipeline.overlap`.

    Parameters
    ----------
    scene : Scene
        The stack.
    source : Source
        Where windows of the stack are read.
    predict : Predict
        The model; its scale is the half-width of the 90 % interval.
    layout : Layout
        Of the file.
    rules : Rules
        What is filled.
    lone : bool
        Whether the stack has no other date.
    size, overlap, batch : int
        See `Filler`.
    draws : Draws, optional
        Random errors, if samples are wanted.
    """

    def __init__(
        self,
        scene: Scene,
        source: Source,
        predict: Predict,
        layout: Layout,
        rules: Rules,
        *,
        lone: bool,
        size: int,
        overlap: int,
        batch: int,
        draws: Draws | None = None,
    ) -> None:
        self._draws = draws
        self.scene, self.layout, self.rules, self.lone = scene, layout, rules, lone
        self.tally = Tally()
        self._gaps = _Gaps(source, len(layout.data))
        self._filler = Filler(self._gaps, predict, size=size, overlap=overlap, batch=batch)

    def read(self, box: Box) -> _Read:
        """Read a box, and what is needed to fill it."""
        scene = self.scene.read_scene(box)
        wanted = np.broadcast_to(scene.cloud, scene.empty.shape)
        if not self.rules.keep_nodata:
            wanted = wanted | scene.empty
        gap: Bool = np.any(wanted, axis=0)
        if self.lone and gap.any():
            gap[far_from_observed(self.scene, box, gap, self.rules.max_distance)] = False
        if not gap.any():
            return _Read(box, scene, wanted, None)
        self._gaps.gap = gap
        return _Read(box, scene, wanted, self._filler.read(box))

    def compute(self, task: _Read) -> Written:
        """Fill what was read, and say of each pixel where it comes from."""
        scene, wanted, layout = task.scene, task.wanted, self.layout
        missing = scene.cloud | scene.empty.any(0)
        provenance = np.where(missing, NOT_FILLED, OBSERVED).astype("uint8")
        days = np.where(missing, NO_DATE, 0).astype("uint8")
        values = scene.values
        error = np.zeros(values.shape, "float32")
        unknown = scene.cloud | scene.empty
        samples: Iterable[NDArray[Any]] | None = None
        if missing.any():
            values = values.copy()
            refused = wanted
            if task.task is not None:
                filled = self._filler.compute(task.task)
                half = filled.scale / layout.unit[:, None, None]
                accept = self._accepted(task, ~task.task.valid, filled, half)
                take = wanted & accept
                refused = wanted & ~accept
                since = np.where(np.isfinite(filled.days), np.rint(filled.days), NO_DATE)
                days[accept] = np.minimum(since, NO_DATE)[accept]
                lone = np.where(np.isinf(filled.days), FROM_SURROUNDINGS, FROM_DATES)
                provenance[accept] = lone[accept]
                guess = self.scene.to_file_units(filled.pixels)
                for band, index in enumerate(layout.data):
                    here = take[band]
                    values[index][here] = layout.encode(guess[band][here], band)
                    error[index][here] = half[band][here]
                unknown = unknown & ~take
                if self._draws is not None:
                    samples = Drawn(
                        self._draws, task.box, values, take, guess, half, layout.data, layout.encode
                    )
            for band, index in enumerate(layout.data):
                if layout.nodata[band] is not None:
                    values[index][refused[band]] = layout.nodata[band]
                error[index][unknown[band]] = np.nan
        self.tally.count(provenance)
        if samples is None:
            samples = repeat(values, self._draws.count) if self._draws is not None else ()
        return Written(task.box, values, np.stack([provenance, days]), error, samples)

    def _accepted(self, task: _Read, gap: Bool, filled: Filled, half: NDArray[np.float64]) -> Bool:
        """Pixels of ``gap`` that no rule forbids to fill, ``(y, x)``."""
        accept: Bool = gap.copy()
        if self.rules.max_error is not None:
            accept[((half > self.rules.max_error) & task.wanted).any(0)] = False
        if self.rules.max_gap is not None:
            accept[np.isfinite(filled.days) & (filled.days > self.rules.max_gap)] = False
        alone: Bool = np.logical_and(accept, np.isinf(filled.days))
        if not self.lone and alone.any():
            far = far_from_observed(self.scene, task.box, alone, self.rules.max_distance)
            accept[far] = False
        return accept


def far_from_observed(source: Source, box: Box, pixels: Bool, limit: int) -> Bool:
    """Which of ``pixels`` are farther than ``limit`` from every observed pixel of the target.

    Exact, and so the same however the raster is cut: the margin around the box grows until it
    decides every pixel.

    Parameters
    ----------
    source : Source
        The scene.
    box : Box
        Where ``pixels`` are.
    pixels : ndarray of bool, shape ``(y, x)``
        Pixels asked about.
    limit : int
        Distance between pixel centres.

    Returns
    -------
    ndarray of bool, shape ``(y, x)``
    """
    reach = min(64, limit)
    while True:
        around = box.grown(reach, source.extent)
        _, valid = source.read_target(around)
        near = np.zeros_like(pixels)
        if valid.any():
            away = distance_transform_edt(~valid)[box.within(around)]
            # Beyond the margin may lie an observed pixel that is nearer than what was found.
            near = away <= (limit if around == source.extent else reach)
        far: Bool = np.logical_and(pixels, ~near)
        if not far.any() or reach >= limit or around == source.extent:
            return far
        reach = min(reach * 4, limit)
