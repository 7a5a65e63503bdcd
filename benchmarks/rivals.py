"""Train other generators to draw, by the game and the library that T2T is trained with.

    python benchmarks/rivals.py TILES OUT [--classes CSV] [--minutes 8] [--only NAME ...]

For each of ``t2t``, ``vit``, ``unet`` and ``dcgan`` OUT gets ``NAME.safetensors`` and
``NAME.json``, of which the first three are models as ``geot2t generate --model`` takes them. All
begin anew, see the same windows, play against a critic of one kind (T2T), and are given the same
minutes. Steps are set by how long the first few take.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from geot2t.checkpoint import Model, load_model, read_tensors, save_model, write_tensors
from geot2t.critic import Critic, CriticConfig
from geot2t.generator import Evidence, Generator, GeneratorConfig, Guess
from geot2t.ground import WAVELENGTHS, onto
from geot2t.learner import TrainConfig
from geot2t.paint import Painter

NAMES = ("t2t", "vit", "unet", "dcgan")
TIMED = 12
"""Steps by which the time of a step is known."""


@dataclass(frozen=True)
class DcganConfig:
    """What the training asks of a generator."""

    noise_dim: int = 8
    frames: int = 1
    width: int = 256


class Dcgan(nn.Module):
    """Transposed convolutions from a vector to 64 px (Radford et al. 2016, arXiv:1511.06434).

    The vector is noise, the season, and the levels and contrasts of the library's draw, which carry
    the class. What it makes, at the wavelengths of the library, is given those levels and contrasts
    in each band: nothing else of the draw is used.
    """

    def __init__(self, config: DcganConfig) -> None:
        super().__init__()
        self.config, k, d = config, len(WAVELENGTHS), config.width
        widths = [d, d // 2, d // 4, d // 8]
        self.first = nn.Linear(16 * config.noise_dim + 3 + 3 * k, d * 16)
        steps: list[nn.Module] = [nn.BatchNorm2d(d), nn.ReLU()]
        for before, after in zip(widths, widths[1:], strict=False):
            steps += [
                nn.ConvTranspose2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()
            ]  # fmt: skip
        self.body = nn.Sequential(*steps, nn.ConvTranspose2d(widths[-1], k, 4, 2, 1))

    def forward(self, evidence: Evidence, noise: Tensor) -> Guess:
        """Draw; takes and gives what `geot2t.generator.Generator` does."""
        prior = evidence.prior
        level, spread = prior.mean((2, 3), keepdim=True), evidence.prior_scale[..., :1, :1]
        at = torch.from_numpy(onto(evidence.wavelengths.flatten().cpu().numpy()))
        weights = at.to(prior).unflatten(0, evidence.wavelengths.shape)  # (n, b, k)
        share = weights.sum(1)
        told = [(weights * v[..., 0]).sum(1) / share.clamp(min=0.1) for v in (level, spread.log())]
        known = evidence.season.isfinite().to(prior)
        turn = 2 * math.pi * torch.nan_to_num(evidence.season)
        season = torch.stack([known, known * turn.sin(), known * turn.cos()], 1)
        given = torch.cat([noise.flatten(1), season, share.clamp(max=1), *told], 1)
        made = self.body(self.first(given).unflatten(1, (-1, 4, 4)))  # (n, k, 64, 64)
        bands = torch.einsum("nbk,nkyx->nbyx", weights, made)
        centred = bands - bands.mean((2, 3), keepdim=True)
        mean = level + spread * centred / (centred.std((2, 3), keepdim=True) + 1e-3)
        return Guess(mean, spread.expand_as(mean))


class Rival(Painter):
    """A run whose generator is one of several, and whose critic is always of one kind."""

    name = "t2t"

    def _networks(self, config: TrainConfig, _init: str | Path | None) -> tuple[Generator, Critic]:
        critic = Critic(CriticConfig())
        if self.name == "dcgan":
            return cast("Generator", Dcgan(DcganConfig())), critic
        return Generator(GeneratorConfig(arch=self.name)), critic


def trained(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Train one for the minutes it has, write it and say what it took."""
    kind = cast("type[Rival]", type(name, (Rival,), {"name": name}))
    config = TrainConfig(steps=10**6, batch=args.batch, seed=args.seed, only="draws")
    out = args.out / f"{name}.safetensors"

    def run(config: TrainConfig, most: int) -> tuple[Rival, float]:
        rival = kind(args.tiles, out, config, torch.device("cpu"), classes=args.classes)
        begun = time.monotonic()
        for batch, rng in rival.batches():
            rival.train_step(batch, rng)
            if rival.step == most:
                break
        return rival, time.monotonic() - begun

    _, seconds = run(config, TIMED)
    steps = int(60 * args.minutes * TIMED / seconds)
    rival, seconds = run(replace(config, steps=steps), steps)
    check = rival.held_back()
    model = rival.model(check)
    if name == "dcgan":
        tensors = {k: v for k, v in model.generator.state_dict().items()}
        write_tensors(out, tensors)
        out.with_suffix(".json").write_text(json.dumps({"card": model.card}))
    else:
        save_model(out, model)
    size = sum(p.numel() for p in model.generator.parameters())
    return {"name": name, "parameters": size, "steps": steps, "seconds": round(seconds), **check}


def load_rival(path: Path) -> Model:
    """A model that this script wrote."""
    if path.stem != "dcgan":
        return load_model(path)
    tensors, sha256 = read_tensors(path)
    generator = Dcgan(DcganConfig())
    generator.load_state_dict(tensors)
    card = json.loads(path.with_suffix(".json").read_text())["card"]
    critic = Critic(CriticConfig())
    return Model(cast("Generator", generator.eval()), critic, path.stem, sha256, card)


def main(argv: Sequence[str] | None = None) -> None:
    """Train all and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for name in args.only:
        print(json.dumps(trained(name, args)), flush=True)


if __name__ == "__main__":
    main()
