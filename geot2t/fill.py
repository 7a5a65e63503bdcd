"""The core loop: windows with gaps are predicted, blended, and observed pixels put back.

Filling a cloud and inventing a whole date are the same operation: in the second nothing of
the target date was observed. This module knows arrays only; where they come from
(`Source`) and who predicts (`Predict`) is given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.grid import Box, blocks, lattice, ramp
from geot2t.pipeline import abreast

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Around:
    """Pixels elsewhere in the scene where the target date was observed; see `geot2t.survey`.

    In a batch of windows both have a first axis more.
    """

    pixels: Float
    """Shape ``(time, band, sample)``, in physical units; 0 where not valid."""

    valid: NDArray[np.bool_]
    """Shape ``(time, sample)``."""


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of one box through time, and which of them were observed."""

    pixels: Float
    """Shape ``(time, band, y, x)``, in physical units; 0 where not valid."""

    valid: NDArray[np.bool_]
    """True where the ground was observed in every band, shape ``(time, y, x)``."""

    days: Float
    """Acquisition dates, days since 1970-01-01, shape ``(time,)``."""

    box: Box
    """Where the pixels are."""

    around: Around | None = None
    """What was observed elsewhere, if the source knows."""

    def __post_init__(self) -> None:
        time, _, y, x = self.pixels.shape
        want = {"valid": (time, y, x), "days": (time,)}
        for name, shape in want.items():
            if (got := getattr(self, name).shape) != shape:
                raise InputError(f"{name} must have shape {shape} to go with pixels, got {got}")
        if (y, x) != (self.box.height, self.box.width):
            raise InputError(f"pixels are {y}x{x}, the box {self.box.height}x{self.box.width}")


class Source(Protocol):
    """Anything that blocks can be read from: GeoTIFFs, a DataArray, arrays in a test."""

    @property
    def extent(self) -> Box:
        """The whole raster."""
        ...

    @property
    def target(self) -> int:
        """Index in time of the date to be filled."""
        ...

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates; what lies outside the raster is not valid."""
        ...

    def read_target(self, box: Box) -> tuple[Float, NDArray[np.bool_]]:
        """Pixels ``(band, y, x)`` and valid ``(y, x)`` of the target date in ``box``."""
        ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of the target date, for a batch of windows."""

    mean: Float
    """Expected value at every pixel, shape ``(n, band, y, x)``, units of the input."""

    scale: Float
    """Expected absolute error, above 0, same shape and units; not yet calibrated."""

    days: Float
    """Days between the target and the nearest date used for the pixel, shape ``(n, y, x)``;
    infinite where no other date was used."""


Predict = Callable[..., Prediction]
"""A model, as the core sees it: ``predict(pixels (n,t,b,y,x), valid (n,t,y,x), days (t,),
target)``. Where the source knows what was observed elsewhere, it is given as ``around``. An
attribute ``threads`` says how many may call it at once; one, if it has none."""


class Estimates(Protocol):
    """Several models that share their work, each under the name of its method.

    An attribute ``threads`` says how many may call it at once; one, if it has none.
    """

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, the most accurate one as known from training first."""
        ...

    def __call__(
        self,
        pixels: Float,
        valid: NDArray[np.bool_],
        days: Float,
        target: int,
        methods: Sequence[str],
        *,
        around: Around | None = None,
    ) -> dict[str, Prediction]:
        """Predict by each of ``methods``; shapes as for `Predict`."""
        ...


def threads_of(model: object) -> int:
    """How many may call a `Predict` or `Estimates` at once: its ``threads``, one if it has none."""
    return int(getattr(model, "threads", 1))


@dataclass(frozen=True, slots=True)
class Filled:
    """A box of the target date without gaps."""

    pixels: Float
    """Shape ``(band, y, x)``; as read where observed, predicted elsewhere."""

    scale: Float
    """Expected absolute error, shape ``(band, y, x)``; 0 where observed."""

    days: Float
    """Days to the nearest other date used, shape ``(y, x)``; infinite where none was, 0 where
    observed."""

    box: Box
    """Where the pixels are."""


@dataclass(frozen=True, slots=True)
class Task:
    """All that must be read before a box can be filled."""

    box: Box
    """Pixels to be filled."""

    pixels: Float
    """Target date of the box, shape ``(band, y, x)``."""

    valid: NDArray[np.bool_]
    """True where the target date was observed, shape ``(y, x)``."""

    windows: tuple[Box, ...]
    """Windows that see a gap of the box, in the order in which they are blended."""

    blocks: tuple[Block, ...]
    """Pixels of those windows that no earlier task of the walk has read."""


class Filler:
    """Fill one box after another, reading and predicting every window once.

    Windows shared by neighbouring boxes are kept until no later box of the same walk can
    need them (see `walk`), so memory depends on the width of a strip, not on the raster.
    `read` and `compute` may run in two threads, each taking the boxes in the same order.

    Parameters
    ----------
    source : Source
        Where to read from.
    predict : Predict
        The model.
    size, overlap : int
        Model window and the part that neighbours share, in pixels.
    batch : int
        Windows given to ``predict`` at once. With 1 a window's prediction depends on that
        window alone; larger batches may change the last bits of a float.
    bands : int, optional
        Bands that ``predict`` gives, if these are not those of the source.
    """

    def __init__(
        self,
        source: Source,
        predict: Predict,
        *,
        size: int = 256,
        overlap: int = 64,
        batch: int = 1,
        bands: int | None = None,
    ) -> None:
        self.source, self.predict, self.bands = source, predict, bands
        self.size, self.overlap, self.batch = size, overlap, batch
        self._weight = ramp(size, overlap)
        self._read: dict[Box, None] = {}
        self._done: dict[Box, tuple[Float, Float, Float]] = {}

    def fill(self, box: Box) -> Filled:
        """Return ``box`` of the target date with every unobserved pixel predicted.

        Observed pixels are returned bit for bit, and the result does not depend on how the
        raster is divided into boxes. Boxes should come in the order of `walk`; any other
        order gives the same pixels with more work.
        """
        return self.compute(self.read(box))

    def read(self, box: Box) -> Task:
        """Read ``box`` and the windows it needs; where nothing is missing, only the box."""
        self._forget(self._read, box)
        pixels, valid = self.source.read_target(box)
        if valid.all():
            return Task(box, pixels, valid, (), ())
        windows = tuple(
            w
            for w in lattice(box, self.source.extent, size=self.size, overlap=self.overlap)
            if _sees_gap(w, box, valid)
        )
        new = [w for w in windows if w not in self._read]
        self._read |= dict.fromkeys(new)
        return Task(box, pixels, valid, windows, tuple(map(self.source.read, new)))

    def compute(self, task: Task) -> Filled:
        """Predict what ``task`` has read, and blend; see `fill`."""
        self._forget(self._done, task.box)
        self._predict(task.blocks)
        valid, box = task.valid, task.box
        pixels = task.pixels.copy()  # (b, y, x)
        scale = np.zeros_like(pixels)
        days = np.zeros(valid.shape, "float32")

        total, spread = np.zeros_like(pixels), np.zeros_like(pixels)
        weight = np.zeros(valid.shape, "float32")
        nearest = np.full(valid.shape, np.inf, "float32")
        for window in task.windows:
            part = window.intersection(box)
            assert part is not None  # noqa: S101  a window of a box's lattice touches the box
            r, c = part.within(box)
            there = part.within(window)
            mean_w, scale_w, days_w = self._done[window]
            w = self._weight[there]
            total[:, r, c] += mean_w[:, *there] * w
            spread[:, r, c] += scale_w[:, *there] * w
            weight[r, c] += w
            nearest[r, c] = np.minimum(nearest[r, c], days_w[there])
        gap = ~valid
        pixels[:, gap] = total[:, gap] / weight[gap]
        scale[:, gap] = spread[:, gap] / weight[gap]
        days[gap] = nearest[gap]
        return Filled(pixels, scale, days, box)

    def _predict(self, blocks: Sequence[Block]) -> None:
        batches = [blocks[i : i + self.batch] for i in range(0, len(blocks), self.batch)]
        threads = threads_of(self.predict) if batches else 1
        for some, out in zip(batches, abreast(self._ask, batches, threads), strict=True):
            bands = self.bands or some[0].pixels.shape[1]
            want = (len(some), bands, *some[0].pixels.shape[2:])
            if out.mean.shape != want:
                raise InputError(f"the model must return shape {want}, got {out.mean.shape}")
            for j, block in enumerate(some):
                self._done[block.box] = (out.mean[j], out.scale[j], out.days[j])

    def _ask(self, some: Sequence[Block]) -> Prediction:
        return self.predict(
            np.stack([block.pixels for block in some]),  # (n, t, b, size, size)
            np.stack([block.valid for block in some]),  # (n, t, size, size)
            some[0].days,
            self.source.target,
            **beside(some),
        )

    def _forget(self, windows: dict[Box, Any], box: Box) -> None:
        """Drop windows that end above ``box``, and those at the foot of an earlier strip."""
        for window in list(windows):
            if window.stop[0] <= box.row or window.row >= box.stop[0] + self.size:
                del windows[window]


def beside(blocks: Sequence[Block]) -> dict[str, Around]:
    """The further argument of a `Predict` for ``blocks``: what was observed around them."""
    known = [block.around for block in blocks if block.around is not None]
    if len(known) < len(blocks):
        return {}
    pixels, valid = np.stack([a.pixels for a in known]), np.stack([a.valid for a in known])
    return {"around": Around(pixels, valid)}


def _sees_gap(window: Box, box: Box, valid: NDArray[np.bool_]) -> bool:
    part = window.intersection(box)
    return part is not None and not valid[part.within(box)].all()


def walk(extent: Box, height: int, width: int, strip: int = 4096) -> Iterator[Box]:
    """Yield the blocks of a raster in an order in which few windows must be remembered.

    The raster is walked in strips of whole blocks, at most ``strip`` pixels wide, each from
    top to bottom.

    Parameters
    ----------
    extent : Box
        The whole raster.
    height, width : int
        Block size in pixels.
    strip : int
        Greatest width of a strip in pixels; never less than one block.
    """
    side = max(strip // width, 1) * width
    for column in blocks(extent, extent.height, side):
        yield from blocks(column, height, width)
