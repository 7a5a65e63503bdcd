"""Architectures that can be swapped: what all must do, and what makes each of them what it is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from geot2t.bodies import ARCHITECTURES, architecture
from geot2t.bodies.swin import WindowAttention
from geot2t.bodies.unet import PatchGAN, UNetStem
from geot2t.bodies.vit import Patches
from geot2t.checkpoint import Model, load_model, read_tensors, save_model, write_tensors
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError, ModelError
from geot2t.generator import Evidence, Generator, GeneratorConfig
from geot2t.learner import TrainConfig
from geot2t.losses import gradient_penalty
from geot2t.t2t import Attention
from geot2t.train import train

Module = TypeVar("Module", Generator, Critic)
EVERY = pytest.mark.parametrize("arch", ARCHITECTURES)


def small(arch: str) -> Generator:
    """A generator whose weights are random also where training starts from zero."""
    torch.manual_seed(0)
    config = GeneratorConfig(token_dim=16, embed_dim=32, depth=2, heads=2, arch=arch)
    return at_random(Generator(config)).eval()


def small_critic(arch: str) -> Critic:
    """The same for a critic."""
    torch.manual_seed(0)
    config = CriticConfig(token_dim=16, embed_dim=24, depth=2, heads=2, arch=arch)
    return at_random(Critic(config))


def at_random(module: Module) -> Module:
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return module


def evidence(n: int = 2, f: int = 3, b: int = 2, y: int = 32, x: int = 48) -> Evidence:
    g = torch.Generator().manual_seed(f + 10 * b)
    valid = torch.rand(n, f, y, x, generator=g) > 0.4
    prior, doubt = torch.rand(2, n, b, y, x, generator=g)
    images, fitted, more = torch.rand(3, n, f, b, y, x, generator=g)
    return Evidence(
        prior=prior,
        prior_scale=0.05 + 0.05 * doubt,
        images=images,
        fitted=torch.where(valid.unsqueeze(2), prior.unsqueeze(1) + 0.1 * fitted, prior[:, None]),
        fitted_scale=0.05 + 0.05 * more,
        valid=valid,
        days=5.0 * torch.arange(f).expand(n, -1),
        season=torch.full((n,), 0.4),
        wavelengths=torch.tensor([0.49, 0.84, 1.6])[:b].expand(n, -1),
    )


# -- what all must do ------------------------------------------------------------------------------


@EVERY
def test_training_starts_close_to_the_prior(arch: str) -> None:
    torch.manual_seed(0)
    e = evidence()
    guess = Generator(GeneratorConfig(depth=1, arch=arch))(e)
    offers = (e.fitted[:, 1:] - e.prior.unsqueeze(1)).abs().amax(1)
    assert ((guess.mean - e.prior).abs() <= 0.1 * offers + 1e-6).all()
    torch.testing.assert_close(guess.scale, e.prior_scale)


@EVERY
@pytest.mark.parametrize(("f", "b", "x"), [(1, 1, 16), (5, 1, 80), (2, 3, 144)])
def test_any_bands_dates_and_sizes_go(arch: str, f: int, b: int, x: int) -> None:
    with torch.no_grad():
        guess = small(arch)(evidence(1, f, b, 48, x))
    assert guess.mean.shape == guess.scale.shape == (1, b, 48, x)
    assert guess.mean.isfinite().all()
    assert (guess.scale > 0).all()


@EVERY
def test_what_lies_under_an_invalid_pixel_is_never_read(arch: str) -> None:
    e, net = evidence(), small(arch)
    hidden = ~e.valid.unsqueeze(2).expand_as(e.images)
    junk = dataclasses.replace(e, images=e.images.masked_fill(hidden, 1e6))
    with torch.no_grad():
        torch.testing.assert_close(net(junk).mean, net(e).mean)


@EVERY
def test_windows_of_a_batch_do_not_see_each_other(arch: str) -> None:
    e, net = evidence(), small(arch)
    first = Evidence(*(getattr(e, f.name)[:1] for f in dataclasses.fields(Evidence)))
    with torch.no_grad():
        torch.testing.assert_close(net(first).mean, net(e).mean[:1], rtol=1e-4, atol=1e-5)


@EVERY
def test_every_weight_of_both_networks_learns(arch: str) -> None:
    net, critic = small(arch), small_critic(arch)
    noise = torch.randn(2, 2, 3, net.config.noise_dim)
    guess = net(evidence(), noise)
    (guess.mean.square().sum() + guess.scale.sum()).backward()
    where, whether = critic(torch.randn(2, 2, 32, 48))
    (where.square().sum() + whether.square().sum()).backward()
    still = [
        name
        for module in (net, critic)
        for name, p in module.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    # A softmax does not feel what is added to all alike: this gradient is nothing but rounding.
    assert set(still) <= {"trust.bias"}


@EVERY
def test_the_critics_gradients_can_be_penalised(arch: str) -> None:
    critic = small_critic(arch)
    images = torch.randn(2, 2, 32, 32, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        where, whether = critic(images)
        gradient_penalty(images, whether + where.mean((1, 2))).backward()
    assert where.shape == (2, 2, 2)
    first = next(critic.stem.parameters()).grad
    assert first is not None
    assert first.abs().sum() > 0


def test_architectures_are_of_like_size() -> None:
    for kind, config in ((Generator, GeneratorConfig), (Critic, CriticConfig)):
        sizes = [sum(p.numel() for p in kind(config(arch=a)).parameters()) for a in ARCHITECTURES]
        assert max(sizes) < 1.2 * min(sizes)


# -- what makes each of them what it is ------------------------------------------------------------


def changed_tokens(stem: torch.nn.Module, where: tuple[slice, slice], level: int = -1) -> Tensor:
    """Tokens ``(h, w)`` that differ once the pixels ``where`` of an image do."""
    torch.manual_seed(1)
    image = torch.randn(1, 1, 64, 64)
    other = image.clone()
    other[..., *where] += 1
    with torch.no_grad():
        return (stem(image)[level] != stem(other)[level]).any(-1)[0]


def test_plain_patches_do_not_overlap_and_those_of_tokens_to_token_do() -> None:
    corner = slice(32, 34), slice(32, 34)  # of one patch of 16 px, beside three others
    alone = changed_tokens(Patches(1, 32, 16), corner)
    assert alone.nonzero().tolist() == [[2, 2]]
    # Without attention between the splits only their overlap spreads what a pixel says.
    stem = architecture("t2t").stem(1, 16, 32, 2, 1)
    assert changed_tokens(stem, corner).sum() == 4


@pytest.mark.parametrize("shifted", [False, True])
def test_shifted_windows_join_neighbours_but_not_opposite_edges(*, shifted: bool) -> None:
    torch.manual_seed(2)
    mix = WindowAttention(8, 2, shifted=shifted)
    torch.nn.init.normal_(mix.proj.weight)
    tokens = torch.randn(1, 16, 16, 8)
    changed = tokens.clone()
    changed[:, 7, 7] += 1
    differs = [(mix(tokens) != mix(t)).any(-1)[0] for t in (changed, other_corner(tokens))]
    assert differs[0][8, 8] == shifted
    assert not differs[0][0, 15]
    assert not differs[1][8:].any()
    assert not differs[1][:, 8:].any()


def other_corner(tokens: Tensor) -> Tensor:
    """``tokens`` with another first one, which a roll puts beside those of the far edges."""
    changed = tokens.clone()
    changed[:, 0, 0] += 1
    return changed


def test_the_offset_bias_of_shifted_windows_tells_directions_apart() -> None:
    mix = WindowAttention(8, 2, shifted=False)
    torch.nn.init.normal_(mix.offsets)
    bias = mix._bias(4, 4)[0, 0]
    assert bias[0, 5] == bias[5, 10]  # one down, one right
    assert bias[0, 5] != bias[5, 0]


def test_a_score_of_the_patch_gan_sees_46_pixels() -> None:
    image = torch.randn(1, 1, 96, 96, requires_grad=True)
    PatchGAN(1, 32)(image)[0][0, 3, 3].sum().backward()
    assert image.grad is not None
    seen = image.grad[0, 0].abs().amax(1).nonzero().flatten()
    assert len(seen) == seen[-1] - seen[0] + 1 == 46


def test_the_u_net_uses_no_attention_over_space() -> None:
    net = Generator(GeneratorConfig(arch="unet"))
    attentive = [n for n, m in net.named_modules() if isinstance(m, Attention)]
    assert attentive == [f"trunk.{i}.across" for i in range(net.config.depth)]
    fine = UNetStem(1, 48, 128)(torch.randn(1, 1, 32, 32))
    assert [tuple(level.shape[-2:]) for level in fine[:4]] == [(32, 32), (16, 16), (8, 8), (4, 4)]


# -- files and options -----------------------------------------------------------------------------


def saved(arch: str, path: Path) -> Model:
    """A model that was saved as ``path``."""
    model = Model(small(arch), small_critic(arch), "m")
    save_model(path, model)
    return model


def assert_same(one: Model, other: Model) -> None:
    for part in ("generator", "critic"):
        a, b = getattr(one, part), getattr(other, part)
        assert a.config == b.config
        torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


@EVERY
def test_a_checkpoint_keeps_its_architecture(arch: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    assert_same(saved(arch, path), load_model(path))


def test_files_from_before_there_were_architectures_are_tokens_to_token(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = saved("t2t", path)
    tensors, _ = read_tensors(path)
    old = {key.replace("generator.back.", "generator."): value for key, value in tensors.items()}
    assert old.keys() != tensors.keys()
    document = json.loads(path.with_suffix(".json").read_text())
    del document["generator"]["arch"], document["critic"]["arch"]
    document["sha256"] = write_tensors(path, old)
    path.with_suffix(".json").write_text(json.dumps(document))
    assert_same(model, load_model(path))


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ModelError, match="no architecture 'resnet'; there are t2t, vit, swin, une"):
        Generator(GeneratorConfig(arch="resnet"))


def test_a_model_is_not_trained_on_as_another_architecture(sample: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is of the architecture t2t, not unet"):
        train(
            sample,
            tmp_path / "m.safetensors",
            config=TrainConfig(steps=1, arch="unet"),
            init="t2t-gan",
            device="cpu",
        )
