#!/usr/bin/env python3
"""Cut the sample that ships with the package out of a cube of real Sentinel-2 scenes.

usage: make_sample.py CUBE.npz OUT_DIR

OUT_DIR gets ``<date>.tif`` (blue, green, red, near infrared) and ``<date>_SCL.tif`` (scene
classification, as delivered) for every date, ``<DEMO>_mask.tif`` and ``README.md``. The scene
classification misses the thin edge of the demonstration date's cloud and most of its shadow, as it
often does, so that date has a mask of its own beside it: pixels that differ from the median of the
clear dates by more than 0.02, or are brighter in blue by 0.011, smoothed, near what the
classification marks, and grown by 50 m.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW, COL, SIDE = 60, 0, 256
DEMO = "2022-06-10"
WAVELENGTHS = {"B02": 0.490, "B03": 0.560, "B04": 0.665, "B08": 0.842}
COLOURS = {"B02": "blue", "B03": "green", "B04": "red"}
CLOUDY = (0, 1, 3, 8, 9, 10)

README = """# The sample scene

Twelve Sentinel-2 Level-2A scenes of June 2022 over the Adige valley and Bolzano, South Tyrol,
Italy: orchards, forest, town and river. {side} by {side} pixels of 10 m, bands
{bands}, surface reflectance times 10 000, 0 = no data.

`<date>.tif` is the scene and `<date>_SCL.tif` its scene classification as delivered.
`{demo}.tif` is the scene that `geot2t demo` fills: a cloud and its shadow hide part of it.
Its classification misses the cloud's thin edge and most of the shadow, so `{demo}_mask.tif`
marks them (1 = not observed). It was made by `benchmarks/make_sample.py`, which says how.

Contains modified Copernicus Sentinel data 2022. Free, full and open; keep this line with copies.

Source: {source}.

Licence of the source: {licence}.
"""


def demo_mask(
    scene: NDArray[np.uint16], clear: NDArray[np.uint16], marked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return where cloud or shadow hides ``scene``, shape ``(y, x)``.

    Parameters
    ----------
    scene : ndarray of uint16, shape ``(band, y, x)``
        Reflectance times 10 000.
    clear : ndarray of uint16, shape ``(time, band, y, x)``
        Clear dates of the same place.
    marked : ndarray of bool, shape ``(y, x)``
        What the scene classification marks; clouds and shadows are looked for around it.
    """
    apart = scene.astype("float32") - np.median(clear, axis=0)
    # The first band is blue, which haze brightens most.
    haze, anything = (ndimage.gaussian_filter(a, 2) for a in (apart[0], np.abs(apart).mean(axis=0)))
    differs = (anything > 200) | (haze > 110)
    near = ndimage.binary_dilation(differs | marked, iterations=3)
    pieces, _ = ndimage.label(near)
    seeds = ndimage.binary_opening(marked, iterations=3)
    touched = np.unique(pieces[seeds])
    cloud = (differs | marked) & np.isin(pieces, touched[touched > 0])
    away: NDArray[np.float64] = ndimage.distance_transform_edt(~cloud)
    return away <= 5


def _write(path: Path, pixels: NDArray[Any], profile: dict[str, Any], **tags: str) -> None:
    with rasterio.open(
        path, "w", count=len(pixels), dtype=pixels.dtype, predictor=2, **profile
    ) as dst:
        dst.write(pixels)
        dst.update_tags(**tags)


def main() -> None:
    """Write the sample and print what it weighs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cube", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    warnings.simplefilter("ignore", NotGeoreferencedWarning)

    with np.load(args.cube) as z:
        cut = (..., slice(ROW, ROW + SIDE), slice(COL, COL + SIDE))
        bands, scl = z["bands"][cut], z["scl"][cut]
        dates, names = [str(d) for d in z["dates"]], [str(n) for n in z["band_names"]]
        corner = Affine(*map(float, z["transform"][:6])) * Affine.translation(COL, ROW)
        crs, source, licence = (str(z[key]) for key in ("crs", "source", "licence"))

    args.out.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "height": SIDE, "width": SIDE, "crs": crs, "transform": corner,
        "compress": "deflate", "zlevel": 9, "tiled": True, "blockxsize": 256, "blockysize": 256,
    }  # fmt: skip
    for day, pixels, classes in zip(dates, bands, scl, strict=True):
        path = args.out / f"{day}.tif"
        _write(path, pixels, {**profile, "nodata": 0, "interleave": "band"}, ACQUISITION_DATE=day)
        with rasterio.open(path, "r+") as dst:
            dst.descriptions = tuple(names)
            dst.scales = (0.0001,) * len(names)
            dst.colorinterp = [
                rasterio.enums.ColorInterp[COLOURS.get(n, "undefined")] for n in names
            ]
            for i, name in enumerate(names, start=1):
                dst.update_tags(i, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{WAVELENGTHS[name]:.3f}")
        _write(args.out / f"{day}_SCL.tif", classes[None], profile)

    i = dates.index(DEMO)
    marked = np.isin(scl, CLOUDY)
    good = [
        t for t in range(len(dates)) if marked[t].mean() < 0.01 and (bands[t] > 0).mean() > 0.98
    ]
    hidden = demo_mask(bands[i], bands[good], marked[i])
    _write(args.out / f"{DEMO}_mask.tif", hidden[None].astype("uint8"), profile)
    (args.out / "README.md").write_text(
        README.format(side=SIDE, bands=", ".join(names), demo=DEMO, source=source, licence=licence)
    )
    size = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{len(dates)} dates, {size / 1e6:.2f} MB -> {args.out}; clear: {len(good)}")
    print(f"{DEMO}: {marked[i].mean():.1%} marked by SCL, {hidden.mean():.1%} by the mask")


if __name__ == "__main__":
    main()
