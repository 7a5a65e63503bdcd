"""Everything that opens or writes rasters; no other part of geot2t does."""

from __future__ import annotations

from geot2t.io.describe import describe
from geot2t.io.names import scenes_in
from geot2t.io.observed import SceneBlock
from geot2t.io.stack import Stack, open_stack

__all__ = ["SceneBlock", "Stack", "describe", "open_stack", "scenes_in"]
