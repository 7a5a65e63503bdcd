"""The page: tables and pictures as HTML, escaped by the template, in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from geot2t import __version__
from geot2t.errors import InputError
from geot2t.io.picture import png
from geot2t.report.figures import Figure
from geot2t.report.scores import (
    KINDS,
    METHODS,
    NOMINAL,
    SCORES,
    Score,
    decimals,
    found,
    interval,
    kinds_of,
    look,
    methods_of,
    ranking,
    written,
)
from geot2t.report.verdict import asides, case_count, verdict


@dataclass(frozen=True, slots=True)
class Picture:
    """One case to look at: before, truth and what each method made of it."""

    case: int
    """Number of the case in the results."""

    title: str
    """What is seen."""

    scene: NDArray[np.uint8]
    """The scene with its gap, shape ``(y, x, 3)``, red, green, blue."""

    truth: NDArray[np.uint8]
    """What the gap hid, of the same shape."""

    fills: Mapping[str, NDArray[np.uint8]]
    """What each method filled in, by its name, of the same shape."""

    def __post_init__(self) -> None:
        for name, pixels in {"scene": self.scene, "truth": self.truth, **self.fills}.items():
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise InputError(
                    f"{name} must be uint8 of shape (y, x, 3), got {pixels.dtype} {pixels.shape}"
                )
            if pixels.shape != self.scene.shape:
                raise InputError(f"{name} must be as large as the scene {self.scene.shape}")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table."""

    text: str
    note: str = ""
    """In small letters below."""

    key: float | str = ""
    """By which a column is sorted; empty is last."""

    best: bool = False
    head: bool = False
    """Whether it names the row."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be sorted."""

    title: str
    columns: Sequence[tuple[str, str]]
    """Title and meaning of each."""

    rows: Sequence[Sequence[Cell]]


def render(
    results: Mapping[str, Any], pictures: Sequence[Picture], figures: Mapping[str, Figure] | None
) -> str:
    """Render the whole page.

    Parameters
    ----------
    results : mapping
        See `geot2t.report.write_report`.
    pictures : sequence of Picture
    figures : mapping of str to Figure, optional
        None if they could not be drawn.
    """
    return fill_template(
        "page.html",
        series=as_text(results.get("series")),
        verdict=verdict(results),
        asides=asides(results),
        notes=[str(note) for note in results.get("notes") or ()],
        facts=list(_facts(results)),
        summaries=[_summary(results, kind) for kind in kinds_of(results)],
        scores=SCORES,
        figures=None if figures is None else [_shown(figure) for figure in figures.values()],
        views=[_view(picture, results) for picture in pictures],
        cases=_cases(results),
        methods={m: METHODS[m] for m in methods_of(results) if m in METHODS},
        options=[(str(k), as_text(v)) for k, v in (results.get("options") or {}).items()],
        versions=[
            ("geot2t, evaluation", as_text(results.get("version"))),
            ("geot2t, this page", __version__),
            ("format", as_text(results.get("format"))),
            ("seed", as_text(results.get("seed"))),
        ],
    )


def fill_template(template: str, **shown: Any) -> str:
    """A page made of a template of ours, with style and script in it; what is shown is escaped."""
    here = files("geot2t.report")
    texts = {
        file: here.joinpath(file).read_text("utf-8")
        for file in (template, "frame.html", "parts.html", "page.css", "page.js")
    }
    style, script = texts.pop("page.css"), texts.pop("page.js")
    environment = Environment(
        loader=DictLoader(texts),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        policy=policy(style, script),
        style=Markup(style),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        **shown,
    )


def policy(style: str, script: str) -> str:
    """Content-Security-Policy that allows this style, this script and pictures in the page only."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; "
        f"script-src 'sha256-{script_hash}'; base-uri 'none'; form-action 'none'"
    )


def data_uri(data: bytes, kind: str) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def as_text(value: Any) -> str:
    """A value in words; a dash where there is none."""
    if value is None or value == "":
        return "–"  # noqa: RUF001
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float) for v in value):
        return ", ".join(map(as_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(inner)}" for key, inner in value.items())
    return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)


def _facts(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kinds = kinds_of(results)
    counts = [f"{case_count(results, kind)} {kind}" for kind in kinds]
    yield "Cases", ", ".join(counts) or "none"
    yield "Methods", ", ".join(methods_of(results)) or "none"
    yield "Bands", as_text(results.get("bands"))
    yield "Unit", as_text(results.get("unit"))


def _summary(results: Mapping[str, Any], kind: str) -> Table:
    """Methods in rows, the best first; scores in columns, unless nothing is known of them."""
    summary = look(results, "summary", kind) or {}
    ranked = ranking(results, kind)
    methods = ranked + [m for m in methods_of(results) if m in summary and m not in ranked]
    columns: list[tuple[str, str]] = [("method", "")]
    rows = [[Cell(m, METHODS.get(m, ""), m, head=True)] for m in methods]
    count = case_count(results, kind)
    for title, meaning, cells in _columns(summary, methods, count):
        columns.append((title, meaning))
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    what = KINDS.get(kind)
    title = f"{kind}{f': {what}' if what else ''}, {count} {'case' if count == 1 else 'cases'}"
    return Table(title, columns, rows)


def _columns(
    summary: Mapping[str, Any], methods: Sequence[str], count: int
) -> Iterator[tuple[str, str, list[Cell]]]:
    """The error first, then how it compares, then all other scores."""
    mae, *others = SCORES
    yield from _column(summary, methods, mae, count)
    if count > 1:
        medians = [found(summary, m, "mae", "median") for m in methods]
        if any(v is not None for v in medians):
            yield "median", "Median of the MAE over the cases.", _cells(medians, mae)
    for other in ("linear", "prior"):
        meaning = f"Mean over the cases of the MAE divided by that of {other}."
        ratio = Score(f"to_{other}", f"MAE / {other}", "low", 3, meaning)
        yield from _column(summary, methods, ratio, count)
    wins = [found(summary, m, "wins") for m in methods]
    if any(v is not None for v in wins):
        meaning = "Share of the cases in which the method has the least MAE; ties are split."
        score = Score("wins", "wins", "high", 0, meaning, percent=True)
        yield score.title, meaning, _cells(wins, score)
    for score in others:
        yield from _column(summary, methods, score, count)


def _column(
    summary: Mapping[str, Any], methods: Sequence[str], score: Score, count: int
) -> Iterator[tuple[str, str, list[Cell]]]:
    """Means over the cases with their intervals; nothing where none is known."""
    values = [found(summary, m, score.key, "mean") for m in methods]
    if any(v is not None for v in values):
        notes = [_note(look(summary, m, score.key), score, values, count) for m in methods]
        yield score.title, score.meaning, _cells(values, score, notes)


def _note(tree: Any, score: Score, values: Sequence[float | None], count: int) -> str:
    """The interval under a mean; of one case there is none."""
    between = interval(tree)
    if between is None or count < 2:
        return ""
    digits = decimals(values) if score.decimals is None else score.decimals
    low, high = (written(v, digits, percent=score.percent) for v in between)
    return f"{low} to {high}"


def _cells(
    values: Sequence[float | None], score: Score, notes: Sequence[str] | None = None
) -> list[Cell]:
    digits = decimals(values) if score.decimals is None else score.decimals
    texts = [written(v, digits, percent=score.percent) for v in values]
    top = _best(values, score.better)
    best = None if top is None else texts[top]
    return [
        Cell(text, note, "" if v is None else v, best=text == best and len(values) > 1)
        for text, v, note in zip(texts, values, notes or [""] * len(values), strict=True)
    ]


def _best(values: Sequence[float | None], better: str | None) -> int | None:
    distance: dict[str, Callable[[float], float]] = {
        "low": lambda v: v,
        "high": lambda v: -v,
        "zero": abs,
        "nominal": lambda v: abs(v - NOMINAL),
    }
    known = {i: v for i, v in enumerate(values) if v is not None}
    if better is None or not known:
        return None
    return min(known, key=lambda i: distance[better](known[i]))


def _cases(results: Mapping[str, Any]) -> Table:
    methods = methods_of(results)
    cases = results.get("cases") or []
    mae = Score("mae", "MAE", "low", None, "")
    columns = [("case", ""), ("kind", ""), ("date", ""), ("gap", "Share of the scene hidden.")]
    columns += [("cloud", "Where its shape is from."), ("pixels", "Hidden pixels that are scored.")]
    columns += [(m, f"MAE of {m}.") for m in methods]
    digits = decimals(found(c, "scores", m, "mae") for c in cases for m in methods)
    rows = []
    for case in cases:
        gap, pixels = found(case, "gap"), found(case, "pixels")
        name = as_text(case.get("id"))
        row = [Cell(name, key=case["id"] if isinstance(case.get("id"), int) else name, head=True)]
        row += [Cell(as_text(case.get(k)), key=as_text(case.get(k))) for k in ("kind", "date")]
        row.append(Cell(written(gap, 1, percent=True), key="" if gap is None else gap))
        row.append(Cell(as_text(case.get("cloud")), key=as_text(case.get("cloud"))))
        row.append(Cell(written(pixels, 0), key="" if pixels is None else pixels))
        values = [found(case, "scores", m, "mae") for m in methods]
        row += _cells(values, Score("", "", mae.better, digits, ""))
        rows.append(row)
    return Table("All cases, MAE of each method", columns, rows)


def _shown(figure: Figure) -> dict[str, str]:
    return {
        "title": figure.title,
        "note": figure.note,
        "alt": figure.alt,
        "light": data_uri(figure.light, "image/svg+xml"),
        "dark": data_uri(figure.dark, "image/svg+xml"),
    }


def _view(picture: Picture, results: Mapping[str, Any]) -> dict[str, Any]:
    """What the template needs of a picture: its layers, each with a label."""
    cases = [c for c in results.get("cases") or () if c.get("id") == picture.case]
    scores = look(cases[0], "scores") if cases else None
    errors = {m: found(scores, m, "mae") for m in picture.fills}
    digits = decimals(errors.values())
    layers = [("scene with gap", picture.scene), ("truth", picture.truth)]
    for method, pixels in picture.fills.items():
        error = errors[method]
        known = "" if error is None else f" (MAE {written(error, digits)})"
        layers.append((f"{method}{known}", pixels))
    ranked = sorted((m for m, e in errors.items() if e is not None), key=lambda m: errors[m] or 0.0)
    names = list(picture.fills)
    first = next((m for m in ("geot2t", *ranked, *names) if m in names), None)
    empty = bool((picture.scene == picture.scene[0, 0]).all())  # of a date that is hidden whole
    height, width, _ = picture.scene.shape
    return {
        "case": picture.case,
        "title": f"Case {picture.case}: {picture.title}",
        "height": height,
        "width": width,
        "layers": [
            {"label": label, "src": data_uri(png(pixels), "image/png")} for label, pixels in layers
        ],
        "left": int(empty),
        "right": 1 if first is None else 2 + names.index(first),
    }
