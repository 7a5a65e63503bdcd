"""The core loop, with a model simple enough to check by hand."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.fill import Block, Filler, Prediction, walk
from geot2t.grid import Box

EXTENT = Box(0, 0, 97, 61)


class ArraySource:
    """Blocks cut from arrays."""

    target = 1

    def __init__(self, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        self.valid = valid
        self.pixels = np.where(valid[:, None], pixels, 0).astype("float32")
        self.extent = Box(0, 0, *pixels.shape[2:])
        self.reads = 0

    def read(self, box: Box) -> Block:
        self.reads += 1
        t, b = self.pixels.shape[:2]
        pixels = np.zeros((t, b, box.height, box.width), "float32")
        valid = np.zeros((t, box.height, box.width), bool)
        if part := box.intersection(self.extent):
            pixels[(..., *part.within(box))] = self.pixels[(..., *part.slices)]
            valid[(..., *part.within(box))] = self.valid[(..., *part.slices)]
        return Block(pixels, valid, np.array([0, 5, 9], "float32"), box)

    def read_target(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return self.pixels[(self.target, slice(None), *box.slices)], self.valid[
            (self.target, *box.slices)
        ]


def window_mean(
    pixels: NDArray[np.float32],
    valid: NDArray[np.bool_],
    days: NDArray[np.float32],
    target: int,
) -> Prediction:
    """Each window's observed mean over all dates; the scale is a hundredth of it."""
    seen = valid[:, :, None]
    total = (pixels * seen).sum((1, 3, 4)) / np.maximum(seen.sum((1, 3, 4)), 1)
    mean = np.broadcast_to(total[:, :, None, None], pixels[:, 0].shape).astype("float32")
    other = np.delete(valid, target, 1).any(1)
    return Prediction(mean, mean / 100, np.where(other, 4, np.inf).astype("float32"))


@pytest.fixture
def scene() -> ArraySource:
    rng = np.random.default_rng(3)
    pixels = rng.random((3, 2, EXTENT.height, EXTENT.width), "float32")
    valid = rng.random((3, EXTENT.height, EXTENT.width)) > 0.2
    valid[:, 30:60, 10:40] = False
    return ArraySource(pixels, valid)


def test_observed_pixels_come_back_bit_for_bit(scene: ArraySource) -> None:
    out = Filler(scene, window_mean, size=32, overlap=8).fill(EXTENT)
    keep = scene.valid[1]
    np.testing.assert_array_equal(out.pixels[:, keep], scene.pixels[1][:, keep])
    assert (out.scale[:, keep] == 0).all()
    assert (out.days[keep] == 0).all()
    assert (out.pixels[:, ~keep] != scene.pixels[1][:, ~keep]).all()
    assert (out.scale[:, ~keep] > 0).all()


def test_pixels_without_any_other_date_say_so(scene: ArraySource) -> None:
    out = Filler(scene, window_mean, size=32, overlap=8).fill(EXTENT)
    other = scene.valid[[0, 2]].any(0)
    gap = ~scene.valid[1]
    assert (out.days[gap & other] == 4).all()
    assert np.isinf(out.days[gap & ~other]).all()


@pytest.mark.parametrize("strip", [20, 4096])
@pytest.mark.parametrize("side", [(97, 61), (40, 61), (17, 23), (5, 60)])
def test_result_does_not_depend_on_how_the_raster_is_cut(
    scene: ArraySource, side: tuple[int, int], strip: int
) -> None:
    whole = Filler(scene, window_mean, size=32, overlap=8).fill(EXTENT)
    filler = Filler(scene, window_mean, size=32, overlap=8)
    pieces = np.full_like(whole.pixels, np.nan)
    for box in walk(EXTENT, *side, strip=strip):
        pieces[(..., *box.slices)] = filler.fill(box).pixels
    np.testing.assert_array_equal(pieces, whole.pixels)


def test_windows_may_be_predicted_side_by_side(scene: ArraySource) -> None:
    class Several:
        threads = 3

        def __init__(self) -> None:
            self.names: set[str] = set()

        def __call__(self, *given: Any) -> Prediction:
            self.names.add(threading.current_thread().name)
            return window_mean(*given)

    several = Several()
    beside = Filler(scene, several, size=32, overlap=8).fill(EXTENT)
    alone = Filler(scene, window_mean, size=32, overlap=8).fill(EXTENT)
    np.testing.assert_array_equal(beside.pixels, alone.pixels)
    np.testing.assert_array_equal(beside.days, alone.days)
    assert threading.current_thread().name not in several.names


def test_equal_predictions_blend_to_themselves(scene: ArraySource) -> None:
    nothing = ArraySource(scene.pixels, np.zeros_like(scene.valid))

    def constant(pixels, valid, days, target):  # type: ignore[no-untyped-def]
        value = np.full_like(pixels[:, 0], 0.25)
        return Prediction(value, value, value[:, 0])

    out = Filler(nothing, constant, size=24, overlap=12).fill(EXTENT)
    np.testing.assert_allclose(out.pixels, 0.25, rtol=1e-6)


def test_windows_without_a_gap_are_never_predicted(scene: ArraySource) -> None:
    valid = np.ones_like(scene.valid)
    valid[1, 2:5, 3:6] = False
    source = ArraySource(scene.pixels, valid)
    seen = []

    def spy(pixels, valid, days, target):  # type: ignore[no-untyped-def]
        seen.append(len(pixels))
        return window_mean(pixels, valid, days, target)

    filler = Filler(source, spy, size=16, overlap=0)
    for box in walk(EXTENT, 20, 20):
        filler.fill(box)
    assert sum(seen) == source.reads == 1


def test_each_window_is_predicted_once_on_a_walk(scene: ArraySource) -> None:
    count = 0

    def spy(pixels, valid, days, target):  # type: ignore[no-untyped-def]
        nonlocal count
        count += len(pixels)
        return window_mean(pixels, valid, days, target)

    filler = Filler(scene, spy, size=32, overlap=8, batch=3)
    for box in walk(EXTENT, 16, 16):
        filler.fill(box)
        assert len(filler._done) <= 9
    assert count == 4 * 3  # rows start at 0 24 48 65, columns at 0 24 29


@pytest.mark.parametrize("size", [97, 128, 256])
def test_a_raster_within_one_window_is_filled_alike_whatever_the_window(
    scene: ArraySource, size: int
) -> None:
    seen = []

    def spy(pixels, valid, days, target):  # type: ignore[no-untyped-def]
        seen.append(pixels.shape[-2:])
        return window_mean(pixels, valid, days, target)

    out = Filler(scene, spy, size=size, overlap=8).fill(EXTENT)
    assert seen == [(97, 61)]
    gap = ~scene.valid[1]
    mean = window_mean(scene.pixels[None], scene.valid[None], np.zeros(3, "float32"), 1).mean[0]
    np.testing.assert_allclose(out.pixels[:, gap], mean[:, gap], rtol=1e-6)


def test_reading_may_run_ahead_of_computing(scene: ArraySource) -> None:
    whole = Filler(scene, window_mean, size=32, overlap=8).fill(EXTENT)
    filler = Filler(scene, window_mean, size=32, overlap=8)
    ahead = [filler.read(box) for box in walk(EXTENT, 16, 16, strip=32)]
    for task in ahead:
        part = whole.pixels[(..., *task.box.slices)]
        np.testing.assert_array_equal(filler.compute(task).pixels, part)


def test_a_model_of_the_wrong_shape_is_named(scene: ArraySource) -> None:
    def wrong(pixels, valid, days, target):  # type: ignore[no-untyped-def]
        return Prediction(pixels[:, 0, :, :-1], pixels[:, 0], pixels[:, 0, 0])

    with pytest.raises(
        InputError, match=r"must return shape \(1, 2, 32, 32\), got \(1, 2, 31, 32\)"
    ):
        Filler(scene, wrong, size=32, overlap=8).fill(EXTENT)


def test_a_block_refuses_parts_that_do_not_fit() -> None:
    pixels, days = np.zeros((2, 3, 4, 5), "float32"), np.zeros(2, "float32")
    with pytest.raises(InputError, match=r"valid must have shape \(2, 4, 5\)"):
        Block(pixels, np.zeros((2, 5, 4), bool), days, Box(0, 0, 4, 5))
    with pytest.raises(InputError, match="pixels are 4x5, the box 5x4"):
        Block(pixels, np.zeros((2, 4, 5), bool), days, Box(0, 0, 5, 4))
