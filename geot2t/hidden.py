"""What the self-check hides of a scene: observed pixels under its own gap shapes, moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geot2t.fill import Block, Float, Source
from geot2t.grid import Box, lattice

_SCANNED = 48

Bool = NDArray[np.bool_]
Shapes = Callable[[np.random.Generator, int, int], Bool]


@dataclass(frozen=True, slots=True)
class HiddenPixels:
    """A window with some of its observed pixels hidden."""

    box: Box
    hidden: Bool  # (y, x)

    def shown(self, block: Block, target: int) -> tuple[Block, int]:
        """What the methods see of ``block``, and which of its dates they predict."""
        pixels, valid = block.pixels.copy(), block.valid.copy()
        valid[target] &= ~self.hidden
        pixels[target][:, self.hidden] = 0
        # What lies around is outside the box, and so nothing that was hidden.
        return Block(pixels, valid, block.days, block.box, block.around), target

    def truth(self, block: Block, target: int) -> Float:
        """The date as it was observed, ``(band, y, x)``."""
        out: Float = block.pixels[target]
        return out


def _library_shape(rng: np.random.Generator, height: int, width: int) -> Bool:
    from geot2t.clouds import CloudShapes  # read only where a scene has no gap of its own

    return CloudShapes.load().sample(rng, height, width, share=(0.05, 0.4))


def windows_read(extent: Box, *, size: int, overlap: int, seed: int) -> list[Box]:
    """The windows of a scene among which `find_cases` chooses."""
    return _scanned(extent, size, overlap, np.random.default_rng(seed))[0]


def _scanned(
    extent: Box, size: int, overlap: int, rng: np.random.Generator
) -> tuple[list[Box], int]:
    """Windows to choose from, and how many the scene has."""
    windows = list(lattice(extent, extent, size=size, overlap=overlap))
    count = len(windows)
    if count > _SCANNED:
        windows = [windows[i] for i in sorted(rng.choice(count, _SCANNED, replace=False))]
    return windows, count


def find_cases(
    source: Source,
    *,
    size: int,
    overlap: int,
    seed: int,
    cases: int | None = None,
    shapes: Shapes | None = None,
) -> list[HiddenPixels]:
    """Windows with observed pixels hidden under gap shapes that come from elsewhere.

    Only `Source.read_target` is called, for the boxes of `windows_read`; see `self_check`.
    """
    shapes = shapes or _library_shape
    rng = np.random.default_rng(seed)
    windows, count = _scanned(source.extent, size, overlap, rng)
    if cases is None:
        cases = min(max(count // 20, 8), 24)
    seen = [source.read_target(window)[1] for window in windows]
    share = np.array([s.mean() for s in seen])
    usable = np.flatnonzero(share * seen[0].size >= min(256, 0.2 * seen[0].size))
    if not usable.size:
        return []
    # The better half: windows with little left to learn from say little of the scene.
    best = usable[np.argsort(-share[usable], kind="stable")][: max(cases, usable.size // 2)]
    donors = [~s for s, part in zip(seen, share, strict=True) if 0.1 < part < 0.98]

    found = []
    for i in np.resize(rng.permutation(best), cases).tolist():
        hidden = _hide(seen[i], donors, shapes, rng)
        if hidden is not None:
            found.append(HiddenPixels(windows[i], hidden))
    return found


def _hide(
    seen: Bool, donors: Sequence[Bool], shapes: Shapes, rng: np.random.Generator
) -> Bool | None:
    """Observed pixels under a moved gap: some of them, but not most; None if none will do."""
    count = int(seen.sum())
    least, most = max(16, 0.02 * count), 0.6 * count
    for attempt in range(24):
        own = len(donors) > 0 and attempt < 16
        shape = donors[int(rng.integers(len(donors)))] if own else shapes(rng, *seen.shape)
        hidden = _moved(shape, rng) & seen
        if least <= hidden.sum() <= most:
            return hidden
    return None


def _moved(shape: Bool, rng: np.random.Generator) -> Bool:
    """Mirror and shift a shape at random; what leaves on one side returns on the other."""
    if rng.integers(2):
        shape = shape[::-1]
    if rng.integers(2):
        shape = shape[:, ::-1]
    if shape.shape[0] == shape.shape[1] and rng.integers(2):
        shape = shape.T
    shift = [int(rng.integers(n)) for n in shape.shape]
    return np.roll(shape, shift, (0, 1))
