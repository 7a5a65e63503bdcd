"""From arrays to predictions: the prior, what the network needs to know of it, the network."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geot2t import baselines
from geot2t.checkpoint import Model, load_model, resolve
from geot2t.errors import InputError
from geot2t.fill import Around, Float, Prediction
from geot2t.generator import STRIDE, Evidence
from geot2t.prior import Prior, estimate_prior

log = logging.getLogger(__name__)

YEAR = 365.2425

MOST_THREADS = 4
"""Windows computed side by side at most; each takes some hundred megabytes."""

_LOCK = threading.Lock()

Done = TypeVar("Done")


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that compute on the CPU, each with one of torch's own.

    What torch adds up in several threads differs in the last bits with their number, so that no
    two computers would give the same file, nor one worker and two.
    """
    threads = min(torch.get_num_threads(), MOST_THREADS)
    return ThreadPoolExecutor(threads, "geot2t-compute", torch.set_num_threads, (1,))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay with the parent


def _computed(device: torch.device, work: Callable[..., Done], *given: Any) -> Done:
    """``work(*given)``, in a thread of one if it is the CPU that computes."""
    return _pool().submit(work, *given).result() if device.type == "cpu" else work(*given)


def evidence_of(
    prior: Prior,
    pixels: Tensor,
    valid: Tensor,
    days: Tensor,
    target: int,
    wavelengths: Tensor,
    frames: int,
) -> Evidence:
    """Put what the generator is told into the order it expects: the target, then the best dates.

    Parameters
    ----------
    prior : Prior
        Of these very windows.
    pixels, valid, days, target
        As for `estimate_prior`: ``(n,t,b,y,x)``, ``(n,t,y,x)``, ``(t,)``.
    wavelengths : Tensor
        Micrometres, ``(b,)``, NaN where unknown.
    frames : int
        Frames returned at most, the target included.
    """
    n = pixels.shape[0]
    chosen = prior.chosen[:, : frames - 1]  # (n, k)
    known, index = chosen >= 0, chosen.clamp(min=0)
    each = torch.arange(n, device=pixels.device)[:, None]
    k = chosen.shape[1]

    own = valid[:, target]
    own_values = torch.where(own.unsqueeze(1), pixels[:, target], prior.mean)
    seen = prior.per_date_valid[:, :k] & known[:, :, None, None]
    fitted = torch.where(seen.unsqueeze(2), prior.per_date[:, :k], prior.mean.unsqueeze(1))
    since = torch.where(known, days[index] - days[target], 0.0)
    return Evidence(
        prior=prior.mean,
        prior_scale=prior.scale,
        images=torch.cat([own_values.unsqueeze(1), pixels[each, index]], 1),
        fitted=torch.cat([own_values.unsqueeze(1), fitted], 1),
        fitted_scale=torch.cat([prior.scale.unsqueeze(1), prior.per_date_scale[:, :k]], 1),
        valid=torch.cat([own.unsqueeze(1), seen], 1),
        days=torch.cat([since.new_zeros(n, 1), torch.nan_to_num(since)], 1),
        season=(days[target] / YEAR % 1).expand(n),
        wavelengths=wavelengths.expand(n, -1),
    )


def pick_device(device: str) -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    InputError
        If the device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"no device {device!r}; use auto, cpu, cuda or cuda:N") from error
    if chosen.type == "cuda":
        count = torch.cuda.device_count()
        if (chosen.index or 0) >= count:
            raise InputError(f"device {device} is not there ({count} CUDA devices); use cpu")
    elif chosen.type != "cpu":
        raise InputError(f"no device {device!r}; use auto, cpu, cuda or cuda:N")
    return chosen


def count_gpus(device: str) -> int:
    """GPUs that there are if ``device`` is one of them, or is chosen to be; else 0."""
    return torch.cuda.device_count() if pick_device(device).type == "cuda" else 0


def open_estimates(
    name: str | Path | None,
    device: str,
    wavelengths: NDArray[np.floating],
    change: Callable[[Model, torch.device], Model] | None = None,
) -> tuple[ModelEstimates, dict[str, Any]]:
    """Load a model for a scene, and say which it is.

    Parameters
    ----------
    name : str or Path, optional
        As for `geot2t.load_model`.
    device : str
        As for `pick_device`.
    wavelengths : ndarray, shape ``(band,)``
        Of the scene, in micrometres, NaN where unknown.
    change : callable, optional
        ``change(model, device)`` gives the model to use instead.

    Returns
    -------
    ModelEstimates, dict
    """
    chosen = pick_device(device)
    if change is None:
        path = resolve(name)
        with _LOCK:  # two threads must not load the same weights
            loaded = _shared(path, path.stat().st_mtime_ns, chosen)
    else:
        loaded = load_model(name)
    if loaded.draws:
        raise InputError(f"{name} was taught to draw, not to fill; choose another --model")
    if change is not None:
        loaded = _computed(chosen, change, loaded, chosen)
    about = {"name": loaded.name, "sha256": loaded.sha256, "device": str(chosen)}
    return ModelEstimates(loaded, wavelengths, chosen), about


@lru_cache(maxsize=2)
def _shared(path: Path, _written: int, _device: torch.device) -> Model:
    """A model that is loaded once for all scenes of a process; nobody may change it."""
    return load_model(path)


class ModelEstimates:
    """Estimates of a trained model, of the prior it refines, and of linear interpolation.

    Parameters
    ----------
    model : Model
        Moved to ``device``.
    wavelengths : ndarray, shape ``(band,)``
        Centre wavelengths in micrometres, NaN where unknown.
    device : torch.device
        Where to compute. On CUDA the network runs in bfloat16, the prior in float32. On the CPU
        the number of torch's threads changes no bit of what comes out.
    """

    methods: tuple[str, ...] = ("network", "prior", "linear")

    def __init__(
        self, model: Model, wavelengths: NDArray[np.floating], device: torch.device
    ) -> None:
        self.model, self.device = model, device
        self.factors = model.factors
        self._wavelengths = torch.as_tensor(np.asarray(wavelengths, "float32"), device=device)
        model.generator.to(device)

    @property
    def threads(self) -> int:
        """How many may call at once to some effect."""
        return min(torch.get_num_threads(), MOST_THREADS) if self.device.type == "cpu" else 1

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
        """Predict by each of ``methods``; see `geot2t.fill.Estimates`.

        A batch that does not fit into the device's memory is halved until it does.
        """
        if unknown := set(methods) - set(self.methods):
            raise InputError(f"no method {sorted(unknown)}; there are {', '.join(self.methods)}")
        try:
            return _computed(
                self.device, self._estimate, pixels, valid, days, target, methods, around
            )
        except torch.OutOfMemoryError:
            if len(pixels) == 1:
                raise InputError(
                    f"one window of {pixels.shape[-1]} px and {pixels.shape[1]} dates does not "
                    f"fit on {self.device}; use a smaller --window or --device cpu"
                ) from None
        # Outside the handler: the exception would keep the failed batch's tensors alive.
        log.warning("a batch of %d windows does not fit on %s; halved", len(pixels), self.device)
        torch.cuda.empty_cache()
        half = len(pixels) // 2
        first, second = (
            self(
                pixels[part],
                valid[part],
                days,
                target,
                methods,
                around=around and Around(around.pixels[part], around.valid[part]),
            )
            for part in (slice(half), slice(half, None))
        )
        return {
            name: Prediction(
                *(
                    np.concatenate([getattr(first[name], f.name), getattr(second[name], f.name)])
                    for f in dataclasses.fields(Prediction)
                )
            )
            for name in methods
        }

    @torch.inference_mode()
    def _estimate(
        self,
        pixels: Float,
        valid: NDArray[np.bool_],
        days: Float,
        target: int,
        methods: Sequence[str],
        around: Around | None,
    ) -> dict[str, Prediction]:
        out = {}
        if "linear" in methods:
            out["linear"] = baselines.linear(pixels, valid, days, target)
        if {"network", "prior"} & set(methods):
            p, v, d = self._moved(pixels), self._moved(valid), self._moved(days)
            more = None
            if around is not None:
                more = self._moved(around.pixels), self._moved(around.valid)
            prior = estimate_prior(p, v, d, target, around=more)
            used = prior.days.cpu().numpy()
            if "prior" in methods:
                out["prior"] = Prediction(prior.mean.cpu().numpy(), prior.scale.cpu().numpy(), used)
            if "network" in methods:
                mean, scale = self._network(prior, p, v, d, target)
                out["network"] = Prediction(mean.cpu().numpy(), scale.cpu().numpy(), used)
        return {name: out[name] for name in methods}

    def _moved(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _network(
        self, prior: Prior, pixels: Tensor, valid: Tensor, days: Tensor, target: int
    ) -> tuple[Tensor, Tensor]:
        generator = self.model.generator
        evidence = evidence_of(
            prior, pixels, valid, days, target, self._wavelengths, generator.config.frames
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            guess = generator(padded(evidence))
        y, x = pixels.shape[-2:]
        return guess.mean[..., :y, :x], guess.scale[..., :y, :x]


def padded(evidence: Evidence, side: int = 0) -> Evidence:
    """Extend windows to sides that divide by the network's stride; the new pixels are unseen.

    With ``side``, a multiple of that stride, no side will be shorter.
    """
    y, x = evidence.prior.shape[-2:]
    down, right = (max(-length % STRIDE, side - length) for length in (y, x))
    if not down and not right:
        return evidence

    def edge(values: Tensor) -> Tensor:
        flat = values.flatten(0, -4) if values.dim() > 4 else values
        grown = F.pad(flat, (0, right, 0, down), mode="replicate")
        return grown.reshape(*values.shape[:-2], y + down, x + right)

    return dataclasses.replace(
        evidence,
        prior=edge(evidence.prior),
        prior_scale=edge(evidence.prior_scale),
        images=edge(evidence.images),
        fitted=edge(evidence.fitted),
        fitted_scale=edge(evidence.fitted_scale),
        valid=F.pad(evidence.valid, (0, right, 0, down)),
    )
