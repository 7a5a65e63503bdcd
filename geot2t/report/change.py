"""The report of a comparison of two dates: one page that holds all that it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.io.picture import png
from geot2t.report.page import Cell, Table, data_uri, fill_template

ROWS = {
    "change": "changed",
    "ndvi_loss": "of that, vegetation lost (NDVI fell)",
    "ndvi_gain": "of that, vegetation gained (NDVI rose)",
    "nbr_loss": "of that, NBR fell (burnt or bare)",
    "nbr_gain": "of that, NBR rose",
    "no_change": "not changed",
    "not_judged": "not judged",
    "no_data": "no data",
}
"""What is counted, in the order of the table."""


@dataclass(frozen=True, slots=True)
class Look:
    """One picture of a comparison."""

    title: str
    colours: str
    """What its colours are; empty if it goes with all of them."""

    pixels: NDArray[np.uint8]
    """``(y, x, 3)``."""


def rows(properties: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Names, hectares, pixels and per cent of what was judged, as text.

    Parameters
    ----------
    properties : mapping
        Of the item of a comparison.
    """
    area, pixels = properties["geot2t:area_ha"], properties["geot2t:pixels"]
    judged = pixels["change"] + pixels["no_change"]
    table = []
    for key, title in ROWS.items():
        if key not in pixels:
            continue
        inside = key not in ("not_judged", "no_data") and judged
        share = f"{100 * pixels[key] / judged:.2f} %" if inside else ""
        table.append((title, _hectares(area.get(key)), f"{pixels[key]}", share))
    return table


def _hectares(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def render(item: Mapping[str, Any], looks: Sequence[Look]) -> str:
    """Render the page.

    Parameters
    ----------
    item : mapping
        The STAC Item of the comparison.
    looks : sequence of Look
        Those of one choice of colours after another.
    """
    said = item["properties"]
    methods = list(said["geot2t:bands"][0]["median_error"])
    return fill_template(
        "change.html",
        name=item["id"],
        verdict=_verdict(said),
        facts=_facts(said),
        notes=said["geot2t:warnings"],
        areas=_table(
            "What became of the ground",
            ("", "hectares", "pixels", "of what was judged"),
            rows(said),
        ),
        views=_views(looks),
        how=_how(said),
        bands=_table(
            "Median error of the prediction on hidden pixels, in the units of the file",
            ("band", *methods, "used"),
            [
                (b["band"], *(f"{b['median_error'][m]:.4g}" for m in methods), b["method"])
                for b in said["geot2t:bands"]
            ],
        ),
        options=[(k, str(v)) for k, v in said["geot2t:options"].items() if v is not None],
    )


def _table(title: str, columns: Sequence[str], texts: Sequence[Sequence[str]]) -> Table:
    """A table of texts, the first of each row its name."""
    return Table(
        title,
        [(column, "") for column in columns],
        [[Cell(text, key=_key(text), head=i == 0) for i, text in enumerate(row)] for row in texts],
    )


def _key(text: str) -> float | str:
    """By which a column is sorted."""
    try:
        return float(text.removesuffix(" %"))
    except ValueError:
        return text


def _verdict(said: Mapping[str, Any]) -> str:
    pixels, area = said["geot2t:pixels"], said["geot2t:area_ha"]
    judged = pixels["change"] + pixels["no_change"]
    if not judged:
        return "Nothing was observed on both dates."
    much = f"{_hectares(area['change'])} ha" if "change" in area else f"{pixels['change']} pixels"
    asked = 100 * said["geot2t:false_alarm"]["asked"]
    alarms = f"{asked:g} % of the unchanged ground is expected among it by chance"
    if said["geot2t:event"]:
        return (
            f"{much} changed, {100 * pixels['change'] / judged:.1f} % of what was judged; {alarms}."
        )
    return (
        f"No event stands out: the {much} marked as changed are the least usual of the scene, and "
        f"as many as false alarms were asked for ({asked:g} %)."
    )


def _facts(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    measured = said["geot2t:false_alarm"]["measured"]
    return [
        ("Before", str(said.get("geot2t:before", "unknown"))[:10]),
        ("After", str(said.get("datetime") or "unknown")[:10]),
        ("Dates used", str(len(said["geot2t:dates_used"]))),
        ("False alarms asked for", f"{100 * said['geot2t:false_alarm']['asked']:g} %"),
        ("measured, held out", "unknown" if measured is None else f"{100 * measured:.2f} %"),
    ]


def _how(said: Mapping[str, Any]) -> str:
    held = said["geot2t:false_alarm"]["held_out_pixels"]
    return (
        "Each pixel of the date after was predicted from the rest of that date and from earlier "
        "dates, itself, its neighbours and all that looked changed hidden. What is usual in the "
        "scene says how far a pixel may be off in all bands together. It is assumed that most of "
        f"the scene did not change. The rate of false alarms was measured on {held} pixels that "
        "had no part in setting the threshold, leaving out what surely changed."
    )


def _views(looks: Sequence[Look]) -> list[dict[str, Any]]:
    """For each choice of colours the pictures in it and those that go with all."""
    every = [look for look in looks if not look.colours]
    views = []
    for colours, some in groupby((x for x in looks if x.colours), key=lambda look: look.colours):
        layers = [*some, *every]
        height, width, _ = layers[0].pixels.shape
        views.append({
            "title": colours.capitalize(),
            "height": height,
            "width": width,
            "layers": [
                {"label": x.title, "src": data_uri(png(x.pixels), "image/png")} for x in layers
            ],
            "left": 1,
            "right": len(layers) - 1,
        })  # fmt: skip
    return views
