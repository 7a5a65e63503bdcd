"""``geot2t inpaint``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, progress_bar, warn
from geot2t.commands.options import (
    LOCATION,
    PATH,
    item_options,
    json_option,
    key_values,
    listed,
    log_options,
    model_options,
    overwrite_option,
    scene_options,
    search_options,
)


def _methods() -> tuple[str, ...]:
    from geot2t.methods import NAMES  # not at the top: `geot2t --help` is to be quick

    return NAMES


def _method(ctx: click.Context, option: click.Parameter, name: str) -> str:
    return str(click.Choice(_methods()).convert(name, option, ctx))


@click.command()
@click.argument("scene", type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write. [default: SCENE_filled.tif beside SCENE]",
)
@click.option(
    "--series",
    multiple=True,
    type=LOCATION,
    help="Other dates of the place: a directory, a file, a pattern, or a STAC item collection. "
    "May be repeated; SCENE itself may be among them.",
)
@search_options
@item_options
@scene_options
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of SCENE, if the file does not say; or which item of a collection SCENE is.",
)
@click.option(
    "--max-error",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Leave pixels out whose 90 % interval is wider than X to either side, in the units of "
    "the file, in any band.",
)
@click.option(
    "--max-distance",
    type=click.IntRange(0, 2048),
    metavar="PX",
    default=64,
    show_default=True,
    help="Where no other date shows the ground, fill up to this far from an observed pixel.",
)
@click.option("--keep-nodata", is_flag=True, help="Fill only what the cloud mask marks.")
@click.option(
    "--sharp",
    is_flag=True,
    help="Give the fill the texture of the ground instead of the least error.",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 999),
    metavar="N",
    default=0,
    show_default=True,
    help="Also write so many different plausible fills (_sample_01.tif, ...), and from two on "
    "their standard deviation (_spread.tif).",
)
@click.option(
    "--adapt",
    type=click.IntRange(0),
    metavar="STEPS",
    default=0,
    show_default=True,
    help="First teach the network the other dates by so many steps of training; slow, and used "
    "only where the self-check finds that it helped.",
)
@click.option("--no-error", is_flag=True, help="Do not write the error raster.")
@click.option(
    "--report",
    is_flag=True,
    help="Also write a page that shows the scene before and after (.html); see geot2t view.",
)
@click.option(
    "--format",
    "driver",
    type=click.Choice(["GTiff", "COG"], case_sensitive=False),
    metavar="[GTiff|COG]",
    help="Format of the outputs. [default: that of SCENE]",
)
@click.option(
    "--co",
    "creation_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=key_values,
    help="GDAL creation option. May be repeated.",
)
@click.option(
    "--method",
    default="auto",
    metavar="NAME",
    callback=_method,
    shell_complete=lambda _ctx, _option, begun: [n for n in _methods() if n.startswith(begun)],
    show_default=True,
    help="Method for all bands: network or prior, which use the model; linear, nearest, previous, "
    "next, median, least-cloudy, harmonic or whittaker, in time; fillnodata or biharmonic, in "
    "space. Or auto: for each band, whichever of network, prior and linear the self-check finds "
    "best.",
)
@overwrite_option
@model_options
@json_option
@log_options
def inpaint(
    scene: Path | str,
    output: Path | None,
    series: tuple[Path | str, ...],
    date: datetime | None,
    *,
    bands: str,
    stac: str | None,
    collections: str | None,
    bbox: tuple[float, float, float, float] | None,
    no_error: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Fill the unobserved pixels of SCENE and print the path of the result.

    SCENE is a raster or a STAC Item; the bands of an Item go into one raster. Observed pixels
    are copied bit for bit. Beside the result are written where each pixel comes from
    (_quality.tif), how far off it may be (_error.tif), and a STAC Item with a self-check of the
    methods on this very scene (.json).

    \b
    Examples
      geot2t inpaint scene.tif
      geot2t inpaint scene.tif --series other_dates/ -o filled.tif
      geot2t inpaint scene.tif --cloud-mask clouds.tif --keep-nodata
      geot2t inpaint scene.tif --series '2022/*.tif' --max-error 300 --format COG
      geot2t inpaint scene.tif --series other_dates/ --method whittaker
      geot2t inpaint item.json --series items.json --bands red,green,blue,nir
      geot2t inpaint scene.tif --stac https://stac.example.org/v1 --collections sentinel-2-l2a
    """
    from geot2t import jobs

    when, others = rest.pop("datetime"), list[Any](series)
    if stac is not None:
        from geot2t.stac import Search

        others.append(Search(stac, listed(collections), bbox, when))
    elif any((collections, bbox, when)):
        raise click.UsageError("--collections, --bbox and --datetime go with --stac")
    with progress_bar("filling") as progress:
        result = jobs.inpaint(
            scene,
            output,
            series=others,
            bands=listed(bands),
            date=None if date is None else date.date(),
            error=not no_error,
            progress=progress,
            **rest,
        )
    warn(result.warnings)
    click.echo(as_text(result.item) if as_json else result.path)
