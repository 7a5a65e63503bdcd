"""Teaching a generator to draw: it learns where straight ways from noise to real windows lead.

The library of levels and textures is learnt first. Then the generator has to say where a way ends
from a point on it (`geot2t.refine`), as from what surrounds a gap it has to say what is in it. The
error dominates here as well, and the critic takes part late and with little weight: the best guess
is somewhat blurred, and the critic tells it from a real window (Jolicoeur-Martineau et al. 2021,
"Adversarial score matching and improved sampling", arXiv:2009.05475). The game is that of
`geot2t.learner`, played where most of the way is behind.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geot2t import distributed
from geot2t.checkpoint import Model
from geot2t.critic import Critic, CriticConfig, own_normalised
from geot2t.generator import STRIDE, Generator, GeneratorConfig, Guess
from geot2t.learner import TrainConfig
from geot2t.refine import (
    CONDITIONS,
    START,
    WINDOW,
    alike,
    code_of,
    conditions,
    evidence_of,
    led,
    mixed,
    reached,
)
from geot2t.scenery import Scenery, learnt, places_in, read_classes, survey
from geot2t.tiles import Sample
from geot2t.train import Opened, Trainer, train

NEW = GeneratorConfig(embed_dim=96, depth=3, heads=3, noise_dim=CONDITIONS, frames=1)
"""A new generator: smaller than one that fills, as each draw takes many steps."""

HELD_BACK = 32
"""Windows by which draws are compared with real ground that was held back."""

ADVERSARIAL = 0.03
"""Weight of the game at the end of training."""


class Painter(Trainer):
    """A run that learns a library and teaches a model to refine its draws.

    Parameters are those of `Trainer`, and

    Parameters
    ----------
    classes : Path, optional
        CSV of scenes with a class; see `geot2t.scenery.read_classes`.
    """

    sizes = (WINDOW,)

    check_every = 1000
    """A check takes as long as some fifty steps."""

    def __init__(self, *given: Any, classes: Path | None = None, **how: Any) -> None:
        self._classes = {} if classes is None else read_classes(classes)
        super().__init__(*given, **how)

    def _networks(self, config: TrainConfig, init: str | Path | None) -> tuple[Generator, Critic]:
        """New ones, or those of a model; one that fills keeps all but what it does with noise."""
        if init is None:
            arch = config.arch or NEW.arch
            return Generator(replace(NEW, arch=arch)), Critic(CriticConfig(arch=arch))
        generator, critic = super()._networks(config, init)
        if generator.config.noise_dim != CONDITIONS:
            kept = generator.state_dict()
            generator = Generator(replace(generator.config, noise_dim=CONDITIONS, frames=1))
            kept |= {k: v for k, v in generator.state_dict().items() if k.startswith("noise.")}
            generator.load_state_dict(kept)
        return generator, critic

    def _opened(self, tiles: Path, seed: int) -> Opened:
        places = places_in(tiles, self._classes)
        back = set(list(places)[3::8])
        names = [n for n in places if n not in back]
        found = list(
            survey({n: places[n] for n in names}, self._classes, np.random.default_rng(seed))
        )
        self.ground = learnt(found)
        spots = [spot for spot, _ in found]
        rest = {n: places[n] for n in back}
        held = [s for s, _ in survey(rest, {}, np.random.default_rng(seed + 1)) if s.teaches]
        windows = Scenery(self.ground, spots, seed, self.most_bands + 1)
        check = Scenery(self.ground, held or spots, seed + 1, self.most_bands)
        held_back = {i: check[i] for i in distributed.share(range(HELD_BACK))}
        return windows, held_back, (set(names), back)

    def train_step(self, batch: Sample, rng: np.random.Generator) -> dict[str, float]:
        """Learn from points on the way of each window of a batch; returns the losses."""
        count, own = self._share(batch)
        come = torch.from_numpy(0.98 * rng.random(count, "float32")[own]).to(self.device)
        shape = count, *batch.truth.shape[1:]
        white = torch.from_numpy(rng.standard_normal(shape, "float32")[own]).to(self.device)
        e = batch.evidence
        on_the_way = mixed(batch.truth, alike(e.prior, white), come)
        evidence = evidence_of(on_the_way, come, e.season, e.wavelengths)
        return super().train_step(batch._replace(evidence=evidence), rng)

    def _told(self, batch: Sample, rng: np.random.Generator, *, play: bool) -> Tensor:  # noqa: ARG002
        assert batch.code is not None  # noqa: S101  scenery has one
        y, x = batch.truth.shape[-2:]
        come = 1 - batch.evidence.prior_scale[:, 0, 0, 0]
        return conditions(come, batch.code, (y // STRIDE, x // STRIDE))

    def _errors_of(self, batch: Sample, guess: Guess) -> dict[str, Tensor]:
        end, error = reached(batch.evidence, guess.mean)
        return {"error": ((end - batch.truth) / error).square().mean()}

    def _pair(self, batch: Sample, guess: Guess) -> tuple[Tensor, Tensor, Tensor]:
        far = batch.evidence.prior_scale[:, 0, 0, 0] < 0.5
        far = far if far.any() else ~far
        end = reached(batch.evidence, guess.mean)[0][far]
        tokens = nn.functional.avg_pool2d(batch.weight[far], STRIDE).squeeze(1)
        return own_normalised(end), own_normalised(batch.truth[far]), tokens

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
            assert sample.code is not None  # noqa: S101  scenery has one
            e = sample.evidence.to(self.device)
            # What a draw is to be follows from the draw, not from what is beside it.
            sizes = code_of(None, sample.evidence.prior[0].numpy())[None, 16:]
            code = torch.cat([sample.code[:, :16], sizes], 1).to(self.device)
            white = np.random.default_rng(i).standard_normal(e.prior.shape, "float32")
            noise = alike(e.prior, torch.from_numpy(white).to(self.device))
            begun = mixed(e.prior, noise, e.prior.new_full((1,), START))
            drawn = led(generator, begun, e.season, e.wavelengths, code).cpu()
            found[i] = [described(v[0]) for v in (drawn, sample.evidence.prior, sample.truth)]
        generator.train()
        every = zip(*distributed.gather(found), strict=True)
        of_drawn, of_prior, of_real = (np.stack(values) for values in every)
        apart = distance(of_drawn, of_real)
        return {"distance": apart, "ratio": apart / distance(of_prior, of_real)}

    def model(self, check: dict[str, Any]) -> Model:
        """The model as it stands, with the library in its card."""
        card = self.card | {
            "steps_done": self.step,
            "held_back": check,
            "ground": self.ground.to_json(),
        }
        return Model(self._averaged(), self.critic, self.output.stem, "", card)


def described(window: Tensor) -> NDArray[np.float64]:
    """A normal window ``(b, y, x)`` by its edges and grain.

    For each halving of its size: the share of the variance that is lost, how much of what is
    lost lies in few places (logarithm of the kurtosis), and how much in the same places of all
    bands.
    """
    image, out = window[None].double(), []
    for _ in range(4):
        half = nn.functional.avg_pool2d(image, 2)
        lost = image - nn.functional.interpolate(half, scale_factor=2, mode="nearest")
        power = lost.square().mean((2, 3), keepdim=True) + 1e-12
        peaks = lost.pow(4).mean((2, 3), keepdim=True) / power.square()
        strength = lost.square() / power
        alike = strength.mean(1).var() / strength.var((2, 3)).mean().clamp(min=1e-6)
        out += [(power.mean() + 1e-6).log(), (peaks.mean() + 1).log(), alike]
        image = half
    return torch.stack(out).numpy()


def distance(one: NDArray[np.float64], real: NDArray[np.float64]) -> float:
    """Distance of two sets of descriptions: of their means and spreads, in units of the latter.

    The Fréchet distance of distributions whose features are independent.
    """
    unit = real.std(0) + 1e-6
    away, wide = (one.mean(0) - real.mean(0)) / unit, one.std(0) / unit - 1
    return float((away**2 + wide**2).mean())


def paint(
    tiles: Path,
    output: Path,
    *,
    config: TrainConfig | None = None,
    classes: Path | None = None,
    **how: Any,
) -> Path:
    """Teach a model to draw and write it; see `geot2t.train.train` and `Painter`."""
    config = replace(config or TrainConfig(), only="draws", adversarial=ADVERSARIAL)
    return train(tiles, output, config=config, kind=partial(Painter, classes=classes), **how)
