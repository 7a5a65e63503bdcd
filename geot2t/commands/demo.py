"""``geot2t demo``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from pathlib import Path

import click

from geot2t.commands.console import as_text, progress_bar, warn
from geot2t.commands.options import PATH, device_option, json_option, log_options


@click.command()
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("geot2t-demo"),
    show_default=True,
    metavar="DIR",
    help="Folder for the sample and the result; made if it is not there.",
)
@device_option
@json_option
@log_options
def demo(output: Path, device: str, *, as_json: bool) -> None:
    """Fill the real scene that ships with geot2t, and show how well that went.

    \b
    Examples
      geot2t demo
      geot2t demo -o /tmp/demo --json
    """
    from geot2t import demo as sample

    with progress_bar("filling") as progress:
        result = sample.demo(output, device=device, progress=progress)
    warn(result.warnings)
    if as_json:
        click.echo(as_text(result.item))
        return
    click.echo(result.path)
    click.echo("\n".join(sample.summary(result)))
