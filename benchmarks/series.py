"""How well many series are filled: `geot2t evaluate` on each, and what it says of all of them.

    python benchmarks/series.py SERIES ... --keep FOLDER [--cases 10] [--model NAME|PATH|none]
    python benchmarks/series.py SERIES ... --keep OTHER --one-side --kinds cloud --window 64

SERIES are folders with the GeoTIFFs of one place each, as `benchmarks/prepare_tiles.py` makes them.
FOLDER keeps the results of each series: what is there is not measured again, so a run that was
stopped goes on. The second command hides a part that is larger than a window. Ratios are of mean
absolute errors, means over the cases of a series and then over series; lower is better. Series that
the network learnt from are marked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import rasterio

from geot2t.checkpoint import load_model
from geot2t.errors import Geot2tError
from geot2t.evaluation import KINDS, evaluate
from geot2t.evaluation.cases import SHARES
from geot2t.io import scenes_in
from geot2t.io.publish import write_bytes
from geot2t.report.scores import bucket_label

AGAINST = ("network", "prior", "linear")
PAIRS = (("prior", "linear"), ("network", "linear"), ("geot2t", "linear"), ("network", "prior"))
LOOKS = {
    "gap_px": "pixels of the gap",
    "distance_px": "pixels to the nearest observed one",
    "days": "days to the nearest date",
    "evidence": "other dates that show the pixel",
    "observed": "per cent of the scene observed",
}
FEW = 500
"""Pixels of a bucket below which its coverage says nothing."""

Results = dict[str, Any]


def measured(folder: Path, args: argparse.Namespace) -> Results | None:
    """The results of one series, measured now or before; None if it cannot be evaluated."""
    path = args.keep / f"{folder.name}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    try:
        with tempfile.TemporaryDirectory() as temporary:
            gaps = one_side(folder, Path(temporary)) if args.one_side else "real"
            found = evaluate(
                folder, gaps=gaps, against=args.against, kinds=args.kinds, cases=args.cases,
                model=args.model, crop=args.crop, seed=args.seed,
                window=args.window, overlap=args.window // 4,
            )  # fmt: skip
    except Geot2tError as error:
        print(f"{folder.name}: left out: {error}", file=sys.stderr)
        return None
    write_bytes(path, (json.dumps(found.results, indent=2) + "\n").encode())
    return dict(found.results)


def one_side(series: Path, folder: Path) -> Path:
    """A gap over the right-hand three fifths of a series, as large as windows and larger."""
    out = folder / "one_side.tif"
    with rasterio.open(scenes_in(series)[0]) as like:
        where = {"crs": like.crs, "transform": like.transform}
        gap = np.zeros((1, *like.shape), "uint8")
    gap[..., 2 * gap.shape[-1] // 5 :] = 1
    size = dict(zip(("count", "height", "width"), gap.shape, strict=True))
    with rasterio.open(out, "w", driver="GTiff", dtype="uint8", **size, **where) as file:
        file.write(gap)
    return out


def ratios(results: Results, kind: str, one: str, other: str) -> list[float]:
    """MAE of one method over another's in each case of a kind."""
    cases = [case["scores"] for case in results["cases"] if case["kind"] == kind]
    return [s[one]["mae"] / s[other]["mae"] for s in cases if one in s and s[other]["mae"] > 0]


def least_coverage(results: Results) -> float | None:
    """Coverage of the 90 % interval in the bucket of gap sizes where it is least."""
    buckets = [b for b in results["by"]["gap_px"] if b["pixels"] >= FEW]
    return min((b["methods"]["geot2t"]["coverage"] for b in buckets), default=None)


def clouds(found: dict[str, Results], learnt: set[str], kind: str) -> Iterator[list[str]]:
    """A row for each series: errors under clouds, coverage, and the seam."""
    yield [
        "series", "cases", *(f"{a} / {b}" for a, b in PAIRS),
        "worst case of geot2t / better of network and prior",
        "coverage", "least of any gap size", "seam", "texture",
    ]  # fmt: skip
    rows: list[list[float | None]] = []
    for name, results in found.items():
        cases = [case["scores"] for case in results["cases"] if case["kind"] == kind]
        if not cases:
            continue
        parts = [m for m in ("network", "prior") if m in cases[0]]
        worst = max(s["geot2t"]["mae"] / max(min(s[m]["mae"] for m in parts), 1e-12) for s in cases)
        pairs = [fmean(r) if (r := ratios(results, kind, a, b)) else None for a, b in PAIRS]
        mean = results["summary"][kind]["geot2t"]
        seam, texture = (mean[k] and mean[k]["mean"] for k in ("seam", "texture"))
        row = [*pairs, worst, mean["coverage"]["mean"], least_coverage(results), seam, texture]
        rows.append(row)
        mark = " (learnt from)" if name in learnt else ""
        yield [name + mark, str(len(cases)), *map(number, row)]
    yield ["mean", "", *(number(mean_of(column)) for column in zip(*rows, strict=True))]


def dates(found: dict[str, Results], kinds: Sequence[str]) -> Iterator[list[str]]:
    """A row for each series: errors on whole dates over linear interpolation's."""
    shown = [(kind, m) for kind in kinds for m in ("prior", "network", "geot2t")]
    yield ["series", *(f"{kind}: {m}" for kind, m in shown), "coverage"]
    rows: list[list[float | None]] = []
    for name, results in found.items():
        every = [(r := ratios(results, kind, m, "linear")) and fmean(r) for kind, m in shown]
        held = [
            case["scores"]["geot2t"]["coverage"]
            for case in results["cases"]
            if case["kind"] in kinds
        ]
        row: list[float | None] = [*(v or None for v in every), mean_of(held)]
        if any(v is not None for v in row):
            rows.append(row)
            yield [name, *map(number, row)]
    if rows:
        yield ["mean", *(number(mean_of(column)) for column in zip(*rows, strict=True))]


def by(found: dict[str, Results], look: str) -> Iterator[list[str]]:
    """A row for each bucket: ratios and coverage, means over the series that have pixels there."""
    yield [LOOKS[look], "series", *(f"{a} / {b}" for a, b in PAIRS), "coverage"]
    buckets: dict[str, list[Results]] = {}
    order: dict[str, float] = {}
    for results in found.values():
        for bucket in results["by"][look]:
            label = bucket_label(bucket)
            order[label] = -1.0 if bucket["from"] is None else bucket["from"]
            if bucket["pixels"] >= FEW:
                buckets.setdefault(label, []).append(bucket["methods"])
    for label in sorted(buckets, key=order.__getitem__):
        methods = buckets[label]
        pairs = [
            mean_of(
                [m[a]["mae"] / m[b]["mae"] if a in m and m[b]["mae"] else None for m in methods]
            )
            for a, b in PAIRS
        ]
        held = mean_of([m["geot2t"]["coverage"] for m in methods])
        yield [label, str(len(methods)), *map(number, [*pairs, held])]


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of what is there."""
    there = [v for v in values if v is not None]
    return fmean(there) if there else None


def number(value: float | None) -> str:
    """Three digits after the point."""
    return "" if value is None else f"{value:.3f}"


def table(rows: Iterator[list[str]]) -> str:
    """Rows in Markdown, the first of them the head."""
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def main() -> None:
    """Evaluate all series and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path, nargs="+")
    parser.add_argument("--keep", type=Path, required=True, help="folder for the results")
    parser.add_argument("--model", help="name or path; 'none' leaves the network out")
    parser.add_argument("--cases", type=int, default=10)
    parser.add_argument("--crop", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=int, default=256, help="model window in pixels")
    parser.add_argument("--one-side", action="store_true", help="hide the right three fifths")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--against", nargs="+", default=list(AGAINST))
    args = parser.parse_args()
    args.keep.mkdir(parents=True, exist_ok=True)
    learnt: set[str] = set()
    if args.model == "none":
        args.against = [m for m in args.against if m != "network"]
    else:
        learnt = set(load_model(args.model).card.get("places", {}).get("learnt_from", ()))
    found = {}
    for folder in args.series:
        print(folder.name, file=sys.stderr, flush=True)
        if (results := measured(folder, args)) is not None:
            found[folder.name] = results
    for kind in SHARES:
        if kind in args.kinds:
            print(f"\n{kind}\n")
            print(table(clouds(found, learnt, kind)))
    if whole := [kind for kind in args.kinds if kind not in SHARES]:
        print("\nWhole dates, over linear interpolation's\n")
        print(table(dates(found, whole)))
    for look in LOOKS:
        print()
        print(table(by(found, look)))


if __name__ == "__main__":
    main()
