"""The self-check: it picks the better method, and its intervals hold what they promise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from geot2t.calibrate import chosen, self_check
from geot2t.errors import InputError
from geot2t.fill import Block, Filler, Prediction
from geot2t.grid import Box
from geot2t.intervals import DEFAULT_FACTOR, KNOTS


class Scene:
    """Two dates of noise around a plane; the second, clear one is the first plus an error."""

    target = 0

    def __init__(self, *, height: int = 300, width: int = 260, gap: float = 0.2) -> None:
        rng = np.random.default_rng(3)
        self.extent = Box(0, 0, height, width)
        self.pixels = rng.normal(0.3, 0.1, (2, 2, height, width)).astype("float32")
        # Heavy-tailed errors: a normal 1.645 would not cover them.
        self.noise = rng.laplace(0, 0.02, (2, height, width)).astype("float32")
        self.pixels[1] = self.pixels[0] + self.noise
        self.valid = np.ones((2, height, width), bool)
        rows, cols = np.ogrid[:height, :width]
        self.valid[0] &= np.hypot(rows - 90, cols - 100) > 0.5 * height * gap**0.5
        self.pixels[0][:, ~self.valid[0]] = 0

    def read(self, box: Box) -> Block:
        pixels = np.zeros((2, 2, box.height, box.width), "float32")
        valid = np.zeros((2, box.height, box.width), bool)
        inside = box.intersection(self.extent)
        if inside:
            pixels[..., *inside.within(box)] = self.pixels[..., *inside.slices]
            valid[:, *inside.within(box)] = self.valid[:, *inside.slices]
        return Block(pixels, valid, np.array([0, 5], "float32"), box)

    def read_target(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        block = self.read(box)
        return block.pixels[0], block.valid[0]


class Methods:
    """ "copy" takes the other date, "flat" a constant; "crooked" copies with a bias in band 1."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def __call__(
        self, pixels: np.ndarray, valid: np.ndarray, days: np.ndarray, target: int, names: Sequence
    ) -> dict[str, Prediction]:
        other = pixels[:, 1]
        crooked = other + np.array([0, 0.5], "float32")[:, None, None]
        said = {"copy": other, "flat": np.full_like(other, 0.3), "crooked": crooked}
        scale = np.full_like(other, 0.01)
        days_used = np.full(valid[:, 0].shape, 5, "float32")
        return {name: Prediction(said[name], scale, days_used) for name in names}


def disc(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    rows, cols = np.ogrid[:height, :width]
    return np.hypot(rows - rng.integers(height), cols - rng.integers(width)) < height / 5


def check(scene: Scene, *methods: str, size: int = 128, **options):
    return self_check(scene, Methods(*methods), size=size, overlap=32, shapes=disc, **options)


def test_each_band_gets_its_best_method() -> None:
    found = check(Scene(), "crooked", "flat", "copy")
    assert found.methods == ("crooked", "copy"), "band 0 is a tie, which the first method wins"
    bias = {(row.method, row.band): row.bias for row in found.rows}
    assert bias["crooked", 1] == pytest.approx(0.5, abs=0.01)
    assert bias["copy", 1] == pytest.approx(0, abs=0.002)


def test_errors_are_those_of_the_hidden_pixels() -> None:
    found = check(Scene(), "copy")
    noise = Scene().noise
    for row in found.rows:
        assert row.mae == pytest.approx(np.abs(noise[row.band]).mean(), rel=0.03)
        assert row.rmse == pytest.approx(noise[row.band].std(), rel=0.05)


def test_intervals_cover_what_they_promise_in_the_real_gap() -> None:
    scene = Scene()
    methods = Methods("copy")
    found = self_check(scene, methods, size=128, overlap=32, shapes=disc)
    filled = Filler(scene, chosen(methods, found), size=128, overlap=32).fill(scene.extent)
    gap = ~scene.valid[0]
    truth = scene.pixels[1] - scene.noise
    inside = np.abs(filled.pixels - truth)[:, gap] <= filled.scale[:, gap]
    assert inside.mean() == pytest.approx(0.9, abs=0.02)
    assert found.coverage == pytest.approx((0.9, 0.9), abs=0.02)
    assert found.factors[:, 0, :3] == pytest.approx(0.02 * np.log(10) / 0.01, rel=0.15)


def test_far_pixels_get_their_own_wider_interval() -> None:
    class Fading(Methods):
        def __call__(self, pixels, valid, *rest):
            out = super().__call__(pixels, valid, *rest)
            from scipy.ndimage import distance_transform_edt

            away = np.stack([distance_transform_edt(~v) for v in valid[:, 0]])[:, None]
            return {
                name: Prediction((p.mean * (1 + 0.1 * (away >= KNOTS[2]))), p.scale, p.days)
                for name, p in out.items()
            }

    found = self_check(Scene(), Fading("copy"), size=128, overlap=32, shapes=disc)
    assert (found.factors[:, 0, 3] > 1.2 * found.factors[:, 0, 0]).all()
    assert found.coverage == pytest.approx((0.9, 0.9), abs=0.03)


@pytest.mark.parametrize("height", [16, 40, 128, 700])
def test_scenes_of_any_size_can_be_checked(height: int) -> None:
    found = check(Scene(height=height, width=max(height - 3, 9)), "copy", "flat")
    assert found.reason is None
    assert found.cases >= 6
    assert found.pixels > 0


def test_a_clear_scene_is_checked_under_shapes_of_the_library() -> None:
    scene = Scene()
    scene.valid[:] = True
    assert check(scene, "copy", cases=12).cases == 12


def test_the_check_is_the_same_every_time_and_changes_with_the_seed() -> None:
    first, again, other = (check(Scene(), "copy", "flat", seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.factors, again.factors)
    assert (first.rows, first.coverage) == (again.rows, again.coverage)
    assert first.rows != other.rows


def test_cases_side_by_side_give_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = check(Scene(), "copy", "crooked")
    monkeypatch.setattr(Methods, "threads", 3, raising=False)
    beside = check(Scene(), "copy", "crooked")
    np.testing.assert_array_equal(beside.factors, alone.factors)
    assert (beside.rows, beside.methods) == (alone.rows, alone.methods)


def test_a_scene_with_nothing_observed_says_so_and_gets_default_intervals() -> None:
    scene = Scene()
    scene.valid[0] = False
    methods = Methods("flat", "copy")
    found = check(scene, "flat", "copy")
    assert "too few observed" in (found.reason or "")
    assert found.methods == ("flat", "flat")
    block = scene.read(Box(0, 0, 32, 32))
    out = chosen(methods, found)(block.pixels[None], block.valid[None], block.days, 0)
    np.testing.assert_allclose(out.scale, 0.01 * DEFAULT_FACTOR, rtol=1e-6)


def test_pixels_without_another_date_never_get_narrower_intervals_than_the_rest() -> None:
    found = check(Scene(), "copy")
    assert (found.factors[:, 1] >= found.factors[:, 0].max(1, keepdims=True)).all()


def test_nothing_that_was_hidden_reaches_the_methods() -> None:
    seen = []

    class Spy(Methods):
        def __call__(self, pixels, valid, *rest):
            seen.append((pixels[0, 0].copy(), valid[0, 0].copy()))
            return super().__call__(pixels, valid, *rest)

    scene = Scene()
    self_check(scene, Spy("copy"), size=128, overlap=32, shapes=disc)
    for pixels, valid in seen:
        assert not pixels[:, ~valid].any()
        assert 0.2 < valid.mean() < 1


def test_another_number_of_bands_is_refused() -> None:
    predict = chosen(Methods("copy"), check(Scene(), "copy"))
    with pytest.raises(InputError, match="made for 2 bands, got 3"):
        predict(np.zeros((1, 2, 3, 8, 8), "float32"), np.zeros((1, 2, 8, 8), bool), np.zeros(2), 0)
