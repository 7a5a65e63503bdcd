"""Learn the library of levels and textures that `geot2t generate` draws from.

    python benchmarks/make_ground.py TILES DATA OUT.json

TILES are folders as ``geot2t train --tiles`` reads them: reflectance with known wavelengths and,
where they are recorded, dates. Seasons are learnt from dated windows outside the tropics, those of
the south half a year later. DATA holds the archives with classes: ``eurosat_rgb_2500.zip``, whose
8-bit values are taken as reflectances of 0 to 0.275, and ``hls_chips.npz`` with ESA WorldCover.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform
from tqdm import tqdm

from geot2t.ground import ANY, Ground, Look, look, turn_of
from geot2t.io.names import scenes_in
from geot2t.io.stack import open_stack
from geot2t.sensors import wavelengths

SIDE = 64
MOST = 24
"""Windows of one place at most, so that long series do not outweigh the world."""

LONG = 240
"""The same for places of many dates, which alone tell of the year."""

COVER = {10: "tree-cover", 20: "shrubland", 30: "grassland", 40: "cropland", 50: "built-up",
         60: "bare", 80: "water", 90: "wetland"}  # fmt: skip
PURE = 0.8
"""Share of a window that must be of one class."""

EUROSAT_WHITE = 0.275


def _turn(scene: Path) -> float | None:
    """When in the northern year a scene was taken; None if that is unknown or means little."""
    with rasterio.open(scene) as src:
        tags, crs, bounds = src.tags(), src.crs, src.bounds
    if "no date" in tags.get("DATE_SOURCE", "no date"):
        return None
    latitude = 45.0
    if crs is not None:
        x, y = (bounds.left + bounds.right) / 2, (bounds.bottom + bounds.top) / 2
        latitude = transform(crs, "EPSG:4326", [x], [y])[1][0]
    if abs(latitude) < 20:
        return None
    return (turn_of(date.fromisoformat(tags["ACQUISITION_DATE"])) + 0.5 * (latitude < 0)) % 1


def _windows(pixels: np.ndarray, valid: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Windows that were observed whole and hold reflectances, with where they begin."""
    for row in range(0, pixels.shape[1] - SIDE + 1, SIDE):
        for col in range(0, pixels.shape[2] - SIDE + 1, SIDE):
            cut = slice(row, row + SIDE), slice(col, col + SIDE)
            part = pixels[:, *cut]
            if valid[cut].all() and part.min() > -0.05 and part.max() < 1.5:
                yield (row, col), part


def of_tiles(tiles: Path, rng: np.random.Generator) -> Iterator[Look]:
    """Windows of no class."""
    for folder in tqdm(sorted(p for p in tiles.iterdir() if p.is_dir())):
        found = []
        scenes = scenes_in(folder)
        for scene in rng.permutation(np.array(scenes, dtype=object))[:16]:
            with open_stack(scene) as stack:
                if np.isfinite(stack.wavelengths).sum() < 3:
                    break
                pixels, valid = stack.read_target(stack.extent)
                turn = _turn(scene)
                found += [
                    look(w, stack.wavelengths, turn, f"{folder.name}/{i}")
                    for i, w in _windows(pixels, valid)
                ]
        keep = rng.permutation(len(found))[: LONG if len(scenes) >= 6 else MOST]
        yield from (one for i in keep if (one := found[i]) is not None)


Labelled = Iterator[tuple[str, NDArray[np.float64], list[str]]]
"""Classes, reflectances ``(b, y, x)`` and names of their bands."""


def eurosat(archive: Path) -> Labelled:
    """Images of EuroSAT's ten classes."""
    with zipfile.ZipFile(archive) as files:
        for name in tqdm(files.namelist()):
            with rasterio.MemoryFile(files.read(name)) as memory, memory.open() as src:
                pixels = src.read() / 255 * EUROSAT_WHITE
            kind = "".join(f"-{c.lower()}" if c.isupper() else c for c in name.split("/")[-2])
            yield kind.lstrip("-"), pixels, ["B04", "B03", "B02"]


def land_covers(archive: Path) -> Labelled:
    """Windows of 32 px of one land cover each."""
    with np.load(archive) as z:
        bands, cover, mask = z["bands"] / 1e4, z["landcover"], z["mask"]
        names = [str(n).split("_")[1] for n in z["band_names"]]
    for chip, classes, hidden in zip(bands, cover, mask, strict=True):
        for row in range(0, 97, 32):
            for col in range(0, 97, 32):
                cut = slice(row, row + 32), slice(col, col + 32)
                values, counts = np.unique(classes[cut], return_counts=True)
                kind = COVER.get(int(values[counts.argmax()]))
                if kind is None or counts.max() < PURE * 32**2 or hidden[cut].any():
                    continue
                yield kind, chip[:, *cut], names


def looks_of(labelled: Labelled) -> Iterator[tuple[str, Look]]:
    """How windows with a class look."""
    for kind, pixels, names in labelled:
        if (one := look(pixels, wavelengths(names), None)) is not None:
            yield kind, one


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    looks: dict[str, list[Look]] = {ANY: list(of_tiles(args.tiles, np.random.default_rng(0)))}
    for source in (
        eurosat(args.data / "eurosat_rgb_2500.zip"),
        land_covers(args.data / "hls_chips.npz"),
    ):
        for kind, one in looks_of(source):
            looks.setdefault(kind, []).append(one)
    ground = Ground.learnt({k: v for k, v in looks.items() if len(v) >= 20})
    args.out.write_text(json.dumps(ground.to_json(), separators=(",", ":")) + "\n")
    for name, learnt in ground.kinds.items():
        print(f"{name}: {learnt.windows} windows")


if __name__ == "__main__":
    main()
