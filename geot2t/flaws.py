"""Flaws that no ground has: what the critic is taught by, and what a realism score must find.

Every flaw takes normalised windows ``(n, b, y, x)`` and gives them back with something wrong in
them. Where is decided by the caller: `flawed` lays flaws over a part of each window.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import dctn, idctn
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
"""Side of a compression block in pixels."""


def foreign(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Another place: the next window of the batch, or this one turned round if it is alone."""
    if len(windows) > 1:
        return windows.roll(int(rng.integers(1, len(windows))), 0)
    return windows.flip(-1, -2)


def stripes(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Rows or columns of uneven gain, as of detectors that are not equal."""
    n, b, y, x = windows.shape
    period = int(rng.integers(1, 6))
    steps = rng.normal(size=(n, b, -(-max(y, x) // period))).repeat(period, -1)
    strength = rng.uniform(0.15, 0.5)
    lines = torch.from_numpy(steps * strength).to(windows)
    if rng.integers(2):
        return windows + lines[..., :y, None]
    return windows + lines[..., None, :x]


def blur(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """A mean over 3 to 9 pixels, twice."""
    side = 2 * int(rng.integers(1, 5)) + 1
    for _ in range(2):
        padded = F.pad(windows, [side // 2] * 4, mode="reflect")
        windows = F.avg_pool2d(padded, side, 1)
    return windows


def band_shift(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """One band that lies some pixels beside the others; a lone band against itself."""
    row, col = 0, 0
    while not row and not col:
        row, col = (int(v) for v in rng.integers(-4, 5, size=2))
    moved = windows.roll((row, col), (-2, -1))
    if windows.shape[1] == 1:
        return (windows + moved) / 2  # a double picture
    out = windows.clone()
    band = int(rng.integers(windows.shape[1]))
    out[:, band] = moved[:, band]
    return out


def blocks(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Compression in blocks: the cosine transform of each, coarsely rounded.

    As JPEG does with photographs (Wallace 1992, "The JPEG still picture compression standard",
    doi:10.1109/30.125072), with a rounding step that grows with the frequency.
    """
    y, x = windows.shape[-2:]
    row, col = (int(v) for v in rng.integers(BLOCK, size=2))
    image = F.pad(windows, (col, -(x + col) % BLOCK, row, -(y + row) % BLOCK), mode="replicate")
    n, b, height, width = image.shape
    cut = image.cpu().numpy().reshape(n, b, height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    frequency = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    step = rng.uniform(0.4, 1.5) * (0.5 + 0.5 * frequency)[:, None, :]
    waves = dctn(cut, axes=(3, 5), norm="ortho")
    out = idctn(np.rint(waves / step) * step, axes=(3, 5), norm="ortho").reshape(image.shape)
    out = out[..., row : row + y, col : col + x].astype("float32")
    return torch.from_numpy(out).to(windows.device)


FLAWS = {
    "foreign patch": foreign,
    "stripes": stripes,
    "blur": blur,
    "band shift": band_shift,
    "compression": blocks,
}
"""Every flaw by its name."""


def flawed(
    windows: Tensor, where: Tensor, rng: np.random.Generator, flaw: str | None = None
) -> Tensor:
    """Lay a flaw over the part ``where (n, 1, y, x)`` of each window; a random one by default."""
    name = flaw or list(FLAWS)[int(rng.integers(len(FLAWS)))]
    return torch.where(where, FLAWS[name](windows, rng), windows)
