"""What band and file names say of sensors."""

from __future__ import annotations

import numpy as np
import pytest

from geot2t.sensors import (
    LANDSAT,
    SENSOR_BANDS,
    product_scaling,
    sensor_in_tags,
    sensor_of,
    wavelengths,
)


@pytest.mark.parametrize(
    ("names", "sensor", "want"),
    [
        (["B02", "B03", "B04", "B08"], None, [0.492, 0.560, 0.665, 0.833]),
        (["B8A", "B11", "B12"], None, [0.865, 1.612, 2.194]),
        (["B2", "B3", "B4", "B8"], None, [0.492, 0.560, 0.665, 0.833]),
        (["SR_B2", "SR_B5", "SR_B7"], None, [0.482, 0.865, 2.201]),
        (["SR_B4", "SR_B5"], "landsat-5", [0.835, 1.650]),
        (["B05"], "hls-l30", [0.865]),
        (["sur_refl_b01", "sur_refl_b03"], None, [0.645, 0.469]),
        (["blue", "NIR", "swir 1", "Red"], None, [0.490, 0.842, 1.610, 0.660]),
        (["B2_blue", "B5_nir", "B6_swir1"], None, [0.490, 0.842, 1.610]),
        (["Red Edge 2", "nir08"], None, [0.740, 0.865]),
    ],
)
def test_wavelengths_follow_from_band_names(names, sensor, want) -> None:
    np.testing.assert_allclose(wavelengths(names, sensor), want, atol=1e-4)


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ({}, 0.740),  # numbers with a nought are those of Sentinel-2
        ({"SPACECRAFT_ID": "LANDSAT_8"}, 1.609),
        ({"LANDSAT_PRODUCT_ID": "LC08_L2SP_193028_20220601_20220610_02_T1"}, 1.609),
        ({"TIFFTAG_IMAGEDESCRIPTION": "Surface reflectance, Landsat 9"}, 1.609),
        ({"TITLE": "Landsat, clipped"}, 1.609),
        ({"TITLE": "Landsat 8 and Sentinel-2, harmonised"}, 0.740),
        ({"TITLE": "A polity and its oligarchs"}, 0.740),
    ],
)
def test_what_tags_say_goes_before_how_bands_are_numbered(tags, want) -> None:
    names = ["B02", "B03", "B04", "B05", "B06", "B07"]
    found = wavelengths(names, sensor_in_tags(tags))
    assert found[4] == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize(
    ("names", "nir"),
    [(["B1", "B2", "B3", "B4", "B5", "B7"], 0.835), (["B2", "B3", "B4", "B5"], np.nan)],
)
def test_which_landsat_is_told_from_its_bands_or_not_at_all(names, nir) -> None:
    found = wavelengths(names, LANDSAT)
    np.testing.assert_allclose(found[names.index("B4")], nir, atol=1e-4)


def test_a_sensor_without_such_bands_is_not_believed() -> None:
    assert wavelengths(["B04", "B8A"], "landsat-8").tolist() == wavelengths(["B04", "B8A"]).tolist()


def test_unknown_names_have_no_wavelength() -> None:
    assert np.isnan(wavelengths(["", "VV", "elevation", "B99"])).all()


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("S2A_MSIL2A_20220601T101031_N0400_R022_T32TPS_20220601T140000", "sentinel-2"),
        ("T32TPS_20220601T101031_B04_10m.jp2", "sentinel-2"),
        ("HLS.L30.T32TPS.2022152T101031.v2.0.B04.tif", "hls-l30"),
        ("HLS.S30.T32TPS.2022152T101031.v2.0.B04.tif", "sentinel-2"),
        ("LC08_L2SP_193028_20220601_20220610_02_T1_SR_B4.TIF", "landsat-8"),
        ("LT05_L2SP_193028_20100601_20200610_02_T1_SR_B4.TIF", "landsat-5"),
        ("LANDSAT_9", "landsat-8"),
        ("MOD13Q1.A2022153.h18v04.061.tif", "modis"),
        ("orchards_2022-06-01.tif", None),
    ],
)
def test_sensor_is_told_from_a_name(text, sensor) -> None:
    assert sensor_of(text) == sensor
    assert sensor is None or sensor in SENSOR_BANDS


def test_scale_is_known_only_where_the_product_fixes_it() -> None:
    landsat = product_scaling(
        "LC08_L2SP_193028_20220601_20220610_02_T1_SR_B4.TIF", "SR_B4", "uint16"
    )
    assert landsat is not None
    # The example of the product guide: 18 639 is a reflectance of 0.3126.
    assert 18639 * landsat.scale + landsat.offset == pytest.approx(0.3126, abs=1e-4)
    assert product_scaling("S2A_MSIL2A_20220601T101031.tif", "B04", "uint16") is None
    assert product_scaling("LC08_L2SP_193028_20220601_x.tif", "SR_B4", "float32") is None
