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
    Score("seam", "seam", None, 3, "How far the step across the edge of a gap is from the true."),
    Score("texture", "texture", None, 3, "Detail of the fill next to that of the truth."),
    Score(
        "coverage", "in interval", "nominal", 1,
        "Share of hidden values that the 90 % interval held; 90 % is right.", percent=True,
    ),
    Score("width", "width", None, None, "Mean half-width of the 90 % interval."),
)  # fmt: skip

KINDS = {
    "cloud": "gaps in the shape of real clouds",
    "missing": "dates hidden whole",
    "consecutive": "several dates in a row hidden whole",
    "first": "the first date hidden whole",
    "last": "the last date hidden whole",
}
"""What the kinds of cases are, in words."""

METHODS = {
    "linear": "linear interpolation",
    "nearest": "the nearest date",
    "median": "the median of the other dates",
    "prior": "the prior (regression on the other dates)",
    "network": "the network",
    "geot2t": "geot2t (what its self-check chose)",
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
    """Digits after the point that show three significant digits of the largest value."""
    largest = max((abs(v) for v in values if v is not None), default=0)
    return 0 if largest == 0 else min(max(2 - math.floor(math.log10(largest)), 0), 8)


def written(value: float | None, digits: int, *, percent: bool = False) -> str:
    """A number for people to read, with a real minus; a dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001
    text = f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%" if percent else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(tree: Any) -> tuple[float, float] | None:
    """``low`` and ``high`` of a summary; None unless both are known."""
    low, high = found(tree, "low"), found(tree, "high")
    return None if low is None or high is None else (low, high)


def methods_of(results: Mapping[str, Any]) -> list[str]:
    """Names of the methods, in the order of the results."""
    return [str(name) for name in results.get("methods") or ()]


def kinds_of(results: Mapping[str, Any]) -> list[str]:
    """Kinds of cases that were run, those that are known first."""
    there = list(results.get("summary") or {})
    return [k for k in KINDS if k in there] + [k for k in there if k not in KINDS]
