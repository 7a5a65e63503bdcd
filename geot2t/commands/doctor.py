"""``geot2t doctor``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

import click

from geot2t.commands.console import as_text
from geot2t.commands.options import json_option, log_options
from geot2t.errors import InputError


@click.command()
@json_option
@log_options
def doctor(*, as_json: bool) -> None:
    """Say what geot2t runs on, and what is wrong with it.

    Versions, threads, memory, disk, devices, the weights that ship, and what is known not to go
    together. The exit status is 1 if something is broken; what is only a warning is not.

    \b
    Examples
      geot2t doctor
      geot2t doctor --json > about_my_machine.json
    """
    from geot2t.doctor import examine, lines

    known = examine()
    click.echo(as_text(known) if as_json else "\n".join(lines(known)))
    if not known["ok"]:
        broken = [f["what"] for f in known["findings"] if f["status"] == "broken"]
        raise InputError(f"broken: {', '.join(broken)}")
