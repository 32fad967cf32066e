"""Documents of a STAC catalogue: JSON of a disk, an object store or a named host, and what their hrefs mean.

What a catalogue says is data. Every address passes `Sources` before anything opens it, one of a local catalogue stays
in the catalogue's folder, and answers are limited in size and time.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from tiler.remote import reached, remote
from tiler.sources import Sources, check_address

MOST_BYTES = 64 * 2**20
"""Of one document: a page of a hundred items is 3 MB at most, a file of thousands of items 50."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATTERN = re.compile(r"[*?\[]")


def shown(address: str) -> str:
    """Return an address for messages: what follows '?' may be a secret."""
    head, query, _ = address.partition("?")
    return repr((head if len(head) < 200 else f"{head[:200]}...") + ("?..." if query else ""))


class Documents:
    """The documents of one catalogue, and which addresses it may name."""

    def __init__(self, start: str, sources: Sources, fetch: Callable[[str], bytes]) -> None:
        """Begin at a path or an address.

        Args:
            start: of the root document, or of the local folder of a `catalog.json`.
            sources: which addresses may be opened.
            fetch: reads the bytes of an address of a web host; raises ValueError where it cannot.
        """
        self._sources, self._fetch = sources, fetch
        self.root: Path | None = None
        """Folder that local hrefs must stay in; None for a catalogue that is not local."""
        self.start = start
        if "://" not in start:
            place = Path(start).resolve()
            place = place / "catalog.json" if place.is_dir() else place
            self.start, self.root = str(place), place.parent

    def address(self, href: object, base: str) -> str:
        """Return the address that an href of a document means.

        Args:
            href: as the document has it.
            base: address of that document.

        Raises:
            ValueError: it is no text, may not be opened, or leaves the folder of a local catalogue.
        """
        if not isinstance(href, str) or not href:
            raise ValueError(f"an href is {href!r:.80}, not an address; the catalogue is damaged")
        local = unquote(urlsplit(href).path) if href.startswith("file://") else href
        if local == href and (_SCHEME.match(href) or "://" in base):
            found = _joined(href, base)
            check_address(found, self._sources)
            return found
        if self.root is None:
            raise ValueError(f"{shown(href)} is a local file, named by a catalogue that is not local; it is not opened")
        check_address(local, self._sources)
        place = (Path(base).parent / local).resolve()
        if not place.is_relative_to(self.root):
            raise ValueError(
                f"{shown(href)} lies outside of the catalogue's folder {self.root}; move the file, or the catalogue's "
                f"root document, so that all lie in one folder"
            )
        return str(place)

    def raster(self, href: object, base: str) -> str:
        """Return the address of an asset that is to be opened as a raster.

        Raises:
            ValueError: as `address`, or it is signed, or would mean several files.
        """
        found = self.address(href, base)
        if found.startswith("http") and "?" in found:
            raise ValueError(
                f"{shown(found)} has a query, as signed addresses have: signatures expire while a run works, and "
                f"would be kept with it; use a catalogue with plain addresses, or copy the files to a bucket of yours"
            )
        if _PATTERN.search(found):
            raise ValueError(f"{shown(found)} would be read as a pattern; rename the file")
        return found

    def read(self, address: str) -> dict[str, Any]:
        """Read a document.

        Raises:
            ValueError: nothing is there, it is too large, or it is no JSON object.
        """
        if address.startswith(("http://", "https://")):
            return parsed(self._fetch(address), address)
        if "://" in address:
            return parsed(_stored(address), address)
        try:
            with open(address, "rb") as file:
                return parsed(file.read(MOST_BYTES + 1), address)
        except OSError as error:
            raise ValueError(f"{address} cannot be read: {error}; check the path, or the link that names it") from error


def parsed(data: bytes, address: str) -> dict[str, Any]:
    """Return the JSON object that a document holds.

    Raises:
        ValueError: it is larger than `MOST_BYTES`, or no JSON object.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(too_large(address))
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(address)} is no JSON ({error}); is it the address of a STAC document?") from error
    if not isinstance(found, dict):
        raise ValueError(f"{shown(address)} holds {type(found).__name__}, not a STAC document; check the address")
    return found


def texts(value: object) -> list[str]:
    """Return the texts of what should be a list of them."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the mappings of what should be a list of them."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _joined(href: str, base: str) -> str:
    """Resolve as RFC 3986 does; `urljoin` does not know object stores, and knows '..' in their keys even less."""
    if href.startswith(("http://", "https://")) or base.startswith(("http://", "https://")):
        return urljoin(base, href)
    if not _SCHEME.match(href):
        scheme, _, rest = base.partition("://")
        bucket, _, key = rest.partition("/")
        href = f"{scheme}://{bucket}/" + (href.lstrip("/") if href[0] == "/" else f"{PurePosixPath(key).parent}/{href}")
    scheme, _, rest = href.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}{posixpath.normpath('/' + key.lstrip('/'))}"


def _stored(address: str) -> bytes:
    scheme, rest = address.split("://", 1)
    bucket, _, key = rest.partition("/")
    with reached(address):
        answer = remote(f"{scheme}://{bucket}").get(key)
        if answer.meta["size"] <= MOST_BYTES:
            return bytes(answer.bytes())
    raise ValueError(too_large(address))


def too_large(address: str) -> str:
    """Return what is said of a document that has more than `MOST_BYTES`."""
    return f"{shown(address)} has more than {MOST_BYTES >> 20} MiB; split it, or narrow the search"
