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
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from geot2t.errors import InputError
from geot2t.fill import Block
from geot2t.grid import Box
from geot2t.io.aligned import Aligned, align, bands_like
from geot2t.io.assets import read_item, scene_metadata
from geot2t.io.detect import add_detector
from geot2t.io.encode import file_units
from geot2t.io.header import Header, read_header
from geot2t.io.inputs import Given, Location, read_series, scene_of
from geot2t.io.metadata import RasterMeta
from geot2t.io.mosaic import mosaicked
from geot2t.io.observed import Scene, SceneBlock, quality_of
from geot2t.io.pages import EPOCH, SLICE, with_slices
from geot2t.io.publish import default_output
from geot2t.stac import Item

__all__ = ["EPOCH", "Location", "Stack", "open_stack"]


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
            [np.nan if d is None else (d - EPOCH).days for d in self.dates], "float32"
        )
        self.paths = tuple(Path(h.location) for h in headers)
        self.names = self.header.names
        self.wavelengths = self.header.wavelengths
        self.scale, self.offset = self.header.scale, self.header.offset
        self.validity = tuple(
            tuple(dict.fromkeys(v for s in d.scenes for v in s.validity)) for d in self._dates
        )

    @property
    def files(self) -> tuple[tuple[Path, ...], ...]:
        """For each date the local files it is read from: the raster, then its quality rasters."""
        return tuple(
            tuple(dict.fromkeys(f for s in d.scenes for f in s.files)) for d in self._dates
        )

    @property
    def items(self) -> tuple[str, ...]:
        """Addresses of the STAC items that dates were read from, where they say one."""
        parts = (s.header.parts for d in self._dates for s in d.scenes)
        return tuple(p.item.href for p in parts if p is not None and p.item.href)

    @property
    def metadata(self) -> RasterMeta | None:
        """Metadata of the scene for its outputs, if it is not one local file; else None."""
        return None if isinstance(self.header.location, Path) else scene_metadata(self.header)

    @property
    def default_output(self) -> Path:
        """``SCENE_filled.tif`` beside the scene or its item, or here if that is at an address."""
        if self.header.parts is not None:
            return default_output(self.header.parts.item.beside)
        where = self.header.location
        if isinstance(where, str):
            where = Path(Path(urlsplit(where).path).name)
        return default_output(where)

    @property
    def numbered(self) -> bool:
        """Whether it is a stack without dates, whose days count its slices."""
        return self.header.dated_by == SLICE

    def label(self, day: date | None) -> str | int | None:
        """A day as it is to be named: a date, or the number of a slice."""
        if day is None:
            return None
        return (day - EPOCH).days if self.numbered else day.isoformat()

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

    def lacks(self, index: int, box: Box) -> NDArray[np.bool_]:
        """Where one date's file holds no data or does not reach, ``(y, x)``.

        ``box`` lies inside the scene.
        """
        return self._dates[index].lacks(box)

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
            for scene in aligned.scenes:
                scene.close()

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
    scene: Location | Item,
    series: Given | Iterable[Given] = (),
    *,
    cloud_mask: Location | None = None,
    clouds: str = "auto",
    date: date | None = None,  # the option is called --date
    need_dates: bool = True,
    vrt: bool = False,
    bands: Sequence[str] = (),
    trust_items: bool = False,
    for_all: bool = False,
) -> Stack:
    """Open a scene and its other dates on the scene's own grid.

    Parameters
    ----------
    scene : Path, str or Item
        GeoTIFF or JPEG 2000 to be filled, or the STAC Item of one; its grid is never resampled.
        Of an ItemCollection, the item of ``date``.
    series : Path or str, or several
        Other dates: directories, files or patterns such as ``dir/*.tif``, STAC Items and
        ItemCollections (JSON files, addresses of such, pystac objects), or a `Search`. The
        scene itself may be among them. Items of one pass are one date; where several show a
        pixel, the first that saw it counts.
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
    bands : sequence of str
        Bands of a scene that an item describes: names, common names or names of assets. By
        default all that show the ground in reflected light. The others follow the scene.
    trust_items : bool
        Open whatever files and addresses items lead to. By default an item in a file leads to
        files beside it only, and one at an address to addresses.
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
    notes: list[str] = []
    own = scene_of(scene, date, trusted=trust_items, notes=notes)
    if isinstance(own, Item):
        target = read_item(own, wanted=bands, when=date)
    elif bands:
        raise InputError(f"bands are chosen of STAC items, and {own} is a raster")
    else:
        target = read_header(own, vrt=vrt, when=date)
    others = read_series(series, own, target, vrt=vrt, trusted=trust_items, notes=notes)
    target, *others = with_slices([target, *others])
    _check_dates([target, *others], need_dates=need_dates and bool(others))
    others = _without_doubles(target, others, notes)
    for header in others:
        bands_like(target, header)  # refuses what cannot be matched before anything is read
    headers = _with_common_scale([target, *others], notes)
    target = headers[0]
    # Of one day, those given first come first, and win where they are as clear as others.
    headers.sort(key=lambda h: (h.date is None, h.date or str(h.location)))

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
        notes.append(f"{target.location} is {placed}: it is filled on its pixel grid")
    aligned = [align(s, target, notes) for s in scenes]
    kept = _clearest(mosaicked(aligned, target), target, notes)
    return Stack(kept, next(i for i, a in enumerate(kept) if a.scene.header is target), notes)


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
    same = [h.date is not None and h.date == target.date for h in others]
    kept = [h for h, doubled in zip(others, same, strict=True) if not doubled]
    dropped = [str(h.location) for h, doubled in zip(others, same, strict=True) if doubled]
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
