"""A season as pictures: a GIF that moves, and a PNG of all dates side by side."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.io.picture import thumbnail
from geot2t.io.publish import refuse, write_bytes
from geot2t.sensors import natural_colours

SIDE, SMALL = 480, 160
"""Greatest side of a picture that moves and of one in the strip, in pixels."""

LEAST = 96
"""Sides shorter than this are drawn larger, by whole pixels."""

COLUMNS = 6
"""Pictures in a row of the strip."""

BRIGHTER = 0.6
"""Power of the contrast: vegetation and water are dark where roofs are white."""

MILLISECONDS = 600
"""How long each date is shown."""

_UNKNOWN, _PAPER, _INK = 128, "white", "#24292e"
_LINE, _GAP = 16, 4


def previews(folder: Path, *, overwrite: bool) -> tuple[Path, Path]:
    """Where the pictures go, looked at before any work.

    Raises
    ------
    InputError
        If one is there already, or Pillow is not installed.
    """
    if find_spec("PIL") is None:
        raise InputError("a preview needs Pillow (pip install 'geot2t[plot]')")
    paths = folder / "preview.gif", folder / "preview.png"
    for path in paths:
        refuse(path, overwrite=overwrite)
    return paths


def draw(
    rasters: Sequence[Path],
    labels: Sequence[str],
    pictures: tuple[Path, Path],
    wavelengths: NDArray[np.floating],
) -> None:
    """Draw dates with one contrast for all, so that what changes is the ground.

    Parameters
    ----------
    rasters : sequence of Path
        A raster for each date, or one cube of all.
    labels : sequence of str
        What is written above each.
    pictures : tuple of Path
        The GIF and the PNG.
    wavelengths : ndarray, shape ``(band,)``
        Micrometres, NaN where unknown: red, green and blue are found by them.
    """
    bands = natural_colours(wavelengths)
    if rasters[0].suffix in (".zarr", ".nc"):
        shown = _of_cube(rasters[0], bands)
    else:
        shown = [thumbnail(path, bands, SIDE) for path in rasters]
    known = np.concatenate([p[:, np.isfinite(p).all(0)] for p in shown], 1)
    low, high = np.percentile(known, (1, 99), axis=1) if known.size else np.zeros((2, 3))
    frames = [_picture(p, low, high) for p in shown]
    write_bytes(pictures[0], _gif([_labelled(f, t) for f, t in zip(frames, labels, strict=True)]))
    small = [_shrunk(frame) for frame in frames]
    write_bytes(pictures[1], _strip([_labelled(f, t) for f, t in zip(small, labels, strict=True)]))


def _of_cube(path: Path, bands: Sequence[int]) -> list[NDArray[np.float32]]:
    """Thumbnails ``(3, y, x)`` of all dates of a cube."""
    import xarray as xr  # only where there is a cube

    engine = "zarr" if path.suffix == ".zarr" else "h5netcdf"
    with xr.open_dataset(path, engine=engine, chunks=None) as cube:
        filled, known = cube["filled"], cube["provenance"]
        step = math.ceil(max(filled.sizes["y"], filled.sizes["x"]) / SIDE)
        out = []
        for i in range(filled.shape[0]):
            seen = known[i, ::step, ::step].values > 0
            values = filled[i, list(bands), ::step, ::step].values.astype("float32")
            out.append(np.where(seen, values, np.float32(np.nan)))
        return out


def _picture(pixels: NDArray[np.float32], low: Any, high: Any) -> Any:
    from PIL import Image

    spread = np.maximum(high - low, 1e-6)[:, None, None]
    shown = np.clip((pixels - low[:, None, None]) / spread, 0, 1) ** BRIGHTER
    values = np.where(np.isfinite(pixels).all(0), 255 * shown, _UNKNOWN)
    image = Image.fromarray(np.moveaxis(values, 0, -1).astype("uint8"))
    larger = math.ceil(LEAST / max(image.size))
    return image.resize([larger * n for n in image.size], Image.Resampling.NEAREST)


def _shrunk(image: Any) -> Any:
    from PIL import Image

    small = image.copy()
    small.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    return small


def _labelled(image: Any, text: str) -> Any:
    from PIL import Image, ImageDraw

    out = Image.new("RGB", (image.width, image.height + _LINE), _PAPER)
    out.paste(image, (0, _LINE))
    ImageDraw.Draw(out).text((2, 2), text, fill=_INK)
    return out


def _gif(frames: Sequence[Any]) -> bytes:
    out = io.BytesIO()
    first, *rest = (frame.quantize(255) for frame in frames)
    first.save(out, "GIF", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0)
    return out.getvalue()


def _strip(frames: Sequence[Any]) -> bytes:
    from PIL import Image

    width, height = frames[0].size
    columns = min(len(frames), COLUMNS)
    size = (columns * (width + _GAP) - _GAP, -(-len(frames) // columns) * (height + _GAP) - _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    for i, frame in enumerate(frames):
        sheet.paste(frame, (i % columns * (width + _GAP), i // columns * (height + _GAP)))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()
