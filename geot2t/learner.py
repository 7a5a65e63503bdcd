"""Steps of learning: the generator learns to fill, the critic to tell.

The game is a relativistic pairing with R1 and R2 penalties (Huang et al. 2024,
arXiv:2501.05441), played every few steps and ramped up late; the masked error dominates.
What is shipped is the moving average of the weights.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from geot2t import distributed
from geot2t.critic import Critic, normalised
from geot2t.generator import Generator, Guess
from geot2t.losses import (
    charbonnier,
    gradient_difference,
    gradient_penalty,
    laplace_likelihood,
    relativistic,
)
from geot2t.tiles import SIZES, Sample, drawn_batch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Settings of a training run; stored in the model's card."""

    steps: int = 4400
    """Steps of the generator."""

    batch: int = 6
    """Windows of 96 px and two bands per step; other sizes cost the same."""

    rate: float = 1e-3
    """Greatest learning rate of the generator; reached after a warm-up, 0 at the end."""

    critic_rate: float = 3e-4
    """Learning rate of the critic."""

    adversarial: float = 0.01
    """Weight of the adversarial loss at the end of training; 0 leaves the critic out."""

    ramp: tuple[float, float] = (0.6, 0.9)
    """Shares of the training between which the adversarial weight rises from 0."""

    every: int = 4
    """Steps between two moves of the game."""

    penalty: float = 0.3
    """Weight of R1 and R2."""

    likelihood: float = 0.1
    """Weight of the error scale's likelihood."""

    gradient: float = 0.1
    """Weight of the error of spatial differences."""

    fresh: int = 2
    """New windows drawn per step; the others of a batch are seen again, turned."""

    pool: int = 400
    """Windows held for reuse."""

    averaging: float = 0.998
    """Decay of the moving average of the weights."""

    seed: int = 0
    """Seed of everything."""

    only: str | None = None
    """None: both networks are trained; "critic": it alone, by `geot2t.teach`, and `rate` is its
    learning rate."""

    arch: str | None = None
    """Architecture of both networks; None: that of the model to start from, else t2t."""


class Learner:
    """A generator and a critic that learn from windows, wherever these come from.

    Parameters
    ----------
    generator, critic : Generator, Critic
        Moved to ``device``.
    windows : Dataset
        Samples to learn from, by their number; as many as `TrainConfig` asks for.
    held_back : mapping of int to Sample
        Samples to check with, by their number; of several processes each has some.
    config : TrainConfig
        Settings, of all processes together.
    device : torch.device
        Where to compute.
    workers : int
        Processes that prepare windows beside the training; samples do not depend on it.
    """

    most_bands = 3
    """Most bands of a batch."""

    sizes: Sequence[int] = SIZES
    """Sides of the windows."""

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        windows: Dataset[Sample],
        held_back: Mapping[int, Sample],
        config: TrainConfig,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self.config, self.device, self.workers = config, device, workers
        self.generator, self.critic = generator.to(device), critic.to(device)
        for module in (generator, critic):
            module.requires_grad_(True)
            module.train()
        distributed.same_weights((self.generator, self.critic))
        self.windows, self._held_back = windows, held_back
        self.average = AveragedModel(self.generator, avg_fn=averaging(config.averaging))
        self.optimiser = torch.optim.AdamW(
            self.generator.parameters(), config.rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.critic_optimiser = torch.optim.Adam(
            self.critic.parameters(), config.critic_rate, betas=(0.0, 0.99)
        )
        self.step = 0

    # -- steps -------------------------------------------------------------------------------

    def train_step(self, batch: Sample, rng: np.random.Generator) -> dict[str, float]:
        """Move the generator, and now and then the critic, by one step; returns the losses."""
        c = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = c.rate * self._schedule()
        weight = self._adversarial_weight()
        play = weight > 0 and self.step % c.every == 0
        told = self._told(batch, rng, play=play)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.generator(batch.evidence, told)
        losses = self._errors_of(batch, guess)
        total = sum(losses.values(), torch.zeros((), device=self.device))
        if play:
            fake, real, tokens = self._pair(batch, guess)
            # Fused attention has no second derivative, which the penalties need.
            with sdpa_kernel(SDPBackend.MATH):
                losses |= self._train_critic(fake.detach(), real, tokens)
                self.critic.requires_grad_(False)
                where_fake, whether_fake = self.critic(fake)
                with torch.no_grad():
                    where_real, whether_real = self.critic(real)
                self.critic.requires_grad_(True)
            game = relativistic(whether_fake, whether_real) + relativistic(
                where_fake, where_real, tokens
            )
            losses["game"] = game
            # The game is played every few steps only: its weight makes up for the others.
            total = total + weight * c.every * game
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        distributed.average_gradients(self.generator)
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.average.update_parameters(self.generator)
        else:
            log.warning("step %d had no finite gradient and was left out", self.step)
        self.step += 1
        values = distributed.mean(torch.stack([*losses.values()])).tolist()
        return dict(zip(losses, values, strict=True))

    def _train_critic(self, fake: Tensor, real: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        fake, real = fake.requires_grad_(), real.detach().requires_grad_()
        where_fake, whether_fake = self.critic(fake)
        where_real, whether_real = self.critic(real)
        loss = relativistic(whether_real, whether_fake) + relativistic(
            where_real, where_fake, tokens
        )
        r1 = gradient_penalty(real, whether_real + where_real.mean((1, 2)))
        r2 = gradient_penalty(fake, whether_fake + where_fake.mean((1, 2)))
        self.critic_optimiser.zero_grad(set_to_none=True)
        (loss + 0.5 * self.config.penalty * (r1 + r2)).backward()
        distributed.average_gradients(self.critic)
        self.critic_optimiser.step()
        return {"critic": loss, "penalty": r1 + r2}

    def _errors_of(self, batch: Sample, guess: Guess) -> dict[str, Tensor]:
        """What is wrong with a guess, the game apart."""
        return reconstruction(batch, guess, self.config)

    def _pair(self, batch: Sample, guess: Guess) -> tuple[Tensor, Tensor, Tensor]:
        """Filled and true windows as the critic sees them, and the gap's share of each token."""
        e = batch.evidence
        seen = e.valid[:, :1]  # (n, 1, y, x)
        centre = e.prior.mean((2, 3), keepdim=True)
        spread = e.prior.std((2, 3), keepdim=True) + e.prior_scale.mean((2, 3), keepdim=True)
        fake = torch.where(seen, batch.truth, guess.mean)
        # Where the truth is not known either, the pair shows the same.
        real = torch.where(seen | (batch.weight > 0), batch.truth, fake.detach())
        tokens = nn.functional.avg_pool2d(batch.weight, 16).squeeze(1)
        return normalised(fake, centre, spread), normalised(real, centre, spread), tokens

    def _told(self, batch: Sample, rng: np.random.Generator, *, play: bool) -> Tensor | None:
        """What the generator is told beside the evidence: in the game, noise."""
        if not play:
            return None
        y, x = batch.truth.shape[-2:]
        count, own = self._share(batch)
        shape = (count, y // 16, x // 16, self.generator.config.noise_dim)
        return torch.from_numpy(rng.standard_normal(shape, "float32")[own]).to(self.device)

    @staticmethod
    def _share(batch: Sample) -> tuple[int, slice]:
        """How large the whole batch is, and which part of it this process has.

        What is random is drawn for the whole of it.
        """
        n, (rank, _) = len(batch.truth), distributed.place()
        counts = distributed.gather({rank: n})
        first = sum(counts[:rank])
        return sum(counts), slice(first, first + n)

    def _schedule(self) -> float:
        warm = min(200, max(self.config.steps // 10, 1))
        if self.step < warm:
            return (self.step + 1) / warm
        done = (self.step - warm) / max(self.config.steps - warm, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def _adversarial_weight(self) -> float:
        first, last = (share * self.config.steps for share in self.config.ramp)
        return self.config.adversarial * float(np.clip((self.step - first) / (last - first), 0, 1))

    # -- data --------------------------------------------------------------------------------

    def batches(self) -> Iterator[tuple[Sample, np.random.Generator]]:
        """Batches from the current step on; the same ones whether or not a run was resumed.

        Several processes share the work of drawing windows; each then draws the same batch from
        all of them, and gives its own part of it.
        """
        c, place = self.config, distributed.place()
        pool: deque[Sample] = deque(maxlen=c.pool)
        drawn = max(self.step * c.fresh + c.batch - c.pool, 0)
        stream = iter(
            DataLoader(
                self.windows,
                batch_size=None,
                sampler=distributed.share(range(drawn, c.steps * c.fresh + c.batch)),
                num_workers=self.workers,
                persistent_workers=self.workers > 0,
            )
        )
        for step in range(self.step, c.steps):
            wanted = range(drawn, step * c.fresh + c.batch)
            pool.extend(distributed.gather({i: next(stream) for i in distributed.share(wanted)}))
            drawn = wanted.stop
            rng = np.random.default_rng([c.seed, 7, step])
            how: dict[str, Any] = {"sizes": self.sizes, "most": self.most_bands, "place": place}
            yield drawn_batch(pool, c.batch, rng, self.device, **how), rng

    # -- held-back windows ---------------------------------------------------------------------

    @torch.inference_mode()
    def held_back(self) -> dict[str, Any]:
        """Error on held-back windows, and the factors that widen its scale to 90 % intervals."""
        module = self._averaged()
        module.eval()
        found = {i: self._errors(module, sample) for i, sample in self._held_back.items()}
        module.train()
        every = distributed.gather(found)
        network, prior = ([row[name][0] for row in every] for name in ("network", "prior"))
        ratios = np.divide(network, prior)
        return {
            "ratio": float(np.exp(np.log(ratios).mean())),
            "wins": float((ratios < 1).mean()),
            "factors": {
                name: float(torch.cat([row[name][1] for row in every]).quantile(0.9))
                for name in ("network", "prior")
            },
        }

    def _errors(self, module: Generator, sample: Sample) -> dict[str, tuple[float, Tensor]]:
        """Mean absolute error of a sample, and some errors over what was expected of them."""
        evidence = sample.evidence.to(self.device)
        guess = module(evidence)
        truth = sample.truth.to(self.device)
        keep = (sample.weight > 0).expand_as(truth).to(self.device)
        found = {}
        for name, mean, scale in (
            ("network", guess.mean, guess.scale),
            ("prior", evidence.prior, evidence.prior_scale),
        ):
            error = (mean - truth).abs()[keep]
            some = (error / scale[keep])[:: max(len(error) // 2000, 1)]
            found[name] = float(error.mean()), some.float().cpu()
        return found

    def _averaged(self) -> Generator:
        return cast("Generator", self.average.module)


def averaging(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """A moving average that forgets the start: it begins short and grows to ``decay``."""

    def update(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return torch.lerp(average, current, max(1 - decay, 9 / (10 + int(count))))

    return update


def reconstruction(batch: Sample, guess: Guess, config: TrainConfig) -> dict[str, Tensor]:
    """Losses over hidden pixels, each window and band in units of the prior's error there.

    Windows of any contrast then weigh alike. Where the prior expected an error greater than
    the one it made, the expected one is the unit.
    """
    e = batch.evidence
    count = batch.weight.sum((2, 3), keepdim=True).clamp(min=1)
    expected = (e.prior_scale * batch.weight).sum((2, 3), keepdim=True) / count
    made = ((e.prior - batch.truth).abs() * batch.weight).sum((2, 3), keepdim=True) / count
    unit = torch.maximum(expected, made)
    error = (guess.mean - batch.truth) / unit
    return {
        "error": charbonnier(error, batch.weight),
        "likelihood": config.likelihood
        * laplace_likelihood(error.detach(), (guess.scale / unit).clamp(min=0.01), batch.weight),
        "gradient": config.gradient
        * gradient_difference(guess.mean / unit, batch.truth / unit, batch.weight),
    }
