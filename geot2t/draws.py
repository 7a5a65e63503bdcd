"""Different plausible fills: what `--samples` draws.

A fill says at each pixel what is expected and how far off it may be. A sample is the fill and a
random error as large as the calibrated intervals say, so that many samples spread as widely as
the truth lies off the fill. Errors of neighbouring pixels are alike, and so are those of bands:
the random field has both. It is a Gaussian one, a sum of octaves of smoothed noise, whose values
are given the heavier tails that errors have. It follows from the position, the seed and the
number of the sample alone: seams there are none, and however a scene is cut, its samples are the
same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, ndtr, ndtri

from geot2t.grid import Box
from geot2t.intervals import LEVEL

OCTAVES = {1: 0.57, 2: 0.27, 8: 0.12, 32: 0.04}
"""Shares of the variance by the distance in pixels between the nodes of an octave; how alike the
errors of pixels 1 to 32 apart are on the shipped sample (docs/samples.md)."""

TAILS = 1.3
"""Exponent of the distribution of errors: 1 is Laplacian, 2 normal."""

_CELL = 64
"""Nodes along each side of a cell that gets random numbers of its own."""

MOST = 999
"""Samples of one scene at most."""

Double = NDArray[np.float64]
Bool = NDArray[np.bool_]


class Draws:
    """Random errors, in half-widths of the 90 % interval.

    Parameters
    ----------
    count : int
        Samples.
    seed : int
        Of what is random.
    together : callable
        Gives the correlations of the errors between bands, ``(band, band)``; called when the
        first error is drawn.
    """

    def __init__(self, count: int, seed: int, together: Callable[[], Double]) -> None:
        self.count, self._seed, self._together = count, seed, together
        self._root: Double | None = None

    def errors(self, box: Box, sample: int) -> Double:
        """Errors of one sample in ``box``, shape ``(band, y, x)``."""
        if self._root is None:
            self._root = root(self._together())
        bands = len(self._root)
        fields = np.stack(
            [field(box, (self._seed, sample, band)) for band in range(bands)]
        )  # (b, y, x)
        # Band by band rather than by a matrix product, whose last bits depend on the shape.
        mixed = np.stack([_weighted(weights, fields) for weights in self._root])
        return tailed(mixed)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The samples of one box, made one at a time when they are asked for."""

    draws: Draws
    box: Box
    values: NDArray[Any]
    """The fill as the file stores it, ``(band of the file, y, x)``."""

    take: Bool
    """Which of the measured samples were predicted, ``(data band, y, x)``."""

    guess: Double
    """The fill in file units, not yet rounded, of the shape of ``take``."""

    half: Double
    """Half-widths of the 90 % intervals, of the shape of ``take``."""

    data: Sequence[int]
    """Indices of the data bands in the file."""

    encode: Callable[[Double, int], NDArray[Any]]
    """See `geot2t.stream.Layout`."""

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for sample in range(self.draws.count):
            if not self.take.any():
                yield self.values
                continue
            drawn = self.guess + self.half * self.draws.errors(self.box, sample)
            values = self.values.copy()
            for band, index in enumerate(self.data):
                here = self.take[band]
                values[index][here] = self.encode(drawn[band][here], band)
            yield values


class Spread:
    """Standard deviation of arrays that come one after another (Welford 1962)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._count = 0
        self._mean, self._squares = np.zeros(shape), np.zeros(shape)

    def add(self, values: NDArray[Any]) -> None:
        """Take one more."""
        self._count += 1
        values = values.astype("float64")
        away = values - self._mean
        self._mean += away / self._count
        self._squares += away * (values - self._mean)

    def deviation(self) -> NDArray[np.float32]:
        """Of those taken, at least two."""
        return np.asarray(np.sqrt(self._squares / (self._count - 1)), "float32")


def field(box: Box, key: Sequence[int]) -> Double:
    """A Gaussian random field of unit variance, seen through ``box``, shape ``(y, x)``.

    Parameters
    ----------
    box : Box
        Where; may lie anywhere, also at negative coordinates.
    key : sequence of int
        Which field, not negative.
    """
    out = np.zeros((box.height, box.width))
    for octave, (step, share) in enumerate(OCTAVES.items()):
        out += math.sqrt(share) * _octave(box, step, (*key, octave))
    return out


def _octave(box: Box, step: int, key: Sequence[int]) -> Double:
    """Cubic B-splines on nodes ``step`` pixels apart, with normal coefficients."""
    if step == 1:
        return _noise(box, key)
    rows, down = _spline(box.row, box.height, step)
    cols, across = _spline(box.col, box.width, step)
    first = Box(int(rows[0, 0]), int(cols[0, 0]), int(rows[-1, -1] - rows[0, 0]) + 1,
                int(cols[-1, -1] - cols[0, 0]) + 1)  # fmt: skip
    nodes = _noise(first, key)
    # Tap by tap: each pixel is summed in the same order wherever the box begins.
    half = sum((down[:, k, None] * nodes[rows[:, k] - first.row] for k in range(4)), np.zeros(()))
    out: Double = sum(
        (across[:, k] * half[:, cols[:, k] - first.col] for k in range(4)), np.zeros(())
    )
    return out


def _spline(start: int, length: int, step: int) -> tuple[NDArray[np.int64], Double]:
    """Nodes that each pixel is made of and their weights, whose squares sum to 1, ``(n, 4)``."""
    at = np.arange(start, start + length)
    first, t = at // step, (at % step) / step
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1
    )
    weights /= np.sqrt(np.square(weights).sum(1, keepdims=True))
    return first[:, None] + np.arange(-1, 3), weights


def _noise(box: Box, key: Sequence[int]) -> Double:
    """Independent normal numbers that belong to the nodes of ``box``."""
    out = np.empty((box.height, box.width))
    for row in range(box.row // _CELL, (box.stop[0] - 1) // _CELL + 1):
        for col in range(box.col // _CELL, (box.stop[1] - 1) // _CELL + 1):
            cell = Box(row * _CELL, col * _CELL, _CELL, _CELL)
            part = cell.intersection(box)
            assert part is not None  # noqa: S101  only cells that touch the box are looked at
            where = (2 * abs(row) + (row < 0), 2 * abs(col) + (col < 0))  # seeds have no sign
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((*key, *where))))
            out[part.within(box)] = rng.standard_normal((_CELL, _CELL))[part.within(cell)]
    return out


def tailed(normal: Double) -> Double:
    """Give normal numbers the distribution of errors, of which `LEVEL` lie within 1 of 0.

    A generalised normal distribution (Nadarajah 2005, doi:10.1080/02664760500079464) between
    the Laplacian and the normal one.
    """
    grid = np.linspace(0, 8, 1025)
    beyond = 2 * ndtr(-np.append(grid, ndtri(0.5 + LEVEL / 2)))
    size = gammainccinv(1 / TAILS, beyond) ** (1 / TAILS)
    out: Double = np.sign(normal) * np.interp(np.abs(normal), grid, size[:-1] / size[-1])
    return out


def root(correlation: Double) -> Double:
    """Lower triangular root of a correlation matrix, whose rows have length 1."""
    bands = len(correlation)
    # A little of the identity: bands that are copies of each other leave no root.
    safe = 0.999 * correlation + 0.001 * np.eye(bands)
    lower: Double = np.linalg.cholesky(safe)
    return lower


def _weighted(weights: Double, fields: Double) -> Double:
    out = np.zeros(fields.shape[1:])
    for weight, one in zip(weights, fields, strict=True):
        if weight:
            out += weight * one
    return out
