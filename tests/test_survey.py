"""What was observed around a window: sampled once, never from inside it, equal for all cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from geot2t.fill import Block, Filler, Prediction, walk
from geot2t.grid import Box
from geot2t.survey import CELLS, MOST, SIDE, STEP, Survey, Surveyed


class Scene:
    """Two dates of two bands; each pixel holds its own place."""

    target = 0

    def __init__(self, height: int, width: int, seen: float = 1.0) -> None:
        self.extent = Box(0, 0, height, width)
        rng = np.random.default_rng(0)
        self.pixels = np.arange(height * width, dtype="float32").reshape(1, 1, height, width)
        self.pixels = np.concatenate([self.pixels, -self.pixels], 1).repeat(2, 0)
        self.valid = rng.random((2, height, width)) < seen
        self.reads = 0

    def read(self, box: Box) -> Block:
        self.reads += 1
        pixels = np.zeros((2, 2, box.height, box.width), "float32")
        valid = np.zeros((2, box.height, box.width), bool)
        if part := box.intersection(self.extent):
            pixels[(..., *part.within(box))] = self.pixels[(..., *part.slices)]
            valid[(..., *part.within(box))] = self.valid[(..., *part.slices)]
        return Block(pixels * valid[:, None], valid, np.array([0, 5], "float32"), box)

    def read_target(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        block = self.read(box)
        return block.pixels[0], block.valid[0]


def places(scene: Scene, box: Box) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of what ``box`` is told of."""
    around = Survey(scene.read, scene.extent).around(box, 0)
    at = around.pixels[0, 0, around.valid[0]].astype(int)
    return np.divmod(at, scene.extent.width)


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    corner=st.tuples(st.integers(0, 299), st.integers(0, 299)),
    side=st.sampled_from([16, 64, 256]),
)
def test_no_pixel_of_the_box_itself_is_among_those_around_it(size, corner, side):
    scene = Scene(*size)
    box = Box(min(corner[0], size[0] - 1), min(corner[1], size[1] - 1), side, side)
    row, col = places(scene, box)
    inside = (box.row <= row) & (row < box.stop[0]) & (box.col <= col) & (col < box.stop[1])
    assert not inside.any()
    assert len(set(zip(row.tolist(), col.tolist(), strict=True))) == row.size <= MOST


def test_only_pixels_at_which_the_target_was_observed_are_given():
    scene = Scene(200, 200, seen=0.3)
    around = Survey(scene.read, scene.extent).around(Box(0, 0, 64, 64), 0)
    given_ = around.valid[0]
    assert given_.sum() > 500
    assert not around.valid[1, ~given_].any()
    assert 0.2 < around.valid[1, given_].mean() < 0.4


def test_a_box_is_told_of_its_neighbourhood_first():
    scene = Scene(1200, 1200)
    row, col = places(scene, Box(0, 0, 256, 256))
    assert row.size == MOST
    assert max(row.max(), col.max()) < 900


def test_a_large_scene_is_not_read_whole():
    scene = Scene(2000, 3000)
    survey = Survey(scene.read, scene.extent)
    assert scene.reads == CELLS**2
    assert survey.around(Box(0, 0, 8, 8), 0).pixels.shape == (2, 2, MOST)
    assert survey.pixels.shape[2] == (CELLS * -(-SIDE // STEP)) ** 2


@pytest.mark.parametrize("cut", [(64, 64), (32, 160), (150, 40)])
def test_fills_that_look_around_do_not_depend_on_the_cut(cut):
    scene = Scene(150, 160, seen=0.7)

    def mean_around(pixels, valid, days, target, around):
        level = around.pixels[:, target].sum(2) / around.valid[:, target].sum(1)[:, None]
        mean = np.broadcast_to(level[..., None, None], pixels[:, 0].shape).astype("float32")
        return Prediction(mean, np.ones_like(mean), np.full(valid[:, 0].shape, 5, "float32"))

    def fill(height: int, width: int) -> NDArray[np.float32]:
        filler = Filler(Surveyed(scene), mean_around, size=64, overlap=16)
        whole = np.empty((2, 150, 160), "float32")
        for box in walk(scene.extent, height, width):
            whole[:, *box.slices] = filler.fill(box).pixels
        return whole

    assert np.array_equal(fill(*cut), fill(150, 160))
