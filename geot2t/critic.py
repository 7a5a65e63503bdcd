"""The critic, by default a T2T-ViT: where, and whether, a window looks unlike real ground."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from geot2t.bodies import architecture
from geot2t.t2t import Attention, FeedForward, positions


@dataclass(frozen=True, slots=True)
class CriticConfig:
    """All that is needed to rebuild the critic; stored in each checkpoint."""

    token_dim: int = 32
    """Token width between soft splits."""

    embed_dim: int = 96
    """Token width in the trunk."""

    depth: int = 3
    """Blocks of the trunk."""

    heads: int = 3
    """Attention heads."""

    reach: int = 16
    """Side, in tokens, of the squares within which the soft splits' tokens attend."""

    arch: str = "t2t"
    """Name of the architecture."""


class Critic(nn.Module):
    """Score windows of any number of bands; high means like observed ground."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        parts = architecture(config.arch)
        d, heads = config.embed_dim, config.heads
        self.stem = parts.critic_stem(1, config.token_dim, d, heads, config.reach)
        self.space = nn.ModuleList(parts.critic_space(d, heads, i) for i in range(config.depth))
        self.across = nn.ModuleList(Attention(d, config.heads) for _ in range(config.depth))
        self.mlp = nn.ModuleList(FeedForward(d) for _ in range(config.depth))
        self.where = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 1))
        self.whether = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Score images ``(n, b, y, x)``.

        They should be normalised (`normalised`), so that scores do not depend on units.

        Returns
        -------
        where : Tensor, shape ``(n, y/16, x/16)``
            A score for each token.
        whether : Tensor, shape ``(n,)``
            A score for each window.
        """
        n, b = images.shape[:2]
        x = self.stem(rearrange(images, "n b y x -> (n b) 1 y x"))[-1]  # (n*b, h, w, d)
        h, w = x.shape[1:3]
        x = x + positions(h, w, x.shape[-1], x.device).to(x.dtype)
        for space, across, mlp in zip(self.space, self.across, self.mlp, strict=True):
            x = space(x)
            x = across(rearrange(x, "(n b) h w d -> (n h w) b d", n=n, b=b))
            x = mlp(rearrange(x, "(n h w) b d -> (n b) h w d", n=n, h=h, w=w))
        x = reduce(x, "(n b) h w d -> n h w d", "mean", n=n, b=b)
        whether = self.whether(reduce(x, "n h w d -> n d", "mean"))
        return self.where(x).squeeze(-1), whether.squeeze(-1)


def normalised(images: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """``(images - mean) / spread`` for ``(n, b, y, x)`` images, clipped to a sane range."""
    return torch.clamp((images - mean) / spread, -8, 8)


def own_normalised(images: Tensor) -> Tensor:
    """Images ``(n, b, y, x)`` with mean 0 and spread 1 in each band of each window.

    As windows come to the critic when nothing is known of them but themselves.
    """
    mean = images.mean((2, 3), keepdim=True)
    spread = images.std((2, 3), keepdim=True)
    return normalised(images, mean, spread + 1e-3 * mean.abs() + 1e-12)
