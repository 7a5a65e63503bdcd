"""``geot2t evaluate``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, progress_bar, warn
from geot2t.commands.options import (
    PATH,
    json_option,
    listed,
    log_options,
    model_options,
    overwrite_option,
)


@click.command()
@click.argument("series", type=PATH, nargs=-1, required=True, metavar="SERIES...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder for results.json, report.html and figures/; made if it is not there.",
)
@click.option(
    "--gaps",
    metavar="real|PATH",
    default="real",
    show_default=True,
    help="What is hidden: the series' own gaps, moved elsewhere, and clouds of a library; or what "
    "a raster marks by values that are not zero, each of its bands in turn.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="all|NAME,...",
    default=("all",),
    callback=lambda _ctx, _option, given: listed(*given),
    help="Methods to compare geot2t with: all, or some of network, prior and the methods of "
    "inpaint --method. May be repeated; linear is always among them.  [default: all]",
)
@click.option(
    "--kinds",
    multiple=True,
    metavar="NAME,...",
    callback=lambda _ctx, _option, given: listed(*given),
    help="What is hidden: cloud, overcast, missing, consecutive, first or last.  [default: all]",
)
@click.option(
    "--cases",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    show_default=True,
    help="Cases with a cloud; of each other kind there are up to a third as many.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    metavar="PX",
    default=4,
    show_default=True,
    help="Do not score pixels that are this near to what their date itself did not show: masks "
    "miss soft edges.",
)
@click.option(
    "--crop",
    type=click.IntRange(32),
    metavar="PX",
    default=512,
    show_default=True,
    help="Evaluate larger scenes on a few crops of this side.",
)
@click.option(
    "--clouds",
    default="auto",
    show_default=True,
    metavar="[auto|qa|DETECTOR|none]",
    help="Where clouds are known from, as for inpaint.",
)
@click.option(
    "--cloud-mask", type=PATH, help="Raster that is not zero where no date observed the ground."
)
@overwrite_option
@model_options
@json_option
@log_options
def evaluate(
    series: tuple[Path, ...],
    output: Path | None,
    kinds: tuple[str, ...],
    *,
    as_json: bool,
    **rest: Any,
) -> None:
    """Measure how well SERIES is filled: hide, fill by every method, compare, print the table.

    Observed pixels of the clear dates are hidden under the shapes of real clouds, and whole
    dates too. Each case is filled as inpaint would fill it, and by each other method. --model
    none leaves the network out, which is much quicker.

    \b
    Examples
      geot2t evaluate dates/
      geot2t evaluate dates/ -o evaluation/ --cases 20
      geot2t evaluate '2022/*.tif' --against prior,whittaker --model none
      geot2t evaluate dates/ --gaps clouds.tif --json
    """
    from geot2t.evaluation import KINDS
    from geot2t.evaluation import evaluate as run
    from geot2t.evaluation.table import lines

    with progress_bar("evaluating", " fills") as progress:
        found = run(series, output, kinds=kinds or KINDS, progress=progress, **rest)
    warn(found.warnings)
    click.echo(as_text(found.results) if as_json else "\n".join(lines(found.results)))
    if found.report is not None and not as_json:
        click.echo(f"\n{found.report}")
