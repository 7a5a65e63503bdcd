"""What others do with a gap: other dates taken, interpolated or smoothed, or space interpolated.

They are what better methods are measured against, what is used where those fail, and what
`geot2t inpaint --method NAME` uses alone. Each is a `geot2t.fill.Predict`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from geot2t.baselines.curves import harmonic, whittaker
from geot2t.baselines.dates import following, least_cloudy, linear, median, nearest, previous
from geot2t.baselines.space import biharmonic, check_installed, fillnodata
from geot2t.fill import Float, Prediction

Baseline = Callable[[Float, NDArray[np.bool_], Float, int], Prediction]

TEMPORAL: dict[str, Baseline] = {
    "linear": linear,
    "nearest": nearest,
    "previous": previous,
    "next": following,
    "median": median,
    "least-cloudy": least_cloudy,
    "harmonic": harmonic,
    "whittaker": whittaker,
}
"""Those that look at other dates only."""

SPATIAL: dict[str, Baseline] = {"fillnodata": fillnodata, "biharmonic": biharmonic}
"""Those that look at the target date only."""

METHODS: dict[str, Baseline] = TEMPORAL | SPATIAL
"""Every baseline by the name that tables and the command line give it."""

__all__ = [
    "METHODS",
    "SPATIAL",
    "TEMPORAL",
    "Baseline",
    "biharmonic",
    "check_installed",
    "fillnodata",
    "following",
    "harmonic",
    "least_cloudy",
    "linear",
    "median",
    "nearest",
    "previous",
    "whittaker",
]
