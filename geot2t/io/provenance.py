"""Where the pixels of a filled scene come from, read from the quality raster beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io.safe import Raster, open_raster

BAND = "provenance"
"""Name of the band that says it."""


class Provenance:
    """The band ``provenance`` of a quality raster.

    Parameters
    ----------
    path : Path
        The quality raster.
    extent : Box
        Of its scene.

    Raises
    ------
    InputError
        If the raster is not one, or not of the scene's size.
    """

    def __init__(self, path: Path, extent: Box) -> None:
        with open_raster(path) as file:
            if BAND not in file.descriptions:
                raise InputError(f"{path} has no band {BAND!r}; rename it if it is not geot2t's")
            if (file.height, file.width) != (extent.height, extent.width):
                raise InputError(
                    f"{path} is {file.height}x{file.width}, its scene "
                    f"{extent.height}x{extent.width}; fill the scene again"
                )
            self._band = file.descriptions.index(BAND) + 1
        self.path, self._raster = path, Raster(path)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Values in ``box``, which must lie inside, ``(y, x)``; see `geot2t.stream`."""
        return self._raster.read(box, self._band).astype("uint8")

    def close(self) -> None:
        """Close the file."""
        self._raster.close()


def provenance_beside(scene: Path, extent: Box) -> Provenance | None:
    """Provenance of a scene that geot2t filled; None if nothing beside it says so."""
    path = scene.with_name(f"{scene.stem}_quality.tif")
    return Provenance(path, extent) if path.is_file() else None
