"""Cloud detectors, run on blocks of a scene that has no quality raster."""

from __future__ import annotations

import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geot2t.clouds import DETECTORS, csmask_bands, dilate, installed
from geot2t.grid import Box, blocks

if TYPE_CHECKING:
    from geot2t.io.observed import Scene

Bool = NDArray[np.bool_]

_SIDE = 512
_MARGIN = 64
"""Context around a block, in pixels: the network looks at 256 px tiles."""

_BUFFER = 4.0
"""Pixels that its authors grow the detector's clouds and shadows by."""

_KEPT = 64
"""Blocks of 0.25 MB each that are remembered."""


class Detector:
    """ukis-csmask on blocks that never move, so that cutting a scene up changes nothing.

    Parameters
    ----------
    bands : dict of str to int
        The detector's names of bands and their indices among the data bands.
    level : str
        ``l1c`` for top of atmosphere, ``l2a`` for surface reflectance.
    factor : float
        What the physical values of the scene are multiplied by to be reflectance.
    """

    name = "ukis-csmask"

    def __init__(self, bands: dict[str, int], level: str, factor: float) -> None:
        self._bands, self._level, self._factor = bands, level, factor
        self._done: OrderedDict[Box, Bool] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: neither the lock nor what was found."""
        return {"_bands": self._bands, "_level": self._level, "_factor": self._factor}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_bands"], state["_level"], state["_factor"])  # type: ignore[misc]

    def hidden(self, scene: Scene, box: Box) -> Bool:
        """True where a cloud or shadow hides the ground of ``box``, shape ``(y, x)``."""
        out = np.zeros((box.height, box.width), bool)
        for block in blocks(scene.header.extent, _SIDE, _SIDE):
            part = block.intersection(box)
            if part is not None:
                out[part.within(box)] = self._block(scene, block)[part.within(block)]
        return out

    def _block(self, scene: Scene, block: Box) -> Bool:
        with self._lock:
            if block in self._done:
                self._done.move_to_end(block)
                return self._done[block]
            wide = block.grown(_MARGIN, scene.header.extent)
            values = scene.raster.read(wide, [scene.header.data[i] for i in self._bands.values()])
            picked = list(self._bands.values())
            pixels = values.astype("float32") * scene.header.scale[picked, None, None]
            pixels = (pixels + scene.header.offset[picked, None, None]) * self._factor
            found = _csmask(np.nan_to_num(pixels), list(self._bands), self._level)
            cut = dilate(found, _BUFFER)[block.within(wide)]
            self._done[block] = cut
            if len(self._done) > _KEPT:
                self._done.popitem(last=False)
            return cut


def _csmask(pixels: NDArray[np.floating], bands: Sequence[str], level: str) -> Bool:
    """Cloud or shadow by ukis-csmask in reflectance ``(band, y, x)``."""
    from ukis_csmask.mask import CSmask

    # A window narrower than its 256 px tiles is padded by repeating the edge.
    rows, cols = pixels.shape[1:]
    pad = ((0, 0), (0, max(256 - rows, 0)), (0, max(256 - cols, 0)))
    image = np.ascontiguousarray(np.moveaxis(np.pad(pixels, pad, "edge"), 0, -1), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = CSmask(image, band_order=list(bands), product_level=level).csm
    found: Bool = classes[:rows, :cols, 0] != 0
    return found


def add_detector(scenes: list[Scene], clouds: str, notes: list[str]) -> None:
    """Give scenes the detector that ``clouds`` asks for; say in ``notes`` if it cannot be had.

    Parameters
    ----------
    scenes : list of Scene
    clouds : str
        ``auto``: scenes without any quality raster get a detector; ``qa``, ``none``: no
        scene does; a detector's name: every scene gets it.
    notes : list of str
        Added to.

    Raises
    ------
    InputError
        If there is no detector of that name.
    """
    if clouds in {"qa", "none"}:
        return
    name = next(iter(DETECTORS)) if clouds == "auto" else clouds
    there = installed(name)
    wanting = [s for s in scenes if clouds != "auto" or not s.quality]
    if not wanting:
        return
    listed = _listed(wanting)
    if not there:
        notes.append(
            f"nothing says where {listed} observed clouds, and the detector {name} is not "
            "installed (pip install geot2t[cloud]): only nodata counts as a gap there"
            if clouds == "auto"
            else f"the detector {name} is not installed (pip install geot2t[cloud]): skipped"
        )
        return
    refused = []
    for scene in wanting:
        detector = _for_scene(scene)
        if detector is None:
            refused.append(scene)
        else:
            scene.detector = detector
    if refused:
        notes.append(
            f"the detector {name} needs blue, green, red and near infrared, as reflectance: "
            f"skipped for {_listed(refused)}"
        )


def _for_scene(scene: Scene) -> Detector | None:
    header = scene.header
    bands = csmask_bands(header.wavelengths.tolist())
    if bands is None or header.dtype in {"uint8", "int8"}:
        return None
    whole = np.dtype(header.dtype).kind in "iu"
    # Integers of unknown scale are reflectance x 10000 in every product with these bands.
    factor = 1e-4 if whole and header.scaled_by is None else 1.0
    top = re.search(r"MSIL1C|_L1[TG][PST]_", Path(header.location).name)
    return Detector(bands, "l1c" if top else "l2a", factor)


def _listed(scenes: Sequence[Scene]) -> str:
    first = Path(scenes[0].header.location).name
    return first if len(scenes) == 1 else f"{first} and {len(scenes) - 1} more"
