"""Small pictures of a comparison, gathered while it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geot2t.difference.stream import CHANGE, NO_DATA, NOT_JUDGED, Compared
from geot2t.grid import Box
from geot2t.report.change import Look
from geot2t.sensors import band_at

SIDE = 720
"""Greatest side of a picture in pixels."""

COLOURS = {
    "natural colours": ((0.66, 0.05), (0.56, 0.05), (0.485, 0.05)),
    "short-wave infrared, near infrared, red": ((2.2, 0.15), (0.85, 0.06), (0.66, 0.05)),
}
"""Wavelengths shown as red, green and blue, in micrometres, and how far a band may be off."""

BRIGHTER = 0.6
"""Power of the contrast: vegetation and water are dark where roofs are white."""

PAINT = {CHANGE: (226, 52, 44), NOT_JUDGED: (236, 200, 70), NO_DATA: (128, 128, 128)}
"""Colours of the mask over the date after, which is shown dimmed."""


class Album:
    """Every few pixels of a comparison; memory does not grow with the scene.

    Parameters
    ----------
    extent : Box
        All of the scene.
    wavelengths : sequence of float
        Of its bands, in micrometres, NaN where unknown.
    """

    def __init__(self, extent: Box, wavelengths: Sequence[float] | NDArray[np.floating]) -> None:
        self._step = max(-(-max(extent.height, extent.width) // SIDE), 1)
        size = (-(-extent.height // self._step), -(-extent.width // self._step))
        self._looks = looks(wavelengths)
        self._bands = sorted({b for bands in self._looks.values() for b in bands})
        self._dates = np.full((3, len(self._bands), *size), np.nan, "float32")
        self._mask = np.full(size, NO_DATA, "uint8")

    def add(self, block: Compared) -> None:
        """Take what a picture shows of ``block``."""
        step, box = self._step, block.box
        row, col = -box.row % step, -box.col % step
        if row >= box.height or col >= box.width:
            return
        mask = block.mask[row::step, col::step]
        top, left = (box.row + row) // step, (box.col + col) // step
        there = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        self._mask[there] = mask
        for i, date in enumerate(block.dates):
            self._dates[i][:, *there] = date[self._bands][:, row::step, col::step]

    def pictures(self) -> list[Look]:
        """Before, after and expected in all colours there are, and the mask."""
        shown: list[Look] = []
        backdrop = None
        names = ("before", "after", "expected without an event")
        for colours, bands in self._looks.items():
            dates = self._dates[:, [self._bands.index(b) for b in bands]]
            seen = self._mask != NO_DATA
            values = dates[:, :, seen] if seen.any() else dates.reshape(*dates.shape[:2], -1)
            low, high = np.nanpercentile(values, (1, 99), axis=(0, 2))[..., None, None]
            for name, date in zip(names, dates, strict=True):
                scaled = np.clip((date - low) / np.maximum(high - low, 1e-9), 0, 1)
                pixels = (255 * np.nan_to_num(scaled) ** BRIGHTER).astype("uint8")
                shown.append(Look(name, colours, np.moveaxis(pixels, 0, -1)))
            backdrop = shown[1].pixels if backdrop is None else backdrop
        assert backdrop is not None  # noqa: S101  there is always some look
        grey = backdrop.mean(-1, keepdims=True).repeat(3, -1) * 0.6 + 40
        for value, colour in PAINT.items():
            grey[self._mask == value] = colour
        return [*shown, Look("change", "", grey.astype("uint8"))]


def looks(wavelengths: Sequence[float] | NDArray[np.floating]) -> dict[str, list[int]]:
    """For each choice of colours the bands that show them; the first bands if none is known."""
    count, found = len(wavelengths), {}
    for name, colours in COLOURS.items():
        bands = [band_at(wavelengths, at, within) for at, within in colours]
        known = [b for b in bands if b is not None]
        if len(set(known)) == 3:
            found[name] = known
    if not found:
        found["the first bands"] = [2, 1, 0] if count >= 3 else [0, 0, 0]
    return found
