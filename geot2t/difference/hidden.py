"""Every pixel of a date predicted as if it had not been observed, and nothing had happened.

The date's pixels are hidden in blocks, a quarter of them at a time, each with a margin around it.
What looks changed is hidden as well, wherever it is, so that it does not teach what the ground
would look like without the event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.difference.relation import Relation
from geot2t.fill import Around, Block, Estimates, Float, Prediction, Source
from geot2t.grid import Box

CELL = 32
"""Side of a hidden block in pixels."""

MARGIN = 4
"""Pixels around it that are hidden with it: a prediction must not lean on its neighbour."""

CHANGED = 5.0
"""Times the usual strangeness, averaged over 3 by 3 pixels, from which a pixel looks changed."""

BY_LIGHT = 0.05
"""Share of a value that is added to its expected error, so that roofs are no event."""

Bool = NDArray[np.bool_]


def parts(height: int, width: int) -> Bool:
    """Four sets of blocks that make up a window, ``(4, y, x)``."""
    row, col = np.arange(height)[:, None] // CELL, np.arange(width)[None] // CELL
    number = 2 * (row % 2) + col % 2
    return np.stack([number == i for i in range(4)])


def grown(pixels: Bool, margin: int) -> Bool:
    """``pixels (..., y, x)`` and all up to ``margin`` rows and columns away."""
    side = (1,) * (pixels.ndim - 2) + (2 * margin + 1,) * 2
    return np.asarray(ndimage.maximum_filter(pixels, side))


@dataclass(frozen=True, slots=True)
class Pair:
    """Which dates of a stack are compared."""

    before: int
    """Index in time of the date before the event."""

    after: int
    """Index in time of the date after it."""


class NoEvent:
    """A `geot2t.fill.Predict` of the date after the event, had there been none.

    Parameters
    ----------
    estimates : Estimates
        The methods.
    methods : sequence of str
        Method for each band.
    relation : Relation
        Of the date after the event to the one before.
    pair : Pair
    """

    def __init__(
        self, estimates: Estimates, methods: Sequence[str], relation: Relation, pair: Pair
    ) -> None:
        self._estimates, self.methods = estimates, tuple(methods)
        self._relation, self._pair = relation, pair

    def __call__(
        self, pixels: Float, valid: Bool, days: Float, target: int, **around: Around
    ) -> Prediction:
        """Predict batches of windows, one by one; see `geot2t.fill.Predict`."""
        said = []
        near = around.get("around")
        for i in range(len(pixels)):
            one = None if near is None else Around(near.pixels[i], near.valid[i])
            found = self._every(pixels[i], valid[i], days, target, one)
            said.append(_by_band(found, self.methods))
        return Prediction(
            *(np.concatenate([getattr(s, k) for s in said]) for k in ("mean", "scale", "days"))
        )

    def all(self, block: Block) -> dict[str, Prediction]:
        """What each of the methods says of a window, as batches of one."""
        return self._every(block.pixels, block.valid, block.days, self._pair.after, block.around)

    def _every(
        self, pixels: Float, valid: Bool, days: Float, target: int, around: Around | None
    ) -> dict[str, Prediction]:
        own = parts(*valid.shape[1:])
        changed = self.changed(pixels, valid)
        several, seen = np.stack([pixels] * 4), np.stack([valid] * 4)
        seen[:, target] &= ~(grown(own, MARGIN) | changed)
        several[:, target] *= seen[:, target, None]
        more = {}
        if around is not None:
            more["around"] = self._unchanged(around)
        wanted = tuple(dict.fromkeys(self.methods))
        found = self._estimates(several, seen, days, target, wanted, **more)
        return {name: _put_together(own, said) for name, said in found.items()}

    def changed(self, pixels: Float, valid: Bool) -> Bool:
        """What looks changed at first sight in a window ``(t, b, y, x)``, ``(y, x)``."""
        pair = self._pair
        strange = self._relation.strangeness(pixels[pair.after], pixels[pair.before])
        # One pixel of any strangeness is a ship or a roof; an event is more than that.
        strange = np.where(valid[pair.after] & valid[pair.before], np.minimum(strange, 50), 0)
        return grown(ndimage.uniform_filter(strange, 3) > CHANGED, 1)

    def _unchanged(self, around: Around) -> Around:
        pair = self._pair
        strange = self._relation.strangeness(around.pixels[pair.after], around.pixels[pair.before])
        valid = around.valid.copy()
        valid[pair.after] &= ~(valid[pair.before] & (strange > CHANGED))
        return Around(np.stack([around.pixels] * 4), np.stack([valid] * 4))


class Fill:
    """A `geot2t.fill.Predict` of whatever is the target, from all that was observed.

    Parameters
    ----------
    estimates : Estimates
        The methods.
    methods : sequence of str
        Method for each band.
    """

    def __init__(self, estimates: Estimates, methods: Sequence[str]) -> None:
        self._estimates, self._methods = estimates, tuple(methods)

    def __call__(
        self, pixels: Float, valid: Bool, days: Float, target: int, **around: Around
    ) -> Prediction:
        """Predict batches of windows; see `geot2t.fill.Predict`."""
        wanted = tuple(dict.fromkeys(self._methods))
        return _by_band(self._estimates(pixels, valid, days, target, wanted, **around),
                        self._methods)  # fmt: skip


def _by_band(found: Mapping[str, Prediction], methods: Sequence[str]) -> Prediction:
    """Of several methods the one for each band."""
    mean, scale = (
        np.stack([getattr(found[m], what)[:, b] for b, m in enumerate(methods)], 1)
        for what in ("mean", "scale")
    )
    return Prediction(mean, scale, np.minimum.reduce([found[m].days for m in set(methods)]))


def _put_together(own: Bool, said: Prediction) -> Prediction:
    """Of four predictions ``(4, b, y, x)``, each pixel's is that for which it was hidden."""
    which = own.argmax(0)
    mean, scale = (
        np.take_along_axis(values, which[None, None], 0) for values in (said.mean, said.scale)
    )
    # Light that falls at another angle changes bright ground more than dark.
    scale = np.hypot(scale, BY_LIGHT * mean)
    return Prediction(mean, scale, np.take_along_axis(said.days, which[None], 0))


class Unseen:
    """A source of which nothing of the target date counts as observed: all of it is predicted."""

    def __init__(self, source: Source, bands: int) -> None:
        self.extent, self.target = source.extent, source.target
        self.read = source.read
        self._bands = bands

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Zeros ``(band, y, x)``, none of which is valid ``(y, x)``."""
        shape = (box.height, box.width)
        return np.zeros((self._bands, *shape), "float32"), np.zeros(shape, bool)


class Targeting:
    """The same source with another date as the target."""

    def __init__(self, source: Source, target: int) -> None:
        self._source, self.extent, self.target = source, source.extent, target

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates, and nothing of what lies around."""
        return replace(self._source.read(box), around=None)

    def read_target(self, box: Box) -> tuple[Float, Bool]:
        """Pixels ``(band, y, x)`` and valid ``(y, x)`` of the target date in ``box``."""
        block = self.read(box)
        return block.pixels[self.target], block.valid[self.target]
