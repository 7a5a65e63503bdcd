"""The report of an evaluation: one page that opens anywhere, without a network, and its figures.

Everything that the page shows is in it. It asks for nothing from outside, and forbids itself to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geot2t.errors import InputError, OutputError
from geot2t.io.publish import write_bytes
from geot2t.report.figures import NAMES, draw_all
from geot2t.report.page import Picture, render

__all__ = ["FORMAT", "Picture", "write_report"]

FORMAT = "geot2t-evaluation/1"
"""Format of the results that are understood."""


def write_report(results: Mapping[str, Any], pictures: Sequence[Picture], folder: Path) -> Path:
    """Write ``report.html``, and the figures that it holds also as SVG under ``figures/``.

    Everything is computed before the first file is written, and the page is written last, so
    that it appears whole or not at all. Equal input gives equal bytes. Without matplotlib the
    page has no figures, and says so.

    Parameters
    ----------
    results : mapping
        Of the format ``geot2t-evaluation/1``. Any score may be None.
    pictures : sequence of Picture
        Cases to look at; may be empty.
    folder : Path
        Made if it is not there. A report of an earlier run is replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the results are of another format.
    OutputError
        If the disk does not take the files.
    """
    if results.get("format") != FORMAT:
        raise InputError(f"results must have the format {FORMAT}, got {results.get('format')!r}")
    drawn = draw_all(results)
    page = render(results, pictures, drawn).encode()
    figures, path = folder / "figures", folder / "report.html"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        for name in NAMES:  # what an earlier run drew and this one did not would mislead
            if drawn is None or name not in drawn:
                (figures / f"{name}.svg").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    for name, figure in (drawn or {}).items():
        write_bytes(figures / f"{name}.svg", figure.light)
    write_bytes(path, page)
    return path
