"""Teaching generator and critic to draw: what a draw of the library lacks, a game has to add.

The library of levels and textures is learnt first. Then the generator refines its draws, and the
critic tells them from real windows of the same bands, class and season: a relativistic pairing
with R1 and R2 (Huang et al. 2024, arXiv:2501.05441), as when gaps are filled, but with no truth
to come near to. What keeps a draw of its class and season is that its levels, and how its bands
vary together, must stay about those of the library's draw. The critic sees each band with its own
mean and spread taken out, so that it judges shapes and grain, which are what the library lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from geot2t import distributed
from geot2t.checkpoint import Model
from geot2t.critic import Critic, CriticConfig, own_normalised
from geot2t.generator import Evidence, Generator
from geot2t.ground import Ground
from geot2t.learner import TrainConfig
from geot2t.refine import WINDOW
from geot2t.scenery import Scenery, learnt, places_in, read_classes, survey
from geot2t.tiles import Sample
from geot2t.train import Opened, Trainer, train

HELD_BACK = 96
"""Windows by which draws are compared with real ground that was held back."""

RARELY = 4
"""Steps between two that penalise the critic's gradient, that many times as much (Karras et al.
2020, "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958, appendix B)."""

GAME = 1.0
WEIGHTS = {"level": 1.0, "covariance": 0.3}
"""Weights of what keeps the levels, and the covariances, of the library's draw."""


class Painter(Trainer):
    """A run that learns a library and teaches a model to refine its draws.

    Parameters are those of `Trainer`, and

    Parameters
    ----------
    classes : Path, optional
        CSV of scenes with a class; see `geot2t.scenery.read_classes`.
    """

    sizes = (WINDOW,)

    def __init__(
        self,
        tiles: Path,
        output: Path,
        config: TrainConfig,
        device: torch.device,
        init: str | Path | None = None,
        workers: int = 0,
        classes: Path | None = None,
    ) -> None:
        self._classes = {} if classes is None else read_classes(classes)
        super().__init__(tiles, output, config, device, init, workers)
        self.optimiser = torch.optim.AdamW(
            self.generator.parameters(), config.rate, betas=(0.0, 0.99), weight_decay=0.01
        )
        self._optimisers["adam"] = self.optimiser

    def _networks(self, config: TrainConfig, init: str | Path | None) -> tuple[Generator, Critic]:
        """As for any run; but a new critic looks at the bands alone.

        Of the statistics by which flaws that are hard to see are found (`geot2t.views`), a draw
        has none right: a critic that has them need not look at anything else.
        """
        generator, critic = super()._networks(config, init)
        if init is None:
            critic = Critic(CriticConfig(arch=generator.config.arch, views=1))
        return generator, critic

    def _opened(self, tiles: Path, seed: int) -> Opened:
        places = places_in(tiles, self._classes)
        names = [n for n in places if n not in (back := set(list(places)[3::8]))]
        found = list(
            survey({n: places[n] for n in names}, self._classes, np.random.default_rng(seed))
        )
        self.ground = learnt(found)
        rest = {n: places[n] for n in back}
        held = [s for s, _ in survey(rest, {}, np.random.default_rng(seed + 1))]
        spots = [spot for spot, _ in found]
        windows = Scenery(self.ground, spots, seed, self.most_bands + 1)
        if not any(s.teaches for s in held):
            held, back = spots, set(names)
        check = Scenery(self.ground, held, seed + 1, self.most_bands)
        held_back = {i: check[i] for i in distributed.share(range(HELD_BACK))}
        return windows, held_back, (set(names), back)

    def train_step(self, batch: Sample, rng: np.random.Generator) -> dict[str, float]:
        """Play one round; returns the losses."""
        c = self.config
        for optimiser, rate in (
            (self.optimiser, c.rate),
            (self.critic_optimiser, c.critic_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * self._schedule()
        noise = self._noise(batch, rng)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.generator(batch.evidence, noise)
        losses = kept(batch.evidence, guess.mean)
        fake, real = own_normalised(guess.mean.exp()), own_normalised(batch.truth.exp())
        tokens = nn.functional.avg_pool2d(batch.weight, 16).squeeze(1)
        penalty = c.penalty * RARELY if self.step % RARELY == 0 else 0
        # Fused attention has no second derivative, which the penalties need.
        with sdpa_kernel(SDPBackend.MATH):
            losses |= self._train_critic(fake.detach(), real, tokens, penalty)
            losses["game"] = self._game(fake, real, tokens)
        total = GAME * losses["game"] + sum(w * losses[name] for name, w in WEIGHTS.items())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        distributed.average_gradients(self.generator)
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.average.update_parameters(self.generator)
        self.step += 1
        values = distributed.mean(torch.stack([*losses.values()]).detach()).tolist()
        return dict(zip(losses, values, strict=True))

    # -- held-back windows -------------------------------------------------------------------

    @torch.inference_mode()
    def held_back(self) -> dict[str, Any]:
        """How far draws are from real windows, over how far those of the library are.

        The distance is that of `geot2t.paint.distance`.
        """
        generator = self._averaged()
        generator.eval()
        found = {}
        for i, sample in self._held_back.items():
            evidence = sample.evidence.to(self.device)
            rng = np.random.default_rng([self.config.seed, 5, i])
            drawn = generator(evidence, self._noise(sample, rng)).mean.cpu()
            found[i] = [described(v[0]) for v in (drawn, sample.evidence.prior, sample.truth)]
        generator.train()
        drawn, prior, real = (np.stack(v) for v in zip(*distributed.gather(found), strict=True))
        apart = distance(drawn, real)
        return {"distance": apart, "ratio": apart / distance(prior, real)}

    def model(self, check: dict[str, Any]) -> Model:
        """The model as it stands, with the library in its card."""
        card = self.card | {
            "steps_done": self.step,
            "held_back": check,
            "ground": self.ground.to_json(),
        }
        return Model(self._averaged(), self.critic, self.output.stem, "", card)


def kept(evidence: Evidence, drawn: Tensor) -> dict[str, Tensor]:
    """How far levels and covariances of refined draws are from those of the draws themselves.

    Both in units of the draw's own spread in each band.
    """
    unit = evidence.prior_scale[..., :1, :1]
    away = (drawn - evidence.prior) / unit
    level = away.mean((2, 3)).square()
    now, then = (_covariance(v / unit) for v in (drawn, evidence.prior))
    return {"level": distributed.mean(level.mean()), "covariance": (now - then).square().mean()}


def _covariance(logs: Tensor) -> Tensor:
    """Of the bands of each window, ``(n, b, b)``."""
    flat = (logs - logs.mean((2, 3), keepdim=True)).flatten(2)
    return flat @ flat.mT / flat.shape[-1]


def described(logs: Tensor) -> NDArray[np.float64]:
    """A window ``(b, y, x)`` by its edges and grain, whatever its level and contrast.

    For each halving of its size: the share of the variance that is lost, how much of what is
    lost lies in few places (logarithm of the kurtosis), and how much in the same places of all
    bands.
    """
    image = ((logs - logs.mean((1, 2), keepdim=True)) / (logs.std((1, 2), keepdim=True) + 1e-6))[
        None
    ].double()
    out = []
    for _ in range(4):
        half = nn.functional.avg_pool2d(image, 2)
        lost = image - nn.functional.interpolate(half, scale_factor=2, mode="nearest")
        power = lost.square().mean((2, 3))
        peaks = lost.pow(4).mean((2, 3)) / (power.square() + 1e-12)
        out += [(power.mean() + 1e-6).log(), (peaks.mean() + 1).log()]
        size = lost.square() / (power[..., None, None] + 1e-12)
        out.append(size.mean(1).var() / size.var((2, 3)).mean().clamp(min=1e-6))
        image = half
    return torch.stack(out).numpy()


def distance(one: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Distance of two sets of descriptions: of their means and spreads, in units of the latter.

    The Fréchet distance of distributions whose features are independent.
    """
    unit = real.std(0) + 1e-6
    return float((((one.mean(0) - real.mean(0)) / unit) ** 2 + (one.std(0) / unit - 1) ** 2).mean())


def paint(
    tiles: Path,
    output: Path,
    *,
    config: TrainConfig | None = None,
    classes: Path | None = None,
    **how: Any,
) -> Path:
    """Teach a model to draw and write it; see `geot2t.train.train` and `Painter`."""
    config = replace(config or TrainConfig(), only="draws")
    return train(tiles, output, config=config, kind=partial(Painter, classes=classes), **how)
