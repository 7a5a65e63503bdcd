"""Where an item came from, and which files and addresses its assets may therefore lead to.

An item is a list of names to open, and may be anybody's. From a file it leads to files beside
it; from an address that the user typed, to addresses. Everything else only where the user says
that the items are trusted.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from geot2t.errors import InputError

_MOST_BYTES = 256 * 2**20
"""Largest JSON file that is read; an item has about 30 kB."""

_SECONDS = 30.0

_SCHEME = re.compile(r"^([A-Za-z][\w+.-]+):")
"""At least two letters: one is a Windows drive."""

_TRUST = "pass --trust-items if you know who made it"


@dataclass(frozen=True)
class Origin:
    """A JSON file or address with one or more items."""

    where: Path | str
    """The file, or the address as a str."""

    trusted: bool = False
    """Whether assets may lead anywhere."""

    @property
    def remote(self) -> bool:
        """Whether this is an address."""
        return isinstance(self.where, str)

    def __str__(self) -> str:
        return shown(self.where)

    def resolve(self, href: str, who: str, base: str | None = None) -> Path | str:
        """The file or address that an asset's ``href`` stands for.

        Parameters
        ----------
        href : str
            As it is in the item.
        who : str
            The asset, for messages.
        base : str, optional
            Address of the item itself, where it was found at another one.

        Returns
        -------
        Path or str
            A file as an absolute path, an address as a str.

        Raises
        ------
        InputError
            If it leads where an item from here may not lead.
        """
        href = href.strip()
        scheme = _SCHEME.match(href)
        if href.lower().startswith("/vsi") or (scheme and "/vsi" in href.lower()):
            raise InputError(f"{who}: {shown(href)} is a virtual path of GDAL's, which is not read")
        if scheme is None:
            if self.remote:
                return urljoin(base or str(self.where), href)
            return self._file(href, who)
        kind = scheme[1].lower()
        if kind in ("http", "https"):
            if self.remote or self.trusted:
                return href
            raise InputError(f"{who} is at {shown(href)}, not beside {self}; {_TRUST}")
        if kind in ("s3", "gs", "az"):
            if self.trusted:
                return href
            raise InputError(
                f"{who} is at {shown(href)}, which is read with your own credentials; {_TRUST}"
            )
        if kind == "file" and not self.remote:
            return self._file(unquote(urlsplit(href).path), who)
        raise InputError(f"{who}: an address that begins with {kind}: is not read")

    def _file(self, href: str, who: str) -> Path:
        folder = Path(self.where).absolute().parent
        try:
            path = (folder / href).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{who} is no file: {error}") from error
        if not (self.trusted or path.is_relative_to(folder.resolve())):
            raise InputError(f"{who} is {path}, outside of {folder}; {_TRUST}")
        return path


def shown(where: Path | str) -> str:
    """A location without the secrets that the query of a signed address holds."""
    return where.split("?", 1)[0] if isinstance(where, str) else str(where)


def read_text(where: Path | str) -> str:
    """The text of a file, or of an address that the user typed.

    Raises
    ------
    InputError
        If it cannot be read, or is too large.
    """
    try:
        data = _fetched(where) if isinstance(where, str) else _read(where)
        return data.decode("utf-8-sig")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InputError(f"{shown(where)} cannot be read: {reason}") from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return _limited(file.read(_MOST_BYTES + 1), path)


def _fetched(url: str) -> bytes:
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise InputError(f"{shown(url)}: STAC items are read from files and http addresses")
    accept = {"Accept": "application/geo+json, application/json"}
    request = urllib.request.Request(url, headers=accept)  # noqa: S310  looked at above
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        return _limited(answer.read(_MOST_BYTES + 1), url)


def _limited(data: bytes, where: Path | str) -> bytes:
    if len(data) > _MOST_BYTES:
        raise InputError(f"{shown(where)} is larger than {_MOST_BYTES >> 20} MiB")
    return data
