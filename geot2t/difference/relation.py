"""How one date looks where another is known, learnt so that what changed does not teach it.

A linear regression of all bands on all bands, in which a pixel weighs the less the less it fits:
iteratively reweighted like the multivariate alteration detection of Nielsen (2007), "The
regularized iteratively reweighted MAD method for change detection in multi- and hyperspectral
data", doi:10.1109/TIP.2006.888195.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError

Float64 = NDArray[np.float64]

FEWEST = 200
"""Pixels that both dates must have observed."""

_ROUNDS = 12
_STRANGE = 3.0  # times the usual strangeness at which a pixel weighs half
_SHRINK = 0.1  # share of the identity in a correlation, so that it can be inverted
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """Where values of several bands usually lie, and how they vary together."""

    centre: Float64
    """Median of each band, ``(band,)``."""

    width: Float64
    """Robust standard deviation of each band, ``(band,)``."""

    inverse: Float64
    """Inverse of the correlation, ``(band, band)``."""

    usual: float
    """Median of the squared Mahalanobis distance."""

    def strangeness(self, values: NDArray[np.floating]) -> Float64:
        """Squared Mahalanobis distance of ``values (band, ...)``, 1 where it is the usual one."""
        shape = (-1, *(1,) * (values.ndim - 1))
        z = (values - self.centre.reshape(shape)) / self.width.reshape(shape)
        return np.asarray(np.einsum("i...,ij,j...->...", z, self.inverse, z) / self.usual)


def spread_of(values: NDArray[np.floating]) -> Spread:
    """The spread of ``values (band, n)``, of which up to half may be strange."""
    flat = np.asarray(values, "float64")
    centre = np.median(flat, 1)
    width = 1.4826 * np.median(np.abs(flat - centre[:, None]), 1) + _SMALL
    # A band that hardly ever differs, such as one of a few whole numbers, has a width all the same.
    width = np.maximum(width, 1e-3 * np.abs(flat - centre[:, None]).mean(1))
    z = (flat - centre[:, None]) / width[:, None]
    bands = len(z)
    inverse, squared = np.eye(bands), np.square(z).sum(0)
    for _ in range(_ROUNDS):
        weight = 1 / (1 + np.square(squared / (_STRANGE * np.median(squared) + _SMALL)))
        together = (z * weight) @ z.T / weight.sum()
        together = (1 - _SHRINK) * together + _SHRINK * np.eye(bands) * np.trace(together) / bands
        inverse = np.linalg.inv(together + _SMALL * np.eye(bands))
        squared = np.einsum("in,ij,jn->n", z, inverse, z)
    return Spread(centre, width, inverse, float(np.median(squared)) + _SMALL)


@dataclass(frozen=True, slots=True)
class Relation:
    """One date as a function of another, band by band of all bands."""

    coefficients: Float64
    """``(band + 1, band)``; the last row is what is added."""

    left: Spread
    """Of what the function leaves unexplained."""

    def expected(self, other: NDArray[np.floating]) -> NDArray[np.float32]:
        """What the date would be where the other is ``other (band, ...)``."""
        slopes, added = self.coefficients[:-1], self.coefficients[-1]
        flat = slopes.T @ other.reshape(len(other), -1) + added[:, None]
        return np.asarray(flat.reshape(-1, *other.shape[1:]), "float32")

    def strangeness(
        self, date: NDArray[np.floating], other: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """How little ``date (band, ...)`` fits ``other``; 1 is usual, see `Spread`."""
        return self.left.strangeness(date - self.expected(other))


def relate(date: NDArray[np.floating], other: NDArray[np.floating]) -> Relation:
    """Learn how ``date (band, n)`` looks where ``other (band, n)`` is known.

    Raises
    ------
    InputError
        If there are fewer than `FEWEST` pixels.
    """
    if date.shape[1] < FEWEST:
        raise InputError(
            f"{date.shape[1]} of the pixels looked at were observed on both dates; comparing "
            f"them takes {FEWEST}"
        )
    x = np.concatenate([other, np.ones_like(other[:1])]).astype("float64")
    y = np.asarray(date, "float64")
    size = np.abs(x).max(1) + _SMALL  # units must not matter to what is added to the diagonal
    x = x / size[:, None]
    weight = np.ones(x.shape[1])
    for i in range(2 * _ROUNDS):
        # Band by band first: with all bands at hand, a large event could be taken for the rule.
        found = (_by_band if i < _ROUNDS else _by_all)(x, y, weight)
        left = y - found.T @ x
        spread = spread_of(left)
        weight = 1 / (1 + np.square(spread.strangeness(left) / _STRANGE))
    return Relation(found / size[:, None], spread)


def _by_all(x: Float64, y: Float64, weight: Float64) -> Float64:
    """Coefficients of each row of ``y`` on all rows of ``x``, ``(band + 1, band)``."""
    moments = (x * weight) @ x.T
    moments += _SMALL * np.trace(moments) * np.eye(len(moments))
    return np.asarray(np.linalg.solve(moments, (x * weight) @ y.T))


def _by_band(x: Float64, y: Float64, weight: Float64) -> Float64:
    """Coefficients of each row of ``y`` on the same row of ``x``, in the shape of `_by_all`."""
    found = np.zeros((len(x), len(y)))
    for band in range(len(y)):
        rows = [band, -1]
        found[rows, band] = _by_all(x[rows], y[[band]], weight)[:, 0]
    return found
