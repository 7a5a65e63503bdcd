"""Cases to look at: the gap, the truth and the fills, in natural colours where there are some."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geot2t.evaluation.scoring import Truth
from geot2t.fill import Float
from geot2t.grid import Box, lattice
from geot2t.sensors import natural_colours

SIDE = 240
"""Greatest side of a picture in pixels: doubled, two of them stand beside each other."""

BRIGHTER = 0.6
"""Power of the contrast: vegetation and water are dark where roofs are white."""

_GAP, _UNKNOWN = 255, 128


class Studio:
    """Pictures of one case, all of the same cut and contrast.

    Parameters
    ----------
    truth : Truth
    wavelengths : ndarray, shape ``(band,)``
        Micrometres, NaN where unknown.
    """

    def __init__(self, truth: Truth, wavelengths: NDArray[np.floating]) -> None:
        self._truth, self._cut = truth, _best_cut(truth)
        self._bands = natural_colours(wavelengths)
        values = truth.pixels[self._bands][:, truth.valid]
        low, high = np.percentile(values, (1, 99), axis=1)[..., None, None]
        self._low, self._spread = low, np.maximum(high - low, 1e-6)

    def truth(self) -> NDArray[np.uint8]:
        """The date as it was, grey where it was not observed."""
        return self._picture(self._truth.pixels, ~self._truth.valid, _UNKNOWN)

    def scene(self) -> NDArray[np.uint8]:
        """The date as the methods saw it, white where something is hidden."""
        out = self._picture(self._truth.pixels, ~self._truth.valid, _UNKNOWN)
        out[(self._truth.valid & ~self._truth.seen)[self._cut]] = _GAP
        return out

    def fill(self, pixels: Float) -> NDArray[np.uint8]:
        """What a method made of it, ``pixels (band, y, x)``."""
        return self._picture(pixels, np.zeros_like(self._truth.valid), 0)

    def _picture(self, pixels: Float, where: NDArray[np.bool_], value: int) -> NDArray[np.uint8]:
        shown = np.clip((pixels[self._bands][:, *self._cut] - self._low) / self._spread, 0, 1)
        out: NDArray[np.uint8] = np.moveaxis(255 * shown**BRIGHTER, 0, -1).astype("uint8")
        out[where[self._cut]] = value
        return out


def _best_cut(truth: Truth) -> tuple[slice, slice]:
    """The part with most of a gap and of what lies around it."""
    whole = Box(0, 0, *truth.scored.shape)
    cuts = [box.slices for box in lattice(whole, whole, size=SIDE, overlap=SIDE // 2)]

    def shows(cut: tuple[slice, slice]) -> tuple[int, int]:
        scored, seen = (int(where[cut].sum()) for where in (truth.scored, truth.seen))
        return min(scored, seen), scored

    return max(cuts, key=shows)
