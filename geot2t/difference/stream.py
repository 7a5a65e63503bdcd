"""The stages between two dates and what is written of their difference, block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geot2t.difference.clearing import Cleared, Dates, Found
from geot2t.difference.direction import Direction
from geot2t.difference.hidden import Bool, NoEvent, Pair, Targeting, Unseen
from geot2t.difference.null import REACH, Null, sieved
from geot2t.fill import Block, Filler, Float, Predict, Source, Task
from geot2t.grid import Box
from geot2t.stream import Layout, SceneBlock

NO_CHANGE, CHANGE, NOT_JUDGED, NO_DATA = 0, 1, 2, 255
"""Values of the mask."""

NOTHING, OBSERVED, MARKED, CLOUD, SHADOW = range(5)
"""Values of the quality bands ``before`` and ``after``."""

FILLED_BEFORE, FILLED_AFTER = 1, 2
"""Bits of the quality band ``filled``."""

HALF = 1e-3
"""Units of the file within which a whole number that went through float32 is that number."""


class Dated(Dates, Protocol):
    """What is compared, as it is in the files."""

    def read_scene(self, box: Box) -> SceneBlock:
        """Read the target's own values in ``box``."""
        ...

    def to_file_units(self, pixels: Float) -> NDArray[np.float64]:
        """Physical values as the target's file would hold them, before rounding."""
        ...

    def lacks(self, index: int, box: Box) -> Bool:
        """True where the file of a date holds no data or does not reach, ``(y, x)``."""
        ...


@dataclass(frozen=True, slots=True)
class Compared:
    """A box of the outputs."""

    box: Box
    """Where."""

    difference: Float
    """After minus before, in units of the file, ``(band, y, x)``; NaN where unknown."""

    expected: NDArray[Any]
    """The date after, had nothing happened, in the file's type, ``(band, y, x)``."""

    significance: Float
    """``(band + 1, y, x)``; NaN where not judged. The last one is that of all bands."""

    mask: NDArray[np.uint8]
    """``(y, x)``."""

    quality: NDArray[np.uint8]
    """Bands before, after and filled, ``(3, y, x)``."""

    known: Bool
    """Where something is expected, ``(y, x)``."""

    dates: tuple[Float, Float, Float]
    """Before, after and expected in physical units, for pictures; ``(band, y, x)``."""


@dataclass(slots=True)
class Sums:
    """Pixels and hectares by what was found."""

    pixels: dict[str, int] = field(default_factory=dict)
    hectares: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, where: Bool, area: NDArray[np.float64] | None) -> None:
        """Count the pixels of ``where``, each of so many hectares."""
        self.pixels[name] = self.pixels.get(name, 0) + int(where.sum())
        if area is not None:
            self.hectares[name] = self.hectares.get(name, 0.0) + float(area[where].sum())


@dataclass(frozen=True, slots=True)
class _Read:
    box: Box
    wide: Box
    task: Task
    block: Block  # of the wide box, clouds found by comparison left out
    scene: SceneBlock  # of the box
    lacks: tuple[Bool, Bool]  # before and after
    found: tuple[Found, Found]
    fills: tuple[Task | None, Task | None]  # before and after


class Comparison:
    """Reads, compares and counts; the stages of `geot2t.pipeline.overlap`.

    Parameters
    ----------
    dates : Dated
        The stack as it is.
    cleared : Cleared
        The same without clouds found by comparison.
    source : Source
        Where windows are read: ``cleared`` with what lies around.
    pair : Pair
    predict : NoEvent
        The date after the event, had there been none.
    fill : Predict
        What fills clouds on either side, for pictures and for the difference.
    null : Null
        From where on a difference counts.
    layout : Layout
        Of the file.
    direction : Direction
        Tells loss of vegetation from gain.
    areas : callable, optional
        Hectares of the pixels of a box, ``(y, x)``; None where the raster has no place on Earth.
    least : int
        Pixels of the smallest change.
    size, overlap, batch : int
        See `Filler`.
    """

    def __init__(
        self,
        dates: Dated,
        cleared: Cleared,
        source: Source,
        pair: Pair,
        predict: NoEvent,
        fill: Predict,
        null: Null,
        layout: Layout,
        direction: Direction,
        areas: Callable[[Box], NDArray[np.float64] | None],
        *,
        least: int,
        size: int,
        overlap: int,
        batch: int,
    ) -> None:
        self.dates, self.cleared, self.pair, self.null = dates, cleared, pair, null
        self.layout, self.direction, self.areas, self.least = layout, direction, areas, least
        self.sums = Sums()
        self._unit = layout.unit[:, None, None]
        windows = {"size": size, "overlap": overlap, "batch": batch}
        self._filler = Filler(Unseen(source, len(layout.data)), predict, **windows)
        self._fillers = tuple(
            Filler(Targeting(cleared, i), fill, **windows) for i in (pair.before, pair.after)
        )
        # A group of fewer than `least` pixels reaches no farther, so that this margin decides it.
        self._margin = REACH + (least if least > 1 else 0)

    def read(self, box: Box) -> _Read:
        """Read a box, and what is needed to judge it."""
        wide = box.grown(self._margin, self.dates.extent)
        block = self.cleared.read(wide)
        cut = box.within(wide)
        fills: list[Task | None] = []
        for index, filler in zip((self.pair.before, self.pair.after), self._fillers, strict=True):
            fills.append(None if block.valid[index][cut].all() else filler.read(box))
        return _Read(
            box,
            wide,
            self._filler.read(wide),
            block,
            self.dates.read_scene(box),
            (self.dates.lacks(self.pair.before, box), self.dates.lacks(self.pair.after, box)),
            self.cleared.found(box),
            (fills[0], fills[1]),
        )

    def compute(self, task: _Read) -> Compared:
        """Compare what was read."""
        pair, block, box = self.pair, task.block, task.box
        cut = box.within(task.wide)
        said = self._filler.compute(task.task)
        seen = block.valid[pair.after] & block.valid[pair.before]
        scores = (block.pixels[pair.after] - said.pixels) / said.scale
        scores = np.where(seen, scores, 0).astype("float32")
        strange = self.null.strangeness(scores, seen)
        changed = sieved(strange > self.null.threshold, self.least)[cut]
        judged, known = seen[cut], np.isfinite(said.days[cut])

        none = task.lacks[0] | task.lacks[1]
        mask = np.where(judged, np.where(changed, CHANGE, NO_CHANGE), NOT_JUDGED)
        mask = np.where(none & ~judged, NO_DATA, mask).astype("uint8")
        half = self.null.half[:, None, None]
        joint = np.sqrt(strange / self.null.threshold)
        significance = np.concatenate([scores / half, joint[None]])[:, *cut].astype("float32")
        significance[:, ~judged] = np.nan

        expected = said.pixels[:, *cut]
        difference, quality, dates = self._measured(task)
        self._count(mask, dates[1], expected, box)
        return Compared(
            box,
            difference,
            self._stored(expected, known, task.scene),
            significance,
            mask,
            quality,
            known,
            (*dates, expected),
        )

    def _measured(self, task: _Read) -> tuple[Float, NDArray[np.uint8], tuple[Float, Float]]:
        """After minus before, whence each comes, and the two dates with clouds filled."""
        cut, box = task.box.within(task.wide), task.box
        quality = np.zeros((3, box.height, box.width), "uint8")
        dates: list[Float] = []
        gone = np.zeros((box.height, box.width), bool)
        for k, index in enumerate((self.pair.before, self.pair.after)):
            pixels, valid = task.block.pixels[index][:, *cut], task.block.valid[index][cut]
            found = task.found[k]
            why = np.where(task.lacks[k], NOTHING, MARKED)
            why = np.where(found.shadows, SHADOW, np.where(found.clouds, CLOUD, why))
            quality[k] = np.where(valid, OBSERVED, why)
            fill = task.fills[k]
            if fill is not None:
                filled = self._fillers[k].compute(fill)
                # Of a date that was not taken there nothing is made up.
                there = ~valid & ~task.lacks[k] & np.isfinite(filled.days)
                pixels = np.where(there, filled.pixels, pixels)
                quality[2][there] |= (FILLED_BEFORE, FILLED_AFTER)[k]
                gone |= ~valid & ~there
            dates.append(pixels)
        before, after = (self.dates.to_file_units(d) for d in dates)
        whole = task.scene.values.dtype.kind in "iu"
        if whole:
            before, after = (_rounded(v) for v in (before, after))
        difference = (after - before).astype("float32")
        difference[:, gone] = np.nan
        return difference, quality, (dates[0], dates[1])

    def _stored(self, expected: Float, known: Bool, scene: SceneBlock) -> NDArray[Any]:
        """The prediction in the file's units and type; nodata where nothing is known."""
        values = scene.values.copy()
        guess = self.dates.to_file_units(expected)
        for band, index in enumerate(self.layout.data):
            values[index] = self.layout.encode(guess[band], band)
            nodata = self.layout.nodata[band]
            if nodata is not None:
                values[index][~known] = nodata
        return values

    def _count(self, mask: NDArray[np.uint8], after: Float, expected: Float, box: Box) -> None:
        area = self.areas(box)
        names = {"change": CHANGE, "no_change": NO_CHANGE, "not_judged": NOT_JUDGED,
                 "no_data": NO_DATA}  # fmt: skip
        for name, value in names.items():
            self.sums.add(name, mask == value, area)
        for name, where in self.direction.of(after, expected).items():
            self.sums.add(name, where & (mask == CHANGE), area)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    whole = np.rint(values)
    return np.where(np.abs(values - whole) < HALF, whole, values)
