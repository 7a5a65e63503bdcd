"""``geot2t info`` and ``geot2t verify``: what files are, and whether they are as written."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text
from geot2t.commands.options import (
    LOCATION,
    PATH,
    item_options,
    json_option,
    listed,
    log_options,
    scene_options,
)
from geot2t.errors import InputError


@click.command()
@click.argument("path", type=LOCATION)
@scene_options
@item_options
@click.option("--mlm", is_flag=True, help="Print a model as a STAC Item of the MLM extension.")
@json_option
@log_options
def info(path: Path | str, bands: str, *, mlm: bool, as_json: bool, **rest: Any) -> None:
    """Say what geot2t understands of a raster, a folder of scenes, STAC items, or a model.

    \b
    Examples
      geot2t info scene.tif
      geot2t info other_dates/
      geot2t info items.json
      geot2t info my_model.safetensors --json
      geot2t info t2t-gan --mlm > t2t-gan.mlm.json
    """
    from geot2t.about import about, lines, model_item

    if mlm:
        click.echo(as_text(model_item(path)))
        return
    known = about(path, bands=listed(bands), **rest)
    click.echo(as_text(known) if as_json else "\n".join(lines(known)))


@click.command()
@click.argument("outputs", type=PATH, nargs=-1, required=True, metavar="OUT...")
@json_option
@log_options
def verify(outputs: tuple[Path, ...], *, as_json: bool) -> None:
    """Check files against the checksums that were written beside them.

    Of a filled raster or its .json, all files that go with it are checked. The exit status is
    1 if any differs.

    \b
    Examples
      geot2t verify scene_filled.tif
      geot2t verify results/*_filled.tif
    """
    from geot2t.io.checksums import verify as check

    results = check(outputs)
    if as_json:
        click.echo(as_text([{"path": r.path, "ok": r.ok, "problem": r.problem} for r in results]))
    else:
        for r in results:
            click.echo(f"ok      {r.path}" if r.ok else f"FAILED  {r.path}: {r.problem}")
    if bad := sum(not r.ok for r in results):
        raise InputError(f"{bad} of {len(results)} files are not as geot2t wrote them")
