"""Quality rasters and cloud detectors, turned into where the ground was observed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.errors import InputError
from geot2t.sensors import (
    CLOUD_PROBABILITY_LIMIT,
    QA_BITS,
    SCL_EMPTY,
    SCL_HIDDEN,
    band_at,
)

Bool = NDArray[np.bool_]

CLEAR: Final = 0
"""The ground was observed."""
HIDDEN: Final = 1
"""Cloud, shadow or a defect hides the ground."""
EMPTY: Final = 2
"""The quality raster itself says that there is no data."""

QA_KINDS: tuple[str, ...] = ("SCL", "MSK_CLDPRB", *QA_BITS)
"""Quality rasters that `decode` understands."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What some bits of a quality raster's values mean."""

    hidden: frozenset[int]
    """Codes that say that the ground is hidden."""

    empty: frozenset[int]
    """Codes that say that there is no data."""

    first: int = 0
    """First of the bits that hold the code."""

    length: int | None = None
    """Number of those bits; None: the whole value is the code."""

    def of(self, values: NDArray[np.integer]) -> NDArray[np.integer]:
        """The codes in ``values``."""
        if self.length is None:
            return values
        codes: NDArray[np.integer] = (values >> self.first) & (2**self.length - 1)
        return codes


@dataclass(frozen=True, slots=True)
class Legend:
    """What a quality raster's values mean, where whoever made it says so."""

    fields: tuple[Codes, ...]

    def __str__(self) -> str:
        return "classes"


def decode(kind: str | Legend, values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Say of each pixel of a quality raster what it means for the ground.

    Parameters
    ----------
    kind : str or Legend
        One of `QA_KINDS`; ``"mask"``: not zero where the ground was not observed;
        ``"data-mask"``: zero where there is no data; or what the values mean.
    values : ndarray of integers, any shape
        Pixels of the quality raster.

    Returns
    -------
    ndarray of uint8, shape of ``values``
        `CLEAR`, `HIDDEN` or `EMPTY`.

    Raises
    ------
    InputError
        If ``kind`` is none of those, or ``values`` are not integers.
    """
    if kind == "mask":
        # A NaN differs from zero too: nobody vouches for that pixel.
        return np.where(values != 0, HIDDEN, CLEAR).astype("uint8")
    if kind == "data-mask":
        return np.where(values == 0, EMPTY, CLEAR).astype("uint8")
    if not isinstance(kind, Legend) and kind not in QA_KINDS:
        raise InputError(f"{kind} is no quality raster known here; there are {QA_KINDS}")
    if values.dtype.kind not in "iu":
        raise InputError(f"a {kind} raster holds integers, got {values.dtype}")
    if isinstance(kind, Legend):
        hidden, empty = (np.zeros(values.shape, bool) for _ in range(2))
        for field in kind.fields:
            codes = field.of(values)
            hidden |= np.isin(codes, list(field.hidden))
            empty |= np.isin(codes, list(field.empty))
    elif kind == "SCL":
        hidden, empty = np.isin(values, list(SCL_HIDDEN)), np.isin(values, list(SCL_EMPTY))
    elif kind == "MSK_CLDPRB":
        hidden, empty = values >= CLOUD_PROBABILITY_LIMIT, np.zeros(values.shape, bool)
    else:
        bits = QA_BITS[kind]
        hidden = (values & bits.hidden) != 0
        for first in bits.confident:
            hidden |= (values >> first) & 3 == 3
        empty = (values & bits.empty) != 0
        if bits.fill is not None:
            empty |= values == bits.fill
    return np.where(empty, EMPTY, np.where(hidden, HIDDEN, CLEAR)).astype("uint8")


def scl_valid(scl: NDArray[np.integer]) -> Bool:
    """True where a Sentinel-2 scene classification shows the ground."""
    out: Bool = decode("SCL", scl) == CLEAR
    return out


def qa_pixel_valid(qa: NDArray[np.integer]) -> Bool:
    """True where a Landsat Collection 2 QA_PIXEL raster shows the ground."""
    out: Bool = decode("QA_PIXEL", qa) == CLEAR
    return out


def fmask_valid(fmask: NDArray[np.integer]) -> Bool:
    """True where an HLS Fmask raster shows the ground."""
    out: Bool = decode("Fmask", fmask) == CLEAR
    return out


def dilate(hidden: Bool, radius: float) -> Bool:
    """Grow the True pixels of ``hidden`` by ``radius`` pixels in every direction.

    Parameters
    ----------
    hidden : ndarray of bool, shape ``(y, x)``
    radius : float
        Distance between pixel centres up to which a pixel is taken in. Below 1 nothing
        changes.

    Returns
    -------
    ndarray of bool, shape ``(y, x)``
    """
    reach = math.floor(radius)
    if reach < 1 or not hidden.any():
        return hidden
    rows, cols = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.hypot(rows, cols) <= radius
    grown: Bool = ndimage.binary_dilation(hidden, disk)
    return grown


DETECTORS: dict[str, str] = {"ukis-csmask": "ukis_csmask"}
"""Detectors that can be asked for by name, and the module each needs."""


def installed(detector: str) -> bool:
    """Whether ``detector`` can be used here; InputError if its name is unknown."""
    if detector not in DETECTORS:
        raise InputError(
            f"there is no cloud detector {detector!r}; use auto, qa, none or {', '.join(DETECTORS)}"
        )
    return importlib.util.find_spec(DETECTORS[detector]) is not None


_CSMASK_BANDS = {
    "blue": 0.490,
    "green": 0.560,
    "red": 0.660,
    "nir": 0.850,
    "swir16": 1.610,
    "swir22": 2.200,
}


def csmask_bands(wavelengths: Sequence[float]) -> dict[str, int] | None:
    """Which bands ukis-csmask would look at, or None if it cannot use this raster.

    It wants blue, green, red and near infrared, and is better with both short-wave
    infrared bands.

    Parameters
    ----------
    wavelengths : sequence of float
        Micrometres, NaN where unknown.

    Returns
    -------
    dict of str to int, or None
        The detector's band names, in its order, and their indices.
    """
    near = {name: band_at(wavelengths, at, 0.045) for name, at in _CSMASK_BANDS.items()}
    found = {name: i for name, i in near.items() if i is not None}
    if len(found) < len(_CSMASK_BANDS):
        found = {name: i for name, i in found.items() if not name.startswith("swir")}
    return found if len(found) >= 4 else None


@dataclass(frozen=True)
class CloudShapes:
    """Outlines of real clouds and their shadows, to hide observed pixels under."""

    shapes: tuple[Bool, ...]
    """True where hidden, each ``(y, x)``, of various sizes."""

    sources: tuple[str, ...]
    """Origin and licence of the shapes."""

    @classmethod
    def load(cls) -> Self:
        """The library that ships with geot2t."""
        with (
            files("geot2t").joinpath("data/cloud_shapes.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as library,
        ):
            bits, sources = library["bits"], tuple(library["sources"].tolist())
            sizes = library["sizes"].astype(int).tolist()
        shapes, start = [], 0
        for height, width in sizes:
            stop = start + -(-height * width // 8)
            flat = np.unpackbits(bits[start:stop], count=height * width)
            shapes.append(flat.reshape(height, width).astype(bool))
            start = stop
        return cls(tuple(shapes), sources)

    def sample(
        self,
        rng: np.random.Generator,
        height: int,
        width: int,
        *,
        share: tuple[float, float] = (0.05, 0.6),
    ) -> Bool:
        """Draw a cloud: a real shape, turned, mirrored, scaled and shifted at random.

        Parameters
        ----------
        rng : Generator
            Equal states give equal clouds.
        height, width : int
            Size of the window in pixels.
        share : (float, float)
            Least and greatest share of the window that is hidden. Shares between them are
            about equally likely.

        Returns
        -------
        ndarray of bool, shape ``(height, width)``
            True where hidden. At least one pixel is hidden and one is not, if there are two.

        Raises
        ------
        InputError
            If the shares are not ``0 <= least <= greatest <= 1``.
        """
        least, greatest = share
        if not 0 <= least <= greatest <= 1:
            raise InputError(f"the hidden share must be between 0 and 1, got {share}")
        wanted = rng.uniform(least, greatest)
        side = max(height, width)
        # A shape smaller than the window would be magnified, and has no detail to show for it.
        chances = np.array([min(*s.shape, side) for s in self.shapes], "float64") ** 2
        best: tuple[float, Bool, tuple[Coordinates, Coordinates]] | None = None
        for _ in range(_TRIES):
            shape = self.shapes[rng.choice(len(self.shapes), p=chances / chances.sum())]
            place = _random_place(rng, shape.shape, side)
            # A rough look at 24 x 24 points says how much of the window a shape would hide.
            rough = _look(
                shape, place, np.linspace(0, height - 1, 24), np.linspace(0, width - 1, 24)
            )
            away = abs(float((rough > 0.5).mean()) - wanted)
            if best is None or away < best[0]:
                best = away, shape, place
            if away < 0.03:
                break
        assert best is not None  # noqa: S101  there is at least one try
        _, shape, place = best
        field = _look(shape, place, np.arange(height), np.arange(width))
        magnified = 1 / math.hypot(*place[0][1:])
        if magnified > 1:
            field = ndimage.gaussian_filter(field, 0.8 * magnified)  # no stairs of large pixels
        hidden: Bool = field > 0.5
        if not least <= hidden.mean() <= greatest or hidden.all() or not hidden.any():
            hidden = _most_likely(field, wanted)
        return hidden


Coordinates = tuple[float, float, float]
"""A coordinate in a shape, as ``start + by_row * row + by_column * column``."""

_TRIES = 16


def _random_place(
    rng: np.random.Generator, size: tuple[int, ...], side: int
) -> tuple[Coordinates, Coordinates]:
    """A random similarity from pixels of a window to those of a shape."""
    # Clouds look alike at every scale, but a shape repeats where the window sees beyond it,
    # and has no detail where it is magnified: between a third of the shape and one and a half.
    step = min(size) / side * math.exp(rng.uniform(math.log(1 / 3), math.log(1.5)))
    angle = rng.uniform(0, 2 * math.pi)
    flip = 1 if rng.random() < 0.5 else -1
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    row, col = (rng.uniform(0, n) for n in size)
    return (row, cos, -sin * flip), (col, sin, cos * flip)


def _look(
    shape: Bool,
    place: tuple[Coordinates, Coordinates],
    rows: NDArray[np.floating] | NDArray[np.integer],
    cols: NDArray[np.floating] | NDArray[np.integer],
) -> NDArray[np.float32]:
    """How much of a cloud there is at each pixel, 0 to 1; beyond its edge a shape is mirrored."""
    at = np.stack([a + b * rows[:, None] + c * cols[None, :] for a, b, c in place])
    out: NDArray[np.float32] = ndimage.map_coordinates(
        shape.astype("float32"), at, order=1, mode="mirror"
    )
    return out


def _most_likely(field: NDArray[np.float32], share: float) -> Bool:
    """The given share of the window's pixels, those nearest to the inside of the cloud first."""
    smooth = ndimage.gaussian_filter(field, max(field.shape) / 24, mode="nearest")
    # Where there is no cloud near, or nothing but cloud, one corner is cloudier than another.
    tilt = np.add.outer(np.arange(field.shape[0]), np.arange(field.shape[1])) / sum(field.shape)
    order = np.argsort(smooth + 1e-3 * tilt, axis=None, kind="stable")[::-1]
    count = min(max(round(share * field.size), 1), max(field.size - 1, 1))
    hidden = np.zeros(field.size, bool)
    hidden[order[:count]] = True
    return hidden.reshape(field.shape)
