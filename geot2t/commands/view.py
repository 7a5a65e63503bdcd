"""``geot2t view``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from pathlib import Path

import click

from geot2t.commands.console import as_text, warn
from geot2t.commands.options import PATH, json_option, log_options


@click.command()
@click.argument("out", type=PATH)
@click.option("--no-browser", is_flag=True, help="Only print where the report is.")
@json_option
@log_options
def view(out: Path, *, no_browser: bool, as_json: bool) -> None:
    """Open the before/after report of OUT in the browser, and print its path.

    OUT is a filled raster, or the folder of an evaluation. A report that was not written with
    the raster is made now, beside it. It is one file: no server is started, nothing is loaded.

    \b
    Examples
      geot2t view scene_filled.tif
      geot2t view scene_filled.tif --no-browser
      geot2t view evaluation/
    """
    from geot2t.viewing import report_of

    page = report_of(out)
    click.echo(as_text({"path": page}) if as_json else page)
    if no_browser:
        return
    import webbrowser

    if not webbrowser.open(page.as_uri()):
        warn([f"no browser was found; open {page} in one"])
