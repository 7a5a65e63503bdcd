"""``geot2t score``."""

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
    device_option,
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
    help="Where to write. [default: SCENE_score.tif beside SCENE]",
)
@click.option(
    "--attention", "attend", is_flag=True, help="Also write what was looked at, OUT_attention.tif."
)
@scene_options
@date_option
@item_options
@click.option(
    "--model",
    metavar="NAME|PATH",
    help="Model whose critic to ask: one that ships, or a .safetensors file. [default: the "
    "shipped one]",
)
@device_option
@click.option(
    "--batch",
    type=click.IntRange(1),
    metavar="N",
    default=4,
    show_default=True,
    help="Windows computed at once.",
)
@overwrite_option
@json_option
@log_options
def score(
    scene: Path | str,
    output: Path | None,
    bands: str,
    date: datetime | None,
    *,
    as_json: bool,
    **rest: Any,
) -> None:
    """Map how much SCENE looks like real ground, and print the path of the map.

    Values are percentiles: how many per cent of real ground look less real, for parts of 16
    pixels (band token) and windows of 128 (band window). Low values mark stripes, blur, bands
    that do not lie on each other, traces of compression, patches from elsewhere, and bad fills.
    What was not observed is not scored; what geot2t has filled is.

    \b
    Examples
      geot2t score scene.tif
      geot2t score scene_filled.tif --json
      geot2t score scene.tif --attention -o realism.tif
    """
    from geot2t.score import score as run

    with progress_bar("scoring") as progress:
        result = run(
            scene,
            output,
            bands=listed(bands),
            date=None if date is None else date.date(),
            progress=progress,
            **rest,
        )
    warn(result.warnings)
    click.echo(as_text(result.item) if as_json else result.path)
