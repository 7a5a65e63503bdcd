"""What may be asked of a fill, apart from what is filled and where the result goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from geot2t.draws import MOST
from geot2t.errors import InputError
from geot2t.fill import Estimates
from geot2t.grid import Box, lattice
from geot2t.methods import AUTO, check_method
from geot2t.stream import Rules


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options of a fill, all of them checked; see `geot2t.jobs.inpaint` for what they mean.

    Raises
    ------
    InputError
        If one of them cannot be, or has no use for another.
    """

    clouds: str = "auto"
    date: date | None = None
    max_error: float | None = None
    max_distance: int = 64
    keep_nodata: bool = False
    max_gap: float | None = None
    error: bool = True
    driver: str | None = None
    creation_options: Mapping[str, str] | None = None
    device: str = "auto"
    model: str | Path | Estimates | None = None
    method: str = AUTO
    window: int = 256
    overlap: int = 64
    batch: int = 1
    adapt: int = 0
    sharp: bool = False
    samples: int = 0
    report: bool = False
    seed: int = 0
    bands: Sequence[str] = ()
    trust_items: bool = False

    def __post_init__(self) -> None:
        _ = self.rules
        check_windows(self.window, self.overlap, self.batch)
        check_samples(self.samples)
        if self.adapt < 0:
            raise InputError(f"the steps of adaptation must not be negative, got {self.adapt}")
        if self.model is None or isinstance(self.model, str | Path):
            check_method(self.method, model=self.model is not None, adapt=self.adapt > 0)

    @property
    def rules(self) -> Rules:
        """Which pixels are filled."""
        return Rules(self.max_error, self.max_distance, self.keep_nodata, self.max_gap)

    @property
    def said(self) -> dict[str, Any]:
        """The options that the result depends on, as its STAC Item states them."""
        return {
            "clouds": self.clouds, "date": self.date, "max_error": self.max_error,
            "max_distance": self.max_distance, "keep_nodata": self.keep_nodata,
            "error": self.error, "format": self.driver,
            "creation_options": dict(self.creation_options or {}), "window": self.window,
            "overlap": self.overlap, "batch": self.batch, "adapt": self.adapt,
            "sharp": self.sharp, "samples": self.samples, "seed": self.seed, "method": self.method,
            "bands": list(self.bands),
            **({} if self.max_gap is None else {"max_gap": self.max_gap}),
        }  # fmt: skip


def check_samples(samples: int) -> None:
    """Refuse a number of samples that cannot be; InputError."""
    if not 0 <= samples <= MOST:
        raise InputError(f"there can be 0 to {MOST} samples, got {samples}")


def check_windows(window: int, overlap: int, batch: int) -> None:
    """Refuse a window, overlap or batch that cannot be; InputError."""
    if window < 32:
        raise InputError(f"the window must be at least 32 px, got {window}")
    if batch < 1:
        raise InputError(f"the batch must be at least 1 window, got {batch}")
    next(lattice(Box(0, 0, 1, 1), Box(0, 0, 1, 1), size=window, overlap=overlap))
