"""Realism: what the critic says of windows as they are, and of which share of real ground is worse.

Scores have no unit. What a user is told is a percentile: the share of windows of real ground, of
many places and sensors, that the critic finds less likely than this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geot2t.critic import Critic, own_normalised
from geot2t.generator import STRIDE

SIDE = 128
"""Side in pixels of the windows by which a scene is scored."""

SEEN = 0.5
"""Share of a token, or of a window, that must be observed for it to be scored."""

Float = NDArray[np.float32]


@torch.inference_mode()
def scores(critic: Critic, images: Tensor, valid: Tensor) -> tuple[Float, Float, Float]:
    """Scores of windows by their tokens and as a whole; high means like real ground.

    Parameters
    ----------
    critic : Critic
    images : Tensor
        ``(n, b, y, x)``, any unit.
    valid : Tensor
        True where observed, bool ``(n, 1, y, x)``.

    Returns
    -------
    where : ndarray of float32, shape ``(n, h, w)``
        Of each token of 16 pixels; the last ones of a row or column may overhang.
    whether : ndarray of float32, shape ``(n,)``
    seen : ndarray of float32, shape ``(n, h, w)``
        Share of each token that was observed.
    """
    y, x = images.shape[-2:]
    more = (0, -x % STRIDE, 0, -y % STRIDE)
    known = F.pad(valid, more)
    where, whether = critic(own_normalised(F.pad(images, more), known), known)
    seen = F.avg_pool2d(known.float(), STRIDE).squeeze(1)
    return where.float().cpu().numpy(), whether.float().cpu().numpy(), seen.cpu().numpy()


def percentile(values: Float, reference: Sequence[float]) -> Float:
    """Of each value, the percentage of real ground that scores less.

    Parameters
    ----------
    values : ndarray
        Scores, any shape.
    reference : sequence of float
        Scores of real ground at equal steps from the least to the greatest, as stored with a
        model.
    """
    levels = np.linspace(0, 100, len(reference))
    return np.interp(values, np.asarray(reference), levels).astype("float32")
