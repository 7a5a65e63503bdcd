"""Files that appear whole or not at all.

Outputs are written under temporary names in the directory where they belong, and renamed
when every one of them is complete and on the disk. A lock beside them keeps a second run away.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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

    @property
    def rasters(self) -> dict[str, Path]:
        """The rasters by their key among the assets of the item."""
        found = {"filled": self.filled, "quality": self.quality, "error": self.error}
        return {key: path for key, path in found.items() if path is not None}

    @property
    def every(self) -> list[Path]:
        """All names that an earlier run may have left, the filled raster first."""
        whole = output_paths(self.filled)
        return [*whole.rasters.values(), whole.item]


class Names(Protocol):
    """Names of outputs that appear together, such as `OutputPaths`."""

    @property
    def filled(self) -> Path:
        """The one that appears last, by which the user calls them all."""
        ...

    @property
    def every(self) -> list[Path]:
        """All names that an earlier run may have left, ``filled`` first."""
        ...


def default_output(scene: Path) -> Path:
    """``SCENE_filled.tif`` beside the scene."""
    return scene.with_name(f"{scene.stem}_filled.tif")


def output_paths(out: Path, *, error: bool = True) -> OutputPaths:
    """Names of the files that go with ``out``.

    Raises
    ------
    InputError
        If ``out`` is not named like a GeoTIFF.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the output is a GeoTIFF: name it {out.stem}.tif instead of {out.name}")
    out = out.absolute()
    return OutputPaths(
        filled=out,
        quality=out.with_name(f"{out.stem}_quality.tif"),
        error=out.with_name(f"{out.stem}_error.tif") if error else None,
        item=out.with_name(f"{out.stem}.json"),
    )


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
    with _os_errors(paths.filled):
        _check_targets(paths, inputs, overwrite=overwrite)


def _check_targets(paths: Names, inputs: Iterable[Path], *, overwrite: bool) -> None:
    folder = paths.filled.parent
    if not folder.is_dir():
        what = "is not a directory" if folder.exists() else "does not exist"
        raise OutputError(f"cannot write {paths.filled}: {folder} {what}")
    finals = _all_names(paths)
    sources = [path for path in map(Path, inputs) if path.exists()]
    for final in finals:
        for source in sources:
            if final.exists() and final.samefile(source):
                raise InputError(f"{final} is an input ({source}); choose another output with -o")
        if final.is_dir():
            raise InputError(f"{final} is a directory; choose another output with -o")
    if not overwrite:
        for final in finals:
            if os.path.lexists(final):
                raise InputError(f"{final} exists; pass --overwrite to replace it")


def _all_names(paths: Names) -> list[Path]:
    """All names that belong to the outputs, with the files that GDAL would read beside them."""
    rasters = [path for path in paths.every if path.suffix.lower() in (".tif", ".tiff")]
    beside = [raster.with_name(raster.name + end) for raster in rasters for end in _SIDECARS]
    return [*paths.every, *beside]


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
    path = paths.filled
    name = path.with_name(f".{path.name}.lock")
    # Temporary names hold the process number: where there are no locks, two runs cost time but
    # mix nothing up.
    with ExitStack() as held:
        with _os_errors(path):
            exclusive = held.enter_context(hold(name, path))
        try:
            _remove_parts(paths, "" if exclusive else str(os.getpid()))
            yield
        finally:
            _remove_parts(paths, str(os.getpid()))


def _remove_parts(paths: Names, owner: str) -> None:
    """Delete the temporary files of ``owner``, a process number; of anybody if it is empty."""
    prefixes = tuple(f".{path.name}.part-{owner}" for path in paths.every)
    with os.scandir(paths.filled.parent) as entries:
        parts = [entry.path for entry in entries if entry.name.startswith(prefixes)]
    for part in parts:
        Path(part).unlink(missing_ok=True)


def publish(paths: Names, parts: Mapping[Path, Path], *, overwrite: bool) -> None:
    """Move temporary files to their final names, the last one first.

    What an earlier run left under these names is removed before, the filled raster first:
    whenever it exists, its companions belong to it.

    Parameters
    ----------
    paths : Names
        All final names.
    parts : mapping of Path to Path
        Temporary name of each file by its final name. The filled raster is the first, so
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
    with _os_errors(paths.filled):
        for part in parts.values():
            _sync(part)
        try:
            for old in _all_names(paths):
                old.unlink(missing_ok=True)
            for final, part in reversed(list(parts.items())):
                part.replace(final)
                done.append(final)
        except BaseException:
            for path in done:
                path.unlink(missing_ok=True)
            raise
        _sync_folder(paths.filled.parent)


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
