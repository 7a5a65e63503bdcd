"""Which methods fill a scene: those of the model, a single one of them, or a baseline alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geot2t.baselines import METHODS, check_installed
from geot2t.errors import InputError
from geot2t.fill import Around, Estimates, Float, Prediction
from geot2t.sharpen import Sharp

AUTO = "auto"
"""For each band, whichever method of the model the self-check finds best."""

LEARNT = ("network", "prior")
"""Methods that need the model."""

NAMES = (AUTO, *LEARNT, *METHODS)
"""Every method that can be asked for."""

REFERENCE = "linear"
"""Measured beside any method, for comparison: it costs next to nothing."""


class BaselineEstimates:
    """A baseline, and linear interpolation to compare it with; neither torch nor weights.

    Parameters
    ----------
    method : str
        A key of `geot2t.baselines.METHODS`.

    Raises
    ------
    InputError
        If the method needs a package that is not installed.
    """

    def __init__(self, method: str) -> None:
        check_installed(method)
        self.methods: tuple[str, ...] = tuple(dict.fromkeys((method, REFERENCE)))

    def __call__(
        self,
        pixels: Float,
        valid: NDArray[np.bool_],
        days: Float,
        target: int,
        methods: Sequence[str],
        *,
        around: Around | None = None,  # noqa: ARG002  baselines look at their window only
    ) -> dict[str, Prediction]:
        """Predict by each of ``methods``; see `geot2t.fill.Estimates`."""
        return {name: METHODS[name](pixels, valid, days, target) for name in methods}


class Fewer:
    """Some methods of other estimates, so that the self-check runs no others.

    Parameters
    ----------
    estimates : Estimates
        The methods there are.
    method : str
        The one to use; kept with those that cost little beside it.

    Raises
    ------
    InputError
        If ``estimates`` has no such method.
    """

    def __init__(self, estimates: Estimates, method: str) -> None:
        if method not in estimates.methods:
            raise InputError(
                f"the model has no method {method!r}; it has {', '.join(estimates.methods)}"
            )
        # The network refines the prior, which is therefore computed anyway.
        beside = ("prior", REFERENCE) if method == "network" else (REFERENCE,)
        self.methods: tuple[str, ...] = tuple(
            dict.fromkeys((method, *(name for name in beside if name in estimates.methods)))
        )
        self.factors: dict[str, float] = getattr(estimates, "factors", {})
        self._estimates = estimates

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
        more = {} if around is None else {"around": around}
        return self._estimates(pixels, valid, days, target, methods, **more)


def estimates_for(
    method: str,
    load: Callable[[], tuple[Estimates, dict[str, Any]]],
    *,
    model: bool,
    sharp: int | None = None,
    seed: int = 0,
) -> tuple[Estimates, dict[str, Any]]:
    """Put together what fills a scene, and say what it is.

    Parameters
    ----------
    method : str
        One of `NAMES`.
    load : callable
        Gives the model's estimates and what is to be said of them; called where they are needed.
    model : bool
        Whether the user named a model.
    sharp : int, optional
        Period of the texture to be given to fills (see `geot2t.sharpen`); None for none.
    seed : int
        Of drawn texture.
    """
    found: Estimates
    if method in METHODS and not model:
        found, about = BaselineEstimates(method), {"name": method}
    else:
        found, about = load()
        if method != AUTO:
            found = Fewer(found, method)
    if sharp is not None:
        found = Sharp(found, period=sharp, seed=seed)
    return found, about


def check_method(method: str, *, model: bool, adapt: bool) -> None:
    """Refuse a method that is not there, or that has no use for what else was asked for.

    Parameters
    ----------
    method : str
        What was asked for.
    model : bool
        Whether the user named a model.
    adapt : bool
        Whether the network is to learn from the scene's series.

    Raises
    ------
    InputError
        With the names that there are.
    """
    if method not in NAMES:
        raise InputError(f"no method {method!r}; there are {', '.join(NAMES)}")
    if model and method in METHODS:
        raise InputError(f"the method {method} uses no model; leave the method or the model out")
    if adapt and method not in (AUTO, "network"):
        raise InputError(f"the method {method} does not use the network; leave out --adapt")
