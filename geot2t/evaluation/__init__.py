"""How well a series is filled: observed pixels hidden, filled by every method, and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from geot2t import __version__
from geot2t.errors import InputError, OutputError
from geot2t.evaluation.cases import KINDS, Case
from geot2t.evaluation.fills import NAMES, fills, load, pick
from geot2t.evaluation.judge import Judge
from geot2t.evaluation.plan import REAL, plan
from geot2t.evaluation.scoring import Units
from geot2t.evaluation.summary import summed_up
from geot2t.fill import Estimates
from geot2t.io.checksums import plain
from geot2t.io.publish import write_bytes
from geot2t.io.series import open_series
from geot2t.report import FORMAT, Picture, write_report
from geot2t.request import check_windows
from geot2t.said import band_names
from geot2t.trials import Outcomes

__all__ = ["KINDS", "NAMES", "Evaluation", "evaluate"]

PICTURED = 2
"""Cases of the first kind that are pictured; of every other kind it is one."""

_RESULTS, _REPORT = "results.json", "report.html"

Progress = Callable[[int, int], None]
"""Called with the fills done and the fills in all."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What `evaluate` found."""

    results: Mapping[str, Any]
    """Of the format ``geot2t-evaluation/1``, plain values for JSON."""

    pictures: tuple[Picture, ...]
    """Some of the cases, to look at."""

    report: Path | None
    """The page, if a folder was given."""

    warnings: tuple[str, ...]
    """What the user should know, one sentence each."""


def evaluate(
    series: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    gaps: str | Path = REAL,
    against: str | Sequence[str] = "all",
    kinds: Sequence[str] = KINDS,
    cases: int = 10,
    margin: float = 4,
    crop: int = 512,
    clouds: str = "auto",
    cloud_mask: str | Path | None = None,
    device: str = "auto",
    model: str | Path | Estimates | None = None,
    window: int = 256,
    overlap: int = 64,
    batch: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Hide observed pixels of a series, fill them by every method, and compare with the truth.

    Parameters
    ----------
    series : str or Path, or several
        Scenes of one place: directories, files or patterns.
    out : str or Path, optional
        Folder for ``results.json``, ``report.html`` and ``figures/``; made if it is not there.
    gaps : str or Path
        ``real``: the series' own gaps, mirrored and shifted, and clouds of the library. Or a
        raster of the place that is not zero where there is to be a gap; each of its bands is one.
    against : str or sequence of str
        Methods to compare geot2t with: ``all``, or some of `NAMES`. Linear interpolation is
        always among them.
    kinds : sequence of str
        What is hidden, out of `KINDS`.
    cases : int
        Cases with a cloud; of each other kind a third as many, and of the first and the last date
        one for each crop.
    margin : float
        Pixels that scored ones stay away from what their date itself did not show, because masks
        miss soft edges.
    crop : int
        Scenes that are longer or wider than this, in pixels, are evaluated on crops.
    clouds : str
        As for `geot2t.inpaint`.
    cloud_mask : str or Path, optional
        Raster that is not zero where no date observed the ground.
    device, window, overlap, batch
        As for `geot2t.inpaint`.
    model : str, Path or Estimates, optional
        As for `geot2t.inpaint`, or ``none``: without the network, geot2t chooses between the
        prior and linear interpolation.
    seed : int
        Of the cases, the self-checks and the resampling.
    overwrite : bool
        Replace the results of an earlier run.
    progress : callable, optional
        Called with fills done and fills in all.

    Returns
    -------
    Evaluation

    Raises
    ------
    Geot2tError
        If an input, an option, the model or the folder cannot be used.
    """
    check_windows(window, overlap, batch)
    _check(kinds, cases, margin, crop)
    with (
        open_series(series, clouds=clouds, cloud_mask=cloud_mask) as stack,
        _folder(None if out is None else Path(out), overwrite=overwrite) as folder,
    ):
        estimates, about = load(model, device, stack)
        methods, left_out = pick(against, estimates.methods)
        drawn, notes = plan(
            stack, gaps=gaps, kinds=kinds, cases=cases, margin=margin, crop=crop, seed=seed
        )
        warnings = [*dict.fromkeys(stack.notes), *left_out, *notes]
        units = Units.of(stack, drawn[0])
        if units.one != 1:
            warnings.append(
                f"the files state no scale: {units.one:g} is taken for the reflectance 1"
            )
        done, total = 0, len(drawn) * len(methods)
        outcomes, pictures = [], []
        known: Outcomes = {}
        for number, case in enumerate(drawn, 1):
            judge = Judge(stack, case, number, units, seed=seed)
            for fill in fills(
                judge.held, estimates, methods, size=window, overlap=overlap, batch=batch,
                seed=seed, known=known,
            ):  # fmt: skip
                judge.take(fill)
                done += 1
                if progress is not None:
                    progress(done, total)
            outcomes.append(judge.outcome())
            if _is_pictured(case, drawn):
                pictures.append(judge.picture())
        results = plain({
            "format": FORMAT, "version": __version__, "series": _named(series),
            "bands": band_names(stack.names), "unit": units.name, "seed": seed,
            "options": {
                "gaps": gaps, "against": against, "kinds": kinds, "cases": cases,
                "margin": margin, "crop": crop, "clouds": clouds, "cloud_mask": cloud_mask,
                "model": about, "window": window, "overlap": overlap, "batch": batch,
                "reflectance_1": units.one,
            },
            "notes": warnings,
            **summed_up(outcomes, methods, seed=seed),
        })  # fmt: skip
        report = None if folder is None else _write(results, pictures, folder)
    return Evaluation(results, tuple(pictures), report, tuple(warnings))


def _check(kinds: Sequence[str], cases: int, margin: float, crop: int) -> None:
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(f"no kind of case {unknown[0]!r}; there are {', '.join(KINDS)}")
    for name, value, least in (("cases", cases, 1), ("margin", margin, 0), ("crop", crop, 32)):
        if value < least:
            raise InputError(f"{name} must be at least {least}, got {value:g}")


def _is_pictured(case: Case, drawn: Sequence[Case]) -> bool:
    """Whether a case is among the first of its kind: none is picked by how well it went."""
    before = [other for other in drawn[: drawn.index(case)] if other.kind == case.kind]
    return len(before) < (PICTURED if case.kind == drawn[0].kind else 1)


def _named(series: str | Path | Sequence[str | Path]) -> str:
    return ", ".join(map(str, [series] if isinstance(series, str | Path) else series))


@contextmanager
def _folder(folder: Path | None, *, overwrite: bool) -> Iterator[Path | None]:
    """The folder for the results, before any work: it is there, and may be written to.

    If it was made for nothing, it goes again.
    """
    if folder is None:
        yield None
        return
    for name in (_RESULTS, _REPORT):
        if not overwrite and (folder / name).exists():
            raise InputError(f"{folder / name} exists; pass --overwrite to replace it")
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield folder
    except BaseException:
        with suppress(OSError):  # something is in it
            for path in made:
                path.rmdir()
        raise


def _write(results: Mapping[str, Any], pictures: Sequence[Picture], folder: Path) -> Path:
    """Write the results, then the page: it never speaks of other results than lie beside it."""
    try:
        (folder / _REPORT).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    write_bytes(folder / _RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    return write_report(results, pictures, folder)
