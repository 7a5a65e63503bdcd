"""Fill the cloud gaps of satellite rasters and say how sure each filled pixel is."""

from __future__ import annotations

__version__ = "0.1.0"
