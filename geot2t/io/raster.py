"""One raster being written: in whole blocks, with a checksum of each kept to compare later.

GDAL drops errors that come up while a file is closed, and a file with blocks missing opens
and reads zeros. So nothing counts as written until it has been read back.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geot2t.errors import InputError, OutputError
from geot2t.grid import Box, blocks
from geot2t.io.options import threads

_AT_ONCE = 32 * 2**20
"""Bytes read back at once."""

_ENV = {
    "GDAL_TIFF_INTERNAL_MASK": "YES",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}


def sidecar(path: Path) -> Path:
    """Where GDAL puts the little that a GeoTIFF cannot hold, such as an unusual CRS."""
    return path.with_name(path.name + ".aux.xml")


@contextmanager
def gdal_errors(path: Path) -> Iterator[None]:
    """Turn whatever GDAL and rasterio raise while writing ``path`` into an OutputError."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError) as error:
        if isinstance(error, OutputError | InputError):
            raise
        said = " ".join(str(error.__cause__ or error).split())
        raise OutputError(f"cannot write {path}: {said or type(error).__name__}") from error


class RasterPart:
    """A GeoTIFF under a temporary name.

    Parameters
    ----------
    path : Path
        Name that the raster will have, for messages.
    part : Path
        Name that it has for now.
    profile : mapping
        Arguments for ``rasterio.open``.
    mask_band : bool
        Whether it gets an internal mask band.
    """

    def __init__(
        self, path: Path, part: Path, profile: Mapping[str, Any], *, mask_band: bool = False
    ) -> None:
        self.path, self.part, self.mask_band = path, part, mask_band
        with self._gdal():
            self.dataset = rasterio.open(part, "w", driver="GTiff", **profile)
            self.count: int = self.dataset.count
            self.dtype = np.dtype(self.dataset.dtypes[0])
            self.block: tuple[int, int] = self.dataset.block_shapes[0]
            self.extent = Box(0, 0, self.dataset.height, self.dataset.width)
        rows, cols = (-(-n // b) for n, b in zip(self.dataset.shape, self.block, strict=True))
        self._sums = np.zeros((rows, cols), "uint32")
        self._written = np.zeros((rows, cols), bool)
        self._sparse_overviews = False

    @contextmanager
    def _gdal(self) -> Iterator[None]:
        with gdal_errors(self.path), rasterio.Env(GDAL_NUM_THREADS=threads(), **_ENV):
            yield

    def blocks(self) -> Iterator[Box]:
        """The blocks of the file, row by row."""
        return blocks(self.extent, *self.block)

    def check(self, box: Box, values: NDArray[Any]) -> None:
        """Raise InputError unless ``values`` can be written to ``box`` as they are.

        rasterio would resample an array of another shape and wrap one of another type.
        """
        want = (self.count, box.height, box.width)
        if values.shape != want or values.dtype != self.dtype:
            raise InputError(
                f"{self.path.name} takes {self.dtype} of shape {want} for {box}, "
                f"got {values.dtype} of shape {values.shape}"
            )
        for start, stop, end, side in zip(
            (box.row, box.col), box.stop, self.extent.stop, self.block, strict=True
        ):
            if start % side or start < 0 or stop > end or (stop % side and stop != end):
                raise InputError(f"{box} does not consist of whole {self.block} blocks")

    def write(
        self, box: Box, values: NDArray[Any], visible: NDArray[np.bool_] | None = None
    ) -> None:
        """Write one or more whole blocks.

        Parameters
        ----------
        box : Box
            Where; its edges lie on block edges or on those of the raster.
        values : ndarray, shape ``(band, y, x)``
            Of the file's type.
        visible : ndarray of bool, shape ``(y, x)``, optional
            The mask band, where there is one.
        """
        self.check(box, values)
        with self._gdal():
            self.dataset.write(values, window=_window(box))
            if self.mask_band and visible is not None:
                self.dataset.write_mask(visible, window=_window(box))
        for block in blocks(box, *self.block):
            cut = block.within(box)
            here = block.row // self.block[0], block.col // self.block[1]
            shown = None if not self.mask_band or visible is None else visible[cut]
            self._sums[here] = _checksum(values[:, *cut], shown)
            self._written[here] = True

    def close(self) -> None:
        """Close the file, and make sure that no block was left out.

        Raises
        ------
        OutputError
            If a block was never written.
        """
        with self._gdal():
            self.dataset.close()
        if not self._written.all():
            row, col = np.argwhere(~self._written)[0] * self.block
            raise OutputError(
                f"{self.path.name}: the block at row {row}, col {col} was not written"
            )

    def discard(self) -> None:
        """Close the file, which is about to be deleted; errors no longer matter."""
        with suppress(OutputError), self._gdal():
            self.dataset.close()

    def build_overviews(self, factors: Sequence[int], resampling: str) -> None:
        """Add reduced copies to the closed file."""
        with self._gdal(), rasterio.open(self.part, "r+", driver="GTiff") as dataset:
            dataset.build_overviews(list(factors), Resampling[resampling])

    def to_cog(self, options: Mapping[str, str]) -> None:
        """Turn the closed file into a Cloud Optimized GeoTIFF of the same pixels."""
        cog = self.part.with_name(self.part.name + ".cog")
        with self._gdal():
            rasterio.shutil.copy(self.part, cog, driver="COG", **options)
            self._sparse_overviews = True
            _keep_namespaces(self.part, cog)
            cog.replace(self.part)
            sidecar(self.part).unlink(missing_ok=True)
            if sidecar(cog).exists():
                sidecar(cog).replace(sidecar(self.part))

    def verify(self) -> None:
        """Read the closed file back and compare every block with what was written.

        Raises
        ------
        OutputError
            If a block differs or cannot be read, or an overview is incomplete.
        """
        with self._gdal(), rasterio.open(self.part, driver="GTiff", NUM_THREADS=threads()) as file:
            for box in self._several():
                window = _window(box)
                values = file.read(window=window)
                shown = file.read_masks(1, window=window) > 0 if self.mask_band else None
                for block in blocks(box, *self.block):
                    self._compare(block, values, shown, block.within(box))
            for level in range(len(file.overviews(1))):
                self._verify_overview(file, level)

    def _several(self) -> Iterator[Box]:
        """Rows of blocks, of so many that GDAL can decode some of them at once."""
        high, wide = self.block
        size = high * wide * self.count * self.dtype.itemsize
        return blocks(self.extent, high, wide * max(_AT_ONCE // size, 1))

    def _compare(
        self,
        block: Box,
        values: NDArray[Any],
        shown: NDArray[np.bool_] | None,
        cut: tuple[slice, slice],
    ) -> None:
        here = block.row // self.block[0], block.col // self.block[1]
        if self._sums[here] != _checksum(values[:, *cut], None if shown is None else shown[cut]):
            raise OutputError(
                f"{self.path.name} did not read back as written at row {block.row}, "
                f"col {block.col}: is the disk full or failing?"
            )

    def _verify_overview(self, file: Any, level: int) -> None:
        size = self.part.stat().st_size
        with rasterio.open(self.part, driver="GTiff", OVERVIEW_LEVEL=level) as reduced:
            high, wide = reduced.block_shapes[0]
            for box in blocks(Box(0, 0, reduced.height, reduced.width), high, wide):
                name = f"{box.col // wide}_{box.row // high}"
                start, length = (
                    file.get_tag_item(f"BLOCK_{what}_{name}", "TIFF", bidx=1, ovr=level)
                    for what in ("OFFSET", "SIZE")
                )
                # Only the COG driver, which reports a full disk, leaves empty blocks out.
                missing = start is None and not self._sparse_overviews
                if missing or (start is not None and int(start) + int(length) > size):
                    raise OutputError(f"{self.path.name}: an overview is incomplete")
                reduced.read(window=_window(box))


def _window(box: Box) -> Window:
    return Window(box.col, box.row, box.width, box.height)


def _checksum(values: NDArray[Any], visible: NDArray[np.bool_] | None) -> int:
    total = zlib.crc32(np.ascontiguousarray(values).data)
    return total if visible is None else zlib.crc32(np.ascontiguousarray(visible).data, total)


def _keep_namespaces(draft: Path, cog: Path) -> None:
    """Put tags of namespaces that the COG driver left out into the file beside ``cog``."""
    with rasterio.open(draft, driver="GTiff") as before, rasterio.open(cog) as after:
        lost = set(before.tag_namespaces()) - set(after.tag_namespaces())
        tags = {name: before.tags(ns=name) for name in lost if not name.startswith("xml:")}
    if not tags:
        return
    beside = sidecar(cog)
    root = ET.Element("PAMDataset")
    if beside.exists():
        root = ET.fromstring(beside.read_text(encoding="utf-8"))  # noqa: S314  GDAL's own
    for name, entries in tags.items():
        domain = ET.SubElement(root, "Metadata", domain=name)
        for key, value in entries.items():
            ET.SubElement(domain, "MDI", key=key).text = value
    ET.ElementTree(root).write(beside, encoding="utf-8")


def try_cog(dtype: np.dtype[Any], options: Mapping[str, str]) -> None:
    """Raise OutputError if the COG driver does not take ``options`` for ``dtype``.

    The driver only copies finished rasters. Without this trial, a wrong value would come to
    light when all is computed.
    """
    name = f"/vsimem/geot2t-{os.getpid()}-{threading.get_ident()}"
    draft, trial = f"{name}-draft.tif", f"{name}.tif"
    with gdal_errors(Path("a COG")), rasterio.Env(GDAL_NUM_THREADS=threads(), **_ENV):
        try:
            size = {"height": 16, "width": 16, "count": 1, "dtype": dtype.name}
            somewhere = Affine(1, 0, 8, 0, -1, 8)  # nowhere, rasterio would warn
            with rasterio.open(draft, "w", driver="GTiff", transform=somewhere, **size):
                pass
            rasterio.shutil.copy(draft, trial, driver="COG", **options)
        finally:
            for path in (draft, trial):
                with suppress(RasterioError):
                    rasterio.shutil.delete(path)
