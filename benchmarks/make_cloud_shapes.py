#!/usr/bin/env python3
"""Collect the cloud shapes that ship with the package from real cloud masks.

usage: make_cloud_shapes.py DATA_DIR [OUT.npz]

DATA_DIR holds the NumPy archives named below in `SOURCES`, each with a `mask` (or the Sentinel-2
scene classification `scl`) of shape (time, y, x). Shapes that hide less than 3 or more than 97 %
of their image say little and are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

SOURCES = {
    "dev/l8_biome_cloudmasks": (
        "mask",
        (64, 192, 255),
        "Landsat 8 Biome manual masks of cloud and cloud shadow, 30 m; USGS, public domain",
    ),
    "train/s2_ndvi_slovenia_68dates": (
        "mask",
        (1,),
        (
            "s2cloudless masks, coast of Slovenia, 10 m; eo-learn example data, MIT; "
            "contains modified Copernicus Sentinel data 2015-2017"
        ),
    ),
    "train/s2_wc_0000280849bac91c": (
        "scl",
        (3, 8, 9, 10),
        (
            "Sentinel-2 scene classification, Flanders, 10 m; WorldCereal test data, MIT; "
            "contains modified Copernicus Sentinel data"
        ),
    ),
    "train/s2_gfmap_bap_quintad_cdse_9": (
        "scl",
        (3, 8, 9, 10),
        (
            "Sentinel-2 scene classification, 10 m; openeo-gfmap test data, Apache-2.0; "
            "contains modified Copernicus Sentinel data"
        ),
    ),
    "train/s2_gfmap_test_optical_cube_7": (
        "scl",
        (3, 8, 9, 10),
        (
            "Sentinel-2 scene classification, 10 m; openeo-gfmap test data, Apache-2.0; "
            "contains modified Copernicus Sentinel data"
        ),
    ),
}


def collect(data: Path) -> dict[str, np.ndarray]:
    """Bit-packed shapes, their sizes, and where each came from, as `CloudShapes` loads them."""
    bits, sizes, origin = [], [], []
    for number, (name, (key, classes, _)) in enumerate(SOURCES.items()):
        with np.load(data / f"{name}.npz") as archive:
            images = np.isin(archive[key], classes)
        for hidden in images:
            if 0.03 <= hidden.mean() <= 0.97:
                bits.append(np.packbits(hidden))
                sizes.append(hidden.shape)
                origin.append(number)
    return {
        "bits": np.concatenate(bits),
        "sizes": np.array(sizes, "uint16"),
        "origin": np.array(origin, "uint8"),
        "sources": np.array([text for _, _, text in SOURCES.values()]),
    }


def main() -> None:
    """Write the library and print what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    out = Path(__file__).parents[1] / "geot2t" / "data" / "cloud_shapes.npz"
    parser.add_argument("out", type=Path, nargs="?", default=out)
    given = parser.parse_args()
    library = collect(given.data)
    np.savez_compressed(given.out, allow_pickle=False, **library)
    print(f"{given.out}: {len(library['sizes'])} shapes, {given.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
