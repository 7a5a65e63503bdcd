"""A scene and its other dates as one source of blocks, on the scene's own grid.

Opening reads headers only. Pixels are read box by box, so memory does not depend on the size
of the scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.fill import Block
from geot2t.grid import Box
from geot2t.io.aligned import Aligned, align, bands_like
from geot2t.io.detect import add_detector
from geot2t.io.encode import file_units
from geot2t.io.header import Header, read_header
from geot2t.io.names import scenes_among, scenes_in
from geot2t.io.observed import Scene, SceneBlock, quality_of
from geot2t.io.safe import is_url

_EPOCH = date(1970, 1, 1)

Location = str | Path


class Stack:
    """A scene and other dates of the same place, sorted in time; a `geot2t.fill.Source`.

    Made by `open_stack`. Picklable: files are opened again where it is used.

    Attributes
    ----------
    target : int
        Index in time of the scene.
    days : ndarray of float32, shape ``(time,)``
        Days since 1970-01-01; NaN where a date is not known.
    dates : tuple of date or None
    paths : tuple of Path
    names : tuple of str
        Names of the data bands of the scene, empty where it gives none.
    wavelengths : ndarray of float32, shape ``(band,)``
        Micrometres, NaN where unknown.
    scale, offset : ndarray of float64, shape ``(band,)``
        Of the scene; physical values are ``value * scale + offset``.
    validity : tuple of tuple of str
        For each date, the sources that say where the ground was observed.
    notes : list of str
        What a user should know about how the input was understood.
    """

    def __init__(self, dates: Sequence[Aligned], target: int, notes: Iterable[str]) -> None:
        self._dates = tuple(dates)
        self.target = target
        self.notes = list(notes)
        headers = [d.scene.header for d in self._dates]
        self.header: Header = headers[target]
        self.dates = tuple(h.date for h in headers)
        self.days: NDArray[np.float32] = np.array(
            [np.nan if d is None else (d - _EPOCH).days for d in self.dates], "float32"
        )
        self.paths = tuple(Path(h.location) for h in headers)
        self.names = self.header.names
        self.wavelengths = self.header.wavelengths
        self.scale, self.offset = self.header.scale, self.header.offset
        self.validity = tuple(d.scene.validity for d in self._dates)

    @property
    def files(self) -> tuple[tuple[Path, ...], ...]:
        """For each date the local files it is read from: the raster, then its quality rasters."""
        return tuple(d.scene.files for d in self._dates)

    @property
    def scene(self) -> Scene:
        """The scene on its own."""
        return self._dates[self.target].scene

    @property
    def extent(self) -> Box:
        """All pixels of the scene."""
        return self.header.extent

    @property
    def data_bands(self) -> tuple[int, ...]:
        """Indices, from 0, of the data bands among those of the scene's file."""
        return tuple(i - 1 for i in self.header.data)

    @property
    def alpha_band(self) -> int | None:
        """Index, from 0, of the alpha band among those of the scene's file, or None."""
        return None if self.header.alpha is None else self.header.alpha - 1

    def read(self, box: Box) -> Block:
        """Read all dates of ``box`` in physical units.

        Observed pixels of the scene, and of dates on its grid, are those of the files; other
        dates are resampled onto it. What lies outside the scene, or outside a date, is not
        valid. A pixel gets the same value in whichever box it is read.
        """
        dates = range(len(self._dates))
        pixels, valid = zip(*(self.read_date(i, box) for i in dates), strict=True)
        return Block(np.stack(pixels), np.stack(valid), self.days, box)

    def read_target(self, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Pixels ``(band, y, x)`` and validity ``(y, x)`` of the scene, as in `read`."""
        return self.read_date(self.target, box)

    def read_date(self, index: int, box: Box) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Pixels ``(band, y, x)`` and validity ``(y, x)`` of one date, as in `read`."""
        pixels = np.zeros((len(self.names), box.height, box.width), "float32")
        valid = np.zeros((box.height, box.width), bool)
        inside = box.intersection(self.extent)
        if inside is not None:
            cut = inside.within(box)
            pixels[:, *cut], valid[cut] = self._dates[index].read(inside)
        return pixels, valid

    def read_scene(self, box: Box) -> SceneBlock:
        """Read ``box``, which lies inside the scene, as it is in the scene's file."""
        return self.scene.read(box)

    def to_file_units(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Turn physical values ``(band, y, x)`` into the scene's file units, not yet rounded."""
        return file_units(pixels, self.scale, self.offset)

    def subset(self, indices: Iterable[int]) -> Stack:
        """A stack of only these dates and the scene itself."""
        keep = sorted({*indices, self.target})
        return Stack([self._dates[i] for i in keep], keep.index(self.target), self.notes)

    def retarget(self, target: int) -> Stack:
        """The same dates with another one as the scene to be filled.

        Raises
        ------
        InputError
            If that date does not lie on the pixel grid that all are read on.
        """
        if not self._dates[target].identical:
            raise InputError(
                f"{self.paths[target]} is on another grid than {self.paths[self.target]}"
            )
        return Stack(self._dates, target, self.notes)

    @property
    def targets(self) -> tuple[int, ...]:
        """Dates that `retarget` takes."""
        return tuple(i for i, aligned in enumerate(self._dates) if aligned.identical)

    def close(self) -> None:
        """Close the files that this thread has open."""
        for aligned in self._dates:
            aligned.scene.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_stack(
    scene: Location,
    series: Location | Iterable[Location] = (),
    *,
    cloud_mask: Location | None = None,
    clouds: str = "auto",
    date: date | None = None,  # the option is called --date
    need_dates: bool = True,
    vrt: bool = False,
    for_all: bool = False,
) -> Stack:
    """Open a scene and its other dates on the scene's own grid.

    Parameters
    ----------
    scene : Path or str
        GeoTIFF or JPEG 2000 to be filled; its grid is never resampled.
    series : Path or str, or several
        Other dates: directories, files or patterns such as ``dir/*.tif``. The scene itself
        may be among them.
    cloud_mask : Path or str, optional
        Raster that is not zero where the scene did not observe the ground.
    clouds : str
        ``auto``: quality rasters beside each file, else a detector; ``qa``: quality rasters
        only; ``none``: neither; or the name of a detector, which is then used as well.
    date : datetime.date, optional
        Date of the scene, if its file does not say or is wrong.
    need_dates : bool
        Refuse a series with a file whose date is not known. Otherwise such files come last,
        in the order of their names.
    vrt : bool
        Accept VRT files, which can show any other file that the user can read.
    for_all : bool
        Whether the cloud mask holds for every date, not for the scene alone.

    Raises
    ------
    RasterReadError
        If a file cannot be opened or exceeds a limit.
    InputError
        If the series does not go with the scene: elsewhere on Earth, another number of bands,
        no date, no file at all.
    """
    scene = scene if is_url(scene) else Path(scene)
    notes: list[str] = []
    target = read_header(scene, vrt=vrt, when=date)
    others = [read_header(p, vrt=vrt) for p in _expand(series, scene)]
    _check_dates([target, *others], need_dates=need_dates and bool(others))
    others = _without_doubles(target, others, notes)
    for header in others:
        bands_like(target, header)  # refuses what cannot be matched before anything is read
    headers = _with_common_scale([target, *others], notes)
    headers.sort(key=lambda h: (h.date is None, h.date or _EPOCH, str(h.location)))
    target = next(h for h in headers if h.location == scene)

    given = None if cloud_mask is None else Path(cloud_mask)
    scenes = [
        Scene(
            h,
            quality_of(h, given if h is target or for_all else None, sidecars=clouds != "none"),
            vrt=vrt,
        )
        for h in headers
    ]
    add_detector(scenes, clouds, notes)
    if target.crs is None:
        placed = "placed by ground control points" if target.has_gcps else "without CRS"
        notes.append(f"{scene} is {placed}: it is filled on its pixel grid")
    aligned = [align(s, target, notes) for s in scenes]
    kept = _clearest(aligned, target, notes)
    return Stack(kept, next(i for i, a in enumerate(kept) if a.scene.header is target), notes)


def _expand(series: Location | Iterable[Location], scene: Location) -> list[Location]:
    """Files that a user's paths and patterns stand for, without the scene and doubles."""
    items = [series] if isinstance(series, str | Path) else list(series)
    found: dict[str, Location] = {}
    for item in items:
        for path in expand(item, Path(scene).name):
            key = str(path) if is_url(path) else str(Path(path).resolve())
            if not _same_file(path, scene):
                found.setdefault(key, path)
    return list(found.values())


def expand(item: Location, like: str) -> list[Location]:
    """Scenes that a path or pattern of a user stands for; ``like`` as for `scenes_in`."""
    if is_url(item):
        return [item]
    path = Path(item)
    if path.is_dir():
        files = scenes_in(path, like)
        if not files:
            raise InputError(f"there is no scene (.tif, .jp2) in {path}")
        return [*files]
    if path.exists() or not any(c in str(path) for c in "*?["):
        return [path]
    anchor = Path(path.anchor or ".")
    matches = sorted(anchor.glob(str(path.relative_to(path.anchor))))
    folders: dict[Path, list[str]] = {}
    for match in matches:
        folders.setdefault(match.parent, []).append(match.name)
    files = [d / n for d, found in folders.items() for n in scenes_among(found, like)]
    if not files:
        raise InputError(f"no scene matches {path}")
    return [*files]


def _same_file(a: Location, b: Location) -> bool:
    if is_url(a) or is_url(b):
        return a == b
    try:
        return Path(a).samefile(b)
    except OSError:
        return False


def _check_dates(headers: list[Header], *, need_dates: bool) -> None:
    if not need_dates:
        return
    target, *others = headers
    if target.date is None:
        raise InputError(
            f"the date of {target.location} is not known, and a series needs it; pass --date"
        )
    for header in others:
        if header.date is None:
            raise InputError(
                f"the date of {header.location} is not known; put it in the file name "
                "(YYYY-MM-DD) or in the tag ACQUISITION_DATE"
            )


def _without_doubles(target: Header, others: list[Header], notes: list[str]) -> list[Header]:
    """Drop files of the scene's own day: what they could add is the scene again."""
    kept = [h for h in others if h.date is None or h.date != target.date]
    dropped = [str(h.location) for h in others if h not in kept]
    if dropped:
        notes.append(f"left out, of the same day as the scene: {', '.join(dropped)}")
    return kept


def _with_common_scale(headers: list[Header], notes: list[str]) -> list[Header]:
    """Give integer files of unknown scale that of the others, so that dates can be compared."""
    whole = [h for h in headers if np.dtype(h.dtype).kind in "iu"]
    known = [h for h in whole if h.scaled_by is not None]
    if not known or len(known) == len(whole):
        return headers
    model = known[0]
    unknown = [h for h in whole if h.scaled_by is None]
    notes.append(
        f"no scale is stated in {', '.join(Path(h.location).name for h in unknown)}: "
        f"that of {Path(model.location).name} is used"
    )
    return [
        replace(h, scale=model.scale, offset=model.offset, scaled_by=str(model.location))
        if any(h is u for u in unknown)
        else h
        for h in headers
    ]


def _clearest(dates: list[Aligned], target: Header, notes: list[str]) -> list[Aligned]:
    """Of several files of one day keep the one that observed most of the scene."""
    by_day: dict[Any, list[Aligned]] = {}
    for i, aligned in enumerate(dates):
        day = aligned.scene.header.date
        by_day.setdefault(day if day is not None else i, []).append(aligned)
    kept = []
    for day, same in by_day.items():
        best = same[0]
        if len(same) > 1:
            best = max(same, key=lambda a: a.clear_share(target.extent))
            names = ", ".join(str(a.scene.header.location) for a in same if a is not best)
            notes.append(f"several files of {day}: the clearest is used, not {names}")
        kept.append(best)
    return kept
