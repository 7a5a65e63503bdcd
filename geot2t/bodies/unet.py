"""Convolutions only: a U-Net as generator, a PatchGAN as critic.

References
----------
Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
arXiv:1505.04597, with added instead of concatenated skips; Isola et al. 2017, "Image-to-Image
Translation with Conditional Adversarial Networks", arXiv:1611.07004, section 3.2.2; the block
at the bottom is the bottleneck of He et al. 2016, arXiv:1512.03385.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from geot2t.bodies.base import Architecture, Back


def _widths(token_dim: int, embed_dim: int) -> list[int]:
    """Channels at 1, 2, 4, 8 and 16 pixels."""
    c = token_dim
    return [max(c // 3, 1), max(2 * c // 3, 1), c, embed_dim // 2, embed_dim]


def _conv(d_in: int, d_out: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(d_in, d_out, 3, stride, 1, bias=False), nn.GroupNorm(1, d_out), nn.GELU()
    )


class UNetStem(nn.Module):
    """Two convolutions at each of four levels; the second of them halves the size."""

    def __init__(self, channels: int, token_dim: int, embed_dim: int) -> None:
        super().__init__()
        widths = _widths(token_dim, embed_dim)
        self.first = _conv(channels, widths[0])
        self.same = nn.ModuleList(_conv(d, d) for d in widths[:-1])
        self.down = nn.ModuleList(_conv(a, b, 2) for a, b in pairwise(widths))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features ``(m, c, y, x)`` of 1, 2, 4 and 8 pixels, and tokens of 16 as the trunk's."""
        x = self.first(images)
        levels = []
        for same, down in zip(self.same, self.down, strict=True):
            levels.append(same(x))
            x = down(levels[-1])
        return [*levels, rearrange(x, "m d h w -> m h w d")]


class UNetBack(Back):
    """Doubled in size and convolved, four times, with the stem's features added."""

    def __init__(self, token_dim: int, embed_dim: int) -> None:
        super().__init__()
        widths = _widths(token_dim, embed_dim)
        self.width, self.last = widths[0], (1, 1)
        self.up = nn.ModuleList(_conv(b, a) for a, b in reversed(list(pairwise(widths))))
        self.same = nn.ModuleList(_conv(d, d) for d in reversed(widths[:-1]))

    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:
        """Lead the trunk's tokens back; see `Back.forward`."""
        x = rearrange(coarse, "m h w d -> m d h w")
        for up, same, skip in zip(self.up, self.same, reversed(levels[:-1]), strict=True):
            x = same(up(F.interpolate(x, scale_factor=2.0)) + skip)
        return rearrange(x, "m d h w -> m h w d")


class Bottleneck(nn.Module):
    """Residual block that mixes tokens ``(m, h, w, d)`` with a 3x3 convolution at half width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = max(dim // 2, 1)
        self.norm = nn.LayerNorm(dim)
        self.body = nn.Sequential(
            nn.Conv2d(dim, half, 1),
            nn.GELU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(half, dim, 1),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix each token with those beside it."""
        x = self.body(rearrange(self.norm(tokens), "m h w d -> m d h w"))
        return torch.as_tensor(tokens + rearrange(x, "m d h w -> m h w d"))


class PatchGAN(nn.Module):
    """Four strided 4x4 convolutions: each score sees a patch of 46 pixels and no more."""

    def __init__(self, channels: int, embed_dim: int) -> None:
        super().__init__()
        widths = [channels, *(max(embed_dim * i // 4, 1) for i in (1, 2, 3)), embed_dim]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """The only level, ``(m, y/16, x/16, embed_dim)``."""
        return [rearrange(self.body(images), "m d h w -> m h w d")]


def _stem(channels: int, token_dim: int, embed_dim: int, _heads: int, _reach: int) -> nn.Module:
    return UNetStem(channels, token_dim, embed_dim)


def _space(dim: int, _heads: int, _i: int) -> nn.Module:
    return Bottleneck(dim)


def _back(token_dim: int, embed_dim: int, _heads: int, _reach: int) -> Back:
    return UNetBack(token_dim, embed_dim)


def _critic_stem(
    channels: int, _token_dim: int, embed_dim: int, _heads: int, _reach: int
) -> nn.Module:
    return PatchGAN(channels, embed_dim)


def _critic_space(_dim: int, _heads: int, _i: int) -> nn.Module:
    return nn.Identity()


ARCHITECTURE = Architecture(_stem, _space, _back, _critic_stem, _critic_space)
