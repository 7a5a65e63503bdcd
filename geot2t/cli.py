"""The command line: parse, call one function, print one result."""

# ruff: noqa: D301  click takes a real backspace for the mark of a paragraph kept as it is

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from geot2t import __version__
from geot2t.errors import Geot2tError, InputError

F = TypeVar("F", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)


class _Location(click.Path):
    """A path, or an address, which a Path would take the second slash from."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave what has a scheme as it was typed."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


LOCATION = _Location(path_type=Path)
_LOUDNESS = "geot2t.loudness"


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
      geot2t evaluate dates/ -o evaluation/
      geot2t info scene.tif
    """


def options(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Join options to one decorator, which lists them in this order in the help."""

    def decorate(command: F) -> F:
        for option in reversed(several):
            command = option(command)
        return command

    return decorate


def _set_loudness(ctx: click.Context, option: click.Parameter, count: int) -> None:
    sign = -1 if option.name == "quiet" else 1
    loudness = ctx.meta[_LOUDNESS] = ctx.meta.get(_LOUDNESS, 0) + sign * count
    level = max(logging.DEBUG, logging.WARNING - 10 * loudness)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("geot2t").setLevel(level)
    # GDAL's and Python's warnings speak to programmers; what matters is said by geot2t.
    logging.getLogger().setLevel(max(level + 10, logging.DEBUG) if loudness < 2 else level)
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


def _key_values(
    _ctx: click.Context, _option: click.Parameter, pairs: Sequence[str]
) -> dict[str, str]:
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(found) != len(pairs):
        raise click.BadParameter("give each as NAME=VALUE, such as COMPRESS=ZSTD, and once")
    return found


def _methods() -> tuple[str, ...]:
    from geot2t.methods import NAMES  # not at the top: `geot2t --help` is to be quick

    return NAMES


def _listed(*given: str | None) -> tuple[str, ...]:
    """What was given one by one or separated by commas."""
    return tuple(part.strip() for text in given for part in (text or "").split(",") if part.strip())


def _method(ctx: click.Context, option: click.Parameter, name: str) -> str:
    return str(click.Choice(_methods()).convert(name, option, ctx))


@main.command()
@click.argument("scene", type=LOCATION)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT",
    help="Where to write. [default: SCENE_filled.tif beside SCENE]",
)
@click.option(
    "--series",
    multiple=True,
    type=LOCATION,
    help="Other dates of the place: a directory, a file, a pattern, or a STAC item collection. "
    "May be repeated; SCENE itself may be among them.",
)
@search_options
@item_options
@scene_options
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d", "%Y%m%d"]),
    metavar="YYYY-MM-DD",
    help="Date of SCENE, if the file does not say; or which item of a collection SCENE is.",
)
@click.option(
    "--max-error",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Leave pixels out whose 90 % interval is wider than X to either side, in the units of "
    "the file, in any band.",
)
@click.option(
    "--max-distance",
    type=click.IntRange(0, 2048),
    metavar="PX",
    default=64,
    show_default=True,
    help="Where no other date shows the ground, fill up to this far from an observed pixel.",
)
@click.option("--keep-nodata", is_flag=True, help="Fill only what the cloud mask marks.")
@click.option(
    "--sharp",
    is_flag=True,
    help="Give the fill the texture of the ground instead of the least error.",
)
@click.option(
    "--adapt",
    type=click.IntRange(0),
    metavar="STEPS",
    default=0,
    show_default=True,
    help="First teach the network the other dates by so many steps of training; slow, and used "
    "only where the self-check finds that it helped.",
)
@click.option("--no-error", is_flag=True, help="Do not write the error raster.")
@click.option(
    "--format",
    "driver",
    type=click.Choice(["GTiff", "COG"], case_sensitive=False),
    metavar="[GTiff|COG]",
    help="Format of the outputs. [default: that of SCENE]",
)
@click.option(
    "--co",
    "creation_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_key_values,
    help="GDAL creation option. May be repeated.",
)
@click.option(
    "--method",
    default="auto",
    metavar="NAME",
    callback=_method,
    shell_complete=lambda _ctx, _option, begun: [n for n in _methods() if n.startswith(begun)],
    show_default=True,
    help="Method for all bands: network or prior, which use the model; linear, nearest, previous, "
    "next, median, least-cloudy, harmonic or whittaker, in time; fillnodata or biharmonic, in "
    "space. Or auto: for each band, whichever of network, prior and linear the self-check finds "
    "best.",
)
@overwrite_option
@model_options
@json_option
@log_options
def inpaint(
    scene: Path | str,
    output: Path | None,
    series: tuple[Path | str, ...],
    date: datetime | None,
    *,
    bands: str,
    stac: str | None,
    collections: str | None,
    bbox: tuple[float, float, float, float] | None,
    no_error: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Fill the unobserved pixels of SCENE and print the path of the result.

    SCENE is a raster or a STAC Item; the bands of an Item go into one raster. Observed pixels
    are copied bit for bit. Beside the result are written where each pixel comes from
    (_quality.tif), how far off it may be (_error.tif), and a STAC Item with a self-check of the
    methods on this very scene (.json).

    \b
    Examples
      geot2t inpaint scene.tif
      geot2t inpaint scene.tif --series other_dates/ -o filled.tif
      geot2t inpaint scene.tif --cloud-mask clouds.tif --keep-nodata
      geot2t inpaint scene.tif --series '2022/*.tif' --max-error 300 --format COG
      geot2t inpaint scene.tif --series other_dates/ --method whittaker
      geot2t inpaint item.json --series items.json --bands red,green,blue,nir
      geot2t inpaint scene.tif --stac https://stac.example.org/v1 --collections sentinel-2-l2a
    """
    from geot2t import jobs

    when, others = rest.pop("datetime"), list[Any](series)
    if stac is not None:
        from geot2t.stac import Search

        others.append(Search(stac, _listed(collections), bbox, when))
    elif any((collections, bbox, when)):
        raise click.UsageError("--collections, --bbox and --datetime go with --stac")
    with _progress("filling") as progress:
        result = jobs.inpaint(
            scene,
            output,
            series=others,
            bands=_listed(bands),
            date=None if date is None else date.date(),
            error=not no_error,
            progress=progress,
            **rest,
        )
    _warn(result.warnings)
    click.echo(_json(result.item) if as_json else result.path)


@main.command()
@click.argument("series", type=PATH, nargs=-1, required=True, metavar="SERIES...")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="DIR",
    help="Folder for results.json, report.html and figures/; made if it is not there.",
)
@click.option(
    "--gaps",
    metavar="real|PATH",
    default="real",
    show_default=True,
    help="What is hidden: the series' own gaps, moved elsewhere, and clouds of a library; or what "
    "a raster marks by values that are not zero, each of its bands in turn.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="all|NAME,...",
    default=("all",),
    callback=lambda _ctx, _option, given: _listed(*given),
    help="Methods to compare geot2t with: all, or some of network, prior and the methods of "
    "inpaint --method. May be repeated; linear is always among them.  [default: all]",
)
@click.option(
    "--kinds",
    multiple=True,
    metavar="NAME,...",
    callback=lambda _ctx, _option, given: _listed(*given),
    help="What is hidden: cloud, missing, consecutive, first or last.  [default: all]",
)
@click.option(
    "--cases",
    type=click.IntRange(1),
    metavar="N",
    default=10,
    show_default=True,
    help="Cases with a cloud; of each other kind there are up to a third as many.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    metavar="PX",
    default=4,
    show_default=True,
    help="Do not score pixels that are this near to what their date itself did not show: masks "
    "miss soft edges.",
)
@click.option(
    "--crop",
    type=click.IntRange(32),
    metavar="PX",
    default=512,
    show_default=True,
    help="Evaluate larger scenes on a few crops of this side.",
)
@click.option(
    "--clouds",
    default="auto",
    show_default=True,
    metavar="[auto|qa|DETECTOR|none]",
    help="Where clouds are known from, as for inpaint.",
)
@click.option(
    "--cloud-mask", type=PATH, help="Raster that is not zero where no date observed the ground."
)
@overwrite_option
@model_options
@json_option
@log_options
def evaluate(
    series: tuple[Path, ...],
    output: Path | None,
    kinds: tuple[str, ...],
    *,
    as_json: bool,
    **rest: Any,
) -> None:
    """Measure how well SERIES is filled: hide, fill by every method, compare, print the table.

    Observed pixels of the clear dates are hidden under the shapes of real clouds, and whole
    dates too. Each case is filled as inpaint would fill it, and by each other method. --model
    none leaves the network out, which is much quicker.

    \b
    Examples
      geot2t evaluate dates/
      geot2t evaluate dates/ -o evaluation/ --cases 20
      geot2t evaluate '2022/*.tif' --against prior,whittaker --model none
      geot2t evaluate dates/ --gaps clouds.tif --json
    """
    from geot2t.evaluation import KINDS
    from geot2t.evaluation import evaluate as run
    from geot2t.evaluation.table import lines

    with _progress("evaluating", " fills") as progress:
        found = run(series, output, kinds=kinds or KINDS, progress=progress, **rest)
    _warn(found.warnings)
    click.echo(_json(found.results) if as_json else "\n".join(lines(found.results)))
    if found.report is not None and not as_json:
        click.echo(f"\n{found.report}")


@main.command()
@click.option(
    "--tiles",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Scenes of one place, or one folder for each place. Cloudy ones are welcome.",
)
@click.option("-o", "--output", type=PATH, required=True, metavar="MODEL", help="Model to write.")
@click.option(
    "--init",
    metavar="NAME|PATH|none",
    default="none",
    show_default=True,
    help="Model to start from: one that ships, or a .safetensors file.",
)
@click.option(
    "--arch",
    type=click.Choice(["t2t", "vit", "swin", "unet"]),
    help="Architecture of both networks. [default: that of --init, else t2t]",
)
@click.option(
    "--steps", type=click.IntRange(1), metavar="N", help="Steps of training. [default: 4400]"
)
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Windows per step. [default: 6]")
@click.option("--resume", is_flag=True, help="Go on with the run that was left beside MODEL.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    metavar="N",
    default=0,
    show_default=True,
    help="Processes that prepare windows.",
)
@overwrite_option
@device_option
@seed_option
@log_options
def train(
    tiles: Path,
    output: Path,
    init: str,
    arch: str | None,
    steps: int | None,
    batch: int | None,
    seed: int,
    **rest: Any,
) -> None:
    """Train the T2T-GAN on GeoTIFFs and print the path of the model.

    Only observed pixels teach. A run that was stopped, whatever the reason, goes on with
    --resume.

    \b
    Examples
      geot2t train --tiles my_places/ -o my_model.safetensors
      geot2t train --tiles my_places/ -o my_model.safetensors --init t2t-gan --steps 1000
      geot2t train --tiles my_places/ -o plain.safetensors --arch vit
      geot2t train --tiles my_places/ -o my_model.safetensors --resume
    """
    from geot2t.train import TrainConfig
    from geot2t.train import train as run

    config = TrainConfig(seed=seed, arch=arch)
    config = replace(config, steps=steps or config.steps, batch=batch or config.batch)
    start = None if init == "none" else init
    click.echo(run(tiles, output, config=config, init=start, quiet=not _shows_bar(), **rest))


@main.command()
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
        click.echo(_json(model_item(path)))
        return
    known = about(path, bands=_listed(bands), **rest)
    click.echo(_json(known) if as_json else "\n".join(lines(known)))


@main.command()
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
        click.echo(_json([{"path": r.path, "ok": r.ok, "problem": r.problem} for r in results]))
    else:
        for r in results:
            click.echo(f"ok      {r.path}" if r.ok else f"FAILED  {r.path}: {r.problem}")
    if bad := sum(not r.ok for r in results):
        raise InputError(f"{bad} of {len(results)} files are not as geot2t wrote them")


@main.command()
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

    with _progress("filling") as progress:
        result = sample.demo(output, device=device, progress=progress)
    _warn(result.warnings)
    if as_json:
        click.echo(_json(result.item))
        return
    click.echo(result.path)
    click.echo("\n".join(sample.summary(result)))


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


def _loudness() -> int:
    return int(click.get_current_context().meta.get(_LOUDNESS, 0))


def _shows_bar() -> bool:
    loudness = _loudness()
    return loudness > 0 or (loudness == 0 and sys.stderr.isatty())


@contextmanager
def _progress(what: str, unit: str = "px") -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr, if somebody is there to see it."""
    if not _shows_bar():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, unit_scale=True, leave=False, file=sys.stderr) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def _warn(warnings: Iterable[str]) -> None:
    if _loudness() >= 0:
        for warning in warnings:
            click.echo(f"Note: {warning}", err=True)


def _json(value: Any) -> str:
    from geot2t.io.checksums import plain

    return json.dumps(plain(value), indent=2)
