"""Figures of an evaluation, as SVG, drawn without a window and without touching anybody's plots."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geot2t.report.scores import (
    KINDS,
    NOMINAL,
    decimals,
    found,
    interval,
    kinds_of,
    look,
    methods_of,
    number,
    written,
)

_INK, _SOFT, _GRID, _PAPER = "#24292e", "#57606b", "#d8dee5", "#fffffe"
_DARK = {_INK: "#e6edf2", _SOFT: "#a8b3bf", _GRID: "#333a42", _PAPER: "#171b21"}
"""Colours of the light figures, each used for one thing only, and those of the dark ones."""

_COLOURS = {
    "linear": "#7a828a",
    "nearest": "#a8741a",
    "median": "#8b62b8",
    "prior": "#2f7fc4",
    "network": "#c9502f",
    "geot2t": "#198a64",
}
_MORE = ("#b8477f", "#5f7f1f", "#1f8296", "#9a5b3f", "#6470c9")
_MARKERS = "osD^vPX*<>d"
_DASHES = ("-", "--", "-.", ":")

_RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _SOFT,
    "axes.edgecolor": _GRID,
    "axes.facecolor": _PAPER,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "grid.color": _GRID,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # letters stay letters: a tenth of the size
    "svg.hashsalt": "geot2t",  # names inside the file do not change from run to run
}
_WIDE = 5.0  # inches; on a telephone it is shrunk to two thirds and can still be read


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, for a light and for a dark page."""

    title: str
    note: str
    """How to read it, one sentence."""

    alt: str
    """What it shows, for those who do not see it."""

    light: bytes
    """SVG."""

    dark: bytes
    """SVG, the same drawing in other colours."""


def draw_all(results: Mapping[str, Any]) -> dict[str, Figure] | None:
    """Draw every figure for which there are numbers, by name; None without matplotlib.

    matplotlib's settings are set for the time of the drawing and are then as they were.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return None
    drawn = {}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        for name, (title, note, draw) in _FIGURES.items():
            if (made := draw(results)) is not None:
                figure, alt = made
                light = _svg(figure)
                drawn[name] = Figure(title, note, alt, light.encode(), _darkened(light).encode())
    return drawn


def _svg(figure: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    draw: Any = FigureCanvasSVG(figure)  # matplotlib gives print_svg no types
    draw.print_svg(out, metadata={"Date": None, "Creator": "geot2t"})
    return out.getvalue()


def _darkened(svg: str) -> str:
    for light, dark in _DARK.items():
        svg = svg.replace(light, dark)
    return svg


def _figure(height: float, **rows: Any) -> tuple[Any, Any]:
    """A figure and its axes, without pyplot, which would keep it and may open a window."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(_WIDE, height), layout="constrained", facecolor=_PAPER)
    axes = figure.subplots(squeeze=False, **rows)
    return figure, axes


def _look(methods: Sequence[str], method: str) -> dict[str, Any]:
    """Colour and marker of a method; those that are known have the same on every page."""
    known = list(_COLOURS)
    others = [m for m in methods if m not in _COLOURS]
    if method in _COLOURS:
        return {"color": _COLOURS[method], "marker": _MARKERS[known.index(method)]}
    i = others.index(method)
    return {"color": _MORE[i % len(_MORE)], "marker": _MARKERS[(len(known) + i) % len(_MARKERS)]}


def _plain(text: str) -> str:
    """Text as it is: matplotlib would take what stands between two dollars for a formula."""
    return text.replace("$", r"\$")


def _legend(figure: Any, axis: Any) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


def _axis_label(results: Mapping[str, Any], what: str) -> str:
    unit = results.get("unit")
    return _plain(f"{what}, {unit}" if unit else what)


def _ratios(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    panels = []
    for kind in kinds_of(results):
        rows = [
            (method, found(ratio, "mean"), interval(ratio))
            for method in methods_of(results)
            if found(ratio := look(results, "summary", kind, method, "to_linear"), "mean")
            is not None and method != "linear"
        ]  # fmt: skip
        if rows:
            panels.append((kind, rows))
    if not panels:
        return None
    counts = [len(rows) for _, rows in panels]
    figure, axes = _figure(
        0.7 + sum(0.26 * n + 0.42 for n in counts),
        nrows=len(panels), sharex=True, height_ratios=[n + 0.6 for n in counts],
    )  # fmt: skip
    methods, said = methods_of(results), []
    for (axis,), (kind, rows) in zip(axes, panels, strict=True):
        axis.axvline(1, color=_SOFT, linewidth=1.2, linestyle="--")
        for i, (method, mean, between) in enumerate(rows):
            style = _look(methods, method)
            text = f"{method} {written(mean, 2)}"
            if between is not None:
                axis.plot(between, (i, i), color=style["color"], linewidth=2.2, alpha=0.55)
                text += f" ({written(between[0], 2)} to {written(between[1], 2)})"
            axis.plot([mean], [i], linestyle="", **style)
            said.append(f"{kind}, {text}")
        axis.set_yticks(range(len(rows)), [_plain(method) for method, *_ in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        axis.spines["left"].set_visible(False)
        axis.set_title(_plain(KINDS.get(kind, kind)))
    axes[-1, 0].set_xlabel("MAE divided by that of linear interpolation; left is better")
    return figure, f"Ratio of the mean absolute error to linear: {'; '.join(said)}."


def _scatter(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    points: dict[str, list[tuple[float, float]]] = {}
    for case in results.get("cases") or ():
        base = found(case, "scores", "prior", "mae")
        for method in ("network", "geot2t"):
            value = found(case, "scores", method, "mae")
            if base and value:  # an error of 0 has no place on these axes
                points.setdefault(method, []).append((base, value))
    if not points:
        return None
    figure, axes = _figure(4.3)
    axis = axes[0, 0]
    every = [v for pairs in points.values() for pair in pairs for v in pair]
    low, high = min(every) / 1.15, max(every) * 1.15
    axis.plot((low, high), (low, high), color=_SOFT, linewidth=1.2, linestyle="--")
    said = []
    for method, pairs in points.items():
        x, y = zip(*pairs, strict=True)
        style = _look(methods_of(results), method)
        axis.scatter(x, y, s=30, alpha=0.8, linewidths=0, label=_plain(method), **style)
        lower = sum(b < a for a, b in pairs)
        said.append(f"{method} lies below the prior in {lower} of {len(pairs)} cases")
    for set_scale, set_limits in (
        (axis.set_xscale, axis.set_xlim),
        (axis.set_yscale, axis.set_ylim),
    ):
        set_scale("log")
        set_limits(low, high)
    _plain_log(axis, high / low)
    axis.set_aspect("equal")
    axis.set_xlabel(_axis_label(results, "MAE of the prior"))
    axis.set_ylabel(_axis_label(results, "MAE"))
    _legend(figure, axis)
    return figure, f"Each case by its error: {'; '.join(said)}."


def _plain_log(axis: Any, span: float) -> None:
    """Ticks with plain numbers, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    steps = (1, 2, 3, 5, 7) if span < 8 else (1, 2, 5) if span < 100 else (1,)
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(LogLocator(subs=steps))
        one.set_minor_locator(NullLocator())
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _by(key: str) -> Callable[[Mapping[str, Any]], tuple[Any, str] | None]:
    """Error above, coverage below, over the buckets of ``key``."""

    def draw(results: Mapping[str, Any]) -> tuple[Any, str] | None:
        buckets = [
            b for b in look(results, "by", key) or ()
            if any(number(look(b, "methods", m, "mae")) is not None for m in methods_of(results))
        ]  # fmt: skip
        if not buckets:
            return None
        covered = any(
            found(b, "methods", m, "coverage") is not None
            for b in buckets for m in methods_of(results)
        )  # fmt: skip
        figure, axes = _figure(
            4.4 if covered else 3.0, nrows=1 + covered, sharex=True,
            height_ratios=[3, 2] if covered else [1],
        )  # fmt: skip
        said = []
        for i, (what, axis) in enumerate(zip(("mae", "coverage"), axes[:, 0], strict=False)):
            for method in methods_of(results):
                values = [found(b, "methods", method, what) for b in buckets]
                if all(v is None for v in values):
                    continue
                heights = [float("nan") if v is None else v * (100 if i else 1) for v in values]
                dash = _DASHES[methods_of(results).index(method) % len(_DASHES)]
                style = _look(methods_of(results), method)
                axis.plot(
                    range(len(buckets)), heights, linestyle=dash, label=_plain(method), **style
                )
                if i == 0:
                    digits = decimals(values)
                    said.append(f"{method} {', '.join(written(v, digits) for v in values)}")
        axes[0, 0].set_ylim(bottom=0)
        axes[0, 0].set_ylabel(_axis_label(results, "MAE"))
        labels = [bucket_label(b) for b in buckets]
        if covered:
            axes[1, 0].axhline(100 * NOMINAL, color=_SOFT, linewidth=1.2, linestyle="--")
            axes[1, 0].set_ylabel("in 90 % interval, %")
        axes[-1, 0].set_xticks(range(len(buckets)), [_plain(text) for text in labels])
        axes[-1, 0].set_xlim(-0.3, len(buckets) - 0.7)
        if sum(map(len, labels)) > 46:
            axes[-1, 0].tick_params(axis="x", labelrotation=30)
        axes[-1, 0].set_xlabel(_BUCKETS[key])
        _legend(figure, axes[0, 0])
        return figure, f"MAE over {_BUCKETS[key]} {', '.join(labels)}: {'; '.join(said)}."

    return draw


_BUCKETS = {
    "gap_px": "size of the gap, px",
    "distance_px": "distance to the nearest observed pixel, px",
    "days": "days to the nearest observation",
    "evidence": "dates that show the pixel",
}


def bucket_label(bucket: Mapping[str, Any]) -> str:
    """A bucket by its limits; open ones say so."""
    limits = bucket.get("from"), bucket.get("to")
    low, high = map(number, limits)
    if low is None and high is None:
        return " to ".join(str(v) for v in limits if v is not None) or "unknown"
    ends = [None if v is None else _short(v) for v in (low, high)]
    if ends[1] is None:
        return f"≥ {ends[0]}"
    if ends[0] is None:
        return f"≤ {ends[1]}"
    return ends[0] if ends[0] == ends[1] else f"{ends[0]}–{ends[1]}"  # noqa: RUF001


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{value:g}"


def _calibration(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    curves = {}
    for method in methods_of(results):
        curve = look(results, "calibration", method) or {}
        pairs = zip(curve.get("nominal") or (), curve.get("measured") or (), strict=False)
        known = [(100 * a, 100 * b) for a, b in ((number(a), number(b)) for a, b in pairs)
                 if a is not None and b is not None]  # fmt: skip
        if known:
            curves[method] = known
    if not curves:
        return None
    figure, axes = _figure(4.6)
    axis = axes[0, 0]
    axis.plot((0, 100), (0, 100), color=_SOFT, linewidth=1.2, linestyle="--")
    said = []
    for method, known in curves.items():
        x, y = zip(*known, strict=True)
        dash = _DASHES[methods_of(results).index(method) % len(_DASHES)]
        axis.plot(x, y, linestyle=dash, label=_plain(method), **_look(methods_of(results), method))
        pairs_said = ", ".join(f"{a:.0f} % held {b:.0f} %" for a, b in known)
        said.append(f"{method}: {pairs_said}")
    axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axis.set_xlabel("interval, %")
    axis.set_ylabel("hidden values that it held, %")
    _legend(figure, axis)
    return figure, f"Nominal and measured coverage. {'; '.join(said)}."


def _bands(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    kinds = kinds_of(results)
    cases = [c for c in results.get("cases") or () if not kinds or c.get("kind") == kinds[0]]
    names: list[str] = []
    sums: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for method in methods_of(results):
            for row in look(case, "by_band", method) or ():
                band, value = str(row.get("band")), number(row.get("mae"))
                if value is not None:
                    sums.setdefault((method, band), []).append(value)
                    names += [band] * (band not in names)
    if not sums:
        return None
    methods = [m for m in methods_of(results) if any(key[0] == m for key in sums)]
    figure, axes = _figure(max(2.4, 0.7 + len(names) * (0.11 * len(methods) + 0.13)))
    axis, high, said = axes[0, 0], 0.8 / len(methods), []
    for i, method in enumerate(methods):
        means = [_mean(sums.get((method, band), ())) for band in names]
        places = [j - 0.4 + high * (i + 0.5) for j in range(len(names))]
        colour = _look(methods_of(results), method)["color"]
        axis.barh(places, [v or 0 for v in means], high * 0.86, color=colour, label=_plain(method))
        digits = decimals(means)
        each = (f"{b} {written(v, digits)}" for b, v in zip(names, means, strict=True))
        said.append(f"{method}: {', '.join(each)}")
    axis.set_yticks(range(len(names)), [_plain(name) for name in names])
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(_axis_label(results, "MAE"))
    _legend(figure, axis)
    return figure, f"Mean absolute error of each band. {'; '.join(said)}."


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


_FIGURES: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], tuple[Any, str] | None]]] = {
    "ratio_to_linear": (
        "Error next to linear interpolation",
        "Dots are means over the cases, lines their intervals; the dashed line is as good as that.",
        _ratios,
    ),
    "case_by_case": (
        "Case by case, next to the prior",
        "Each mark is a case. Below the dashed line the prior is beaten.",
        _scatter,
    ),
    "by_gap_px": (
        "By size of the gap",
        "Error, and share of hidden values inside the 90 % interval; the dashed line is 90 %.",
        _by("gap_px"),
    ),
    "by_distance_px": (
        "By distance from what was observed",
        "The same, over the distance to the edge of the gap.",
        _by("distance_px"),
    ),
    "by_days": (
        "By days to the nearest observation",
        "The same, over the days to the nearest date that shows a pixel.",
        _by("days"),
    ),
    "by_evidence": (
        "By evidence",
        "The same, over how many dates show a pixel.",
        _by("evidence"),
    ),
    "calibration": (
        "Are the intervals right?",
        "Below the dashed line intervals are too narrow, above it too wide.",
        _calibration,
    ),
    "by_band": (
        "By band",
        "Means over the cases of the first kind in the tables.",
        _bands,
    ),
}
NAMES = tuple(_FIGURES)
"""Names of all figures, in the order of the page."""
