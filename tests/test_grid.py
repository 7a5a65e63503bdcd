"""Boxes, windows and blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geot2t.errors import InputError
from geot2t.grid import Box, blocks, lattice, ramp


@st.composite
def boxes_in_rasters(draw: st.DrawFn) -> tuple[Box, Box]:
    """A raster and a box inside it."""
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    box = Box(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))
    return box, Box(0, 0, height, width)


@st.composite
def windowings(draw: st.DrawFn) -> dict[str, int]:
    """A window size and an overlap that goes with it."""
    size = draw(st.integers(2, 40))
    return {"size": size, "overlap": draw(st.integers(0, size // 2))}


@given(boxes_in_rasters(), windowings())
def test_windows_are_those_of_the_raster_whatever_box_is_asked_for(
    boxes: tuple[Box, Box], windowing: dict[str, int]
) -> None:
    box, extent = boxes
    of_box = list(lattice(box, extent, **windowing))
    of_raster = list(lattice(extent, extent, **windowing))
    assert of_box == [w for w in of_raster if w.intersection(box)]


@given(boxes_in_rasters(), windowings())
def test_windows_cover_every_pixel_and_stay_inside(
    boxes: tuple[Box, Box], windowing: dict[str, int]
) -> None:
    _, extent = boxes
    covered = np.zeros((extent.height, extent.width), bool)
    for window in lattice(extent, extent, **windowing):
        assert window.intersection(extent) == window
        assert window.height == min(windowing["size"], extent.height)
        assert window.width == min(windowing["size"], extent.width)
        covered[window.slices] = True
    assert covered.all()


@given(boxes_in_rasters(), st.integers(1, 30), st.integers(1, 30))
def test_blocks_tile_the_raster_exactly_once(
    boxes: tuple[Box, Box], height: int, width: int
) -> None:
    _, extent = boxes
    times = np.zeros((extent.height, extent.width), int)
    for block in blocks(extent, height, width):
        times[block.slices] += 1
    assert (times == 1).all()


@given(boxes_in_rasters(), boxes_in_rasters())
def test_intersection_holds_the_common_pixels(a: tuple[Box, Box], b: tuple[Box, Box]) -> None:
    one, other = a[0], b[0]
    canvas = np.zeros((90, 90), int)
    canvas[one.slices] += 1
    canvas[other.slices] += 1
    common = one.intersection(other)
    assert (canvas == 2).sum() == (common.height * common.width if common else 0)
    if common:
        assert (canvas[common.slices] == 2).all()
        assert canvas[one.slices][common.within(one)].min() == 2


def test_neighbouring_ramps_sum_to_one() -> None:
    side = ramp(16, 6)[8]
    np.testing.assert_allclose(side[10:] + side[:6], 1, atol=1e-6)
    assert (ramp(16, 6) > 0).all()


def test_growing_stops_at_the_raster() -> None:
    assert Box(2, 5, 3, 3).grown(4, Box(0, 0, 20, 9)) == Box(0, 1, 9, 8)


def test_too_much_overlap_is_refused_with_the_limit() -> None:
    with pytest.raises(InputError, match="0 to 8 px, half of the 16 px window; got 9"):
        list(lattice(Box(0, 0, 4, 4), Box(0, 0, 4, 4), size=16, overlap=9))
