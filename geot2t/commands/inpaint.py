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
    date_option,
    item_options,
    json_option,
    listed,
    log_options,
    model_options,
    overwrite_option,
    scene_fill_options,
    scene_options,
    search_options,
    searches,
)


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
@date_option
@scene_fill_options
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

    others = [*series, *searches(stac, collections, bbox, rest.pop("datetime"))]
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
