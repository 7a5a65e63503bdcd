"""The scores of an evaluation: what each is called, means, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Score:
    """A score, as tables show it."""

    key: str
    """Its name in the results."""

    title: str
    """Its name at the head of a column."""

    better: str | None
    """low, high, zero or nominal: which values are good; None if that is not for a table to say."""

    decimals: int | None
    """Digits after the point; None: as many as three significant digits of the largest need."""

    meaning: str
    """One sentence."""

    percent: bool = False
    """Whether it is a share that is shown in percent."""


SCORES = (
    Score("mae", "MAE", "low", None, "Mean absolute error over the hidden pixels and all bands."),
    Score("rmse", "RMSE", "low", None, "Root of the mean squared error: large errors weigh more."),
    Score("bias", "bias", "zero", None, "Mean of filled minus true."),
    Score("psnr", "PSNR", "high", 2, "Peak signal-to-noise ratio, in dB."),
    Score("ssim", "SSIM", "high", 3, "Structural similarity in the gap; 1 is equal."),
    Score("sam", "SAM", "low", 2, "Angle between the filled and the true spectrum, in degrees."),
    Score("ergas", "ERGAS", "low", 2, "Error relative to each band's mean, all bands in one."),
    Score("ndvi", "NDVI", "low", 4, "Mean absolute error of the vegetation index."),
    Score("nbr", "NBR", "low", 4, "Mean absolute error of the burn ratio."),
    Score("seam", "seam", None, 2, "Step across the edge of a gap over the true one; 1 is right."),
    Score("texture", "texture", None, 2, "Detail over that of the truth; below 1 is too smooth."),
    Score(
        "coverage", "in interval", "nominal", 1,
        "Share of hidden values that the 90 % interval held; 90 % is right.", percent=True,
    ),
    Score("width", "width", None, None, "Mean width of the 90 % interval."),
)  # fmt: skip

KINDS = {
    "cloud": "gaps in the shape of real clouds",
    "overcast": "clouds over all but a fifth or less",
    "missing": "dates hidden whole",
    "consecutive": "several dates in a row hidden whole",
    "first": "the first date hidden whole",
    "last": "the last date hidden whole",
}
"""What the kinds of cases are, in words."""

METHODS = {
    "geot2t": "what the self-check chose",
    "network": "the T2T-GAN",
    "prior": "regression on the other dates",
    "linear": "interpolation in time",
    "nearest": "nearest date",
    "previous": "last date before",
    "next": "next date after",
    "median": "median of the other dates",
    "least-cloudy": "least cloudy date",
    "harmonic": "annual harmonics",
    "whittaker": "Whittaker's smoother",
    "fillnodata": "GDAL's fill, in space",
    "biharmonic": "biharmonic fill, in space",
}
"""Methods that are known by name, in words."""

NOMINAL = 0.9
"""Coverage that intervals should have."""


def number(value: Any) -> float | None:
    """``value`` as a float; None where it is missing, not a number or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def look(tree: Any, *keys: str) -> Any:
    """What is found in nested mappings under the keys, one after the other; None if nothing."""
    for key in keys:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def found(tree: Any, *keys: str) -> float | None:
    """`number` of what `look` finds."""
    return number(look(tree, *keys))


def decimals(values: Iterable[float | None]) -> int:
    """Digits after the point that show three significant digits of the largest value.

    One more where the smallest would have fewer than three.
    """
    sizes = [abs(v) for v in values if v]
    if not sizes:
        return 0
    wanted = [2 - math.floor(math.log10(size)) for size in (max(sizes), min(sizes))]
    return min(max(min(wanted[0] + 1, wanted[1]), 0), 8)


def written(value: float | None, digits: int, *, percent: bool = False) -> str:
    """A number for people to read, with a real minus; a dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001
    text = f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%" if percent else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def bucket_label(bucket: Mapping[str, Any]) -> str:
    """A bucket by its limits, of which the upper one belongs to it; open ones say so."""
    limits = bucket.get("from"), bucket.get("to")
    low, high = map(number, limits)
    if low is None and high is None:
        return " to ".join(str(v) for v in limits if v is not None) or "unknown"
    ends = [None if v is None else _short(v) for v in (low, high)]
    if ends[1] is None:
        return f"> {ends[0]}"
    if ends[0] is None:
        return f"≤ {ends[1]}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"  # noqa: RUF001


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def interval(tree: Any) -> tuple[float, float] | None:
    """``low`` and ``high`` of a summary; None unless both are known."""
    low, high = found(tree, "low"), found(tree, "high")
    return None if low is None or high is None else (low, high)


def methods_of(results: Mapping[str, Any]) -> list[str]:
    """Names of the methods, in the order of the results."""
    return [str(name) for name in results.get("methods") or ()]


def ranking(results: Mapping[str, Any], kind: str) -> list[str]:
    """Methods with a known error, the least mean absolute error first."""
    errors = {
        method: found(results, "summary", kind, method, "mae", "mean")
        for method in methods_of(results)
    }
    return sorted((m for m, e in errors.items() if e is not None), key=lambda m: errors[m] or 0.0)


def kinds_of(results: Mapping[str, Any]) -> list[str]:
    """Kinds of cases that were run, those that are known first."""
    there = list(results.get("summary") or {})
    return [k for k in KINDS if k in there] + [k for k in there if k not in KINDS]
