"""Training from tiles to a model; whole after any kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from geot2t import distributed
from geot2t.checkpoint import Model, load_model, save_model
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.generator import Generator, GeneratorConfig
from geot2t.grid import Box
from geot2t.learner import Learner, TrainConfig
from geot2t.model import pick_device
from geot2t.places import Place, find_places, split
from geot2t.resume import load_state, remove_state, save_state
from geot2t.tiles import Sample, Windows

HELD_BACK = 32
"""Held-back windows."""

CHECK_SIZES = (96, 128)
"""Their sides, in pixels."""

Opened = tuple[Dataset[Sample], dict[int, Sample], tuple[set[str], set[str]]]
"""Windows to learn from, windows to check with, and the names of the places of both."""


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

    check_every = 200
    """Steps between two looks at what was held back."""

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
        torch.manual_seed(config.seed)
        generator, critic = self._networks(config, init)
        self._frames = generator.config.frames
        windows, held_back, names = self._opened(tiles, config.seed)
        super().__init__(generator, critic, windows, held_back, config, device, workers)
        self.told = {"held-back/prior": "ratio"}
        self._modules = {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
        }
        self._optimisers = {"adam": self.optimiser, "critic_adam": self.critic_optimiser}
        self.card: dict[str, Any] = {
            "places": dict(zip(("learnt_from", "held_back"), map(sorted, names), strict=True)),
            "settings": asdict(config),
        }

    def _networks(self, config: TrainConfig, init: str | Path | None) -> tuple[Generator, Critic]:
        """The networks to train: new ones, or those of a model."""
        if init is None:
            arch = config.arch or GeneratorConfig().arch
            return Generator(GeneratorConfig(arch=arch)), Critic(CriticConfig(arch=arch))
        model = load_model(init)
        if model.draws and config.only != "draws":
            raise InputError(f"{init} was taught to draw, not to fill; give another --init")
        own = model.generator.config.arch
        if config.arch not in {None, own}:
            raise InputError(
                f"{init} is of the architecture {own}, not {config.arch}; leave --arch or --init "
                "out"
            )
        return model.generator, model.critic

    def _opened(self, tiles: Path, seed: int) -> Opened:
        """What to learn from and to check with."""
        learn, check = self._places = split(find_places(tiles))
        windows = self._windows(learn, seed)
        back = self._windows(check, seed + 1, sizes=CHECK_SIZES)
        held_back = {i: back[i] for i in distributed.share(range(HELD_BACK))}
        return windows, held_back, ({p.name for p, _ in learn}, {p.name for p, _ in check})

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
        if not distributed.is_first():
            return
        save_model(self.output, self.model(check))
        save_state(self.output, self.step, asdict(self.config), self._modules, self._optimisers)

    def resume(self) -> None:
        """Take up the run that was left beside the output; see `geot2t.resume.load_state`."""
        settings = asdict(self.config)
        self.step = load_state(self.output, settings, self._modules, self._optimisers)

    def run(self, *, save_every: float = 120.0, quiet: bool = False) -> None:
        """Train to the end, or until stopped; the model and the state are saved as it goes."""
        last_save, began, first = time.monotonic(), time.monotonic(), self.step
        mean: dict[str, float] = {}
        check: dict[str, Any] = self.held_back()
        hidden = quiet or not distributed.is_first()
        bar = tqdm(total=self.config.steps, initial=self.step, disable=hidden, unit="step")
        try:
            for batch, rng in self.batches():
                losses = self.train_step(batch, rng)
                for k, v in losses.items():
                    mean[k] = v if k not in mean else 0.98 * mean[k] + 0.02 * v
                bar.update()
                if self.step % self.check_every == 0 or self.step == self.config.steps:
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
        if distributed.is_first():
            save_model(self.output, self.model(check))
            remove_state(self.output)

    def _write_log(self, losses: dict[str, float], check: dict[str, Any], seconds: float) -> None:
        if not distributed.is_first():
            return
        row = {"step": self.step, "seconds": round(seconds), **losses, **check}
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


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
    kind: Callable[..., Trainer] = Trainer,
) -> Path:
    """Train the T2T-GAN on GeoTIFFs and write a model; returns its path.

    Processes that torchrun started share each step, and the first of them writes the files.

    Parameters
    ----------
    tiles : Path
        Folder of scenes of one place, or of one folder for each place. Clouds are welcome.
    output : Path
        Model to write, ``.safetensors``.
    config : TrainConfig, optional
        Settings; ``batch`` is that of each process.
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
    kind : callable
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
    config = config or TrainConfig()
    with distributed.joined(pick_device(device)) as own:
        config = replace(config, batch=config.batch * distributed.place()[1])
        trainer = kind(tiles, output, config, own, init, workers)
        if resume:
            trainer.resume()
        elif distributed.is_first():
            trainer.log_path.unlink(missing_ok=True)
        trainer.run(quiet=quiet)
    return output
