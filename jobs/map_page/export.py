"""The map page as a folder of plain files: PNG tiles, JSON, and the page itself; any static web server serves it.

    DIR/index.html, static/          the page
    DIR/page.json, tiles.json        what there is to see, and which tiles there are; written last
    DIR/tiles/<run>-<map>/<layer>/<zoom>/<x>/<y>.png

A column of tiles is done when its `rows.json` is there, which names the rows that have a picture: after any
interruption the same command does the rest.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.removal import remove_folder
from cluster.storage import Storage
from jobs.map_page.description import ShownRun, describe
from jobs.map_page.layers import ImageryLayer, Layer
from jobs.map_page.pictures import png_of, tile_picture
from jobs.map_page.place import provenance
from jobs.map_page.published_run import PublishedRun
from jobs.map_page.regions import FOLDER, has_regions, outlines_of, regions_of
from jobs.map_page.sites import ZOOM, all_sites, has_sites
from jobs.map_page.xyz import Bounds
from jobs.progress import Progress

STATIC = Path(__file__).parent / "static"
ROWS, PAGE, INDEX = "rows.json", "page.json", "tiles.json"
TILES_OF_ALL = 4
"""The page zooms out until the whole map is about so many tiles."""


@dataclass(frozen=True)
class Column:
    """The tiles of one layer, zoom and column: the unit of work."""

    layer: Layer
    folder: str
    """Of the layer, below the page."""
    zoom: int
    x: int
    rows: tuple[int, ...]

    @property
    def key(self) -> str:
        """Its folder."""
        return f"{self.folder}/{self.zoom}/{self.x}"


@dataclass(frozen=True)
class Export:
    """A page that is to be written."""

    runs: Sequence[ShownRun]
    attribution: str
    last_zoom: int | None
    """None: as fine as each layer is."""

    @property
    def bounds(self) -> Bounds:
        """Around all runs."""
        first, *others = (one.bounds for one in self.runs)
        for other in others:
            first = first.joined(other)
        return first

    @property
    def least_zoom(self) -> int:
        """The zoom that shows everything at once."""
        return max(zoom for zoom in range(22) if self.bounds.tile_count(zoom) <= TILES_OF_ALL or zoom == 0)

    def zooms(self, layer: Layer) -> range:
        """Return the zooms that a layer is written at."""
        last = layer.native_zoom if self.last_zoom is None else min(self.last_zoom, layer.native_zoom)
        return range(min(self.least_zoom, last), last + 1)

    def columns(self) -> Iterator[Column]:
        """Yield everything that has to be made, coarse zooms first."""
        for run in self.runs:
            for layer in run.layers:
                for zoom in self.zooms(layer):
                    rows: dict[int, list[int]] = {}
                    for x, y in layer.bounds.tiles(zoom):
                        rows.setdefault(x, []).append(y)
                    for x, ys in rows.items():
                        yield Column(layer, folder_of(run, layer), zoom, x, tuple(ys))

    def tile_count(self) -> int:
        """Return how many tiles there are at most."""
        return sum(
            layer.bounds.tile_count(zoom) for run in self.runs for layer in run.layers for zoom in self.zooms(layer)
        )


def folder_of(run: ShownRun, layer: Layer) -> str:
    """Return the folder of a layer's tiles: another map has another one."""
    return f"tiles/{run.key}-{run.run.key}/{layer.id}"


def check_target(out: str) -> Storage:
    """Return the folder that a page goes to.

    Raises:
        ValueError: it is no local folder, or holds other things.
    """
    storage = Storage(out)
    if not storage.is_local:
        raise ValueError(f"--out {out}: the page is written to a local folder; copy it to the store from there")
    folder = storage.path()
    if folder.is_file():
        raise ValueError(f"--out {out} is a file; name a folder")
    held = [] if not folder.exists() else sorted(one.name for one in folder.iterdir())
    if held and "tiles" not in held:
        raise ValueError(f"--out {out} holds other things ({', '.join(held[:3])}); name a folder that is new or a page")
    return storage


def export(page: Export, out: str) -> int:
    """Write a page; what an earlier call finished is kept.

    Args:
        page: what to write.
        out: local folder, as `check_target` takes it.

    Returns:
        How many tiles have a picture.
    """
    storage = check_target(out)
    columns = list(page.columns())
    done = {column.key: rows for column in columns if (rows := _rows(storage, column)) is not None}
    with (
        Progress(len(columns), "export", unit="columns", restored=len(done)) as progress,
        ThreadPoolExecutor(os.cpu_count() or 1, "tiles") as pool,
    ):
        left = [column for column in columns if column.key not in done]
        try:
            for column, rows in zip(left, pool.map(lambda one: write_column(storage, one), left), strict=True):
                done[column.key] = rows
                progress.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else the end would wait for all that was asked for
            raise
    _write_page(page, storage, index_of(columns, done))
    return sum(len(rows) for rows in done.values())


def _rows(storage: Storage, column: Column) -> list[int] | None:
    try:
        return list(json.loads(storage.get(f"{column.key}/{ROWS}")))
    except (FileNotFoundError, ValueError):
        return None


def write_column(storage: Storage, column: Column) -> list[int]:
    """Write the tiles of a column that have a picture, then the list of them; return that."""
    folder = storage.path(column.key)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for y in column.rows:
        picture = tile_picture(column.layer, column.zoom, column.x, y)
        if picture is not None:
            (folder / f"{y}.png").write_bytes(png_of(picture))
            rows.append(y)
    storage.put(f"{column.key}/{ROWS}", json.dumps(rows).encode())
    return rows


def index_of(columns: Sequence[Column], rows: dict[str, list[int]]) -> dict[str, dict[int, dict[int, list[int]]]]:
    """Return layer -> zoom -> column -> first and last row of each stretch that has pictures."""
    found: dict[str, dict[int, dict[int, list[int]]]] = {}
    for column in columns:
        stretches: list[int] = []
        for y in rows[column.key]:
            if stretches and stretches[-1] == y - 1:
                stretches[-1] = y
            else:
                stretches += [y, y]
        if stretches:
            found.setdefault(column.folder, {}).setdefault(column.zoom, {})[column.x] = stretches
    return found


def _write_page(page: Export, storage: Storage, index: dict[str, Any]) -> None:
    shutil.copytree(STATIC, storage.path("static"), dirs_exist_ok=True)
    shutil.copyfile(STATIC / "index.html", storage.path("index.html"))
    told = describe(page.runs, page.attribution, {"index": INDEX, "least_zoom": page.least_zoom, "place": False})
    for run, facts in zip(page.runs, told["runs"], strict=True):
        facts |= provenance(run.run) | {"scenes": _outlines(run)}
        for layer, one in zip(run.layers, facts["layers"], strict=True):
            folder = folder_of(run, layer)
            one |= {"tiles": f"{folder}/{{z}}/{{x}}/{{y}}.png", "zoom": page.zooms(layer)[-1], "index": folder}
            if not isinstance(layer, ImageryLayer):
                one["legend"] |= layer.style.lookup()
    first = page.runs[0].run
    told |= {"regions": _write_regions(first, storage), "sites": _write_sites(page.runs[0], storage)}
    storage.put(INDEX, json.dumps(index, separators=(",", ":")).encode())
    storage.put(PAGE, json.dumps(told, indent=1).encode())
    kept = {f"{run.key}-{run.run.key}" for run in page.runs}
    for name in {one.name for one in storage.path("tiles").iterdir()} - kept:  # of a map that was here before
        remove_folder(storage, f"tiles/{name}")


def _write_regions(run: PublishedRun, storage: Storage) -> bool:
    """Write the table of regions, and an outline of each in a file of its own; return whether there are any."""
    remove_folder(storage, FOLDER)
    if not has_regions(run):
        return False
    for place, outline in outlines_of(run):
        storage.put(f"{FOLDER}/{place}.json", json.dumps(outline, separators=(",", ":")).encode())
    storage.put("regions.json", json.dumps(regions_of(run), separators=(",", ":")).encode())
    return True


def _write_sites(run: ShownRun, storage: Storage) -> dict[str, Any] | None:
    """Write the polygons of a map, a file for each tile that has any; return where they are."""
    remove_folder(storage, "sites")
    if not has_sites(run.run):
        return None
    there = []
    for (x, y), found in all_sites(run.run, run.bounds):
        storage.put(f"sites/{x}/{y}.json", json.dumps(found, separators=(",", ":")).encode())
        there.append(f"{x}/{y}")
    return {"zoom": ZOOM, "there": there}


def _outlines(run: ShownRun) -> list[dict[str, Any]]:
    """Return the scenes with a ring of longitudes and latitudes around each, as far as that is known."""
    imagery = next((layer.imagery for layer in run.layers if isinstance(layer, ImageryLayer)), None)
    known = {} if imagery is None else {one.store.id: one.outline for one in imagery.scenes}
    rings = ((one, one.get("outline") or known.get(one["id"])) for one in run.run.record["scenes"])
    return [{"id": one["id"], "acquired": one["acquired"], "outline": ring} for one, ring in rings if ring]
