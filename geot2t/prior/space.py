"""Space alone: ordinary kriging of a gap from the observed pixels around it.

The window's own variogram says how alike pixels at a distance are; all bands share its shape, and
with it the weights. Neighbours are taken from all sides, the nearest of each octant first: the
nearest ones alone lie on one side of a gap, and say much the same (Isaaks and Srivastava 1989,
"An Introduction to Applied Geostatistics", chapters 7, 12 and 14).

Axes: b bands, y x pixels; g pixels to fill, k neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Float = NDArray[np.float64]

NEIGHBOURS = 32
"""Observed pixels that a pixel is estimated from."""

NEAREST = 3 * NEIGHBOURS
"""Observed pixels among which these are chosen."""

LAGS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
"""Distances in pixels, along rows and columns, at which the variogram is measured."""

RANGES = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 40.0, 80.0, 160.0)
POWERS = (1.0, 1.5)
"""Ranges in pixels and powers of the models ``1 - exp(-(distance / range) ** power)``."""

NUGGET = 0.003
"""Share of the sill in which even neighbours differ."""

CHUNK = 2048
"""Pixels whose systems are solved at once."""


def krige(
    image: NDArray[np.floating], seen: NDArray[np.bool_], wanted: NDArray[np.bool_]
) -> tuple[Float, Float] | None:
    """Estimate the ``wanted`` pixels from those that were ``seen``.

    Parameters
    ----------
    image : ndarray, shape ``(b, y, x)``
        Anything where not seen.
    seen, wanted : ndarray of bool, shape ``(y, x)``
        Observed pixels, and those to estimate.

    Returns
    -------
    tuple of ndarray, or None
        Estimates and their standard errors, ``(b, g)``, in the order of ``wanted``'s pixels;
        None if too little was seen to tell how alike neighbours are.
    """
    model = _variogram(image, seen)
    known = np.argwhere(seen)
    if model is None or len(known) < NEIGHBOURS:
        return None
    sill, reach, power = model
    values = image[:, seen].astype("float64")  # (b, seen)
    tree = cKDTree(known)

    def alike(distance: Float) -> Float:
        return np.exp(-((distance / reach) ** power))

    means, errors = [], []
    at = np.argwhere(wanted)
    for start in range(0, len(at), CHUNK):
        near, which = _neighbours(tree, known, at[start : start + CHUNK])  # (g, k)
        place = known[which].astype("float64")  # (g, k, 2)
        between = np.hypot(
            *(place[:, :, None, i] - place[:, None, :, i] for i in range(2))
        )  # (g, k, k)
        covariance = alike(between) + NUGGET * np.eye(which.shape[1])
        to = alike(near)
        both = np.linalg.solve(covariance, np.stack([to, np.ones_like(to)], -1))  # (g, k, 2)
        by, one = both[..., 0], both[..., 1]
        # The weights add up to one, so that nothing need be known of the mean.
        rest = (1 - by.sum(1)) / one.sum(1)
        weight = by + rest[:, None] * one
        means.append(np.einsum("gk,bgk->bg", weight, values[:, which]))
        unsure = 1 - (to * by).sum(1) + rest * (1 - by.sum(1))
        errors.append(np.sqrt(sill[:, None] * np.maximum(unsure, NUGGET)))
    return np.concatenate(means, 1), np.concatenate(errors, 1)


def _neighbours(
    tree: cKDTree, known: NDArray[np.intp], at: NDArray[np.intp]
) -> tuple[Float, NDArray[np.intp]]:
    """Distances and indices of the pixels that each of ``at (g, 2)`` is estimated from."""
    near, which = tree.query(at, k=min(NEAREST, len(known)))
    away = known[which] - at[:, None]
    octant = np.floor(np.arctan2(away[..., 0], away[..., 1]) / (np.pi / 4)).astype(int) % 8
    rank = np.zeros(octant.shape)
    for o in range(8):
        rank += np.where(octant == o, np.cumsum(octant == o, 1), 0)
    best = np.argsort(rank * 1e4 + near, 1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(near, best, 1), np.take_along_axis(which, best, 1)


def _variogram(
    image: NDArray[np.floating], seen: NDArray[np.bool_]
) -> tuple[Float, float, float] | None:
    """Sill of each band, and the range and power that all bands share."""
    if seen.sum() < 2 * NEIGHBOURS:
        return None
    variance = image[:, seen].var(1, dtype="float64") + 1e-12
    lags, levels = [], []
    for lag in LAGS.tolist():
        total, count = np.zeros(len(image)), 0
        for a, b in (
            ((slice(lag, None), slice(None)), (slice(None, -lag), slice(None))),
            ((slice(None), slice(lag, None)), (slice(None), slice(None, -lag))),
        ):
            pair = seen[a] & seen[b]
            count += int(pair.sum())
            apart = image[(slice(None), *a)] - image[(slice(None), *b)]
            total += np.square(apart[:, pair], dtype="float64").sum(1)
        if count:
            lags.append(lag)
            levels.append(float((total / variance).mean() / (2 * count)))
    if len(lags) < 3:
        return None
    distance, gamma = np.array(lags, "float64"), np.array(levels)
    found = []
    for reach in RANGES:
        for power in POWERS:
            curve = 1 - np.exp(-((distance / reach) ** power))
            weight = distance**-0.5  # near ones decide
            sill = float((weight * gamma * curve).sum() / (weight * curve * curve).sum())
            off = float((weight * np.square(gamma - sill * curve)).sum())
            found.append((off, reach, power, sill))
    _, reach, power, sill = min(found)
    return sill * variance, reach, power
