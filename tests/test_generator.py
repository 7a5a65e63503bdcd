"""Generator and critic: shapes, what they may and may not depend on."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from geot2t.critic import Critic, CriticConfig, normalised
from geot2t.generator import Evidence, Generator, GeneratorConfig


def evidence(n: int = 2, f: int = 3, b: int = 2, y: int = 32, x: int = 48) -> Evidence:
    g = torch.Generator().manual_seed(n + 10 * f + 100 * b)
    rand = lambda *shape: torch.rand(*shape, generator=g)  # noqa: E731
    prior = rand(n, b, y, x)
    valid = rand(n, f, y, x) > 0.4
    fitted = prior.unsqueeze(1) + 0.1 * rand(n, f, b, y, x)
    return Evidence(
        prior=prior,
        prior_scale=0.05 + 0.05 * rand(n, b, y, x),
        images=rand(n, f, b, y, x),
        fitted=torch.where(valid.unsqueeze(2), fitted, prior.unsqueeze(1)),
        fitted_scale=0.05 + 0.05 * rand(n, f, b, y, x),
        valid=valid,
        days=torch.arange(f).float().expand(n, -1) * 5,
        season=torch.full((n,), 0.4),
        wavelengths=torch.tensor([0.49, 0.84, 1.6, float("nan")])[:b].expand(n, -1),
    )


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A generator whose weights are random also where training starts from zero."""
    torch.manual_seed(0)
    net = Generator(GeneratorConfig(token_dim=16, embed_dim=32, depth=2, heads=2))
    for parameter in net.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def test_an_untrained_generator_stays_close_to_the_prior() -> None:
    torch.manual_seed(0)
    e = evidence()
    guess = Generator(GeneratorConfig(depth=1))(e)
    offers = (e.fitted[:, 1:] - e.prior.unsqueeze(1)).abs().amax(1)
    assert ((guess.mean - e.prior).abs() <= 0.1 * offers + 1e-6).all()
    torch.testing.assert_close(guess.scale, e.prior_scale)


@pytest.mark.parametrize(("f", "b"), [(1, 1), (6, 1), (2, 4), (4, 3)])
def test_one_set_of_weights_serves_any_bands_and_dates(
    generator: Generator, f: int, b: int
) -> None:
    with torch.no_grad():
        guess = generator(evidence(1, f, b))
    assert guess.mean.shape == guess.scale.shape == (1, b, 32, 48)
    assert guess.mean.isfinite().all()
    assert (guess.scale > 0).all()


def test_bands_may_come_in_any_order(generator: Generator) -> None:
    e = evidence(b=3)
    order = torch.tensor([2, 0, 1])
    turned = dataclasses.replace(
        e,
        prior=e.prior[:, order],
        prior_scale=e.prior_scale[:, order],
        images=e.images[:, :, order],
        fitted=e.fitted[:, :, order],
        fitted_scale=e.fitted_scale[:, :, order],
        wavelengths=e.wavelengths[:, order],
    )
    with torch.no_grad():
        torch.testing.assert_close(generator(turned).mean, generator(e).mean[:, order])


def test_an_empty_frame_changes_nothing(generator: Generator) -> None:
    e = evidence(f=2)
    more = dataclasses.replace(
        e,
        images=torch.cat([e.images, 7 + 0 * e.images[:, :1]], 1),
        fitted=torch.cat([e.fitted, e.prior.unsqueeze(1)], 1),
        fitted_scale=torch.cat([e.fitted_scale, e.prior_scale.unsqueeze(1)], 1),
        valid=torch.cat([e.valid, torch.zeros_like(e.valid[:, :1])], 1),
        days=torch.cat([e.days, 99 + 0 * e.days[:, :1]], 1),
    )
    with torch.no_grad():
        torch.testing.assert_close(generator(more).mean, generator(e).mean, rtol=1e-4, atol=1e-5)


def test_units_of_the_sensor_do_not_matter(generator: Generator) -> None:
    e = evidence()
    scaled = dataclasses.replace(
        e,
        prior=e.prior * 10_000 + 500,
        prior_scale=e.prior_scale * 10_000,
        images=e.images * 10_000 + 500,
        fitted=e.fitted * 10_000 + 500,
        fitted_scale=e.fitted_scale * 10_000,
    )
    with torch.no_grad():
        a, b = generator(e), generator(scaled)
    torch.testing.assert_close(b.mean, a.mean * 10_000 + 500, rtol=1e-3, atol=2)
    torch.testing.assert_close(b.scale, a.scale * 10_000, rtol=1e-3, atol=2)


def test_what_lies_under_an_invalid_pixel_is_never_read(generator: Generator) -> None:
    e = evidence()
    hidden = ~e.valid.unsqueeze(2).expand_as(e.images)
    junk = dataclasses.replace(e, images=e.images.masked_fill(hidden, 1e6))
    with torch.no_grad():
        torch.testing.assert_close(generator(junk).mean, generator(e).mean)


def test_noise_draws_different_fills(generator: Generator) -> None:
    e = evidence()
    noise = torch.randn(2, 2, 3, generator.config.noise_dim)
    with torch.no_grad():
        assert not torch.allclose(generator(e, noise).mean, generator(e, -noise).mean)
        torch.testing.assert_close(generator(e, noise).mean, generator(e, noise).mean)


def test_the_critic_scores_every_token_and_every_window() -> None:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(token_dim=8, embed_dim=24, depth=1))
    for b in (1, 4):
        where, whether = critic(torch.randn(2, b, 32, 64))
        assert where.shape == (2, 2, 4)
        assert whether.shape == (2,)


def test_the_critic_sees_where_a_window_was_changed() -> None:
    torch.manual_seed(0)
    critic = Critic(CriticConfig(token_dim=8, embed_dim=24, depth=1))
    image = torch.randn(1, 2, 64, 64)
    changed = image.clone()
    changed[..., 32:48, 32:48] = 0
    with torch.no_grad():
        difference = (critic(image)[0] - critic(changed)[0]).abs()[0]
    # Statistics of the whole window, a band's shift among them, tell every token a little.
    assert difference[1:, 1:].sum() > 0.8 * difference.sum()


def test_normalising_removes_units_and_clips() -> None:
    image = torch.tensor([[[[0.0, 1.0, 100.0]]]])
    out = normalised(image, torch.tensor(1.0), torch.tensor(0.5))
    torch.testing.assert_close(out, torch.tensor([[[[-2.0, 0.0, 8.0]]]]))
