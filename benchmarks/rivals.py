"""Train other generators to draw, with the library and the windows that T2T is trained with.

    python benchmarks/rivals.py TILES OUT [--classes CSV] [--minutes 5] [--only NAME ...]

For each of ``t2t``, ``vit``, ``unet`` and ``dcgan`` OUT gets ``NAME.safetensors`` and
``NAME.json``; the first three are models as ``geot2t generate --model`` takes them. All begin anew
and are given the same minutes; steps are set by how long the first few take. ``dcgan`` makes a
window at once from a vector, and learns by the critic's game alone, at every step; there is no
truth for it to come near to. All critics are alike, T2T.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from geot2t.checkpoint import load_model, read_tensors, save_model, write_tensors
from geot2t.critic import Critic, CriticConfig, own_normalised
from geot2t.generator import Generator
from geot2t.ground import WAVELENGTHS, Ground, onto
from geot2t.learner import TrainConfig
from geot2t.losses import relativistic
from geot2t.paint import ADVERSARIAL, NEW, Painter
from geot2t.refine import CODE, Refiner, code_of, normal
from geot2t.tiles import Sample
from geot2t.train import Opened

NAMES = ("t2t", "vit", "unet", "dcgan")
Float = NDArray[np.floating[Any]]
CPU = torch.device("cpu")
TIMED = 15
"""Steps by which the time of a step is known; as many of them as of any have the game."""


@dataclass(frozen=True)
class DcganConfig:
    """What it is made of, and what a run asks of any generator."""

    noise: int = 64
    width: int = 128
    noise_dim: int = 0
    frames: int = 1


class Dcgan(nn.Module):
    """Transposed convolutions from a vector to 64 px (Radford et al. 2016, arXiv:1511.06434).

    The vector is noise, the season, the class and the sizes of detail. What is made, at the
    wavelengths of the library, is given the level and contrast of the library's draw, as what T2T
    makes is.
    """

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config, d = config, config.width
        widths = [d, d, d // 2, d // 4]
        steps: list[nn.Module] = [nn.BatchNorm2d(d), nn.ReLU()]
        for before, after in pairwise(widths):
            steps += [
                nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()
            ]  # fmt: skip
        self.first = nn.Linear(config.noise + 3 + CODE, d * 16)
        self.body = nn.Sequential(*steps, nn.ConvTranspose2d(widths[-1], len(WAVELENGTHS), 4, 2, 1))

    def forward(self, noise: Tensor, season: Tensor, code: Tensor, wavelengths: Tensor) -> Tensor:
        """Normal windows ``(n, b, 64, 64)``."""
        known = season.isfinite().float()
        turn = 2 * math.pi * torch.nan_to_num(season)
        told = torch.stack([known, known * turn.sin(), known * turn.cos()], 1)
        made = self.body(self.first(torch.cat([noise, told, code], 1)).unflatten(1, (-1, 4, 4)))
        at = torch.from_numpy(onto(wavelengths.flatten().numpy())).float()
        return normal(torch.einsum("nbk,nkyx->nbyx", at.unflatten(0, wavelengths.shape), made))


class Rival(Painter):
    """A run whose generator is one of several, and whose critic is always of one kind."""

    name = "t2t"
    _read: ClassVar[dict[str, Any]] = {}

    def _opened(self, tiles: Path, seed: int) -> Opened:
        # The same for all, and read once.
        if not self._read:
            self._read["windows"] = super()._opened(tiles, seed)
            self._read["ground"] = self.ground
        self.ground = self._read["ground"]
        opened: Opened = self._read["windows"]
        return opened

    def _networks(self, config: TrainConfig, init: str | Path | None) -> tuple[Generator, Critic]:  # noqa: ARG002
        critic = Critic(CriticConfig())
        if self.name == "dcgan":
            return cast("Generator", Dcgan(DcganConfig())), critic
        return Generator(replace(NEW, arch=self.name)), critic


class DcganRun(Rival):
    """The game, at every step."""

    name = "dcgan"

    def train_step(self, batch: Sample, rng: np.random.Generator) -> dict[str, float]:
        """Move both by one step; returns the losses."""
        dcgan, e = cast("Dcgan", self.generator), batch.evidence
        for group in self.optimiser.param_groups:
            group["lr"], group["betas"] = 2e-4 * self._schedule(), (0.5, 0.99)
        noise = rng.standard_normal((len(batch.truth), dcgan.config.noise), "float32")
        made = dcgan(torch.from_numpy(noise), e.season, cast("Tensor", batch.code), e.wavelengths)
        fake, real = own_normalised(made), own_normalised(batch.truth)
        tokens = torch.ones(len(fake), 4, 4)
        with sdpa_kernel(SDPBackend.MATH):
            losses = self._train_critic(fake.detach(), real, tokens)
            self.critic.requires_grad_(False)
            where, whether = self.critic(fake)
            with torch.no_grad():
                where_real, whether_real = self.critic(real)
            self.critic.requires_grad_(True)
        game = relativistic(whether, whether_real) + relativistic(where, where_real)
        self.optimiser.zero_grad(set_to_none=True)
        game.backward()
        self.optimiser.step()
        self.average.update_parameters(self.generator)
        self.step += 1
        return {k: float(v.detach()) for k, v in (losses | {"game": game}).items()}


class DcganRefiner:
    """Draws what `Dcgan` makes, with the level and contrast of a draw; see `Refiner`."""

    def __init__(self, dcgan: Dcgan) -> None:
        self._dcgan = dcgan.eval()

    @torch.inference_mode()
    def __call__(
        self,
        draw: Float,
        wavelengths: Float,
        turn: float | None,
        kind: str | None,
        rng: np.random.Generator,
    ) -> Float:
        """Reflectances ``(b, 64, 64)``."""
        noise = torch.from_numpy(rng.standard_normal((1, self._dcgan.config.noise), "float32"))
        season = torch.tensor([np.nan if turn is None else turn], dtype=torch.float32)
        waves = torch.from_numpy(wavelengths.astype("float32"))[None]
        logs = np.log(draw)
        level, spread = logs.mean((1, 2), keepdims=True), logs.std((1, 2), keepdims=True)
        code = code_of(kind, (logs - level) / spread)[None]
        made = self._dcgan(noise, season, code, waves)[0].numpy()
        out: Float = np.exp(level + spread * made)
        return out


def trained(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train one for the minutes it has, write it and say what it took."""
    base = DcganRun if name == "dcgan" else Rival
    kind = cast("type[Rival]", type(name, (base,), {"name": name}))
    out = args.out / f"{name}.safetensors"
    # Played from the first step on while it is timed, which as many steps have as later on.
    config = TrainConfig(
        steps=TIMED, batch=args.batch, seed=args.seed, only="draws", adversarial=ADVERSARIAL
    )

    def run(config: TrainConfig) -> tuple[Rival, float]:
        rival = kind(args.tiles, out, config, CPU, classes=args.classes)
        begun = time.monotonic()
        for batch, rng in rival.batches():
            rival.train_step(batch, rng)
        return rival, time.monotonic() - begun

    _, seconds = run(config)
    steps = int(60 * args.minutes * TIMED / seconds)
    rival, seconds = run(replace(config, steps=steps))
    generator = cast("Generator", rival.average.module)
    if name == "dcgan":
        write_tensors(out, generator.state_dict())
        out.with_suffix(".json").write_text(json.dumps({"ground": rival.ground.to_json()}))
    else:
        save_model(out, rival.model({}))
    size = sum(p.numel() for p in generator.parameters())
    return {"name": name, "parameters": size, "steps": steps, "seconds": round(seconds),
            "config": asdict(generator.config)}  # fmt: skip


def load_rival(path: Path) -> tuple[Ground, Refiner | DcganRefiner]:
    """The library and the generator that this script wrote."""
    if path.stem != "dcgan":
        model = load_model(path)
        return Ground.from_json(model.card["ground"]), Refiner(model, CPU)
    dcgan = Dcgan(DcganConfig())
    dcgan.load_state_dict(read_tensors(path)[0])
    ground = json.loads(path.with_suffix(".json").read_text())["ground"]
    return Ground.from_json(ground), DcganRefiner(dcgan)


def main(argv: Sequence[str] | None = None) -> None:
    """Train all and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    args.out.mkdir(exist_ok=True)
    for name in args.only:
        print(json.dumps(trained(name, args)), flush=True)


if __name__ == "__main__":
    main()
