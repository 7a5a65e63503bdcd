"""Tokens-to-token: overlapping soft splits, token mixing between them, and the way back.

Axis letters in einops patterns here and in the networks: n sample, c channel, h w pixels or
token rows and columns, d token width, k kernel side, b band, f frame (one date).

References
----------
Yuan et al. 2021, "Tokens-to-Token ViT: Training Vision Transformers from Scratch on
ImageNet", arXiv:2101.11986, section 3.1 and the authors' configuration files.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

Split = tuple[int, int]
"""Kernel side and stride of a soft split."""

SPLITS: tuple[Split, ...] = ((7, 4), (3, 2), (3, 2))
"""The published soft splits; together they shrink an image 16 times."""


def _padding(split: Split) -> int:
    """Padding with which an image of whole strides gives one token per stride."""
    kernel, stride = split
    return (kernel - stride + 1) // 2


def soft_split(images: Tensor, split: Split) -> Tensor:
    """Cut images into overlapping patches: ``(n, c, h, w) -> (n, h/s, w/s, c*k*k)``."""
    kernel, stride = split
    h, w = images.shape[-2] // stride, images.shape[-1] // stride
    patches = F.unfold(images, kernel, stride=stride, padding=_padding(split))  # (n, c*k*k, h*w)
    return rearrange(patches, "n d (h w) -> n h w d", h=h, w=w)


def un_split(patches: Tensor, split: Split) -> Tensor:
    """Add overlapping patches up to images: ``(n, h, w, c*k*k) -> (n, c, h*s, w*s)``.

    The adjoint of `soft_split`: for all ``x``, ``y`` the inner products
    ``<soft_split(x), y>`` and ``<x, un_split(y)>`` are equal.
    """
    kernel, stride = split
    size = (patches.shape[1] * stride, patches.shape[2] * stride)
    columns = rearrange(patches, "n h w d -> n d (h w)")
    return F.fold(columns, size, kernel, stride=stride, padding=_padding(split))


def greatest_side(length: int, reach: int) -> int:
    """Greatest divisor of ``length`` that is not above ``reach``."""
    return next(i for i in range(min(length, reach), 0, -1) if length % i == 0)


class TokenMixer(nn.Module):
    """The token transformer: one-headed attention and an MLP, from ``d_in`` to ``d_out`` wide.

    The values are carried past the attention, since input and output differ in width, and
    queries are scaled by the width of the *input*, both as in the authors' code.

    Parameters
    ----------
    d_in, d_out : int
        Token width before and after.
    reach : int or None
        Side of the square of tokens within which attention acts, which makes its cost
        proportional to the image's area. None: all tokens of the image, as published.
    """

    def __init__(self, d_in: int, d_out: int, reach: int | None = None) -> None:
        super().__init__()
        self.reach = reach
        self.scale = d_in**-0.5
        self.norm1 = nn.LayerNorm(d_in)
        self.qkv = nn.Linear(d_in, 3 * d_out, bias=False)
        self.proj = nn.Linear(d_out, d_out)
        self.norm2 = nn.LayerNorm(d_out)
        self.mlp = nn.Sequential(nn.Linear(d_out, d_out), nn.GELU(), nn.Linear(d_out, d_out))

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix ``(n, h, w, d_in)`` to ``(n, h, w, d_out)``."""
        n, h, w, _ = tokens.shape
        rows = h if self.reach is None else greatest_side(h, self.reach)
        cols = w if self.reach is None else greatest_side(w, self.reach)
        qkv = rearrange(
            self.qkv(self.norm1(tokens)),
            "n (h p) (w q) (three d) -> three (n h w) 1 (p q) d",
            p=rows,
            q=cols,
            three=3,
        )
        q, k, v = qkv.unbind(0)
        mixed = v + self.proj(F.scaled_dot_product_attention(q, k, v, scale=self.scale))
        x = rearrange(
            mixed,
            "(n h w) 1 (p q) d -> n (h p) (w q) d",
            n=n,
            h=h // rows,
            w=w // cols,
            p=rows,
            q=cols,
        )
        return torch.as_tensor(x + self.mlp(self.norm2(x)))


class T2TStem(nn.Module):
    """Soft splits with token mixing between them; height and width may differ.

    ``(n, c, h, w)`` becomes, for the published splits, ``(n, h/4, w/4, token_dim)``,
    ``(n, h/8, w/8, token_dim)`` and ``(n, h/16, w/16, embed_dim)``. Height and width must
    divide by the product of the strides.

    Parameters
    ----------
    channels : int
        Channels of the input.
    token_dim : int
        Token width between the splits; 64 in the paper.
    embed_dim : int
        Token width after the last split.
    splits : sequence of Split
        Kernel and stride of each split.
    reach : int or None
        See `TokenMixer`.
    """

    def __init__(
        self,
        channels: int,
        token_dim: int,
        embed_dim: int,
        splits: tuple[Split, ...] = SPLITS,
        reach: int | None = None,
    ) -> None:
        super().__init__()
        self.splits = splits
        widths = [channels, *[token_dim] * (len(splits) - 1)]
        patch = [c * kernel**2 for c, (kernel, _) in zip(widths, splits, strict=True)]
        self.mixers = nn.ModuleList(TokenMixer(d, token_dim, reach) for d in patch[:-1])
        self.project = nn.Linear(patch[-1], embed_dim)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Tokens of every level, finest first; the last are ``embed_dim`` wide."""
        levels: list[Tensor] = []
        for i, split in enumerate(self.splits):
            patches = soft_split(images, split)
            if i == len(self.mixers):
                levels.append(self.project(patches))
            else:
                levels.append(self.mixers[i](patches))
                images = rearrange(levels[-1], "n h w d -> n d h w")
        return levels


class Attention(nn.Module):
    """Multi-head self-attention over a set of tokens, pre-normalised, with its residual."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, tokens: Tensor, present: Tensor | None = None) -> Tensor:
        """Mix ``(n, tokens, dim)``; only tokens where ``present`` ``(n, tokens)`` are read."""
        qkv = rearrange(
            self.qkv(self.norm(tokens)), "n t (three h d) -> three n h t d", three=3, h=self.heads
        )
        q, k, v = qkv.unbind(0)
        bias = None if present is None else rearrange(present, "n t -> n 1 1 t")
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return torch.as_tensor(tokens + self.proj(rearrange(mixed, "n h t d -> n t (h d)")))


class FeedForward(nn.Module):
    """Two-layer perceptron, pre-normalised, with its residual: ``(..., dim) -> (..., dim)``."""

    def __init__(self, dim: int, ratio: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform each token by itself."""
        return torch.as_tensor(tokens + self.body(tokens))


def positions(height: int, width: int, dim: int, device: torch.device) -> Tensor:
    """Fixed sinusoidal embedding of token rows and columns, shape ``(height, width, dim)``.

    Half of the channels encode the row, half the column (Vaswani et al. 2017, section 3.5,
    for each axis); ``dim`` must divide by 4.
    """
    rate = 100.0 ** -torch.linspace(0, 1, dim // 4, device=device)
    row = torch.arange(height, device=device)[:, None, None] * rate
    col = torch.arange(width, device=device)[None, :, None] * rate
    row, col = torch.broadcast_tensors(row, col)
    return torch.cat([row.sin(), row.cos(), col.sin(), col.cos()], dim=-1)
