"""What the figures say, in words, and no more than they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geot2t.report.scores import (
    KINDS,
    decimals,
    found,
    interval,
    kinds_of,
    look,
    ranking,
    written,
)

FEW = 5
"""Cases under which intervals from resampling them are too narrow to lean on."""

NAMED = 3
"""Methods that a sentence lists; more are counted."""


def verdict(results: Mapping[str, Any]) -> str:
    """One paragraph: which method errs least, by how much, and whether that is sure.

    Two methods are told apart by the interval of the mean of their ratio over the cases where
    that is known (to linear interpolation and to the prior), else by the intervals of their
    ratios to linear interpolation, else by those of their errors. Intervals that overlap, or
    that hold a ratio of 1, tell nothing apart.
    """
    kinds = [kind for kind in kinds_of(results) if ranking(results, kind)]
    if not kinds:
        return "No method has an error that could be measured, so there is nothing to compare."
    kind, ranked = kinds[0], ranking(results, kinds[0])
    said = [_first(results, kind, ranked), *_against_linear(results, kind, ranked[0])]
    said += _against_others(results, kind, ranked)
    said += _chosen(results, kind, ranked)
    said += _coverage(results, kind, "geot2t" if "geot2t" in ranked else ranked[0])
    return " ".join(said)


def asides(results: Mapping[str, Any]) -> list[str]:
    """One sentence for each further kind of case, and how far all this goes."""
    kinds = [kind for kind in kinds_of(results) if ranking(results, kind)]
    if not kinds:
        return []
    said = [_other(results, kind) for kind in kinds[1:]]
    return [*said, "All this holds for this series and these gaps; elsewhere it may be otherwise."]


def better(results: Mapping[str, Any], kind: str, one: str, other: str) -> bool:
    """Whether ``one`` errs less than ``other`` by more than chance explains."""
    if case_count(results, kind) < 2:
        return False
    summary = look(results, "summary", kind)
    if (ratio := interval(look(summary, one, f"to_{other}"))) is not None:
        return ratio[1] < 1
    if (ratio := interval(look(summary, other, f"to_{one}"))) is not None:
        return ratio[0] > 1
    for key in ("to_linear", "mae"):
        mine, theirs = (interval(look(summary, m, key)) for m in (one, other))
        if mine is not None and theirs is not None:
            return mine[1] < theirs[0]
    return False


def case_count(results: Mapping[str, Any], kind: str) -> int:
    """Cases of a kind."""
    return sum(case.get("kind") == kind for case in results.get("cases") or ())


def _first(results: Mapping[str, Any], kind: str, ranked: Sequence[str]) -> str:
    mae = look(results, "summary", kind, ranked[0], "mae")
    mean, between = found(mae, "mean"), interval(mae)
    digits = decimals([mean])
    count = case_count(results, kind)
    unit = f" {results['unit']}" if results.get("unit") else ""
    cases = "one case" if count == 1 else f"{count} cases"
    spread = "" if between is None or count < 2 else (
        f" (interval {written(between[0], digits)} to {written(between[1], digits)})"
    )  # fmt: skip
    error = f"mean absolute error: {written(mean, digits)}{unit}{spread}"
    where = f"Over {cases} with {KINDS.get(kind, kind)},"
    if len(ranked) == 1:
        return f"{where} {ranked[0]}, the only method that was measured, has the {error}."
    return f"{where} {ranked[0]} has the least {error}."


def _against_linear(results: Mapping[str, Any], kind: str, best: str) -> list[str]:
    ratio = look(results, "summary", kind, best, "to_linear")
    mean, between = found(ratio, "mean"), interval(ratio)
    if best == "linear" or mean is None:
        return []
    text = f"It makes {written(mean, 2)} times the error of linear interpolation"
    if between is None or case_count(results, kind) < 2:
        return [f"{text}."]
    held = f"interval {written(between[0], 2)} to {written(between[1], 2)}"
    if between[0] <= 1 <= between[1]:
        return [f"{text}, but the {held} holds 1: the two cannot be told apart."]
    return [f"{text} ({held})."]


def _against_others(results: Mapping[str, Any], kind: str, ranked: Sequence[str]) -> list[str]:
    best, others = ranked[0], [m for m in ranked[1:] if m != "linear"]
    if best == "linear" or found(results, "summary", kind, best, "to_linear", "mean") is None:
        others = list(ranked[1:])  # nothing was said of linear yet
    tied = [m for m in others if not better(results, kind, best, m)]
    behind = [m for m in others if m not in tied]
    count = case_count(results, kind)
    if count < 2:
        return ["One case cannot tell methods apart."] if ranked[1:] else []
    said = []
    if tied:
        said.append(f"It cannot be told apart from {listed(tied)}.")
    if behind:
        said.append(f"It errs less than {listed(behind)}, by more than chance explains.")
    if count < FEW:
        said.append(f"With {count} cases such intervals are rough.")
    return said


def _chosen(results: Mapping[str, Any], kind: str, ranked: Sequence[str]) -> list[str]:
    """What becomes of the method that users get, if it is not the first."""
    if "geot2t" not in ranked[1:]:
        return []
    errors = [found(results, "summary", kind, m, "mae", "mean") for m in ("geot2t", ranked[0])]
    if errors[0] is None or not errors[1]:
        return []
    ratio = written(errors[0] / errors[1], 3)
    return [f"What geot2t would write has a mean error {ratio} times that of the first."]


def _coverage(results: Mapping[str, Any], kind: str, method: str) -> list[str]:
    share = found(results, "summary", kind, method, "coverage", "mean")
    if share is None:
        return []
    held = written(share, 1, percent=True)
    return [f"The 90 % intervals of {method} held {held} of the hidden values."]


def _other(results: Mapping[str, Any], kind: str) -> str:
    ranked, count = ranking(results, kind), case_count(results, kind)
    start = f"With {KINDS.get(kind, kind)} ({count} {'case' if count == 1 else 'cases'})"
    if len(ranked) == 1:
        return f"{start}, only {ranked[0]} was measured."
    text = f"{start}, {ranked[0]} errs least"
    if count > 1:
        tied = [m for m in ranked[1:] if not better(results, kind, ranked[0], m)]
        text += f", not told apart from {listed(tied)}" if tied else ", told apart from all others"
    ratio = found(results, "summary", kind, "geot2t", "to_linear", "mean")
    if ratio is None:
        return f"{text}."
    return f"{text}; geot2t makes {written(ratio, 2)} times the error of linear interpolation."


def listed(methods: Sequence[str]) -> str:
    """Methods by name, as a sentence lists them; how many they are where they are many."""
    if len(methods) > NAMED:
        return f"{len(methods)} of the others"
    *rest, last = methods
    return f"{', '.join(rest)} and {last}" if rest else last
