"""How far the fill of a wholly missing date is from the truth, over linear interpolation in time.

    python benchmarks/missing_date.py CUBE.npz ... [--gap middle|first|last|consecutive] [--grow 4]

Clear dates of each series, spread evenly, are left out whole in turn, with their neighbours if
``consecutive``, and predicted from the others. Only the middle of a cube is taken. Errors are
mean absolute errors in the units of the files; ratios are means over dates, then over series.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from archives import _series_days
from numpy.typing import NDArray
from scipy import ndimage

from geot2t.baselines import METHODS
from geot2t.prior import estimate_prior

CLEAR = 0.95
Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


def read(path: Path, grow: int, crop: int) -> tuple[Float, Bool, Float]:
    """Pixels ``(t, b, y, x)``, valid ``(t, y, x)`` and days of a series, in order of time."""
    with np.load(path) as z:
        part = {k: z[k] for k in ("bands", "mask", "dates")}
    days = np.array([day.toordinal() for day, _ in _series_days(path.stem, part)], "float32")
    clouds = part["mask"] > 0
    disc = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), max(grow, 1))
    wide = [ndimage.binary_dilation(c, disc) if grow and c.any() else c for c in clouds]
    valid = ~(np.stack(wide) | (part["bands"] == 0).any(axis=1))
    row, col = (max(0, (n - crop) // 2) for n in valid.shape[1:])
    there = (..., slice(row, row + crop), slice(col, col + crop))
    order = np.argsort(days, kind="stable")
    return part["bands"][there][order].astype("float32"), valid[there][order], days[order]


def draw(valid: Bool, gap: str, count: int) -> list[tuple[int, list[int]]]:
    """Dates to predict, each with the dates left out."""
    t = len(valid)
    clear = [int(i) for i in np.flatnonzero(valid.mean((1, 2)) > CLEAR)]
    if gap == "first":
        return [(i, list(range(i + 1))) for i in clear[:1]]
    if gap == "last":
        return [(i, list(range(i, t))) for i in clear[-1:]]
    inside = [i for i in clear if 0 < i < t - 1]
    reach = int(gap == "consecutive")
    picks = np.unique(np.linspace(0, len(inside) - 1, min(count, len(inside))).round().astype(int))
    some = [inside[k] for k in picks]
    return [(i, [j for j in range(i - reach, i + reach + 1) if 0 <= j < t]) for i in some]


def errors(pixels: Float, valid: Bool, days: Float, target: int, out: list[int]) -> list[float]:
    """Mean absolute error of linear, nearest and prior on one date."""
    seen = valid.copy()
    seen[out] = False
    keep = [i for i in range(len(days)) if i == target or i not in out]
    at = keep.index(target)
    p, v, d = pixels[None, keep], seen[None, keep], days[keep]
    scored = valid[target] & seen.any(0)
    if not scored.any():
        return []
    means = [METHODS[name](p, v, d, at).mean[0] for name in ("linear", "nearest")]
    tensors = [torch.from_numpy(x) for x in (p, v, d)]
    means.append(estimate_prior(tensors[0], tensors[1], tensors[2], at).mean[0].numpy())
    return [float(np.abs(m - pixels[target])[:, scored].mean()) for m in means]


def main() -> None:
    """Print a table of all series."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cubes", type=Path, nargs="+")
    parser.add_argument(
        "--gap", default="middle", choices=["middle", "first", "last", "consecutive"]
    )
    parser.add_argument("--grow", type=int, default=0, help="px by which masks are grown")
    parser.add_argument("--crop", type=int, default=128, help="px of each side that are taken")
    parser.add_argument("--cases", type=int, default=10)
    args = parser.parse_args()
    print("| series | dates | linear | nearest | prior | nearest / linear | prior / linear |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ratios = []
    for path in args.cubes:
        pixels, valid, days = read(path, args.grow, args.crop)
        found = [errors(pixels, valid, days, i, o) for i, o in draw(valid, args.gap, args.cases)]
        rows = np.array([row for row in found if row])
        if not len(rows):
            continue
        ratio = (rows[:, 1:] / rows[:, :1]).mean(0)
        ratios.append(ratio)
        cells = [f"{v:.1f}" for v in rows.mean(0)] + [f"{v:.3f}" for v in ratio]
        print(f"| {path.stem} | {len(rows)} | " + " | ".join(cells) + " |", flush=True)
    if ratios:
        mean = " | ".join(f"{v:.3f}" for v in np.mean(ratios, axis=0))
        print(f"| mean | | | | | {mean} |")


if __name__ == "__main__":
    main()
