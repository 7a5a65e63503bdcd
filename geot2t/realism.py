"""Realism: what the critic says of windows as they are, and of which share of real ground is worse.

Scores have no unit. What a user is told is a percentile: the share of windows of real ground, of
many places and sensors, that the critic finds less likely than this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange, reduce
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from geot2t.bodies.t2t import Everywhere
from geot2t.critic import Critic, own_normalised
from geot2t.errors import InputError
from geot2t.generator import STRIDE
from geot2t.grid import Box, lattice

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


@torch.inference_mode()
def attention(critic: Critic, images: Tensor, valid: Tensor) -> Float:
    """How much each token was looked at from all others, on average over layers, heads and bands.

    Parameters are those of `scores`.

    Returns
    -------
    ndarray of float32, shape ``(n, h, w)``
        1 where it is as much as it would be if all tokens were looked at alike.

    Raises
    ------
    InputError
        If the critic's architecture has no attention over the window.
    """
    n = len(images)
    given: list[Tensor] = []

    def look(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        assert isinstance(module, Everywhere)  # noqa: S101  hooks are given to no other
        tokens = rearrange(arguments[0], "m h w d -> m (h w) d")
        q, k, _ = module.qkv(module.norm(tokens)).chunk(3, -1)
        q, k = (rearrange(v, "m t (a d) -> m a t d", a=module.heads) for v in (q, k))
        share = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)  # (m, heads, from, to)
        looked = reduce(share, "m a s t -> m t", "mean") * share.shape[-1]
        given.append(reduce(looked, "(n b) t -> n t", "mean", n=n))

    layers = [m for m in critic.space if isinstance(m, Everywhere)]
    if not layers:
        raise InputError(
            f"a critic of the architecture {critic.config.arch} has no attention over a window; "
            "leave --attention out"
        )
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        where, _, _ = scores(critic, images, valid)
    finally:
        for hook in hooks:
            hook.remove()
    mean = torch.stack(given).mean(0)
    return rearrange(mean, "n (h w) -> n h w", h=where.shape[1]).float().cpu().numpy()


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


class Judge:
    """The critic's mean score over the windows of an image of which all is known.

    Parameters
    ----------
    critic : Critic
        Moved to ``device``.
    reference : sequence of float or None
        As `percentile` takes it.
    device : torch.device
        Where to compute.
    """

    def __init__(
        self, critic: Critic, reference: Sequence[float] | None, device: torch.device
    ) -> None:
        self._critic, self._reference, self._device = critic.to(device), reference, device

    def __call__(self, pixels: Float) -> tuple[float, float | None]:
        """Score of pixels ``(b, y, x)``, and its percentile if there is a reference."""
        extent = Box(0, 0, *pixels.shape[1:])
        found = []
        for window in lattice(extent, extent, size=SIDE, overlap=0):
            image = torch.from_numpy(pixels[:, *window.slices][None].copy()).to(self._device)
            known = torch.ones_like(image[:, :1], dtype=torch.bool)
            found.append(scores(self._critic, image, known)[1][0])
        level = None
        if self._reference is not None:
            level = float(percentile(np.array(found), self._reference).mean())
        return float(np.mean(found)), level
