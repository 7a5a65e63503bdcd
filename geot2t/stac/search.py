"""Items found by a STAC API, through pystac-client."""

from __future__ import annotations

import re
from dataclasses import dataclass

from geot2t.errors import InputError
from geot2t.stac.items import Item, items_of
from geot2t.stac.origin import Origin

_MOST = 1000
"""Items taken from one search."""

_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Search:
    """What to ask a STAC API for.

    What is left open is taken from the scene that the items are wanted for: its place, and 60
    days before and after its date.
    """

    url: str
    """Address of the API."""

    collections: tuple[str, ...]
    """Collections to search."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north, in degrees."""

    datetime: str | None = None
    """A day, or a range such as ``2022-05-01/2022-07-31``."""

    def __post_init__(self) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise InputError(f"a STAC API has an address with http, got {self.url}")
        if not self.collections:
            raise InputError("a STAC search needs a collection, such as sentinel-2-l2a")

    def run(self, notes: list[str]) -> list[Item]:
        """Search, and return the items in the order of their dates.

        Parameters
        ----------
        notes : list of str
            Added to, where the user should know something.

        Raises
        ------
        InputError
            If pystac-client is not installed, the API does not answer as one, or nothing is
            found.
        """
        try:
            from pystac_client import Client
        except ModuleNotFoundError as error:
            raise InputError(
                f"a STAC search needs {error.name}: pip install 'geot2t[stac]'"
            ) from error
        origin = Origin(self.url)
        try:
            client = Client.open(self.url, timeout=_SECONDS)
            search = client.search(
                collections=list(self.collections),
                bbox=self.bbox,
                datetime=self.datetime,
                max_items=_MOST,
            )
            features = list(search.items_as_dicts())
        # Besides errors of its own and of the network it raises KeyError where no STAC API
        # answers, and a bare Exception for a date that it cannot read.
        except Exception as error:
            raise InputError(f"the STAC API {origin} cannot be searched: {_line(error)}") from error
        if not features:
            raise InputError(
                f"{origin} has no item of {', '.join(self.collections)} for bbox {self.bbox} "
                f"and datetime {self.datetime}"
            )
        if len(features) == _MOST:
            notes.append(f"only the first {_MOST} items that {origin} found are used")
        found = items_of({"type": "FeatureCollection", "features": features}, origin)
        return sorted(found, key=lambda item: (item.when, item.id))


def _line(error: Exception) -> str:
    """An error in one line, without the query of an address, which may hold a key."""
    said = re.sub(r"\?\S+", "?...", " ".join(str(error).split()))
    return said[:300] or type(error).__name__
