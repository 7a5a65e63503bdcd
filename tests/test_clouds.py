"""Quality rasters decoded by their published layouts, and the library of cloud shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geot2t.clouds import (
    CLEAR,
    EMPTY,
    HIDDEN,
    CloudShapes,
    csmask_bands,
    decode,
    dilate,
    fmask_valid,
    installed,
    qa_pixel_valid,
    scl_valid,
)
from geot2t.errors import InputError


@pytest.fixture(scope="module")
def shapes() -> CloudShapes:
    return CloudShapes.load()


def test_scene_classes() -> None:
    want = [EMPTY, HIDDEN, CLEAR, HIDDEN, CLEAR, CLEAR, CLEAR, CLEAR, HIDDEN, HIDDEN, HIDDEN, CLEAR]
    assert decode("SCL", np.arange(12, dtype="uint8")).tolist() == want
    assert scl_valid(np.array([4, 9])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("kind", "value", "want"),
    [
        # Values of the USGS tables for Collection 2 QA_PIXEL.
        ("QA_PIXEL", 1, EMPTY),
        ("QA_PIXEL", 21824, CLEAR),
        ("QA_PIXEL", 21952, CLEAR),  # water
        ("QA_PIXEL", 22080, CLEAR),  # medium confidence, no cloud bit
        ("QA_PIXEL", 21826, HIDDEN),  # dilated cloud
        ("QA_PIXEL", 22280, HIDDEN),  # high confidence cloud
        ("QA_PIXEL", 23888, HIDDEN),  # shadow
        ("QA_PIXEL", 30048, CLEAR),  # snow
        ("QA_PIXEL", 54596, HIDDEN),  # cirrus
        # Collection 1 pixel_qa and BQA.
        ("pixel_qa", 1, EMPTY),
        ("pixel_qa", 322, CLEAR),
        ("pixel_qa", 352, HIDDEN),
        ("pixel_qa", 328, HIDDEN),
        ("pixel_qa", 834, HIDDEN),  # cirrus
        ("BQA", 1, EMPTY),
        ("BQA", 2720, CLEAR),
        ("BQA", 2800, HIDDEN),
        ("BQA", 2976, HIDDEN),  # shadow
        ("BQA", 6816, HIDDEN),  # cirrus
        # HLS Fmask: bits 6-7 are the aerosol level.
        ("Fmask", 0, CLEAR),
        ("Fmask", 64, CLEAR),
        ("Fmask", 32, CLEAR),
        ("Fmask", 16, CLEAR),
        ("Fmask", 1, CLEAR),
        ("Fmask", 2, HIDDEN),
        ("Fmask", 4 + 64, HIDDEN),
        ("Fmask", 8, HIDDEN),
        ("Fmask", 255, EMPTY),
        ("MSK_CLDPRB", 39, CLEAR),
        ("MSK_CLDPRB", 40, HIDDEN),
    ],
)
def test_quality_values_mean_what_their_tables_say(kind, value, want) -> None:
    assert decode(kind, np.array([value], "uint16")).tolist() == [want]


def test_short_cuts_agree_with_decode() -> None:
    assert qa_pixel_valid(np.array([21824, 22280])).tolist() == [True, False]
    assert fmask_valid(np.array([64, 2])).tolist() == [True, False]


def test_anything_but_zero_hides_in_a_plain_mask() -> None:
    values = np.array([0, 1, 255, np.nan, -1])
    assert decode("mask", values).tolist() == [CLEAR, HIDDEN, HIDDEN, HIDDEN, HIDDEN]


def test_unknown_quality_rasters_are_refused() -> None:
    with pytest.raises(InputError, match="QA60 is no quality raster known here"):
        decode("QA60", np.zeros(1, "uint8"))
    with pytest.raises(InputError, match="a SCL raster holds integers, got float32"):
        decode("SCL", np.zeros(1, "float32"))


@given(
    seed=st.integers(0, 2**32 - 1),
    radius=st.floats(0, 6),
)
def test_dilation_is_by_distance(seed, radius) -> None:
    hidden = np.random.default_rng(seed).random((19, 23)) < 0.02
    rows, cols = np.mgrid[:19, :23]
    near = np.zeros(hidden.shape, bool)
    for r, c in zip(*hidden.nonzero(), strict=True):
        near |= np.hypot(rows - r, cols - c) <= radius
    np.testing.assert_array_equal(dilate(hidden, radius), near)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(32, 160), st.integers(32, 160)),
    share=st.tuples(st.floats(0.02, 0.5), st.floats(0.05, 0.4)),
)
def test_clouds_hide_the_share_asked_for(shapes, seed, size, share) -> None:
    least, greatest = share[0], share[0] + share[1]
    cloud = shapes.sample(np.random.default_rng(seed), *size, share=(least, greatest))
    assert cloud.shape == size
    assert cloud.dtype == bool
    assert least - 1e-3 <= cloud.mean() <= greatest + 1e-3


def test_equal_generators_draw_equal_clouds(shapes) -> None:
    first, again, other = (shapes.sample(np.random.default_rng(seed), 64, 64) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("side", [1, 2, 5, 512])
def test_windows_of_any_size_get_a_cloud(shapes, side) -> None:
    cloud = shapes.sample(np.random.default_rng(3), side, side)
    assert cloud.shape == (side, side)
    assert cloud.any()
    assert side == 1 or not cloud.all()


def test_clouds_are_clumps_and_not_noise(shapes) -> None:
    rng = np.random.default_rng(4)
    edges = []
    for _ in range(30):
        cloud = shapes.sample(rng, 128, 128, share=(0.2, 0.5))
        edges.append((cloud[1:] != cloud[:-1]).mean() / (cloud.mean() * (1 - cloud.mean()) * 2))
    # 1 for noise; the boundary of a clump is a small part of it.
    assert np.median(edges) < 0.15


def test_the_library_names_its_sources(shapes) -> None:
    assert len(shapes.shapes) > 30
    assert all("MIT" in s or "public domain" in s or "Apache" in s for s in shapes.sources)
    assert all(0.02 < s.mean() < 0.98 for s in shapes.shapes)


def test_impossible_shares_are_refused(shapes) -> None:
    with pytest.raises(InputError, match="hidden share must be between 0 and 1"):
        shapes.sample(np.random.default_rng(0), 32, 32, share=(0.6, 0.2))


def test_the_detector_is_given_the_bands_it_knows() -> None:
    assert csmask_bands([0.49, 0.56, 0.665, 0.842]) == {"blue": 0, "green": 1, "red": 2, "nir": 3}
    every = csmask_bands([2.2, 1.61, 0.865, 0.665, 0.56, 0.49])
    assert every == {"blue": 5, "green": 4, "red": 3, "nir": 2, "swir16": 1, "swir22": 0}
    assert csmask_bands([0.49, 0.56, 0.665]) is None
    assert csmask_bands([np.nan] * 4) is None
    with pytest.raises(InputError, match="no cloud detector 'magic'"):
        installed("magic")
