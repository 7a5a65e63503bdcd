"""What is said of a finished fill: shares of pixels, the self-check, and what to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from geot2t.calibrate import SelfCheck
from geot2t.intervals import LEVEL
from geot2t.io.sink import Outputs
from geot2t.io.stack import Stack
from geot2t.stream import FROM_DATES, FROM_SURROUNDINGS, NOT_FILLED, Tally


def statistics(tally: Tally) -> dict[str, float]:
    """Shares of the pixels by what became of them."""
    share = tally.provenance / tally.total
    return {
        "gap_fraction": tally.gap / tally.total,
        "filled_from_dates": float(share[FROM_DATES]),
        "filled_from_surroundings": float(share[FROM_SURROUNDINGS]),
        "not_filled": float(share[NOT_FILLED]),
    }


def describe_check(stack: Stack, check: SelfCheck | None) -> dict[str, Any] | str:
    """The self-check as JSON says it, errors in the units of the scene's file.

    Returns
    -------
    dict or str
        A sentence where no check was made.
    """
    if check is None:
        return "not needed: nothing was filled"
    if check.reason is not None:
        return f"not possible: {check.reason}"
    unit = np.abs(stack.scale)
    names = band_names(stack.names)
    return {
        "cases": check.cases,
        "hidden_pixels": check.pixels,
        **({"hidden_dates": check.dates} if check.dates else {}),
        "interval": LEVEL,
        "bands": [
            {
                "band": names[band],
                "method": method,
                "coverage": check.coverage[band],
                "errors": {
                    row.method: {
                        "mae": row.mae / unit[band],
                        "rmse": row.rmse / unit[band],
                        "bias": row.bias / unit[band],
                    }
                    for row in check.rows
                    if row.band == band
                },
            }
            for band, method in enumerate(check.methods)
        ],
    }


def band_names(names: Sequence[str]) -> list[str]:
    """Names of the bands; ``band N`` where the file gives none."""
    return [name or f"band {i}" for i, name in enumerate(names, 1)]


def warnings_of(
    stack: Stack, outputs: Outputs, tally: Tally, check: SelfCheck | None, *, missing: str = ""
) -> list[str]:
    """What the user should know, one sentence each.

    With ``missing``, it is of a date by that name, which the stack lacks.
    """
    said = list(dict.fromkeys([*stack.notes, *outputs.meta.notes]))
    filled = int(tally.provenance[FROM_DATES] + tally.provenance[FROM_SURROUNDINGS])
    left = int(tally.provenance[NOT_FILLED])
    if tally.gap == 0:
        said.append("no gap was found: the scene was copied")
    elif tally.gap == tally.total and not filled:
        alone = not missing and len(stack.dates) == 1
        remedy = "; give other dates with --series" if alone else ""
        where = f"on {missing}" if missing else f"in {stack.paths[stack.target]}"
        said.append(f"nothing was observed {where}, and nothing filled{remedy}")
    elif left:
        share = 100 * left / tally.total
        said.append(f"{share:.3g} % of the pixels could not be filled")
    if filled and check is not None and check.reason is not None:
        said.append(f"the self-check was not possible: {check.reason}")
    return said
