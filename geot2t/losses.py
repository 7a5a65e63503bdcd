"""Losses over the pixels that were hidden, and the adversarial game.

Means are over the batches of all processes: the average of what these return, and of its
gradients, is that of one process with the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geot2t import distributed


def charbonnier(error: Tensor, weight: Tensor, epsilon: float = 0.05) -> Tensor:
    """Weighted mean of ``sqrt(error^2 + epsilon^2) - epsilon``; scalar.

    Close to the absolute error, but smooth at 0 (Charbonnier et al. 1994).

    Parameters
    ----------
    error : Tensor
        Differences, in a unit in which 1 is a typical error.
    weight : Tensor
        At least 0, broadcastable to ``error``; 0 where the truth is not known.
    """
    weight = weight.expand_as(error)
    each = (error.square() + epsilon**2).sqrt() - epsilon
    return _mean(each, weight)


def laplace_likelihood(error: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean negative log-likelihood of ``error`` under Laplace(0, ``scale``); scalar.

    Least where ``scale`` is the expected absolute error. Shapes as in `charbonnier`.
    """
    weight = weight.expand_as(error)
    each = error.abs() / scale + scale.log()
    return _mean(each, weight)


def relativistic(mine: Tensor, theirs: Tensor, weight: Tensor | None = None) -> Tensor:
    """Relativistic pairing loss of the side that owns ``mine``; scalar.

    ``mine`` and ``theirs`` are scores of paired samples, of one shape; the generator passes
    (fake, real), the critic (real, fake).

    References
    ----------
    Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline",
    arXiv:2501.05441, equation 2.
    """
    each = F.softplus(theirs - mine)
    if weight is None:
        weight = torch.ones_like(each)
    return _mean(each, weight)


def gradient_penalty(images: Tensor, scores: Tensor) -> Tensor:
    """Mean over samples of the squared norm of ``d scores / d images``; scalar.

    With observed images this is R1, with generated ones R2 (same paper, section 2.2).
    ``images`` ``(n, b, y, x)`` must require gradients and ``scores`` must come from them.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    each = gradient.square().sum((1, 2, 3))
    return _mean(each, torch.ones_like(each))


def gradient_difference(image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference between the gradients of two images; scalar.

    A pair of neighbours counts where both have weight. Shapes ``(n, b, y, x)``, ``weight``
    broadcastable to it.
    """
    error, weight = image - truth, weight.expand_as(image)
    down = weight[..., 1:, :] * weight[..., :-1, :]
    right = weight[..., 1:] * weight[..., :-1]
    total = (error.diff(dim=-2).abs() * down).sum() + (error.diff(dim=-1).abs() * right).sum()
    return total / distributed.mean(down.sum() + right.sum()).clamp(min=1e-6)


def _mean(each: Tensor, weight: Tensor) -> Tensor:
    return (each * weight).sum() / distributed.mean(weight.sum()).clamp(min=1e-6)
