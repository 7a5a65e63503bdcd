"""Every method, on what is left of a case."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.baselines import METHODS, check_installed
from geot2t.calibrate import SelfCheck, chosen, self_check
from geot2t.errors import InputError
from geot2t.evaluation.shown import Held
from geot2t.fill import Around, Estimates, Filler, Float, Predict, Prediction
from geot2t.io import Stack
from geot2t.methods import LEARNT, REFERENCE, Fewer
from geot2t.survey import Surveyed
from geot2t.trials import Outcomes

GEOT2T = "geot2t"
"""What `geot2t.inpaint` would write: for each band the method that wins the self-check."""

NAMES = (GEOT2T, *LEARNT, *METHODS)
"""Every method that can be compared."""

NO_MODEL = "none"
"""Name of no model: geot2t then chooses between prior and linear interpolation."""

_SURE = math.log(10)  # half-width of a 90 % interval over the mean error, if errors are Laplacian


@dataclass(frozen=True, slots=True, eq=False)
class Fill:
    """What a method made of a case."""

    method: str
    """Its name."""

    pixels: Float
    """The target date without gaps, physical units, shape ``(band, y, x)``."""

    error: Float
    """Expected absolute error, same shape; 0 where observed. `half_width` makes intervals of it."""

    check: SelfCheck | None = None
    """Of geot2t: its self-check."""


def half_width(error: Float, level: float) -> Float:
    """Half-width of the interval that holds ``level`` of all errors, if they are Laplacian.

    The Laplace distribution of mean absolute error m holds errors up to ``-m log(1 - level)``.
    """
    return error * np.float32(-math.log1p(-level))


def pick(against: str | Sequence[str], learnt: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The methods to compare, and what should be said of those that are left out.

    Parameters
    ----------
    against : str or sequence of str
        ``all``, or names out of `NAMES`, separated by commas or one by one. geot2t and linear
        interpolation are always there.
    learnt : sequence of str
        Methods that the model has.

    Raises
    ------
    InputError
        If a name is not known, or its method cannot be used here.
    """
    given = [against] if isinstance(against, str) else against
    asked = [name for text in given for part in text.split(",") if (name := part.strip())]
    there = [name for name in NAMES if name not in LEARNT or name in learnt]
    notes = []
    for name in asked:
        if name not in (*NAMES, "all"):
            raise InputError(f"no method {name!r}; there are all, {', '.join(NAMES)}")
        if name in LEARNT and name not in learnt:
            raise InputError(f"the model has no method {name!r}")
        check_installed(name)
    wanted = {GEOT2T, REFERENCE, *asked}
    if not asked or "all" in asked:
        wanted.update(there)
        for name in there:
            try:
                check_installed(name)
            except InputError as error:
                notes.append(f"{name} is left out: {error}")
                wanted.discard(name)
    return tuple(name for name in there if name in wanted), notes


def load(
    model: str | Path | Estimates | None, device: str, stack: Stack
) -> tuple[Estimates, dict[str, Any]]:
    """The model's methods, and what the model is.

    Raises
    ------
    ModelError, InputError
        If the model or the device cannot be used.
    """
    if model is not None and not isinstance(model, str | Path):
        return model, {"name": type(model).__name__}
    from geot2t.checkpoint import load_model  # imports torch, which takes seconds
    from geot2t.model import ModelEstimates, pick_device

    place = pick_device(device)
    loaded = load_model(None if model == NO_MODEL else model)
    estimates: Estimates = ModelEstimates(loaded, stack.wavelengths, place)
    if model == NO_MODEL:
        return Fewer(estimates, "prior"), {"name": NO_MODEL, "device": str(place)}
    return estimates, {"name": loaded.name, "sha256": loaded.sha256, "device": str(place)}


def fills(
    held: Held,
    estimates: Estimates,
    methods: Sequence[str],
    *,
    size: int,
    overlap: int,
    batch: int,
    seed: int,
    known: Outcomes | None = None,
) -> Iterator[Fill]:
    """Fill a case by one method after the other, each as `geot2t.inpaint` would use it.

    Parameters
    ----------
    held : Held
        What may be seen of the case.
    estimates : Estimates
        The model's methods.
    methods : sequence of str
        Out of `NAMES`.
    size, overlap, batch, seed
        As for `geot2t.inpaint`.
    known : dict, optional
        As for `geot2t.calibrate.self_check`.
    """
    source = Surveyed(held)
    check = self_check(source, estimates, size=size, overlap=overlap, seed=seed, known=known)
    factors: dict[str, float] = getattr(estimates, "factors", {})
    learnt = [m for m in estimates.methods if m in methods or m in check.methods]
    remembered = Remembered(estimates, learnt)
    for name in methods:
        predict: Predict
        if name == GEOT2T:
            predict, factor = chosen(remembered, check), 1.0
        elif name in METHODS:
            predict, factor = _alone(name), _SURE
        else:
            predict, factor = _one(remembered, name), factors.get(name, _SURE)
        filler = Filler(source, predict, size=size, overlap=overlap, batch=batch)
        filled = filler.fill(source.extent)
        error = filled.scale * np.float32(factor / _SURE)
        yield Fill(name, filled.pixels, error, check if name == GEOT2T else None)


def _alone(name: str) -> Predict:
    """A baseline, which makes nothing of what was observed elsewhere."""

    def predict(
        pixels: Float, valid: NDArray[np.bool_], days: Float, target: int, **_: Around
    ) -> Prediction:
        return METHODS[name](pixels, valid, days, target)

    return predict


def _one(estimates: Estimates, name: str) -> Predict:
    """One of the model's methods."""

    def predict(
        pixels: Float, valid: NDArray[np.bool_], days: Float, target: int, **around: Around
    ) -> Prediction:
        return estimates(pixels, valid, days, target, (name,), **around)[name]

    return predict


class Remembered:
    """Estimates that compute all methods of a window at once, and each window once.

    Parameters
    ----------
    estimates : Estimates
    methods : sequence of str
        Those that will be asked for.
    """

    def __init__(self, estimates: Estimates, methods: Sequence[str]) -> None:
        self.methods, self._estimates = tuple(methods), estimates
        self._known: dict[bytes, dict[str, Prediction]] = {}

    def __call__(
        self,
        pixels: Float,
        valid: NDArray[np.bool_],
        days: Float,
        target: int,
        methods: Sequence[str],
        *,
        around: Around | None = None,
    ) -> dict[str, Prediction]:
        """Predict by each of ``methods``; see `geot2t.fill.Estimates`."""
        key = hashlib.blake2b(pixels.tobytes() + valid.tobytes()).digest()
        if key not in self._known:
            more = {} if around is None else {"around": around}
            self._known[key] = self._estimates(pixels, valid, days, target, self.methods, **more)
        return {name: self._known[key][name] for name in methods}
