"""How a scene is drawn: the library, what refines its draws, and what chooses among them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.checkpoint import SHIPPED, load_model
from geot2t.errors import InputError
from geot2t.ground import Float, Ground
from geot2t.model import pick_device
from geot2t.realism import Judge
from geot2t.refine import Refiner

LIBRARY = "ground"
"""Name of the library that ships."""

DRAWS = "t2t-draw"
"""Name of the model that draws which ships."""

WAYS = ("statistics", "network")
"""How draws can come about."""

TRIES = 4
"""Draws of which the critic keeps one."""


def library(path: Path | None = None) -> Ground:
    """The library of levels and textures that ships, or another one."""
    return Ground.from_json(json.loads((path or SHIPPED / f"{LIBRARY}.json").read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws by their number."""

    ground: Ground
    """The library."""

    kind: str | None
    """Class of ground."""

    wavelengths: Float
    """Micrometres, ``(b,)``."""

    turn: float | None
    """When in the northern year; None if that does not matter."""

    seed: int
    """Of all draws."""

    refiner: Refiner | None
    """What leads them to ground; None: they stay as the statistics have them."""

    def tries(self, number: int, shape: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
        """What the critic chooses from."""
        for i in range(TRIES):
            rng = np.random.default_rng([self.seed, number, i])
            draw = self.ground.draw(shape, self.wavelengths, rng, kind=self.kind, turn=self.turn)
            if self.refiner is not None:
                draw = self.refiner(draw, self.wavelengths, self.turn, self.kind, rng)
            yield draw

    @property
    def lineage(self) -> str:
        """How they come about."""
        drawn = "Levels and textures were drawn from a library"
        return f"{drawn}." if self.refiner is None else f"{drawn} and refined by a network."

    @property
    def said(self) -> dict[str, Any]:
        """What their Items say of how they come about."""
        if self.refiner is None:
            return {"by": "statistics"}
        return {"by": "network", "model": self.refiner.name, "model_sha256": self.refiner.sha256}


def taught(by: str, name: str | Path | None, device: str) -> tuple[Ground, Refiner | None]:
    """The library to draw from, and what refines its draws.

    Raises
    ------
    InputError
        If the model was not taught to draw.
    """
    if by == "statistics" and name is None:
        return library(), None
    model = load_model(DRAWS if name is None else name)
    if not model.draws:
        raise InputError(
            f"{name} was not taught to draw; geot2t train --only draws makes a model that is, and "
            f"{DRAWS} ships"
        )
    refiner = None if by == "statistics" else Refiner(model, pick_device(device))
    return Ground.from_json(model.card["ground"]), refiner


def judge_of(name: str | Path | None, device: str) -> Judge:
    """What chooses among draws: the critic of a model."""
    chosen, model = pick_device(device), load_model(name)
    return Judge(model.critic, model.card.get("realism", {}).get("window"), chosen)
