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


def test_summaries() -> None:
    gap = np.zeros_like(ALL)
    gap[10:20, 10:20] = True
    assert metrics.variogram(2 * TRUTH, TRUTH, gap, 4) == pytest.approx(4)
    distance = metrics.gap_distance(gap, ALL)
    assert (distance[gap].min(), distance[gap].max()) == (1, 5)
    assert not distance[~gap].any()
    assert np.isinf(metrics.gap_distance(ALL, ALL)).all()
    scores = RNG.uniform(1, 2, (12, 3))
    scores[0] = 1
    assert metrics.win_shares(scores).sum() == pytest.approx(1)
    ratio, low, high = metrics.ratio_interval(scores[:, 0], scores[:, 1], seed=1)
    assert low <= ratio <= high
    assert (ratio, low, high) == metrics.ratio_interval(scores[:, 0], scores[:, 1], seed=1)
    assert metrics.ratio_interval(scores[:, 0] * 2, scores[:, 0]) == pytest.approx((2, 2, 2))


def test_intervals_and_steps() -> None:
    gap = np.zeros_like(ALL)
    gap[10:20, 10:20] = True
    half = np.full(TRUTH.shape, 0.02)
    assert metrics.interval(TRUTH + 0.01, TRUTH, gap, half) == pytest.approx(
        {"coverage": 1, "width": 0.04}
    )
    assert metrics.interval(TRUTH + 0.03, TRUTH, gap, half)["coverage"] == 0
    raised = metrics.seam(TRUTH + 1, TRUTH, gap, ~gap)
    assert raised is not None
    assert raised > 2
    assert metrics.texture(TRUTH * 0 + 0.3, TRUTH, gap) == 0
    halves = {0.9: half, 0.5: half / 4}
    curve = metrics.calibration(TRUTH + 0.01, TRUTH, gap, halves)
    assert curve == {"nominal": [0.5, 0.9], "measured": [0, 1]}
