"""How far draws of `geot2t generate` are from real ground, and whether they are of what was asked.

    python benchmarks/generation.py LEARNT HELD_BACK EUROSAT.zip [--draws 200] [--model NAME|PATH]
        [--rivals DIR] [--json FILE]

LEARNT and HELD_BACK are folders as ``geot2t train --tiles`` reads them; the models must have been
taught from the former only, and of EuroSAT with every other image (``prepare_classes.py --half``).
Windows are 64 px of blue, green, red and near infrared. Draws are by the model that ships, by the
statistics of its library alone, and by what ``rivals.py`` wrote to DIR; no critic has chosen.

Distances to real windows that were held back are Fréchet distances (Heusel et al. 2017,
arXiv:1706.08500) and kernel distances (Binkowski et al. 2018, arXiv:1801.01401), on statistics of
level, contrast and size of detail, and on the features of the critic that ships, each in units of
its spread over real windows. ``diversity`` is the mean distance between two windows of a set in the
features of the critic, over that between real windows held back. ``nearest`` is the median distance
of a window's statistics to the nearest window learnt from (of the real ones, to the nearest held
back). Beside the draws stand real windows learnt from, which no draw can be expected to beat;
statistics without parcels; and white noise of the same levels and spread.

Classes: a linear discriminant taught the statistics of the images of EuroSAT that no library and no
network has seen says which class a draw is of, by its levels and textures and by its textures alone
(correlation of bands, sizes of detail); ``real`` is how often it is right of the images learnt
from. Seasons: of four draws that differ in the quarter of the year only, how many have the change
from their mean that is nearest to the mean change of dated series in that quarter; ``real`` is the
same for the dates themselves. Moves: the mean absolute error of a scene moved to another date of
its series at least 60 days away, over that of the scene as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from make_ground import _turn, eurosat, looks_of
from numpy.typing import NDArray
from rivals import NAMES, load_rival
from scipy.linalg import sqrtm
from scipy.spatial.distance import pdist

from geot2t import ground as library
from geot2t.checkpoint import load_model
from geot2t.critic import Critic, own_normalised
from geot2t.drawing import DRAWS
from geot2t.drawing import library as shipped
from geot2t.ground import Ground, Look, look
from geot2t.io.names import scenes_in
from geot2t.io.stack import open_stack
from geot2t.refine import Refiner

Float = NDArray[np.float64]
SIDE = 64
BANDS = np.array([0.492, 0.560, 0.665, 0.833])
AT = [0, 1, 2, 6]
"""Where the library keeps these bands."""


def windows(tiles: Path, most: int, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Real windows ``(b, y, x)``, a few of each place."""
    found = []
    for folder in sorted(p for p in tiles.iterdir() if p.is_dir()):
        with open_stack(scenes_in(folder)[0]) as stack:
            away = np.abs(np.log2(stack.wavelengths[:, None] / BANDS))
            if len(stack.wavelengths) < len(BANDS) or not (np.nanmin(away, 0) < 0.12).all():
                continue
            pixels, valid = stack.read_target(stack.extent)
            pick = np.nanargmin(away, 0)
            for _ in range(6):
                if min(valid.shape) < SIDE:
                    break
                row, col = (int(rng.integers(n - SIDE + 1)) for n in valid.shape)
                cut = slice(row, row + SIDE), slice(col, col + SIDE)
                if valid[cut].all():
                    found.append(pixels[pick][:, *cut])
    return [found[i] for i in rng.permutation(len(found))[:most]]


def statistics(one: Look | None) -> Float:
    """What a window is described by: levels, contrasts, correlation, and sizes of detail."""
    if one is None:
        raise ValueError("a window of bands that the library does not have")
    at = [i for i in AT if np.isfinite(one.level[i])]
    spread = np.sqrt(np.diag(one.within)[at]) + 1e-4
    alike = (one.within[np.ix_(at, at)] / np.outer(spread, spread))[np.triu_indices(len(at), 1)]
    return np.concatenate([one.level[at], np.log(spread), alike, np.log(one.shares + 1e-3)])


@torch.inference_mode()
def features(critic: Critic, images: Sequence[NDArray[np.float32]]) -> Float:
    """What the critic's last layer sees of windows."""
    seen: list[torch.Tensor] = []
    hook = critic.whether.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for image in images:
        critic(own_normalised(torch.from_numpy(image[None].copy())))
    hook.remove()
    return torch.cat(seen).double().numpy()


def distances(real: Float, other: Float) -> tuple[float, float]:
    """Fréchet and kernel distance of features in units of their spread over real windows."""
    unit = real.std(0) + 1e-6
    a, b = real / unit, other / unit
    one, two = np.cov(a.T), np.cov(b.T)
    mixed = np.trace(sqrtm(one @ two).real)
    frechet = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * mixed

    def kernel(x: Float, y: Float) -> Float:
        out: Float = (x @ y.T / x.shape[1] + 1) ** 3
        return out

    same = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return float(frechet), float(same[0] + same[1] - 2 * kernel(a, b).mean())


Draw = Callable[..., NDArray[np.float32]]
"""``draw(wavelengths, rng, kind=, turn=)`` draws a window."""


def by(ground: Ground, refine: Callable[..., Any] | None = None) -> Draw:
    """A way to draw."""

    def draw(
        waves: Float, rng: np.random.Generator, kind: str | None = None, turn: float | None = None
    ) -> NDArray[np.float32]:
        first = ground.draw((SIDE, SIDE), waves, rng, kind=kind, turn=turn)
        if refine is None:
            return first
        return np.asarray(refine(first, waves, turn, kind, rng), "float32").clip(library.LEAST, 1.2)

    return draw


def drawn(draw: Draw, count: int, seed: int, **how: Any) -> list[NDArray[np.float32]]:
    """Draws."""
    return [draw(BANDS, np.random.default_rng([seed, i]), **how) for i in range(count)]


def ways(args: argparse.Namespace) -> dict[str, Draw]:
    """All ways to draw that are compared."""
    model = load_model(args.model)
    ground = Ground.from_json(model.card["ground"])
    found = {
        "network": by(ground, Refiner(model, torch.device("cpu"))),
        "statistics": by(ground),
    }
    for name in NAMES if args.rivals else ():
        found[f"{name}, short"] = by(*load_rival(args.rivals / f"{name}.safetensors"))
    return found


def distance_table(
    args: argparse.Namespace, critic: Critic, draws: dict[str, Draw]
) -> dict[str, dict[str, float]]:
    """Distances of draws and of what stands beside them from real ground held back."""
    rng = np.random.default_rng(args.seed)
    back = windows(args.held_back, args.draws, rng)
    sets = {"real, learnt from": windows(args.learnt, args.draws, rng)}
    sets |= {name: drawn(draw, args.draws, args.seed) for name, draw in draws.items()}
    parcel, library.PARCEL = library.PARCEL, 10**6
    sets["statistics without parcels"] = drawn(draws["statistics"], args.draws, args.seed)
    library.PARCEL = parcel
    sets["white noise"] = [
        np.clip(
            rng.normal(d.mean((1, 2), keepdims=True), d.std((1, 2), keepdims=True), d.shape),
            library.LEAST,
            None,
        ).astype("float32")
        for d in sets["statistics"]
    ]
    described = {
        k: np.stack([statistics(look(w, BANDS, None)) for w in v]) for k, v in sets.items()
    }
    real = np.stack([statistics(look(w, BANDS, None)) for w in back])
    seen = features(critic, back)
    table = {}
    for name, images in sets.items():
        row = dict(zip(("frechet", "kernel"), distances(real, described[name]), strict=True))
        own = features(critic, images)
        of_critic = distances(seen, own)
        row |= dict(zip(("critic_frechet", "critic_kernel"), of_critic, strict=True))
        row["diversity"] = float(pdist(own / seen.std(0)).mean() / pdist(seen / seen.std(0)).mean())
        near = described["real, learnt from"] if name != "real, learnt from" else real
        unit = real.std(0)
        away = np.linalg.norm((described[name] / unit)[:, None] - (near / unit)[None], axis=2)
        row["nearest"] = float(np.median(away.min(1)))
        table[name] = row
    return table


def recognised(
    archive: Path, per_class: int, seed: int, draws: dict[str, Draw]
) -> dict[str, dict[str, float]]:
    """How often the class asked for is the one that is seen."""
    halves: list[dict[str, list[Look]]] = [{}, {}]
    for i, (kind, seen) in enumerate(looks_of(eurosat(archive))):
        halves[i % 2].setdefault(kind, []).append(seen)
    names, rgb = sorted(halves[1]), BANDS[[2, 1, 0]]
    sets = {"real": {name: halves[0][name] for name in names}}
    for way, draw in draws.items():
        sets[way] = {
            name: [
                one
                for i in range(per_class)
                if (
                    one := look(
                        draw(rgb, np.random.default_rng([seed, k, i]), kind=name), rgb, None
                    )
                )
            ]
            for k, name in enumerate(names)
        }
    table: dict[str, dict[str, float]] = {way: {} for way in sets}
    for column, use in (("class", slice(None)), ("class by texture", slice(6, None))):
        x = [np.stack([statistics(one)[use] for one in halves[1][name]]) for name in names]
        means = np.stack([v.mean(0) for v in x])
        within = np.mean([np.cov(v.T) for v in x], 0)
        inverse = np.linalg.inv(within + 1e-3 * np.diag(np.diag(within)))
        for way, of in sets.items():
            hits = []
            for k, name in enumerate(names):
                away = np.stack([statistics(one)[use] for one in of[name]])[:, None] - means
                hits += list(np.einsum("nkd,de,nke->nk", away, inverse, away).argmin(1) == k)
            table[way][column] = float(np.mean(hits))
    return table


Shown = list[tuple[float, NDArray[np.float32], NDArray[np.bool_]]]


def dated_series(tiles: Path) -> Iterator[tuple[NDArray[np.float32], Shown]]:
    """Wavelengths of each place with six known dates or more, and its scenes with their turns."""
    for folder in sorted(p for p in tiles.iterdir() if p.is_dir()):
        scenes = scenes_in(folder)
        if len(scenes) < 6:
            continue
        shown: Shown = []
        waves = np.zeros(0, "float32")
        for turn, scene in [(t, s) for s in scenes if (t := _turn(s)) is not None][:24]:
            with open_stack(scene) as stack:
                waves = stack.wavelengths
                if np.isfinite(waves).sum() < 4 or stack.extent.height > 600:
                    break
                shown.append((turn, *stack.read_target(stack.extent)))
        if len(shown) >= 6:
            yield waves, shown


def moves(tiles: Path) -> dict[str, float]:
    """What moving a scene in time is worth."""
    ground, ratios = shipped(), []
    for waves, shown in dated_series(tiles):
        for i, (turn, pixels, valid) in enumerate(shown):
            for other, truth, seen in shown[i + 1 :]:
                both, apart = valid & seen, abs((turn - other + 0.5) % 1 - 0.5)
                if apart < 60 / 365 or both.sum() < 1000:
                    continue
                add = ground.season(None, waves, other) - ground.season(None, waves, turn)
                moved = pixels * np.exp(add)[:, None, None]
                error, still = (np.abs(v - truth)[:, both].mean() for v in (moved, pixels))
                ratios.append(error / still)
    mean = float(np.exp(np.mean(np.log(ratios))))
    return {"moves": len(ratios), "error_to_unmoved": mean,
            "better": float(np.mean(np.array(ratios) < 1))}  # fmt: skip


def seasons(tiles: Path, seed: int, draws: dict[str, Draw]) -> dict[str, float]:
    """How often the quarter asked for is the one whose mean change a draw is nearest to."""
    quarters: list[list[Float]] = [[], [], [], []]
    for waves, shown in dated_series(tiles):
        levels = np.stack([np.log(np.clip(p[:, v], 0.002, None)).mean(1) for _, p, v in shown])
        at = [int(np.nanargmin(np.abs(np.log2(waves / band)))) for band in BANDS]
        for (turn, _, _), level in zip(shown, levels - levels.mean(0), strict=True):
            quarters[int(turn * 4 + 0.5) % 4].append(level[at].astype("float64"))
    means = np.stack([np.mean(q, 0) for q in quarters])
    own = [np.linalg.norm(means - one, axis=1).argmin() == q
           for q, several in enumerate(quarters) for one in several]  # fmt: skip
    found = {"real": float(np.mean(own))}
    for way, draw in draws.items():
        hits = []
        for i in range(20):
            several = [draw(BANDS, np.random.default_rng([seed, i]), turn=q / 4) for q in range(4)]
            logs = np.log(np.stack(several)).mean((2, 3))
            hits += [np.linalg.norm(means - one, axis=1).argmin() == q
                     for q, one in enumerate(logs - logs.mean(0))]  # fmt: skip
        found[way] = float(np.mean(hits))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("learnt", type=Path)
    parser.add_argument("held_back", type=Path)
    parser.add_argument("eurosat", type=Path)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--model", default=DRAWS)
    parser.add_argument("--rivals", type=Path, help="what rivals.py wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the results there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws = ways(args)
    table = distance_table(args, load_model().critic, draws)
    asked = recognised(args.eurosat, max(args.draws // 10, 5), args.seed, draws)
    for name, tiles in (("learnt", args.learnt), ("held back", args.held_back)):
        for way, value in seasons(tiles, args.seed, draws).items():
            asked[way][f"season, {name}"] = value
    for rows in (table, asked):
        columns = list(next(iter(rows.values())))
        print(f"| windows | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
        for name, row in rows.items():
            print(f"| {name} | {' | '.join(f'{row[c]:.2f}' for c in columns)} |")
        print()
    found: dict[str, Any] = {"distances": table, "asked for": asked}
    for name, tiles in (("learnt", args.learnt), ("held back", args.held_back)):
        found[f"moves, {name}"] = moves(tiles)
        print(f"moves, {name}: {found[f'moves, {name}']}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
