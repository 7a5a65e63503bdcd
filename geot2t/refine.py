"""Draws of the library, led to ground by the generator: what the library knows nothing of.

A draw (`geot2t.ground`) has the levels, contrasts and sizes of ground, and shapes that no ground
has. On a straight way from noise to a real window, the generator has learnt to say from any point
where the way ends (rectified flow: Liu, Gong & Liu 2023, arXiv:2209.03003; Lipman et al. 2023,
arXiv:2210.02747). A draw is mixed with noise, which leaves of it what is large, and led from there
to what might have been observed (as sketches are in Meng et al. 2022, "SDEdit", arXiv:2108.01073).
To the generator a point on the way is the prior of a date of which nothing was observed, and how
far it is still to go is the error expected of that prior.

Windows are logarithms of reflectance with mean 0 and spread 1 in each band. Level and contrast of a
draw are put back afterwards, and so are those of its class and season.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from geot2t.checkpoint import Model
from geot2t.generator import STRIDE, Evidence, Generator
from geot2t.grid import Box, lattice, ramp
from geot2t.ground import LEAST, named, shares_of

WINDOW = 64
"""Side in pixels of the windows in which draws are refined, and learnt to be."""

OVERLAP = 16
"""Pixels that neighbouring windows share."""

START = 0.5
"""Share of its way that a draw has come when it has been mixed with noise."""

STEPS = 8
"""Steps from there to ground."""

CODE = 22
"""Numbers that stand for what a window is to be: 16 for its class, 6 for its sizes of detail."""

CONDITIONS = 8 + CODE
"""Numbers that the generator is told in place of noise: 8 of how far a window has come, then those.
"""

_LOCAL = 20.0
"""Width, in pixels, of the surroundings whose mean and spread are taken out of a large draw."""

_BATCH = 24
"""Windows of one band that are refined at once."""

Float = NDArray[np.float32]


def code_of(kind: str | None, window: Float) -> Tensor:
    """What stands for a class and the sizes of detail of a normal window ``(b, y, x)``, ``(22,)``.

    Classes are told by numbers that follow from their names; all ground by zeros.
    """
    code = np.zeros(16, "float32")
    if kind is not None:
        seed = int.from_bytes(hashlib.sha256(named(kind).encode()).digest()[:8], "big")
        code = np.random.default_rng(seed).standard_normal(16, "float32")
    sizes = np.log(shares_of(window) + 1e-3) + 2
    return torch.from_numpy(np.concatenate([code, sizes.astype("float32")]))


def conditions(come: Tensor, code: Tensor, shape: tuple[int, int]) -> Tensor:
    """What the generator is told in place of noise, ``(n, *shape, CONDITIONS)``.

    Parameters
    ----------
    come : Tensor
        Share of its way that each window has come, ``(n,)``.
    code : Tensor
        What it is to be, ``(n, CODE)``.
    shape : tuple of int
        Rows and columns of tokens.
    """
    angle = come[:, None] * math.pi * 2.0 ** torch.arange(4, device=come.device)
    told = torch.cat([angle.sin(), angle.cos(), code.to(come)], 1)
    return told[:, None, None].expand(-1, *shape, -1)


def evidence_of(windows: Tensor, come: Tensor, season: Tensor, wavelengths: Tensor) -> Evidence:
    """What the generator is told of windows on their way.

    Parameters
    ----------
    windows : Tensor
        ``(n, b, y, x)``.
    come : Tensor
        Share of the way that each has come, ``(n,)``, below 1.
    season : Tensor
        Turn of the year ``(n,)``, NaN where unknown.
    wavelengths : Tensor
        Micrometres ``(n, b)``, NaN where unknown.
    """
    n, _, y, x = windows.shape
    left = (1 - come)[:, None, None, None].expand_as(windows)
    return Evidence(
        prior=windows,
        prior_scale=left,
        images=windows[:, None],
        fitted=windows[:, None],
        fitted_scale=left[:, None],
        valid=windows.new_zeros((n, 1, y, x), dtype=torch.bool),
        days=windows.new_zeros((n, 1)),
        season=season,
        wavelengths=wavelengths,
    )


def end_of(generator: Generator, evidence: Evidence, code: Tensor) -> Tensor:
    """Where the generator says that windows are going, ``(n, b, y, x)``."""
    come = 1 - evidence.prior_scale[:, 0, 0, 0]
    y, x = evidence.prior.shape[-2:]
    told = conditions(come, code, (y // STRIDE, x // STRIDE))
    return reached(evidence, generator(evidence, told).mean)[0]


def reached(evidence: Evidence, said: Tensor) -> tuple[Tensor, Tensor]:
    """The end of the way by what the generator said, and the error to be expected without it.

    The best share of what is seen, by spreads alone, is put before what the network adds (as in
    Karras et al. 2022, "Elucidating the design space of diffusion-based generative models",
    arXiv:2206.00364, section 5).
    """
    left = evidence.prior_scale
    come = 1 - left
    power = come**2 + left**2
    error = left / power.sqrt()
    return come / power * evidence.prior + error * (said - evidence.prior) / left, error


def led(
    generator: Generator, windows: Tensor, season: Tensor, wavelengths: Tensor, code: Tensor
) -> Tensor:
    """Lead windows ``(n, b, y, x)`` that have come `START` of their way to its end.

    The others as for `evidence_of` and `conditions`.
    """
    for come, step in way():
        share = windows.new_full((len(windows),), come)
        end = end_of(generator, evidence_of(windows, share, season, wavelengths), code)
        windows = windows + step * (end - windows)
    return windows


def way() -> Iterator[tuple[float, float]]:
    """Where each step is taken from, and its share of what is left of the way."""
    for i in range(STEPS):
        yield START + (1 - START) * i / STEPS, 1 / (STEPS - i)


class Refiner:
    """Leads draws of any size to ground.

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
        self,
        draw: Float,
        wavelengths: Float,
        turn: float | None,
        kind: str | None,
        rng: np.random.Generator,
    ) -> Float:
        """Refine drawn reflectances ``(b, y, x)``.

        Each step is taken in windows that overlap, and what they say is blended before the next,
        so that neighbours go the same way (Bar-Tal et al. 2023, "MultiDiffusion",
        arXiv:2302.08113).
        """
        y, x = draw.shape[1:]
        grown = [(0, max(-n % STRIDE, WINDOW - n)) for n in (y, x)]
        logs = np.pad(np.log(draw), [(0, 0), *grown], mode="symmetric")
        level, spread = _local(logs)
        state = ((logs - level) / spread).clip(-8, 8)
        season = torch.tensor([np.nan if turn is None else turn], dtype=torch.float32)
        waves = torch.from_numpy(np.asarray(wavelengths, "float32"))[None]
        told = [v.to(self._device) for v in (season, waves, code_of(kind, state)[None])]
        given = torch.from_numpy(state)[None]
        white = torch.from_numpy(rng.standard_normal(given.shape, "float32"))
        state = mixed(given, alike(given, white), torch.tensor([START]))[0].numpy()
        windows = list(
            lattice(box := Box(0, 0, *logs.shape[1:]), box, size=WINDOW, overlap=OVERLAP)
        )
        for come, step in way():
            state = state + step * (self._ends(state, windows, come, told) - state)
        out: Float = np.exp(level + spread * state)[:, :y, :x].clip(LEAST, 1.2).astype("float32")
        return out

    def _ends(self, state: Float, windows: list[Box], come: float, told: list[Tensor]) -> Float:
        """Where a whole image is going, from where each of its windows is."""
        total, weight = np.zeros_like(state), np.zeros_like(state[0])
        ramped = ramp(WINDOW, OVERLAP)
        at_once = max(_BATCH // len(state), 1)
        for i in range(0, len(windows), at_once):
            some = windows[i : i + at_once]
            parts = torch.from_numpy(np.stack([state[:, *w.slices] for w in some]))
            season, waves, code = (v.expand(len(some), *v.shape[1:]) for v in told)
            share = season.new_full((len(some),), come)
            evidence = evidence_of(parts.to(self._device), share, season, waves)
            ends = end_of(self._generator, evidence, code).cpu().numpy()
            for window, end in zip(some, ends, strict=True):
                total[:, *window.slices] += end * ramped
                weight[window.slices] += ramped
        blended: Float = (total / weight).astype("float32")
        return blended


def _local(logs: Float) -> tuple[Float, Float]:
    """Mean and spread of ``logs`` about each pixel; of all of them where there is one window."""
    if max(logs.shape[1:]) <= WINDOW:
        mean = logs.mean((1, 2), keepdims=True)
        return mean, logs.std((1, 2), keepdims=True) + 1e-3
    width = (0, _LOCAL, _LOCAL)
    level = gaussian_filter(logs, width, mode="reflect")
    power: Float = gaussian_filter((logs - level) ** 2, width, mode="reflect")
    return level, np.sqrt(power) + np.float32(1e-3)


def alike(windows: Tensor, white: Tensor) -> Tensor:
    """White noise, with as much in common between bands as normal windows ``(n, b, y, x)`` have."""
    flat = windows.flatten(2)
    values, vectors = torch.linalg.eigh(flat @ flat.mT / flat.shape[-1])
    root = vectors * values.clamp(min=0).sqrt()[:, None]
    return torch.einsum("nbk,nkyx->nbyx", root, white)


def mixed(windows: Tensor, noise: Tensor, come: Tensor) -> Tensor:
    """Points on the ways from noise to windows, of which each has come a share ``(n,)``."""
    share = come[:, None, None, None]
    return share * windows + (1 - share) * noise


def normal(logs: Tensor) -> Tensor:
    """Windows ``(n, b, y, x)`` with mean 0 and spread 1 in each band."""
    away = logs - logs.mean((2, 3), keepdim=True)
    return (away / (away.square().mean((2, 3), keepdim=True).sqrt() + 1e-3)).clamp(-8, 8)
