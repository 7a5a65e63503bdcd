"""Sharp fills: texture as on the ground, and nothing else changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from scipy.ndimage import gaussian_filter

from geot2t.cli import main
from geot2t.fill import Prediction
from geot2t.sharpen import MOST, Sharp

SIDE = 96


class Fixed:
    """Predicts one image, from a date that is ``days`` away."""

    methods = ("prior",)

    def __init__(self, mean: Any, days: float) -> None:
        self.mean, self.days = mean, days

    def __call__(
        self, pixels: Any, valid: Any, days: Any, target: int, names: Sequence[str], **_: Any
    ) -> dict[str, Prediction]:
        said = Prediction(
            self.mean[None], np.ones_like(self.mean)[None], np.full((1, SIDE, SIDE), self.days)
        )
        return dict.fromkeys(names, said)


@pytest.fixture
def ground(sample: Path) -> Any:
    with rasterio.open(sample / "2022-06-20.tif") as src:
        return src.read()[:, :SIDE, :SIDE].astype("float32")


@pytest.fixture
def valid() -> Any:
    seen = np.ones((1, 1, SIDE, SIDE), bool)
    seen[..., 30:62, 30:62] = False
    return seen


def sharpened(ground: Any, valid: Any, mean: Any, days: float, seed: int = 0) -> Any:
    pixels = (ground * valid[0, 0])[None, None]
    sharp = Sharp(Fixed(mean, days), period=64, seed=seed)
    return sharp(pixels, valid, np.zeros(1, "float32"), 0, ["prior"])["prior"].mean[0]


def gradient(image: Any, where: Any) -> float:
    return float(np.abs(np.diff(image, axis=2))[:, where[:, 1:] & where[:, :-1]].mean())


def test_a_fill_from_surroundings_gets_the_texture_of_the_ground(ground: Any, valid: Any) -> None:
    gap = ~valid[0, 0]
    blurred = gaussian_filter(ground, (0, 6, 6))
    out = sharpened(ground, valid, blurred, np.inf)
    assert gradient(blurred, gap) < 0.5 * gradient(ground, ~gap)
    assert 0.7 < gradient(out, gap) / gradient(ground, ~gap) < 1.3


def test_the_detail_of_other_dates_is_raised_and_none_is_drawn(ground: Any, valid: Any) -> None:
    gap = ~valid[0, 0]
    smooth = gaussian_filter(ground, (0, 3.2, 3.2))
    weak = smooth + 0.8 * (ground - smooth)
    out = sharpened(ground, valid, weak, 5.0)
    assert np.abs(out - ground)[:, gap].mean() < 0.35 * np.abs(weak - ground)[:, gap].mean()
    flat = np.full_like(ground, 500.0)
    assert np.array_equal(sharpened(ground, valid, flat, 5.0), flat)  # no detail, none to raise


def test_detail_is_never_raised_beyond_its_limit(ground: Any, valid: Any) -> None:
    mean = gaussian_filter(ground, (0, 6, 6)) + 0.05 * ground
    out = sharpened(ground, valid, mean, 5.0)
    gap = ~valid[0, 0]
    assert gradient(out, gap) <= MOST * gradient(mean, gap) * 1.01


def test_what_is_drawn_follows_the_seed(ground: Any, valid: Any) -> None:
    mean = gaussian_filter(ground, (0, 6, 6))
    first, again, other = (sharpened(ground, valid, mean, np.inf, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("seen", [0, 100])
def test_without_observed_texture_the_fill_stays_as_it_is(ground: Any, seen: int) -> None:
    valid = np.zeros((1, 1, SIDE, SIDE), bool)
    valid.flat[:seen] = True
    mean = gaussian_filter(ground, (0, 6, 6))
    assert np.array_equal(sharpened(ground, valid, mean, np.inf), mean)


def test_a_constant_band_stays_constant(ground: Any, valid: Any) -> None:
    ground = ground.copy()
    ground[1] = 700
    out = sharpened(ground, valid, gaussian_filter(ground, (0, 6, 6)), np.inf)
    assert np.isfinite(out).all()
    assert np.allclose(out[1], 700, atol=1)


def test_observed_pixels_stay_and_the_item_says_sharp(sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "filled.tif"
    scene = sample / "2022-06-10.tif"
    run = CliRunner().invoke(main, ["inpaint", str(scene), "-o", str(out), "--sharp"])
    assert run.exit_code == 0, run.output
    assert '"sharp": true' in out.with_suffix(".json").read_text()
    with (
        rasterio.open(scene) as before,
        rasterio.open(out) as after,
        rasterio.open(tmp_path / "filled_quality.tif") as quality,
    ):
        observed = quality.read(1) == 1
        assert observed.any()
        assert np.array_equal(before.read()[:, observed], after.read()[:, observed])
