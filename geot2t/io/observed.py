"""One date on its own grid: its pixels, and where the ground was observed, from all sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.clouds import EMPTY, HIDDEN, Legend, decode, dilate
from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io import names
from geot2t.io.detect import Detector
from geot2t.io.encode import is_nodata, physical
from geot2t.io.header import Header
from geot2t.io.place import Grid, Nearest
from geot2t.io.safe import Raster, open_raster, page_of
from geot2t.sensors import SOFT_EDGE_METRES

Bool = NDArray[np.bool_]

NO_DATA = "no data"
"""What `Scene.told` calls nodata, NaN and infinity in the bands themselves."""


@dataclass(frozen=True)
class SceneBlock:
    """A box of one date as it is in the file."""

    values: NDArray[Any]
    """All bands in the file's type, an alpha band included, shape ``(band, y, x)``."""

    cloud: Bool
    """True where a cloud mask or quality raster says that the ground was not observed, shape
    ``(y, x)``."""

    empty: Bool
    """True where a data band holds nodata, NaN or infinity, or the file's mask, alpha or
    quality raster says that there is no data, shape ``(data band, y, x)``."""

    @property
    def valid(self) -> Bool:
        """True where the ground was observed in every band, shape ``(y, x)``."""
        out: Bool = ~self.cloud & ~self.empty.any(0)
        return out


class Quality:
    """A raster that says where the ground was observed, looked up on the grid of a scene.

    Parameters
    ----------
    kind : str or Legend
        As `geot2t.clouds.decode` takes it.
    path : Path or str
        The quality raster; it may be on another grid of the same place.
    scene : Header
        The scene that it speaks of.
    band : int
        Number of the band to look at, from 1.

    Raises
    ------
    InputError
        If it does not overlap the scene.
    """

    def __init__(self, kind: str | Legend, path: Path | str, scene: Header, band: int = 1) -> None:
        self.kind, self.path, self._band = kind, path, band
        with open_raster(path) as ds:
            grid = Grid(ds.height, ds.width, ds.crs, ds.transform)
        self.raster = Raster(path)
        self.nearest = Nearest(grid, Grid.of(scene))
        if not self.nearest.touches:
            raise InputError(
                f"{path} does not cover {scene.location}: it is {grid}, the scene {Grid.of(scene)}"
            )
        metres = SOFT_EDGE_METRES.get(str(kind), 0.0)
        # Without a CRS the pixel is taken for the 10 m that such rasters were made at.
        self._radius = metres / (scene.pixel_metres or 10.0)
        self._extent = scene.extent

    @property
    def name(self) -> str:
        """What a user is told, as ``SCL scene_SCL.tif``."""
        return f"{self.kind} {Path(str(self.raster)).name}"

    def read(self, box: Box) -> tuple[Bool, Bool]:
        """Where the ground is hidden and where there is no data, each ``(y, x)``.

        Both are the same however the scene is cut up: the margin that cloud grows by is read
        around the box. Beyond the quality raster nothing is known to be hidden.
        """
        wide = box.grown(int(self._radius), self._extent)
        values = self.nearest.read(self.raster, self._band, wide)
        codes = np.zeros((wide.height, wide.width), "uint8")
        if values is not None:
            pixels, inside = values
            codes[inside] = decode(self.kind, pixels)[inside]
        cut = box.within(wide)
        return dilate(codes == HIDDEN, self._radius)[cut], (codes == EMPTY)[cut]

    def close(self) -> None:
        """Close the files of this thread."""
        self.raster.close()


class Scene:
    """One date, read on its own grid.

    Parameters
    ----------
    header : Header
    quality : list of Quality
        Rasters that say where it was observed, besides its own nodata, mask and alpha.
    vrt : bool
        As for `open_raster`.
    """

    def __init__(self, header: Header, quality: list[Quality], *, vrt: bool = False) -> None:
        self.header, self.quality = header, quality
        self.raster = header.parts.raster if header.parts else Raster(header.location, vrt=vrt)
        self.detector: Detector | None = None
        """Set by `geot2t.io.detect.add_detector`."""

    @property
    def validity(self) -> tuple[str, ...]:
        """The sources that say where the date was observed, in words."""
        found = [*_own_validity(self.header), *(q.name for q in self.quality)]
        if self.detector is not None:
            found.append(f"detector {self.detector.name}")
        return tuple(found)

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files that are read."""
        header = self.header
        if header.parts is not None:
            own = header.parts.files
        else:
            page = page_of(header.location)
            local = header.location if page is None else page[0]
            own = () if isinstance(local, str) else (local,)
        return (*own, *(q.path for q in self.quality if isinstance(q.path, Path)))

    def read(self, box: Box) -> SceneBlock:
        """Read ``box``, which must lie inside the raster."""
        values = self.raster.read(box, list(range(1, self.header.count + 1)))
        empty = np.zeros((len(self.header.data), box.height, box.width), bool)
        cloud = np.zeros(values.shape[1:], bool)
        for _, hidden, nothing in self.told(box, values):
            cloud |= hidden
            empty |= nothing
        return SceneBlock(values, cloud, empty)

    def told(self, box: Box, values: NDArray[Any]) -> Iterator[tuple[str, Bool, Bool]]:
        """What each source of `validity` says of ``box``, whose pixels are ``values``.

        Yields
        ------
        str
            The source.
        ndarray of bool, shape ``(y, x)``
            Where it says that the ground is hidden.
        ndarray of bool, shape ``(data band, y, x)`` or ``(y, x)``
            Where it says that there is no data.
        """
        header, none = self.header, np.zeros((box.height, box.width), bool)
        data = values[[i - 1 for i in header.data]]
        own = np.stack([is_nodata(band, n) for band, n in zip(data, header.nodata, strict=True)])
        yield NO_DATA, none, own
        if header.own_mask:
            yield "mask band", none, self.raster.read_mask(box) == 0
        if header.alpha is not None:
            yield "alpha band", none, values[header.alpha - 1] == 0
        for quality in self.quality:
            yield quality.name, *quality.read(box)
        if self.detector is not None:
            yield f"detector {self.detector.name}", self.detector.hidden(self, box), none

    def absent(self, box: Box) -> bool | None:
        """Whether ``box``, for which a sparse file stores nothing, is no data (True) or zeros.

        None where something is stored, or another file has a say: the box must be read.
        """
        header = self.header
        if self.quality or self.detector is not None or header.own_mask or header.alpha is not None:
            return None
        if not self.raster.stores_nothing(box):
            return None
        return any(n is not None for n in header.nodata)

    def data(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Physical values of the data bands of ``values (band, y, x)``."""
        header = self.header
        return physical(values[[i - 1 for i in header.data]], header.scale, header.offset)

    def close(self) -> None:
        """Close the files of this thread."""
        for file in (self.raster, *self.quality):
            file.close()


def _own_validity(header: Header) -> list[str]:
    found = [f"nodata {v:g}" for v in dict.fromkeys(header.nodata) if v is not None]
    if header.own_mask:
        found.append("mask band")
    if header.alpha is not None:
        found.append("alpha band")
    if np.dtype(header.dtype).kind == "f" and "nodata nan" not in found:
        found.append("NaN")
    return found


def quality_of(header: Header, cloud_mask: Path | None, *, sidecars: bool) -> list[Quality]:
    """The quality rasters of a scene: the user's, and those beside it if ``sidecars``."""
    found = [] if cloud_mask is None else [Quality("mask", cloud_mask, header)]
    if not sidecars:
        return found
    if header.parts is not None:
        return found + [Quality(kind, where, header) for kind, where in header.parts.quality]
    if not isinstance(header.location, str):
        found += [Quality(kind, path, header) for kind, path in names.sidecars(header.location)]
    return found
