"""The tokens-to-token stem against definitions written out here, and its adjoint."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from geot2t.t2t import SPLITS, Attention, T2TStem, TokenMixer, positions, soft_split, un_split


def layer_norm(x: np.ndarray, module: torch.nn.LayerNorm) -> np.ndarray:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * numpy(module.weight) + numpy(module.bias)


def numpy(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def linear(x: np.ndarray, module: torch.nn.Linear) -> np.ndarray:
    y = x @ numpy(module.weight).T
    return y if module.bias is None else y + numpy(module.bias)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def patches_of(image: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Soft split by slicing: image (c, h, w) to tokens (rows * cols, c * k * k)."""
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    rows = (padded.shape[1] - kernel) // stride + 1
    cols = (padded.shape[2] - kernel) // stride + 1
    return np.array(
        [
            padded[:, r * stride : r * stride + kernel, c * stride : c * stride + kernel].ravel()
            for r in range(rows)
            for c in range(cols)
        ]
    )


def token_transformer(tokens: np.ndarray, mixer: TokenMixer) -> np.ndarray:
    """T2T-ViT's token transformer: one head, values skip the attention, MLP ratio 1."""
    d_in = tokens.shape[1]
    q, k, v = np.split(linear(layer_norm(tokens, mixer.norm1), mixer.qkv), 3, axis=1)
    scores = q @ k.T * d_in**-0.5
    weights = np.exp(scores - scores.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    x = v + linear(weights @ v, mixer.proj)
    hidden = gelu(linear(layer_norm(x, mixer.norm2), mixer.mlp[0]))
    return x + linear(hidden, mixer.mlp[2])


@pytest.mark.parametrize("size", [(64, 64), (32, 80)])
def test_the_stem_is_the_published_tokens_to_token_module(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    stem = T2TStem(channels=3, token_dim=64, embed_dim=256)  # RGB and the published widths
    image = torch.randn(3, *size)
    x = numpy(image)
    for i, (kernel, stride, padding) in enumerate([(7, 4, 2), (3, 2, 1), (3, 2, 1)]):
        tokens = patches_of(x, kernel, stride, padding)
        if i < 2:
            tokens = token_transformer(tokens, stem.mixers[i])
            divisor = 4 * 2**i
            x = tokens.T.reshape(64, size[0] // divisor, size[1] // divisor)
        else:
            tokens = linear(tokens, stem.project)
    with torch.no_grad():
        got = stem(image[None])[-1][0]
    assert got.shape == (size[0] // 16, size[1] // 16, 256)
    np.testing.assert_allclose(numpy(got).reshape(-1, 256), tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("split", SPLITS)
def test_un_split_is_the_adjoint_of_the_soft_split(split: tuple[int, int]) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 24, 40, dtype=torch.float64)
    patches = soft_split(x, split)
    y = torch.randn_like(patches)
    torch.testing.assert_close((patches * y).sum(), (x * un_split(y, split)).sum())
    assert un_split(y, split).shape == x.shape


def test_reach_limits_attention_to_squares_of_tokens() -> None:
    torch.manual_seed(2)
    mixer = TokenMixer(6, 4, reach=4)
    tokens = torch.randn(1, 8, 12, 6)
    changed = tokens.clone()
    changed[:, :4, :4] = torch.randn(1, 4, 4, 6)
    with torch.no_grad():
        differs = (mixer(tokens) != mixer(changed)).any(-1)[0]
    assert differs[:4, :4].all()
    assert not differs[4:].any()
    assert not differs[:, 4:].any()


def test_a_reach_over_the_whole_map_is_full_attention() -> None:
    torch.manual_seed(3)
    near, full = TokenMixer(6, 4, reach=99), TokenMixer(6, 4)
    near.load_state_dict(full.state_dict())
    tokens = torch.randn(2, 6, 10, 6)
    torch.testing.assert_close(near(tokens), full(tokens))


def test_attention_does_not_read_absent_tokens() -> None:
    torch.manual_seed(4)
    attention = Attention(8, 2)
    torch.nn.init.normal_(attention.proj.weight)
    tokens = torch.randn(1, 5, 8)
    present = torch.tensor([[True, True, False, True, True]])
    changed = tokens.clone()
    changed[:, 2] = 9
    keep = present[0]
    torch.testing.assert_close(
        attention(tokens, present)[:, keep], attention(changed, present)[:, keep]
    )
    assert not torch.allclose(attention(tokens)[:, keep], attention(changed)[:, keep])


def test_positions_tell_all_tokens_apart() -> None:
    table = positions(9, 14, 32, torch.device("cpu")).reshape(-1, 32)
    distance = torch.cdist(table, table) + torch.eye(len(table)) * 9
    assert distance.min() > 0.1
