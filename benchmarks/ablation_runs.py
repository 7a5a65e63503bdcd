"""Networks that are trained alike and tried on the same windows."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from ablation_pools import Pool, Trial, Trials, a_tenth, set_apart, without_prior
from torch import Tensor
from tqdm import tqdm

from geot2t.checkpoint import Model, load_model, save_model
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, CriticConfig
from geot2t.errors import InputError
from geot2t.generator import Evidence, Generator, GeneratorConfig
from geot2t.io.publish import write_bytes
from geot2t.learner import Learner, TrainConfig
from geot2t.metrics import errors, texture
from geot2t.model import pick_device
from geot2t.places import find_places
from geot2t.prior import estimate_prior
from geot2t.tiles import Sample, Windows

Row = dict[str, Any]
"""What is known of one method: its ``name`` and ``title``; the row of its job that it should beat
(``against``) if that is not the prior; the run that it is shown ``beside`` if that is not t2t; its
``network``; and for each of the ``sets`` of windows ``error`` and ``texture`` of each window, None
where it was not tried."""

MOST_HELD = 400
"""Windows of a pool that a training holds in memory at once."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training."""

    title: str
    arch: str = "t2t"
    adversarial: bool = True
    prior: bool = True
    tenth: bool = False
    seed: int = 0


RUNS = {
    "t2t": Run("T2T-GAN"),
    "t2t-seed": Run("T2T-GAN, another seed", seed=1),
    "no-gan": Run("T2T, no adversarial loss", adversarial=False),
    "no-prior": Run("T2T-GAN, no prior", prior=False),
    "vit": Run("plain ViT", "vit"),
    "swin": Run("shifted windows", "swin"),
    "unet": Run("U-Net and PatchGAN", "unet"),
    "t2t-tenth": Run("T2T-GAN, a tenth of the places", tenth=True),
    "vit-tenth": Run("plain ViT, a tenth of the places", "vit", tenth=True),
    "swin-tenth": Run("shifted windows, a tenth of the places", "swin", tenth=True),
    "unet-tenth": Run("U-Net and PatchGAN, a tenth of the places", "unet", tenth=True),
}


class Bench:
    """Places to learn from and to try on, and the folder that keeps what was made of them.

    Parameters
    ----------
    args : argparse.Namespace
        The options of ``ablations.py``.

    Raises
    ------
    InputError
        If there is nothing to learn from or to try on, or the folder holds the work of other
        settings.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, args.output
        self.device = pick_device(args.device)
        dev = find_places(args.dev) if args.dev else []
        places = find_places(args.tiles)
        self.learn, held = set_apart(places, args.hold_out, dev)
        self.places = [*places, *dev]
        sets = {"held-back places": held, "development series": dev}
        self.settings = {
            **{name: getattr(args, name) for name in ("steps", "batch", "pool", "windows", "seed")},
            "learnt_from": [place.name for place in self.learn],
            "tried_on": {name: [p.name for p in some] for name, some in sets.items() if some},
        }
        self._check_settings()
        self._trials = {
            name: Trials(some, frames=GeneratorConfig().frames, seed=args.seed + 1000 * i)
            for i, (name, some) in enumerate(sets.items(), 1)
            if some
        }

    def _check_settings(self) -> None:
        if not self.settings["tried_on"]:
            raise InputError("no place is held back and no --dev given: there is nothing to try on")
        path = self.out / "settings.json"
        if path.exists():
            before = json.loads(path.read_text("utf-8"))
            if differ := [k for k, v in self.settings.items() if before.get(k) != v]:
                raise InputError(
                    f"{self.out} holds work with other {', '.join(differ)}; take another folder"
                )
        self.out.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(self.settings, indent=1).encode() + b"\n")

    @property
    def sets(self) -> dict[str, list[str]]:
        """For each set of windows to be tried on, the place of every window."""
        count = range(self.args.windows)
        return {name: [t.place(i).name for i in count] for name, t in self._trials.items()}

    def trials(self, name: str) -> Iterator[Trial]:
        """The windows of a set; what the prior says of them is kept in the folder."""
        trials = self._trials[name]
        pool = Pool(self.out / "pools" / name.replace(" ", "-"), self.args.windows)
        pool.fill(trials, self.args.workers)
        return (Trial(trials, pool, i) for i in range(self.args.windows))

    def pool(self, run: Run) -> Pool:
        """The windows that a run learns from."""
        name = f"{'a-tenth' if run.tenth else 'all'}{'' if run.prior else '-without-prior'}"
        windows = Windows(
            [(place, place.extent) for place in (a_tenth(self.learn) if run.tenth else self.learn)],
            CloudShapes.load(),
            frames=GeneratorConfig().frames,
            seed=self.args.seed,
            estimate=estimate_prior if run.prior else without_prior,
        )
        pool = Pool(self.out / "pools" / name, self.args.pool)
        pool.fill(windows, self.args.workers)
        return pool

    def trained(self, name: str) -> Model:
        """The model of run ``name``, trained now if it was not before."""
        path = self.out / "models" / f"{name}.safetensors"
        if not path.with_suffix(".json").exists():
            path.parent.mkdir(exist_ok=True)
            save_model(path, self._train(name))
        model = load_model(path)
        model.generator.to(self.device)
        return model

    def _train(self, name: str) -> Model:
        run, usual = RUNS[name], TrainConfig()
        config = TrainConfig(
            steps=self.args.steps,
            batch=self.args.batch,
            adversarial=usual.adversarial if run.adversarial else 0.0,
            pool=min(self.args.pool, MOST_HELD),
            seed=self.args.seed + run.seed,
            arch=run.arch,
        )
        pool = self.pool(run)
        torch.manual_seed(config.seed)
        generator = Generator(GeneratorConfig(arch=run.arch))
        critic = Critic(CriticConfig(arch=run.arch))
        learner = Learner(generator, critic, pool, {}, config, self.device)
        begun = time.perf_counter()
        for batch, rng in tqdm(learner.batches(), f"training {name}", config.steps):
            learner.train_step(batch, rng)
        card = {
            "settings": asdict(config),
            "seconds": time.perf_counter() - begun,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
        }
        return Model(cast("Generator", learner.average.module), critic, name, card=card)

    def measured(
        self,
        fills: Callable[[Trial], dict[str, Tensor]],
        rows: Sequence[Row],
        seen: Container[str] = (),
    ) -> list[Row]:
        """``rows`` with the errors and textures of each window.

        Parameters
        ----------
        fills : callable
            Gives the fills of a window, each ``(1, b, y, x)``, by the names of the rows.
        rows : sequence of Row
        seen : container of str
            Places in which nothing is tried.
        """
        found = [{**row, "sets": {}} for row in rows]
        for name in self._trials:
            scores = []
            trials = tqdm(self.trials(name), f"{name}: {rows[0]['title']}", self.args.windows)
            for trial in trials:
                means = {} if trial.place.name in seen else fills(trial)
                scores.append({row: score(mean, trial.sample) for row, mean in means.items()})
            for row in found:
                each = [of.get(row["name"], (None, None)) for of in scores]
                row["sets"][name] = {"error": [e for e, _ in each], "texture": [t for _, t in each]}
        return found


def score(mean: Tensor, sample: Sample) -> tuple[float | None, float | None]:
    """Mean absolute error and texture ratio of a fill ``(1, b, y, x)``."""
    y, x = mean.shape[-2:]
    where = sample.weight[0, 0, :y, :x].numpy() > 0
    pred, truth = mean[0].numpy(), sample.truth[0, :, :y, :x].numpy()
    return errors(pred, truth, where)["mae"], texture(pred, truth, where)


@torch.inference_mode()
def filled(generator: Generator, evidence: Evidence, noise: Tensor | None = None) -> Tensor:
    """What a generator fills in, ``(1, b, y, x)``, on the CPU; it runs where its weights are."""
    device = generator.role.device
    noise = None if noise is None else noise.to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        mean: Tensor = generator(evidence.to(device), noise).mean
    return mean.float().cpu()


def milliseconds(generator: Generator, side: int = 256) -> float:
    """Median time for a window of two bands and as many dates as the generator looks at."""
    rng = torch.Generator().manual_seed(0)
    n, b, f = 1, 2, generator.config.frames
    image, images = (torch.rand(n, *k, b, side, side, generator=rng) for k in ((), (f,)))
    evidence = Evidence(
        prior=image,
        prior_scale=image,
        images=images,
        fitted=images,
        fitted_scale=images,
        valid=images[:, :, 0] > 0.3,
        days=torch.zeros(n, f),
        season=torch.zeros(n),
        wavelengths=torch.ones(n, b),
    )
    times = []
    for _ in range(6):
        begun = time.perf_counter()
        filled(generator, evidence)
        times.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(times[1:])
