"""``geot2t mask``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, progress_bar, warn
from geot2t.commands.options import (
    LOCATION,
    PATH,
    item_options,
    json_option,
    listed,
    log_options,
    overwrite_option,
    scene_options,
)


@click.command()
@click.argument("scene", type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write. [default: SCENE_cloud_mask.tif beside SCENE]",
)
@scene_options
@click.option(
    "--keep-nodata",
    is_flag=True,
    help="Leave pixels without data 0, to go with inpaint --keep-nodata.",
)
@item_options
@overwrite_option
@json_option
@log_options
def mask(scene: Path | str, output: Path | None, bands: str, *, as_json: bool, **rest: Any) -> None:
    """Write the cloud mask that SCENE would be filled with, and print its path.

    It is 0 where the ground was observed, 1 where cloud or shadow hid it, 2 where there is no
    data: look at it, change it, and give it to inpaint as --cloud-mask. Nothing uses it unless
    told to.

    \b
    Examples
      geot2t mask scene.tif
      geot2t mask scene.tif --clouds ukis-csmask -o clouds.tif
      geot2t mask scene.tif --json
    """
    from geot2t.cloudmask import cloud_mask

    with progress_bar("looking") as progress:
        found = cloud_mask(scene, output, bands=listed(bands), progress=progress, **rest)
    warn(found.warnings)
    click.echo(as_text(asdict(found)) if as_json else found.path)
