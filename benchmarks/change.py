"""How often `geot2t change` is wrong where nothing happened, and what it finds where something did.

Give folders with GeoTIFFs of one place each. Pairs of dates at most 16 days apart count as pairs
without event. Of folders given with --event, the first and the last date are compared; burnt is
where the normalised burn ratio fell by 0.27 or more, not burnt where it fell by less than 0.1
within 5 by 5 pixels (Key & Benson 2006). Prints a table in Markdown.

    python benchmarks/change.py series/ other/ --event fire_1/ --event fire_2/
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, stats

import geot2t
from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.io import open_stack
from geot2t.io.safe import Raster
from geot2t.sensors import band_at

NEAR = 16
"""Days apart at most for a pair without event."""

CLEAR = 0.8
"""Share of the pixels that must be judged for a pair to count."""


def main() -> None:
    """Compare all pairs and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--event", action="append", default=[], type=Path)
    parser.add_argument("--most", type=int, default=8, help="pairs of a folder at most")
    parser.add_argument("--method", default="prior")
    given = parser.parse_args()
    print("| pair without event | days | judged px | marked as changed | held out |")
    print("|---|---|---|---|---|")
    rates = []
    for before, after, days in _near(given.folders, given.most):
        try:
            result, _ = _compared(before, after, given.method)
        except InputError:  # clouds on either date hide nearly all of the other
            continue
        pixels = result.pixels
        judged = pixels["change"] + pixels["no_change"]
        if judged < CLEAR * sum(
            pixels[k] for k in ("change", "no_change", "not_judged", "no_data")
        ):
            continue
        rates.append(pixels["change"] / judged)
        held = "–" if result.false_alarm is None else f"{100 * result.false_alarm:.2f} %"  # noqa: RUF001
        name = f"{before.parent.name} {before.stem} to {after.stem}"
        print(f"| {name} | {days} | {judged} | {100 * rates[-1]:.2f} % | {held} |", flush=True)
    if rates:
        good = sum(0.007 <= r <= 0.013 for r in rates)
        print(f"\n{good} of {len(rates)} pairs within 30 % of the 1 % asked for; median "
              f"{100 * np.median(rates):.2f} %\n")  # fmt: skip
    print("| event | changed ha | AUROC | burnt found | not burnt marked | s |")
    print("|---|---|---|---|---|---|")
    for folder in given.event:
        print(_event(folder, given.method), flush=True)


def _dates(folder: Path) -> list[tuple[Any, Path]]:
    files = [p for p in sorted(folder.glob("*.tif")) if not p.stem.endswith(("_mask", "_SCL"))]
    with open_stack(files[0], files[1:], clouds="qa", need_dates=False) as stack:
        return list(zip(stack.dates, stack.paths, strict=True))


def _near(folders: list[Path], most: int) -> Iterator[tuple[Path, Path, int]]:
    for folder in folders:
        found = []
        for (day, before), (then, after) in pairwise(_dates(folder)):
            if day is not None and then is not None and (then - day).days <= NEAR:
                found.append((before, after, (then - day).days))
        yield from found[:: max(-(-len(found) // most), 1)]


def _compared(before: Path, after: Path, method: str) -> tuple[Any, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "change.tif"
        result = geot2t.change(before, after, out, method=method)
        shape = result.item["properties"]["proj:shape"]
        box = Box(0, 0, *shape)
        read = {
            end: Raster(out.with_name(f"change{end}.tif")) for end in ("_mask", "_significance")
        }
        mask = read["_mask"].read(box, 1)
        bands = len(result.item["assets"]["significance"]["bands"])
        joint = read["_significance"].read(box, bands)
        for raster in read.values():
            raster.close()
    return result, {"mask": mask, "joint": joint}


def _event(folder: Path, method: str) -> str:
    dates = _dates(folder)
    before, after = dates[0][1], dates[-1][1]
    begun = time.perf_counter()
    result, found = _compared(before, after, method)
    seconds = time.perf_counter() - begun
    with open_stack(after, [before], clouds="qa", need_dates=False) as stack:
        block = stack.read(stack.extent)
        near, short = (band_at(stack.wavelengths, at, 0.12) for at in (0.85, 2.2))
    cells = f"| {folder.name} | {result.hectares.get('change', 0):.0f} |"
    if near is None or short is None:
        return f"{cells} – | – | – | {seconds:.0f} |"  # noqa: RUF001
    ratio = (block.pixels[:, near] - block.pixels[:, short]) / np.maximum(
        block.pixels[:, near] + block.pixels[:, short], 1e-6
    )
    target = stack.target
    fell = ratio[1 - target] - ratio[target]
    judged = found["mask"] < 2
    burnt = judged & (ndimage.median_filter(fell, 3) > 0.27)
    not_burnt = judged & (ndimage.maximum_filter(fell, 5) < 0.1)
    marked = found["mask"] == 1
    if burnt.sum() < 20 or not_burnt.sum() < 200:
        return f"{cells} – | too few px | – | {seconds:.0f} |"  # noqa: RUF001
    return (
        f"{cells} {_auroc(found['joint'][burnt], found['joint'][not_burnt]):.3f} | "
        f"{100 * marked[burnt].mean():.0f} % | {100 * marked[not_burnt].mean():.2f} % | "
        f"{seconds:.0f} |"
    )


def _auroc(yes: Any, no: Any) -> float:
    """Chance that one of ``yes`` exceeds one of ``no``."""
    ranks = stats.rankdata(np.concatenate([yes, no]))
    return float((ranks[: len(yes)].sum() - len(yes) * (len(yes) + 1) / 2) / len(yes) / len(no))


if __name__ == "__main__":
    main()
