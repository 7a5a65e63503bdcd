"""What the critic looks at: the window, and statistics in which flaws show that ground hides.

What is wrong with a picture is mostly small beside what the picture shows. Detectors of forgery
therefore look at residuals of smoothing first (Fridrich & Kodovsky 2012, "Rich models for
steganalysis of digital images", doi:10.1109/TIFS.2012.2190402), and registration is measured by
the correlation of fine detail. Nothing here is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F

VIEWS = 4
"""Pixel channels of `views` for each band."""

STATISTICS = 15
"""Statistics of `views` for each cell of each band."""

CELL = 8
"""Side of the cells in which local statistics are taken, in pixels."""

REACH = 5
"""Cells along a side over which a statistic is averaged."""

_TINY = 1e-3
"""Variance of fine detail below which nothing can be said of it; bands have spread 1."""

_USUAL = (
    0.24, 0.18, 1.12, -0.76, 1.15, -0.56, -0.65, 0.80, 0.81, 0.03, 0.01, 1.08, 1.42, 2.38, 3.03,
)  # fmt: skip
_SPREAD = (
    0.25, 0.27, 0.58, 0.60, 0.59, 0.43, 0.44, 0.68, 0.69, 0.2, 0.2, 0.66, 0.58, 1.47, 0.99,
)  # fmt: skip
"""Mean and spread of the statistics over training windows of real ground."""

FAR = 4
"""Pixels up to which a band is moved to see whether it then agrees better with another."""

_SHIFTS = [
    (0, 0),
    *((row, col) for s in (1, 2, 4) for row, col in product((-s, 0, s), repeat=2) if row or col),
]


def views(images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Views of each band of normalised images.

    Parameters
    ----------
    images : Tensor
        ``(n, b, y, x)``, each band with mean 0 and spread near 1; sides divide by 8.
    valid : Tensor
        True where observed, bool ``(n, 1, y, x)``; what is not valid is not looked at.

    Returns
    -------
    pixels : Tensor, shape ``(n * b, VIEWS, y, x)``
        The band, its finest detail, coarser detail, and whether valid.
    cells : Tensor, shape ``(n * b, STATISTICS, y / 8, x / 8)``
        How strong the finest detail is, absolutely and beside coarser detail; how far it is that
        of the other bands together, how far more so if the band is shifted by up to 4 pixels, and
        how far it is that of the band most like it (0 where there is no other band); how far it
        lies in rows and in columns; how far steps between columns, and between rows, are greater
        at one of eight phases; how far better the band agrees with the one most like it if it is
        moved, here and in the window; how often steps are alone in their row or column, in all
        bands together and in this one, each here and in the window. Most have mean 0 and spread 1
        over real ground.
    """
    n, b, y, x = images.shape
    seen = valid.to(images).expand(n, b, y, x)
    flat = rearrange(images * seen, "n b y x -> (n b) 1 y x")
    seen = rearrange(seen, "n b y x -> (n b) 1 y x")
    sure = -F.max_pool2d(F.pad(-seen, [1] * 4, value=-1.0), 3, 1)  # neighbours are valid too
    near, far = _mean(flat, 3), _mean(flat, 9)
    fine, middle = (flat - near) * sure, (near - far) * sure
    weight = _cells(sure).clamp(min=1e-3)
    power, coarse = _cells(fine.square()) / weight, _cells(middle.square()) / weight
    strength = 0.5 * (power + 0.1 * _TINY).log()
    sharpness = strength - 0.5 * (coarse + 0.1 * _TINY).log()
    cells = [
        strength / 2 + 1,
        sharpness + 0.5,
        *_registration(fine, b),
        *_both_ways(_lines, fine),
        *_both_ways(_steps, flat),
        *_aside(fine, b),
        _alone(flat, seen, b),
    ]
    pixels = torch.cat([flat, (4 * fine).asinh(), (2 * middle).asinh(), seen], 1)
    usual, spread = (pixels.new_tensor(v)[:, None, None] for v in (_USUAL, _SPREAD))
    return pixels, ((torch.cat(cells, 1) - usual) / spread).clamp(-6, 6)


def _mean(images: Tensor, side: int) -> Tensor:
    return F.avg_pool2d(images, side, 1, side // 2, count_include_pad=False)


def _cells(images: Tensor) -> Tensor:
    """Means over `REACH` cells to each side, ``(m, c, y, x)`` to ``(m, c, y/8, x/8)``."""
    return _mean(F.avg_pool2d(images, CELL), REACH)


def _both_ways(statistic: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    return statistic(images), statistic(images.mT).mT


def _lines(fine: Tensor) -> Tensor:
    """Logarithm of the share of detail that is the same along rows."""
    along = F.avg_pool2d(fine, (1, CELL))
    along = F.avg_pool2d(along, (1, REACH), 1, (0, REACH // 2), count_include_pad=False)
    rows = _mean(F.avg_pool2d(along.square(), (CELL, 1)), 3)
    return 0.5 * ((rows + 0.03 * _TINY) / (_cells(fine.square()) + _TINY)).log() + 1


def _steps(images: Tensor) -> Tensor:
    """Logarithm of how much greater steps to the next column are at one of eight phases."""
    step = F.pad(images.diff(dim=-1).abs(), (0, 1))
    phases = rearrange(step, "m 1 y (w p) -> m p y w", p=CELL)
    phases = _mean(F.avg_pool2d(phases, (CELL, 1)), REACH)
    most = reduce(phases, "m p h w -> m 1 h w", "max")
    rest = (reduce(phases, "m p h w -> m 1 h w", "sum") - most) / (CELL - 1)
    return 2 * ((most + 0.03) / (rest + 0.03)).log()


def _registration(fine: Tensor, bands: int) -> tuple[Tensor, Tensor, Tensor]:
    """Correlation of each band's fine detail with the others', what a shift adds, and the best."""
    if bands == 1:
        none = torch.zeros_like(_cells(fine))
        return none, none, none
    y = fine.shape[-2]
    own = rearrange(fine, "(n b) 1 y x -> n b (y x)", b=bands)
    own = own / (own.square().mean(2, keepdim=True) + _TINY).sqrt()
    same = torch.eye(bands).to(own)
    others = (own @ own.mT / own.shape[-1] * (1 - same)) @ own
    others = others / (others.square().mean(2, keepdim=True) + _TINY).sqrt()
    own = rearrange(own, "n b (y x) -> n b y x", y=y)
    others = rearrange(others, "n b (y x) -> (n b) 1 y x", y=y)
    power = _cells(own.square()) + 0.1  # (n, b, h, w)
    pairs = _cells(rearrange(own[:, :, None] * own[:, None], "n b c y x -> (n b) c y x"))
    pairs = rearrange(pairs, "(n b) c h w -> n b c h w", b=bands)
    pairs = (pairs / (power[:, :, None] * power[:, None]).sqrt()).abs()
    nearest = reduce(pairs - 2 * same[:, :, None, None], "n b c h w -> (n b) 1 h w", "max")

    own, power = (rearrange(v, "n b y x -> (n b) 1 y x") for v in (own, power))
    moved = torch.cat([others.roll(shift, (-2, -1)) for shift in _SHIFTS], 1)
    alike = _cells(own * moved) / (power * (_cells(others.square()) + 0.1)).sqrt()
    alike = alike.abs()
    best = reduce(alike[:, 1:], "m s h w -> m 1 h w", "max")
    return 2 * alike[:, :1], 3 * (best - alike[:, :1]), 2 * nearest


def _aside(fine: Tensor, bands: int) -> tuple[Tensor, Tensor]:
    """How far better each band agrees, if moved, with the band most like it: here, in the window.

    Logarithms of the best agreement at any shift over that at none. A band that agrees with no
    other, as one of far coarser pixels may, gains nothing either way.
    """
    if bands == 1:
        none = torch.zeros_like(_cells(fine))
        return none, none
    y, x = fine.shape[-2:]
    own = rearrange(fine, "(n b) 1 y x -> n b y x", b=bands)
    own = own / (own.square().mean((2, 3), keepdim=True) + _TINY).sqrt()
    waves = torch.fft.rfft2(own)
    pairs = torch.fft.irfft2(waves[:, :, None] * waves[:, None].conj(), s=(y, x)) / (y * x)
    near = torch.arange(-FAR, FAR + 1, device=fine.device)
    pairs = pairs[..., near % y, :][..., near % x].abs()  # (n, b, c, shifts, shifts)
    pairs = pairs * (1 - torch.eye(bands).to(own))[:, :, None, None]
    still = reduce(pairs[..., FAR, FAR], "n b c -> n b", "max")
    best, like = reduce(pairs, "n b c r s -> n b c", "max").max(2)
    window = ((best + 0.05) / (still + 0.05)).log()

    like = like[..., None, None].expand_as(own)
    other = rearrange(own.gather(1, like), "n b y x -> (n b) 1 y x")
    own = rearrange(own, "n b y x -> (n b) 1 y x")
    power = ((_cells(own.square()) + 0.1) * (_cells(other.square()) + 0.1)).sqrt()
    still = most = _cells(own * other).abs()
    wide = F.pad(other, [FAR] * 4, mode="circular")
    for row, col in product(range(2 * FAR + 1), repeat=2):
        moved = wide[..., row : row + y, col : col + x]
        most = torch.maximum(most, _cells(own * moved).abs())
    here = ((most / power + 0.1) / (still / power + 0.1)).log()
    return here, rearrange(window, "n b -> (n b) 1 1 1").expand_as(here)


def _alone(images: Tensor, seen: Tensor, bands: int) -> Tensor:
    """How often a step between two pixels is alone in its row or column; ``(m, 4, y/8, x/8)``.

    Optics spread the edges of ground over some pixels; the outline of what was filled lies between
    two. A step counts by its sixth power beside the mean of five, in each band, and in all together
    beside how they mostly change; here, and in the window.
    """
    image, seen = (rearrange(v, "(n b) 1 y x -> n b y x", b=bands) for v in (images, seen))
    seen = seen[:, :1]
    both = _next(seen) * seen  # (2, n, 1, y, x): to the right, and below
    step = (_next(image) - image) * both
    total = reduce(both, "w n 1 y x -> n 1 1 1", "sum").clamp(min=1)
    power = reduce(step.square(), "w n b y x -> n b 1 1", "sum") / total
    step = step / (power + 1e-8).sqrt()
    alike = torch.einsum("wnbyx, wncyx -> nbc", step, step) / total[..., 0]
    inverse = torch.linalg.inv(alike + 0.03 * torch.eye(bands).to(alike))
    joint = (step * torch.einsum("nbc, wncyx -> wnbyx", inverse, step)).mean(2, keepdim=True)
    size = torch.cat([(joint.clamp(min=0) + 1e-6).sqrt(), step.abs()], 2)
    ratio = size / (_across(size) / (_across(both) + _TINY) + 0.1)
    alone = reduce(ratio**6, "w n c y x -> n c y x", "sum")
    count = reduce(both, "w n 1 y x -> n 1 y x", "sum")
    here = _mean(F.avg_pool2d(alone, CELL), 3) / (_mean(F.avg_pool2d(count, CELL), 3) + 0.05)
    window = reduce(alone, "n c y x -> n c 1 1", "sum") / total
    found = torch.stack([here, window.expand_as(here)], 1).log1p()  # (n, 2, 1 + b, h, w)
    joint = found[:, :, :1].expand(-1, -1, bands, -1, -1)
    return rearrange(torch.cat([joint, found[:, :, 1:]], 1), "n c b h w -> (n b) c h w")


def _next(images: Tensor) -> Tensor:
    """The pixels to the right, and those below; 0 beyond the edge."""
    return torch.stack([F.pad(images[..., 1:], (0, 1)), F.pad(images[..., 1:, :], (0, 0, 0, 1))])


def _across(steps: Tensor) -> Tensor:
    """Means over `REACH` steps in the direction of each."""
    sides = ((1, REACH), (REACH, 1))
    return torch.stack(
        [
            F.avg_pool2d(v, side, 1, (side[0] // 2, side[1] // 2), count_include_pad=False)
            for v, side in zip(steps, sides, strict=True)
        ]
    )
