"""Figures of an evaluation, as SVG, drawn without a window and without touching anybody's plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geot2t.report.scores import (
    KINDS,
    NOMINAL,
    bucket_label,
    decimals,
    found,
    interval,
    kinds_of,
    look,
    methods_of,
    number,
    written,
)
from geot2t.report.style import (
    DASHES,
    RC,
    SOFT,
    axis_label,
    darkened,
    figure_of,
    legend,
    look_of,
    plain,
    shown,
    svg,
)


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
        mpl.rcParams.update(RC)
        for name, (title, note, draw) in _FIGURES.items():
            if (made := draw(results)) is not None:
                figure, alt = made
                light = svg(figure)
                drawn[name] = Figure(title, note, alt, light.encode(), darkened(light).encode())
    return drawn


def _ratios(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    panels: list[tuple[str, list[Any]]] = []
    for kind in kinds_of(results):
        rows = []
        for method in shown(results) if panels else methods_of(results):
            ratio = look(results, "summary", kind, method, "to_linear")
            mean = found(ratio, "mean")
            if mean and method != "linear":  # a ratio of 0 has no place on this axis
                rows.append((method, mean, interval(ratio)))
        if rows:
            panels.append((kind, rows))
    if not panels:
        return None
    counts = [len(rows) for _, rows in panels]
    figure, axes = figure_of(
        0.7 + sum(0.26 * n + 0.42 for n in counts),
        nrows=len(panels), sharex=True, height_ratios=[n + 0.6 for n in counts],
    )  # fmt: skip
    methods, said = methods_of(results), []
    for (axis,), (kind, rows) in zip(axes, panels, strict=True):
        axis.axvline(1, color=SOFT, linewidth=1.2, linestyle="--")
        for i, (method, mean, between) in enumerate(rows):
            style = look_of(methods, method)
            text = f"{method} {written(mean, 2)}"
            if between is not None:
                axis.plot(between, (i, i), color=style["color"], linewidth=2.2, alpha=0.55)
                text += f" ({written(between[0], 2)} to {written(between[1], 2)})"
            axis.plot([mean], [i], linestyle="", **style)
            said.append(f"{kind}, {text}")
        axis.set_yticks(range(len(rows)), [plain(method) for method, *_ in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.grid(visible=False, axis="y")
        axis.spines["left"].set_visible(False)
        axis.set_title(plain(KINDS.get(kind, kind)))
    means = [mean for _, rows in panels for _, mean, _ in rows]
    axes[-1, 0].set_xscale("log")
    _plain_log([axes[-1, 0].xaxis], max(means) / min(means))
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
    figure, axes = figure_of(4.3)
    axis = axes[0, 0]
    every = [v for pairs in points.values() for pair in pairs for v in pair]
    low, high = min(every) / 1.15, max(every) * 1.15
    axis.plot((low, high), (low, high), color=SOFT, linewidth=1.2, linestyle="--")
    said = []
    for method, pairs in points.items():
        x, y = zip(*pairs, strict=True)
        style = look_of(methods_of(results), method)
        axis.scatter(x, y, s=30, alpha=0.8, linewidths=0, label=plain(method), **style)
        lower = sum(b < a for a, b in pairs)
        said.append(f"{method} lies below the prior in {lower} of {len(pairs)} cases")
    for set_scale, set_limits in (
        (axis.set_xscale, axis.set_xlim),
        (axis.set_yscale, axis.set_ylim),
    ):
        set_scale("log")
        set_limits(low, high)
    _plain_log([axis.xaxis, axis.yaxis], high / low)
    axis.set_aspect("equal")
    axis.set_xlabel(axis_label(results, "MAE of the prior"))
    axis.set_ylabel(axis_label(results, "MAE"))
    legend(figure, axis)
    return figure, f"Each case by its error: {'; '.join(said)}."


def _plain_log(axes: Sequence[Any], span: float) -> None:
    """Ticks with plain numbers, few enough not to touch."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    steps = (1, 2, 3, 5, 7) if span < 8 else (1, 2, 5) if span < 100 else (1,)
    for one in axes:
        one.set_major_locator(LogLocator(subs=steps))
        one.set_minor_locator(NullLocator())
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _by(key: str) -> Callable[[Mapping[str, Any]], tuple[Any, str] | None]:
    """Error above, coverage below, over the buckets of ``key``."""

    def draw(results: Mapping[str, Any]) -> tuple[Any, str] | None:
        methods = shown(results)
        buckets = [
            b for b in look(results, "by", key) or ()
            if any(number(look(b, "methods", m, "mae")) is not None for m in methods)
        ]  # fmt: skip
        if len(buckets) < 2:
            return None
        covered = any(
            found(b, "methods", m, "coverage") is not None for b in buckets for m in methods
        )
        figure, axes = figure_of(
            4.4 if covered else 3.0, nrows=1 + covered, sharex=True,
            height_ratios=[3, 2] if covered else [1],
        )  # fmt: skip
        said = []
        for i, (what, axis) in enumerate(zip(("mae", "coverage"), axes[:, 0], strict=False)):
            for i_method, method in enumerate(methods):
                values = [found(b, "methods", method, what) for b in buckets]
                if all(v is None for v in values):
                    continue
                heights = [float("nan") if v is None else v * (100 if i else 1) for v in values]
                dash = DASHES[i_method % len(DASHES)]
                style = look_of(methods_of(results), method)
                axis.plot(
                    range(len(buckets)), heights, linestyle=dash, label=plain(method), **style
                )
                if i == 0:
                    digits = decimals(values)
                    said.append(f"{method} {', '.join(written(v, digits) for v in values)}")
        axes[0, 0].set_ylim(bottom=0)
        axes[0, 0].set_ylabel(axis_label(results, "MAE"))
        labels = [bucket_label(b) for b in buckets]
        if covered:
            axes[1, 0].axhline(100 * NOMINAL, color=SOFT, linewidth=1.2, linestyle="--")
            axes[1, 0].set_ylabel("in 90 % interval, %")
        axes[-1, 0].set_xticks(range(len(buckets)), [plain(text) for text in labels])
        axes[-1, 0].set_xlim(-0.3, len(buckets) - 0.7)
        if sum(map(len, labels)) > 46:
            axes[-1, 0].tick_params(axis="x", labelrotation=30)
        axes[-1, 0].set_xlabel(_BUCKETS[key])
        legend(figure, axes[0, 0])
        return figure, f"MAE over {_BUCKETS[key]} {', '.join(labels)}: {'; '.join(said)}."

    return draw


_BUCKETS = {
    "gap_px": "size of the gap, px",
    "distance_px": "distance to the nearest observed pixel, px",
    "days": "days to the nearest observation",
    "evidence": "dates that show the pixel",
    "observed": "share of the date that is observed, %",
}


def _calibration(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    curves = {}
    for method in shown(results):
        curve = look(results, "calibration", method) or {}
        pairs = zip(curve.get("nominal") or (), curve.get("measured") or (), strict=False)
        known = [(100 * a, 100 * b) for a, b in ((number(a), number(b)) for a, b in pairs)
                 if a is not None and b is not None]  # fmt: skip
        if known:
            curves[method] = known
    if not curves:
        return None
    figure, axes = figure_of(4.6)
    axis = axes[0, 0]
    axis.plot((0, 100), (0, 100), color=SOFT, linewidth=1.2, linestyle="--")
    said = []
    for i, (method, known) in enumerate(curves.items()):
        x, y = zip(*known, strict=True)
        dash = DASHES[i % len(DASHES)]
        axis.plot(x, y, linestyle=dash, label=plain(method), **look_of(methods_of(results), method))
        pairs_said = ", ".join(f"{a:.0f} % held {b:.0f} %" for a, b in known)
        said.append(f"{method}: {pairs_said}")
    axis.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axis.set_xlabel("interval, %")
    axis.set_ylabel("hidden values that it held, %")
    legend(figure, axis)
    return figure, f"Nominal and measured coverage. {'; '.join(said)}."


def _bands(results: Mapping[str, Any]) -> tuple[Any, str] | None:
    kinds = kinds_of(results)
    cases = [c for c in results.get("cases") or () if not kinds or c.get("kind") == kinds[0]]
    names: list[str] = []
    sums: dict[tuple[str, str], list[float]] = {}
    for case in cases:
        for method in shown(results):
            for row in look(case, "by_band", method) or ():
                band, value = str(row.get("band")), number(row.get("mae"))
                if value is not None:
                    sums.setdefault((method, band), []).append(value)
                    names += [band] * (band not in names)
    if not sums:
        return None
    methods = [m for m in shown(results) if any(key[0] == m for key in sums)]
    figure, axes = figure_of(max(2.4, 0.7 + len(names) * (0.11 * len(methods) + 0.13)))
    axis, high, said = axes[0, 0], 0.8 / len(methods), []
    for i, method in enumerate(methods):
        means = [_mean(sums.get((method, band), ())) for band in names]
        places = [j - 0.4 + high * (i + 0.5) for j in range(len(names))]
        colour = look_of(methods_of(results), method)["color"]
        axis.barh(places, [v or 0 for v in means], high * 0.86, color=colour, label=plain(method))
        digits = decimals(means)
        each = (f"{b} {written(v, digits)}" for b, v in zip(names, means, strict=True))
        said.append(f"{method}: {', '.join(each)}")
    axis.set_yticks(range(len(names)), [plain(name) for name in names])
    axis.set_ylim(len(names) - 0.45, -0.55)
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(axis_label(results, "MAE"))
    legend(figure, axis)
    return figure, f"Mean absolute error of each band. {'; '.join(said)}."


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


_FIGURES: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], tuple[Any, str] | None]]] = {
    "ratio_to_linear": (
        "Error next to linear interpolation",
        "Dots are means over the cases, lines their intervals; on the dashed line they are equal.",
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
        "By evidence from other dates",
        "The same, over how many of them show a pixel.",
        _by("evidence"),
    ),
    "by_observed": (
        "By what is left of the date",
        "The same, over the share of the place that the date itself shows.",
        _by("observed"),
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
