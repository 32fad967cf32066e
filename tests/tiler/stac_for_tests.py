"""STAC items, static catalogues written with pystac, and a STAC API that filters and pages."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pystac

from tests.servers import serving
from tiler.stac_search import StacSearch

BANDS = ("red", "green", "blue", "nir")
CORE = "https://api.stacspec.org/v1.0.0"


def asset(href: str, *names: str, **fields: Any) -> dict[str, Any]:
    """Return an asset whose bands have common names, as STAC 1.0 writes them."""
    bands = {"eo:bands": [{"name": f"B{i}", "common_name": name} for i, name in enumerate(names)]} if names else {}
    return {"href": href, "roles": ["data"], **bands, **fields}


def item(name: str, day: str = "2024-06-01", collection: str = "s2", cloud: float = 5.0, **fields: Any) -> dict:
    """Return an item with a GeoTIFF a band, over [126, 127] x [37, 37.5]."""
    ring = [[126, 37], [127, 37], [127, 37.5], [126, 37.5], [126, 37]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "bbox": [126, 37, 127, 37.5],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": f"{day}T02:11:00Z", "eo:cloud_cover": cloud},
        "links": [],
        "assets": {f"B{i}": asset(f"{name}/{band}.tif", band) for i, band in enumerate(BANDS)},
        **fields,
    }


def write_static(folder: Path, items: Iterable[Mapping[str, Any]]) -> Path:
    """Write items as a self-contained catalogue, a collection for each that they name, and return its root document.

    Relative hrefs of assets are seen from the folder.
    """
    root = pystac.Catalog("root", "of a test")
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[datetime(2020, 1, 1), None]])
    )
    for one in items:
        collection = root.get_child(one["collection"])
        if collection is None:
            collection = pystac.Collection(one["collection"], "of a test", extent)
            root.add_child(collection)
        new = pystac.Item.from_dict(dict(one))
        for each in new.assets.values():
            if "://" not in each.href:
                each.href = str((folder / each.href).resolve())
        collection.add_item(new)
    root.normalize_hrefs(str(folder))
    root.make_all_asset_hrefs_relative()
    root.save(pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


@dataclass
class Api:
    """What a STAC API holds, how it misbehaves, and what it was asked."""

    items: list[dict[str, Any]]
    page: int = 2
    post: bool = True
    honest: bool = True
    """Whether it filters."""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    """Given in place of the next ones, in order: status, headers, body."""
    spoil: Any = None
    """Changes an answer before it is sent."""
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    address: str = ""

    def landing(self) -> dict[str, Any]:
        """Return the root document."""
        methods = ("GET", "POST") if self.post else ("GET",)
        search = {"rel": "search", "href": f"{self.address}/search", "type": "application/geo+json"}
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "api",
            "description": "of a test",
            "conformsTo": [f"{CORE}/core", f"{CORE}/item-search", f"{CORE}/item-search#query"],
            "links": [search | {"method": method} for method in methods],
        }

    def search(self, method: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a page of a search; the next page's link holds all that it needs."""
        found = [one for one in self.items if not self.honest or _fits(one, asked)]
        start = int(asked.get("token", 0))
        links = []
        if start + self.page < len(found):
            token = {"token": str(start + self.page)}
            link = {"rel": "next", "href": f"{self.address}/search", "method": method}
            if method == "POST":
                links = [link | {"body": token, "merge": True}]
            else:
                query = "&".join(f"{k}={v}" for k, v in {**asked, **token}.items())
                links = [link | {"href": f"{self.address}/search?{query}"}]
        features = found[start : start + self.page]
        return {"type": "FeatureCollection", "features": features, "links": links, "numberMatched": len(found)}


def _fits(one: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """The filters of a search by themselves, not by the code that is tested; GET has texts, POST lists."""
    collections, box, times = asked.get("collections"), asked.get("bbox"), asked.get("datetime")
    collections = collections.split(",") if isinstance(collections, str) else collections
    if collections and one["collection"] not in collections:
        return False
    if box:
        west, south, east, north = map(float, box.split(",") if isinstance(box, str) else box)
        a, b, c, d = one["bbox"]
        if a > east or c < west or b > north or d < south:
            return False
    if times:
        first, _, last = times.partition("/")
        if not first <= one["properties"]["datetime"] <= (last or first):
            return False
    query = asked.get("query")
    query = json.loads(query) if isinstance(query, str) else query
    return not query or one["properties"]["eo:cloud_cover"] <= query["eo:cloud_cover"]["lte"]


@contextmanager
def api(items: Iterable[Mapping[str, Any]], **settings: Any) -> Iterator[Api]:
    """Serve a STAC API on this machine's loopback."""
    here = Api([dict(one) for one in items], **settings)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            self._answer({key: values[0] for key, values in parse_qs(url.query).items()})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, asked: dict[str, Any]) -> None:
            path = urlsplit(self.path).path
            here.asked.append((self.command, path, asked))
            if here.answers:
                status, headers, data = here.answers.pop(0)
            else:
                answer = here.search(self.command, asked) if path == "/search" else here.landing()
                answer = here.spoil(answer) if here.spoil else answer
                status, headers, data = 200, {}, json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address:
        here.address = address
        yield here


def search(stac: object, **fields: Any) -> StacSearch:
    """Return a search."""
    return StacSearch.model_validate({"stac": str(stac), **fields})
