"""Stacks without dates: pages of one TIFF, or files with numbers in their names.

A page is named like its file with a number after it, as ``stack.tif#7``; pages count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from geot2t.io.header import Header
from geot2t.io.safe import is_url, open_raster, page_of

EPOCH = date(1970, 1, 1)
"""Day 0, and slice 0."""

SLICE = "slice number"
"""What dates a header whose date only counts slices."""


def pages_in(path: str | Path) -> list[str | Path]:
    """The pages of a TIFF without CRS that are as large as its first; else the file itself."""
    if is_url(path) or page_of(path) is not None or Path(path).suffix.lower() == ".jp2":
        return [path]
    with open_raster(path) as first:
        count, size, placed = len(first.subdatasets), first.shape, first.crs is not None
    if placed or count < 2:
        return [path]
    alike: list[str | Path] = []
    for number in range(1, count + 1):
        page = Path(f"{path}#{number}")
        with open_raster(page) as ds:
            if ds.shape == size:
                alike.append(page)
    return alike if len(alike) > 1 else [path]


def with_slices(headers: Sequence[Header]) -> list[Header]:
    """Give files of a stack that has neither dates nor a CRS days that count its slices.

    The number is that of the page, or the last one in the names that differs between all.
    """
    plain = all(h.date is None and h.crs is None and not h.has_gcps for h in headers)
    numbers = _numbers([Path(h.location) for h in headers]) if plain and len(headers) > 1 else None
    if numbers is None:
        return list(headers)
    return [
        replace(h, date=EPOCH + timedelta(days=n), dated_by=SLICE)
        for h, n in zip(headers, numbers, strict=True)
    ]


def _numbers(paths: Sequence[Path]) -> list[int] | None:
    """A number for each, all of them different; None if the names give none."""
    pages = [page_of(path) for path in paths]
    found = [page[1] for page in pages if page is not None]
    if len(found) == len(paths) and len(set(found)) == len(found):
        return found
    groups = [re.findall(r"\d+", path.name.rsplit(".", 1)[0]) for path in paths]
    if len({len(group) for group in groups}) != 1:
        return None
    for column in reversed(list(zip(*groups, strict=True))):
        numbers = [int(text) for text in column]
        if len(set(numbers)) == len(numbers) and max(numbers) < 10**6:
            return numbers
    return None
