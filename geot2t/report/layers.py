"""The pictures of a filled scene: before, after, how far off, and where from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import RasterReadError
from geot2t.io.encode import is_nodata
from geot2t.io.thumbnail import thumbnail

BRIGHTER = 0.6
"""Power of the contrast: vegetation and water are dark where roofs are white."""

CLASSES = {
    0: ("not filled", (192, 57, 43)),
    1: ("observed", (214, 219, 225)),
    2: ("predicted from other dates", (47, 127, 196)),
    3: ("predicted from surroundings only", (224, 160, 48)),
}
"""Name and colour of the values of the band ``provenance``."""

RAMP = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], "float64"
)
"""Colours from no error to the greatest, alike to the eye at equal steps (viridis)."""

OBSERVED, UNKNOWN, HIDDEN = (214, 219, 225), (128, 128, 128), (255, 255, 255)

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layers:
    """Pictures of one scene, all of the same size, ``(y, x, 3)``."""

    before: Rgb | None
    """The scene as it was; None if it is not to be had any more."""

    observed: Rgb
    """The filled scene where it was observed, white elsewhere."""

    after: Rgb
    """The filled scene, grey where it was not filled."""

    provenance: Rgb
    """In the colours of `CLASSES`."""

    error: Rgb | None
    """Half-widths of the band with the least certain values; None if they were not written."""

    greatest: float
    """The error that has the last colour, in file units."""

    step: int
    """Pixels of the scene for each pixel shown, along either axis."""


def layers(
    files: Mapping[str, Path], scene: Path | None, bands: Sequence[int], nodata: float | None
) -> Layers:
    """Read what is to be shown.

    Parameters
    ----------
    files : mapping of str to Path
        The outputs ``filled``, ``quality`` and perhaps ``error``.
    scene : Path, optional
        The scene that was filled.
    bands : sequence of int
        Indices of the bands to be shown as red, green and blue.
    nodata : float, optional
        Value that marks missing data.

    Raises
    ------
    RasterReadError
        If an output cannot be read.
    """
    filled, step = thumbnail(files["filled"], list(bands))
    provenance = thumbnail(files["quality"], [0])[0][0]
    seen = provenance == 1
    stretch = _Stretch(filled, seen if seen.any() else provenance > 0)
    after = stretch(filled)
    after[provenance == 0] = UNKNOWN
    observed = after.copy()
    observed[~seen] = HIDDEN
    before = None
    if scene is not None:
        try:
            stored = thumbnail(scene, list(bands))[0]
        except RasterReadError:
            stored = None
        if stored is not None and stored.shape == filled.shape:
            before = stretch(stored)
            before[np.any([is_nodata(band, nodata) for band in stored], axis=0)] = UNKNOWN
    classes = np.zeros((256, 3), "uint8")
    for value, (_, colour) in CLASSES.items():
        classes[value] = colour
    error, greatest = _errors(files.get("error"), list(bands), provenance)
    return Layers(before, observed, after, classes[provenance], error, greatest, step)


def _errors(
    path: Path | None, bands: list[int], provenance: NDArray[np.uint8]
) -> tuple[Rgb | None, float]:
    predicted = provenance >= 2
    if path is None or not predicted.any():
        return None, 0.0
    half = np.nan_to_num(thumbnail(path, bands)[0]).max(0)  # (y, x)
    greatest = float(np.quantile(half[predicted], 0.98)) or 1.0
    at = np.clip(half / greatest, 0, 1) * (len(RAMP) - 1)
    steps = np.arange(len(RAMP))
    out: Rgb = np.stack([np.interp(at, steps, colour) for colour in RAMP.T], -1).astype("uint8")
    out[provenance == 1] = OBSERVED
    out[provenance == 0] = UNKNOWN
    return out, greatest


class _Stretch:
    """The contrast of what was observed, band by band."""

    def __init__(self, pixels: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        values = pixels[:, seen].astype("float64")
        if not values.size:
            values = np.zeros((len(pixels), 1))
        with np.errstate(invalid="ignore"):
            low, high = np.nanpercentile(values, (1, 99), axis=1)[..., None, None]
        self._low, self._spread = np.nan_to_num(low), np.nan_to_num(high - low)
        self._spread[self._spread <= 0] = 1

    def __call__(self, pixels: NDArray[Any]) -> Rgb:
        finite = np.nan_to_num(pixels.astype("float64"))
        shown = np.clip((finite - self._low) / self._spread, 0, 1)
        out: Rgb = np.moveaxis(255 * shown**BRIGHTER, 0, -1).astype("uint8")
        return out
