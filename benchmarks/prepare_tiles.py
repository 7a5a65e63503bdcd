#!/usr/bin/env python3
"""Turn the training archives into GeoTIFF folders, one for each place.

usage: prepare_tiles.py DATA_DIR OUT_DIR [--hold-out NAME ...] [--only NAME ...]

DATA_DIR holds the ``.npz`` cubes; OUT_DIR gets ``<place>/<date>.tif`` and
``<place>/<date>_mask.tif`` (1 = not observed), as ``geot2t train --tiles OUT_DIR`` reads them.
NAME is the start of a place's name, or a pattern such as ``s2_monthly_belgium_*``.

Rules, all of which the output records:

* A date is ``YYYY-MM-DD``. ``YYYYMMDD`` is rewritten. Where the archive has no date, a nominal one
  is given and the tag ``DATE_SOURCE`` says so; scenes of one place then keep their order.
  ``month-NN`` is the 15th of that month of 2021, the year being unknown.
* Two sets of dates are recovered from the data themselves: the five undated Slovenian scenes have
  the NDVI of five dated ones to the last digit; the 160 MODIS layers are the calendar years 2007 to
  2013 without 2013-07-28, of which the archive lists the 137 from 2007-09-14 to 2013-08-29 (16
  layers come before, 7 after; bare soil then falls into September, as it does in Mato Grosso).
* Of scenes with one date, the clearest stays.
* A mask made from a scene classification grows by 30 m, because it misses soft edges of clouds.
* A scene less than 10 % observed is left out, and so is a place whose clearest scene is less than
  70 % observed.
* A place without coordinates has no CRS; a rough one is not invented.
"""

from __future__ import annotations

import argparse
import fnmatch
import time
import warnings
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from archives import Place, Scene, places_of
from rasterio.errors import NotGeoreferencedWarning

LEAST_OF_SCENE, LEAST_OF_PLACE = 0.10, 0.70


def _usable(place: Place) -> list[Scene]:
    """Return the scenes worth keeping, in time, one for each date."""
    if max(s.observed for s in place.scenes) < LEAST_OF_PLACE:
        return []
    clearest: dict[date, Scene] = {}
    for scene in place.scenes:
        held = clearest.get(scene.day)
        if held is None or scene.observed > held.observed:
            clearest[scene.day] = scene
    return [s for _, s in sorted(clearest.items()) if s.observed >= LEAST_OF_SCENE]


def _write(place: Place, scenes: Sequence[Scene], folder: Path) -> int:
    """Write the scenes of a place and return the bytes they take."""
    folder.mkdir(parents=True)
    size = 0
    for scene in scenes:
        count, height, width = scene.bands.shape
        profile = {
            "driver": "GTiff", "height": height, "width": width, "transform": place.transform,
            "crs": place.crs, "compress": "deflate", "zlevel": 9, "tiled": True,
            "blockxsize": 256, "blockysize": 256,
        }  # fmt: skip
        picture, mask = (folder / f"{scene.day}{tail}.tif" for tail in ("", "_mask"))
        with rasterio.open(
            picture, "w", count=count, dtype="uint16", nodata=0, predictor=2, **profile
        ) as dst:
            dst.write(scene.bands.astype("uint16"))
            dst.descriptions = tuple(place.band_names)
            dst.scales, dst.offsets = (0.0001,) * count, (place.offset,) * count
            dst.update_tags(ACQUISITION_DATE=str(scene.day), DATE_SOURCE=scene.how)
            for i, name in enumerate(place.band_names, start=1):
                if name in place.wavelengths:
                    dst.update_tags(
                        i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(place.wavelengths[name])
                    )
        with rasterio.open(mask, "w", count=1, dtype="uint8", **profile) as dst:
            dst.write(scene.hidden.astype("uint8"), 1)
        size += picture.stat().st_size + mask.stat().st_size
    return size


def _named(name: str, patterns: Sequence[str]) -> bool:
    return any(name.startswith(p) or fnmatch.fnmatchcase(name, p) for p in patterns)


def main(argv: Sequence[str] | None = None) -> None:
    """Convert every cube and print what each became."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hold-out", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME")
    args = parser.parse_args(argv)

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    begun, total, kept = time.monotonic(), 0, 0
    cubes = sorted(args.data.glob("*.npz"))
    if not cubes:
        parser.error(f"{args.data} holds no .npz files")
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty: remove it first")
    for cube in cubes:
        with np.load(cube) as z:
            archive = {key: z[key] for key in z.files}
        places = scenes = size = 0
        for place in places_of(cube.stem, archive):
            if _named(place.name, args.hold_out) or not _named(place.name, args.only):
                continue
            if good := _usable(place):
                size += _write(place, good, args.out / place.name)
                places, scenes = places + 1, scenes + len(good)
        print(f"{cube.stem:32s} {places:4d} places {scenes:5d} scenes {size / 1e6:8.2f} MB")
        total, kept = total + size, kept + places
    print(f"{kept} places, {total / 1e6:.1f} MB, {time.monotonic() - begun:.0f} s -> {args.out}")


if __name__ == "__main__":
    main()
