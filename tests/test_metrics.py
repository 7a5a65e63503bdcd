"""Figures agree with well-known libraries, and hold where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from geot2t import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0.05, 0.6, (4, 48, 40))
PRED = np.clip(TRUTH + RNG.normal(0, 0.05, TRUTH.shape), 0.01, 1)
ALL = np.ones((48, 40), bool)


def test_a_perfect_fill() -> None:
    gap = np.zeros_like(ALL)
    gap[10:20, 10:20] = True
    score = metrics.errors(TRUTH, TRUTH, gap)
    assert score == {"mae": 0, "rmse": 0, "bias": 0, "psnr": None}
    assert metrics.ssim(TRUTH, TRUTH, gap) == pytest.approx(1)
    assert metrics.ergas(TRUTH, TRUTH, gap) == 0
    assert metrics.seam(TRUTH, TRUTH, gap, ~gap) == pytest.approx(1)
    assert metrics.texture(TRUTH, TRUTH, gap, 2) == pytest.approx(1)
    assert metrics.difference_mae(TRUTH, TRUTH, gap, 3, 2) == 0
    assert metrics.difference_mae(TRUTH, TRUTH, gap, 3, None) is None
    assert np.unique(metrics.gap_sizes(gap)).tolist() == [0, 100]


def test_scikit_image_agrees() -> None:
    skimage = pytest.importorskip("skimage.metrics")
    _, full = skimage.structural_similarity(
        TRUTH, PRED, win_size=11, data_range=1, channel_axis=0, full=True
    )
    assert metrics.ssim(PRED, TRUTH, ALL) == pytest.approx(full.mean(), abs=1e-9)
    psnr = skimage.peak_signal_noise_ratio(TRUTH, PRED, data_range=1)
    assert metrics.errors(PRED, TRUTH, ALL)["psnr"] == pytest.approx(psnr)


def test_torchmetrics_agrees() -> None:
    pytest.importorskip("torchmetrics")
    import torch
    from torchmetrics.functional import image, mean_absolute_error, mean_squared_error

    p, t = (torch.from_numpy(v)[None].contiguous() for v in (PRED, TRUTH))
    score = metrics.errors(PRED, TRUTH, ALL)
    assert score["mae"] == pytest.approx(float(mean_absolute_error(p, t)))
    assert score["rmse"] == pytest.approx(float(mean_squared_error(p, t, squared=False)))
    angle = np.degrees(float(image.spectral_angle_mapper(p, t)))
    assert metrics.sam(PRED, TRUTH, ALL) == pytest.approx(angle, rel=1e-5)
    theirs = float(image.error_relative_global_dimensionless_synthesis(p, t, ratio=1))
    assert metrics.ergas(PRED, TRUTH, ALL) == pytest.approx(theirs, rel=1e-5)
