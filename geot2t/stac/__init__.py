"""STAC items in, items out: what an item's JSON says, searches, and the model's description.

Plain JSON is read: STAC 1.0 describes bands in ``eo:bands`` and ``raster:bands``, STAC 1.1 in
``bands``, and both are in use. Nothing here opens a raster.
"""

from __future__ import annotations

from geot2t.stac.items import Asset, Item, is_stac, items_of, load_items
from geot2t.stac.search import Search

__all__ = ["Asset", "Item", "Search", "is_stac", "items_of", "load_items"]
