"""Locks: a file that one run at a time can hold.

The kernel drops the lock when its owner dies, so nobody has to judge whether it is stale. Some
cluster file systems have no locks, and Windows has others; there the file's text has to do, which
says who holds it.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geot2t.errors import BusyError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def hold(name: Path, what: Path, *, strict: bool = False) -> Iterator[bool]:
    """Hold the lock file ``name``, which is removed in the end.

    Parameters
    ----------
    name : Path
        The lock file.
    what : Path
        What it locks, for messages.
    strict : bool
        Where the file system has no locks, believe what the file says: a process that is alive,
        or that ran on another computer, holds it. Otherwise everybody may pass there.

    Yields
    ------
    bool
        Whether the file system has locks, so that nobody else can hold this one.

    Raises
    ------
    BusyError
        If another run holds it.
    OSError
        If the file cannot be made.
    """
    handle, exclusive, owner = _take(name)
    if handle is None or (strict and not exclusive and _alive(owner)):
        if handle is not None:
            os.close(handle)
        remedy = "" if exclusive else f"; if that run is dead, remove {name}"
        raise BusyError(f"{what} is being written by another run ({owner or 'unknown'}){remedy}")
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield exclusive
    finally:
        name.unlink(missing_ok=True)
        os.close(handle)


def _take(name: Path) -> tuple[int | None, bool, str]:
    """An open lock file, or None if another process has it; whether locking works; its text."""
    exclusive = fcntl is not None
    while True:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
        owner = os.read(handle, 400).decode(errors="replace").strip()
        try:
            if exclusive:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None, True, owner
        except OSError:
            exclusive = False
        if name.exists() and os.path.samestat(os.fstat(handle), name.stat()):
            return handle, exclusive, owner
        os.close(handle)  # its last owner removed it between our open and our lock


def _alive(owner: str) -> bool:
    """Whether the process that a lock file names may still be running."""
    named = re.fullmatch(r"process (\d+) on (.+)", owner)
    if named is None:
        return False
    if named[2] != socket.gethostname():
        return True
    try:
        os.kill(int(named[1]), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
