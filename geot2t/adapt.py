"""A model taught by the user's own series before it fills: no truth is needed but the series.

The scene to be filled is shown, never asked for: what its self-check hides was then not learnt,
and the check stays honest.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections import deque
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from geot2t.checkpoint import Model
from geot2t.clouds import CloudShapes
from geot2t.errors import InputError
from geot2t.generator import Generator
from geot2t.io.stack import Stack
from geot2t.learner import TrainConfig, averaging, reconstruction
from geot2t.places import Place
from geot2t.tiles import Sample, Windows, drawn_batch

log = logging.getLogger(__name__)

RATE = 3e-4
"""Greatest learning rate: what was learnt elsewhere is corrected, not replaced."""

_POOL = 150
_FIRST = 12


def adapt(model: Model, stack: Stack, steps: int, device: torch.device, *, seed: int = 0) -> Model:
    """Train a copy of ``model`` on the other dates of ``stack``.

    Observed pixels of these dates are hidden under real cloud shapes, and the network learns to
    fill them; the adversarial part has no role in it.

    Parameters
    ----------
    model : Model
        Not changed.
    stack : Stack
        The scene and its series.
    steps : int
        Steps of training; some seconds each on a CPU.
    device : torch.device
        Where to train.
    seed : int
        Of all draws; equal seeds give equal models on one machine.

    Raises
    ------
    InputError
        If there are fewer than two other dates, or too little was observed of them.
    """
    if len(stack.days) < 3:
        raise InputError(
            "--adapt learns from the other dates and needs two of them; give more with --series"
        )
    generator = copy.deepcopy(model.generator).to(device).requires_grad_(requires_grad=True)
    generator.train()
    place = Place(stack, "series", [stack.target])
    windows = Windows(
        [(place, place.extent)], CloudShapes.load(), frames=generator.config.frames, seed=seed
    )
    config = TrainConfig(steps=steps, adversarial=0.0, seed=seed)
    optimiser = torch.optim.AdamW(generator.parameters(), RATE, betas=(0.9, 0.99))
    average = AveragedModel(generator, avg_fn=averaging(0.99))
    pool: deque[Sample] = deque((windows[i] for i in range(_FIRST)), maxlen=_POOL)
    for step in range(steps):
        pool.append(windows[_FIRST + step])
        batch = drawn_batch(pool, config.batch, np.random.default_rng([seed, 7, step]), device)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * (1 - step / steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            guess = generator(batch.evidence)
        losses = reconstruction(batch, guess, config)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values(), torch.zeros((), device=device)).backward()
        norm = nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        if torch.isfinite(norm):
            optimiser.step()
            average.update_parameters(generator)
        log.info("adapting: step %d of %d, error %.3f", step + 1, steps, losses["error"])
    learnt = cast("Generator", average.module.requires_grad_(requires_grad=False).eval())
    name = f"{model.name}, adapted by {steps} steps"
    return dataclasses.replace(model, generator=learnt, name=name)
