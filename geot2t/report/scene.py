"""The page of one filled scene: what `geot2t inpaint --report` writes and `geot2t view` opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t import __version__
from geot2t.io.picture import jpeg, png
from geot2t.report.layers import CLASSES, RAMP, Layers, layers
from geot2t.report.page import Cell, Table, as_text, data_uri, fill_template
from geot2t.report.scores import decimals, written
from geot2t.sensors import natural_colours

_EXACT = 320 * 320
"""Pixels of a picture up to which it is shown without any loss."""


def scene_page(item: Mapping[str, Any], files: Mapping[str, Path], scene: Path | None) -> str:
    """Render the page.

    Parameters
    ----------
    item : mapping
        The STAC Item of the filled scene, as `geot2t.io.item` builds it.
    files : mapping of str to Path
        Where its rasters are, by their keys among the assets.
    scene : Path, optional
        The scene as it was, if it is one file that can still be read.

    Returns
    -------
    str
        HTML that holds all it shows, at most about 3 MB.

    Raises
    ------
    RasterReadError
        If an output cannot be read.
    """
    said, filled = item["properties"], item["assets"]["filled"]
    wavelengths = [b.get("eo:center_wavelength") or np.nan for b in filled["bands"]]
    nodata = filled["bands"][0].get("nodata")
    colours = natural_colours(wavelengths)
    shown = layers(files, scene, colours, None if nodata is None else float(nodata))
    check = said["geot2t:self_check"]
    return fill_template(
        "scene.html",
        name=str(item["id"]),
        verdict=_verdict(said),
        facts=list(_facts(item, colours)),
        notes=[str(note) for note in said.get("geot2t:warnings") or ()],
        view=_view(shown),
        legends=list(_legends(shown)),
        unfilled=_unfilled(said),
        check=_table(check) if isinstance(check, Mapping) else None,
        about_check=_about_check(check),
        options=[(k, as_text(v)) for k, v in said["geot2t:options"].items()],
        inputs=[
            (str(link["href"]), as_text(link.get("file:checksum", "")).removeprefix("1220"))
            for link in item["links"]
        ],
        model=[(k, as_text(v)) for k, v in said["geot2t:model"].items()],
        versions=[
            ("geot2t, the fill", as_text(said["processing:software"]["geot2t"])),
            ("geot2t, this page", __version__),
            ("begun", as_text(said["processing:datetime"])),
        ],
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _verdict(said: Mapping[str, Any]) -> str:
    gap = said["geot2t:gap_fraction"]
    if not gap:
        return "Nothing was missing: the scene was copied."
    parts = {
        "filled from other dates": said["geot2t:filled_from_dates"],
        "filled from surroundings": said["geot2t:filled_from_surroundings"],
        "not filled": said["geot2t:not_filled"],
    }
    shares = ", ".join(f"{_percent(share)} {what}" for what, share in parts.items() if share)
    return f"{_percent(gap)} of the pixels were not observed: of all pixels {shares}."


def _facts(item: Mapping[str, Any], colours: Sequence[int]) -> Iterator[tuple[str, str]]:
    said = item["properties"]
    bands = [str(band["name"]) for band in item["assets"]["filled"]["bands"]]
    yield "Date", (said.get("datetime") or "unknown")[:10]
    height, width = said["proj:shape"]
    yield "Size", f"{width} x {height} pixels, {len(bands)} bands"
    yield "System", as_text(said.get("proj:code") or ("its own" if "proj:wkt2" in said else "none"))
    yield "Shown", f"{', '.join(bands[i] for i in colours)} as red, green and blue"
    dates = [d for d in said.get("geot2t:dates_used") or () if d]
    others = [d for d in dates if d != (said.get("datetime") or "")[:10]]
    yield "Other dates", ", ".join(others) or "none"


def _view(shown: Layers) -> dict[str, Any]:
    found = [
        ("before", shown.before),
        ("after", shown.after),
        ("what was observed", shown.observed),
        ("where each pixel comes from", shown.provenance),
        ("half-width of the 90 % interval", shown.error),
    ]
    kept = [(label, pixels) for label, pixels in found if pixels is not None]
    labels = [label for label, _ in kept]
    height, width, _ = shown.after.shape
    return {
        "title": "Swipe",
        "height": height,
        "width": width,
        "step": shown.step,
        "layers": [
            {"label": label, "src": _source(pixels, photo=label in ("before", "after", labels[1]))}
            for label, pixels in kept
        ],
        "left": 0 if shown.before is not None else labels.index("what was observed"),
        "right": labels.index("after"),
    }


def _source(pixels: NDArray[np.uint8], *, photo: bool) -> str:
    if photo and pixels[..., 0].size > _EXACT:
        return data_uri(jpeg(pixels), "image/jpeg")
    return data_uri(png(pixels), "image/png")


def _legends(shown: Layers) -> Iterator[dict[str, Any]]:
    def key(pixels: NDArray[np.floating[Any]], text: str, left: str = "") -> dict[str, Any]:
        wide = np.broadcast_to(pixels, (14, *pixels.shape)).astype("uint8")
        source = data_uri(png(wide), "image/png")
        return {"src": source, "width": wide.shape[1], "text": text, "left": left}

    yield {
        "title": "Where each pixel comes from",
        "entries": [
            key(np.tile(np.array(colour, "float64"), (14, 1)), name)
            for name, colour in CLASSES.values()
        ],
    }
    if shown.error is not None:
        at = np.linspace(0, len(RAMP) - 1, 160)
        ramp = np.stack([np.interp(at, np.arange(len(RAMP)), c) for c in RAMP.T], -1)
        unit = "in the units of the file, of the widest interval among the bands shown"
        yield {
            "title": "Half-width of the 90 % interval",
            "entries": [key(ramp, f"{shown.greatest:.3g} or more, {unit}", "0")],
        }


def _unfilled(said: Mapping[str, Any]) -> str:
    left, options = said["geot2t:not_filled"], said["geot2t:options"]
    if not left:
        return "Nothing: every pixel was observed or filled."
    away = f"more than {options['max_distance']} pixels away"
    why = [f"no other date shows the place and the nearest observed pixel is {away}"]
    if options["max_error"] is not None:
        why.append(f"the 90 % interval is wider than {options['max_error']:g} to either side")
    if options["keep_nodata"]:
        why.append("it is nodata that was to be kept")
    return f"{_percent(left)} of the pixels. A pixel is left as it is where {'; or '.join(why)}."


def _about_check(check: Mapping[str, Any] | str) -> str:
    if not isinstance(check, Mapping):
        return f"The self-check was {check}."
    return (
        f"{check['hidden_pixels']} observed pixels of this scene were hidden under its own gaps, "
        f"moved elsewhere, in {check['cases']} cases, and filled by every method. The mean "
        "absolute error is in the units of the file, with the root mean square error and the bias "
        "below; the method in use is bold. Covered is the share of the hidden pixels that lay in "
        "their 90 % interval, calibrated on other cases."
    )


def _table(check: Mapping[str, Any]) -> Table:
    bands = check["bands"]
    methods = list(bands[0]["errors"])
    columns = [("band", ""), ("method", "The one in use."), ("covered", "90 % are meant to be.")]
    columns += [(method, f"Mean absolute error of {method}.") for method in methods]
    every: Callable[[str], list[Any]] = lambda key: [  # noqa: E731
        band["errors"][m][key] for band in bands for m in methods
    ]
    digits = decimals(every("mae"))
    rows = []
    for band in bands:
        covered = band["coverage"]
        row = [
            Cell(as_text(band["band"]), key=as_text(band["band"]), head=True),
            Cell(as_text(band["method"]), key=as_text(band["method"])),
            Cell(written(covered, 1, percent=True), key="" if covered is None else covered),
        ]
        for method in methods:
            error = band["errors"][method]
            low = ", ".join(
                f"{name} {written(error[key], digits)}"
                for name, key in (("rms", "rmse"), ("bias", "bias"))
            )
            row.append(
                Cell(
                    written(error["mae"], digits),
                    low,
                    "" if error["mae"] is None else error["mae"],
                    best=method == band["method"],
                )
            )
        rows.append(row)
    return Table("Errors on hidden pixels", columns, rows)
