"""``geot2t change``."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from geot2t.commands.console import as_text, loudness, progress_bar, warn
from geot2t.commands.options import (
    LOCATION,
    PATH,
    json_option,
    log_options,
    model_options,
    overwrite_option,
    scene_options,
)


@click.command()
@click.argument("before", type=LOCATION)
@click.argument("after", type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write. [default: AFTER_change.tif beside AFTER]",
)
@click.option(
    "--series",
    multiple=True,
    type=LOCATION,
    help="Other dates of the place, which make the prediction better: a directory, a file, a "
    "pattern, or a STAC item collection. May be repeated. Those after BEFORE are left out.",
)
@scene_options
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of AFTER, if the file does not say.",
)
@click.option(
    "--false-alarm",
    type=click.FloatRange(1e-4, 0.2),
    metavar="X",
    default=0.01,
    show_default=True,
    help="Share of the unchanged ground that may be marked as changed.",
)
@click.option(
    "--min-area",
    type=click.FloatRange(0),
    metavar="HA",
    default=0.1,
    show_default=True,
    help="Drop changes smaller than this, in hectares.",
)
@click.option(
    "--method",
    default="auto",
    metavar="NAME",
    show_default=True,
    help="Method that predicts all bands, as for inpaint. Or auto: for each band the one that "
    "predicts hidden pixels best.",
)
@click.option("--report", is_flag=True, help="Write a page with pictures and areas too (.html).")
@overwrite_option
@model_options
@json_option
@log_options
def change(
    before: Path,
    after: Path,
    output: Path | None,
    series: tuple[Path, ...],
    date: datetime | None,
    *,
    as_json: bool,
    **rest: Any,
) -> None:
    """Compare BEFORE and AFTER, mark what changed, and print the path of the difference.

    OUT is AFTER minus BEFORE, band by band. Beside it are written what AFTER would show had
    nothing happened (_expected.tif), how far from that it is (_significance.tif), where the
    ground changed (_mask.tif: 0 no, 1 yes, 2 not judged, 255 no data), where each date was
    observed (_quality.tif), and a STAC Item with areas and the measured rate of false alarms
    (.json). Areas are also printed on stderr.

    \b
    Examples
      geot2t change before.tif after.tif
      geot2t change before.tif after.tif --series earlier_dates/ --report
      geot2t change before.tif after.tif --false-alarm 0.001 --min-area 1 -o burnt.tif
      geot2t change before.tif after.tif --json > areas.json
    """
    from geot2t.difference import job
    from geot2t.report.change import rows

    with progress_bar("comparing") as progress:
        result = job.change(
            before,
            after,
            output,
            series=list(series),
            date=None if date is None else date.date(),
            progress=progress,
            **rest,
        )
    warn(result.warnings)
    if as_json:
        click.echo(as_text(result.item))
        return
    if loudness() >= 0:
        table = [("", "hectares", "pixels", "judged"), *rows(result.item["properties"])]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for name, *cells in table:
            numbers = (c.rjust(n) for c, n in zip(cells, widths[1:], strict=True))
            click.echo(f"{name.ljust(widths[0])}  {'  '.join(numbers)}", err=True)
        measured = result.false_alarm
        known = "unknown" if measured is None else f"{100 * measured:.2f} %"
        asked = result.item["properties"]["geot2t:false_alarm"]["asked"]
        click.echo(f"false alarms: {100 * asked:g} % asked for, {known} measured", err=True)
    click.echo(result.path)
