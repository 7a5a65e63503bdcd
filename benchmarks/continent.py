"""What a continent costs, worked out from what benchmarks/batch.py measured on one machine.

    python benchmarks/batch.py --json measured.json
    python benchmarks/continent.py measured.json [--tiles 1100] [--dates 100] [--gap 0.6]

The archive is Sentinel-2's of Europe for one year: 10.2 million km2 in tiles that show 100 km of
their own to either side, somewhat more as zones of UTM overlap; about a hundred dates of each tile,
as two satellites pass every five days and neighbouring swaths overlap; six pixels of ten under
clouds or outside of the swath. Four bands of 10 m. These are assumptions, and options.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

SIDE = 10980
"""Pixels of 10 m along a tile."""


def main() -> None:
    """Read, work out and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, help="JSON that benchmarks/batch.py wrote")
    parser.add_argument("--tiles", type=int, default=1100)
    parser.add_argument("--dates", type=int, default=100, help="scenes of each tile")
    parser.add_argument("--gap", type=float, default=0.6, help="share of pixels to be filled")
    parser.add_argument("--series", type=int, default=20, help="other dates read for each scene")
    parser.add_argument("--cores", type=int, default=1000, help="cores of the cluster")
    options = parser.parse_args()
    measured = json.loads(options.measured.read_text())
    one, load, tiny = measured["scene"], measured["scheduler"], measured["tiny"]["core_seconds"]

    scenes = options.tiles * options.dates
    pixels = SIDE * SIDE
    copy = one["core_seconds"]["copy"]
    # What it reads is shared out over its dates; what it writes is of one.
    read = one["read"] / one["dates"] * (1 + options.series) * pixels
    written = one["written"] * pixels
    print(f"scenes          {scenes}: {options.tiles} tiles, {options.dates} dates")
    print(f"pixels          {scenes * pixels / 1e12:.1f} T, {100 * options.gap:.0f} % to be filled")
    print(f"read            {read / 1e9:.2f} GB for each scene with {options.series} other dates, "
          f"{scenes * read / 1e15:.2f} PB")  # fmt: skip
    print(
        f"written         {written / 1e9:.2f} GB for each scene, {scenes * written / 1e12:.0f} TB"
    )
    for method, seconds in one["core_seconds"].items():
        if method == "copy":
            continue
        gap = one["gap_of_baselines" if method == "linear" else "gap"]
        fill = max(seconds - copy, 0) / gap
        each = pixels * (copy + fill * options.gap) + tiny["batch"] - tiny["alone"]
        days = scenes * each / options.cores / 86400
        rate = options.cores / each
        print(f"{method:15} {each / 3600:.2f} core hours for each scene, "
              f"{scenes * each / 3600 / 1e6:.2f} million in all; on {options.cores} cores "
              f"{days:.1f} days, {rate:.2f} scenes/s, {rate * read / 1e9:.1f} GB/s read, "
              f"{rate * written / 1e9:.2f} GB/s written")  # fmt: skip
        busy, most = rate / load["tasks_per_core_second"], load["tasks_per_core_second"] * each
        print(f"                scheduler {100 * busy:.2f} % of its core; all of it with "
              f"{most / 1e6:.1f} million cores")  # fmt: skip
    size = load["bytes_per_scene"] * scenes / 1e6
    print(f"scheduler       {size:.0f} MB describe all scenes; four for each thread at a time")


if __name__ == "__main__":
    main()
