"""Baselines that look at the target date alone, and fill it from around its gaps.

``days`` is infinite everywhere: no other date has a part in what they say. Where a window of
the target shows nothing, the mean of all its dates is given.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from geot2t.baselines.common import Bool, least_error, level
from geot2t.errors import InputError
from geot2t.fill import Float, Prediction

MOST_UNKNOWN = 2**15
"""Pixels of a window for which one biharmonic system is solved at most."""

LAGS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Distances in pixels at which it is measured how much observed pixels differ."""


def fillnodata(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """GDAL's fill: pixels seen in eight directions, weighted by inverse distance.

    ``gdal_fillnodata`` as users of GDAL know it, band by band, without smoothing.

    Parameters
    ----------
    pixels, valid, days, target
        As for `geot2t.baselines.linear`; only the target date is looked at.

    Returns
    -------
    Prediction
        ``scale`` grows with the distance to observed pixels, as much as the window's observed
        pixels differ over that distance.
    """
    from rasterio.fill import fillnodata as fill  # arrays in, arrays out: no file is touched

    def filled(image: Float, seen: Bool) -> Float:
        reach = float(np.hypot(*seen.shape))
        known = seen.astype("uint8")
        return np.stack([fill(band.copy(), known, max_search_distance=reach) for band in image])

    return _in_each(filled, pixels, valid, days, target)


def biharmonic(pixels: Float, valid: Bool, days: Float, target: int) -> Prediction:
    """The surface that bends least, continuing values and slopes into the gap.

    Biharmonic equations: Damelin and Hoang 2018, "On surface completion and image inpainting
    by biharmonic functions: numerical aspects", doi:10.1155/2018/3950312, as in scikit-image.
    Where a window has more than `MOST_UNKNOWN` pixels to fill, the inner ones come from
    `fillnodata` and bound the equations of those nearer to what was observed.

    Parameters and what is returned are as for `fillnodata`.

    Raises
    ------
    InputError
        If scikit-image is not installed.
    """
    restoration = _library("biharmonic")

    def filled(image: Float, seen: Bool) -> Float:
        out, gap = image, ~seen
        if gap.sum() > MOST_UNKNOWN:
            away = distance_transform_edt(gap)
            near = np.sort(away[gap])[MOST_UNKNOWN]
            inner = gap & (away >= near)
            rough = fillnodata(image[None, None], seen[None, None], np.zeros(1, "float32"), 0)
            out, gap = np.where(inner, rough.mean[0], image), gap & ~inner
        flat = np.moveaxis(out, 0, -1)
        done = restoration.inpaint_biharmonic(flat, gap, channel_axis=-1)
        return np.asarray(np.moveaxis(done, -1, 0), "float32")

    return _in_each(filled, pixels, valid, days, target)


LIBRARIES = {"biharmonic": ("skimage.restoration", "scikit-image")}
"""Methods that need a package of the extra ``spatial``: its module, and its name."""


def check_installed(method: str) -> None:
    """Refuse a method whose package is not installed, before any work is done.

    Raises
    ------
    InputError
        With the command that installs it.
    """
    if method in LIBRARIES:
        _library(method)


def _library(method: str) -> ModuleType:
    module, name = LIBRARIES[method]
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"the method {method} needs {name}: pip install 'geot2t[spatial]'"
        ) from error


def _in_each(
    fill: Callable[[Float, Bool], Float],
    pixels: Float,
    valid: Bool,
    days: Float,  # noqa: ARG001  every baseline is called alike
    target: int,
) -> Prediction:
    """Fill the target of each window by ``fill(image (b, y, x), seen (y, x))``."""
    average, spread = level(pixels, valid)
    least = least_error(average, spread)
    mean = np.empty_like(pixels[:, target])
    scale = np.empty_like(mean)
    for i, seen in enumerate(valid[:, target]):
        usual = average[i, :, None, None].astype("float32")
        image = np.where(seen, pixels[i, target], usual)
        mean[i] = fill(image, seen) if seen.any() and not seen.all() else image
        mean[i] = np.where(np.isfinite(mean[i]), mean[i], usual)
        error = _difference_with_distance(image, seen, spread[i])
        scale[i] = np.maximum(error, least[i, :, None, None])
    days_used = np.full(valid[:, 0].shape, np.inf, "float32")
    return Prediction(mean, scale, days_used)


def _difference_with_distance(
    image: Float, seen: Bool, spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far a pixel lies, on average, from the nearest observed one, ``(b, y, x)``.

    The madogram of the observed pixels, along rows and columns, read at each pixel's distance
    (Matheron 1963, "Principles of geostatistics", doi:10.2113/gsecongeo.58.8.1246, whose
    variogram squares the differences).
    """
    bands = len(image)
    if not seen.any():
        return np.broadcast_to(spread[:, None, None], image.shape)
    lags, levels = [0.0], [np.zeros(bands)]
    for lag in LAGS:
        total, count = np.zeros(bands), 0
        for a, b in (
            ((..., slice(lag, None), slice(None)), (..., slice(None, -lag), slice(None))),
            ((..., slice(lag, None)), (..., slice(None, -lag))),
        ):
            both = seen[a] & seen[b]
            count += int(both.sum())
            total += np.where(both, np.abs(image[a] - image[b]), 0).sum((1, 2), dtype="float64")
        if count:
            lags.append(lag)
            # What is farther away is never taken to be better known.
            levels.append(np.maximum(total / count, levels[-1]))
    if len(lags) == 1:
        return np.broadcast_to(spread[:, None, None], image.shape)
    away = distance_transform_edt(~seen)
    return np.stack([np.interp(away, lags, of_band) for of_band in np.transpose(levels)])
