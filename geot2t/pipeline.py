"""Work that overlaps: three stages, or several items of one.

Reading and writing each have a thread of their own; computing stays in the caller's thread,
where Ctrl-C arrives, or in threads side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import Generic, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")
Done = TypeVar("Done")


def overlap(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    compute: Callable[[Read], Done],
    write: Callable[[Done], None],
    *,
    ahead: int = 1,
    behind: int = 2,
) -> None:
    """Run ``write(compute(read(item)))`` for each item, in order, the stages overlapping.

    Each stage sees the items one at a time and in order, so none needs locks of its own. An
    exception in any stage, Ctrl-C included, stops all three: what has not begun never begins,
    what has begun is waited for, then the exception is raised.

    Parameters
    ----------
    items : iterable
        What to work on. Drawn from lazily, in the caller's thread.
    read, compute, write : callable
        The stages.
    ahead : int
        Items read, or being read, beyond the one that is computed. Bounds memory.
    behind : int
        Results waiting to be written, or being written. Bounds memory.
    """
    source = iter(items)
    reader, writer = _Stage("geot2t-read", read), _Stage("geot2t-write", write)
    reads: deque[Future[Read]] = deque()
    writes: deque[Future[None]] = deque()
    try:
        reads.extend(map(reader.submit, islice(source, ahead)))
        while True:
            reads.extend(map(reader.submit, islice(source, 1)))
            if not reads:
                break
            ready = reads.popleft().result()
            # A finished write that failed is raised now, not after the next long computation.
            while writes and (len(writes) >= behind or writes[0].done()):
                writes.popleft().result()
            writes.append(writer.submit(compute(ready)))
        while writes:
            writes.popleft().result()
    finally:
        reader.stop()
        writer.stop()


def abreast(work: Callable[[Item], Done], items: Iterable[Item], threads: int) -> Iterator[Done]:
    """Yield ``work(item)`` for each item, in order, computed by so many threads side by side.

    Items are drawn in the caller's thread, each when a thread is about to need it. An exception
    of any item is raised in its place; what has not begun then never begins.
    """
    if threads < 2:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="geot2t-abreast")
    begun: deque[Future[Done]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Stage(Generic[Item, Done]):
    """A thread that does ``work`` on one item after another, and nothing after a failure."""

    def __init__(self, name: str, work: Callable[[Item], Done]) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._work = work
        self._stopped = Event()

    def submit(self, item: Item) -> Future[Done]:
        return self._pool.submit(self._run, item)

    def _run(self, item: Item) -> Done:
        # The thread takes its next item before the caller can hear that this one failed.
        if self._stopped.is_set():
            raise CancelledError
        try:
            return self._work(item)
        except BaseException:
            self._stopped.set()
            raise

    def stop(self) -> None:
        """Drop what has not begun and wait for what has."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
