"""``geot2t generate``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, progress_bar, warn
from geot2t.commands.options import (
    PATH,
    device_option,
    json_option,
    log_options,
    overwrite_option,
    seed_option,
)


@click.command()
@click.option(
    "-o", "--output", "folder", type=PATH, required=True, metavar="DIR", help="Where to write."
)
@click.option(
    "--count", type=click.IntRange(1, 99), default=1, show_default=True, metavar="N", help="Draws."
)
@click.option(
    "--date",
    "when",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Time of the year of the draws; with --like, when else that scene is to be shown.",
)
@click.option(
    "--class",
    "kind",
    metavar="NAME",
    help="Class of ground, such as annual-crop or sea-lake; a wrong one is answered by the list.",
)
@click.option(
    "--like", type=PATH, metavar="SCENE", help="Scene whose bands, grid and look the draws have."
)
@click.option(
    "--size",
    type=click.IntRange(16, 4096),
    default=256,
    show_default=True,
    metavar="PX",
    help="Side of draws that are like no scene.",
)
@click.option(
    "--by",
    type=click.Choice(["statistics", "network"]),
    help="Whether a network refines what is drawn from statistics. [default: network if --model "
    "is given, else statistics]",
)
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="Model made by train --only draws. [default: t2t-draw]",
)
@click.option(
    "--judge", metavar="NAME|PATH", help="Model whose critic chooses. [default: the one that ships]"
)
@seed_option
@device_option
@overwrite_option
@json_option
@log_options
def generate(folder: Path, when: datetime | None, *, as_json: bool, **rest: Any) -> None:
    """Draw scenes in which nothing was observed, and print their paths.

    Their levels and textures come from statistics of real ground by season and class, which a
    network can refine; of four draws the critic keeps the one that looks most real. They show no
    place, and are for trying things out, not for measuring. With --like and --date, SCENE is given
    the colours of another time of the year.

    \b
    Examples
      geot2t generate -o draws/ --count 4 --date 2022-07-01
      geot2t generate -o draws/ --class annual-crop --seed 7
      geot2t generate -o draws/ --like scene.tif --by network
      geot2t generate -o draws/ --model mine.safetensors --class orchard
      geot2t generate -o winter/ --like scene.tif --date 2022-01-15
    """
    from geot2t.generate import generate as run

    day = None if when is None else when.date()
    with progress_bar("drawing", "draw") as progress:
        result = run(folder, day=day, progress=progress, **rest)
    warn(result.warnings)
    click.echo(as_text(result.items) if as_json else "\n".join(map(str, result.paths)))
