"""Time and memory of filling a large scene: a Sentinel-2 tile's worth of the packaged sample.

    python benchmarks/speed.py [--size 5490] [--dates 6] [--cloud 0.3] [--model NAME|PATH]

Builds the scene and its series by tiling the sample, hides about the share asked for under
clouds, fills it in a child process, and prints time, gap pixels per second and the child's
greatest memory beside the time of a plain copy, block by block, of the same file.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from geot2t.clouds import CloudShapes
from geot2t.grid import Box, blocks
from geot2t.io import scenes_in

SAMPLE = Path(__file__).parent.parent / "geot2t" / "data" / "sample"
SCENE = "2022-06-12.tif"
CLEAR = (SCENE, "2022-06-15.tif", "2022-06-17.tif", "2022-06-20.tif", "2022-06-25.tif",
         "2022-06-27.tif", "2022-06-30.tif", "2022-06-02.tif")  # fmt: skip
BLOCK = 512


def build(folder: Path, size: int, dates: int, cloud: float) -> Path:
    """Write the series, and a cloud mask beside its first date; returns that scene."""
    known = {path.name for path in scenes_in(SAMPLE)}
    for name in [n for n in CLEAR if n in known][:dates]:
        with rasterio.open(SAMPLE / name) as small:
            # A few dark pixels are 0, which is nodata.
            values = np.maximum(small.read(), 1)
            profile, names = small.profile, small.descriptions
            scales, tags = small.scales, small.tags()
        # Mirrored tiles join without a seam.
        tile = np.concatenate([values, values[:, ::-1]], 1)
        tile = np.concatenate([tile, tile[..., ::-1]], 2)
        profile |= {"width": size, "height": size, "blockxsize": BLOCK, "blockysize": BLOCK}
        with rasterio.open(folder / name, "w", **profile) as file:
            file.descriptions, file.scales = names, scales
            file.update_tags(**tags)
            for box in blocks(Box(0, 0, size, size), BLOCK, BLOCK):
                start = box.row % tile.shape[1], box.col % tile.shape[2]
                shifted = np.roll(tile, (-start[0], -start[1]), (1, 2))
                file.write(shifted[:, : box.height, : box.width], window=window(box))
    hide(folder / SCENE, size, cloud)
    return folder / SCENE


def hide(scene: Path, size: int, cloud: float) -> None:
    """Write a cloud mask beside the scene: real shapes, about ``cloud`` of all pixels."""
    rng, shapes = np.random.default_rng(0), CloudShapes.load()
    with rasterio.open(scene) as file:
        profile = file.profile | {"count": 1, "dtype": "uint8", "nodata": None}
    with rasterio.open(scene.with_name(f"{scene.stem}_mask.tif"), "w", **profile) as file:
        for box in blocks(Box(0, 0, size, size), BLOCK, BLOCK):
            # Clouds come in fields: two blocks of three have some, the others none.
            shape = np.zeros((BLOCK, BLOCK), bool)
            if rng.random() < 2 / 3:
                share = min(1.5 * cloud, 0.9)
                shape = shapes.sample(rng, BLOCK, BLOCK, share=(0.8 * share, 1.2 * share))
            file.write(shape[: box.height, : box.width].astype("uint8"), 1, window=window(box))


def window(box: Box) -> Window:
    """Return ``box`` as rasterio takes it."""
    return Window(box.col, box.row, box.width, box.height)


def copy(scene: Path, to: Path) -> float:
    """Copy a raster block by block with rasterio; returns seconds."""
    begun = time.perf_counter()
    with rasterio.open(scene) as source:
        profile = source.profile | {"num_threads": "all_cpus", "predictor": 2}
        with rasterio.open(to, "w", **profile) as file:
            for _, part in source.block_windows(1):
                file.write(source.read(window=part), window=part)
    return time.perf_counter() - begun


def main() -> None:
    """Build, copy, fill and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=5490, help="side of the scene in pixels")
    parser.add_argument("--dates", type=int, default=6, help="dates, the scene included")
    parser.add_argument("--cloud", type=float, default=0.3, help="share of the scene to hide")
    parser.add_argument("--model", help="as for geot2t inpaint")
    parser.add_argument("--device", default="auto", help="as for geot2t inpaint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        series = Path(folder) / "series"
        series.mkdir()
        scene = build(series, options.size, options.dates, options.cloud)
        with rasterio.open(scene.with_name(f"{scene.stem}_mask.tif")) as file:
            gap = sum(int(file.read(1, window=part).sum()) for _, part in file.block_windows(1))
        copied = copy(scene, Path(folder) / "copy.tif")
        out = Path(folder) / "filled.tif"
        run = "from geot2t.cli import main; main()"
        command = [sys.executable, "-c", run, "inpaint", str(scene), "--series", str(series)]
        command += ["-o", str(out), "--clouds", "qa", "--device", options.device, "-q"]
        command += ["--model", options.model] if options.model else []
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  own command
        filled = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    pixels = options.size**2
    print(f"scene            {options.size} x {options.size} x 4, {options.dates} dates")
    print(f"gap              {gap / 1e6:.2f} Mpx, {100 * gap / pixels:.1f} % and what is near it")
    print(f"filled in        {filled:.1f} s, {gap / 1e6 / filled:.3f} gap-Mpx/s")
    print(f"peak memory      {memory:.2f} GiB")
    print(f"plain copy       {copied:.1f} s, {pixels / 1e6 / copied:.1f} Mpx/s")


if __name__ == "__main__":
    main()
