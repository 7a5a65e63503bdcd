#!/usr/bin/env python3
"""Turn the archives with classes into GeoTIFFs and the CSV that ``geot2t train --classes`` reads.

usage: prepare_classes.py DATA_DIR OUT_DIR [--half]

OUT_DIR gets ``<class>/<name>.tif`` and ``classes.csv``. Of ``eurosat_rgb_2500.zip``, whose 8-bit
values are taken as reflectances of 0 to 0.275, each image becomes a scene; with ``--half`` only
every other one, so that the rest can tell how well a class is recognised. Of ``hls_chips.npz``
every 32 px of which at least four fifths are of one class of ESA WorldCover become one.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from make_ground import Labelled, eurosat, land_covers
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning


def write(path: Path, reflectance: NDArray[np.floating[Any]], names: Sequence[str]) -> None:
    """Write reflectances ``(b, y, x)`` times 10 000; 0 is nodata."""
    bands, height, width = reflectance.shape
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint16", count=bands, height=height, width=width,
        nodata=0, compress="deflate", predictor=2,
    ) as out:  # fmt: skip
        out.write(np.clip(np.round(reflectance * 1e4), 1, 65535).astype("uint16"))
        out.descriptions, out.scales = tuple(names), (1e-4,) * bands


def main(argv: Sequence[str] | None = None) -> None:
    """Write all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--half", action="store_true")
    args = parser.parse_args(argv)
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty: remove it first")
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    step = 2 if args.half else 1
    sources: list[tuple[str, int, Labelled]] = [
        ("eurosat", step, eurosat(args.data / "eurosat_rgb_2500.zip")),
        ("hls", 1, land_covers(args.data / "hls_chips.npz")),
    ]
    rows = []
    for source, every, labelled in sources:
        for number, (kind, pixels, names) in zip(count(), labelled, strict=False):
            if number % every == 0:
                path = args.out / kind / f"{source}_{number:04}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path, pixels, names)
                rows.append((path.relative_to(args.out).as_posix(), kind))
    with (args.out / "classes.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "class"), *rows])
    print(f"{len(rows)} scenes of {len({k for _, k in rows})} classes -> {args.out}")


if __name__ == "__main__":
    main()
