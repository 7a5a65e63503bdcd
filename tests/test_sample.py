"""The sample that ships: small, complete, attributed, and readable by any GIS."""

from __future__ import annotations

import re

import numpy as np
import pytest
import rasterio

DEMO = "2022-06-10"


def scenes(folder):
    return sorted(p for p in folder.glob("*.tif") if re.fullmatch(r"\d{4}-\d\d-\d\d", p.stem))


def test_twelve_dates_each_with_a_classification(sample):
    found = scenes(sample)
    assert len(found) == 12
    assert all((sample / f"{p.stem}_SCL.tif").exists() for p in found)


def test_it_weighs_less_than_four_megabytes(sample):
    assert sum(p.stat().st_size for p in sample.iterdir()) < 4e6


def test_all_rasters_share_one_grid(sample):
    grids = set()
    for path in sample.glob("*.tif"):
        with rasterio.open(path) as src:
            grids.add((src.crs.to_epsg(), src.transform, src.shape))
    assert len(grids) == 1
    ((epsg, transform, shape),) = grids
    assert epsg == 32632
    assert (transform.a, transform.e) == (10, -10)
    assert shape == (256, 256)


def test_scenes_say_what_they_hold(sample):
    for path in scenes(sample):
        with rasterio.open(path) as src:
            assert src.dtypes == ("uint16",) * 4
            assert src.nodata == 0
            assert src.descriptions == ("B02", "B03", "B04", "B08")
            assert src.scales == (0.0001,) * 4
            assert src.tags()["ACQUISITION_DATE"] == path.stem
            waves = [float(src.tags(i, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]) for i in src.indexes]
            assert waves == [0.490, 0.560, 0.665, 0.842]


def test_the_demonstration_date_is_mostly_clear_with_a_real_gap(sample):
    with rasterio.open(sample / f"{DEMO}_mask.tif") as src:
        hidden = src.read(1)
    assert set(np.unique(hidden)) == {0, 1}
    assert 0.15 < hidden.mean() < 0.40


@pytest.mark.parametrize("words", ["Contains modified Copernicus Sentinel data 2022", "Apache-2.0"])
def test_source_and_licence_travel_with_it(sample, words):
    assert words in (sample / "README.md").read_text()
