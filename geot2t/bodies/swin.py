"""Shifted windows: attention in squares that move by half, stages joined by patch merging.

References
----------
Liu et al. 2021, "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
arXiv:2103.14030, section 3; the way back by patch expansion is that of Cao et al. 2021,
"Swin-Unet", arXiv:2105.05537, with added instead of concatenated skips.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from geot2t.bodies.base import Architecture, Back
from geot2t.bodies.vit import Patches
from geot2t.t2t import Attention, FeedForward, greatest_side

PATCH = 4
"""Side of a patch in pixels."""

WINDOW = 8
"""Greatest side, in tokens, of the squares within which tokens attend."""


class WindowAttention(Attention):
    """Attention within squares of tokens ``(m, h, w, d)``, with a learnt bias by offset.

    Parameters
    ----------
    dim, heads : int
        As for `Attention`.
    shifted : bool
        Squares lie half their side further; what the shift brings round an edge is not read.
    """

    def __init__(self, dim: int, heads: int, *, shifted: bool) -> None:
        super().__init__(dim, heads)
        self.shifted = shifted
        self.offsets = nn.Parameter(torch.zeros(heads, 2 * WINDOW - 1, 2 * WINDOW - 1))

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Mix the tokens of each square."""
        h, w = tokens.shape[1:3]
        p, q = greatest_side(h, WINDOW), greatest_side(w, WINDOW)
        # A square as large as the image has nothing to be shifted into.
        down, right = (p // 2 if p < h else 0, q // 2 if q < w else 0) if self.shifted else (0, 0)
        x = torch.roll(self.norm(tokens), (-down, -right), (1, 2))
        squares = {"p": p, "q": q, "h": h // p, "w": w // q}
        qkv = rearrange(
            self.qkv(x),
            "m (h p) (w q) (three a d) -> three m (h w a) (p q) d",
            three=3,
            a=self.heads,
            **squares,
        )
        queries, keys, values = qkv.unbind(0)
        bias = self._bias(p, q) + _apart(h, w, p, q, down, right, x.device)
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=rearrange(bias, "n a t s -> 1 (n a) t s").to(qkv.dtype)
        )
        mixed = rearrange(
            mixed, "m (h w a) (p q) d -> m (h p) (w q) (a d)", a=self.heads, **squares
        )
        return torch.as_tensor(tokens + self.proj(torch.roll(mixed, (down, right), (1, 2))))

    def _bias(self, p: int, q: int) -> Tensor:
        """Bias of each pair of a square's tokens, ``(1, heads, p*q, p*q)``."""
        device = self.offsets.device
        row = torch.arange(p, device=device).repeat_interleave(q)
        col = torch.arange(q, device=device).repeat(p)
        dy, dx = (a[:, None] - a[None] + WINDOW - 1 for a in (row, col))
        return self.offsets[:, dy, dx].unsqueeze(0)


def _apart(h: int, w: int, p: int, q: int, down: int, right: int, device: torch.device) -> Tensor:
    """Minus infinity between tokens that only the shift made neighbours, ``(squares, 1, t, t)``."""
    rows = (torch.arange(h, device=device) >= h - down).long()
    cols = (torch.arange(w, device=device) >= w - right).long()
    part = rearrange(2 * rows[:, None] + cols, "(h p) (w q) -> (h w) 1 (p q)", p=p, q=q)
    other = part.unsqueeze(-1) != part.unsqueeze(-2)
    return torch.zeros(other.shape, device=device).masked_fill(other, -torch.inf)


class Stage(nn.Module):
    """A block with squares at rest and one with squares shifted, ``(m, h, w, d)``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            WindowAttention(dim, heads, shifted=False),
            FeedForward(dim),
            WindowAttention(dim, heads, shifted=True),
            FeedForward(dim),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix tokens."""
        mixed: Tensor = self.blocks(tokens)
        return mixed


class SwinStem(nn.Module):
    """Stages at 4 and 8 pixels, with patches merged two by two between them."""

    def __init__(self, channels: int, token_dim: int, embed_dim: int, heads: int) -> None:
        super().__init__()
        c, middle = token_dim, embed_dim // 2
        self.embed = Patches(channels, c, PATCH)
        self.stage1, self.stage2 = Stage(c, heads), Stage(middle, heads)
        self.merge1, self.merge2 = _merge(c, middle), _merge(middle, embed_dim)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Tokens of 4, 8 and 16 pixels, ``token_dim``, half of and whole ``embed_dim`` wide."""
        fine = self.stage1(self.embed(images)[0])
        middle = self.stage2(self.merge1(_gathered(fine)))
        return [fine, middle, self.merge2(_gathered(middle))]


class SwinBack(Back):
    """Patches expanded two by two, with the stem's tokens added, and a stage at each level."""

    def __init__(self, token_dim: int, embed_dim: int, heads: int) -> None:
        super().__init__()
        c, middle = token_dim, embed_dim // 2
        self.width, self.last = c, (PATCH, PATCH)
        self.expand2, self.stage2 = nn.Linear(embed_dim, 4 * middle), Stage(middle, heads)
        self.expand1, self.stage1 = nn.Linear(middle, 4 * c), Stage(c, heads)

    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:
        """Lead the trunk's tokens back; see `Back.forward`."""
        fine, middle, _ = levels
        x = self.stage2(_spread(self.expand2(coarse)) + middle)
        mixed: Tensor = self.stage1(_spread(self.expand1(x)) + fine)
        return mixed


def _merge(d_in: int, d_out: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(4 * d_in), nn.Linear(4 * d_in, d_out, bias=False))


def _gathered(tokens: Tensor) -> Tensor:
    """Squares of 2 by 2 tokens side by side: ``(m, h, w, d) -> (m, h/2, w/2, 4*d)``."""
    return rearrange(tokens, "m (h p) (w q) d -> m h w (p q d)", p=2, q=2)


def _spread(tokens: Tensor) -> Tensor:
    """The inverse of `_gathered`."""
    return rearrange(tokens, "m h w (p q d) -> m (h p) (w q) d", p=2, q=2)


def _stem(channels: int, token_dim: int, embed_dim: int, heads: int, _reach: int) -> nn.Module:
    return SwinStem(channels, token_dim, embed_dim, heads)


def _space(dim: int, heads: int, i: int) -> nn.Module:
    return WindowAttention(dim, heads, shifted=i % 2 == 1)


def _back(token_dim: int, embed_dim: int, heads: int, _reach: int) -> Back:
    return SwinBack(token_dim, embed_dim, heads)


def _critic_stem(
    channels: int, token_dim: int, embed_dim: int, heads: int, _reach: int
) -> nn.Module:
    # The critic's heads need not divide token_dim; as many as do so are used.
    return SwinStem(channels, token_dim, embed_dim, _common(token_dim, embed_dim // 2, heads))


def _common(first: int, second: int, most: int) -> int:
    return next(n for n in range(most, 0, -1) if first % n == 0 and second % n == 0)


ARCHITECTURE = Architecture(_stem, _space, _back, _critic_stem, _space)
