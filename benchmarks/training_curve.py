"""The course of a training run as a Markdown table.

    python benchmarks/training_curve.py MODEL.log.jsonl [--every 2]

Each row is a check on held-back windows: the losses are running means, `network / prior` is the
geometric mean over those windows of the network's mean absolute error over the prior's, and
`wins` the share of them in which the network is better.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

COLUMNS = {
    "step": "{:.0f}",
    "error": "{:.3f}",
    "gradient": "{:.3f}",
    "game": "{:.3f}",
    "critic": "{:.3f}",
    "ratio": "{:.3f}",
    "wins": "{:.0%}",
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--every", type=int, default=1, help="show every so many-th check")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.log.read_text("utf-8").splitlines()]
    head = ["network / prior" if name == "ratio" else name for name in COLUMNS]
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows[args.every - 1 :: args.every]:
        cells = [form.format(row[k]) if k in row else "-" for k, form in COLUMNS.items()]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
