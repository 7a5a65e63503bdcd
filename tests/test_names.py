"""Dates, kinds and belongings told from file names."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geot2t.io.names import band_token, date_in_name, qa_kind, scenes_among, scenes_in, sidecars

DAY = date(2022, 6, 1)
S2_BAND = "T32TPS_20220601T101031_B04_10m.jp2"
LANDSAT = "LC08_L2SP_193028_20220601_20220610_02_T1"
HLS = "HLS.S30.T32TPS.2022152T101031.v2.0"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "S2A_MSIL2A_20220601T101031_N0400_R022_T32TPS_20230115T140000.tif",
        S2_BAND,
        f"{LANDSAT}_SR_B4.TIF",
        "LC81930282022152LGN00_B4.TIF",
        f"{HLS}.B04.tif",
        "MOD13Q1.A2022152.h18v04.061.2022170033224.tif",
        "2022-06-01.tif",
        "orchard_2022_6_1_v2.tif",
        "x20220601T101031.tif",
        "20220601.tif",
    ],
)
def test_the_acquisition_date_is_found(name) -> None:
    assert date_in_name(name) == DAY


@pytest.mark.parametrize(
    "name",
    [
        "scene.tif",
        "2022-13-01.tif",
        "20220231.tif",
        "tile_1234567890.tif",
        "2022400.tif",
        "v2.0.1.tif",
    ],
)
def test_what_is_no_date_is_not_taken_for_one(name) -> None:
    assert date_in_name(name) is None


@given(day=st.dates(date(1972, 1, 1), date(2099, 12, 31)))
def test_every_day_survives_each_spelling(day) -> None:
    ordinal = (day - date(day.year, 1, 1) + timedelta(1)).days
    spellings = [f"{day}", f"{day:%Y%m%d}", f"{day:%Y_%m_%d}", f"{day.year:04}{ordinal:03}"]
    assert {date_in_name(f"a_{text}_b.tif") for text in spellings} == {day}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("T32TPS_20220601T101031_SCL_20m.jp2", "SCL"),
        ("2022-06-01_SCL.tif", "SCL"),
        ("SCL_2022-06-01.tif", "SCL"),
        ("MSK_CLDPRB_20m.jp2", "MSK_CLDPRB"),
        (f"{LANDSAT}_QA_PIXEL.TIF", "QA_PIXEL"),
        ("LC08_L1TP_193028_20180601_20180610_01_T1_BQA.TIF", "BQA"),
        (f"{HLS}.Fmask.tif", "Fmask"),
        ("a_mask.tif", "mask"),
        ("muscl.tif", None),
        ("2022-06-01.tif", None),
        ("unmask.tif", None),
    ],
)
def test_quality_rasters_are_known_by_name(name, kind) -> None:
    assert qa_kind(name) == kind


def test_bands_of_a_product_are_told_apart() -> None:
    assert band_token(S2_BAND) == "B04_10M"
    assert band_token(f"{LANDSAT}_SR_B4.TIF") == "SR_B4"
    assert band_token(f"{HLS}.B8A.tif") == "B8A"
    assert band_token("2022-06-01.tif") is None


@pytest.mark.parametrize(
    ("scene", "files", "want"),
    [
        ("a.tif", ["a_mask.tif", "b_mask.tif"], {"mask": "a_mask.tif"}),
        ("a.tif", ["a_SCL.tif", "a_2.tif"], {"SCL": "a_SCL.tif"}),
        ("a_2.tif", ["a_SCL.tif"], {}),
        ("20220601.tif", ["20220601_SCL.tif", "20220603_SCL.tif"], {"SCL": "20220601_SCL.tif"}),
        ("x_2022-06-01.tif", ["SCL_2022-06-01.tif"], {"SCL": "SCL_2022-06-01.tif"}),
        (f"{LANDSAT}_SR_B4.TIF", [f"{LANDSAT}_BQA.TIF"], {"BQA": f"{LANDSAT}_BQA.TIF"}),
        (f"{HLS}.B04.tif", [f"{HLS}.Fmask.tif"], {"Fmask": f"{HLS}.Fmask.tif"}),
        ("S2_20220601/B04.tif", ["S2_20220601/SCL.tif"], {"SCL": "S2_20220601/SCL.tif"}),
        ("2022-06-01.tif", ["SCL.tif"], {}),
        ("a.tif", [".a_mask.tif", "a_mask.png"], {}),
    ],
)  # fmt: skip
def test_quality_rasters_belong_to_the_scene_they_are_named_after(
    tmp_path, scene, files, want
) -> None:
    touch(tmp_path, scene, *files)
    found = {kind: str(p.relative_to(tmp_path)) for kind, p in sidecars(tmp_path / scene)}
    assert found == want


def test_a_sentinel_2_product_is_searched_as_a_whole(tmp_path) -> None:
    granule = tmp_path / "S2A.SAFE" / "GRANULE" / "L2A_T32TPS"
    scl = "IMG_DATA/R20m/T32TPS_20220601T101031_SCL_20m.jp2"
    coarse = "IMG_DATA/R60m/T32TPS_20220601T101031_SCL_60m.jp2"
    probability = "QI_DATA/MSK_CLDPRB_20m.jp2"
    touch(granule, f"IMG_DATA/R10m/{S2_BAND}", scl, coarse, probability)
    found = dict(sidecars(granule / "IMG_DATA" / "R10m" / S2_BAND))
    assert found == {"SCL": granule / scl, "MSK_CLDPRB": granule / probability}


def test_a_directory_gives_scenes_only(tmp_path) -> None:
    touch(
        tmp_path,
        "2022-06-01.tif",
        "2022-06-03.TIFF",
        "2022-06-01_mask.tif",
        "2022-06-01_SCL.tif",
        "2022-06-01_filled.tif",
        "2022-06-01_filled_quality.tif",
        "2022-06-01_filled_error.tif",
        "2022-06-01_filled.json",
        "result.tif",
        "result_quality.tif",
        "result_error.tif",
        ".2022-06-05.tif.part",
        ".2022-06-05.tif",
        "readme.txt",
        "2022-06-09_B04.tif",
    )
    names = [p.name for p in scenes_in(tmp_path, "2022-06-01.tif")]
    assert names == ["2022-06-01.tif", "2022-06-03.TIFF"]


def test_a_band_goes_with_the_same_band_of_other_dates() -> None:
    names = [f"T32TPS_202206{d:02}T101031_B{b}_10m.jp2" for d in (1, 3) for b in ("03", "04")]
    assert scenes_among(names, S2_BAND) == [names[1], names[3]]
