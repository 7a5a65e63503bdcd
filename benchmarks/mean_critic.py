"""Join the critics of two models to one: the mean of their weights.

    python benchmarks/mean_critic.py TILES ONE OTHER OUT [--seed 7]

OUT is the model OTHER with that critic (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models", arXiv:2109.01903), and with the percentiles of real ground that scores are compared with,
of windows of TILES. A critic that knows fewer statistics than there are is widened by them, at no
weight.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from geot2t.checkpoint import load_model, save_model
from geot2t.critic import Critic, widened
from geot2t.learner import TrainConfig
from geot2t.teach import Teacher


def main() -> None:
    """Read, join, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    other = load_model(given.other)
    both = [widened(m.critic).state_dict() for m in (load_model(given.one), other)]
    teacher = Teacher(
        given.tiles, given.out, TrainConfig(seed=given.seed, only="critic"), torch.device("cpu"),
        given.other,
    )  # fmt: skip
    critic = cast("Critic", teacher.taught.module)
    critic.load_state_dict({name: (both[0][name] + both[1][name]) / 2 for name in both[0]})
    card = other.card | {"realism": teacher.reference()}
    save_model(given.out, replace(other, critic=critic, card=card))


if __name__ == "__main__":
    main()
