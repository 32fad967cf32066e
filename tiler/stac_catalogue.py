"""The items of a STAC catalogue: an API is searched through pystac-client, static documents are read level by level."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from tiler.sources import Sources
from tiler.stac_documents import Documents, mappings
from tiler.stac_search import StacSearch

if TYPE_CHECKING:
    from tiler.stac_web import StacWeb

MOST_DOCUMENTS = 50_000
"""That are read of a static catalogue."""
PAGE_ITEMS = 100
THREADS = 8
"""Documents that are read at once: most of the time is waiting. A host's pool of connections has 10."""

Found: TypeAlias = tuple[Mapping[str, Any], str]
"""An item that nobody has checked, and the address that its hrefs are seen from."""


class Catalogue:
    """A catalogue that is asked once."""

    def __init__(self, search: StacSearch, sources: Sources) -> None:
        self._search, self._sources = search, sources
        self.documents = Documents(search.stac, sources, lambda address: self._web.fetch(address))
        self.withheld = 0
        """Items that an API said to have found and did not answer, known when `items` has ended."""

    @cached_property
    def _web(self) -> StacWeb:
        from tiler.stac_web import StacWeb

        return StacWeb(self._sources)

    def items(self) -> Iterator[Found]:
        """Yield what the catalogue answers, in its order; some may not be what was asked for, or come twice.

        Raises:
            ValueError: it cannot be read, has no end, or is no STAC catalogue.
        """
        start = self.documents.start
        first = self.documents.read(self.documents.address(start, start))
        remote = start.startswith(("http://", "https://"))
        if remote and any(link.get("rel") == "search" for link in mappings(first.get("links"))):
            return self._searched(first, start)
        return self._walked(first, start)

    def _searched(self, landing: dict[str, Any], address: str) -> Iterator[Found]:
        seen, matched, most = 0, 0, 2 * self._search.max_items
        try:
            for page in self._pages(landing, address):
                items = mappings(page.get("features"))
                told = page.get("numberMatched")
                seen, matched = seen + len(items), max(matched, told if isinstance(told, int) else 0)
                yield from ((item, _self_of(item) or address) for item in items)
                if seen > most:
                    raise ValueError(
                        f"{address} answered more than {most} items; narrow the search, or raise max_items"
                    )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{address} does not answer as a STAC API ({error!r:.200}); check the address") from error
        self.withheld = max(0, matched - seen)

    def _pages(self, landing: dict[str, Any], address: str) -> Iterator[dict[str, Any]]:
        from pystac_client import Client

        wish, links = self._search, mappings(landing["links"])
        methods = {str(link.get("method", "GET")) for link in links if link.get("rel") == "search"}
        cloud = None if wish.max_cloud is None else {"eo:cloud_cover": {"lte": wish.max_cloud}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what an API does not say that it can: it is asked all the same
            client = self._web.stac_object_from_dict(landing, address)
            if not isinstance(client, Client):
                raise TypeError(f"its root is a {type(client).__name__}")
            asked = client.search(
                method="POST" if "POST" in methods else "GET",
                limit=PAGE_ITEMS,
                collections=list(wish.collection) or None,
                bbox=wish.bbox,
                datetime=wish.datetime,
                query=cloud if client.conforms_to("QUERY") else None,
            )
        yield from asked.pages_as_dicts()

    def _walked(self, first: dict[str, Any], start: str) -> Iterator[Found]:
        """Read level by level, each document once, so that a circle of links has an end."""
        level, seen = [(start, first)], {start}
        with ThreadPoolExecutor(THREADS, "stac") as pool:
            while level:
                links: dict[str, None] = {}
                for address, document in level:
                    kind = document.get("type")
                    if kind == "Feature":
                        yield document, address
                    elif kind == "FeatureCollection":
                        yield from ((item, address) for item in mappings(document.get("features")))
                    elif kind in ("Catalog", "Collection"):
                        links |= dict.fromkeys(self._links(document, address))
                    else:
                        raise ValueError(f"{address} has the type {kind!r:.80}, not one of STAC; check what names it")
                fresh = [one for one in links if one not in seen]
                seen.update(fresh)
                if len(seen) > MOST_DOCUMENTS:
                    raise ValueError(
                        f"{start} has more than {MOST_DOCUMENTS} documents; name a `stac` further down in it, or an API"
                    )
                level = list(zip(fresh, pool.map(self.documents.read, fresh), strict=True))

    def _links(self, document: Mapping[str, Any], address: str) -> Iterator[str]:
        """Yield the documents below one: not the items of a collection that is not asked for."""
        wanted = self._search.collection
        other = document.get("type") == "Collection" and wanted and document.get("id") not in wanted
        for link in mappings(document.get("links")):
            if link.get("rel") == "child" or (link.get("rel") == "item" and not other):
                yield self.documents.address(link.get("href"), address)


def _self_of(item: Mapping[str, Any]) -> str | None:
    hrefs = [link.get("href") for link in mappings(item.get("links")) if link.get("rel") == "self"]
    return next((href for href in hrefs if isinstance(href, str) and href.startswith("http")), None)
