"""A raster whose bands lie in several files, put together on the finest of their grids.

Coarser bands are not interpolated: each pixel takes the value of the coarse pixel that it lies
in, so that what was observed is what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.clouds import Legend
from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io.place import Grid, Nearest
from geot2t.io.safe import Raster
from geot2t.stac import Item


@dataclass(frozen=True)
class Part:
    """One band of a composed raster."""

    raster: Raster
    """The file that holds it."""

    number: int
    """Which of the file's bands it is, from 1."""

    grid: Grid
    """Of the file."""

    nodata: float | None
    """What stands for no data, or None."""

    dtype: str

    masked: bool
    """Whether the file has a mask band."""

    common: str
    """Common name of the band, or empty."""

    unit: str
    """Unit of its physical values, or empty."""


class Composed:
    """Bands from several files, read like a `geot2t.io.safe.Raster`. Picklable.

    Parameters
    ----------
    location : str
        What it is called in messages.
    parts : sequence of Part
        The bands.

    Raises
    ------
    InputError
        If the bands are of different types or places.
    """

    def __init__(self, location: str, parts: Sequence[Part]) -> None:
        self.location, self.parts = location, tuple(parts)
        self.finest = min(parts, key=lambda part: abs(part.grid.transform.determinant))
        """The band whose grid is the grid of all."""
        self.grid = self.finest.grid
        self._places = tuple(Nearest(part.grid, self.grid) for part in parts)
        kinds = sorted({part.dtype for part in parts})
        if len(kinds) > 1:
            raise InputError(
                f"{location} has bands of different types ({', '.join(kinds)}); "
                "choose those of one type with --bands"
            )
        for part, place in zip(parts, self._places, strict=True):
            if not place.touches:
                raise InputError(f"{location}: {part.raster} and {self.finest.raster} show "
                                 f"different places, {part.grid} and {self.grid}")  # fmt: skip

    @property
    def incomplete(self) -> bool:
        """Whether `read_mask` has anything to say: a file has a mask, or is smaller than all."""
        return any(p.masked or not self._covers(n) for p, n in zip(
            self.parts, self._places, strict=True))  # fmt: skip

    def _covers(self, place: Nearest) -> bool:
        whole = self.grid.extent
        corners = (Box(0, 0, 1, 1), Box(whole.height - 1, whole.width - 1, 1, 1))
        at = [place.coordinates(corner) for corner in corners]
        return all(
            0 <= row.item() < place.source.height and 0 <= col.item() < place.source.width
            for row, col in at
        )

    def read(self, box: Box, bands: Sequence[int] | int) -> NDArray[Any]:
        """Read ``box``, which must lie inside; see `geot2t.io.safe.Raster.read`.

        Where a file does not reach, its band holds nodata, or 0 if it has none.
        """
        if isinstance(bands, int):
            return self._one(bands - 1, box)[0]
        return np.stack([self._one(i - 1, box)[0] for i in bands])

    def read_mask(self, box: Box) -> NDArray[np.uint8]:
        """0 where a file does not reach or its mask says no data, ``(band, y, x)``."""
        out = np.zeros((len(self.parts), box.height, box.width), "uint8")
        for i, part in enumerate(self.parts):
            inside = self._one(i, box)[1]
            shown = self._places[i].read(_Mask(part.raster), 1, box) if part.masked else None
            out[i] = inside if shown is None else inside & (shown[0] != 0)
        return out

    def _one(self, index: int, box: Box) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        part = self.parts[index]
        found = self._places[index].read(part.raster, part.number, box)
        if found is None:
            inside = np.zeros((box.height, box.width), bool)
            return np.full(inside.shape, part.nodata or 0, part.dtype), inside
        pixels, inside = found
        if not inside.all():
            pixels = np.where(inside, pixels, np.array(part.nodata or 0, pixels.dtype))
        return pixels, inside

    def stores_nothing(self, box: Box) -> bool:
        """Whether a block is known to be empty without reading it: never."""
        del box
        return False

    def close(self) -> None:
        """Close the files of this thread."""
        for part in self.parts:
            part.raster.close()


class _Mask(Raster):
    """The mask band of a raster, read as if it were its only band."""

    def __init__(self, raster: Raster) -> None:
        super().__init__(raster.location, vrt=raster.vrt)

    def read(self, box: Box, bands: Sequence[int] | int) -> NDArray[Any]:
        """The mask in ``box``, ``(y, x)``."""
        del bands
        return self.read_mask(box)


@dataclass(frozen=True)
class Parts:
    """What a scene that an item describes is made of."""

    item: Item
    raster: Composed
    quality: tuple[tuple[str | Legend, Path | str], ...]
    """Rasters that say where it was observed, and how to read them."""

    rank: int
    """Place of the item in its collection."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files of its bands, and the one that holds the item."""
        found = [*(part.raster.location for part in self.raster.parts), self.item.origin.where]
        return tuple(dict.fromkeys(f for f in found if isinstance(f, Path) and f.is_file()))
