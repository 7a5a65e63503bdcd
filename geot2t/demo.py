"""The scene that ships with the package, filled: what `geot2t demo` does and shows."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geot2t.errors import InputError, OutputError
from geot2t.filling import Result
from geot2t.jobs import inpaint
from geot2t.stream import Progress

SAMPLE = Path(__file__).parent / "data" / "sample"
SCENE = "2022-06-10.tif"
"""The scene of the sample that a cloud hides a part of."""


def demo(folder: Path, *, device: str = "auto", progress: Progress | None = None) -> Result:
    """Copy the sample to ``folder`` and fill its cloudy scene; run again, replace the result.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    device : str
        auto, cpu, cuda or cuda:N.
    progress : callable, optional
        As for `inpaint`.

    Raises
    ------
    InputError
        If the folder holds a file of the sample's name and other content.
    OutputError
        If the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(SAMPLE.iterdir()):
            _copy(file, folder / file.name)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return inpaint(folder / SCENE, series=folder, overwrite=True, device=device, progress=progress)


def _copy(file: Path, to: Path) -> None:
    if not to.exists():
        shutil.copyfile(file, to)
    elif not filecmp.cmp(file, to, shallow=False):
        raise InputError(f"{to} is there and is not the sample's; choose another folder with -o")


def summary(result: Result) -> Iterator[str]:
    """Yield the lines of a table: what was filled, and what the self-check found.

    Parameters
    ----------
    result : Result
        Of `inpaint`.
    """
    said = result.item["properties"]
    share = {
        key: f"{100 * said[f'geot2t:{key}']:.1f} %"
        for key in ("gap_fraction", "filled_from_dates", "filled_from_surroundings", "not_filled")
    }
    yield (
        f"gap fraction {share['gap_fraction']}: {share['filled_from_dates']} filled from other "
        f"dates, {share['filled_from_surroundings']} from surroundings, "
        f"{share['not_filled']} not filled"
    )
    check = said["geot2t:self_check"]
    if isinstance(check, str):
        yield f"self-check: {check}"
        return
    yield (
        f"self-check: {check['hidden_pixels']} observed pixels hidden under moved gaps, "
        f"{check['cases']} cases; mean absolute error in the file's units"
    )
    bands = check["bands"]
    methods = list(bands[0]["errors"])
    rows = [["band", *methods, "used", "in 90 % interval"]]
    for band in bands:
        errors = [band["errors"][method]["mae"] for method in methods]
        covered = band["coverage"]
        rows.append(
            [
                band["band"],
                *(_number(error) for error in errors),
                band["method"],
                "unknown" if covered is None else f"{100 * covered:.1f} %",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(text.rjust(n) for text, n in zip(row, widths, strict=True))


def _number(value: float) -> str:
    """Four significant digits, and no exponent for what is not extreme."""
    return np.format_float_positional(value, 4, fractional=False, trim="-")
