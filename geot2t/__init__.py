"""Fill the cloud gaps of satellite rasters and say how sure each filled pixel is."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from geot2t.checkpoint import load_model
    from geot2t.errors import Geot2tError
    from geot2t.evaluation import evaluate
    from geot2t.io import open_stack
    from geot2t.jobs import inpaint

__version__ = "0.1.0"

__all__ = ["Geot2tError", "__version__", "evaluate", "inpaint", "load_model", "open_stack"]

_HOMES = {
    "Geot2tError": "geot2t.errors",
    "evaluate": "geot2t.evaluation",
    "inpaint": "geot2t.jobs",
    "load_model": "geot2t.checkpoint",
    "open_stack": "geot2t.io",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: torch takes seconds, and `geot2t --help` needs none of it.
    if name not in _HOMES:
        raise AttributeError(f"module 'geot2t' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
