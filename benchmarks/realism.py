"""How well the critic tells real ground from what is wrong with it, beside simple detectors.

    python benchmarks/realism.py TILES... [--model NAME|PATH] [--windows 150] [--json FILE]

TILES are folders as ``geot2t train --tiles`` reads them, of places that the critic has not learnt
from. Real windows of 128 px, with all or some of their bands, are scored as they are and with one
thing wrong: each of `geot2t.flaws` over the whole window (a foreign patch over a rectangle of a
quarter to three quarters of each side), or the ground under a real cloud shape replaced by the
median of the other dates. Band shifts are tried on windows of two bands or more. An AUROC is the
share of pairs of a real window and a wrong one, of any two places, in which the real one scores
higher; ``where`` is the same for tokens inside the flaw and the same tokens of the real window.

A simple detector knows neither which values are real nor whether those are high or low: of its
AUROC and what is left to 1 the greater is shown, which favours it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from geot2t.checkpoint import load_model
from geot2t.clouds import CloudShapes
from geot2t.critic import Critic, own_normalised
from geot2t.flaws import FLAWS, flawed
from geot2t.generator import STRIDE
from geot2t.lessons import SURE, composite
from geot2t.metrics import auroc
from geot2t.places import Place, find_places
from geot2t.realism import SIDE, scores
from geot2t.tiles import Sample, Windows

FILL = "median composite"
BANDS = 13


def variance(z: Tensor) -> float:
    """Mean variance within 7 px."""
    mean = F.avg_pool2d(z, 7, 1)
    return float((F.avg_pool2d(z.square(), 7, 1) - mean.square()).mean())


def gradient(z: Tensor) -> float:
    """Mean squared difference of neighbours."""
    return float(z.diff(dim=-1).square().mean() + z.diff(dim=-2).square().mean())


def laplacian(z: Tensor) -> float:
    """Variance of the Laplacian, the usual measure of focus."""
    kernel = z.new_tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    return float(F.conv2d(z.flatten(0, 1)[:, None], kernel[None, None]).var())


def angle(z: Tensor) -> float:
    """Greatest mean angle, over parts of 16 px, between spectra of neighbours."""
    if z.shape[1] == 1:
        return 0.0
    cosine = F.cosine_similarity(z[..., :-1], z[..., 1:], dim=1).clamp(-1, 1)
    return float(F.avg_pool2d(cosine.acos()[:, None], STRIDE).max())


def seams(z: Tensor) -> float:
    """Greatest mean step along a row or a column, beside the mean step."""
    steps = [z.diff(dim=-1).abs().mean((0, 1, 2)), z.diff(dim=-2).abs().mean((0, 1, 3))]
    return max(float(s.max() / s.mean().clamp(min=1e-6)) for s in steps)


def bands(z: Tensor) -> float:
    """Least correlation of a band's fine detail with another's."""
    if z.shape[1] == 1:
        return 0.0
    fine = (z - F.avg_pool2d(z, 3, 1, 1)).flatten(2)[0]
    return float(np.nanmin(np.nanmax(np.corrcoef(fine) - 2 * np.eye(len(fine)), 1)))


SIMPLE: Mapping[str, Callable[[Tensor], float]] = {
    "local variance": variance,
    "gradient energy": gradient,
    "Laplacian": laplacian,
    "spectral angle": angle,
    "line steps": seams,
    "band correlation": bands,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A real window and the same with one thing wrong."""

    name: str
    right: Tensor
    wrong: Tensor
    where: Tensor
    known: Tensor


def cases(sample: Sample, other: Sample, rng: np.random.Generator) -> Iterator[Case]:
    """All that is tried on a window; ``other`` is where foreign patches come from."""
    gap = sample.weight > 0
    known = sample.evidence.valid[:, :1] | gap
    right = torch.where(known, sample.truth, 0)
    level, centre, spread = _level(right, known)
    for name in FLAWS:
        where = torch.ones_like(known)
        made = level
        if name == "foreign patch":
            where = torch.zeros_like(known)
            height, width = (int(v) for v in rng.integers(SIDE // 4, 3 * SIDE // 4, 2))
            row, col = int(rng.integers(SIDE - height)), int(rng.integers(SIDE - width))
            where[..., row : row + height, col : col + width] = True
            seen = other.evidence.valid[:, :1] | (other.weight > 0)
            theirs, _, _ = _level(torch.where(seen, other.truth, 0), seen)
            pick = torch.arange(right.shape[1]) % theirs.shape[1]
            made = torch.where(where, theirs[:, pick], level)
        elif name == "band shift" and right.shape[1] == 1:
            continue
        else:
            made = flawed(level, where, rng, name)
        wrong = torch.where(known, made * spread + centre, 0)
        yield Case(name, right, wrong, where & known, known)
    if bool(sample.evidence.valid[:, 1:].any()):
        wrong = torch.where(gap, sample.evidence.prior, right)
        yield Case(FILL, right, wrong, gap, known)


def _level(images: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    seen = known.float()
    count = seen.sum((2, 3), keepdim=True).clamp(min=1)
    centre = images.sum((2, 3), keepdim=True) / count
    spread = (((images - centre) * seen).square().sum((2, 3), keepdim=True) / count).sqrt() + 1e-9
    return torch.where(known, (images - centre) / spread, 0), centre, spread


def measured(places: list[Place], critic: Critic, count: int, seed: int) -> dict[str, Any]:
    """AUROC of the critic and of each simple detector, by what is wrong."""
    windows = Windows(
        [(place, place.extent) for place in places], CloudShapes.load(), frames=5, seed=seed,
        sizes=(SIDE,), bands=BANDS, estimate=composite, favour=0.75,
    )  # fmt: skip
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    tokens: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    before = windows[count]
    for i in tqdm(range(count)):
        sample = windows[i]
        real: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        for case in cases(sample, before, np.random.default_rng([seed, i])):
            real = real or scores(critic, case.right, case.known)  # the same in every case
            (here_a, a, _), (here_b, b, _) = real, scores(critic, case.wrong, case.known)
            row = found.setdefault(case.name, {})
            row.setdefault("critic", []).append((float(a[0]), float(b[0])))
            share = F.avg_pool2d(case.where.float(), STRIDE).squeeze(1).numpy() > SURE
            tokens.setdefault(case.name, []).append((here_a[share], here_b[share]))
            one, two = (own_normalised(v, case.known) for v in (case.right, case.wrong))
            for name, detector in SIMPLE.items():
                row.setdefault(name, []).append((detector(one), detector(two)))
        before = sample
    table: dict[str, Any] = {}
    for name, row in found.items():
        table[name] = {"windows": len(row["critic"])}
        for judge, pairs in row.items():
            value = auroc(*np.nan_to_num(np.array(pairs)).T)
            table[name][judge] = value if judge == "critic" else max(value, 1 - value)
        table[name]["where"] = auroc(*(np.concatenate(v) for v in zip(*tokens[name], strict=True)))
    return table


def markdown(table: Mapping[str, Any]) -> str:
    """The table of a set of places."""
    columns = ["windows", "critic", "where", *SIMPLE]
    lines = [["wrong", *columns], ["---"] * (len(columns) + 1)]
    for name, row in table.items():
        lines.append([name, str(row["windows"]), *(f"{row[c]:.2f}" for c in columns[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path, nargs="+")
    parser.add_argument("--model", help="name or path")
    parser.add_argument("--windows", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the results there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    critic = load_model(args.model).critic
    results = {}
    for folder in args.tiles:
        places = find_places(folder)
        results[folder.name] = measured(places, critic, args.windows, args.seed)
        print(f"{folder.name}, {len(places)} places\n\n{markdown(results[folder.name])}\n")
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
