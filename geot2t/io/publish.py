"""Files that appear whole or not at all.

Outputs are written under temporary names in the directory where they belong, and renamed
when every one of them is complete and on the disk. A lock beside them keeps a second run away.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from types import FrameType
from typing import Protocol

from geot2t.errors import InputError, OutputError
from geot2t.io.lock import hold

_SIDECARS = (".aux.xml", ".msk", ".ovr")
_MARGIN = 2**20


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """Names of all that is written for one scene."""

    filled: Path
    """The scene without gaps."""

    quality: Path
    """Provenance and days."""

    error: Path | None
    """Half-widths of the 90 % intervals; None if they are not wanted."""

    item: Path
    """The STAC Item with options, self-check and checksums."""

    samples: tuple[Path, ...] = ()
    """Different plausible fills, as many as were asked for."""

    spread: Path | None = None
    """Standard deviation of the samples; None of fewer than two."""

    report: Path | None = None
    """The page to look at; None if it is not wanted."""

    @property
    def main(self) -> Path:
        """The file that appears last."""
        return self.filled

    @property
    def rasters(self) -> dict[str, Path]:
        """The rasters by their key among the assets of the item."""
        found = {
            "filled": self.filled,
            "quality": self.quality,
            "error": self.error,
            "spread": self.spread,
            **{path.stem.removeprefix(f"{self.filled.stem}_"): path for path in self.samples},
        }
        return {key: path for key, path in found.items() if path is not None}

    @property
    def parts(self) -> list[Path]:
        """The files that may be written."""
        return [*self.rasters.values(), self.item, *filter(None, [self.report])]

    @property
    def names(self) -> list[Path]:
        """All names that belong to the outputs, whether they are wanted or not.

        Samples of an earlier run, of which there may have been more, are found on the disk: one
        after the other, because a folder may hold many thousand files.
        """
        out = self.filled
        beside = (f"{out.stem}_{what}.tif" for what in ("quality", "error", "spread"))
        drawn = takewhile(Path.exists, (_sample(out, i) for i in count(1)))
        rasters = dict.fromkeys([out, *map(out.with_name, beside), *self.samples, *drawn])
        return [*with_sidecars(rasters), self.item, out.with_name(f"{out.stem}.html")]

    def is_part(self, name: str, owner: str) -> bool:
        """Whether a file is a temporary one of a process, or of any if ``owner`` is empty."""
        stem = re.escape(self.filled.stem)
        ends = r"_quality\.tif|_error\.tif|_spread\.tif|_sample_\d+\.tif|\.json|\.html"
        final = rf"{re.escape(self.filled.name)}|{stem}(?:{ends})"
        return re.match(rf"\.(?:{final})\.part-{owner}", name) is not None


def _sample(out: Path, number: int) -> Path:
    return out.with_name(f"{out.stem}_sample_{number:02}.tif")


@dataclass(frozen=True, slots=True)
class OneRaster:
    """The name of a raster that is written alone, or with files of its own."""

    main: Path
    """The raster."""

    others: tuple[Path, ...] = ()
    """What goes with it, written or not."""

    @property
    def parts(self) -> list[Path]:
        """The files that may be written."""
        return [self.main, *self.others]

    @property
    def names(self) -> list[Path]:
        """The names, and those of the files that GDAL would read beside them."""
        return with_sidecars([self.main, *self.others])

    def is_part(self, name: str, owner: str) -> bool:
        """As of `OutputPaths`."""
        return any(name.startswith(f".{p.name}.part-{owner}") for p in (self.main, *self.others))


class Names(Protocol):
    """Names of files that appear together: `OutputPaths`, `OneRaster` and others like them."""

    @property
    def main(self) -> Path:
        """The file that appears last."""
        ...

    @property
    def parts(self) -> list[Path]:
        """The files that may be written."""
        ...

    @property
    def names(self) -> list[Path]:
        """All names that belong to the outputs, whether they are wanted or not."""
        ...

    def is_part(self, name: str, owner: str) -> bool:
        """Whether a file is a temporary one of a process, or of any if ``owner`` is empty."""
        ...


def with_sidecars(rasters: Iterable[Path]) -> list[Path]:
    """``rasters``, then the files that GDAL would read with them."""
    rasters = list(rasters)
    return [*rasters, *(r.with_name(r.name + end) for r in rasters for end in _SIDECARS)]


def default_output(scene: Path) -> Path:
    """``SCENE_filled.tif`` beside the scene; ``STACK_7_filled.tif`` for its page 7."""
    page = "_" + scene.suffix.split("#")[1] if "#" in scene.suffix else ""
    return scene.with_name(f"{scene.stem}{page}_filled.tif")


def output_paths(
    out: Path, *, error: bool = True, samples: int = 0, report: bool = False
) -> OutputPaths:
    """Names of the files that go with ``out``.

    Raises
    ------
    InputError
        If ``out`` is not named like a GeoTIFF.
    """
    out = geotiff_path(out)
    return OutputPaths(
        filled=out,
        quality=out.with_name(f"{out.stem}_quality.tif"),
        error=out.with_name(f"{out.stem}_error.tif") if error else None,
        item=out.with_name(f"{out.stem}.json"),
        samples=tuple(_sample(out, i) for i in range(1, samples + 1)),
        spread=out.with_name(f"{out.stem}_spread.tif") if samples > 1 else None,
        report=out.with_name(f"{out.stem}.html") if report else None,
    )


def geotiff_path(out: Path) -> Path:
    """``out`` as an absolute path.

    Raises
    ------
    InputError
        If it is not named like a GeoTIFF.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the output is a GeoTIFF: name it {out.stem}.tif instead of {out.name}")
    return out.absolute()


def part_path(path: Path) -> Path:
    """Temporary name of ``path``, in the same directory so that it can be renamed."""
    return path.with_name(f".{path.name}.part-{os.getpid()}")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that appears under ``path`` only when it is complete and on the disk.

    Raises
    ------
    OutputError
        If the disk does not take it; what was there before is left as it was.
    """
    part = part_path(path)
    with _os_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def refuse(path: Path, *, overwrite: bool) -> None:
    """Raise InputError if there is something at ``path`` that may not be replaced."""
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{path} exists; pass --overwrite to replace it")


def check_targets(paths: Names, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Make sure, before any work, that the outputs may be put where they should go.

    Raises
    ------
    InputError
        If an output is one of ``inputs`` under any name, is a directory, or exists and
        ``overwrite`` is false.
    OutputError
        If the directory is missing, or the name is not possible there.
    """
    with _os_errors(paths.main):
        _check_targets(paths, inputs, overwrite=overwrite)


def _check_targets(paths: Names, inputs: Iterable[Path], *, overwrite: bool) -> None:
    folder = paths.main.parent
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else "does not exist"
        raise OutputError(f"cannot write {paths.main}: {folder} {what}")
    finals = paths.names
    sources = [path for path in map(Path, inputs) if path.exists()]
    for final in finals:
        for source in sources:
            if final.exists() and final.samefile(source):
                raise InputError(f"{final} is an input ({source}); choose another output with -o")
        if final.is_dir():
            raise InputError(f"{final} is a directory; choose another output with -o")
    if not overwrite:
        for final in finals:
            refuse(final, overwrite=False)


def check_space(folder: Path, need: int) -> None:
    """Raise OutputError if less than ``need`` bytes (and a margin) are free in ``folder``."""
    need += _MARGIN
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OutputError(
            f"the outputs need about {_size(need)} but {folder} has {_size(free)} free"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@contextmanager
def locked(paths: Names) -> Iterator[None]:
    """Hold the lock of the outputs, and leave no temporary file of theirs behind.

    Temporary files found once the lock is held were left by a run that died, and go first.

    Raises
    ------
    BusyError
        If another run holds the lock.
    OutputError
        If no file can be made in the directory.
    """
    path = paths.main
    name = path.with_name(f".{path.name}.lock")
    # Temporary names hold the process number: where there are no locks, two runs cost time but
    # mix nothing up.
    died = name.exists()  # a run that ends takes its lock with it
    with ExitStack() as held:
        with _os_errors(path):
            exclusive = held.enter_context(hold(name, path))
        # The folder, which may hold many thousand files, is looked through only if need be.
        try:
            if died:
                _remove_parts(paths, "" if exclusive else str(os.getpid()))
            yield
        except BaseException:
            _remove_parts(paths, str(os.getpid()))
            raise
        else:
            for part in map(part_path, paths.parts):
                part.unlink(missing_ok=True)


def _remove_parts(paths: Names, owner: str) -> None:
    """Delete the temporary files of ``owner``, a process number; of anybody if it is empty."""
    with os.scandir(paths.main.parent) as entries:
        parts = [entry.path for entry in entries if paths.is_part(entry.name, owner)]
    for part in parts:
        Path(part).unlink(missing_ok=True)


def publish(paths: Names, parts: Mapping[Path, Path], *, overwrite: bool) -> None:
    """Move temporary files to their final names, the last one first.

    What an earlier run left under these names is removed before, the main raster first:
    whenever it exists, its companions belong to it.

    Parameters
    ----------
    paths : OutputPaths or OneRaster
        All final names.
    parts : mapping of Path to Path
        Temporary name of each file by its final name. The main raster is the first, so
        that it appears when all else is there.
    overwrite : bool
        Whether files of an earlier run may be removed.

    Raises
    ------
    InputError
        If ``overwrite`` is false and one of the names has been taken since `check_targets`.
    OutputError
        If the disk does not take the files.
    """
    check_targets(paths, (), overwrite=overwrite)
    done: list[Path] = []
    with _os_errors(paths.main):
        for part in parts.values():
            _sync(part)
        try:
            for old in paths.names:
                old.unlink(missing_ok=True)
            for final, part in reversed(list(parts.items())):
                part.replace(final)
                done.append(final)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise
        _sync_folder(paths.main.parent)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere, a directory cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def terminated_as_exception() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files go before the process does.

    Does nothing outside the main thread, or where the program handles SIGTERM itself.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
