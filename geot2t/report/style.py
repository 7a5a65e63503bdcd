"""How figures look: colours for light and dark, one look for each method, SVG as bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from geot2t.report.scores import methods_of

_INK, SOFT, _GRID, _PAPER = "#24292e", "#57606b", "#d8dee5", "#fffffe"
_DARK = {_INK: "#e6edf2", SOFT: "#a8b3bf", _GRID: "#333a42", _PAPER: "#171b21"}
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
DASHES = ("-", "--", "-.", ":")

RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": _GRID,
    "axes.facecolor": _PAPER,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "grid.color": _GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
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


MOST = 6
"""Curves in one figure at most."""

_ALWAYS = ("geot2t", "network", "prior", "linear")


def svg(figure: Any) -> str:
    """A figure as a file that is the same whenever it is drawn."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    draw: Any = FigureCanvasSVG(figure)  # matplotlib gives print_svg no types
    draw.print_svg(out, metadata={"Date": None, "Creator": "geot2t"})
    return out.getvalue()


def darkened(svg: str) -> str:
    """The same drawing for a dark page."""
    for light, dark in _DARK.items():
        svg = svg.replace(light, dark)
    return svg


def figure_of(height: float, **rows: Any) -> tuple[Any, Any]:
    """A figure and its axes, without pyplot, which would keep it and may open a window."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(_WIDE, height), layout="constrained", facecolor=_PAPER)
    axes = figure.subplots(squeeze=False, **rows)
    return figure, axes


def look_of(methods: Sequence[str], method: str) -> dict[str, Any]:
    """Colour and marker of a method; those that are known have the same on every page."""
    known = list(_COLOURS)
    others = [m for m in methods if m not in _COLOURS]
    if method in _COLOURS:
        return {"color": _COLOURS[method], "marker": _MARKERS[known.index(method)]}
    i = others.index(method)
    return {"color": _MORE[i % len(_MORE)], "marker": _MARKERS[(len(known) + i) % len(_MARKERS)]}


def plain(text: str) -> str:
    """Text as it is: matplotlib would take what stands between two dollars for a formula."""
    return text.replace("$", r"\$")


def legend(figure: Any, axis: Any) -> None:
    """The legend of all axes, below them."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


def axis_label(results: Mapping[str, Any], what: str) -> str:
    """What an axis shows, with its unit."""
    unit = results.get("unit")
    return plain(f"{what}, {unit}" if unit else what)


def shown(results: Mapping[str, Any]) -> list[str]:
    """The methods of figures with a curve for each: those of geot2t, and the best of the others."""
    methods = methods_of(results)
    others = [m for m in methods if m not in _ALWAYS]
    room = MOST - (len(methods) - len(others))
    return [m for m in methods if m in _ALWAYS or m in others[:room]]
