"""What each part of the T2T-GAN is worth, measured on places that no run has seen.

    python benchmarks/ablations.py TILES -o FOLDER [--dev SERIES] [--only NAME ...] [--list]

TILES is what `geot2t train` takes. Every run makes as many steps, from the same seed, on the very
same windows; all are tried on the same windows of the places that are held back (`--hold-out`) and
of the series given with `--dev`. Nothing is learnt from places that show the same ground as these.
FOLDER keeps windows, models and figures: what is finished is not done again. Tables in Markdown go
to stdout, all figures to FOLDER/ablations.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Container, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from ablation_pools import Trial, nearest, same_ground, without_prior
from ablation_runs import RUNS, Bench, Row, filled, milliseconds
from ablation_tables import accuracy, networks, summarised
from torch import Tensor

from geot2t.baselines import linear
from geot2t.checkpoint import Model, load_model, read_tensors, resolve
from geot2t.errors import Geot2tError, InputError
from geot2t.generator import STRIDE
from geot2t.io.publish import write_bytes

HELD_BACK = (
    "s2_monthly_california_10s",
    "s2_wc_0000280849bac91c",
    "s2_l3a_bouconne_2018",
    "cbers4_awfi_2017_2018",
    "modis_ndvi_sinop",
)
"""Patterns of names of places: series of several sensors and regions."""

DATES = {**{f"{n} other date{'s' * (n > 1)}": n for n in (1, 2, 4, 8)}, "all other dates": None}
"""How many are shown, the nearest in time."""


def references(bench: Bench) -> list[Row]:
    """The prior and linear interpolation."""

    def fills(trial: Trial) -> dict[str, Tensor]:
        w = trial.window
        line = linear(w.pixels.numpy(), w.valid.numpy(), w.days.numpy(), 0)
        return {"prior": trial.sample.evidence.prior, "linear": torch.from_numpy(line.mean)}

    titles = {"prior": "prior", "linear": "linear interpolation"}
    return bench.measured(fills, [{"name": k, "title": v} for k, v in titles.items()])


def training(bench: Bench, name: str) -> list[Row]:
    """Train, and try what was learnt."""
    model, run = bench.trained(name), RUNS[name]
    generator = model.generator

    def fills(trial: Trial) -> dict[str, Tensor]:
        sample = trial.sample
        if not run.prior:
            sample = trial.window.sample(generator.config.frames, without_prior)
        return {name: filled(generator, sample.evidence)}

    network = {
        "parameters": sum(p.numel() for p in generator.parameters()),
        "critic_parameters": sum(p.numel() for p in model.critic.parameters()),
        "milliseconds": milliseconds(generator),
        **{key: model.card[key] for key in ("seconds", "device", "threads")},
    }
    # On few places, what is compared is the architecture.
    beside = "t2t-tenth" if run.tenth and name != "t2t-tenth" else "t2t"
    row = {"name": name, "title": run.title, "network": network, "beside": beside}
    return bench.measured(fills, [row])


def drawn(bench: Bench) -> list[Row]:
    """One of the many fills that noise draws, instead of the one with the least error."""
    generator = bench.trained("t2t").generator

    def fills(trial: Trial) -> dict[str, Tensor]:
        evidence = trial.sample.evidence
        y, x = (side // STRIDE for side in evidence.prior.shape[-2:])
        rng = np.random.default_rng([bench.args.seed, 11, trial.index])
        noise = rng.standard_normal((1, y, x, generator.config.noise_dim), "float32")
        return {"noise": filled(generator, evidence, torch.from_numpy(noise))}

    return bench.measured(fills, [{"name": "noise", "title": "T2T-GAN, one draw of its noise"}])


def dates(bench: Bench, model: Model, title: str, seen: Container[str] = ()) -> list[Row]:
    """The prior and a network that are shown the nearest dates only."""
    generator = model.generator.to(bench.device)
    rows: list[Row] = []
    for shown in DATES:
        prior = {"name": f"prior, {shown}", "title": f"prior, {shown}"}
        network = {"name": f"network, {shown}", "title": f"{title}, {shown}"}
        rows += [{**row, "against": prior["name"]} for row in (prior, network)]

    def fills(trial: Trial) -> dict[str, Tensor]:
        means = {}
        for shown, count in DATES.items():
            window = trial.window if count is None else nearest(trial.window, count)
            evidence = window.sample(generator.config.frames).evidence
            means[f"prior, {shown}"] = evidence.prior
            means[f"network, {shown}"] = filled(generator, evidence)
        return means

    return bench.measured(fills, rows, seen)


def finished(bench: Bench) -> list[Row]:
    """As `dates` with the model given, but for places that it learnt from."""
    model = load_model(bench.args.model)
    learnt = model.card.get("places", {}).get("learnt_from")
    if learnt is None:
        raise InputError(f"{model.name} does not say what it learnt from, so no place is new to it")
    known = [place for place in bench.places if place.name in set(learnt)]
    seen = {p.name for p in bench.places if any(same_ground(p, other) for other in known)}
    tried = {name for names in bench.sets.values() for name in names}
    if left_out := sorted(seen & tried):
        print(f"{model.name} learnt from {', '.join(left_out)}: not tried there", file=sys.stderr)
    return dates(bench, model, model.name, seen)


JOBS: dict[str, tuple[str, Callable[[Bench], list[Row]]]] = {
    "references": ("the prior and linear interpolation; always done", references),
    **{name: (run.title, partial(training, name=name)) for name, run in RUNS.items()},
    "noise": ("T2T-GAN, one draw of its noise instead of the mean", drawn),
    "dates": (
        "prior and T2T-GAN with 1, 2, 4, 8 and all other dates shown",
        lambda bench: dates(bench, bench.trained("t2t"), RUNS["t2t"].title),
    ),
    "model": ("the same with --model, in places that it has not seen", finished),
}


def figures(name: str, args: argparse.Namespace) -> Path:
    """Where the figures of a job are kept; those of a finished model under its checksum."""
    if name == "model" and args.model:
        name += "-" + read_tensors(resolve(args.model))[1][:12]
    return Path(args.output) / "figures" / f"{name}.json"


def report(bench: Bench) -> str:
    """Write the figures of all that is finished; returns them as tables."""
    paths = [figures(name, bench.args) for name in JOBS]
    kept = [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]
    rows = list(summarised([row for some in kept for row in some], bench.sets))
    document = {"settings": bench.settings, "rows": rows}
    path = bench.args.json or bench.out / "ablations.json"
    write_bytes(path, json.dumps(document, indent=1).encode() + b"\n")
    tables = [
        f"{len(places)} windows of {name} ({', '.join(sorted(set(places)))}):\n\n"
        + accuracy(rows, name)
        for name, places in bench.sets.items()
    ]
    return "\n\n".join([*tables, networks(rows)])


def count(text: str) -> int:
    """A number of things, one at least."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def run(args: argparse.Namespace, names: Sequence[str]) -> str:
    """Do what is named and was not done before; returns the tables."""
    bench = Bench(args)
    for name in dict.fromkeys(["references", *names]):
        path = figures(name, args)
        if not path.exists():
            rows = [{"job": name, **row} for row in JOBS[name][1](bench)]
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, json.dumps(rows).encode() + b"\n")
    return report(bench)


def listed(args: argparse.Namespace) -> str:
    """What there is to do, and what of it is done."""
    done = {name for name in JOBS if args.output and figures(name, args).exists()}
    return "\n".join(
        f"{name:12s}{'done' if name in done else '':6s}{title}" for name, (title, _) in JOBS.items()
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path, nargs="?", help="one folder of GeoTIFFs for each place")
    parser.add_argument("-o", "--output", type=Path, help="folder that keeps all that is made")
    parser.add_argument("--dev", type=Path, help="series to be tried on as well")
    parser.add_argument(
        "--hold-out", nargs="*", default=HELD_BACK, metavar="PATTERN", help="names of places"
    )
    parser.add_argument("--only", nargs="+", choices=JOBS, metavar="NAME", help="see --list")
    parser.add_argument("--list", action="store_true", help="print what there is to do, and stop")
    parser.add_argument("--steps", type=count, default=500, help="of each training")
    parser.add_argument("--batch", type=count, default=6, help="windows of 96 px in a step")
    parser.add_argument("--pool", type=count, default=600, help="windows to learn from")
    parser.add_argument("--windows", type=count, default=48, help="to be tried on, of each set")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw windows")
    parser.add_argument("--model", help="finished model: a file, or the name of one that ships")
    parser.add_argument("--json", type=Path, help="[default: FOLDER/ablations.json]")
    args = parser.parse_args(argv)
    if not args.list and not (args.tiles and args.output):
        parser.error("TILES and --output are needed")
    names = args.only or [name for name in JOBS if name != "model" or args.model]
    if "model" in names and not args.model:
        parser.error("--only model needs --model")
    try:
        print(listed(args) if args.list else run(args, names))
    except Geot2tError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
