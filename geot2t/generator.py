"""The generator: reads every date, band by band, and corrects the classical estimate.

Every band of every date is encoded by the same stem. Tokens are then mixed over space, and by
attention over all dates and bands of a place. On the way back to the pixels each date votes,
with its own regression onto the target, for a share in the result. Stem, mixing over space and
way back are those of an architecture (`geot2t.bodies`), tokens-to-token unless told otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from geot2t.bodies import architecture
from geot2t.t2t import SPLITS, Attention, FeedForward, positions, un_split

STRIDE = math.prod(stride for _, stride in SPLITS)
"""Window sides must divide by this, whatever the architecture."""

_CHANNELS = 6
_CLOCK = 7
_WAVES = 6


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """All that is needed to rebuild the generator; stored in each checkpoint."""

    token_dim: int = 48
    """Token width between soft splits."""

    embed_dim: int = 128
    """Token width in the trunk."""

    depth: int = 4
    """Blocks of the trunk."""

    heads: int = 4
    """Attention heads of the trunk."""

    reach: int = 16
    """Side, in tokens, of the squares within which the soft splits' tokens attend."""

    noise_dim: int = 8
    """Noise channels per token."""

    frames: int = 5
    """Greatest number of dates looked at: the target and the best others."""

    arch: str = "t2t"
    """Name of the architecture."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the generator is told about a batch of windows; all tensors on one device.

    Frame 0 is the target, the others are dates that it regresses on, best first.
    """

    prior: Tensor
    """Classical estimate ``(n, b, y, x)``, physical units."""

    prior_scale: Tensor
    """Its expected absolute error, same shape and units."""

    images: Tensor
    """Observed values of every frame ``(n, f, b, y, x)``; anything where not valid."""

    fitted: Tensor
    """Each frame's own estimate of the target ``(n, f, b, y, x)``; for frame 0 the target
    itself. Equal to ``prior`` where not valid."""

    fitted_scale: Tensor
    """Expected absolute error of ``fitted``, same shape."""

    valid: Tensor
    """True where a frame was observed ``(n, f, y, x)``."""

    days: Tensor
    """Days from the target to each frame ``(n, f)``; 0 for frame 0."""

    season: Tensor
    """Day of the year of the target, in turns (0 to 1), shape ``(n,)``; NaN where unknown."""

    wavelengths: Tensor
    """Centre wavelengths in micrometres ``(n, b)``; NaN where unknown."""

    def to(self, device: torch.device) -> Evidence:
        """The same evidence on another device."""
        return Evidence(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Guess:
    """What the generator returns, in the units of the prior, each ``(n, b, y, x)``."""

    mean: Tensor
    """Estimate of the target at every pixel."""

    scale: Tensor
    """Expected absolute error of ``mean``, above 0."""


class _Block(nn.Module):
    """Mixing over space, attention over all frames and bands of a place, then an MLP."""

    def __init__(self, dim: int, heads: int, space: nn.Module) -> None:
        super().__init__()
        self.space = space
        self.across = Attention(dim, heads)
        self.mlp = FeedForward(dim)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Mix ``x`` ``(n, b, f, h, w, d)``; ``present`` ``(n, f)`` says which frames exist."""
        n, b, f, h, w, _ = x.shape
        x = self.space(rearrange(x, "n b f h w d -> (n b f) h w d"))
        x = rearrange(x, "(n b f) h w d -> (n h w) (b f) d", n=n, b=b, f=f)
        x = self.across(x, repeat(present, "n f -> (n h w) (b f)", h=h, w=w, b=b))
        x = rearrange(x, "(n h w) (b f) d -> n b f h w d", n=n, h=h, w=w, b=b, f=f)
        return torch.as_tensor(self.mlp(x))


class Generator(nn.Module):
    """The generator; see the module's docstring for its course and `Evidence` for its input."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        parts = architecture(config.arch)
        d, heads, reach = config.embed_dim, config.heads, config.reach
        self.stem = parts.stem(_CHANNELS, config.token_dim, d, heads, reach)
        self.clock = nn.Sequential(nn.Linear(_CLOCK, d), nn.GELU(), nn.Linear(d, d))
        self.colour = nn.Linear(2 * _WAVES + 1, d)
        self.role = nn.Parameter(torch.zeros(2, d))
        self.noise = nn.Linear(config.noise_dim, d, bias=False)
        self.trunk = nn.ModuleList(
            _Block(d, heads, parts.space(d, heads, i)) for i in range(config.depth)
        )
        self.back = parts.back(config.token_dim, d, heads, reach)
        c, patch = self.back.width, self.back.last[0] ** 2
        self.trust = nn.Linear(c, 1)
        self.vote = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, patch))
        self.fuse = FeedForward(c)
        self.out = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, 2 * patch))
        self.favour = nn.Parameter(torch.tensor(3.0))
        for last in (self.noise, self.vote[1], self.out[1]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)  # training starts at the prior

    def forward(self, evidence: Evidence, noise: Tensor | None = None) -> Guess:
        """Estimate the target at every pixel of the windows.

        Parameters
        ----------
        evidence : Evidence
            Windows whose sides divide by `STRIDE`.
        noise : Tensor, optional
            Standard normal numbers ``(n, y/16, x/16, noise_dim)`` for one of many possible
            fills; without them the fill with the least expected error.
        """
        unit = _unit(evidence)  # (n, b, 1, 1)
        frames, present = _frames(evidence, unit)
        n, b, f = frames.shape[:3]
        levels = self.stem(rearrange(frames, "n b f c y x -> (n b f) c y x"))
        h, w = levels[-1].shape[1:3]

        x = rearrange(levels[-1], "(n b f) h w d -> n b f h w d", n=n, b=b, f=f)
        x = x + positions(h, w, x.shape[-1], x.device).to(x.dtype)
        role = torch.stack([self.role[0], *[self.role[1]] * (f - 1)])
        x = x + rearrange(self.clock(_clock(evidence)) + role, "n f d -> n 1 f 1 1 d")
        x = x + rearrange(self.colour(_colour(evidence.wavelengths)), "n b d -> n b 1 1 1 d")
        if noise is not None:
            x = x + rearrange(self.noise(noise), "n h w d -> n 1 1 h w d")
        for block in self.trunk:
            x = block(x, present)

        x = self.back(rearrange(x, "n b f h w d -> (n b f) h w d"), levels)

        last = self.back.last
        votes = un_split(self.vote(x), last)  # (n*b*f, 1, y, x)
        votes = rearrange(votes, "(n b f) 1 y x -> n b f y x", n=n, b=b, f=f)
        x = rearrange(x, "(n b f) h w d -> n b f h w d", n=n, b=b, f=f)
        trust = self.trust(x).masked_fill(~rearrange(present, "n f -> n 1 f 1 1 1"), -1e4)
        x = (x * trust.float().softmax(2).to(x.dtype)).sum(2)  # (n, b, h, w, d)
        out = un_split(self.out(self.fuse(rearrange(x, "n b h w d -> (n b) h w d"))), last)
        out = rearrange(out, "(n b) two y x -> two n b y x", n=n, b=b, two=2).float()

        # Frame 0 votes for the prior; a date has no vote where it was not observed.
        votable = evidence.valid.clone()
        votable[:, 0] = True
        votes = (
            votes.float()
            + F.one_hot(torch.zeros((), dtype=torch.long, device=x.device), f)[:, None, None]
            * self.favour
        )
        votes = votes.masked_fill(~rearrange(votable, "n f y x -> n 1 f y x"), -1e4).softmax(2)
        offers = rearrange(evidence.fitted, "n f b y x -> n b f y x") - evidence.prior[:, :, None]
        voted = (votes[:, :, 1:] * offers[:, :, 1:]).sum(2)
        mean = evidence.prior + voted + unit * out[0]
        scale = evidence.prior_scale * out[1].clamp(-4, 4).exp()
        return Guess(mean, scale)


def _unit(evidence: Evidence) -> Tensor:
    """Typical error of the prior in the gap of each window and band, ``(n, b, 1, 1)``.

    Residuals are expressed in it, which makes the network blind to the sensor's units.
    """
    gap = (~evidence.valid[:, 0]).unsqueeze(1).float()  # (n, 1, y, x)
    count = gap.sum((2, 3), keepdim=True)
    inside = (evidence.prior_scale * gap).sum((2, 3), keepdim=True) / count.clamp(min=1)
    return torch.where(count > 0, inside, evidence.prior_scale.mean((2, 3), keepdim=True))


def _frames(evidence: Evidence, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Input channels ``(n, b, f, c, y, x)`` and which frames hold anything ``(n, f)``."""
    mean = evidence.prior.mean((2, 3), keepdim=True)
    spread = evidence.prior.std((2, 3), keepdim=True) + unit  # (n, b, 1, 1)
    structure = ((evidence.prior - mean) / spread).unsqueeze(1).expand_as(evidence.fitted)
    valid = evidence.valid.unsqueeze(2)  # (n, f, 1, y, x)
    seen = valid.float()
    count = seen.sum((3, 4), keepdim=True).clamp(min=1)
    image = torch.where(valid, evidence.images, 0)
    centre = image.sum((3, 4), keepdim=True) / count
    image = (image - centre) * seen
    width = (image.square().sum((3, 4), keepdim=True) / count).sqrt() + unit.unsqueeze(1)
    offer = (evidence.fitted - evidence.prior.unsqueeze(1)) * seen / unit.unsqueeze(1)
    doubt = (evidence.fitted_scale / unit.unsqueeze(1)).clamp(1e-3, 1e3).log()
    channels = [
        torch.asinh(offer),
        (image / width).clamp(-6, 6),
        seen.expand_as(image),
        seen[:, :1].expand_as(image),
        doubt / 2,
        structure.clamp(-6, 6),
    ]
    frames = rearrange(torch.stack(channels), "c n f b y x -> n b f c y x")
    present = evidence.valid.flatten(2).any(2)
    present[:, 0] = True
    return frames, present


def _clock(evidence: Evidence) -> Tensor:
    """Where in time each frame lies: ``(n, f, 7)``."""
    days = evidence.days
    known = evidence.season.isfinite().float()[:, None].expand_as(days)
    turn = 2 * math.pi * torch.nan_to_num(evidence.season)[:, None].expand_as(days)
    year = 2 * math.pi * days / 365.25
    far = days.abs().log1p() / 4
    return torch.stack(
        [
            far,
            far * days.sign(),
            year.sin(),
            year.cos(),
            known * turn.sin(),
            known * turn.cos(),
            known,
        ],
        dim=-1,
    )


def _colour(wavelengths: Tensor) -> Tensor:
    """Fourier features of log wavelength ``(n, b) -> (n, b, 13)``; zeros where unknown."""
    known = wavelengths.isfinite().float()
    octaves = torch.where(wavelengths.isfinite(), wavelengths, 1.0).log2()  # 0.4-2.3: -1.3 to 1.2
    rate = math.pi * 0.5 * 2.0 ** torch.arange(_WAVES, device=wavelengths.device)
    angle = octaves[..., None] * rate
    return torch.cat(
        [angle.sin() * known[..., None], angle.cos() * known[..., None], known[..., None]], dim=-1
    )
