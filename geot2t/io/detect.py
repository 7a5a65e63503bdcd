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

_METRES = 30.0
"""Pixels that the detector was trained on. On the cloudiest date of the South Tyrol series it
finds 40 % cloud at 10 m and 97 % at 30 m."""

_SIDE = 512
"""Side of a block, in pixels of the detector."""

_MARGIN = 64
"""Context around a block, in pixels of the detector, which looks at tiles of 256."""

_BUFFER = 4.0
"""Pixels of the scene that its authors grow the detector's clouds and shadows by."""

_KEPT = 16
"""Blocks that are remembered."""


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
    step : int
        Pixels of the scene, in each direction, to one pixel of the detector.
    """

    name = "ukis-csmask"

    def __init__(self, bands: dict[str, int], level: str, factor: float, step: int) -> None:
        self._options = (bands, level, factor, step)
        self._done: OrderedDict[Box, Bool] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process needs neither the lock nor what was found."""
        return Detector, self._options

    def hidden(self, scene: Scene, box: Box) -> Bool:
        """True where a cloud or shadow hides the ground of ``box``, shape ``(y, x)``."""
        side = _SIDE * self._options[3]
        out = np.zeros((box.height, box.width), bool)
        for block in blocks(scene.header.extent, side, side):
            part = block.intersection(box)
            if part is not None:
                out[part.within(box)] = self._block(scene, block)[part.within(block)]
        return out

    def _block(self, scene: Scene, block: Box) -> Bool:
        with self._lock:
            if block in self._done:
                self._done.move_to_end(block)
                return self._done[block]
            bands, level, factor, step = self._options
            header, picked = scene.header, list(bands.values())
            wide = block.grown(_MARGIN * step, header.extent)
            values = scene.raster.read(wide, [header.data[i] for i in picked])
            pixels = values.astype("float32") * header.scale[picked, None, None].astype("float32")
            pixels = (pixels + header.offset[picked, None, None].astype("float32")) * factor
            coarse = _csmask(_coarsened(np.nan_to_num(pixels), step), list(bands), level)
            found = coarse.repeat(step, 0).repeat(step, 1)[: wide.height, : wide.width]
            cut = dilate(found, _BUFFER)[block.within(wide)]
            self._done[block] = cut
            if len(self._done) > _KEPT:
                self._done.popitem(last=False)
            return cut


def _coarsened(pixels: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means of ``step`` by ``step`` pixels; the edge is repeated where they do not go up."""
    bands, rows, cols = pixels.shape
    full = np.pad(pixels, ((0, 0), (0, -rows % step), (0, -cols % step)), "edge")
    parts = full.reshape(bands, full.shape[1] // step, step, full.shape[2] // step, step)
    out: NDArray[np.float32] = parts.mean((2, 4))
    return out


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
    step = max(round(_METRES / (header.pixel_metres or _METRES)), 1)
    return Detector(bands, "l1c" if top else "l2a", factor, min(step, 4))


def _listed(scenes: Sequence[Scene]) -> str:
    first = Path(scenes[0].header.location).name
    return first if len(scenes) == 1 else f"{first} and {len(scenes) - 1} more"
