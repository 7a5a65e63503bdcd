"""What the values of a quality raster mean, from the STAC classification extension."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from geot2t.clouds import Codes, Legend

_EMPTY = re.compile(r"\b(no ?data|not imaged)\b|(?<!not )\b(black ?fill|fill|outside|missing)\b")
_PREDICTED = re.compile(r"\b(not filled|predicted)\b")
_NOT = re.compile(r"\b(no|not|non|without|clear|free|low|unlikely)\b")
_HIDDEN = re.compile(r"cloud|shadow|cirrus|haze|saturat|defect")


def legend_of(fields: Mapping[str, Any]) -> Legend | None:
    """What a band's ``classification:classes`` or ``classification:bitfields`` say.

    A class counts by its name: as no data, or as hidden where it names a cloud, shadow, cirrus,
    haze or a defect. So do pixels that geot2t predicted. Confidences are not looked at, for no
    two products mean the same by them.

    Returns
    -------
    Legend or None
        None where nothing is said that tells hidden or missing ground from other.
    """
    found = []
    for field in _listed(fields.get("classification:bitfields")):
        first, length = field.get("offset"), field.get("length")
        name = _plain(field.get("name") or field.get("description"))
        if not isinstance(first, int) or not isinstance(length, int):
            continue
        if 0 <= first < 64 and 0 < length <= 16 and "confidence" not in name:
            found.append(_codes(_listed(field.get("classes")), name, first, length))
    if not found:
        found = [_codes(_listed(fields.get("classification:classes")), "", 0, None)]
    kept = tuple(codes for codes in found if codes.hidden or codes.empty)
    return Legend(kept) if kept else None


def _codes(
    classes: Sequence[Mapping[str, Any]], field: str, first: int, length: int | None
) -> Codes:
    hidden, empty = set(), set()
    for entry in classes:
        value = entry.get("value")
        if not isinstance(value, int) or abs(value) > 2**62:
            continue
        name = _plain(entry.get("name") or entry.get("description"))
        if length == 1 and name in ("yes", "true", "set", "1", "present"):
            name = field
        if entry.get("nodata") is True or _EMPTY.search(name):
            empty.add(value)
        elif _PREDICTED.search(name) or (_HIDDEN.search(name) and not _NOT.search(name)):
            hidden.add(value)
    return Codes(frozenset(hidden), frozenset(empty), first, length)


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _plain(text: Any) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", str(text or "").lower()).split())
