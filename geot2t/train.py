"""Training: the generator learns to fill, the critic to tell; whole after any kill.

The game is a relativistic pairing with R1 and R2 penalties (Huang et al. 2024,
arXiv:2501.05441), played every few steps and ramped up late; the masked error dominates.
What is shipped is the moving average of the weights.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from geot2t.checkpoint import Model, load_model, save_model
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, CriticConfig, normalised
from geot2t.errors import InputError
from geot2t.generator import Generator, GeneratorConfig, Guess
from geot2t.grid import Box
from geot2t.lessons import lesson
from geot2t.losses import (
    charbonnier,
    gradient_difference,
    gradient_penalty,
    laplace_likelihood,
    relativistic,
)
from geot2t.model import pick_device
from geot2t.resume import load_state, remove_state, save_state
from geot2t.tiles import Place, Sample, Windows, drawn_batch, find_places, split

log = logging.getLogger(__name__)

CHECK_SIZES = (96, 128)
"""Sides of the held-back windows, in pixels."""


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
    held_back : sequence of Sample
        Samples to check with.
    config : TrainConfig
        Settings.
    device : torch.device
        Where to compute.
    workers : int
        Processes that prepare windows beside the training; samples do not depend on it.
    """

    most_bands = 3
    """Most bands of a batch."""

    def __init__(
        self,
        generator: Generator,
        critic: Critic,
        windows: Dataset[Sample],
        held_back: Sequence[Sample],
        config: TrainConfig,
        device: torch.device,
        workers: int = 0,
    ) -> None:
        self.config, self.device, self.workers = config, device, workers
        self.generator, self.critic = generator.to(device), critic.to(device)
        for module in (generator, critic):
            module.requires_grad_(True)
            module.train()
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
        noise = self._noise(batch, rng) if play else None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = self.generator(batch.evidence, noise)
        losses = reconstruction(batch, guess, c)
        total = sum(losses.values(), torch.zeros((), device=self.device))
        if c.adversarial > 0 and self.step % c.every == 0:
            losses["lesson"] = self._teach_critic(batch, rng)
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
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.average.update_parameters(self.generator)
        else:
            log.warning("step %d had no finite gradient and was left out", self.step)
        self.step += 1
        return {k: float(v.detach()) for k, v in losses.items()}

    def _teach_critic(self, batch: Sample, rng: np.random.Generator) -> Tensor:
        loss = lesson(self.critic, batch, rng)
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        return loss

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
        self.critic_optimiser.step()
        return {"critic": loss, "penalty": r1 + r2}

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

    def _noise(self, batch: Sample, rng: np.random.Generator) -> Tensor:
        n, _, y, x = batch.truth.shape
        shape = (n, y // 16, x // 16, self.generator.config.noise_dim)
        return torch.from_numpy(rng.standard_normal(shape, "float32")).to(self.device)

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
        """Batches from the current step on; the same ones whether or not a run was resumed."""
        c = self.config
        pool: deque[Sample] = deque(maxlen=c.pool)
        drawn = max(self.step * c.fresh + c.batch - c.pool, 0)
        stream = iter(
            DataLoader(
                self.windows,
                batch_size=None,
                sampler=range(drawn, c.steps * c.fresh + c.batch),
                num_workers=self.workers,
                persistent_workers=self.workers > 0,
            )
        )
        for step in range(self.step, c.steps):
            while drawn < step * c.fresh + c.batch:
                pool.append(next(stream))
                drawn += 1
            rng = np.random.default_rng([c.seed, 7, step])
            yield drawn_batch(pool, c.batch, rng, self.device, self.most_bands), rng

    # -- held-back windows ---------------------------------------------------------------------

    @torch.inference_mode()
    def held_back(self) -> dict[str, Any]:
        """Error on held-back windows, and the factors that widen its scale to 90 % intervals."""
        module = self._averaged()
        module.eval()
        errors: dict[str, list[float]] = {"network": [], "prior": []}
        widths: dict[str, list[Tensor]] = {"network": [], "prior": []}
        for sample in self._held_back:
            evidence = sample.evidence.to(self.device)
            guess = module(evidence)
            truth = sample.truth.to(self.device)
            keep = (sample.weight > 0).expand_as(truth).to(self.device)
            for name, mean, scale in (
                ("network", guess.mean, guess.scale),
                ("prior", evidence.prior, evidence.prior_scale),
            ):
                error = (mean - truth).abs()[keep]
                errors[name].append(float(error.mean()))
                widths[name].append((error / scale[keep])[:: max(len(error) // 2000, 1)])
        module.train()
        ratios = np.divide(errors["network"], errors["prior"])
        return {
            "ratio": float(np.exp(np.log(ratios).mean())),
            "wins": float((ratios < 1).mean()),
            "factors": {k: float(torch.cat(v).float().quantile(0.9)) for k, v in widths.items()},
        }

    def _averaged(self) -> Generator:
        return cast("Generator", self.average.module)


class Trainer(Learner):
    """One training run, which can be left and taken up again at any step.

    Parameters
    ----------
    tiles : Path
        Folder of scenes of one place, or of one folder for each place.
    output : Path
        Model to write (.safetensors); state and log stand beside it.
    config : TrainConfig
        Settings.
    device : torch.device
        Where to compute.
    init : str or Path, optional
        Model to start from.
    workers : int
        Processes that prepare windows beside the training; samples do not depend on it.

    Raises
    ------
    InputError
        If ``init`` is of another architecture than ``config`` asks for.
    """

    def __init__(
        self,
        tiles: Path,
        output: Path,
        config: TrainConfig,
        device: torch.device,
        init: str | Path | None = None,
        workers: int = 0,
    ) -> None:
        self.output = output
        self.log_path = output.with_suffix(".log.jsonl")
        places = find_places(tiles)
        learn, check = self._places = split(places)
        torch.manual_seed(config.seed)
        generator, critic = _networks(config, init)
        self._frames = generator.config.frames
        windows = self._windows(learn, config.seed)
        back = self._windows(check, config.seed + 1, sizes=CHECK_SIZES)
        held_back = [back[i] for i in range(32)]
        super().__init__(generator, critic, windows, held_back, config, device, workers)
        self.told = {"held-back/prior": "ratio"}
        self._modules = {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
        }
        self._optimisers = {"adam": self.optimiser, "critic_adam": self.critic_optimiser}
        self.card: dict[str, Any] = {
            "places": {
                "learnt_from": sorted({p.name for p, _ in learn}),
                "held_back": sorted({p.name for p, _ in check}),
            },
            "settings": asdict(config),
        }

    def _windows(self, places: Sequence[tuple[Place, Box]], seed: int, **how: Any) -> Windows:
        """Windows of ``places``, as a run of this kind learns from."""
        return Windows(
            places,
            CloudShapes.load(),
            frames=self._frames,
            seed=seed,
            bands=self.most_bands + 1,
            **how,
        )

    # -- files -------------------------------------------------------------------------------

    def model(self, check: dict[str, Any]) -> Model:
        """The model as it stands: averaged generator, critic, card."""
        generator = self._averaged()
        card = self.card | {"steps_done": self.step, "held_back_error": check}
        return Model(generator, self.critic, self.output.stem, "", card, check["factors"])

    def save(self, check: dict[str, Any]) -> None:
        """Write the model as it stands, and the state that a resumed run starts from."""
        save_model(self.output, self.model(check))
        save_state(self.output, self.step, asdict(self.config), self._modules, self._optimisers)

    def resume(self) -> None:
        """Take up the run that was left beside the output; see `geot2t.resume.load_state`."""
        settings = asdict(self.config)
        self.step = load_state(self.output, settings, self._modules, self._optimisers)

    def run(
        self, *, save_every: float = 120.0, check_every: int = 200, quiet: bool = False
    ) -> None:
        """Train to the end, or until stopped; the model and the state are saved as it goes."""
        last_save, began, first = time.monotonic(), time.monotonic(), self.step
        mean: dict[str, float] = {}
        check: dict[str, Any] = self.held_back()
        bar = tqdm(total=self.config.steps, initial=self.step, disable=quiet, unit="step")
        try:
            for batch, rng in self.batches():
                losses = self.train_step(batch, rng)
                for k, v in losses.items():
                    mean[k] = v if k not in mean else 0.98 * mean[k] + 0.02 * v
                bar.update()
                if self.step % check_every == 0 or self.step == self.config.steps:
                    check = self.held_back()
                    self._write_log(mean, check, time.monotonic() - began)
                if self.step % 10 == 0:
                    shown = {k: f"{v:.3f}" for k, v in mean.items()}
                    bar.set_postfix(shown | {k: f"{check[v]:.3f}" for k, v in self.told.items()})
                if time.monotonic() - last_save > save_every:
                    self.save(check)
                    last_save = time.monotonic()
        finally:
            bar.close()
        self.card["seconds"] = round(time.monotonic() - began)
        self.card["from_step"] = first
        save_model(self.output, self.model(check))
        remove_state(self.output)

    def _write_log(self, losses: dict[str, float], check: dict[str, Any], seconds: float) -> None:
        row = {"step": self.step, "seconds": round(seconds), **losses, **check}
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _networks(config: TrainConfig, init: str | Path | None) -> tuple[Generator, Critic]:
    """The networks to train: new ones, or those of a model."""
    if init is None:
        arch = config.arch or GeneratorConfig().arch
        return Generator(GeneratorConfig(arch=arch)), Critic(CriticConfig(arch=arch))
    model = load_model(init)
    own = model.generator.config.arch
    if config.arch not in {None, own}:
        raise InputError(
            f"{init} is of the architecture {own}, not {config.arch}; leave --arch or --init out"
        )
    return model.generator, model.critic


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


def train(
    tiles: Path,
    output: Path,
    *,
    config: TrainConfig | None = None,
    init: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
    kind: type[Trainer] = Trainer,
) -> Path:
    """Train the T2T-GAN on GeoTIFFs and write a model; returns its path.

    Parameters
    ----------
    tiles : Path
        Folder of scenes of one place, or of one folder for each place. Clouds are welcome.
    output : Path
        Model to write, ``.safetensors``.
    config : TrainConfig, optional
        Settings.
    init : str or Path, optional
        Model to start from: a file, or the name of one that ships.
    resume : bool
        Go on with the run that was left beside ``output``.
    overwrite : bool
        Replace ``output`` if it exists.
    device : str
        auto, cpu, cuda or cuda:N.
    workers : int
        Processes that prepare windows.
    quiet : bool
        No progress bar.
    kind : type
        What is trained, and how; see `geot2t.teach`.

    Raises
    ------
    InputError
        If the tiles hold no scenes, ``output`` exists, or there is nothing to resume.
    """
    if output.suffix != ".safetensors":
        raise InputError(f"a model is a .safetensors file, got {output}")
    if not output.parent.is_dir():
        raise InputError(f"the folder {output.parent} does not exist; create it first")
    if output.exists() and not (overwrite or resume):
        raise InputError(f"{output} exists; pass --overwrite to replace it or --resume to go on")
    trainer = kind(tiles, output, config or TrainConfig(), pick_device(device), init, workers)
    if resume:
        trainer.resume()
    elif trainer.log_path.exists():
        trainer.log_path.unlink()
    trainer.run(quiet=quiet)
    return output
