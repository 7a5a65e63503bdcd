"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import torch

from geot2t.losses import (
    charbonnier,
    gradient_difference,
    gradient_penalty,
    laplace_likelihood,
    relativistic,
)


def test_charbonnier_counts_only_weighted_pixels() -> None:
    error = torch.tensor([[3.0, -4.0, 1e6]])
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    assert math.isclose(charbonnier(error, weight, epsilon=1e-6).item(), 3.5, rel_tol=1e-5)
    assert charbonnier(error, torch.zeros_like(weight)).item() == 0


def test_likelihood_is_least_at_the_mean_absolute_error() -> None:
    torch.manual_seed(0)
    error = torch.randn(10_000)
    scales = torch.linspace(0.3, 2, 171)
    losses = torch.stack(
        [laplace_likelihood(error, s.expand_as(error), torch.ones(1)) for s in scales]
    )
    assert abs(scales[losses.argmin()] - error.abs().mean()) < 0.02


def test_relativistic_loss_of_equal_scores_is_log_2_and_falls_with_the_margin() -> None:
    scores = torch.randn(5)
    assert math.isclose(relativistic(scores, scores).item(), math.log(2), rel_tol=1e-5)
    assert relativistic(scores + 1, scores) < relativistic(scores, scores)
    weight = torch.tensor([0.0, 0, 1, 0, 0])
    only = relativistic(scores, scores.flip(0) * 0, weight)
    torch.testing.assert_close(only, torch.nn.functional.softplus(-scores[2]))


def test_penalty_of_a_linear_critic_is_its_squared_norm() -> None:
    images = torch.randn(4, 2, 3, 3, requires_grad=True)
    slope = torch.randn(2, 3, 3)
    scores = (images * slope).sum((1, 2, 3))
    torch.testing.assert_close(gradient_penalty(images, scores), slope.square().sum())


def test_gradient_difference_ignores_a_constant_and_sees_a_ramp() -> None:
    truth = torch.rand(1, 1, 8, 8)
    weight = torch.ones(1, 1, 8, 8)
    assert gradient_difference(truth + 5, truth, weight).item() < 1e-6
    ramp = truth + torch.arange(8.0)
    torch.testing.assert_close(gradient_difference(ramp, truth, weight), torch.tensor(0.5))
    half = weight.clone()
    half[..., 4:] = 0
    spoiled = truth.clone()
    spoiled[..., 5:] = 99
    assert gradient_difference(spoiled, truth, half).item() == 0
