"""Are samples as wide as the truth lies off? Hide observed pixels, draw samples, count.

Clear dates of a series are filled under the cloud shapes of its other dates, with N samples each.
If samples are calibrated, the truth is as likely to lie between any two neighbouring samples as
between any other two (Talagrand's rank histogram), its central 80 % hold 80 % of the hidden
pixels, and the errors of neighbouring pixels are as alike in samples as in truth.

    python benchmarks/samples.py                        # the sample that ships
    python benchmarks/samples.py SERIES --samples 20 --method auto -o samples.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geot2t.demo import SAMPLE
from geot2t.hidden import find_cases
from geot2t.intervals import LAGS, likeness
from geot2t.io.stack import Stack, open_stack
from geot2t.jobs import inpaint

CENTRAL = 0.8
Pixels = NDArray[np.float64]


def hidden_in(stack: Stack, seed: int) -> NDArray[np.bool_]:
    """Observed pixels of the scene to be hidden: those of a self-check with another seed."""
    hidden = np.zeros((stack.extent.height, stack.extent.width), bool)
    for case in find_cases(stack, size=256, overlap=64, seed=seed, cases=1):
        part = case.box.intersection(stack.extent)
        if part is not None:
            hidden[part.slices] |= case.hidden[part.within(case.box)]
    return hidden


def cases(
    series: Path, samples: int, method: str, seed: int, most: int
) -> Iterator[tuple[Any, ...]]:
    """Yield truth and fill ``(band, n)``, samples ``(sample, band, n)``, and the hidden pixels."""
    with open_stack(next(iter(sorted(series.glob("*.tif")))), series) as stack:
        shares = [(stack.read_date(i, stack.extent)[1].mean(), i) for i in stack.targets]
        clear = [i for share, i in sorted(shares, reverse=True) if share > 0.6][:most]
        for date in sorted(clear):
            one = stack.retarget(date)
            hidden = hidden_in(one, seed + date)
            if hidden.any():
                yield stack.names, hidden, *filled(one, series, hidden, samples, method, seed)


def filled(
    stack: Stack, series: Path, hidden: NDArray[np.bool_], samples: int, method: str, seed: int
) -> tuple[Pixels, Pixels, Pixels]:
    """Truth and fill ``(band, y, x)`` and samples ``(sample, band, y, x)``, in file units."""
    scene = stack.paths[stack.target]
    with tempfile.TemporaryDirectory() as folder:
        marked, out = Path(folder) / "hidden.tif", Path(folder) / "filled.tif"
        with rasterio.open(scene) as src:
            truth = src.read().astype("float64")
            profile = {**src.profile, "count": 1, "dtype": "uint8", "nodata": None}
        with rasterio.open(marked, "w", **profile) as to:
            to.write(hidden.astype("uint8"), 1)
        options: dict[str, Any] = {"method": method, "samples": samples, "seed": seed}
        result = inpaint(scene, out, series=series, cloud_mask=marked, **options)
        drawn = []
        for i in range(1, samples + 1):
            with rasterio.open(out.with_name(f"filled_sample_{i:02}.tif")) as file:
                drawn.append(file.read().astype("float64"))
        with rasterio.open(result.path) as file:
            return truth, file.read().astype("float64"), np.stack(drawn)


def ranks(truth: Pixels, drawn: Pixels, rng: np.random.Generator) -> NDArray[np.int64]:
    """Samples below the truth, ties broken at random; counts ``(band, sample + 1)``."""
    below, same = (drawn < truth).sum(0), (drawn == truth).sum(0)
    rank = below + rng.integers(0, same + 1)
    count = len(drawn) + 1
    return np.stack([np.bincount(band, minlength=count) for band in rank])


def alike(error: Pixels, hidden: NDArray[np.bool_]) -> dict[int, float]:
    """Correlation of the errors ``(band, y, x)`` of hidden pixels some pixels apart."""
    each = likeness(error, np.ones_like(error), hidden).mean(0)
    return {lag: float(value) for lag, value in zip(LAGS, each, strict=True)}


def measure(series: Path, samples: int, method: str, seed: int, most: int) -> dict[str, Any]:
    """Rank histogram, coverage, spread and likeness over all cases."""
    rng = np.random.default_rng(seed)
    names: tuple[str, ...] = ()
    counted: NDArray[np.int64] | None = None
    squares, spreads, likeness = [], [], []
    for bands, hidden, truth, fill, drawn in cases(series, samples, method, seed, most):
        names = bands
        found = ranks(truth[:, hidden], drawn[..., hidden], rng)
        counted = found if counted is None else counted + found
        squares.append(np.square(truth - fill)[:, hidden])
        spreads.append(drawn[..., hidden].var(0, ddof=1))
        likeness.append((alike(truth - fill, hidden), alike(drawn[0] - fill, hidden)))
    if counted is None:
        raise SystemExit(f"no clear date in {series}")
    share = counted / counted.sum(1, keepdims=True)
    out = round((1 - CENTRAL) / 2 * (samples + 1))
    inside = share[:, out : samples + 1 - out].sum(1)
    expected = (samples + 1 - 2 * out) / (samples + 1)
    rmse = np.sqrt(np.concatenate(squares, 1).mean(1))
    spread = np.sqrt(np.concatenate(spreads, 1).mean(1))
    return {
        "series": series.name, "samples": samples, "method": method, "seed": seed,
        "cases": len(squares), "hidden_pixels": int(counted[0].sum()),
        "expected": expected,
        "bands": [
            {
                "band": name, "inside": float(inside[b]), "rmse": float(rmse[b]),
                "spread": float(spread[b]), "ranks": share[b].round(4).tolist(),
            }
            for b, name in enumerate(names)
        ],
        "alike": [
            {
                "pixels": lag, "truth": float(np.mean([one[lag] for one, _ in likeness])),
                "samples": float(np.mean([two[lag] for _, two in likeness])),
            }
            for lag in LAGS
        ],
    }  # fmt: skip


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures as a table."""
    yield (
        f"{found['series']}, method {found['method']}: {found['cases']} cases, "
        f"{found['hidden_pixels']} hidden pixels, {found['samples']} samples"
    )
    titles = "".join(f"{title:>9}" for title in ("inside", "wanted", "rmse", "spread"))
    yield f"{'band':>10}{titles}  below all, above all"
    for band in found["bands"]:
        low, high = band["ranks"][0], band["ranks"][-1]
        yield (
            f"{band['band']:>10} {band['inside']:8.3f} {found['expected']:8.3f} "
            f"{band['rmse']:8.1f} {band['spread']:8.1f}  {low:.3f} {high:.3f} "
            f"(wanted {1 / (found['samples'] + 1):.3f})"
        )
    yield "correlation of errors some pixels apart, in truth and in samples"
    for row in found["alike"]:
        yield f"{row['pixels']:>10} {row['truth']:8.3f} {row['samples']:8.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How well samples are calibrated.")
    parser.add_argument("series", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--method", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=8, help="dates that are filled")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    given = parser.parse_args()
    found = measure(given.series, given.samples, given.method, given.seed, given.most)
    print("\n".join(lines(found)))
    if given.output:
        given.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
