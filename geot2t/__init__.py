"""Fill the cloud gaps of satellite rasters and say how sure each filled pixel is."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geot2t.api import change, inpaint, interpolate
    from geot2t.checkpoint import load_model
    from geot2t.errors import Geot2tError
    from geot2t.evaluation import evaluate
    from geot2t.io import open_stack

__version__ = "0.1.0"

# Read when torch is loaded. Its threads meet thousands of times a second, and by default they wait
# without letting go of the core that the one they wait for may need: nothing gets on as soon as
# anything else runs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = [
    "Geot2tError",
    "__version__",
    "change",
    "evaluate",
    "inpaint",
    "interpolate",
    "load_model",
    "open_stack",
]

_HOMES = {
    "Geot2tError": "geot2t.errors",
    "change": "geot2t.api",
    "evaluate": "geot2t.evaluation",
    "inpaint": "geot2t.api",
    "interpolate": "geot2t.api",
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


class _WithXarray:
    """Registers the accessor ``.geot2t`` when xarray is imported, by whomever.

    So `import geot2t` is enough, before or after `import xarray`, and costs those nothing who
    do without.
    """

    @classmethod
    def find_spec(cls, name: str, *_: object) -> Any:
        """Find xarray as it would be found without this, and have it loaded with the accessor."""
        if name != "xarray":
            return None
        sys.meta_path.remove(cls)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, cls)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                sys.meta_path.remove(cls)
                import_module("geot2t.xr")

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


if "xarray" in sys.modules:
    import_module("geot2t.xr")
else:
    sys.meta_path.insert(0, _WithXarray)
