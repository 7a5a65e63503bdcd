#!/usr/bin/env python3
"""Draw the picture of the README: the sample scene before, filled, whence, and how surely.

usage: make_picture.py [OUT.png] [--scene SCENE.tif --series PATH] [--rows A B --cols A B]

Runs the real pipeline on the sample that ships with the package, or on any scene with red, green,
blue and, preferably, near infrared bands.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import rasterio

import geot2t

if TYPE_CHECKING:
    from numpy.typing import NDArray

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

SAMPLE = Path(geot2t.__file__).parent / "data" / "sample"
PROVENANCE = {
    0: ("not filled", "#000000"),
    1: ("observed", "#d9d9d9"),
    2: ("predicted, other dates", "#2c7fb8"),
    3: ("predicted, surroundings", "#d95f0e"),
}
COLOURS = {
    "red": ("B04", "red", "B4"),
    "green": ("B03", "green", "B3"),
    "blue": ("B02", "blue", "B2"),
}


def rgb_bands(names: tuple[str | None, ...]) -> list[int]:
    """Return the indices of red, green and blue among band names; the first three if unnamed."""
    found = []
    for spellings in COLOURS.values():
        hits = [i for i, n in enumerate(names) if n in spellings]
        found += hits[:1]
    return found if len(found) == 3 else [min(i, len(names) - 1) for i in range(3)]


def read(path: Path) -> tuple[NDArray[Any], tuple[str | None, ...]]:
    """Return pixels ``(band, y, x)``, NaN where nodata, and band names."""
    with rasterio.open(path) as src:
        return src.read(masked=True).astype("float64").filled(np.nan), src.descriptions


def stretched(pixels: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.float64]:
    """Return a picture ``(y, x, 3)`` of three bands, ``low`` black and ``high`` white."""
    span = np.maximum(high - low, 1e-9)[:, None, None]
    picture = np.clip((np.nan_to_num(pixels) - low[:, None, None]) / span, 0, 1) ** 0.6
    return np.moveaxis(picture, 0, -1)


def draw(scene: Path, filled: Path, out: Path, cut: tuple[slice, slice]) -> None:
    """Draw the four panels.

    Parameters
    ----------
    scene, filled : Path
        Before and after; the quality and error rasters lie beside ``filled``.
    out : Path
        The picture; its ending says the format.
    cut : tuple of slice
        Rows and columns to show.
    """
    before, names = read(scene)
    after, _ = read(filled)
    quality, _ = read(filled.with_name(f"{filled.stem}_quality.tif"))
    error, _ = read(filled.with_name(f"{filled.stem}_error.tif"))
    with rasterio.open(scene) as src:
        scale = src.scales[0]

    rgb = rgb_bands(names)
    observed = quality[0] == 1
    stretch_on = after[rgb][:, observed] if observed.any() else after[rgb].reshape(3, -1)
    low, high = np.nanpercentile(stretch_on, (1, 99), axis=1)
    predicted = quality[0] >= 2
    half_width = np.where(predicted, error.mean(axis=0) * scale, np.nan)

    figure, axes = plt.subplots(2, 2, figsize=(9, 9.5), layout="constrained")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].imshow(stretched(before[rgb], low, high)[cut])
    axes[0, 0].set_title(f"before: {predicted.mean():.0%} to predict")
    axes[0, 1].imshow(stretched(after[rgb], low, high)[cut])
    axes[0, 1].set_title("filled")
    table = ListedColormap([colour for _, colour in PROVENANCE.values()])
    axes[1, 0].imshow(quality[0][cut], cmap=table, vmin=-0.5, vmax=3.5, interpolation="nearest")
    axes[1, 0].set_title("provenance")
    there = [key for key in PROVENANCE if (quality[0] == key).any()]
    axes[1, 0].legend(
        handles=[Patch(color=PROVENANCE[k][1], label=PROVENANCE[k][0]) for k in there],
        loc="lower left", fontsize=8,
    )  # fmt: skip
    axes[1, 1].set_facecolor("#f0f0f0")
    shown = axes[1, 1].imshow(half_width[cut], cmap="magma_r", interpolation="nearest", vmin=0)
    axes[1, 1].set_title("error: half-width of the 90 % interval")
    bar = axes[1, 1].inset_axes((0.05, 0.12, 0.45, 0.03))
    figure.colorbar(shown, cax=bar, orientation="horizontal").set_label("mean of the bands")
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Fill the scene, draw it, and print where the picture is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/images/before_after.png"))
    parser.add_argument("--scene", type=Path, default=SAMPLE / "2022-06-10.tif")
    parser.add_argument("--series", type=Path, default=None, help="default: the scene's folder")
    parser.add_argument("--rows", type=int, nargs=2, default=(0, None), metavar=("A", "B"))
    parser.add_argument("--cols", type=int, nargs=2, default=(0, None), metavar=("A", "B"))
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        filled = Path(folder) / "filled.tif"
        geot2t.inpaint(args.scene, filled, series=[args.series or args.scene.parent])
        draw(args.scene, filled, args.out, (slice(*args.rows), slice(*args.cols)))
    print(args.out)


if __name__ == "__main__":
    main()
