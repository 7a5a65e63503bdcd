"""What is said of a finished comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from geot2t.difference.learn import Learnt
from geot2t.difference.stream import Comparison
from geot2t.io.stack import Stack
from geot2t.said import band_names


def found(
    stack: Stack, learnt: Learnt, comparison: Comparison, false_alarm: float
) -> dict[str, Any]:
    """What was found, as the item says it; errors in the units of the file."""
    unit, sums = np.abs(stack.scale), comparison.sums
    return {
        "area_ha": sums.hectares,
        "pixels": sums.pixels,
        "false_alarm": {
            "asked": false_alarm,
            "measured": learnt.measured,
            "held_out_pixels": learnt.held_out,
        },
        "event": learnt.null.event,
        "threshold": learnt.null.threshold,
        "bands": [
            {
                "band": name,
                "method": learnt.predict.methods[b],
                "median_error": {m: e[b] / unit[b] for m, e in learnt.errors.items()},
            }
            for b, name in enumerate(band_names(stack.names))
        ],
        "shadow_shift_px": [test.shift for test in comparison.cleared.tests],
        "dates_used": stack.dates,
        "observed_from": {
            path.name: list(sources)
            for path, sources in zip(stack.paths, stack.validity, strict=True)
        },
    }


def warnings_of(stack: Stack, learnt: Learnt, comparison: Comparison) -> list[str]:
    """What the user should know, one sentence each."""
    said = list(dict.fromkeys(stack.notes))
    pixels = comparison.sums.pixels
    judged = pixels["change"] + pixels["no_change"]
    if judged and pixels["change"] > 0.4 * judged:
        said.append(
            f"{100 * pixels['change'] / judged:.0f} % of what was judged has changed: where most "
            "of a scene changes, what is usual cannot be told; compare a larger part of the place"
        )
    if not judged:
        said.append("nothing was observed on both dates, and nothing judged")
    if learnt.measured is None:
        said.append("too few pixels to measure the rate of false alarms")
    if not comparison.sums.hectares:
        said.append("the raster has no place on Earth: areas are given in pixels")
    return said
