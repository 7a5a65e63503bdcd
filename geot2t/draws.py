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
from scipy.optimize import nnls
from scipy.special import gammainccinv, ndtr, ndtri

from geot2t.grid import Box
from geot2t.intervals import LAGS, LEVEL

OCTAVES = (1, 2, 4, 8, 16, 32, 64, 256)
"""Distances in pixels between the nodes of the octaves of a field."""

USUAL = (0.39, 0.27, 0.16, 0.09, 0.04, 0.02)
"""How alike errors of pixels `geot2t.intervals.LAGS` apart are where it was not measured; as on
the shipped sample."""

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
    known : callable
        Gives how alike errors are: the correlations between bands, ``(band, band)``, and those of
        pixels `geot2t.intervals.LAGS` apart; called when the first error is drawn.
    day : float
        Date of the scene, days since 1970-01-01; NaN if it is not known. Other dates err otherwise.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        known: Callable[[], tuple[Double, Sequence[float]]],
        day: float = math.nan,
    ) -> None:
        self.count, self._known = count, known
        self._key = (seed, 0 if math.isnan(day) else _unsigned(math.floor(day)))
        self._found: tuple[Double, Double] | None = None

    def errors(self, box: Box, sample: int) -> Double:
        """Errors of one sample in ``box``, shape ``(band, y, x)``."""
        if self._found is None:
            together, alike = self._known()
            self._found = root(together), shares(alike)
        mix, share = self._found
        fields = np.stack([field(box, (*self._key, sample, b), share) for b in range(len(mix))])
        # Band by band rather than by a matrix product, whose last bits depend on the shape.
        mixed = np.stack([_weighted(weights, fields) for weights in mix])
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
        with np.errstate(invalid="ignore"):  # infinite where nothing was filled
            away = values - self._mean
            self._mean += away / self._count
            self._squares += away * (values - self._mean)

    def deviation(self) -> NDArray[np.float32]:
        """Of those taken, at least two."""
        return np.asarray(np.sqrt(self._squares / (self._count - 1)), "float32")


def shares(alike: Sequence[float]) -> Double:
    """Shares of the variance of the octaves whose field is as alike as is wanted.

    Parameters
    ----------
    alike : sequence of float
        Correlations of pixels `geot2t.intervals.LAGS` apart.

    Returns
    -------
    ndarray, shape ``(len(OCTAVES),)``
        Of sum 1; found by non-negative least squares (Lawson and Hanson 1974).
    """
    table = np.array([[_likeness(step, lag) for step in OCTAVES] for lag in (0, *LAGS)])
    wanted = np.array([1.0, *alike])
    weight = np.array([10.0, *np.ones(len(LAGS))])  # the variance must be right
    found: Double = nnls(table * weight[:, None], wanted * weight)[0]
    out: Double = found / found.sum()
    return out


def _likeness(step: int, lag: int) -> float:
    """Correlation of pixels ``lag`` apart in the octave of ``step``."""
    if step == 1:
        return float(lag == 0)
    here, weight = _spline(0, step, step)
    there, other = _spline(lag, step, step)
    same = here[:, :, None] == there[:, None]  # (pixel, node, node)
    return float((weight[:, :, None] * other[:, None] * same).sum((1, 2)).mean())


def field(box: Box, key: Sequence[int], share: Double) -> Double:
    """A Gaussian random field of unit variance, seen through ``box``, shape ``(y, x)``.

    Parameters
    ----------
    box : Box
        Where; may lie anywhere, also at negative coordinates.
    key : sequence of int
        Which field, not negative.
    share : ndarray, shape ``(len(OCTAVES),)``
        See `shares`.
    """
    out = np.zeros((box.height, box.width))
    for octave, (step, part) in enumerate(zip(OCTAVES, share, strict=True)):
        if part > 0:
            out += math.sqrt(part) * _octave(box, step, (*key, octave))
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
            where = _unsigned(row), _unsigned(col)
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((*key, *where))))
            out[part.within(box)] = rng.standard_normal((_CELL, _CELL))[part.within(cell)]
    return out


def _unsigned(number: int) -> int:
    """A number of its own for each, as seeds have no sign."""
    return 2 * abs(number) + (number < 0)


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
    return np.asarray(np.linalg.cholesky(safe), "float64")


def _weighted(weights: Double, fields: Double) -> Double:
    out = np.zeros(fields.shape[1:])
    for weight, one in zip(weights, fields, strict=True):
        if weight:
            out += weight * one
    return out
