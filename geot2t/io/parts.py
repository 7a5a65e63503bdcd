"""Parts of a scene's outputs, computed apart: files of blocks in the order in which they are read.

A part appears under its name when it is complete, so a run that was cut off finds it whole.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from geot2t.errors import OutputError
from geot2t.io.publish import part_path
from geot2t.io.raster import gdal_errors

Arrays = Sequence[NDArray[Any]]


class PartWriter:
    """A part while it is written; made by `writing_part`."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def write(self, arrays: Arrays) -> None:
        """Add the arrays of the next block."""
        with gdal_errors(self._path):
            for array in arrays:
                npy.write_array(self._file, np.ascontiguousarray(array), allow_pickle=False)


class PartReader:
    """A part while it is read; made by `reading_part`."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    def read(self, count: int) -> list[NDArray[Any]]:
        """The next ``count`` arrays."""
        with _damage(self._path):
            return [npy.read_array(self._file, allow_pickle=False) for _ in range(count)]

    def end(self) -> None:
        """Make sure that nothing follows, and compare the checksum."""
        with _damage(self._path):
            if self._file.read(1):
                raise ValueError("it is longer than it should be")


@contextmanager
def writing_part(path: Path) -> Iterator[PartWriter]:
    """Write a part, which appears under ``path`` when the ``with`` block ends without an error.

    Raises
    ------
    OutputError
        If the disk does not take it.
    """
    part = part_path(path)
    try:
        with gdal_errors(path):
            # The quickest level: most of it are zeros, and it is read once.
            file = cast("IO[bytes]", gzip.open(part, "wb", compresslevel=1))  # noqa: SIM115
        try:
            yield PartWriter(path, file)
        finally:
            with gdal_errors(path):
                file.close()
        with gdal_errors(path):
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def reading_part(path: Path) -> Iterator[PartReader]:
    """Read a part.

    Raises
    ------
    OutputError
        If it is damaged; it is then removed, so that the next run computes it again.
    """
    with _damage(path):
        file = cast("IO[bytes]", gzip.open(path, "rb"))  # noqa: SIM115
    with file:
        yield PartReader(path, file)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, ValueError, zlib.error) as error:
        path.unlink(missing_ok=True)
        raise OutputError(f"{path} is damaged ({error}); run again to compute it anew") from error
