"""Windows that are drawn once and kept: every network learns from, and is tried on, the same.

A window is stored with what a network is told of it, as safetensors. What was drawn is not drawn
again: a pool that was left half full is filled up.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from geot2t.baselines import fillnodata, linear
from geot2t.checkpoint import read_tensors, write_tensors
from geot2t.clouds import CloudShapes
from geot2t.errors import InputError
from geot2t.generator import STRIDE, Evidence
from geot2t.io.place import overlap
from geot2t.places import Place
from geot2t.prior import LOCAL, Prior
from geot2t.tiles import WIDE, Sample, Window, Windows


class Pool(Dataset[Sample]):
    """Samples in a folder; after the last one comes the first one again.

    Parameters
    ----------
    folder : Path
        Created where it does not exist.
    count : int
        Samples it holds.
    """

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / f"{i:05d}.safetensors" for i in range(count)]

    def __getitem__(self, index: int) -> Sample:
        """Read a sample."""
        tensors, _ = read_tensors(self._paths[index % len(self._paths)])
        evidence = Evidence(**{field.name: tensors[field.name] for field in fields(Evidence)})
        return Sample(evidence, tensors["truth"], tensors["weight"])

    def fill(self, source: Dataset[Sample], workers: int) -> None:
        """Draw from ``source`` what is missing."""
        missing = [i for i, path in enumerate(self._paths) if not path.exists()]
        if not missing:
            return
        drawn = DataLoader(source, batch_size=None, sampler=missing, num_workers=workers)
        title = f"drawing {self._paths[0].parent.name}"
        for i, sample in zip(missing, tqdm(drawn, title, len(missing)), strict=True):
            told = {field.name: getattr(sample.evidence, field.name) for field in fields(Evidence)}
            write_tensors(self._paths[i], told | {"truth": sample.truth, "weight": sample.weight})


class Trials(Dataset[Sample]):
    """Windows to be tried on: places in turn, all dates shown, as wide as those that are filled.

    Parameters
    ----------
    places : sequence of Place
        Where they lie.
    frames, seed : int
        As for `Windows`.
    """

    def __init__(self, places: Sequence[Place], *, frames: int, seed: int) -> None:
        self.places, self._frames = places, frames
        shapes = CloudShapes.load()
        self._draws = [
            Windows(
                [(place, place.extent)],
                shapes,
                frames=frames,
                seed=seed + i,
                sizes=(_side(place),),
                dates=None,
            )
            for i, place in enumerate(places)
        ]

    def __getitem__(self, index: int) -> Sample:
        """The sample made of window ``index``."""
        return self.window(index).sample(self._frames)

    def window(self, index: int) -> Window:
        """Window ``index``."""
        turn, of = divmod(index, len(self._draws))
        return self._draws[of].window(turn)

    def place(self, index: int) -> Place:
        """Where window ``index`` lies."""
        return self.places[index % len(self.places)]


@dataclass
class Trial:
    """One window to be tried on."""

    trials: Trials
    pool: Pool
    """The samples of ``trials``."""

    index: int

    @cached_property
    def window(self) -> Window:
        """As it was drawn."""
        return self.trials.window(self.index)

    @cached_property
    def sample(self) -> Sample:
        """With what the prior says of it, all dates shown."""
        return self.pool[self.index]

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.trials.place(self.index)


def _side(place: Place) -> int:
    """Side of the square that holds a whole window of ``place``."""
    most = min(max(place.extent.height, place.extent.width), WIDE)
    return -(-most // STRIDE) * STRIDE


def nearest(window: Window, dates: int) -> Window:
    """``window`` with those of its other dates that are nearest in time, so many at most."""
    away = torch.nan_to_num((window.days - window.days[0]).abs())[1:]
    keep = [0, *sorted((1 + away.argsort(stable=True)[:dates]).tolist())]
    around = window.around
    return window._replace(
        pixels=window.pixels[:, keep],
        valid=window.valid[:, keep],
        days=window.days[keep],
        around=around and (around[0][:, keep], around[1][:, keep]),
    )


def without_prior(
    pixels: Tensor, valid: Tensor, days: Tensor, target: int, *, around: Any = None
) -> Prior:
    """What a network is told that has to learn everything: no regression was made.

    The estimate is linear interpolation in time, and GDAL's fill where no other date shows the
    ground. Dates come in the order of their distance in time, as they are. Parameters are those
    of `geot2t.prior.estimate_prior`; ``around`` is not looked at.
    """
    del around
    arrays = pixels.numpy(), valid.numpy(), days.numpy()
    line = linear(*arrays, target)
    known = np.isfinite(line.days)[:, None]
    space = line if known.all() else fillnodata(*arrays, target)
    mean = torch.from_numpy(np.where(known, line.mean, space.mean))
    scale = torch.from_numpy(np.where(known, line.scale, space.scale))

    n, t = valid.shape[:2]
    away = torch.nan_to_num((days - days[target]).abs()).repeat(n, 1)
    away[~valid.flatten(2).any(2)] = torch.inf
    away[:, target] = torch.inf
    away, order = (v[:, : min(LOCAL, t - 1)] for v in away.sort(dim=1, stable=True))
    chosen = torch.where(away.isfinite(), order, -1)
    each = torch.arange(n)[:, None]
    seen = valid[each, order] & (chosen >= 0)[..., None, None]
    return Prior(
        mean=mean,
        scale=scale,
        chosen=chosen,
        per_date=torch.where(seen.unsqueeze(2), pixels[each, order], mean.unsqueeze(1)),
        per_date_scale=scale.unsqueeze(1).expand(-1, order.shape[1], -1, -1, -1),
        per_date_valid=seen,
        days=torch.from_numpy(line.days),
    )


def same_ground(one: Place, other: Place) -> bool:
    """Whether two places are one, by their names or by their coordinates."""
    located = one.grid.crs is not None and other.grid.crs is not None
    return one.name == other.name or (located and overlap(one.grid, other.grid))


def set_apart(
    places: Sequence[Place], patterns: Sequence[str], others: Sequence[Place]
) -> tuple[list[Place], list[Place]]:
    """Places to learn from and places held back.

    Parameters
    ----------
    places : sequence of Place
    patterns : sequence of str
        Of the names of places that are held back.
    others : sequence of Place
        Further places that nothing may be learnt from.

    Returns
    -------
    tuple of list of Place
        A place that shows ground of a held-back one, or of ``others``, is in neither.

    Raises
    ------
    InputError
        If a pattern is that of no place, or no series of three dates is left to learn from.
    """
    for pattern in patterns:
        if not fnmatch.filter([place.name for place in places], pattern):
            raise InputError(f"no place is called {pattern}; see --hold-out")
    held = [p for p in places if any(fnmatch.fnmatch(p.name, q) for q in patterns)]
    barred = [*held, *others]
    learn = [p for p in places if not any(same_ground(p, other) for other in barred)]
    if not any(place.times >= 3 for place in learn):
        raise InputError("no place of three dates is left to learn from; hold back fewer")
    return learn, held


def a_tenth(places: Sequence[Place]) -> list[Place]:
    """A tenth of the places, the same ones whatever their order; one is a series.

    Which ones follows from the checksums of their names.
    """
    order = sorted(places, key=lambda p: hashlib.sha256(p.name.encode()).digest())
    some = order[: -(-len(order) // 10)]
    if not any(place.times >= 3 for place in some):
        some[-1] = next(place for place in order if place.times >= 3)
    return some
