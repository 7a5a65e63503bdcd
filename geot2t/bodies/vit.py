"""Plain ViT: patches of 16 pixels that do not overlap, one linear map in and one out.

References
----------
Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words: Transformers for Image Recognition at
Scale", arXiv:2010.11929, section 3.1.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from geot2t.bodies.base import Architecture, Back
from geot2t.bodies.t2t import Everywhere

PATCH = 16
"""Side of a patch in pixels."""


class Patches(nn.Module):
    """Linear embedding of patches that do not overlap: ``(m, c, y, x)`` to one level."""

    def __init__(self, channels: int, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.project = nn.Linear(channels * side**2, dim)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The only level, ``(m, y/side, x/side, dim)``."""
        cut = rearrange(images, "m c (h p) (w q) -> m h w (c p q)", p=self.side, q=self.side)
        return [self.project(cut)]


class PlainBack(Back):
    """Nothing on the way: the heads turn each of the trunk's tokens into its patch."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.width, self.last = embed_dim, (PATCH, PATCH)

    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:  # noqa: ARG002
        """Return the trunk's tokens as they are."""
        return coarse


def _stem(channels: int, _token_dim: int, embed_dim: int, _heads: int, _reach: int) -> nn.Module:
    return Patches(channels, embed_dim, PATCH)


def _space(dim: int, heads: int, _i: int) -> nn.Module:
    return Everywhere(dim, heads)


def _back(_token_dim: int, embed_dim: int, _heads: int, _reach: int) -> Back:
    return PlainBack(embed_dim)


ARCHITECTURE = Architecture(_stem, _space, _back, _stem, _space)
