"""Architectures: how frames become tokens, tokens mix over space, and tokens become pixels.

`geot2t.generator` and `geot2t.critic` hold what all architectures share: what is told to the
network, the attention over dates and bands, the votes, the error scale, the scores. What is
here can be swapped, so that what is said for tokens-to-token can be measured.
"""

from __future__ import annotations

from geot2t.bodies import swin, t2t, unet, vit
from geot2t.bodies.base import Architecture, Back
from geot2t.errors import ModelError

__all__ = ["ARCHITECTURES", "Architecture", "Back", "architecture"]

ARCHITECTURES: dict[str, Architecture] = {
    "t2t": t2t.ARCHITECTURE,
    "vit": vit.ARCHITECTURE,
    "swin": swin.ARCHITECTURE,
    "unet": unet.ARCHITECTURE,
}
"""Every architecture by the name under which checkpoints know it."""


def architecture(name: str) -> Architecture:
    """The architecture called ``name``.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    try:
        return ARCHITECTURES[name]
    except (KeyError, TypeError):
        raise ModelError(
            f"no architecture {name!r}; there are {', '.join(ARCHITECTURES)}"
        ) from None
