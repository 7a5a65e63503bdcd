"""``geot2t batch``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, loudness, progress_bar
from geot2t.commands.options import (
    LOCATION,
    PATH,
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
@click.argument("jobs", type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder for the outputs, the journal, batch.json and items.json; made if it is not there.",
)
@click.option(
    "--scheduler",
    default="local",
    metavar="ADDRESS|local",
    show_default=True,
    help="Address of a dask scheduler, such as tcp://10.0.0.1:8786, or processes on this computer.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Local processes; or, with an address, how many workers to wait for. [default: one for "
    "each core, or for each GPU]",
)
@click.option(
    "--memory-limit",
    metavar="SIZE",
    default="auto",
    show_default=True,
    help="Memory of each local process, such as 4GiB; auto for an equal share.",
)
@click.option(
    "--tries",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="How many local processes a scene may end before it is tried alone, and given up.",
)
@click.option(
    "--rows",
    type=click.IntRange(0),
    metavar="N",
    help="Cut scenes into bands of so many rows, which several workers share; 0 for never. "
    "[default: large scenes, if there are more workers than scenes]",
)
@click.option(
    "--series",
    multiple=True,
    type=LOCATION,
    help="Other dates, as for inpaint; {folder} and {stem} stand for those of each scene. May be "
    "repeated. [default: of a STAC item collection, itself]",
)
@search_options
@item_options
@scene_options
@scene_fill_options
@overwrite_option
@model_options
@json_option
@log_options
@click.pass_context
def batch(
    ctx: click.Context,
    /,
    jobs: Path | str,
    output: Path,
    series: tuple[Path | str, ...],
    *,
    bands: str,
    stac: str | None,
    collections: str | None,
    bbox: tuple[float, float, float, float] | None,
    no_error: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Fill many scenes on many workers, and print what became of each.

    JOBS is a pattern, a folder, a STAC item collection, or a CSV with the columns scene, series,
    cloud_mask and output, of which only the first is needed. Run again, only what is missing,
    failed, or has changed inputs or options is done. A scene that fails does not stop the others;
    the exit status is then 3.

    \b
    Examples
      geot2t batch '2022/*.tif' --series 2022/ -o filled/
      geot2t batch 'tiles/*/2022-06-*.tif' --series '{folder}' -o filled/ --workers 8
      geot2t batch scenes.csv -o filled/ --scheduler tcp://10.0.0.1:8786
      geot2t batch items.json -o filled/ --bands red,green,blue,nir --json
    """
    from geot2t.batch import batch as run
    from geot2t.batch import lines

    others = [*series, *searches(stac, collections, bbox, rest.pop("datetime"))]
    with progress_bar("filling", " scenes") as progress:
        found = run(
            jobs,
            output,
            series=others,
            bands=listed(bands),
            error=not no_error,
            progress=progress,
            say=_say,
            **rest,
        )
    click.echo(as_text(found.report) if as_json else "\n".join(lines(found.scenes, found.seconds)))
    if found.failed:
        ctx.exit(3)


def _say(text: str) -> None:
    """Say something on stderr, above the progress bar."""
    if loudness() >= 0:
        from tqdm import tqdm

        with tqdm.external_write_mode():
            click.echo(f"Note: {text}", err=True)
