"""Fills with the texture of the ground: what `--sharp` does.

The fill with the least error is smoother than any ground: where evidence ends, it tends to the
mean. Here a fill gets back the contrast that it lacks, octave by octave. Where other dates were
used, its own detail is raised by as much as it falls short on the observed pixels around; where
none was, detail is drawn at random, with the covariances between bands that observed detail has
(multi-scale analysis as in Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851). Drawn detail
is plausible, not true: the error grows, and the self-check, which measures sharp fills where
they are asked for, says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from geot2t.fill import Around, Estimates, Float, Prediction, threads_of

OCTAVES = (0.0, 0.8, 1.6, 3.2)
"""Standard deviations, in pixels, between which the octaves of detail lie."""

MOST = 1.5
"""Greatest factor by which a fill's own detail is raised."""

EDGE = 1.5
"""Pixels from the observed ones over which drawn detail rises; there the fill is its own guide."""

REACH = 4.0
"""Standard deviation, in pixels, of the surroundings that say how strong detail is."""

SWELL = 2.0
"""Standard deviation, in pixels, of the patches in which drawn detail is strong or weak."""

UNEVEN = 1.4
"""Factor on the unevenness of observed detail: octaves share pixels, which evens them out."""

FEW = 256
"""Observed pixels under which their texture is not known."""

Bool = NDArray[np.bool_]
Double = NDArray[np.float64]


class Sharp:
    """The methods of ``estimates``, sharpened.

    Parameters
    ----------
    estimates : Estimates
        Methods of least error.
    period : int
        Distance between neighbouring windows in pixels. Drawn detail repeats with it, so that
        windows agree where they overlap.
    seed : int
        Of what is drawn.
    """

    def __init__(self, estimates: Estimates, *, period: int, seed: int = 0) -> None:
        self._estimates, self._period, self._seed = estimates, period, seed
        self.methods = estimates.methods
        self.factors: dict[str, float] = getattr(estimates, "factors", {})
        self.threads = threads_of(estimates)

    def __call__(
        self,
        pixels: Float,
        valid: Bool,
        days: Float,
        target: int,
        methods: Sequence[str],
        *,
        around: Around | None = None,
    ) -> dict[str, Prediction]:
        """Predict by each of ``methods``; see `geot2t.fill.Estimates`."""
        out = self._estimates(pixels, valid, days, target, methods, around=around)
        return {name: self._sharpened(said, pixels, valid, target) for name, said in out.items()}

    def _sharpened(self, said: Prediction, pixels: Float, valid: Bool, target: int) -> Prediction:
        mean = said.mean.copy()
        for i, seen in enumerate(valid[:, target]):
            if seen.sum() >= FEW and not seen.all():
                mean[i] = self._window(said.mean[i], said.days[i], pixels[i, target], seen)
        return Prediction(mean, said.scale, said.days)

    def _window(self, mean: Float, days: Float, own: Float, seen: Bool) -> Float:
        """One window: ``mean`` and ``own`` ``(b, y, x)``, ``days`` and ``seen`` ``(y, x)``."""
        inner = binary_erosion(seen, iterations=2)
        if inner.sum() < FEW:
            return mean
        lone = ~seen & np.isinf(days)
        whole = np.where(seen, own, mean).astype("float64")
        drawn = np.zeros_like(whole)
        raised = np.zeros_like(whole)
        rise = 1 - np.exp(-distance_transform_edt(~seen) / EDGE) if lone.any() else seen
        noise = self._noise(whole.shape) if lone.any() else None
        swell = self._swell(whole.shape[1:])
        for octave, (truth, guess) in enumerate(
            zip(_details(whole), _details(mean.astype("float64")), strict=True)
        ):
            known = truth[:, inner]
            factor = _ratio(known, guess[:, inner])
            raised += (factor[:, None, None] - 1) * guess
            if noise is not None:
                missing = _covariance(known) - _covariance(truth[:, lone])
                uneven = _uneven(known)
                detail = noise[octave] * np.exp(uneven * (swell - uneven))
                drawn += np.tensordot(_root(missing), detail, 1) * rise * _local(truth, seen)
        out: Float = (mean + np.where(lone, drawn, np.where(seen, 0, raised))).astype("float32")
        return out

    def _noise(self, shape: tuple[int, ...]) -> Double:
        """Independent detail of unit variance, ``(octave, b, y, x)``; periodic."""
        bands, height, width = shape
        rng = np.random.default_rng([self._seed, bands])
        white = rng.standard_normal((bands, self._period, self._period))
        octaves = np.stack([d / d.std() for d in _details(white, mode="wrap")])
        rows, columns = np.arange(height) % self._period, np.arange(width) % self._period
        tiled: Double = octaves[:, :, rows][..., columns]
        return tiled

    def _swell(self, shape: tuple[int, int]) -> Double:
        """Where drawn detail is strong and weak: smooth, of unit variance, ``(y, x)``; periodic."""
        rng = np.random.default_rng([self._seed, 0])
        field = gaussian_filter(rng.standard_normal((self._period,) * 2), SWELL, mode="wrap")
        rows, columns = (np.arange(n) % self._period for n in shape)
        tiled: Double = (field / field.std())[rows][:, columns]
        return tiled


def _uneven(detail: Double) -> float:
    """Spread of the logarithm of the strength of ``detail (b, n)`` from place to place.

    As of normal detail whose strength is log-normal: the mean of its size over its root mean
    square then falls short of a normal distribution's by ``exp(-spread ** 2 / 2)``.
    """
    size = np.sqrt(np.square(detail).mean(1))
    alive = size > 1e-6 * size.max()
    if not alive.any():
        return 0.0
    share = float((np.abs(detail[alive]).mean(1) / size[alive]).mean() / np.sqrt(2 / np.pi))
    return float(UNEVEN * np.sqrt(-2 * np.log(np.clip(share, 0.6, 1))))


def _details(image: Double, mode: str = "nearest") -> list[Double]:
    """The octaves of ``image (b, y, x)``, finest first, each of its shape."""
    levels = [
        image if s == 0 else gaussian_filter(image, s, mode=mode, axes=(1, 2)) for s in OCTAVES
    ]
    return [fine - coarse for fine, coarse in pairwise(levels)]


def _local(detail: Double, seen: Bool) -> Double:
    """How strong observed ``detail (b, y, x)`` is near each pixel, over its mean; ``(y, x)``."""
    weight = gaussian_filter(seen.astype("float64"), REACH) + 1e-3
    spread = detail[:, seen].std(1)
    alive = spread > 1e-6 * spread.max()  # a constant band says nothing of texture
    if not alive.any():
        return np.ones(seen.shape)
    energy = np.square(detail[alive] / spread[alive][:, None, None]).mean(0) * seen
    local = (gaussian_filter(energy, REACH) + 1e-3) / weight
    root: Double = np.sqrt(local)
    return root


def _ratio(truth: Double, guess: Double) -> Double:
    """How much stronger detail is than guessed, for each band, 1 to `MOST`."""
    factor: Double = np.sqrt(np.square(truth).mean(1) / np.maximum(np.square(guess).mean(1), 1e-24))
    return np.clip(factor, 1, MOST)


def _covariance(detail: Double) -> Double:
    """Covariances of ``detail (b, n)`` between bands; its mean is zero."""
    covariance: Double = detail @ detail.T / max(detail.shape[1], 1)
    return covariance


def _root(covariance: Double) -> Double:
    """Symmetric root of a covariance, of which negative variances are dropped."""
    values, vectors = np.linalg.eigh(covariance)
    root: Double = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root
