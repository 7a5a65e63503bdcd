"""Windows of real ground, whole and by themselves: what draws are learnt from.

Each scene of the tiles is read alone. Of a scene in the list of classes, its windows are of that
class; the others speak for all ground.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from geot2t.errors import InputError
from geot2t.grid import Box, lattice
from geot2t.ground import ANY, LEAST, Ground, Look, look, named, near, turn_of
from geot2t.io import Stack, open_stack, scenes_in
from geot2t.io.place import Grid, degrees
from geot2t.io.sink import metadata_of
from geot2t.places import folders_in
from geot2t.refine import WINDOW, code_of, evidence_of, normal
from geot2t.tiles import Sample

LEAST_BANDS = 3
"""Bands that the library must have of a scene."""

LEAST_WINDOWS = 20
"""Windows of which a class is learnt."""

MOST, LONG = 24, 240
"""Windows of one place that the library is learnt from at most, so that long series do not
outweigh the world; and of places of `MANY` dates or more, which alone tell of the year."""

MANY = 6

SCENES = 16
"""Scenes of one place that are looked at."""

COARSE = 24
"""Values that a window must have in each band: with fewer its grain is that of the rounding."""

_LABELLED = 0.4
"""Share of windows with a class, if there are any."""

_TROPICS = 20.0
"""Latitude below which the day of the year means little."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A window that was observed whole."""

    scene: Path
    box: Box
    place: str
    kind: str | None
    """Class, if it is known."""

    turn: float | None
    """When in the year, northern; None if unknown."""

    teaches: bool
    """Whether it is large and fine enough to show how ground looks."""


def read_classes(path: Path) -> dict[Path, str]:
    """Classes of scenes, from a CSV with the columns ``path`` and ``class``.

    Paths are relative to the CSV.

    Raises
    ------
    InputError
        If it cannot be read, or a row is not a file and a class.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True, skipinitialspace=True)
            if not {"path", "class"} <= set(rows.fieldnames or ()):
                raise InputError(f"{path} must have the columns path and class in its first line")
            found: dict[Path, str] = {}
            for number, row in enumerate(rows, start=2):
                name, kind = ((row[column] or "").strip() for column in ("path", "class"))
                if not name or not kind:
                    raise InputError(f"line {number} of {path} lacks a path or a class")
                scene = (path.parent / name).resolve()
                if not scene.is_file():
                    raise InputError(f"line {number} of {path}: there is no file {scene}")
                if found.get(scene, kind) != kind or named(kind) == ANY:
                    raise InputError(
                        f"line {number} of {path}: {name} cannot be of the class {kind}; it has "
                        "another already, or that is the name of all ground"
                    )
                found[scene] = kind
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} as CSV: {error}") from error
    if not found:
        raise InputError(f"{path} names no scenes")
    return {scene: named(kind) for scene, kind in found.items()}


def places_in(tiles: Path, classes: Mapping[Path, str]) -> dict[str, list[Path]]:
    """Scenes without a class by their place: those of ``tiles``, or of each of its folders."""
    found = {
        p.name: [s for s in scenes_in(p) if s.resolve() not in classes] for p in folders_in(tiles)
    }
    return {name: scenes for name, scenes in found.items() if scenes}


def survey(
    places: Mapping[str, Sequence[Path]], classes: Mapping[Path, str], rng: np.random.Generator
) -> Iterator[tuple[Spot, Look]]:
    """All windows of some scenes of each place and of those with a class, and how they look."""
    for name, scenes in places.items():
        found = []
        for scene in rng.permutation(np.array(scenes, dtype=object))[:SCENES]:
            found += list(_windows(scene, name, None))
        most = LONG if len(scenes) >= MANY else MOST
        yield from (found[i] for i in rng.permutation(len(found))[:most])
    for scene, kind in classes.items():
        yield from _windows(scene, scene.stem, kind)


def learnt(found: Sequence[tuple[Spot, Look]]) -> Ground:
    """The library of windows; see `geot2t.ground`.

    Raises
    ------
    InputError
        If there are too few.
    """
    looks: dict[str, list[Look]] = {}
    for spot, one in found:
        looks.setdefault(spot.kind or ANY, []).append(one)
    looks.setdefault(ANY, [one for _, one in found])
    if len(looks[ANY]) < 2:
        raise InputError(
            f"the tiles have fewer than two whole windows of {WINDOW} px in {LEAST_BANDS} bands of "
            "known wavelength; there is nothing to learn draws from"
        )
    return Ground.learnt({k: v for k, v in looks.items() if k == ANY or len(v) >= LEAST_WINDOWS})


def _windows(scene: Path, place: str, kind: str | None) -> Iterator[tuple[Spot, Look]]:
    """Windows of a scene that were observed whole and hold reflectances."""
    with open_stack(scene) as stack:
        bands = near(stack.wavelengths)
        if bands.sum() < LEAST_BANDS:
            return
        turn = _turn(stack)
        pixels, valid = stack.read_target(stack.extent)
        for box in lattice(stack.extent, stack.extent, size=WINDOW, overlap=WINDOW // 2):
            part = pixels[bands][:, *box.slices]
            whole = box.height == box.width == WINDOW
            # What has a class tells of its levels whatever its size.
            if not (whole or kind) or not valid[box.slices].all():
                continue
            if part.min() <= -0.05 or part.max() >= 1.5:
                continue
            one = look(part, stack.wavelengths[bands], turn, f"{place}/{box.row}-{box.col}")
            fine = min(len(np.unique(band)) for band in part) >= COARSE
            if one is not None:
                yield Spot(scene, box, place, kind, turn, fine and whole), one


def _turn(stack: Stack) -> float | None:
    """When in the northern year a scene was taken; None if that is unknown or means little."""
    day, scene = stack.dates[stack.target], stack.paths[stack.target]
    if day is None or "no date" in metadata_of(scene).tags.get("", {}).get("DATE_SOURCE", ""):
        return None
    bounds = degrees(Grid.of(stack.header))
    latitude = 45.0 if bounds is None else (bounds[1] + bounds[3]) / 2
    if abs(latitude) < _TROPICS:
        return None
    return (turn_of(day) + 0.5 * (latitude < 0)) % 1


class Scenery(Dataset[Sample]):
    """Endless pairs of a draw and a real window of its bands, class and season.

    Sample ``i`` depends on the seed and ``i`` alone. The prior of its evidence is the draw, its
    truth the window, both as `geot2t.refine` takes them.

    Parameters
    ----------
    ground : Ground
        The library that is drawn from.
    spots : sequence of Spot
        Windows to show; places count by the fourth root of their windows, classes alike.
    seed : int
        Seed of all draws.
    bands : int
        Most bands of a sample.
    """

    def __init__(self, ground: Ground, spots: Sequence[Spot], seed: int, bands: int) -> None:
        self._ground, self._seed, self._bands = ground, seed, bands
        self._plain: dict[str, list[Spot]] = {}
        self._kinds: dict[str, list[Spot]] = {}
        for spot in (s for s in spots if s.teaches):
            of = (self._plain, spot.place) if spot.kind is None else (self._kinds, spot.kind)
            of[0].setdefault(of[1], []).append(spot)
        if not self._plain and not self._kinds:
            raise InputError(
                f"the tiles have no whole window of {WINDOW} px whose values are fine enough to "
                "learn from"
            )
        weight = np.array([len(v) ** 0.25 for v in self._plain.values()])
        self._weight: NDArray[np.float64] = weight / max(weight.sum(), 1)

    def __getitem__(self, index: int) -> Sample:
        """Draw sample ``index``."""
        rng = np.random.default_rng([self._seed, index])
        return self.sample(self.spot(rng), rng)

    def spot(self, rng: np.random.Generator) -> Spot:
        """A window drawn at random."""
        labelled = bool(self._kinds) and (not self._plain or rng.random() < _LABELLED)
        of, weight = (self._kinds, None) if labelled else (self._plain, self._weight)
        several = of[list(of)[int(rng.choice(len(of), p=weight))]]
        return several[int(rng.integers(len(several)))]

    def sample(self, spot: Spot, rng: np.random.Generator) -> Sample:
        """A window in some of its bands, and a draw to stand beside it."""
        pixels, waves = _read(spot)
        chosen = rng.permutation(len(waves))[: self._bands]
        waves = waves[chosen]
        kind = spot.kind if spot.kind in self._ground.kinds else None
        draw = self._ground.draw((WINDOW, WINDOW), waves, rng, kind=kind, turn=spot.turn)
        season = torch.tensor([np.nan if spot.turn is None else spot.turn], dtype=torch.float32)
        start, end = (normal(torch.from_numpy(np.log(v))[None]) for v in (draw, pixels[chosen]))
        known = torch.from_numpy(waves)[None] * (1.0 if rng.random() < 0.9 else np.nan)
        evidence = evidence_of(start, torch.zeros(1), season, known)
        return Sample(
            evidence, end, torch.ones_like(end[:, :1]), code_of(kind, end[0].numpy())[None]
        )


@lru_cache(maxsize=64)
def _opened(scene: Path) -> Stack:
    return open_stack(scene)


def _read(spot: Spot) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Reflectances of the bands that the library has, and their wavelengths."""
    stack = _opened(spot.scene)
    bands = near(stack.wavelengths)
    pixels, _ = stack.read_target(spot.box)
    return pixels[bands].clip(LEAST, None), stack.wavelengths[bands]
