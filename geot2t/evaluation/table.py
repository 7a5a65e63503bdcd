"""The results as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from geot2t.report.scores import (
    KINDS,
    SCORES,
    bucket_label,
    decimals,
    found,
    interval,
    kinds_of,
    look,
    ranking,
    written,
)

_SHOWN = ("mae", "rmse", "bias", "psnr", "ssim", "sam", "ndvi", "nbr", "coverage")


def lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield tables: all scores of the first kind of case, and the MAE by what else is known.

    Parameters
    ----------
    results : mapping
        As `geot2t.evaluate` gives them.
    """
    first, *others = kinds_of(results)
    methods = ranking(results, first)
    yield f"{results['series']}: errors in {results['unit']}"
    yield ""
    yield from _kind(results, first)
    if others:
        yield ""
        yield "Other kinds of cases: MAE (MAE / linear)"
        yield from _others(results, others)
    if sizes := look(results, "by", "gap_px"):
        yield ""
        yield f"MAE by size of the gap in pixels ({first})"
        numbers = [[look(b, "methods", m, "mae") for b in sizes] for m in methods]
        yield from _table(["method", *map(bucket_label, sizes)], methods, numbers)
    yield ""
    yield f"MAE by band ({first})"
    numbers = [_of_bands(results, first, m) for m in methods]
    yield from _table(["method", *results["bands"]], methods, numbers)


def _others(results: Mapping[str, Any], kinds: Sequence[str]) -> Iterator[str]:
    """A column for each kind, a row for each method."""
    methods = ranking(results, kinds[0])
    columns = [["method", *methods]]
    for kind in kinds:
        summary = results["summary"][kind]
        count = sum(case["kind"] == kind for case in results["cases"])
        mae = [found(summary, m, "mae", "mean") for m in methods]
        ratio = [found(summary, m, "to_linear", "mean") for m in methods]
        digits = decimals(mae)
        cells = (f"{written(a, digits)} ({written(b, 2)})" for a, b in zip(mae, ratio, strict=True))
        columns.append([f"{kind}, {count} {'case' if count == 1 else 'cases'}", *cells])
    yield from aligned([list(row) for row in zip(*columns, strict=True)])


def _kind(results: Mapping[str, Any], kind: str) -> Iterator[str]:
    summary = results["summary"][kind]
    methods = ranking(results, kind)
    cases = [case for case in results["cases"] if case["kind"] == kind]
    pixels = sum(case["pixels"] for case in cases)
    many = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
    yield f"{kind}: {KINDS[kind]}; {many}, {pixels} pixels scored"
    columns = [["method", *methods]]
    for score in SCORES:
        values = [found(summary, m, score.key, "mean") for m in methods]
        if score.key in _SHOWN and any(v is not None for v in values):
            digits = decimals(values) if score.decimals is None else score.decimals
            texts = [written(v, digits, percent=score.percent) for v in values]
            columns.append([score.title, *texts])
    columns.insert(
        -1, ["MAE / linear", *(_ratio(look(summary, m, "to_linear"), len(cases)) for m in methods)]
    )
    columns.insert(
        -1, ["wins", *(written(found(summary, m, "wins"), 0, percent=True) for m in methods)]
    )
    yield from aligned([list(row) for row in zip(*columns, strict=True)])


def _ratio(tree: Any, cases: int) -> str:
    """Mean ratio, and its interval where there is more than one case."""
    text, between = written(found(tree, "mean"), 3), interval(tree)
    if between is None or cases < 2:
        return text
    return f"{text} ({written(between[0], 2)} to {written(between[1], 2)})"


def _of_bands(results: Mapping[str, Any], kind: str, method: str) -> list[float]:
    """Mean over the cases of the MAE of each band."""
    rows = [case["by_band"][method] for case in results["cases"] if case["kind"] == kind]
    return [sum(row[i]["mae"] for row in rows) / len(rows) for i in range(len(rows[0]))]


def _table(
    head: Sequence[str], methods: Sequence[str], numbers: Sequence[Sequence[float]]
) -> Iterator[str]:
    digits = decimals(value for row in numbers for value in row)
    rows = zip(methods, numbers, strict=True)
    yield from aligned([head, *([m, *(written(v, digits) for v in row)] for m, row in rows)])


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of a table: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [text.rjust(n) for text, n in zip(others, widths[1:], strict=True)]
        yield "  ".join(["  " + first.ljust(widths[0]), *cells])
