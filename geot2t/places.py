"""Places to learn from: folders of GeoTIFFs, read window by window, and which are held back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from geot2t.errors import InputError
from geot2t.fill import Around, Block
from geot2t.grid import Box
from geot2t.io import Stack, open_stack, scenes_in
from geot2t.io.place import Grid
from geot2t.survey import Survey

_CACHE = 192 << 20
"""Bytes up to which a whole place is held in memory instead of being read by windows."""


class Place:
    """Scenes of one place, read window by window.

    Parameters
    ----------
    stack : Stack
        Its scenes.
    name : str
        Of the place.
    untold : sequence of int
        Dates that are shown, but never hidden and asked for.
    """

    def __init__(self, stack: Stack, name: str, untold: Sequence[int] = ()) -> None:
        self.name, self._stack = name, stack
        self.teaches = ~np.isin(np.arange(len(stack.days)), untold)
        self.extent = self._stack.extent
        self.times = len(self._stack.days)
        self.wavelengths = np.asarray(self._stack.wavelengths, "float32")
        self._whole: Block | None = None
        self._surveys: dict[Box, Survey] = {}

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The place whose GeoTIFFs are in ``folder``."""
        scenes = scenes_in(folder)
        if not scenes:
            raise InputError(f"{folder} holds no scenes (GeoTIFFs that are not masks)")
        stack = open_stack(scenes[0], series=scenes[1:], need_dates=len(scenes) > 1)
        return cls(stack, folder.name)

    def read(self, box: Box) -> Block:
        """Read ``box`` of all dates."""
        bands = len(self.wavelengths)
        cells = self.times * bands * self.extent.height * self.extent.width
        if cells * 4 > _CACHE:
            return self._stack.read(box)
        if self._whole is None:
            self._whole = self._stack.read(self.extent)
        whole, at = self._whole, box.within(self.extent)
        return Block(whole.pixels[..., *at], whole.valid[..., *at], whole.days, box)

    @property
    def grid(self) -> Grid:
        """Where on the Earth its pixels lie."""
        return Grid.of(self._stack.header)

    def around(self, box: Box, area: Box, target: int) -> Around:
        """What was observed of the date ``target`` in ``area`` outside ``box``."""
        if area not in self._surveys:
            self._surveys[area] = Survey(self.read, area)
        return self._surveys[area].around(box, target)


def folders_in(tiles: Path) -> list[Path]:
    """Folders that are a place each: ``tiles`` itself if it holds scenes, else each folder in it.

    Raises
    ------
    InputError
        If it is no folder.
    """
    if not tiles.is_dir():
        raise InputError(f"{tiles} is not a folder; --tiles takes a folder of GeoTIFFs")
    return [tiles] if scenes_in(tiles) else [p for p in sorted(tiles.iterdir()) if p.is_dir()]


def find_places(tiles: Path) -> list[Place]:
    """The places of a folder: the folder itself if it holds scenes, else each of its folders.

    Raises
    ------
    InputError
        If there is no scene, or a place cannot be read as a series.
    """
    folders = [p for p in folders_in(tiles) if scenes_in(p)]
    if not folders:
        raise InputError(f"{tiles} holds no GeoTIFFs, nor do its folders")
    return [Place.of(folder) for folder in folders]


def split(places: Sequence[Place]) -> tuple[list[tuple[Place, Box]], list[tuple[Place, Box]]]:
    """Where to learn and where to check what was learnt; the two never share a pixel.

    With at least five places that have three dates or more, every eighth of these is held
    back whole; with fewer, the lowest fifth of each place.
    """
    series = [p for p in places if p.times >= 3]
    if len(series) >= 5:
        back = set(map(id, series[3::8]))
        learn = [(p, p.extent) for p in places if id(p) not in back]
        return learn, [(p, p.extent) for p in places if id(p) in back]
    learn, check = [], []
    for place in places:
        e = place.extent
        cut = max(e.height - max(e.height // 5, 1), 1)
        learn.append((place, Box(e.row, e.col, cut, e.width)))
        if e.height > cut:
            check.append((place, Box(e.row + cut, e.col, e.height - cut, e.width)))
    if not check:
        raise InputError("the tiles are a single pixel high; there is nothing to hold back")
    return learn, check
