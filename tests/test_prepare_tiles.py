"""What `benchmarks/prepare_tiles.py` makes of archives with odd dates, masks and coordinates."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import rasterio


def series(dates, hidden=None, *, transform=(10.0, 0, 5e5, 0, -10.0, 5e6), **more):
    """Arrays of a series archive; each date holds its own number in all pixels."""
    n = len(dates)
    bands = np.empty((n, 2, 8, 8), "uint16")
    bands[:] = np.arange(1, n + 1)[:, None, None, None]
    return {
        "bands": bands,
        "mask": np.zeros((n, 8, 8), "uint8") if hidden is None else hidden,
        "dates": np.array(dates),
        "band_names": np.array(["B04", "B08"]),
        "crs": np.array("EPSG:32632"),
        "transform": np.array(transform, "float64"),
        "scale": np.array("reflectance*10000"),
        "sensor": np.array("Sentinel-2 L2A"),
        "ground_resolution_m": np.array(10.0),
        **more,
    }


@pytest.fixture
def prepare(root, tmp_path):
    def run(*options, **archives):
        data = tmp_path / "data"
        data.mkdir()
        for name, arrays in archives.items():
            np.savez(data / f"{name}.npz", **arrays)
        script = root / "benchmarks" / "prepare_tiles.py"
        command = [sys.executable, script, data, tmp_path / "tiles", *options]
        subprocess.run(command, check=True, capture_output=True)
        return tmp_path / "tiles"

    return run


def test_scenes_carry_their_date_bands_and_grid(prepare):
    tiles = prepare(place=series(["2020-01-02", "20200103"]))
    names = sorted(p.name for p in (tiles / "place").iterdir())
    assert names == [f"2020-01-0{d}{tail}.tif" for d in (2, 3) for tail in ("", "_mask")]
    with rasterio.open(tiles / "place" / "2020-01-03.tif") as src:
        assert src.tags()["ACQUISITION_DATE"] == "2020-01-03"
        assert src.tags()["DATE_SOURCE"] == "recorded"
        assert src.descriptions == ("B04", "B08")
        assert src.nodata == 0
        assert src.scales == (0.0001, 0.0001)
        assert src.crs.to_epsg() == 32632
        assert (src.read() == 2).all()


def test_months_without_year_and_scenes_without_date_say_that_they_are_nominal(prepare):
    tiles = prepare(monthly=series(["month-01", "month-12"]), undated=series(["ref0", "ref1"]))
    for place in ("monthly", "undated"):
        scenes = [p for p in (tiles / place).iterdir() if "mask" not in p.name]
        assert len(scenes) == 2
        for path in scenes:
            with rasterio.open(path) as src:
                assert src.tags()["DATE_SOURCE"].startswith("nominal")
    assert (tiles / "monthly" / "2021-12-15.tif").exists()


def test_of_two_scenes_of_one_date_the_clearer_stays(prepare):
    hidden = np.zeros((2, 8, 8), "uint8")
    hidden[0, :3] = 1
    tiles = prepare(place=series(["2020-01-01", "2020-01-01"], hidden))
    with rasterio.open(tiles / "place" / "2020-01-01.tif") as src:
        assert (src.read() == 2).all()


def test_what_shows_too_little_is_left_out(prepare):
    hidden = np.zeros((2, 8, 8), "uint8")
    hidden[0] = 1  # nothing to see on this date
    half = np.zeros((1, 8, 8), "uint8")
    half[:, :4] = 1  # nor enough in this place
    tiles = prepare(
        place=series(["2020-01-01", "2020-01-02"], hidden), half=series(["2020-01-01"], half)
    )
    assert sorted(p.name for p in tiles.rglob("*.tif")) == ["2020-01-02.tif", "2020-01-02_mask.tif"]


def test_a_classification_mask_grows_by_thirty_metres(prepare):
    hidden = np.zeros((1, 8, 8), "uint8")
    hidden[0, 0, 0] = 1
    tiles = prepare(place=series(["2020-01-01"], hidden, scl=np.full((1, 8, 8), 4, "uint8")))
    with rasterio.open(tiles / "place" / "2020-01-01_mask.tif") as src:
        grown = src.read(1)
    assert grown[0, 3] == 1
    assert grown[0, 4] == 0


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_unknown_coordinates_stay_unknown(prepare):
    tiles = prepare(place=series(["2020-01-01"], transform=[np.nan] * 6))
    with rasterio.open(tiles / "place" / "2020-01-01.tif") as src:
        assert src.crs is None
        assert src.transform.is_identity


def test_places_can_be_held_out(prepare):
    days = ["2020-01-01"]
    tiles = prepare(
        "--hold-out", "south", "*_b", south=series(days), north_a=series(days), north_b=series(days)
    )
    assert [p.name for p in tiles.iterdir()] == ["north_a"]
