"""How far fills of lone scenes are from the truth: no other date, gaps up to some pixels wide.

    python benchmarks/alone.py SERIES ... [--width 32] [--scenes 40] [--methods NAME ...] [--json F]

Of each series the clearest date is taken, a part of it at most 256 px wide, and holes in the shape
of real clouds are cut into it until a tenth is gone. `geot2t inpaint` fills them without a series,
by each method; ``sharp`` is ``auto`` with ``--sharp``. Ratios are means over scenes; coverage is
that of the 90 % interval; texture (gradients) and variogram are the fill's over the truth's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from tqdm import tqdm

from geot2t import metrics
from geot2t.clouds import CloudShapes
from geot2t.errors import Geot2tError
from geot2t.io.series import open_series
from geot2t.jobs import inpaint

METHODS = ("fillnodata", "biharmonic", "prior", "network", "auto", "sharp")
SIDE = 256
GONE = 0.1
COLUMNS = ("coverage", "seam", "texture", "variogram, 1 px", "variogram, 4 px")
Bool = NDArray[np.bool_]


def holes(rng: np.random.Generator, shape: tuple[int, int], width: int) -> Bool:
    """Gaps that are at most ``width`` pixels high and wide, with as much between them."""
    library, gap = CloudShapes.load(), np.zeros(shape, bool)
    for _ in range(500):
        if gap.mean() >= GONE:
            break
        side = int(rng.integers(4, width + 1))
        row, col = (int(rng.integers(0, max(n - side, 1))) for n in shape)
        around = gap[max(row - 4, 0) : row + side + 4, max(col - 4, 0) : col + side + 4]
        if not around.any():
            part = gap[row : row + side, col : col + side]
            part |= library.sample(rng, *part.shape, share=(0.3, 0.9))
    return gap


def cut(folder: Path, seed: int, width: int, out: Path) -> tuple[NDArray[Any], Bool, Bool] | None:
    """Write a scene with holes, and return its pixels, where they are known, and the holes."""
    with open_series([folder]) as stack:
        shown = [float(stack.read_date(i, stack.extent)[1].mean()) for i in range(len(stack.dates))]
        best = int(np.argmax(shown))
        path, valid = stack.paths[best], stack.read_date(best, stack.extent)[1]
    with rasterio.open(path) as src:
        pixels, profile, names = src.read(), src.profile, src.descriptions
    row, col = (max(0, (n - SIDE) // 2) for n in valid.shape)
    there = (..., slice(row, row + SIDE), slice(col, col + SIDE))
    pixels, valid = pixels[there], valid[there]
    if min(valid.shape) < 2 * width or valid.mean() < 0.5:
        return None
    rng = np.random.default_rng([seed, *folder.name.encode()])
    gap = holes(rng, valid.shape, width)
    profile |= {"height": valid.shape[0], "width": valid.shape[1], "tiled": False}
    profile.pop("blockxsize", None), profile.pop("blockysize", None)
    with rasterio.open(out, "w", **profile) as dst:
        dst.write(np.where(gap, 0, pixels))
        dst.descriptions = names
    flat = {k: profile[k] for k in ("height", "width", "crs", "transform")}
    hidden = (gap | ~valid).astype("uint8")
    with rasterio.open(out.with_stem("clouds"), "w", count=1, dtype="uint8", **flat) as dst:
        dst.write(hidden, 1)
    return pixels, valid, gap & valid


def scores(scene: Path, method: str, seed: int, truth: tuple[NDArray[Any], Bool, Bool]) -> Any:
    """Fill as a user would, and compare."""
    pixels, valid, where = truth
    sharp = method == "sharp"
    result = inpaint(
        scene, scene.with_stem(f"{method}_filled"), cloud_mask=scene.with_stem("clouds"),
        clouds="none", method="auto" if sharp else method, sharp=sharp, seed=seed,
    )  # fmt: skip
    with (
        rasterio.open(result.path) as src,
        rasterio.open(result.path.with_stem(f"{result.path.stem}_error")) as half,
    ):
        fill, halves = src.read().astype("float64"), half.read().astype("float64")
    true = np.where(valid, pixels, fill).astype("float64")
    found = {
        "mae": metrics.errors(fill, true, where)["mae"],
        "coverage": metrics.interval(fill, true, where, halves)["coverage"],
        "seam": metrics.seam(fill, true, where, valid & ~where),
        "texture": metrics.texture(fill, true, where),
    }
    for lag in (1, 4):
        found[f"variogram, {lag} px"] = metrics.variogram(fill, true, where, lag)
    return found


def main() -> None:
    """Fill all scenes by all methods, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path, nargs="+")
    parser.add_argument("--width", type=int, default=32, help="of the widest gap, in pixels")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write all scores there")
    args = parser.parse_args()
    every: dict[str, dict[str, Any]] = {}
    order = np.random.default_rng(args.seed).permutation(len(args.series))
    for i in tqdm(order, file=sys.stderr):
        folder = args.series[i]
        with tempfile.TemporaryDirectory() as temp:
            scene = Path(temp, "scene.tif")
            try:
                truth = cut(folder, args.seed, args.width, scene)
                if truth is None or not truth[2].any():
                    continue
                every[folder.name] = {m: scores(scene, m, args.seed, truth) for m in args.methods}
            except Geot2tError as error:
                print(f"{folder.name}: left out: {error}", file=sys.stderr)
        if len(every) == args.scenes:
            break
    base = args.methods[0]
    print(f"{len(every)} scenes, gaps up to {args.width} px wide\n")
    print(f"| method | MAE / {base} | least | greatest | {' | '.join(COLUMNS)} |")
    print("|" + " --- |" * (4 + len(COLUMNS)))
    for method in args.methods:
        beside = [s[method]["mae"] / s[base]["mae"] for s in every.values() if s[base]["mae"]]
        row = [np.mean(beside), min(beside), max(beside)]
        row += [
            np.mean([s[method][key] for s in every.values() if s[method][key] is not None])
            for key in COLUMNS
        ]
        print(f"| {method} | {' | '.join(f'{v:.3f}' for v in row)} |")
    if args.json:
        args.json.write_text(json.dumps(every, indent=2) + "\n")


if __name__ == "__main__":
    main()
