"""The script that makes scenes with a class of the archives makes what ``--classes`` reads."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from geot2t.scenery import read_classes

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four images of EuroSAT's kind, and a chip of which a quarter is water."""
    folder = tmp_path / "data"
    folder.mkdir()
    with zipfile.ZipFile(folder / "eurosat_rgb_2500.zip", "w") as archive:
        for i in range(4):
            with MemoryFile() as memory:
                with memory.open(driver="JPEG", width=64, height=64, count=3, dtype="uint8") as dst:
                    dst.write(np.full((3, 64, 64), 51 * (i + 1), "uint8"))
                archive.writestr(f"SeaLake/SeaLake_{i}.jpg", memory.read())
    cover = np.full((1, 128, 128), 10)
    cover[:, :64, :64] = 80
    cover[:, :, 64:] = np.arange(64) % 2 * 10 + 40  # half crops, half houses: of no class
    np.savez(
        folder / "hls_chips.npz",
        bands=np.full((1, 6, 128, 128), 500, "int16"),
        landcover=cover,
        mask=np.zeros((1, 128, 128), bool),
        band_names=[f"t0_{n}" for n in ("B02", "B03", "B04", "B8A", "B11", "B12")],
    )
    return folder


def test_scenes_have_classes_and_reflectances(
    data: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    from prepare_classes import main

    out = tmp_path / "classes"
    main([str(data), str(out), "--half"])
    found = read_classes(out / "classes.csv")
    kinds = sorted(found.values())
    assert kinds == ["sea-lake"] * 2 + ["tree-cover"] * 4 + ["water"] * 4
    with rasterio.open(out / "sea-lake" / "eurosat_0002.tif") as file:
        assert file.descriptions == ("B04", "B03", "B02")
        np.testing.assert_allclose(file.read() * file.scales[0], 0.275 * 153 / 255, atol=2e-3)
    water = next(path for path, kind in found.items() if kind == "water")
    with rasterio.open(water) as file:
        assert (file.count, file.shape) == (6, (32, 32))
        assert (file.read() == 500).all()
    sys.modules.pop("prepare_classes", None)
