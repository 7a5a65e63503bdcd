"""The command line: one group of commands, and how they end."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from typing import Any

import click

from geot2t import __version__
from geot2t.commands.batch import batch
from geot2t.commands.change import change
from geot2t.commands.demo import demo
from geot2t.commands.doctor import doctor
from geot2t.commands.evaluate import evaluate
from geot2t.commands.files import info, verify
from geot2t.commands.generate import generate
from geot2t.commands.inpaint import inpaint
from geot2t.commands.interpolate import interpolate
from geot2t.commands.mask import mask
from geot2t.commands.score import score
from geot2t.commands.train import train
from geot2t.commands.view import view
from geot2t.errors import Geot2tError


class Group(click.Group):
    """Print geot2t's own errors as one line; let bugs keep their traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except Geot2tError as error:
            raise click.ClickException(" ".join(str(error).split())) from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted; nothing half-written was left.", err=True)
            raise click.exceptions.Exit(130) from None


@click.group(
    name="geot2t",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="geot2t")
def main() -> None:
    """Fill the cloud gaps of satellite rasters and say how sure each filled pixel is.

    \b
    Examples
      geot2t demo
      geot2t inpaint scene.tif --series other_dates/
      geot2t interpolate dates/ -o season/ --every 10d
      geot2t evaluate dates/ -o evaluation/
      geot2t info scene.tif
    """


for _command in (
    demo,
    inpaint,
    interpolate,
    change,
    batch,
    evaluate,
    train,
    mask,
    score,
    generate,
    info,
    view,
    verify,
    doctor,
):
    main.add_command(_command)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the code that lets a shell complete geot2t's commands and options.

    \b
    Examples
      geot2t completion bash >> ~/.bashrc
      geot2t completion fish > ~/.config/fish/completions/geot2t.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  click ships all three
    click.echo(kind(main, {}, "geot2t", "_GEOT2T_COMPLETE").source())
