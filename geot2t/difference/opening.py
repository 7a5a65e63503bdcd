"""Two dates and their series, opened to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from geot2t.difference.hidden import Pair
from geot2t.errors import InputError
from geot2t.io.inputs import Given
from geot2t.io.stack import Stack, open_stack
from geot2t.request import Request
from geot2t.shortlist import MOST_DATES, shortlist


@contextmanager
def opened(
    before: str | Path,
    after: str | Path,
    series: Given | Sequence[Given] | None,
    cloud_mask: str | Path | None,
    request: Request,
) -> Iterator[tuple[Stack, Pair]]:
    """Open the two dates, and of the series those that cannot show the event.

    Parameters
    ----------
    before, after : str or Path
        The dates to compare.
    series : str or Path, or several
        Other dates.
    cloud_mask : str or Path, optional
        Where the date after was not observed.
    request : Request
        Options.

    Yields
    ------
    Stack, Pair
        The date after is the target.

    Raises
    ------
    InputError
        If the two are one file or one day, stand in the wrong order, or do not go together.
    """
    if _same(before, after):
        raise InputError(f"{before} and {after} are one file: give a date before and one after")
    others = _listed(series)

    def stack_of(several: Sequence[Given]) -> Stack:
        return open_stack(
            after, several, cloud_mask=cloud_mask, clouds=request.clouds, date=request.date,
            need_dates=bool(others),
        )  # fmt: skip

    two = stack_of([before])
    if len(two.dates) < 2:
        raise InputError(f"{before} and {after} are of the same day ({two.dates[0]})")
    first = two.paths[1 - two.target]
    when, then = two.dates[1 - two.target], two.dates[two.target]
    if when is not None and then is not None and when > then:
        raise InputError(f"{before} ({when}) is later than {after} ({then}): change their order")
    stack = two
    if others:
        two.close()
        stack = stack_of([before, *others])
        if first not in stack.paths:
            raise InputError(
                f"the series holds a clearer file of the day of {before} ({when}); compare that "
                "one, or take it out of the series"
            )
        stack = _earlier(stack, stack.paths.index(first), request.seed)
    with stack:
        yield stack, Pair(stack.paths.index(first), stack.target)


def _same(a: str | Path, b: str | Path) -> bool:
    try:
        return Path(a).samefile(b)
    except OSError:
        return str(a) == str(b)


def _listed(series: Given | Sequence[Given] | None) -> list[Given]:
    if series is None:
        return []
    if isinstance(series, Sequence) and not isinstance(series, str):
        return list(series)
    return [series]


def _earlier(stack: Stack, before: int, seed: int) -> Stack:
    """The stack without dates after ``before``, which may show the event, or too many."""
    until = stack.dates[before]
    keep = [
        i
        for i, d in enumerate(stack.dates)
        if i in (before, stack.target) or (d is not None and until is not None and d <= until)
    ]
    short = stack.subset(keep)
    if dropped := len(stack.dates) - len(keep):
        short.notes.append(f"{dropped} dates after {until} are left out: they may show the event")
    if len(short.dates) > MOST_DATES:
        first = short.paths.index(stack.paths[before])
        best = short.subset({*shortlist(short, MOST_DATES, seed=seed), first})
        best.notes.append(f"of {len(short.dates)} dates the most promising are used")
        return best
    return short
