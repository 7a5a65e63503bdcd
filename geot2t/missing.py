"""A date that was never observed, among dates that were: it is filled like any other."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Block, Float
from geot2t.grid import Box
from geot2t.io.observed import SceneBlock
from geot2t.io.stack import EPOCH, Stack
from geot2t.stream import Scene


class Series(Scene, Protocol):
    """A scene whose dates are known before anything is read."""

    @property
    def days(self) -> Float:
        """Days since 1970-01-01, shape ``(time,)``."""
        ...


class MissingDate:
    """A scene and a date of which nothing was observed, which becomes the one to be filled.

    Parameters
    ----------
    scene : Series
        The dates that were observed, sorted in time.
    day : float
        Of the date that was not, in days since 1970-01-01.
    blank : ndarray, shape ``(band,)``
        What its pixels hold before they are filled, in each band of the file.
    bands : int
        How many of those bands hold measurements.
    """

    def __init__(self, scene: Series, day: float, blank: NDArray[Any], bands: int) -> None:
        self._scene, self._blank, self._bands = scene, blank, bands
        self.extent = scene.extent
        self.target = int(np.searchsorted(scene.days, day))
        self.days: Float = np.insert(scene.days, self.target, day)
        self.to_file_units = scene.to_file_units

    def read(self, box: Box) -> Block:
        """Read all dates of ``box``; of the target nothing is valid."""
        seen = self._scene.read(box)
        return Block(
            np.insert(seen.pixels, self.target, 0, axis=0),
            np.insert(seen.valid, self.target, values=False, axis=0),
            self.days,
            box,
        )

    def read_target(self, box: Box) -> tuple[Float, NDArray[np.bool_]]:
        """Zeros ``(band, y, x)``, none of which is valid ``(y, x)``."""
        shape = (box.height, box.width)
        return np.zeros((self._bands, *shape), "float32"), np.zeros(shape, bool)

    def read_scene(self, box: Box) -> SceneBlock:
        """Blank values, all of which are to be filled."""
        shape = (box.height, box.width)
        values = np.broadcast_to(self._blank[:, None, None], (len(self._blank), *shape)).copy()
        return SceneBlock(values, np.zeros(shape, bool), np.ones((self._bands, *shape), bool))


def missing_from(stack: Stack, day: date) -> MissingDate:
    """The dates of a stack, and one that it lacks, on the grid and with the bands of its target."""
    header = stack.header
    blank = np.zeros(header.count, header.dtype)
    return MissingDate(stack, (day - EPOCH).days, blank, len(stack.data_bands))
