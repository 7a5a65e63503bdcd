"""Which scenes a batch fills: those of a pattern, of a CSV, or of a STAC item collection."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from urllib.parse import urlsplit

from geot2t.errors import InputError
from geot2t.io.inputs import Given, Location, expand
from geot2t.io.publish import output_paths
from geot2t.io.safe import is_url
from geot2t.stac import is_stac, load_items

COLUMNS = ("scene", "series", "cloud_mask", "output")
"""Columns that a CSV may have; only the first must be there."""


@dataclass(frozen=True, slots=True)
class Job:
    """One scene to be filled."""

    label: str
    """What the scene is called in reports."""

    scene: Location
    """A raster, or a STAC file."""

    output: Path
    """The filled raster; the other outputs go beside it."""

    item: int | None = None
    """Which item of that STAC file; None if ``scene`` is what `geot2t.jobs.inpaint` takes."""

    series: tuple[Given, ...] = ()
    """Other dates."""

    cloud_mask: Path | None = None
    """Raster that is not zero where the scene was not observed."""


def list_jobs(
    jobs: Location,
    folder: Path,
    *,
    series: Sequence[Given] = (),
    cloud_mask: Path | None = None,
    trusted: bool = False,
) -> list[Job]:
    """The scenes that ``jobs`` stands for, in its order.

    Parameters
    ----------
    jobs : Path or str
        A pattern, folder or raster; a CSV; or STAC items in JSON files, which are their own
        series where there are several in a file and ``series`` is empty.
    folder : Path
        Where outputs go.
    series, cloud_mask
        For scenes that name none themselves. In their paths ``{folder}`` and ``{stem}`` stand for
        the folder of the scene and its name without suffix.
    trusted : bool
        Whether STAC items may lead anywhere.

    Raises
    ------
    InputError
        If it stands for no scene or cannot be understood, or two scenes have one output.
    """
    if is_url(jobs):
        raise InputError(f"{jobs} is an address: save the item collection to a file and give that")
    path = Path(jobs).absolute()
    folder = folder.absolute()
    if path.suffix.lower() == ".csv":
        found = list(_rows(path, folder))
    else:
        found = list(_matches(path, folder, trusted=trusted, alone=bool(series)))
    if not found:
        raise InputError(f"there is no scene in {jobs}")
    whole = [
        Job(
            job.label,
            job.scene,
            job.output,
            job.item,
            job.series or tuple(_named(each, job.scene) for each in series),
            job.cloud_mask or (None if cloud_mask is None else _path(cloud_mask, job.scene)),
        )
        for job in found
    ]
    _check_outputs(whole)
    return whole


def _rows(path: Path, folder: Path) -> Iterator[Job]:
    """Jobs of a CSV; its paths start from its folder, those of outputs from ``folder``."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True, skipinitialspace=True)
            columns = [name.strip() for name in rows.fieldnames or ()]
            rows.fieldnames = columns
            if unknown := [name for name in columns if name not in COLUMNS]:
                raise InputError(
                    f"{path} has the column {unknown[0]!r}; there are {', '.join(COLUMNS)}"
                )
            if "scene" not in columns:
                raise InputError(f"{path} has no column 'scene'; its first line names the columns")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                # What has no column is under None; what a short line leaves out is None.
                if None in row:
                    raise InputError(f"{where} has more fields than there are columns")
                yield _row({k: (v or "").strip() for k, v in row.items()}, where, path, folder)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _row(row: dict[str, str], where: str, path: Path, folder: Path) -> Job:
    if not row["scene"]:
        raise InputError(f"{where} names no scene")
    scene = _beside(path, row["scene"])
    output = Path(row.get("output") or f"{_stem(scene)}_filled.tif")
    try:
        output_paths(output)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    clouds = row.get("cloud_mask")
    several = [part.strip() for part in row.get("series", "").split(";")]
    return Job(
        label=str(scene),
        scene=scene,
        output=folder / output,
        series=tuple(_beside(path, part) for part in several if part),
        cloud_mask=path.parent / clouds if clouds else None,
    )


def _beside(path: Path, text: str) -> Location:
    return text if is_url(text) else path.parent / text


def _matches(path: Path, folder: Path, *, trusted: bool, alone: bool) -> Iterator[Job]:
    """Jobs of a pattern, a folder or a file, each with its outputs in ``folder``.

    The folders that a pattern runs through are kept, so that scenes of one name stay apart.
    """
    start = Path(*takewhile(lambda part: not any(c in part for c in "*?["), path.parts))
    wild = start != path and not path.exists()
    if not wild and not path.exists():
        raise InputError(f"{path} does not exist")
    for found in expand(path, None):
        match = Path(found)
        under = folder / match.parent.relative_to(start) if wild else folder
        if not is_stac(match):
            yield Job(str(match), match, under / f"{match.stem}_filled.tif")
            continue
        items = load_items(match, trusted=trusted)
        series = () if alone or len(items) == 1 else (match,)
        for i, item in enumerate(items):
            name = f"{item.beside.stem}_filled.tif"
            yield Job(str(item), match, under / name, i, series)


def _stem(scene: Location) -> str:
    return Path(urlsplit(scene).path).stem if isinstance(scene, str) else scene.stem


def _named(given: Given, scene: Location) -> Given:
    """A series with the placeholders of its path replaced."""
    if not isinstance(given, str | Path) or is_url(given):
        return given
    return _path(Path(given), scene)


def _path(path: Path, scene: Location) -> Path:
    parent = "" if isinstance(scene, str) else str(scene.parent)
    text = str(path).replace("{folder}", parent).replace("{stem}", _stem(scene))
    return Path(text).absolute()


def _check_outputs(jobs: Sequence[Job]) -> None:
    owner: dict[Path, Job] = {}
    for job in jobs:
        # Its companions too: a scene's may have the name of another's filled raster.
        paths = output_paths(job.output)
        for path in (*paths.rasters.values(), paths.item):
            other = owner.setdefault(path, job)
            if other is not job:
                raise InputError(
                    f"{other.label} and {job.label} would both write {path}; give them outputs of "
                    "their own in the column 'output' of a CSV"
                )
