"""What a fill is worth: scores of one method in one case, and counts to be added up over cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import metrics
from geot2t.baselines.common import apart, nearest_days
from geot2t.evaluation.cases import Bool, Case
from geot2t.evaluation.fills import Fill, half_width
from geot2t.evaluation.shown import Held
from geot2t.fill import Float
from geot2t.io import Stack
from geot2t.sensors import band_at

LEVEL = 0.9
"""Share of errors that an interval is meant to hold."""

LEVELS = (0.5, 0.68, 0.8, LEVEL, 0.95)
"""Nominal coverages of the calibration curve."""

Limit = int | str | None
BUCKETS: dict[str, tuple[tuple[Limit, Limit], ...]] = {
    "gap_px": ((None, 64), (64, 1000), (1000, 10_000), (10_000, None)),
    "distance_px": ((None, 4), (4, 16), (16, 64), (64, None), ("nothing observed", None)),
    "days": ((None, 5), (5, 15), (15, 45), (45, None), ("no date", None)),
    "evidence": ((0, 0), (1, 2), (3, 5), (6, 10), (10, None)),
    "observed": ((None, 40), (40, 70), (70, 90), (90, None)),
}
"""From and to, by what pixels are sorted by. The upper limit belongs to a bucket; a word is the
bucket of what is infinite."""

_COUNT = 1


@dataclass(frozen=True, slots=True)
class Units:
    """How physical values are reported."""

    file: NDArray[np.float64]
    """Size of one unit of the file in physical values, for each band."""

    one: float
    """Physical value of the reflectance 1."""

    red: int | None
    nir: int | None
    swir2: int | None
    """Bands of the indices, by wavelength."""

    @classmethod
    def of(cls, stack: Stack, case: Case) -> Units:
        """The units of a series, for which the truth of a case is looked at if need be.

        Where no scale is stated, values above 2 cannot be reflectance; they are then taken for
        hundred-percent bytes or, as in most products, for reflectance times 10 000.
        """
        waves = stack.wavelengths
        one = 1.0
        if stack.header.scaled_by is None:
            pixels, _ = stack.read_date(case.target, case.box)
            if np.percentile(pixels[:, case.scored], 99) > 2:
                one = 255.0 if stack.header.dtype == "uint8" else 10_000.0
        return cls(
            np.abs(stack.scale), one,
            band_at(waves, 0.66, 0.04), band_at(waves, 0.842, 0.05), band_at(waves, 2.2, 0.1),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The unit of MAE, RMSE, bias and width, in words."""
        size = self.file[0]
        if (self.file != size).any():
            return "file units, which differ from band to band"
        return "file units" if size == 1 else f"file units of {size:g}"


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a case hides, and to which bucket each scored pixel belongs."""

    pixels: Float
    """Physical values of the date, shape ``(band, y, x)``; 0 where not valid."""

    valid: Bool
    """True where the date was observed, ``(y, x)``."""

    seen: Bool
    """True where the methods saw it, ``(y, x)``."""

    scored: Bool
    """True where it is scored, ``(y, x)``."""

    places: Mapping[str, NDArray[np.intp]]
    """Index of the bucket of each of the n scored pixels, ``(n,)``, by what they are sorted by."""

    units: Units

    @classmethod
    def of(cls, stack: Stack, case: Case, held: Held, units: Units) -> Truth:
        """Read the truth of a case."""
        pixels, valid = stack.read_date(case.target, case.box)
        seen = held.block.valid[held.target]
        others = np.delete(held.block.valid, held.target, axis=0)
        days = nearest_days(
            held.block.valid[None], apart(held.block.days, held.target), held.target
        )[0]
        sorted_by = {
            "gap_px": metrics.gap_sizes(~seen),
            "distance_px": metrics.gap_distance(~seen, seen),
            "days": days,
            "evidence": others.sum(0),
            "observed": np.full(seen.shape, 100 * seen.mean()),
        }
        places = {key: _places(key, value[case.scored]) for key, value in sorted_by.items()}
        return cls(pixels, valid, seen, case.scored, places, units)


def _places(key: str, values: NDArray[Any]) -> NDArray[np.intp]:
    tops = [float(to) for _, to in BUCKETS[key] if isinstance(to, int)]
    place = np.digitize(values, tops, right=True)
    place[np.isinf(values)] = len(BUCKETS[key]) - 1
    return np.asarray(place, np.intp)


@dataclass(slots=True)
class Tally:
    """Sums over scored pixels and bands, which can be added."""

    buckets: dict[str, NDArray[np.float64]]
    """By what pixels are sorted by: sums of absolute error, 1, share of bands inside the interval
    and its width, shape ``(4, bucket)``."""

    held: NDArray[np.float64]
    """Values inside the interval of each of `LEVELS`."""

    values: int
    """Values in all."""

    def __add__(self, other: Tally) -> Tally:
        """Sums over both."""
        both = {key: own + other.buckets[key] for key, own in self.buckets.items()}
        return Tally(both, self.held + other.held, self.values + other.values)

    def pixels(self, key: str) -> NDArray[np.float64]:
        """Scored pixels in each bucket."""
        pixels: NDArray[np.float64] = self.buckets[key][_COUNT]
        return pixels

    def rows(self, key: str) -> list[dict[str, float]]:
        """MAE, coverage and width in each bucket; 0 where it is empty."""
        absolute, _, held, width = self.buckets[key] / np.maximum(self.pixels(key), 1)
        return [
            {"mae": float(a), "coverage": float(h), "width": float(w)}
            for a, h, w in zip(absolute, held, width, strict=True)
        ]


def scores(fill: Fill, truth: Truth) -> dict[str, float | None]:
    """All scores of a fill: MAE, RMSE, bias and width in the file's units, others as they are."""
    units, where = truth.units, truth.scored
    # What was not observed must not count where a score looks around the scored pixels.
    known = np.where(truth.valid, truth.pixels, fill.pixels)
    mine, true = _in_file(fill.pixels, units), _in_file(known, units)
    half = _in_file(half_width(fill.error, LEVEL), units)
    found = metrics.errors(mine, true, where)
    pred, ref = fill.pixels / units.one, known / units.one
    return {
        **found,
        "psnr": metrics.errors(pred, ref, where)["psnr"],
        "ssim": metrics.ssim(pred, ref, where),
        "sam": metrics.sam(pred, ref, where) if len(pred) > 1 else None,
        "ergas": metrics.ergas(pred, ref, where),
        "ndvi": metrics.difference_mae(pred, ref, where, units.nir, units.red),
        "nbr": metrics.difference_mae(pred, ref, where, units.nir, units.swir2),
        "seam": metrics.seam(pred, ref, where, truth.seen),
        "texture": metrics.texture(pred, ref, where),
        **metrics.interval(mine, true, where, half),
    }


def by_band(fill: Fill, truth: Truth, names: list[str]) -> list[dict[str, Any]]:
    """MAE, RMSE, bias, coverage and width of each band, in the file's units."""
    units = truth.units
    mine, true = _in_file(fill.pixels, units), _in_file(truth.pixels, units)
    half = _in_file(half_width(fill.error, LEVEL), units)
    rows = []
    for i, name in enumerate(names):
        one = slice(i, i + 1)
        found = metrics.errors(mine[one], true[one], truth.scored)
        held = metrics.interval(mine[one], true[one], truth.scored, half[one])
        rows.append(
            {"band": name, **{k: found[k] for k in ("mae", "rmse", "bias")}, **held}
        )  # fmt: skip
    return rows


def tally(fill: Fill, truth: Truth) -> Tally:
    """Sums over the scored pixels of a fill."""
    where = truth.scored
    off = np.abs(_in_file(fill.pixels, truth.units) - _in_file(truth.pixels, truth.units))[:, where]
    halves = {
        level: _in_file(half_width(fill.error, level), truth.units)[:, where] for level in LEVELS
    }
    half = halves[LEVEL]
    sums = np.stack([off, np.ones_like(off), off <= half, 2 * half]).mean(1)  # (4, n)
    buckets = {
        key: np.stack(
            [np.bincount(place, one, len(BUCKETS[key])).astype("float64") for one in sums]
        )
        for key, place in truth.places.items()
    }
    held = [float((off <= halves[level]).sum()) for level in LEVELS]
    return Tally(buckets, np.array(held), off.size)


def _in_file(pixels: Float, units: Units) -> NDArray[np.float64]:
    return np.asarray(pixels / units.file[:, None, None], "float64")
