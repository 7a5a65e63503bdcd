"""A series of scenes none of which is the one to be filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from geot2t.errors import InputError
from geot2t.io.assets import read_item
from geot2t.io.header import read_header
from geot2t.io.inputs import paged
from geot2t.io.observed import Quality
from geot2t.io.place import Grid
from geot2t.io.safe import open_raster
from geot2t.io.stack import Location, Stack, open_stack
from geot2t.stac import Item, is_stac, load_items


def open_series(
    series: Location | Iterable[Location],
    *,
    clouds: str = "auto",
    cloud_mask: Location | None = None,
) -> Stack:
    """Open scenes of one place on the grid that most of them share.

    Parameters
    ----------
    series : Path or str, or several
        Directories, files or patterns such as ``dir/*.tif``; STAC Items and ItemCollections.
    clouds : str
        As for `open_stack`.
    cloud_mask : Path or str, optional
        Raster that is not zero where no date observed the ground.

    Returns
    -------
    Stack
        Its target is one of the dates on that grid; `Stack.retarget` takes any other.

    Raises
    ------
    RasterReadError, InputError
        As `open_stack`.
    """
    given = [series] if isinstance(series, str | Path) else list(series)
    paths = list(dict.fromkeys(path for item in given for path in paged(item, Path(item).name)))
    found: list[Location | Item] = []
    for path in paths:
        found += load_items(path) if is_stac(path) else [path]
    if not found:
        raise InputError("a series needs at least one scene")
    grids = [Grid.of(read_item(f) if isinstance(f, Item) else read_header(f)) for f in found]
    (common, _), *_ = Counter(grids).most_common(1)
    scene = found[grids.index(common)]
    return open_stack(scene, paths, cloud_mask=cloud_mask, clouds=clouds, for_all=True)


@contextmanager
def gaps_in(path: Path, stack: Stack) -> Iterator[list[Quality]]:
    """The bands of a raster that is not zero where there is to be a gap, on the stack's grid.

    They can be read within the ``with`` block.

    Raises
    ------
    RasterReadError, InputError
        If it cannot be read, or shows another place.
    """
    with open_raster(path) as ds:
        count = ds.count
    found = [Quality("mask", path, stack.header, band) for band in range(1, count + 1)]
    try:
        yield found
    finally:
        for raster in found:
            raster.close()
