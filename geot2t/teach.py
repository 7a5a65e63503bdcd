"""Teaching the critic alone, by lessons: no generator moves, so a step costs little.

As a realism score the critic must know far more flaws than its own generator has. The generator
of the model that the run starts from comes out as it went in, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from geot2t import distributed
from geot2t.checkpoint import Model, load_model
from geot2t.critic import Critic, CriticConfig, own_normalised, widened
from geot2t.errors import InputError
from geot2t.grid import Box
from geot2t.learner import TrainConfig, averaging
from geot2t.lessons import composite, lesson, pair
from geot2t.metrics import auroc
from geot2t.places import Place
from geot2t.realism import SEEN, SIDE, scores
from geot2t.tiles import Sample, Windows
from geot2t.train import Trainer, train
from geot2t.views import STATISTICS

REFERENCE = 384
"""Windows of real ground with whose scores others are compared; fewer after very few steps."""


class Teacher(Trainer):
    """A run that teaches the critic of a model, and leaves the generator as it is.

    Parameters are those of `Trainer`; ``init`` must be given. A critic from before there were
    views (`geot2t.views`) is replaced by a new one, and one that knows fewer statistics is shown
    the others as well.

    Raises
    ------
    InputError
        If there is no model to start from.
    """

    most_bands = 13
    """Most bands of a batch; scenes to be scored have more than those to be filled need."""

    def __init__(
        self,
        tiles: Path,
        output: Path,
        config: TrainConfig,
        device: torch.device,
        init: str | Path | None = None,
        workers: int = 0,
    ) -> None:
        if init is None:
            raise InputError("the critic alone is taught for a model that exists; give --init")
        super().__init__(tiles, output, config, device, init, workers)
        self._start = load_model(init)
        self.told = {"held-back AUROC": "auroc"}
        if self.critic.config.views == 1:
            torch.manual_seed(config.seed)
            self.critic = Critic(CriticConfig(arch=self.critic.config.arch)).to(device)
        if self.critic.config.statistics < STATISTICS:
            self.critic = widened(self.critic).to(device)
        self.critic_optimiser = torch.optim.AdamW(
            self.critic.parameters(), config.rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.taught = AveragedModel(self.critic, avg_fn=averaging(config.averaging))
        self._modules = {"critic": self.critic, "taught": self.taught}
        self._optimisers = {"critic_adam": self.critic_optimiser}

    def _windows(self, places: Sequence[tuple[Place, Box]], seed: int, **how: Any) -> Windows:
        return super()._windows(places, seed, estimate=composite, favour=0.75, **how)

    def train_step(self, batch: Sample, rng: np.random.Generator) -> dict[str, float]:
        """Teach the critic one lesson; returns the loss."""
        for group in self.critic_optimiser.param_groups:
            group["lr"] = self.config.rate * self._schedule()
        loss = lesson(self.critic, batch, rng)
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        distributed.average_gradients(self.critic)
        norm = nn.utils.clip_grad_norm_(self.critic.parameters(), 1.0)
        if torch.isfinite(norm):
            self.critic_optimiser.step()
            self.taught.update_parameters(self.critic)
        self.step += 1
        return {"lesson": float(distributed.mean(loss))}

    @torch.inference_mode()
    def held_back(self) -> dict[str, Any]:
        """How well real windows that were held back are told from flawed ones (AUROC)."""
        critic = self._averaged_critic()
        found: dict[int, list[float]] = {}
        for i, sample in self._held_back.items():
            right, wrong, _, known = pair(sample, np.random.default_rng([self.config.seed, i]))
            two = torch.cat([own_normalised(right, known), own_normalised(wrong, known)])
            seen = torch.cat([known, known])
            found[i] = critic(two.to(self.device), seen.to(self.device))[1].tolist()
        right_scores, wrong_scores = np.array(distributed.gather(found)).T
        return {"auroc": auroc(right_scores, wrong_scores)}

    def model(self, check: dict[str, Any]) -> Model:
        """The model started from, with the critic as it stands."""
        card = self._start.card | {
            "critic": self.card | {"steps_done": self.step, "held_back": check},
        }
        if self.step >= self.config.steps:  # takes a while, and nobody scores by what is half done
            card["realism"] = self.reference()
        return Model(
            self._start.generator,
            self._averaged_critic(),
            self.output.stem,
            "",
            card,
            self._start.factors,
        )

    @torch.inference_mode()
    def reference(self) -> dict[str, list[float]]:
        """Percentiles 0 to 100 of the scores of real windows, by token and by window."""
        learn, check = self._places
        windows = self._windows([*learn, *check], self.config.seed + 2, sizes=(SIDE,))
        critic = self._averaged_critic()
        tokens: list[NDArray[np.float32]] = []
        whole: list[NDArray[np.float32]] = []
        for i in range(min(REFERENCE, 16 * self.config.steps)):
            sample = windows[i]
            known = sample.evidence.valid[:, :1] | (sample.weight > 0)
            images = sample.truth.to(self.device)
            where, whether, seen = scores(critic, images, known.to(self.device))
            tokens.append(where[seen >= SEEN])
            whole.append(whether[seen.mean((1, 2)) >= SEEN])
        parts = {"token": tokens, "window": whole}
        levels = np.arange(101)
        return {
            k: np.percentile(np.concatenate(v), levels).astype("float64").round(4).tolist()
            for k, v in parts.items()
        }

    def _averaged_critic(self) -> Critic:
        return cast("Critic", self.taught.module)


def teach(tiles: Path, output: Path, *, config: TrainConfig | None = None, **how: Any) -> Path:
    """Teach the critic of a model and write the model; see `geot2t.train.train`."""
    config = replace(config or TrainConfig(), only="critic")
    return train(tiles, output, config=config, kind=Teacher, **how)
