"""What file names say: dates, bands, and which files are scenes, quality rasters or outputs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SUFFIXES = frozenset({".tif", ".tiff", ".jp2"})
"""Endings of rasters that are looked for, in lower case."""

_YEAR_MONTH_DAY = r"(?P<y>(?:19|20)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])"
_YEAR_DAY = r"(?P<y>(?:19|20)\d\d)(?P<j>[0-3]\d\d)"

_DATES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Products carry several dates; theirs come first, because only one is the acquisition.
        rf"S2[A-D]_MSIL\w{{2,3}}_{_YEAR_MONTH_DAY}T\d{{6}}",
        rf"(?<![A-Z0-9])T\d\d[A-Z]{{3}}_{_YEAR_MONTH_DAY}T\d{{6}}",
        rf"HLS\.[LS]30\.T?\d\d[A-Z]{{3}}\.{_YEAR_DAY}T\d{{6}}",
        rf"(?<![A-Z0-9])L[COTEM]\d\d_L\w{{3}}_\d{{6}}_{_YEAR_MONTH_DAY}_",
        rf"(?<![A-Z0-9])L[COTEM]\d\d{{6}}{_YEAR_DAY}[A-Z]{{3}}\d\d",
        rf"\.A{_YEAR_DAY}\.",
        r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<s>[-_.])(?P<m>0?[1-9]|1[0-2])(?P=s)(?P<d>\d\d?)(?!\d)",
        rf"(?<!\d){_YEAR_MONTH_DAY}(?!\d)",
        rf"(?<!\d){_YEAR_DAY}(?!\d)",
    )
)

_QA_TOKENS: tuple[tuple[str, str], ...] = (
    ("MSK_CLDPRB", r"(?:MSK_)?CLDPRB"),
    ("QA_PIXEL", r"QA_PIXEL"),
    ("pixel_qa", r"pixel_qa"),
    ("BQA", r"BQA"),
    ("Fmask", r"Fmask"),
    ("SCL", r"SCL"),
)
_TOKEN = "(?P<token>" + "|".join(pattern for _, pattern in _QA_TOKENS) + r")(?:_\d{2}m)?"
_QA_LAST = re.compile(rf"(?:(?P<base>.*?)[._-])??{_TOKEN}", re.IGNORECASE)
_QA_FIRST = re.compile(rf"{_TOKEN}[._-](?P<base>.+)", re.IGNORECASE)

_BAND = re.compile(
    r"[._-]((?:SR_|ST_|TOA_)?B(?:AND)?_?\d{1,2}A?|TCI|AOT|WVP|SAA|SZA|VAA|VZA|ST_[A-Z]{2,5}"
    r"|SR_QA_\w+|QA_RADSAT)(_\d{2}m)?$",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"_change(_(expected|significance|mask|quality))?$")
_MAP = re.compile(r"_score(_attention)?$")
_OUTPUT = re.compile(r"_(quality|error|spread|sample_\d{2,})$")

_SETTLED = 2_000_000_000
"""Nanoseconds after which a folder that is written again has another time of writing; the
coarsest file systems tell even seconds apart."""


def date_in_name(name: str) -> date | None:
    """The acquisition date in a file name, or None.

    Understood are the names of Sentinel-2, Landsat, HLS and MODIS products, and
    ``YYYY-MM-DD``, ``YYYYMMDD`` and ``YYYYDDD`` (day of the year) anywhere in other names.
    """
    for pattern in _DATES:
        for match in pattern.finditer(name):
            if (found := _to_date(match.groupdict())) is not None:
                return found
    return None


def _to_date(parts: dict[str, str]) -> date | None:
    try:
        if "j" in parts:
            day = int(parts["j"])
            found = date(int(parts["y"]), 1, 1) + timedelta(days=day - 1)
            return found if day > 0 and found.year == int(parts["y"]) else None
        return date(int(parts["y"]), int(parts["m"]), int(parts["d"]))
    except ValueError:  # the 31st of a shorter month
        return None


def band_token(name: str) -> str | None:
    """Which band of a product a single-band file holds, as ``B04`` or ``B04_10m``, or None."""
    match = _BAND.search(Path(name).stem)
    return match[0][1:].upper() if match else None


def qa_kind(name: str) -> str | None:
    """Kind of quality raster that a file is by its name, as `geot2t.clouds.decode` takes it.

    ``"mask"`` for ``*_mask``; None for any other file.
    """
    stem = Path(name).stem
    if stem.lower().endswith("_mask"):
        return "mask"
    match = _qa(stem)
    return _kind(match["token"]) if match else None


def _qa(stem: str) -> re.Match[str] | None:
    return _QA_LAST.fullmatch(stem) or _QA_FIRST.fullmatch(stem)


def _kind(token: str) -> str:
    return next(kind for kind, pattern in _QA_TOKENS if re.fullmatch(pattern, token, re.IGNORECASE))


def sidecars(scene: Path) -> list[tuple[str, Path]]:
    """Quality rasters that belong to ``scene``, as ``(kind, path)``.

    A quality raster belongs to the scene beside it whose name begins like its own:
    ``a_mask.tif`` and ``a_SCL.tif`` to ``a.tif``; ``T32TPS_20220601T101031_SCL_20m.jp2`` to
    every band of that product. In a Sentinel-2 product folder the other resolutions and
    ``QI_DATA`` are searched too.
    """
    found: dict[Path, str] = {}
    for folder, whole_product in _folders(scene):
        for quality in _quality_rasters(folder):
            if quality.name != scene.name and _belongs(quality, scene, whole_product):
                found.setdefault(folder / quality.name, quality.kind)
    best: dict[str, Path] = {}
    for path, kind in found.items():
        # The same raster may be there at 20 and at 60 m; names sort the finer one first.
        best.setdefault(kind, path)
    return list(best.items())


def _folders(scene: Path) -> list[tuple[Path, bool]]:
    """Folders with quality rasters for ``scene``; True where all in it is of one product."""
    folders = [(scene.parent, False)]
    if re.fullmatch(r"R\d0m", scene.parent.name):  # GRANULE/<tile>/IMG_DATA/R10m
        images = scene.parent.parent
        folders += [(images / f"R{res}m", False) for res in (20, 60)]
        folders.append((images.parent / "QI_DATA", True))
    return folders


def _rasters(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    return sorted(n for n in names if Path(n).suffix.lower() in SUFFIXES and n[0] != ".")


class _Quality(NamedTuple):
    """A quality raster, by its name."""

    name: str
    kind: str
    base: str
    """What its name begins with, like that of its scene."""


def _quality_rasters(folder: Path) -> tuple[_Quality, ...]:
    """Quality rasters of a folder, which is listed once for all of its scenes."""
    try:
        written = folder.stat().st_mtime_ns
    except OSError:
        return ()
    # What was written just now may be written once more without a change of that time.
    settled = time.time_ns() - written > _SETTLED
    return _listed(folder, written) if settled else _listed.__wrapped__(folder, written)


@lru_cache(maxsize=64)
def _listed(folder: Path, _written: int) -> tuple[_Quality, ...]:
    found = []
    for name in _rasters(folder):
        if kind := qa_kind(name):
            stem = Path(name).stem
            match = _qa(stem)
            base = stem[: -len("_mask")] if kind == "mask" else match["base"] if match else ""
            found.append(_Quality(name, kind, base or ""))
    return tuple(found)


def _belongs(quality: _Quality, scene: Path, whole_product: bool) -> bool:
    _, kind, base = quality
    if kind == "mask" or base == scene.stem:
        return base == scene.stem
    if not base:  # SCL.tif beside B04.tif: a folder for each scene
        return whole_product or (
            date_in_name(scene.stem) is None and _BAND.search(f"_{scene.stem}") is not None
        )
    if base not in scene.stem:
        return False
    # A part of the scene's name is proof only if it holds the date.
    part = re.search(rf"(?:^|[._-]){re.escape(base)}(?:$|[._-])", scene.stem)
    return part is not None and date_in_name(base) is not None


def _stems(names: Iterable[str]) -> set[str]:
    return {Path(n).stem for n in names if Path(n).suffix.lower() in SUFFIXES}


def _is_output(name: str, stems: set[str]) -> bool:
    """Whether geot2t wrote a file: ``*_filled``, or the rasters beside a scene."""
    stem = Path(name).stem
    base = _OUTPUT.sub("", stem)
    if _CHANGE.search(stem) or base.endswith("_filled"):
        return True
    scored = _MAP.sub("", stem)
    if scored != stem and scored in stems:
        return True
    return f"{base}_quality" in stems and base in stems


def scenes_in(folder: Path, like: str | None = None) -> list[Path]:
    """Scenes in a folder, sorted by name: no quality rasters, outputs or hidden files.

    Parameters
    ----------
    folder : Path
    like : str or None
        Name of the scene that the others should go with. Of products with a file for each
        band, only the same band is taken; without it, only files that hold all bands.
    """
    names = _rasters(folder)
    return [folder / n for n in scenes_among(names, like)]


def scenes_among(names: list[str], like: str | None = None) -> list[str]:
    """The scenes among file names of one folder; see `scenes_in`."""
    wanted, stems = band_token(like) if like is not None else None, _stems(names)
    return [
        n
        for n in names
        if n[0] != "."
        and Path(n).suffix.lower() in SUFFIXES
        and qa_kind(n) is None
        and not _is_output(n, stems)
        and (like is None or band_token(n) == wanted)
    ]
