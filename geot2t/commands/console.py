"""What a user sees: results on stdout; progress and notes on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

LOUDNESS = "geot2t.loudness"


def loudness() -> int:
    """How often ``-v`` was given, less ``-q``."""
    return int(click.get_current_context().meta.get(LOUDNESS, 0))


def shows_bar() -> bool:
    """Whether somebody wants to see a progress bar, and can."""
    return loudness() > 0 or (loudness() == 0 and sys.stderr.isatty())


@contextmanager
def progress_bar(what: str, unit: str = "px") -> Iterator[Callable[[float, float], None] | None]:
    """A progress bar on stderr, if somebody is there to see it."""
    if not shows_bar():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, unit_scale=True, leave=False, file=sys.stderr) as bar:

        def update(done: float, total: float) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def warn(warnings: Iterable[str]) -> None:
    """Say on stderr what the user should know."""
    if loudness() >= 0:
        for warning in warnings:
            click.echo(f"Note: {warning}", err=True)


def as_text(value: Any) -> str:
    """A value as JSON."""
    from geot2t.io.checksums import plain

    return json.dumps(plain(value), indent=2)
