"""``geot2t interpolate``."""

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
    fill_options,
    json_option,
    log_options,
    model_options,
    overwrite_option,
)

_DATE = click.DateTime(["%Y-%m-%d", "%Y%m%d"])


def _days(_ctx: click.Context, _option: click.Parameter, given: Any) -> Any:
    if isinstance(given, datetime):
        return given.date()
    return None if given is None else tuple(moment.date() for moment in given)


@click.command()
@click.argument("series", type=LOCATION, nargs=-1, required=True, metavar="SERIES...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder for the rasters; made if it is not there.",
)
@click.option(
    "--date",
    "dates",
    type=_DATE,
    multiple=True,
    metavar="YYYY-MM-DD",
    callback=_days,
    help="A day to write. May be repeated.",
)
@click.option(
    "--slice",
    "slices",
    type=click.IntRange(0),
    multiple=True,
    metavar="N",
    help="A slice to write, of a stack whose files or pages have numbers instead of dates. May "
    "be repeated.",
)
@click.option(
    "--every",
    metavar="STEP",
    help="Write a day, or slice, every so many: 10d or 10, 2w, 1m, 1y.",
)
@click.option(
    "--start", type=_DATE, callback=_days, metavar="YYYY-MM-DD",
    help="First day of --every. [default: the first of the series]",
)  # fmt: skip
@click.option(
    "--end", type=_DATE, callback=_days, metavar="YYYY-MM-DD",
    help="Day that --every does not go beyond. [default: the last of the series]",
)  # fmt: skip
@click.option(
    "--max-gap",
    type=click.FloatRange(0),
    metavar="DAYS",
    help="Leave pixels out that no date, or slice, shows within so many days.",
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
@fill_options
@click.option(
    "--format",
    "driver",
    type=click.Choice(["GTiff", "COG", "Zarr", "NetCDF"], case_sensitive=False),
    metavar="[GTiff|COG|Zarr|NetCDF]",
    help="A raster for each date, or one cube of all in DIR/cube.zarr or DIR/cube.nc. [default: "
    "rasters as those of SERIES]",
)
@click.option(
    "--preview", is_flag=True, help="Also draw the season: preview.gif moves, preview.png does not."
)
@overwrite_option
@model_options
@json_option
@log_options
def interpolate(
    series: tuple[Path | str, ...],
    output: Path,
    *,
    no_error: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Write whole rasters of dates of SERIES, observed or not, and print their paths.

    SERIES are scenes of one place: folders, files, patterns, STAC items. Each date becomes
    DIR/YYYY-MM-DD.tif, with quality and error rasters and a STAC Item beside it; items.json lists
    all. Of a date that was observed, observed pixels are copied bit for bit.

    \b
    Examples
      geot2t interpolate dates/ -o season/ --every 10d
      geot2t interpolate dates/ -o july/ --date 2022-07-01 --date 2022-07-15 --max-gap 20
      geot2t interpolate '2022/*.tif' -o cube/ --every 1m --start 2022-01-01 --format Zarr
      geot2t interpolate dates/ -o season/ --every 1w --preview
      geot2t interpolate slices/ -o out/ --slice 7
    """
    from geot2t import seasons

    with progress_bar("interpolating") as progress:
        found = seasons.interpolate(series, output, error=not no_error, progress=progress, **rest)
    warn(found.warnings)
    if as_json:
        click.echo(as_text(found.about))
        return
    for path in (*found.paths, *found.previews):
        click.echo(path)
