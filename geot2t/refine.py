"""Draws of the library, refined by the generator: what the library knows nothing of is its part.

A draw (`geot2t.ground`) has the levels, contrasts and sizes of ground, and shapes that no ground
has. The generator is told of a date of which nothing was observed, with the draw as its prior,
and corrects it as it corrects any prior. All is in logarithms of reflectance, as in the library.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geot2t.checkpoint import Model
from geot2t.generator import STRIDE, Evidence
from geot2t.grid import Box, lattice, ramp

WINDOW = 64
"""Side in pixels of the windows in which draws are refined, and learnt to be."""

OVERLAP = 32
"""Pixels that neighbouring windows share."""

_BATCH = 32
"""Windows of one band that are refined at once."""

Float = NDArray[np.float32]


def evidence_of_draws(logs: Tensor, season: Tensor, wavelengths: Tensor) -> Evidence:
    """What the generator is told of draws: all that is known of them is the draws themselves.

    Parameters
    ----------
    logs : Tensor
        Logarithms of drawn reflectances ``(n, b, y, x)``.
    season : Tensor
        Turn of the year ``(n,)``, NaN where unknown.
    wavelengths : Tensor
        Micrometres ``(n, b)``, NaN where unknown.
    """
    scale = (logs.std((2, 3), keepdim=True) + 1e-3).expand_as(logs)
    n, _, y, x = logs.shape
    return Evidence(
        prior=logs,
        prior_scale=scale,
        images=logs[:, None],
        fitted=logs[:, None],
        fitted_scale=scale[:, None],
        valid=logs.new_zeros((n, 1, y, x), dtype=torch.bool),
        days=logs.new_zeros((n, 1)),
        season=season,
        wavelengths=wavelengths,
    )


class Refiner:
    """Refines draws of any size, window by window.

    Parameters
    ----------
    model : Model
        One that was taught to; its generator is moved to ``device``.
    device : torch.device
        Where to compute.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self._generator, self._device = model.generator.to(device), device
        self.name, self.sha256 = model.name, model.sha256

    @torch.inference_mode()
    def __call__(
        self, draw: Float, wavelengths: Float, turn: float | None, rng: np.random.Generator
    ) -> Float:
        """Refine drawn reflectances ``(b, y, x)``.

        Windows overlap and share the noise of the places that both see; what each adds to the
        draw is blended, the draw itself never is.
        """
        logs = np.log(draw)
        y, x = draw.shape[1:]
        grown = [(0, max(-n % STRIDE, WINDOW - n)) for n in (y, x)]
        logs = np.pad(logs, [(0, 0), *grown], mode="symmetric")
        extent = Box(0, 0, *logs.shape[1:])
        cells = extent.height // STRIDE, extent.width // STRIDE
        noise = rng.standard_normal((*cells, self._generator.config.noise_dim), "float32")
        total, weight = np.zeros_like(logs), np.zeros(logs.shape[1:], "float32")
        ramped = ramp(WINDOW, OVERLAP)
        windows = list(lattice(extent, extent, size=WINDOW, overlap=OVERLAP))
        at_once = max(_BATCH // len(draw), 1)
        for i in range(0, len(windows), at_once):
            some = windows[i : i + at_once]
            parts = np.stack([logs[:, *w.slices] for w in some])
            sown = np.stack([noise[_cells(w)] for w in some])
            added = self._added(parts, sown, wavelengths, turn)
            for window, part in zip(some, added, strict=True):
                total[:, *window.slices] += part * ramped
                weight[window.slices] += ramped
        out: Float = np.exp(logs + total / weight)[:, :y, :x].astype("float32")
        return out

    def _added(self, logs: Float, noise: Float, wavelengths: Float, turn: float | None) -> Float:
        """What the generator adds to windows ``(n, b, y, x)``."""
        given = torch.from_numpy(logs).to(self._device)
        season = torch.full((len(logs),), np.nan if turn is None else turn)
        waves = torch.from_numpy(np.asarray(wavelengths, "float32")).expand(len(logs), -1)
        evidence = evidence_of_draws(given, season.to(given), waves.to(given))
        mean = self._generator(evidence, torch.from_numpy(noise).to(given)).mean
        out: Float = (mean - given).cpu().numpy()
        return out


def _cells(window: Box) -> tuple[slice, slice]:
    """Rows and columns of a window's tokens; windows start on the grid of these."""
    row, col = window.row // STRIDE, window.col // STRIDE
    side = WINDOW // STRIDE
    return slice(row, row + side), slice(col, col + side)
