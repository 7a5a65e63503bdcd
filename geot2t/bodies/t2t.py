"""Tokens-to-token: overlapping soft splits on the way in, their adjoints on the way out."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from geot2t.bodies.base import Architecture, Back
from geot2t.t2t import SPLITS, Attention, FeedForward, T2TStem, TokenMixer, un_split


class Everywhere(Attention):
    """Attention of every token to every other of its image, ``(m, h, w, d)``."""

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """Mix the tokens of each image."""
        h, w = tokens.shape[1:3]
        mixed = super().forward(rearrange(tokens, "m h w d -> m (h w) d"), present)
        return rearrange(mixed, "m (h w) d -> m h w d", h=h, w=w)


class T2TBack(Back):
    """Un-splits with the stem's tokens added at each level; gives tokens of 4 pixels."""

    def __init__(self, token_dim: int, embed_dim: int, reach: int) -> None:
        super().__init__()
        c = self.width = token_dim
        self.last = SPLITS[0]
        self.up2 = nn.Linear(embed_dim, c * SPLITS[2][0] ** 2)
        self.mix2 = TokenMixer(c, c, reach)
        self.up1 = nn.Linear(c, c * SPLITS[1][0] ** 2)
        self.mix1 = FeedForward(c)

    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:
        """Lead the trunk's tokens back; see `Back.forward`."""
        fine, middle, _ = levels
        x = rearrange(un_split(self.up2(coarse), SPLITS[2]), "n d h w -> n h w d") + middle
        x = self.mix2(x)
        x = rearrange(un_split(self.up1(x), SPLITS[1]), "n d h w -> n h w d") + fine
        mixed: Tensor = self.mix1(x)
        return mixed


def _stem(channels: int, token_dim: int, embed_dim: int, _heads: int, reach: int) -> nn.Module:
    return T2TStem(channels, token_dim, embed_dim, SPLITS, reach)


def _space(dim: int, heads: int, _i: int) -> nn.Module:
    return Everywhere(dim, heads)


def _back(token_dim: int, embed_dim: int, _heads: int, reach: int) -> Back:
    return T2TBack(token_dim, embed_dim, reach)


ARCHITECTURE = Architecture(_stem, _space, _back, _stem, _space)
