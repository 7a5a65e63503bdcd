"""Make the pictures of docs/score.md and docs/generate.md from the sample that ships.

python benchmarks/make_realism_pictures.py docs/images
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

import geot2t
from geot2t.drawing import WAYS
from geot2t.flaws import FLAWS, flawed
from geot2t.generate import generate
from geot2t.score import score

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

SAMPLE = Path(geot2t.__file__).parent / "data" / "sample"
CLEAR = "2022-06-12"
PATCH = 64
PLACES = ((8, 8), (8, 96), (8, 184), (96, 40), (184, 130))
"""Corners of the flaws in the picture, in the order of `FLAWS`."""
RGB = [2, 1, 0]


def shown(bands: NDArray[Any], white: float = 0.2) -> NDArray[np.float64]:
    """Reflectances ``(b, y, x)`` of blue, green and red as a picture; ``white`` is shown white."""
    out: NDArray[np.float64] = np.clip(np.moveaxis(bands[RGB], 0, -1) / white, 0, 1) ** 0.75
    return out


def spoilt(scene: Path, out: Path) -> NDArray[np.float64]:
    """Write ``scene`` with every flaw laid over a part of it; returns it as reflectance."""
    with rasterio.open(scene) as src:
        profile, values, names = src.profile, src.read(), src.descriptions
        scales = src.scales
    image = torch.from_numpy(values.astype("float32"))[None]
    mean, spread = image.mean((2, 3), keepdim=True), image.std((2, 3), keepdim=True)
    level = (image - mean) / spread
    for i, (name, (row, col)) in enumerate(zip(FLAWS, PLACES, strict=True)):
        where = torch.zeros_like(level[:, :1], dtype=torch.bool)
        where[..., row : row + PATCH, col : col + PATCH] = True
        level = flawed(level, where, np.random.default_rng(i), name)
    changed = (level * spread + mean).round().clamp(1, 65535)[0].numpy().astype("uint16")
    with rasterio.open(out, "w", **profile) as dst:
        dst.write(changed)
        dst.descriptions, dst.scales = names, scales
    return changed * 1e-4


def picture_of_scores(folder: Path, temp: Path) -> None:
    """A clear date as it is and with flaws, and the score of both."""
    clean = temp / f"{CLEAR}.tif"
    shutil.copy(SAMPLE / clean.name, clean)
    bad = temp / "flaws.tif"
    with rasterio.open(clean) as src:
        images = [src.read() * 1e-4, spoilt(clean, bad)]
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 7), layout="constrained")
    for row, (path, image) in enumerate(zip((clean, bad), images, strict=True)):
        with rasterio.open(score(path, clouds="none").path) as src:
            token = src.read(1)
        axes[row, 0].imshow(shown(image), interpolation="nearest")
        drawn = axes[row, 1].imshow(token, vmin=0, vmax=100, cmap="RdYlGn")
        axes[row, 1].set_title(f"score, {('as observed', 'with flaws')[row]}", fontsize=9)
        axes[row, 0].set_title(("a clear date", "with five flaws")[row], fontsize=9)
    for name, (r, c) in zip(FLAWS, PLACES, strict=True):
        for axis in axes[1]:
            axis.add_patch(Rectangle((c, r), PATCH, PATCH, fill=False, ec="black", lw=1))
        axes[1, 0].text(c + 2, r - 2, name, fontsize=7, color="white")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.colorbar(
        drawn, ax=axes, shrink=0.4, label="per cent of real ground that looks less real"
    )
    figure.savefig(folder / "score.png", dpi=68)


def picture_of_draws(folder: Path, temp: Path) -> None:
    """Draws by class and like the sample, by both ways, and the sample moved to winter."""
    scene, summer = temp / f"{CLEAR}.tif", date(2022, 7, 1)
    titled: dict[str, Path] = {}
    for way in WAYS:
        for kind in ("annual-crop", "forest", "residential"):
            found = generate(temp / f"{way} {kind}", kind=kind, size=192, day=summer, by=way)
            titled[f"{kind}, {way}"] = found.paths[0]
        found = generate(temp / f"{way} like", like=scene, by=way)
        titled[f"like the sample, {way}"] = found.paths[0]
    winter = date(2022, 1, 15)
    for kind in ("river", "highway"):
        titled[f"{kind}, network"] = generate(temp / kind, kind=kind, size=192).paths[0]
    titled["the sample, 12 June"] = scene
    titled["moved to 15 January"] = generate(temp / "w", like=scene, day=winter).paths[0]
    figure, axes = plt.subplots(3, 4, figsize=(9, 7.2), layout="constrained")
    for axis, (title, path) in zip(axes.flat, titled.items(), strict=True):
        with rasterio.open(path) as src:
            image = shown(src.read() * 1e-4, 0.2 if "sample" in str(title) + str(path) else 0.3)
        axis.imshow(image[:192, :192], interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    figure.savefig(folder / "generate.png", dpi=54)


def main() -> None:
    """Make both."""
    import sys

    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as temp:
        picture_of_scores(folder, Path(temp))
        picture_of_draws(folder, Path(temp))


if __name__ == "__main__":
    main()
