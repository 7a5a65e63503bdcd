"""``geot2t train``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import shows_bar
from geot2t.commands.options import PATH, device_option, log_options, overwrite_option, seed_option


@click.command()
@click.option(
    "--tiles",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Scenes of one place, or one folder for each place. Cloudy ones are welcome.",
)
@click.option("-o", "--output", type=PATH, required=True, metavar="MODEL", help="Model to write.")
@click.option(
    "--init",
    metavar="NAME|PATH|none",
    default="none",
    show_default=True,
    help="Model to start from: one that ships, or a .safetensors file.",
)
@click.option(
    "--arch",
    type=click.Choice(["t2t", "vit", "swin", "unet"]),
    help="Architecture of both networks. [default: that of --init, else t2t]",
)
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Steps of training. [default: 4400]"
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Windows per step. [default: 6]")
@click.option(
    "--only",
    type=click.Choice(["critic", "draws"]),
    help="critic: teach it alone, as a judge of realism; the generator of --init stays as it is. "
    "draws: teach a model to draw for geot2t generate.",
)
@click.option(
    "--classes",
    type=PATH,
    metavar="CSV",
    help="Scenes of one class each, for --only draws: columns path, as seen from CSV, and class.",
)
@click.option("--resume", is_flag=True, help="Go on with the run that was left beside MODEL.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Processes that prepare windows.",
)
@overwrite_option
@device_option
@seed_option
@log_options
def train(
    tiles: Path,
    output: Path,
    init: str,
    arch: str | None,
    steps: int | None,
    batch: int | None,
    only: str | None,
    classes: Path | None,
    seed: int,
    **rest: Any,
) -> None:
    """Train the T2T-GAN on GeoTIFFs and print the path of the model.

    Only observed pixels teach. A run that was stopped, whatever the reason, goes on with
    --resume. torchrun trains on several GPUs at once, each with --batch windows of its own.

    \b
    Examples
      geot2t train --tiles my_places/ -o my_model.safetensors
      geot2t train --tiles my_places/ -o my_model.safetensors --init t2t-gan --steps 1000
      geot2t train --tiles my_places/ -o plain.safetensors --arch vit
      geot2t train --tiles my_places/ -o judge.safetensors --init t2t-gan --only critic
      geot2t train --tiles my_places/ -o painter.safetensors --only draws --classes classes.csv
      geot2t train --tiles my_places/ -o my_model.safetensors --resume
      torchrun --nproc-per-node=4 -m geot2t train --tiles my_places/ -o my_model.safetensors
    """
    from geot2t.distributed import is_first
    from geot2t.errors import InputError
    from geot2t.learner import TrainConfig
    from geot2t.paint import paint
    from geot2t.teach import teach
    from geot2t.train import train as both

    if only == "draws":
        rest["classes"] = classes
    elif classes is not None:
        raise InputError("gaps are filled whatever the class; --classes goes with --only draws")
    run = {"critic": teach, "draws": paint, None: both}[only]
    config = TrainConfig(seed=seed, arch=arch)
    config = replace(config, steps=steps or config.steps, batch=batch or config.batch)
    start = None if init == "none" else init
    path = run(tiles, output, config=config, init=start, quiet=not shows_bar(), **rest)
    if is_first():
        click.echo(path)
