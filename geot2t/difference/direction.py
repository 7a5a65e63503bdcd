"""Which way a change went, where red, near and short-wave infrared are known.

By the normalised difference vegetation index (Rouse et al. 1974) and the normalised burn ratio
(Key & Benson 2006), each compared with what it would have been without the event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geot2t.difference.hidden import Bool
from geot2t.fill import Float
from geot2t.sensors import band_at

LEAST = 0.1
"""Change of an index that counts: severity of a burn begins there (Key & Benson 2006)."""

_INDICES = {"ndvi": (0.85, 0.66), "nbr": (0.85, 2.2)}
_SMALL = 1e-6


@dataclass(frozen=True, slots=True)
class Direction:
    """Indices that can be computed, each by its two bands."""

    bands: dict[str, tuple[int, int]]

    @classmethod
    def by(cls, wavelengths: Sequence[float]) -> Direction:
        """The indices for bands of these wavelengths, in micrometres."""
        found = {}
        for name, (first, second) in _INDICES.items():
            one, two = band_at(wavelengths, first, 0.06), band_at(wavelengths, second, 0.12)
            if one is not None and two is not None and one != two:
                found[name] = (one, two)
        return cls(found)

    def of(self, after: Float, expected: Float) -> dict[str, Bool]:
        """Where each index fell or rose, by ``<index>_loss`` and ``<index>_gain``."""
        out: dict[str, Bool] = {}
        for name, bands in self.bands.items():
            change = _index(after, *bands) - _index(expected, *bands)
            out[f"{name}_loss"], out[f"{name}_gain"] = change < -LEAST, change > LEAST
        return out


def _index(pixels: Float, one: int, two: int) -> Float:
    total = np.maximum(pixels[one] + pixels[two], _SMALL)
    return np.asarray((pixels[one] - pixels[two]) / total, "float32")
