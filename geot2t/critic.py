"""The critic, by default a T2T-ViT: where, and whether, a window looks unlike real ground."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from geot2t.bodies import architecture
from geot2t.t2t import Attention, FeedForward, positions
from geot2t.views import STATISTICS, VIEWS, views

SOFT = 0.5
"""Softness of the minimum over bands and tokens: smaller lets the worst one decide."""


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

    views: int = VIEWS
    """Channels for each band: 4, with statistics (`geot2t.views`), or 1, the band alone."""

    statistics: int = STATISTICS
    """How many of the statistics are looked at; those of a critic of before are the first ones."""


class Critic(nn.Module):
    """Score windows of any number of bands; high means like observed ground."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        parts = architecture(config.arch)
        d, heads = config.embed_dim, config.heads
        self.stem = parts.critic_stem(config.views, config.token_dim, d, heads, config.reach)
        if config.views > 1:
            heard = nn.Linear(d, d)
            # Beside the tokens of the stem, they are to be heard from the first step on.
            nn.init.normal_(heard.weight, std=2 / math.sqrt(d))
            self.statistics = nn.Sequential(nn.Linear(config.statistics, d), nn.GELU(), heard)
        self.space = nn.ModuleList(parts.critic_space(d, heads, i) for i in range(config.depth))
        self.across = nn.ModuleList(Attention(d, config.heads) for _ in range(config.depth))
        self.mlp = nn.ModuleList(FeedForward(d) for _ in range(config.depth))
        self.where = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 1))
        self.whether = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 1))

    def forward(self, images: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score images ``(n, b, y, x)``.

        They should be normalised (`normalised`), so that scores do not depend on units. Of a
        critic that looks at `geot2t.views`, ``valid`` ``(n, 1, y, x)`` says what was observed;
        all was by default.

        Returns
        -------
        where : Tensor, shape ``(n, y/16, x/16)``
            A score for each token, near that of its least likely band.
        whether : Tensor, shape ``(n,)``
            A score for each window, near that of its least likely token.
        """
        n, b = images.shape[:2]
        x = self._tokens(images, valid)  # (n*b, h, w, d)
        h, w = x.shape[1:3]
        place = positions(h, w, x.shape[-1], x.device).to(x.dtype)
        x = x + (place if self.config.views == 1 else 0.3 * place)
        for space, across, mlp in zip(self.space, self.across, self.mlp, strict=True):
            x = space(x)
            x = across(rearrange(x, "(n b) h w d -> (n h w) b d", n=n, b=b))
            x = mlp(rearrange(x, "(n h w) b d -> (n b) h w d", n=n, h=h, w=w))
        x = rearrange(x, "(n b) h w d -> n b h w d", n=n, b=b)
        where = soft_minimum(self.where(x).squeeze(-1), 1)
        whole = self.whether(reduce(x, "n b h w d -> n d", "mean")).squeeze(-1)
        return where, soft_minimum(where.flatten(1), 1) + whole

    def _tokens(self, images: Tensor, valid: Tensor | None) -> Tensor:
        if self.config.views == 1:
            return torch.as_tensor(self.stem(rearrange(images, "n b y x -> (n b) 1 y x"))[-1])
        if valid is None:
            valid = torch.ones_like(images[:, :1], dtype=torch.bool)
        pixels, cells = views(images, valid)
        x = self.stem(pixels)[-1]
        cells = F.adaptive_avg_pool2d(cells[:, : self.config.statistics], x.shape[1:3])
        return torch.as_tensor(x + self.statistics(rearrange(cells, "m c h w -> m h w c")))


def widened(critic: Critic) -> Critic:
    """``critic`` with all of today's statistics, of which it does not yet heed the new ones."""
    config = replace(critic.config, statistics=STATISTICS)
    out, state = Critic(config), critic.state_dict()
    name = "statistics.0.weight"
    state[name] = F.pad(state[name], (0, STATISTICS - critic.config.statistics))
    out.load_state_dict(state)
    return out


def soft_minimum(scores: Tensor, dim: int) -> Tensor:
    """A smooth minimum along ``dim``: the scores' mean if they are equal, near their least if not.

    It is ``-s log(mean(exp(-x / s)))``, s being `SOFT`; it lies at most ``s log(count)`` above the
    least score.
    """
    count = scores.shape[dim]
    return -SOFT * ((-scores / SOFT).logsumexp(dim) - math.log(count))


def normalised(images: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """``(images - mean) / spread`` for ``(n, b, y, x)`` images, clipped to a sane range."""
    return torch.clamp((images - mean) / spread, -8, 8)


def own_normalised(images: Tensor, valid: Tensor | None = None) -> Tensor:
    """Images ``(n, b, y, x)`` with mean 0 and spread 1 in each band of each window.

    As windows come to the critic when nothing is known of them but themselves. What is not
    ``valid`` ``(n, 1, y, x)`` does not count, and comes out as 0.
    """
    seen = torch.ones_like(images[:, :1]) if valid is None else valid.to(images)
    count = seen.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (images * seen).sum((2, 3), keepdim=True) / count
    away = (images - mean) * seen
    spread = (away.square().sum((2, 3), keepdim=True) / count).sqrt()
    return normalised(away, torch.zeros_like(mean), spread + 1e-3 * mean.abs() + 1e-12)
