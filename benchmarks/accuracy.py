"""How far fills are from the truth: real cloud shapes pasted on the clear dates of a real series.

    python benchmarks/accuracy.py CUBE.npz [--model NAME|PATH|none] [--cases 12] [--json FILE]

CUBE holds ``bands (t, b, y, x)`` with 0 for no data, ``mask (t, y, x)`` that is not zero under
clouds, ``dates``, ``band_names``, ``crs`` and ``transform``. It is written out as GeoTIFFs with
masks beside them, as a user would have them, and read back and filled as `geot2t inpaint` does.
The masks of all dates are grown by a few pixels, because masks miss soft edges. What is pasted
are the series' own clouds, mirrored and shifted, and clouds of the packaged library. Errors are
mean absolute errors over pasted pixels that were clear, in the units of the files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import Affine
from scipy import ndimage

from geot2t.baselines import METHODS
from geot2t.calibrate import chosen, self_check
from geot2t.checkpoint import load_model
from geot2t.clouds import CloudShapes
from geot2t.errors import Geot2tError
from geot2t.fill import Around, Filler, Predict, Prediction, Source
from geot2t.io import Stack, open_stack
from geot2t.model import ModelEstimates, pick_device
from geot2t.prior import estimate_prior
from geot2t.survey import Surveyed

Bool = NDArray[np.bool_]
CLEAR = 0.05  # greatest share of a date under clouds for it to serve as truth
SHARES = (0.05, 0.6)  # of the scene that a pasted cloud hides
SPECKLE = 2  # px; smaller spots of a mask are bright roofs and fields, not clouds


@dataclass(frozen=True)
class Cube:
    """A series, and where each date is not to be believed."""

    bands: NDArray[np.uint16]
    """Shape ``(t, b, y, x)``, 0 = no data."""

    clouds: Bool
    """As the series says, shape ``(t, y, x)``."""

    hidden: Bool
    """The same, grown, and where any band has no data."""

    days: tuple[str, ...]
    """Acquisition dates, ISO."""

    names: tuple[str, ...]
    crs: str
    transform: Affine


@dataclass(frozen=True)
class Case:
    """A date of the cube, and a cloud to hide part of it."""

    target: int
    cloud: Bool
    origin: str


def read_cube(path: Path, grow: int) -> Cube:
    """Read a series; dates that are months become the middle of that month of 2020."""
    with np.load(path) as z:
        bands, clouds = z["bands"], z["mask"] > 0
        days = [str(d) for d in z["dates"]]
        names, crs = tuple(map(str, z["band_names"])), str(z["crs"])
        transform = Affine(*map(float, z["transform"][:6]))
    days = [f"2020-{d[6:]}-15" if d.startswith("month-") else d for d in days]
    disc = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), max(grow, 1))
    wide = [ndimage.binary_dilation(c, disc) if grow and c.any() else c for c in clouds]
    hidden = np.stack(wide) | (bands == 0).any(axis=1)
    return Cube(bands, clouds, hidden, tuple(days), names, crs, transform)


def draw_cases(cube: Cube, count: int, seed: int) -> Iterator[Case]:
    """Clear dates in random order, each under another cloud; equal seeds give equal cases."""
    rng = np.random.default_rng(seed)
    size = cube.clouds.shape[1:]
    clear = np.flatnonzero(cube.hidden.mean((1, 2)) < CLEAR)
    if not len(clear):
        sys.exit("Error: no date of this series is clear enough to serve as truth")
    own = [(cube.days[i], ndimage.binary_opening(c, iterations=SPECKLE))
           for i, c in enumerate(cube.clouds)]  # fmt: skip
    own = [(day, c) for day, c in own if SHARES[0] < c.mean() < 0.95]
    library = CloudShapes.load()
    order: list[int] = []
    while len(order) < count:
        order += rng.permutation(clear).tolist()
    for i, target in enumerate(order[:count]):
        moved = _moved(own, rng) if own and i % 2 == 0 else None
        if moved is None:
            moved = "library", library.sample(rng, *size, share=SHARES)
        yield Case(target, moved[1], moved[0])


def _moved(own: list[tuple[str, Bool]], rng: np.random.Generator) -> tuple[str, Bool] | None:
    """One of the series' clouds, mirrored and shifted; None if none gives a fair share."""
    for _ in range(50):
        day, cloud = own[rng.integers(len(own))]
        cloud = cloud[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
        shift = [int(rng.integers(-n // 2, n // 2 + 1)) for n in cloud.shape]
        cloud = ndimage.shift(cloud.astype("uint8"), shift, order=0, mode="constant") > 0
        if SHARES[0] < cloud.mean() < SHARES[1]:
            return day, cloud
    return None


def write_date(cube: Cube, i: int, folder: Path, cloud: Bool | None = None) -> Path:
    """Write one date, and its mask beside it; under ``cloud`` nothing of it is left."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cube.days[i]}.tif"
    hidden, bands = cube.hidden[i], cube.bands[i]
    if cloud is not None:
        hidden, bands = hidden | cloud, np.where(cloud, 0, bands)
    height, width = hidden.shape
    grid: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width, "crs": cube.crs,
                            "transform": cube.transform, "compress": "deflate"}  # fmt: skip
    with rasterio.open(path, "w", count=len(bands), dtype=bands.dtype, nodata=0, **grid) as dst:
        dst.write(bands)
        dst.descriptions = cube.names
        dst.update_tags(ACQUISITION_DATE=cube.days[i])
    with rasterio.open(folder / f"{path.stem}_mask.tif", "w", count=1, dtype="uint8", **grid) as d:
        d.write(hidden.astype("uint8"), 1)
    return path


def prior(pixels: Any, valid: Any, days: Any, target: int, around: Around) -> Prediction:
    """The prior alone, as a `Predict`."""
    p, v, d, *more = map(torch.from_numpy, (pixels, valid, days, around.pixels, around.valid))
    out = estimate_prior(p, v, d, target, around=(more[0], more[1]))
    return Prediction(out.mean.numpy(), out.scale.numpy(), out.days.numpy())


def blinkered(method: Predict) -> Predict:
    """``method``, not told what was observed around a window."""
    return lambda *arrays, **_: method(*arrays)


def methods_for(stack: Stack, source: Source, model: str | None) -> dict[str, Predict]:
    """Every method by name; with a model also what `geot2t inpaint` makes of them for the scene."""
    methods: dict[str, Predict] = {name: blinkered(m) for name, m in METHODS.items()}
    methods["prior"] = prior
    if model == "none":
        return methods
    try:
        loaded = load_model(model)
    except Geot2tError as error:
        if model is not None:
            raise
        print(f"without the network: {error}", file=sys.stderr)
        return methods
    estimates = ModelEstimates(loaded, stack.wavelengths, pick_device("auto"))

    def network(pixels: Any, valid: Any, days: Any, target: int, around: Around) -> Prediction:
        return estimates(pixels, valid, days, target, ["network"], around=around)["network"]

    check = self_check(source, estimates)
    return {**methods, "network": network, "geot2t": chosen(estimates, check)}


def run_case(cube: Cube, case: Case, folder: Path, series: list[Path], args: Any) -> dict[str, Any]:
    """Fill one case by every method and measure the errors."""
    scene = write_date(cube, case.target, folder, case.cloud)
    others = [path for i, path in enumerate(series) if i != case.target]
    scored = case.cloud & ~cube.hidden[case.target]
    truth = cube.bands[case.target].astype("float64")[:, scored]
    row: dict[str, Any] = {
        "date": cube.days[case.target],
        "cloud": case.origin,
        "gap": float(case.cloud.mean()),
        "pixels": int(scored.sum()),
        "mae": {},
        "bias": {},
        "honesty": {},
    }
    with open_stack(scene, others) as stack:
        source = Surveyed(stack)
        for name, predict in methods_for(stack, source, args.model).items():
            filler = Filler(source, predict, size=args.window, overlap=args.window // 4)
            filled = filler.fill(stack.extent)
            off = stack.to_file_units(filled.pixels)[:, scored] - truth
            unit = stack.to_file_units(filled.scale) - stack.to_file_units(0 * filled.scale)
            row["mae"][name] = float(np.abs(off).mean())
            row["bias"][name] = float(off.mean())
            row["honesty"][name] = float(np.abs(off).mean() / unit[:, scored].mean())
    return row


def table(rows: list[dict[str, Any]], summary: dict[str, Any]) -> str:
    """The results in Markdown."""
    names = list(rows[0]["mae"])
    learnt = [n for n in names if n in ("prior", "network", "geot2t")]
    ratios = [f"{n} / linear" for n in learnt] + [f"{n} / prior" for n in learnt[1:]]
    head = ["case", "date", "clouds of", "gap", *names, *ratios]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for i, row in enumerate(rows, 1):
        mae = row["mae"]
        cells = [f"{mae[n]:.1f}" for n in names]
        cells += [f"{mae[a] / mae[b]:.3f}" for a, b in (r.split(" / ") for r in ratios)]
        lines.append(" | ".join([str(i), row["date"], row["cloud"], f"{row['gap']:.0%}", *cells]))
    last = [f"{summary['mae'][n]:.1f}" for n in names]
    last += [f"{summary['ratio'][r]:.3f}" for r in ratios]
    lines.append(" | ".join(["mean", "", "", "", *last]))
    beside = [f"{summary['ratio'].get(f'{n} / linear', 1):.3f}" for n in names]
    lines.append(" | ".join(["mean ratio to linear", "", "", "", *beside, *("" for _ in ratios)]))
    return "\n".join(f"| {line} |" for line in lines)


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the cases; a ratio of means is not a mean of ratios, so both are given."""
    names = list(rows[0]["mae"])
    mae = {n: np.array([row["mae"][n] for row in rows]) for n in names}
    pairs = [(n, "linear") for n in names if n != "linear"]
    pairs += [(n, "prior") for n in ("network", "geot2t") if n in names]
    return {
        "mae": {n: float(mae[n].mean()) for n in names},
        "honesty": {n: float(np.mean([row["honesty"][n] for row in rows])) for n in names},
        "ratio": {f"{a} / {b}": float((mae[a] / mae[b]).mean()) for a, b in pairs},
        "ratio_of_means": {f"{a} / {b}": float(mae[a].mean() / mae[b].mean()) for a, b in pairs},
    }


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cube", type=Path)
    parser.add_argument("--model", help="name or path; 'none' leaves the network out")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grow", type=int, default=4, help="px by which masks are grown")
    parser.add_argument("--window", type=int, default=256)
    parser.add_argument("--json", type=Path, help="also write the results there")
    args = parser.parse_args()
    cube = read_cube(args.cube, args.grow)
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        series = [write_date(cube, i, folder / "series") for i in range(len(cube.days))]
        rows = []
        for i, case in enumerate(draw_cases(cube, args.cases, args.seed)):
            rows.append(run_case(cube, case, folder / f"case{i}", series, args))
            print(f"case {i + 1} of {args.cases}", file=sys.stderr)
    summary = summarise(rows)
    print(table(rows, summary))
    if args.json:
        args.json.write_text(json.dumps({"cases": rows, "summary": summary}, indent=2) + "\n")


if __name__ == "__main__":
    main()
