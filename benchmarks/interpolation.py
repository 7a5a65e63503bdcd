"""How far whole dates that were never seen are from the truth, and whether their intervals hold.

    python benchmarks/interpolation.py SERIES ... [--kinds missing,last] [--dates 8] [--json FILE]

Clear dates of each series, spread evenly, are hidden whole and made again from the others, as
`geot2t interpolate` would make them. SERIES are folders of scenes; those with fewer than eight
dates are left out. Given are, for geot2t, the prior and the network, the mean absolute error over
that of linear interpolation (mean of the dates' ratios), and the share of all values inside
geot2t's 90 % interval.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from geot2t.errors import InputError
from geot2t.evaluation import evaluate
from geot2t.evaluation.plan import FEWER
from geot2t.io.series import open_series

FEWEST = 8
METHODS = ("geot2t", "prior", "network")


def row(found: dict[str, Any], kind: str) -> list[float]:
    """Dates, MAE of linear interpolation, the ratios to it, coverage and mean width over MAE."""
    of = found["summary"][kind]
    ratios = [of[m]["to_linear"]["mean"] if m in of else np.nan for m in METHODS]
    own = of["geot2t"]
    cases = sum(case["kind"] == kind for case in found["cases"])
    return [
        cases, of["linear"]["mae"]["mean"], *ratios, own["coverage"]["mean"],
        own["width"]["mean"] / own["mae"]["mean"],
    ]  # fmt: skip


def main() -> None:
    """Evaluate all series and print a table for each kind of case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", type=Path, nargs="+")
    parser.add_argument("--kinds", default="missing")
    parser.add_argument("--dates", type=int, default=8, help="dates of each series at most")
    parser.add_argument("--crop", type=int, default=256, help="px; larger scenes are cropped")
    parser.add_argument("--model", help="name or path; 'none' leaves the network out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write all results there")
    args = parser.parse_args()
    kinds, rows, kept = args.kinds.split(","), {}, {}
    for folder in args.series:
        with open_series(folder) as stack:
            if len(stack.dates) < FEWEST:
                continue
        against = ["prior"] if args.model == "none" else ["prior", "network"]
        try:
            found = evaluate(
                folder, kinds=kinds, cases=FEWER * args.dates, crop=args.crop, margin=0,
                against=against, model=args.model, seed=args.seed,
            ).results  # fmt: skip
        except InputError as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            continue
        kept[folder.name] = found
        for kind in kinds:
            if kind in found["summary"]:
                rows[folder.name, kind] = row(dict(found), kind)
                cells = " | ".join(f"{v:.3g}" for v in rows[folder.name, kind])
                print(f"| {kind} | {folder.name} | {cells} |", flush=True)
    for kind in kinds:
        some = [values for (_, k), values in rows.items() if k == kind]
        if some:
            cells = " | ".join(f"{v:.3f}" for v in np.mean(some, axis=0)[2:])
            print(f"| {kind} | mean of {len(some)} | | | {cells} |")
    if args.json:
        args.json.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
