"""Options that several commands share, and how they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from geot2t.commands.console import LOUDNESS

if TYPE_CHECKING:
    from geot2t.stac import Search

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class _Location(click.Path):
    """A path, or an address, which a Path would take the second slash from."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave what has a scheme as it was typed."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


LOCATION = _Location(path_type=Path)


def options(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Join options to one decorator, which lists them in this order in the help."""

    def decorate(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return decorate


def _set_loudness(ctx: click.Context, option: click.Parameter, count: int) -> None:
    sign = -1 if option.name == "quiet" else 1
    louder = ctx.meta[LOUDNESS] = ctx.meta.get(LOUDNESS, 0) + sign * count
    level = max(logging.DEBUG, logging.WARNING - 10 * louder)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("geot2t").setLevel(level)
    # GDAL's and Python's warnings speak to programmers; what matters is said by geot2t.
    logging.getLogger().setLevel(max(level + 10, logging.DEBUG) if louder < 2 else level)
    logging.captureWarnings(capture=True)


log_options = options(
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_set_loudness,
        help="Say more on stderr; -vv for everything.",
    ),
    click.option(
        "-q",
        "--quiet",
        count=True,
        expose_value=False,
        callback=_set_loudness,
        help="No progress bar and no warnings.",
    ),
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace the output of an earlier run."
)

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="[auto|cpu|cuda|cuda:N]",
    help="Where to compute.",
)

seed_option = click.option(
    "--seed", default=0, metavar="N", show_default=True, help="Seed of what is random."
)

date_option = click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of SCENE, if the file does not say; or which item of a collection SCENE is.",
)

scene_options = options(
    click.option(
        "--clouds",
        default="auto",
        show_default=True,
        metavar="[auto|qa|DETECTOR|none]",
        help="Where clouds are known from: quality rasters beside the scene, else a detector; "
        "quality rasters only; a detector by name; or neither.",
    ),
    click.option(
        "--cloud-mask", type=PATH, help="Raster that is not zero where SCENE was not observed."
    ),
)


def key_values(
    _ctx: click.Context, _option: click.Parameter, pairs: Sequence[str]
) -> dict[str, str]:
    """Pairs that were given as ``NAME=VALUE``."""
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(found) != len(pairs):
        raise click.BadParameter("give each as NAME=VALUE, such as COMPRESS=ZSTD, and once")
    return found


fill_options = options(
    click.option(
        "--max-error",
        type=click.FloatRange(0, min_open=True),
        metavar="X",
        help="Leave pixels out whose 90 % interval is wider than X to either side, in the units of "
        "the file, in any band.",
    ),
    click.option(
        "--max-distance",
        type=click.IntRange(0, 2048),
        metavar="PX",
        default=64,
        show_default=True,
        help="Where no other date shows the ground, fill up to this far from an observed pixel.",
    ),
    click.option(
        "--sharp",
        is_flag=True,
        help="Give the fill the texture of the ground instead of the least error.",
    ),
    click.option("--no-error", is_flag=True, help="Do not write the error raster."),
    click.option(
        "--co",
        "creation_options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=key_values,
        help="GDAL creation option. May be repeated.",
    ),
    click.option(
        "--method",
        default="auto",
        metavar="NAME",
        callback=lambda ctx, option, name: str(click.Choice(_methods()).convert(name, option, ctx)),
        shell_complete=lambda _ctx, _option, begun: [n for n in _methods() if n.startswith(begun)],
        show_default=True,
        help="Method for all bands: network or prior, which use the model; linear, nearest, "
        "previous, next, median, least-cloudy, harmonic or whittaker, in time; fillnodata or "
        "biharmonic, in space. Or auto: for each band, whichever of network, prior and linear the "
        "self-check finds best.",
    ),
)


def _methods() -> tuple[str, ...]:
    from geot2t.methods import NAMES  # not at the top: `geot2t --help` is to be quick

    return NAMES


scene_fill_options = options(
    click.option("--keep-nodata", is_flag=True, help="Fill only what the cloud mask marks."),
    click.option(
        "--samples",
        type=click.IntRange(0, 999),
        metavar="N",
        default=0,
        show_default=True,
        help="Also write so many different plausible fills (_sample_01.tif, ...), and from two on "
        "their standard deviation (_spread.tif).",
    ),
    click.option(
        "--adapt",
        type=click.IntRange(0),
        metavar="STEPS",
        default=0,
        show_default=True,
        help="First teach the network the other dates by so many steps of training; slow, and used "
        "only where the self-check finds that it helped.",
    ),
    click.option(
        "--report",
        is_flag=True,
        help="Also write a page that shows the scene before and after (.html); see geot2t view.",
    ),
    click.option(
        "--format",
        "driver",
        type=click.Choice(["GTiff", "COG"], case_sensitive=False),
        metavar="[GTiff|COG]",
        help="Format of the outputs. [default: that of SCENE]",
    ),
    fill_options,
)


model_options = options(
    click.option(
        "--model",
        metavar="NAME|PATH",
        help="Model to use: one that ships, or a .safetensors file. [default: the shipped one]",
    ),
    device_option,
    click.option(
        "--window",
        type=click.IntRange(32),
        metavar="PX",
        default=256,
        show_default=True,
        help="Side of the model's window, in pixels.",
    ),
    click.option(
        "--overlap",
        type=click.IntRange(0),
        metavar="PX",
        default=64,
        show_default=True,
        help="Pixels that neighbouring windows share.",
    ),
    click.option(
        "--batch",
        type=click.IntRange(1),
        metavar="N",
        default=1,
        show_default=True,
        help="Windows computed at once. Above 1, the last bit of a prediction may change.",
    ),
    seed_option,
)


def _bounds(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        west, south, east, north = map(float, text.replace(",", " ").split())
    except ValueError:
        raise click.BadParameter("give west,south,east,north in degrees") from None
    if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise click.BadParameter("give west,south,east,north in degrees, south before north")
    return west, south, east, north


item_options = options(
    click.option(
        "--bands",
        metavar="NAME,...",
        default="",
        help="Bands of a STAC Item, by name, common name or asset. [default: all that show the "
        "ground, but thermal and panchromatic ones]",
    ),
    click.option(
        "--trust-items",
        is_flag=True,
        help="Open whatever files and addresses STAC items lead to. An item in a file otherwise "
        "leads only to files beside it.",
    ),
)

search_options = options(
    click.option(
        "--stac",
        metavar="URL",
        help="STAC API to search for other dates; see --collections.",
    ),
    click.option(
        "--collections",
        metavar="NAME,...",
        help="Collections to search, such as sentinel-2-l2a.",
    ),
    click.option(
        "--bbox",
        callback=_bounds,
        metavar="W,S,E,N",
        help="Where to search, in degrees. [default: where SCENE is]",
    ),
    click.option(
        "--datetime",
        metavar="FROM/TO",
        help="When to search. [default: from 60 days before SCENE to 60 days after]",
    ),
)


def listed(*given: str | None) -> tuple[str, ...]:
    """What was given one by one or separated by commas."""
    return tuple(part.strip() for text in given for part in (text or "").split(",") if part.strip())


def searches(
    stac: str | None,
    collections: str | None,
    bbox: tuple[float, float, float, float] | None,
    when: str | None,
) -> list[Search]:
    """What `search_options` ask for, as a series; empty where they ask for nothing."""
    if stac is not None:
        from geot2t.stac import Search

        return [Search(stac, listed(collections), bbox, when)]
    if any((collections, bbox, when)):
        raise click.UsageError("--collections, --bbox and --datetime go with --stac")
    return []
