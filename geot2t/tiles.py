"""Training windows: drawn from folders of GeoTIFFs, with real cloud shapes hidden from view.

Only observed pixels teach. A window's target date keeps the gaps it has; a cloud's shape is
laid over what was observed of it, and the network has to say what is under that shape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from geot2t.clouds import CloudShapes
from geot2t.errors import InputError
from geot2t.fill import Around
from geot2t.generator import Evidence
from geot2t.grid import Box
from geot2t.model import evidence_of, padded
from geot2t.places import Place
from geot2t.prior import Prior, estimate_prior

SIZES = (64, 128, 96, 128)
"""Window sides, in pixels, in the order in which samples take them."""

WIDE = 256
"""Sides up to which the prior sees more than the window, as it does when scenes are filled: one
learnt on little makes other errors than one learnt on much."""

_TRIES = 20


class Sample(NamedTuple):
    """One window whose target date is partly hidden; the batch axis has length 1."""

    evidence: Evidence
    """What the generator sees."""

    truth: Tensor
    """Target date ``(1, b, y, x)``."""

    weight: Tensor
    """1 where hidden and surely observed, else 0, ``(1, 1, y, x)``."""

    code: Tensor | None = None
    """What stands for its class, ``(1, k)``, if samples have one."""


class Window(NamedTuple):
    """A window as it was drawn, before anything is estimated; date 0 is the target.

    The batch axis has length 1.
    """

    pixels: Tensor
    """Observed values ``(1, t, b, y, x)``; 0 where not valid."""

    valid: Tensor
    """True where observed and not hidden, bool ``(1, t, y, x)``."""

    days: Tensor
    """Acquisition dates, days since 1970-01-01, ``(t,)``."""

    around: tuple[Tensor, Tensor] | None
    """What was observed elsewhere, as `estimate_prior` takes it."""

    wavelengths: Tensor
    """Micrometres, NaN where unknown, ``(b,)``."""

    truth: Tensor
    """Target date ``(1, b, y, x)``."""

    weight: Tensor
    """1 where hidden and surely observed, else 0, ``(1, 1, y, x)``."""

    cut: tuple[slice, slice]
    """The square that makes a sample; it may overhang."""

    @torch.inference_mode()
    def sample(self, frames: int, estimate: Callable[..., Prior] = estimate_prior) -> Sample:
        """What a generator of ``frames`` frames learns from, if it is told what ``estimate`` says.

        ``estimate`` is called as `estimate_prior` is.
        """
        seen = self.pixels, self.valid, self.days, 0
        prior = estimate(*seen, around=self.around)
        evidence = evidence_of(prior, *seen, self.wavelengths, frames)
        size = self.cut[0].stop - self.cut[0].start
        y, x = self.weight.shape[-2:]
        more = (0, max(size - x, 0), 0, max(size - y, 0))
        return Sample(
            _cropped(padded(evidence, size), self.cut),
            F.pad(self.truth, more)[..., *self.cut],
            F.pad(self.weight, more)[..., *self.cut],
        )


class Windows(Dataset[Sample]):
    """Endless training samples; sample ``i`` depends on the seed and ``i`` alone.

    Parameters
    ----------
    places : sequence of (Place, Box)
        Where windows may lie.
    shapes : CloudShapes
        What to hide.
    frames : int
        Frames of the generator.
    seed : int
        Seed of all draws.
    sizes : sequence of int
        Window sides; sample ``i`` has side ``sizes[i % len(sizes)]``.
    bands : int
        Most bands of a sample; fewer are drawn as well.
    dates : int or None
        Most other dates; fewer are drawn as well. None: always all.
    estimate : callable
        What the generator is told to start from; called as `estimate_prior` is.
    favour : float
        How much long series are favoured: places are drawn with their dates to this power.
    """

    def __init__(
        self,
        places: Sequence[tuple[Place, Box]],
        shapes: CloudShapes,
        *,
        frames: int,
        seed: int,
        sizes: Sequence[int] = SIZES,
        bands: int = 4,
        dates: int | None = 16,
        estimate: Callable[..., Prior] = estimate_prior,
        favour: float = 1.75,
    ) -> None:
        self._places, self._shapes, self._estimate = places, shapes, estimate
        self._frames, self._seed, self._sizes = frames, seed, sizes
        self._bands, self._dates = bands, dates
        # Long series teach most, but places with a single date are far more diverse.
        weight = np.array([min(place.times, 12) ** favour for place, _ in places])
        self._weight = weight / weight.sum()

    def __getitem__(self, index: int) -> Sample:
        """Draw sample ``index``."""
        return self.window(index).sample(self._frames, self._estimate)

    def window(self, index: int) -> Window:
        """The window from which sample ``index`` is made.

        Raises
        ------
        InputError
            If too little was observed of the places.
        """
        rng = np.random.default_rng([self._seed, index])
        size = self._sizes[index % len(self._sizes)]
        for _ in range(_TRIES):
            place, area = self._places[rng.choice(len(self._places), p=self._weight)]
            if (window := self._draw(rng, place, area, size)) is not None:
                return window
        raise InputError(
            f"{_TRIES} windows in a row had too few observed pixels to learn from; "
            "check the masks of the tiles with geot2t info"
        )

    def _draw(self, rng: np.random.Generator, place: Place, area: Box, size: int) -> Window | None:
        height, width = (min(WIDE, n) for n in (area.height, area.width))
        box = Box(
            area.row + int(rng.integers(area.height - height + 1)),
            area.col + int(rng.integers(area.width - width + 1)),
            height,
            width,
        )
        block = place.read(box)
        valid = block.valid
        targets = np.flatnonzero((valid.mean((1, 2)) > 0.3) & place.teaches)
        if not len(targets):
            return None
        target = int(rng.choice(targets))
        seen = valid[target]
        around: Around | None = place.around(box, area, target)
        fate = rng.random()
        if fate < 0.12:  # nothing of the date was observed, or nothing of it here
            hidden = seen.copy()
            around = None if fate < 0.06 else around
        else:
            hidden = self._shapes.sample(rng, height, width, share=(0.05, 0.7)) & seen
        # Masks miss the soft edges of clouds; what lies close to them is no truth.
        sure = ndimage.binary_erosion(seen, iterations=3, border_value=1)
        weight = hidden & sure
        if weight.sum() < 64:
            return None
        cut = _cut(rng, weight, size)
        if weight[cut].sum() < 64:
            return None
        keep = self._others(rng, block.days, target)
        most = min(len(place.wavelengths), self._bands)
        count = most if rng.random() < 0.6 else int(rng.integers(1, most + 1))
        chosen = rng.permutation(len(place.wavelengths))[:count]
        pixels = block.pixels[keep][:, chosen]
        level = pixels[0][:, *cut][:, weight[cut]]  # (b, hidden)
        if (np.ptp(level, 1) <= 1e-3 * np.abs(level).mean(1)).any():  # flat: nothing to learn
            return None
        seen_of = valid[keep].copy()
        seen_of[0] = seen & ~hidden
        truth = torch.from_numpy(pixels[:1].copy())
        more = None
        if around is not None and rng.random() < 0.7:  # else as for a scene of one window
            more = (
                torch.from_numpy(around.pixels[keep][:, chosen])[None],
                torch.from_numpy(around.valid[keep])[None],
            )
        if not seen_of.any() and (more is None or not more[1].any()):
            return None  # of nothing, nothing can be made
        return Window(
            torch.from_numpy(pixels * seen_of[:, None])[None],
            torch.from_numpy(seen_of)[None],
            torch.from_numpy(block.days[keep]),
            more,
            torch.from_numpy(
                place.wavelengths[chosen]
                if rng.random() < 0.8
                else np.full(len(chosen), np.nan, "float32")
            ),
            truth,
            torch.from_numpy(weight).float()[None, None],
            cut,
        )

    def _others(
        self, rng: np.random.Generator, days: NDArray[np.float32], target: int
    ) -> list[int]:
        """The target's index, then those of the dates that are shown with it, in time."""
        others = [i for i in range(len(days)) if i != target]
        if self._dates is None:
            return [target, *others]
        if not others or rng.random() < 0.1:
            return [target]
        most = min(len(others), self._dates)
        # A user's series is mostly long; what a few dates give must be learnt as well.
        short = rng.random() < 0.4
        count = min(int(np.exp(rng.uniform(0.5, np.log(most + 1.5)))), most) if short else most
        others.sort(key=lambda i: abs(float(days[i] - days[target])))
        near = others[: 2 * count] if rng.random() < 0.7 else others
        return [target, *sorted(rng.choice(near, count, replace=False).tolist())]


def _cut(rng: np.random.Generator, weight: NDArray[np.bool_], size: int) -> tuple[slice, slice]:
    """A window of ``weight (y, x)`` that holds a pixel drawn from those that count.

    It starts inside, and overhangs only what is smaller than itself.
    """
    at = np.argwhere(weight)[int(rng.integers(np.count_nonzero(weight)))]
    most = np.maximum(np.array(weight.shape) - size, 0)
    row, col = np.clip(at - rng.integers(size, size=2), 0, most).tolist()
    return slice(row, row + size), slice(col, col + size)


def _cropped(evidence: Evidence, cut: tuple[slice, slice]) -> Evidence:
    """``evidence`` of a part of its windows."""
    parts = {f.name: getattr(evidence, f.name) for f in dataclasses.fields(Evidence)}
    return Evidence(**{k: v[..., *cut] if v.dim() > 2 else v for k, v in parts.items()})


def batch_of(
    samples: Sequence[Sample],
    bands: int,
    rng: np.random.Generator,
    device: torch.device,
    part: slice = slice(None),
) -> Sample:
    """Stack samples of one size, each turned at random, with ``bands`` of their bands.

    Frames that a sample lacks are added as empty ones. Turning and mirroring change neither
    colours nor their relation, which photographic augmentations would. Only ``part`` of the
    batch is made, just as it is in the whole of it.
    """
    frames = max(s.evidence.days.shape[1] for s in samples)
    parts: list[Sample] = []
    drawn = [(s, rng.permutation(s.truth.shape[1])[:bands], rng.integers(8)) for s in samples]
    for sample, order, way in drawn[part]:
        pick, turn = torch.from_numpy(order), _turn(int(way))
        e = sample.evidence
        more = frames - e.days.shape[1]

        def framed(x: Tensor, fill: float = 0.0, *, more: int = more) -> Tensor:
            if not more:
                return x
            return torch.cat([x, x.new_full((1, more, *x.shape[2:]), fill)], 1)

        prior = e.prior[:, pick]
        doubt = e.prior_scale[:, pick]
        empty = prior.unsqueeze(1).expand(-1, more, -1, -1, -1)
        empty_doubt = doubt.unsqueeze(1).expand(-1, more, -1, -1, -1)
        parts.append(
            Sample(
                Evidence(
                    prior=turn(prior),
                    prior_scale=turn(doubt),
                    images=turn(framed(e.images[:, :, pick])),
                    fitted=turn(torch.cat([e.fitted[:, :, pick], empty], 1)),
                    fitted_scale=turn(torch.cat([e.fitted_scale[:, :, pick], empty_doubt], 1)),
                    valid=turn(framed(e.valid)),
                    days=framed(e.days),
                    season=e.season,
                    wavelengths=e.wavelengths[:, pick],
                ),
                turn(sample.truth[:, pick]),
                turn(sample.weight),
                sample.code,
            )
        )

    def together(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(tensors)).to(device, non_blocking=True)

    evidence = {
        field.name: together(getattr(part.evidence, field.name) for part in parts)
        for field in dataclasses.fields(Evidence)
    }
    truth = together(part.truth for part in parts)
    codes = [part.code for part in parts if part.code is not None]
    return Sample(
        Evidence(**evidence),
        truth,
        together(part.weight for part in parts),
        together(codes) if codes else None,
    )


def drawn_batch(
    pool: Sequence[Sample],
    windows: int,
    rng: np.random.Generator,
    device: torch.device,
    *,
    sizes: Sequence[int] = SIZES,
    most: int = 3,
    place: tuple[int, int] = (0, 1),
) -> Sample:
    """Samples of one size and up to ``most`` bands, as many as cost what ``windows`` of 96 px do.

    Of these the share of one process; ``place`` is its number and how many there are.
    """
    size = int(rng.choice(sizes))
    alike = [s for s in pool if s.truth.shape[-1] == size] or list(pool)[-1:]
    size = alike[0].truth.shape[-1]
    bands = int(rng.integers(1, most + 1))
    alike = [s for s in alike if s.truth.shape[1] >= bands] or alike
    rank, processes = place
    count = max(2, processes, round(windows * (96 / size) ** 2 * 2 / bands))
    picked = [alike[i] for i in rng.integers(len(alike), size=count)]
    bands = min(bands, *(s.truth.shape[1] for s in picked))
    part = slice(count * rank // processes, count * (rank + 1) // processes)
    return batch_of(picked, bands, rng, device, part)


def _turn(way: int) -> Callable[[Tensor], Tensor]:
    """One of the eight turns and mirrorings of a square."""

    def turn(x: Tensor) -> Tensor:
        x = torch.rot90(x, way % 4, (-2, -1))
        return x.flip(-1) if way >= 4 else x

    return turn
