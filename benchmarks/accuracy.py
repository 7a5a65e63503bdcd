"""How far fills are from the truth: real cloud shapes pasted on the clear dates of a real series.

    python benchmarks/accuracy.py CUBE.npz [--model NAME|PATH|none] [--cases 12] [--json FILE]

CUBE holds ``bands (t, b, y, x)`` with 0 for no data, ``mask (t, y, x)`` that is not zero under
clouds, ``dates``, ``band_names``, ``crs`` and ``transform``. It is written out as GeoTIFFs with
masks beside them, as a user would have them, and evaluated whole, as `geot2t evaluate` does. The
masks of all dates are grown by a few pixels, because masks miss soft edges; every pasted pixel
that was clear is scored. Errors are mean absolute errors in the units of the files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine
from scipy import ndimage
from tqdm import tqdm

from geot2t.baselines import METHODS
from geot2t.evaluation import evaluate

LEARNT = ("prior", "network", "geot2t")


def write_series(cube: Path, grow: int, folder: Path) -> int:
    """Write a cube as GeoTIFFs with masks, and return its longer side in pixels.

    Dates that are months become the middle of that month of 2020.
    """
    with np.load(cube) as z:
        bands, clouds = z["bands"], z["mask"] > 0
        days = [f"2020-{d[6:]}-15" if d.startswith("month-") else d for d in map(str, z["dates"])]
        names, crs = tuple(map(str, z["band_names"])), str(z["crs"])
        transform = Affine(*map(float, z["transform"][:6]))
    height, width = map(int, clouds.shape[1:])
    grid: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width, "crs": crs,
                            "transform": transform, "compress": "deflate"}  # fmt: skip
    disc = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), max(grow, 1))
    for day, pixels, cloud in zip(days, bands, clouds, strict=True):
        hidden = ndimage.binary_dilation(cloud, disc) if grow and cloud.any() else cloud
        kind = {"count": len(pixels), "dtype": pixels.dtype, "nodata": 0}
        with rasterio.open(folder / f"{day}.tif", "w", **kind, **grid) as dst:
            dst.write(pixels)
            dst.descriptions = names
            dst.update_tags(ACQUISITION_DATE=day)
        with rasterio.open(folder / f"{day}_mask.tif", "w", count=1, dtype="uint8", **grid) as dst:
            dst.write(hidden.astype("uint8"), 1)
    return max(height, width)


def table(results: Mapping[str, Any]) -> str:
    """The results in Markdown."""
    names = [n for n in (*METHODS, *LEARNT) if n in results["methods"]]
    learnt = [n for n in LEARNT if n in names]
    pairs = [(n, "linear") for n in learnt] + [(n, "prior") for n in learnt[1:]]
    head = ["case", "date", "clouds of", "gap", *names, *(f"{a} / {b}" for a, b in pairs)]
    lines = [head, ["---"] * len(head)]
    for case in results["cases"]:
        mae = {n: case["scores"][n]["mae"] for n in names}
        cells = [f"{mae[n]:.1f}" for n in names] + [f"{mae[a] / mae[b]:.3f}" for a, b in pairs]
        lines.append([str(case["id"]), case["date"], case["cloud"], f"{case['gap']:.0%}", *cells])
    summary = results["summary"]["cloud"]
    means = [f"{summary[n]['mae']['mean']:.1f}" for n in names]
    means += [f"{summary[a][f'to_{b}']['mean']:.3f}" for a, b in pairs]
    lines.append(["mean", "", "", "", *means])
    beside = [f"{summary[n]['to_linear']['mean']:.3f}" for n in names]
    lines.append(["mean ratio to linear", "", "", "", *beside, *("" for _ in pairs)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cube", type=Path)
    parser.add_argument("--model", help="name or path; 'none' leaves the network out")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grow", type=int, default=4, help="px by which masks are grown")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--json", type=Path, help="also write the results there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp, tqdm(unit=" fills", file=sys.stderr) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        side = write_series(args.cube, args.grow, Path(temp))
        results = evaluate(
            temp, kinds=["cloud"], cases=args.cases, margin=0, crop=side, model=args.model,
            window=args.window, overlap=args.window // 4, seed=args.seed, progress=update,
        ).results  # fmt: skip
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
