"""The classical estimate that the network refines: the target date regressed on the others.

A joint regression on all chosen dates and bands (`joint`) says what a window as a whole teaches;
it and the best dates are then each regressed locally, with coefficients that vary smoothly over
the window (`pyramid`), and combined by their local residuals. Where nothing of the target was
observed, the other dates are averaged (`temporal`) or time is interpolated; where no other date
was observed, space is.

Axes: n windows, t dates, k chosen dates, b bands, y x pixels; v u are rows, columns of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn import functional as F

from geot2t.errors import InputError
from geot2t.prior.joint import every, joint_regression
from geot2t.prior.pyramid import CELL, distance_error, enlarge, pool, pull_push
from geot2t.prior.space import krige
from geot2t.prior.temporal import interpolate_date

LOCAL = 4
"""Dates with a local regression of their own."""

HOLD = 0.1
"""Weight of the surroundings in a cell's moments; a fully observed cell has 1."""

HOLD_PIXEL = 0.005
"""The same among single pixels, for what is missed just behind the edge of a gap."""

FLAT = 0.002
"""Share of a date's variance added to it, so that flat ground has slope 0."""

TRUST = 4.0
"""Weight of the joint regression over that of a date with the same residual."""

FEW = 32
"""Co-observed pixels of the sample under which no regression on a date is tried."""

STRANGE = 4.0
"""Times the usual error at which a pixel teaches its surroundings half."""

ALONE = 2000.0
"""Observed pixels at which local regressions have half a say against the joint one."""

FAR = 64
"""Pixels from the nearest observed one up to which a gap is kriged."""

MEAN_OF_SPREAD = 0.8
"""Mean absolute error over standard error, if errors are normal."""

HONEST = 1.0
"""Errors in gaps over errors where regressions were learnt; from the training series."""


@dataclass(frozen=True)
class Prior:
    """What simple statistics say of the target date; float32 unless said otherwise."""

    mean: Tensor
    """Estimate at every pixel, observed or not, ``(n, b, y, x)``, units of the input."""

    scale: Tensor
    """Expected absolute error of ``mean`` at an unobserved pixel, above 0, same shape."""

    chosen: Tensor
    """Best dates, best first, as indices into time, int64 ``(n, k)``; -1 where there is none."""

    per_date: Tensor
    """Local regression on each of them where it was observed, else ``mean``, ``(n, k, b, y, x)``.
    Where nothing of the target was observed with it: the date as it is."""

    per_date_scale: Tensor
    """Expected absolute error of ``per_date``, above 0, ``(n, k, b, y, x)``."""

    per_date_valid: Tensor
    """Where the chosen date was observed, bool ``(n, k, y, x)``."""

    days: Tensor
    """Days to the nearest date that ``mean`` has used there, ``(n, y, x)``; infinite where it
    has used none."""


def estimate_prior(
    pixels: Tensor,
    valid: Tensor,
    days: Tensor,
    target: int,
    *,
    dates: int = 12,
    around: tuple[Tensor, Tensor] | None = None,
) -> Prior:
    """Estimate the target date from the other dates and from what was observed around.

    Each window is independent of the others in its batch; on a CPU it gives the same bits
    whatever it is batched with.

    Parameters
    ----------
    pixels : Tensor
        float32 ``(n, t, b, y, x)``; what is not valid is not looked at.
    valid : Tensor
        bool ``(n, t, y, x)``, True where the ground was observed.
    days : Tensor
        float32 ``(t,)``, in any order; NaN counts as the day of the target.
    target : int
        Index in time of the date to estimate.
    dates : int
        Other dates to use at most: those which tell most about the target are chosen.
    around : tuple of Tensor, optional
        Pixels sampled elsewhere in the scene, ``(n, t, b, s)``, and whether they are valid,
        ``(n, t, s)``. A window that saw little of the target learns from them.

    Raises
    ------
    InputError
        If the shapes do not go together.
    """
    if pixels.ndim != 5 or valid.shape != pixels.shape[:2] + pixels.shape[3:]:
        raise InputError(
            "pixels must be (n, t, b, y, x) and valid (n, t, y, x), got "
            f"{tuple(pixels.shape)} and {tuple(valid.shape)}"
        )
    if days.shape != pixels.shape[1:2] or not 0 <= target < len(days):
        raise InputError(
            f"{pixels.shape[1]} dates need as many days and a target among them, got days "
            f"{tuple(days.shape)} and target {target}"
        )
    if around is None:
        around = pixels.new_zeros(*pixels.shape[:3], 0), valid.new_zeros(*valid.shape[:2], 0)
    if around[0].shape[:3] != pixels.shape[:3] or around[1].shape != (
        *pixels.shape[:2],
        around[0].shape[3],
    ):
        raise InputError(
            f"pixels around {tuple(around[0].shape)} and their validity "
            f"{tuple(around[1].shape)} do not go with pixels {tuple(pixels.shape)}"
        )
    apart = torch.nan_to_num((days.to(pixels.device) - days[target]).float())
    with torch.no_grad():
        if pixels.device.type != "cpu":
            return _estimate(pixels, valid, apart, target, dates, around)
        # One by one: what a window gives must not depend on how kernels split a batch.
        each = [
            vars(_estimate(p[None], v[None], apart, target, dates, (a[None], s[None])))
            for p, v, a, s in zip(pixels, valid, *around, strict=True)
        ]
        return Prior(**{name: torch.cat([one[name] for one in each]) for name in each[0]})


def _estimate(
    pixels: Tensor,
    valid: Tensor,
    apart: Tensor,
    target: int,
    dates: int,
    around: tuple[Tensor, Tensor],
) -> Prior:
    height, width = pixels.shape[-2:]
    if height % CELL or width % CELL:
        edge = (0, -width % CELL, 0, -height % CELL)
        pixels, valid = F.pad(pixels, edge), F.pad(valid, edge)
    seen, more_seen = valid.unsqueeze(2).float(), around[1].unsqueeze(2).float()
    pixels = torch.where(valid.unsqueeze(2), pixels, 0)
    more = torch.where(around[1].unsqueeze(2), around[0], 0)  # (n, t, b, s)
    step = every(pixels.shape[-1] * pixels.shape[-2])
    some_seen = torch.cat([seen.flatten(3)[..., ::step], more_seen], -1)
    some = torch.cat([pixels.flatten(3)[..., ::step], more], -1)
    centre, spread = _normalisation(some, some_seen)  # (n, 1, b, 1)
    some = (some - centre) * (some_seen / spread)
    more = (more - centre) * (more_seen / spread)
    centre, spread = centre.unsqueeze(-1), spread.unsqueeze(-1)
    z = (pixels - centre) * (seen / spread)
    others = [i for i in range(z.shape[1]) if i != target]
    own, own_seen = z[:, target], seen[:, target]  # (n, b, y, x), (n, 1, y, x)

    inside = some.shape[-1] - more.shape[-1]
    best, fits = _choose(some, some_seen, apart, target, dates, inside)
    index = torch.tensor(others, dtype=torch.long, device=z.device)[best]  # (n, k)
    images, images_seen = _take(z, index), _take(seen, index)
    fit_seen = images_seen * fits[:, :, None, None, None]

    known = fit_seen.amax(1) if others else torch.zeros_like(own_seen)  # (n, 1, y, x)
    if bool((known > 0).all()):
        mean, scale = torch.zeros_like(own), torch.zeros_like(own)
    else:
        mean, scale = _without_regression(z, seen, own, own_seen, apart, target)
    local_mean, local_scale = images[:, :LOCAL], torch.ones_like(images[:, :LOCAL])
    used = torch.where(seen[:, others, 0] > 0, apart.abs()[others][None, :, None, None], torch.inf)
    near = used.amin(1) if others else torch.full_like(mean[:, 0], torch.inf)
    if bool(fits.any()):  # else nothing can be learnt, and all that follows changes nothing
        has = fits[:, :, None, None]
        joint, error = joint_regression(
            torch.cat([own.flatten(2), more[:, target]], -1),
            torch.cat([own_seen.flatten(2), more_seen[:, target]], -1),
            torch.cat([images.flatten(3), _take(more, index) * has], -1),
            torch.cat([fit_seen.flatten(3), _take(more_seen, index) * has], -1),
            around=more.shape[-1],
            width=own.shape[-1],
        )
        joint, error = joint.reshape(own.shape), error.reshape(own.shape)
        trained = own_seen * known
        trained = trained * _trusted(own - joint, trained)
        fitted, residual, weight = _local(
            own, trained, joint * known, known, images[:, :LOCAL], fit_seen[:, :LOCAL]
        )
        combined = _combined(own, trained, joint, fitted, weight)
        mean = torch.where(known > 0, combined, mean)
        scale = torch.where(known > 0, _expected_error(own - joint, error, trained), scale)
        learnt = fits[:, :LOCAL] & (trained.sum((1, 2, 3)) >= FEW).unsqueeze(1)
        local_mean = torch.where(learnt[..., None, None, None], fitted[:, 1:], local_mean)
        local_scale = torch.where(
            learnt[..., None, None, None], residual[:, 1:].sqrt(), local_scale
        )
        far = apart.abs()[index][:, :, None, None]
        fit_near = torch.where(fit_seen[:, :, 0] > 0, far, torch.inf).amin(1)
        near = torch.where(known[:, 0] > 0, fit_near, near)

    _fill_blind(
        (own_seen.sum((1, 2, 3)) + more_seen[:, target].sum((1, 2)) < FEW) & ~fits.any(1),
        z[:, others],
        seen[:, others, 0] > 0,
        apart[others],
        (mean, scale, near),
    )

    there = images_seen[:, :LOCAL] > 0
    local_mean = torch.where(there, local_mean, mean.unsqueeze(1))
    crop = (..., slice(height), slice(width))
    return Prior(
        mean=(mean * spread[:, 0] + centre[:, 0])[crop],
        scale=((scale.clamp(min=0) + 1e-3) * spread[:, 0])[crop],
        chosen=torch.where(there.any(-1).any(-1)[:, :, 0], index[:, :LOCAL], -1),
        per_date=(local_mean * spread + centre)[crop],
        per_date_scale=((local_scale + 1e-3) * spread)[crop],
        per_date_valid=there[:, :, 0][crop],
        days=near[crop],
    )


def _fill_blind(
    blind: Tensor, z: Tensor, seen: Tensor, apart: Tensor, out: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Put mean, expected error and days of windows that saw nothing of the target into ``out``.

    ``blind (n,)`` says which; ``z (n, t, b, y, x)``, ``seen (n, t, y, x)`` and ``apart (t,)``
    are those of the other dates.
    """
    for i in torch.nonzero(blind).flatten().tolist():
        found = interpolate_date(z[i], seen[i], apart)
        if found is not None:
            use = found[2].isfinite()
            for values, better in zip(out, found, strict=True):
                values[i] = torch.where(use, better, values[i])


def _take(values: Tensor, index: Tensor) -> Tensor:
    """Dates ``index (n, k)`` of ``values (n, t, ...)``."""
    return values[torch.arange(len(index), device=index.device)[:, None], index]


def _normalisation(some: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of sampled pixels ``(n, t, b, s)``, for each band, ``(n, 1, b, 1)``."""
    count = seen.sum((1, 3), keepdim=True).clamp(min=1)
    centre = some.sum((1, 3), keepdim=True) / count
    variance = ((some - centre) * seen).square().sum((1, 3), keepdim=True) / count
    return centre, variance.sqrt() + 1e-6 * centre.abs() + 1e-12


def _choose(
    some: Tensor, seen: Tensor, apart: Tensor, target: int, count: int, inside: int
) -> tuple[Tensor, Tensor]:
    """The dates that explain most of the target for the share of the gap they cover, best first.

    Of the sampled pixels ``some (n, t, b, s)`` the first ``inside`` lie in the window. Dates
    never observed together with the target come after all others, the nearest first.

    Returns
    -------
    tuple of Tensor
        Indices among the other dates, ``(n, k)``; whether a regression on the date can be learnt.
    """
    others = [i for i in range(len(apart)) if i != target]
    x, x_seen, apart = some[:, others], seen[:, others], apart[others]
    y, y_seen = some[:, target].unsqueeze(1), seen[:, target].unsqueeze(1)
    both = x_seen * y_seen
    n = both.sum(-1).clamp(min=1)
    mx, my = (x * y_seen).sum(-1) / n, (y * x_seen).sum(-1) / n
    xx, yy, xy = (((p * q) * both).sum(-1) / n for p, q in ((x, x), (y, y), (x, y)))
    covariance, variances = xy - mx * my, (xx - mx * mx) * (yy - my * my)
    unexplained = (1 - covariance.square() / (variances + 1e-6)).clamp(min=0.01)
    gap = 1 - y_seen[..., :inside]
    cover = (gap * x_seen[..., :inside]).sum((2, 3)) / gap.sum((2, 3)).clamp(min=1)
    cost = unexplained.sqrt().mean(2) / (cover + 0.01)
    fits = both.sum((2, 3)) >= FEW
    seen_at_all = x_seen[..., :inside].sum((2, 3)) > 0
    cost = torch.where(fits, cost, 1e6 + apart.abs()) + torch.where(seen_at_all, 0.0, 1e12)
    best = cost.argsort(dim=1, stable=True)[:, :count]
    return best, fits.gather(1, best)


def _trusted(off: Tensor, trained: Tensor) -> Tensor:
    """How far each pixel may teach its surroundings, ``(n, 1, y, x)``, 0 to 1.

    A cloud that nobody marked is far ``off (n, b, y, x)`` the joint estimate, and must not
    shine into the gap beside it.
    """
    off = off.abs()
    usual = torch.where(trained > 0, off, torch.nan).flatten(2).nanmedian(2).values
    ratio = off * trained / (STRANGE * torch.nan_to_num(usual)[..., None, None] + 1e-4)
    return 1 / (1 + F.avg_pool2d(ratio.square().mean(1, keepdim=True), 5, 1, 2))


def _local(
    own: Tensor, own_seen: Tensor, joint: Tensor, known: Tensor, images: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Local regressions on the joint estimate, then on each date.

    Returns
    -------
    tuple of Tensor
        Fitted values, residual variance, and weights for combining, each ``(n, 1+k, b, y, x)``.
    """
    x = torch.cat([joint.unsqueeze(1), images], 1)
    x_seen = torch.cat([known.unsqueeze(1), seen], 1)
    y, y_seen = own.unsqueeze(1), own_seen.unsqueeze(1)
    both = y_seen * x_seen
    xo, yo = x * both, y * both
    moments = torch.stack([pool(m) for m in (xo, yo, xo * x, xo * y, yo * y)], 3)
    support = pool(both).unsqueeze(3)
    mx, my, xx, xy, yy = pull_push(moments, support, HOLD).unbind(3)  # (n, 1+k, b, v, u)
    var_x, var_y = (xx - mx * mx).clamp(min=0), (yy - my * my).clamp(min=0)
    covariance = xy - mx * my
    floor = FLAT * var_x.mean((-1, -2), keepdim=True) + 1e-6
    slope = (covariance / (var_x + floor)).clamp(-4, 4)
    residual = (var_y - 2 * slope * covariance + slope * slope * var_x).clamp(min=1e-6)

    size = (own.shape[-2], own.shape[-1])
    fitted = enlarge(slope, size) * x + enlarge(my - slope * mx, size)
    residual = enlarge(residual, size)
    inverse = (residual + 1e-4).rsqrt()
    weight = inverse * inverse * inverse * x_seen
    weight[:, 0] *= TRUST
    return fitted, residual, weight


def _combined(
    own: Tensor, trained: Tensor, joint: Tensor, fitted: Tensor, weight: Tensor
) -> Tensor:
    """The regressions as one, plus the smooth part of what it missed; ``(n, b, y, x)``."""
    local = (weight * fitted).sum(1) / weight.sum(1).clamp(min=1e-12)
    count = trained.sum((2, 3), keepdim=True)
    combined = torch.lerp(joint, local, count / (count + ALONE))
    missed = pull_push(pool((own - combined) * trained), pool(trained), HOLD)
    combined = combined + enlarge(missed, (own.shape[-2], own.shape[-1]))
    # A field that a gap cuts through goes on behind the edge.
    return combined + pull_push((own - combined) * trained, trained, HOLD_PIXEL)


def _expected_error(off: Tensor, error: Tensor, trained: Tensor) -> Tensor:
    """Expected absolute error ``(n, b, y, x)`` in gaps, of a joint estimate that is ``off``.

    What the joint regression says of its ``error`` is scaled to the errors seen around, and
    grows with the distance to observed pixels as much as errors differ over that distance.
    """
    size = (off.shape[-2], off.shape[-1])
    weight = pool(trained)
    usual = (off.abs() * trained).sum((2, 3), keepdim=True)
    usual = usual / trained.sum((2, 3), keepdim=True).clamp(min=1)
    said = torch.maximum(error, 0.3 * usual)
    near = pull_push(pool(off.abs() * trained), weight, 1.0)
    expected = pull_push(pool(said * trained), weight, 1.0)
    ratio = ((near + 1e-6) / (expected + 1e-6)).clamp(0.3, 3)
    drift = distance_error(pool(off * trained), weight, HOLD)
    total = (enlarge(ratio, size) * said).square() + enlarge(drift, size)
    return HONEST * total.sqrt()


def _without_regression(
    z: Tensor, seen: Tensor, own: Tensor, own_seen: Tensor, apart: Tensor, target: int
) -> tuple[Tensor, Tensor]:
    """Linear interpolation in time, else in space; and its expected error, ``(n, b, y, x)``."""
    before, before_days = _nearest(z, seen, apart, target, apart <= 0)
    after, after_days = _nearest(z, seen, apart, target, apart > 0)
    has = torch.minimum(before_days, after_days).isfinite()
    both = before_days.isfinite() & after_days.isfinite()
    share = before_days / (before_days + after_days).clamp(min=1e-6)
    share = torch.where(both, share, before_days.isinf().float())
    between = before + share * (after - before)
    off = ((own - between).abs() * own_seen * has).sum((2, 3), keepdim=True)
    shared = (own_seen * has).sum((2, 3), keepdim=True)
    change = ((after - before).abs() * both).sum((2, 3), keepdim=True)
    change = change / both.sum((2, 3), keepdim=True).clamp(min=1)
    known_change = torch.where(change > 0, 0.7 * change, 1.0)
    error = torch.where(shared >= FEW, off / shared.clamp(min=1), known_change)
    around, scale = _in_space(own, own_seen, ~has)
    return torch.where(has, between, around), torch.where(has, error, scale)


def _in_space(own: Tensor, own_seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate from the surroundings, and its expected error; best where ``wanted (n, 1, y, x)``.

    Kriging near what was observed; far from it, and where nobody asked, a smooth surface.
    """
    size = (own.shape[-2], own.shape[-1])
    count = own_seen.sum((2, 3), keepdim=True)
    smooth = enlarge(pull_push(pool(own * own_seen), pool(own_seen), HOLD), size)
    drift = distance_error(pool(own * own_seen), pool(own_seen), HOLD)
    fine = ((own - smooth).square() * own_seen).sum((2, 3), keepdim=True) / count.clamp(min=1)
    scale = torch.where(count > 0, MEAN_OF_SPREAD * (enlarge(drift, size) + fine).sqrt(), 3.0)
    for i, (seen, gap) in enumerate(zip(own_seen[:, 0] > 0, wanted[:, 0], strict=True)):
        near = (gap & ~seen).cpu().numpy()
        near &= distance_transform_edt(~seen.cpu().numpy()) <= FAR
        found = krige(own[i].cpu().numpy(), seen.cpu().numpy(), near) if near.any() else None
        if found is not None:
            at = torch.from_numpy(near).to(own.device)
            mean, error = (torch.from_numpy(v).to(own) for v in found)
            smooth[i][:, at] = mean
            scale[i][:, at] = MEAN_OF_SPREAD * error
    return smooth, scale


def _nearest(
    z: Tensor, seen: Tensor, apart: Tensor, target: int, side: Tensor
) -> tuple[Tensor, Tensor]:
    """Nearest observed date of one side ``(n, b, y, x)``, and how far it is ``(n, 1, y, x)``."""
    away = torch.where(side, apart.abs(), torch.inf)
    away[target] = torch.inf
    far = torch.where(seen[:, :, 0] > 0, away[None, :, None, None], torch.inf)
    days, which = far.min(1, keepdim=True)  # (n, 1, y, x)
    index = which.unsqueeze(2).expand(-1, -1, z.shape[2], -1, -1)
    return z.gather(1, index)[:, 0], days
