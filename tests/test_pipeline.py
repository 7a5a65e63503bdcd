"""Stages that overlap and items side by side: order, bounds, and how they stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geot2t.pipeline import abreast, overlap


class Trace:
    """Stages that note what they did; ``fail`` is (stage, item) at which one of them raises."""

    def __init__(self, fail: tuple[str, int] | None = None) -> None:
        self.fail = fail
        self.seen: dict[str, list[int]] = {"read": [], "compute": [], "write": []}

    def stage(self, name: str, item: int) -> int:
        if (name, item) == self.fail:
            raise OSError(f"{name} of {item}")
        self.seen[name].append(item)
        return item

    def run(self, items: int, **bounds: int) -> None:
        overlap(
            range(items),
            lambda i: self.stage("read", i),
            lambda i: self.stage("compute", i),
            lambda i: self.stage("write", i) and None,
            **bounds,
        )


@given(st.integers(0, 12), st.integers(0, 3), st.integers(1, 3))
def test_every_item_passes_every_stage_in_order(items: int, ahead: int, behind: int) -> None:
    trace = Trace()
    trace.run(items, ahead=ahead, behind=behind)
    assert all(seen == list(range(items)) for seen in trace.seen.values())


@given(st.sampled_from(["read", "compute", "write"]), st.integers(0, 9))
def test_a_failure_in_any_stage_stops_all_and_is_raised(stage: str, item: int) -> None:
    trace = Trace(fail=(stage, item))
    with pytest.raises(OSError, match=f"{stage} of {item}"):
        trace.run(10)
    assert trace.seen["write"] == list(range(len(trace.seen["write"])))
    assert len(trace.seen["write"]) <= item
    assert len(trace.seen["read"]) <= item + 6, "reading went on after the failure"
    assert not [
        t for t in threading.enumerate() if t.name.startswith(("geot2t-read", "geot2t-write"))
    ]


def test_ctrl_c_in_the_computation_ends_both_threads() -> None:
    def interrupted(_: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        overlap(range(5), int, interrupted, lambda _: None)
    assert not [
        t for t in threading.enumerate() if t.name.startswith(("geot2t-read", "geot2t-write"))
    ]


def test_reading_stays_within_its_bound() -> None:
    read = computed = 0
    lead = []

    def count_read(i: int) -> int:
        nonlocal read
        read += 1
        return i

    def count_computed(i: int) -> int:
        nonlocal computed
        time.sleep(0.002)
        lead.append(read - computed)
        computed += 1
        return i

    overlap(range(30), count_read, count_computed, lambda _: None, ahead=2)
    assert max(lead) <= 1 + 2


def test_stages_overlap() -> None:
    together = threading.Barrier(3, timeout=5)

    def meet_at(in_flight: int) -> Callable[[int], int]:
        def stage(item: int) -> int:
            if item == in_flight:
                together.wait()
            return item

        return stage

    # The barrier opens only if reading 3, computing 2 and writing 1 happen at one time.
    written = meet_at(1)
    overlap(range(5), meet_at(3), meet_at(2), lambda item: written(item) and None)


@given(st.lists(st.integers()), st.integers(0, 4))
def test_side_by_side_comes_out_in_order(items: list[int], threads: int) -> None:
    assert list(abreast(lambda i: 2 * i, items, threads)) == [2 * i for i in items]


def test_so_many_threads_work_at_once_on_items_drawn_as_they_are_needed() -> None:
    both = threading.Barrier(2, timeout=10)
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for i in range(10):
            drawn.append(i)
            yield i

    for done, _ in enumerate(abreast(lambda _: both.wait(), items(), 2), 1):
        assert len(drawn) <= done + 3


def test_a_failure_side_by_side_is_raised_and_the_rest_never_begins() -> None:
    seen: list[int] = []

    def work(item: int) -> int:
        seen.append(item)
        if item == 3:
            raise OSError("3")
        return item

    out = abreast(work, range(100), 2)
    with pytest.raises(OSError, match="3"):
        list(out)
    assert len(seen) < 8
