"""What an architecture is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from geot2t.t2t import Split


class Back(nn.Module, ABC):
    """The way from the trunk's tokens back towards pixels."""

    width: int
    """Width of the tokens that come out."""

    last: Split
    """Kernel and stride with which patches of these tokens are added up to pixels."""

    @abstractmethod
    def forward(self, coarse: Tensor, levels: list[Tensor]) -> Tensor:
        """Lead ``(m, y/16, x/16, embed_dim)`` back to ``(m, y/s, x/s, width)``.

        ``levels`` are what the stem made of the same images; ``s`` is the stride of `last`.
        """


@dataclass(frozen=True, slots=True)
class Architecture:
    """Makers of the parts in which architectures differ; widths are those of the configs."""

    stem: Callable[[int, int, int, int, int], nn.Module]
    """``(channels, token_dim, embed_dim, heads, reach)`` to a module that turns images
    ``(m, channels, y, x)`` into a list of levels, the last ``(m, y/16, x/16, embed_dim)``."""

    space: Callable[[int, int, int], nn.Module]
    """``(embed_dim, heads, i)`` to the module with which block ``i`` of the trunk mixes tokens
    ``(m, h, w, embed_dim)`` over space."""

    back: Callable[[int, int, int, int], Back]
    """``(token_dim, embed_dim, heads, reach)`` to the generator's way back."""

    critic_stem: Callable[[int, int, int, int, int], nn.Module]
    """As ``stem``, for the critic."""

    critic_space: Callable[[int, int, int], nn.Module]
    """As ``space``, for the critic."""
