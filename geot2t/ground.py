"""What ground looks like of which nothing is known but a date and a class.

A library of levels and textures, learnt from windows of real ground: the mean reflectance of each
band, how it goes through the year and from place to place, how bands vary together within a place,
and how that variation is shared out among sizes. Draws have these statistics and no others: parcels
of the larger sizes, whose edges all bands share, and correlated grain of the smaller ones (for such
mosaics as models of images see Lee, Mumford & Huang 2001, doi:10.1023/A:1011109015675). They are
prior draws, not pictures of any place, and what is not in these statistics is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.spatial import cKDTree

from geot2t.errors import InputError

Float = NDArray[np.floating[Any]]

WAVELENGTHS = np.array([0.490, 0.560, 0.665, 0.705, 0.740, 0.783, 0.842, 0.865, 1.610, 2.190])
"""Micrometres at which the library knows ground."""

SIZES = (1, 2, 4, 8, 16, 32)
"""Sizes of what varies within a place, in pixels; the last stands for all that is larger."""

PARCEL = 4
"""Size from which variation is by parcels."""

LEAST = 0.002
"""Reflectance below which nothing is distinguished, as logarithms are taken."""

_NEAR = 0.12
"""Greatest distance of a band from a wavelength of the library, in octaves."""

ANY = "any"
"""Name of the kind that all windows belong to."""


def turn_of(day: date) -> float:
    """Day of the year in turns, 0 to 1."""
    return (day.timetuple().tm_yday - 1) / 365.2425


def season_terms(turn: float | None) -> NDArray[np.float64]:
    """Cosine and sine of a turn of the year; zeros if it is not known."""
    if turn is None:
        return np.zeros(2)
    return np.array([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)])


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of one window; what it has no band for is NaN."""

    level: Float
    """Mean logarithm of the reflectance, by wavelength."""

    within: Float
    """Covariance of the logarithms over its pixels, ``(wavelength, wavelength)``."""

    shares: Float
    """Share of the variance by size."""

    turn: float | None
    """When in the year, northern; None if unknown."""

    place: str = ""
    """Where; the year is learnt from how places change, not from how they differ."""


def look(
    pixels: Float, wavelengths: Sequence[float] | Float, turn: float | None, place: str = ""
) -> Look | None:
    """Look at a window of reflectances ``(b, y, x)``; None if the library has none of its bands."""
    at = _nearest(np.asarray(wavelengths, "float64"))
    if (at < 0).all():
        return None
    logs = np.log(np.clip(pixels[at >= 0], LEAST, None)).astype("float64")
    at = at[at >= 0]
    n = len(WAVELENGTHS)
    level, within = np.full(n, np.nan), np.full((n, n), np.nan)
    level[at] = logs.mean((1, 2))
    within[np.ix_(at, at)] = np.atleast_2d(np.cov(logs.reshape(len(logs), -1)))
    return Look(level, within, shares_of(logs), turn, place)


def near(wavelengths: Sequence[float] | Float) -> NDArray[np.bool_]:
    """Which bands the library has, ``(b,)``."""
    known: NDArray[np.bool_] = _nearest(np.asarray(wavelengths, "float64")) >= 0
    return known


def named(kind: str) -> str:
    """The name of a class as the library writes it."""
    return kind.strip().lower().replace(" ", "-").replace("_", "-")


def _nearest(wavelengths: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index into `WAVELENGTHS` of each band; -1 where there is none near."""
    away = np.abs(np.log2(wavelengths[:, None] / WAVELENGTHS))
    away = np.where(np.isfinite(away), away, np.inf)
    return np.where(away.min(1) < _NEAR, away.argmin(1), -1)


def shares_of(images: Float) -> NDArray[np.float64]:
    """Share of the variance of ``(b, y, x)`` that is lost by each doubling of a mean's side."""
    smooth = [images, *(uniform_filter(images, (0, s, s), mode="reflect") for s in SIZES[1:])]
    lost = [(a - b).var((1, 2)).mean() for a, b in pairwise(smooth)]
    lost.append(smooth[-1].var((1, 2)).mean())
    shares: NDArray[np.float64] = np.array(lost) / max(np.sum(lost), 1e-12)
    return shares


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of ground, or all of it; lists are by wavelength, logarithms of reflectance."""

    windows: int
    """Windows it was learnt from."""

    level: list[float]
    """Mean over windows, at the mean of the year."""

    season: list[list[float]]
    """What a cosine and a sine of the year add, ``(2, wavelength)``."""

    between: list[list[float]]
    """Covariance of the levels of places."""

    within: list[list[float]]
    """Covariance of pixels within a place."""

    contrast: float
    """Spread of the logarithm of a place's variance within."""

    shares: list[float]
    """Shares of the variance within by `SIZES`."""

    sharpness: list[list[float]] = field(default_factory=list)
    """Covariance of the logarithms of the shares of places; nothing where all have the same."""


class Ground:
    """The library; see the module.

    Parameters
    ----------
    kinds : mapping of str to Kind
        `ANY`, and whatever classes there are.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = dict(kinds)

    @classmethod
    def learnt(cls, looks: Mapping[str, Sequence[Look]]) -> Self:
        """The library of windows by class; those of `ANY` are of none, and speak for the world."""
        whole = _fitted(looks[ANY], None)
        classes = {k: _fitted(several, whole) for k, several in looks.items() if k != ANY}
        return cls({ANY: whole, **classes})

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """The library as `to_json` gave it."""
        return cls({name: Kind(**kind) for name, kind in said.items()})

    def to_json(self) -> dict[str, Any]:
        """The library in values that JSON can hold."""
        return {name: asdict(kind) for name, kind in self.kinds.items()}

    def kind(self, name: str | None) -> Kind:
        """A class by its name, or all ground.

        Raises
        ------
        InputError
            If there is no such class.
        """
        wanted = ANY if name is None else named(name)
        if wanted not in self.kinds:
            known = ", ".join(k for k in self.kinds if k != ANY)
            raise InputError(f"no class {name!r}; there are {known}")
        return self.kinds[wanted]

    def fitted(self, looks: Sequence[Look], kind: str | None = None) -> Kind:
        """The statistics of windows of one scene; what they do not say is that of a class."""
        return _fitted(looks, self.kind(kind))

    def season(self, kind: str | None, wavelengths: Float, turn: float | None) -> Float:
        """What the time of the year adds to the logarithm of each band, ``(b,)``."""
        out: Float = onto(wavelengths) @ (season_terms(turn) @ np.array(self.kind(kind).season))
        return out

    def draw(
        self,
        shape: tuple[int, int],
        wavelengths: Float,
        rng: np.random.Generator,
        *,
        kind: str | None = None,
        turn: float | None = None,
    ) -> NDArray[np.float32]:
        """Draw reflectances ``(b, y, x)``, of the mean of the year if ``turn`` is None."""
        what, weights = self.kind(kind), onto(wavelengths)
        level = np.array(what.level) + season_terms(turn) @ np.array(what.season)
        place = rng.standard_normal(len(level)).clip(-1.5, 1.5)  # no place is too odd
        level = level + _root(np.array(what.between)) @ place
        root = weights @ _root(np.array(what.within))  # (b, k)
        strength = np.exp(0.5 * what.contrast * rng.standard_normal())
        shares = np.array(what.shares)
        if what.sharpness:
            away = rng.standard_normal(len(SIZES)).clip(-1.5, 1.5)
            shares *= np.exp(_root(np.array(what.sharpness)) @ away)
        fields = _fields(shape, root.shape[1], shares / shares.sum(), rng)
        logs = (weights @ level)[:, None, None] + strength * np.tensordot(root, fields, 1)
        # A sensor's point spread: no pixel is sharp.
        out: NDArray[np.float64] = np.exp(gaussian_filter(logs, (0, 0.5, 0.5)))
        return out.clip(LEAST, 1.2).astype("float32")


def _fitted(looks: Sequence[Look], whole: Kind | None) -> Kind:
    """The statistics of windows; what they are too few or too poor in bands for is ``whole``'s."""
    levels = np.array([one.level for one in looks])
    terms = np.array([season_terms(one.turn) for one in looks])
    season = _season(looks, levels, terms) if whole is None else np.array(whole.season)
    rest = levels - terms @ season
    level: Float = _mean(rest)
    between: Float = _covariance(rest)
    within: Float = _mean(np.array([one.within for one in looks]))
    if whole is not None:
        level, between, within = _completed(level, between, within, whole)
    known = np.isfinite(level)
    level = np.interp(np.log(WAVELENGTHS), np.log(WAVELENGTHS[known]), level[known])
    traces = np.array([np.nanmean(np.diag(one.within)) for one in looks])
    shares = np.log(np.array([one.shares for one in looks]) + 1e-3)
    return Kind(
        windows=len(looks),
        level=np.round(level, 4).tolist(),
        season=np.round(season, 4).tolist(),
        between=np.round(_positive(between), 5).tolist(),
        within=np.round(_positive(within), 6).tolist(),
        contrast=float(np.round(np.log(traces + 1e-6).std(), 4)),
        shares=np.round(np.exp(shares.mean(0)), 4).tolist(),
        sharpness=np.round(_covariance(shares), 4).tolist(),
    )


def _season(looks: Sequence[Look], levels: Float, terms: Float) -> NDArray[np.float64]:
    """What the terms of the year add, ``(2, wavelength)``, from changes within places."""
    places: dict[str, list[int]] = {}
    for i, one in enumerate(looks):
        if one.turn is not None and one.place:
            places.setdefault(one.place, []).append(i)
    out = np.zeros((2, len(WAVELENGTHS)))
    for band, column in enumerate(levels.T):
        x, y = [np.zeros((1, 2))], [np.zeros(1)]
        for rows in places.values():
            use = [i for i in rows if np.isfinite(column[i])]
            if len(use) > 1:
                x.append(terms[use] - terms[use].mean(0))
                y.append(column[use] - column[use].mean())
        inputs, changes = np.concatenate(x), np.concatenate(y)
        out[:, band] = np.linalg.solve(inputs.T @ inputs + np.eye(2), inputs.T @ changes)
    return out


def _mean(values: Float) -> NDArray[np.float64]:
    """Means over the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(0)
    count = known.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _covariance(values: Float) -> NDArray[np.float64]:
    away = values - _mean(values)
    return _mean(away[:, :, None] * away[:, None, :])


def _completed(level: Float, between: Float, within: Float, whole: Kind) -> tuple[Float, ...]:
    """Fill wavelengths that a class was never seen at, as all ground relates them to the others."""
    known = np.isfinite(level)
    mean, cov = np.array(whole.level), np.array(whole.between)
    ridge = cov[np.ix_(known, known)] + 1e-3 * np.eye(int(known.sum()))
    expected = mean + cov[:, known] @ np.linalg.solve(ridge, (level - mean)[known])
    done = [np.where(known, level, expected)]
    for own, theirs in ((between, cov), (within, np.array(whole.within))):
        size = np.sqrt(np.nanmean(np.diag(own)[known] / np.diag(theirs)[known]))
        done.append(np.where(np.isfinite(own), own, size**2 * theirs))
    return tuple(done)


def _positive(matrix: Float) -> NDArray[np.float64]:
    """The nearest covariance; pairs of bands that were never seen together count as unrelated."""
    filled = np.where(np.isfinite(matrix), matrix, 0)
    values, vectors = np.linalg.eigh((filled + filled.T) / 2)
    out: NDArray[np.float64] = (vectors * values.clip(min=1e-8)) @ vectors.T
    return out


def _root(matrix: Float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    out: NDArray[np.float64] = vectors * np.sqrt(values.clip(min=0))
    return out


def onto(wavelengths: Float) -> NDArray[np.float64]:
    """Weights ``(b, wavelength)`` that interpolate the library at bands; unknown ones are green."""
    at = np.log2(np.where(np.isfinite(wavelengths), wavelengths, 0.56).astype("float64"))
    known = np.log2(WAVELENGTHS)
    return np.stack([np.interp(at, known, row) for row in np.eye(len(known))], 1)


def _fields(
    shape: tuple[int, int], count: int, shares: Float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Fields ``(count, y, x)`` of mean 0 and variance 1, their variance shared out by size."""
    out = np.zeros((count, *shape))
    for size, share in zip(SIZES, shares, strict=True):
        if size < PARCEL:
            part = gaussian_filter(rng.standard_normal((count, *shape)), (0, size / 2, size / 2))
        else:
            part = _parcels(shape, count, 2.0 * size, rng)
        part = part - part.mean((1, 2), keepdims=True)
        part /= part.std((1, 2), keepdims=True) + 1e-9
        out += np.sqrt(share) * part
    return out


def _parcels(
    shape: tuple[int, int], count: int, side: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Parcels about ``side`` pixels wide, each of one value in every field ``(count, y, x)``."""
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.4))
    c, s = np.cos(angle), np.sin(angle)
    squeeze = np.array([[c, s], [-s, c]]) * np.array([[stretch], [1 / stretch]])
    pad = 2 * side
    number = max(int((shape[0] + 2 * pad) * (shape[1] + 2 * pad) / side**2), 4)
    seeds = rng.uniform([-pad, -pad], [shape[0] + pad, shape[1] + pad], (number, 2))
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    places = np.stack([rows, cols], -1).reshape(-1, 2)
    _, owner = cKDTree(seeds @ squeeze.T).query(places @ squeeze.T)
    return rng.standard_normal((count, number))[:, owner].reshape(count, *shape)
