"""A map that is too large for one file: sheets of whole cells, and one virtual raster for each product over them.

FOLDER/class.vrt                           the whole, for every tool that knows GDAL
FOLDER/sheets/r-3_c7/class.tif             a sheet: the same place in every run, by its row and column
FOLDER/sheets/r-3_c7/r-3_c7.json           its STAC item
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TypeVar

from cluster.heap import giving_memory_back
from cluster.storage import Storage
from jobs.map_config import PublishConfig
from jobs.products import is_empty, products_of, write_product
from jobs.progress_file import shown
from jobs.rasters import STAGE, FinishedRasters, Raster, RasterFile
from jobs.supervise import supervision
from tiler.cog import BandStatistics
from tiler.grids import CELL_PX, Box
from tiler.map_store import MapStore
from tiler.product_specs import specs_of
from tiler.vrt import SUFFIX, VrtPart, write_vrt

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Sheet:
    """A part of a map that has files of its own; one without a name is the whole."""

    name: str
    """`r<row>_c<column>` among sheets of this side, which begin at the grid's own origin."""
    box: Box
    """Absolute map pixels, within the map."""


@dataclass(frozen=True)
class Written:
    """The rasters of a map."""

    products: dict[str, RasterFile]
    """Product name to the file of the whole."""
    sheets: dict[Sheet, dict[str, RasterFile]] = field(default_factory=dict)
    """The sheets, each with its files by product name; none where products are one file."""

    @property
    def statistics(self) -> dict[str, tuple[BandStatistics, ...]]:
        """Address of every file to the statistics of its bands."""
        return {file.href: file.statistics for file in self._files()}

    @property
    def kept_bytes(self) -> int:
        """Bytes of the files that an earlier run had written."""
        return sum(file.size_bytes for file in self._files() if file.kept)

    @property
    def share_written(self) -> float:
        """Share of the GeoTIFFs that were written now; 1 where there are none."""
        kept = [file.kept for file in self._files() if not file.href.endswith(SUFFIX)]
        return 1 - sum(kept) / len(kept) if kept else 1.0

    def _files(self) -> Iterator[RasterFile]:
        for some in (self.products, *self.sheets.values()):
            yield from some.values()


def in_sheets(extent: Box, settings: PublishConfig) -> bool:
    """Whether a map is too large for one file."""
    return max(extent.height, extent.width) > settings.one_file_px


def sheets_of(extent: Box, sheet_cells: int) -> Iterator[Sheet]:
    """Yield the sheets that cover a map, row by row.

    Args:
        extent: absolute map pixels.
        sheet_cells: side of a sheet in cells.
    """
    side = sheet_cells * CELL_PX
    for row in range(extent.y0 // side, -(-extent.y1 // side)):
        for col in range(extent.x0 // side, -(-extent.x1 // side)):
            box = Box(row * side, col * side, (row + 1) * side, (col + 1) * side)
            yield Sheet(f"r{row}_c{col}", box.clip(extent))


def raster_count(extent: Box, settings: PublishConfig, products: int) -> int:
    """Return how many rasters a map has at most: sheets that nobody saw have none, and are not known beforehand."""
    return products * (sum(1 for _ in sheets_of(extent, settings.sheet_cells)) if in_sheets(extent, settings) else 1)


def write_rasters(
    store: MapStore,
    finished: FinishedRasters,
    threshold: float,
    tags: Mapping[str, str],
    settings: PublishConfig,
    threads: int = 1,
) -> Written:
    """Write every product of a map: one file each, or sheets with a virtual raster over them, by the size of the map.

    Sheets that nobody saw are left out. Rasters that are finished are not written again.

    Args:
        store: the map.
        finished: what there is of it, and where files go.
        threshold: probability from which a pixel is of the class.
        tags: written into every file.
        settings: up to which size a product is one file, and how large sheets are.
        threads: cores that may be used: so many rasters are written at once.
    """
    names = products_of(store.uncertainty)

    def write(raster: Raster) -> RasterFile:
        path = finished.folder / raster.href
        return finished.add(raster, write_product(store, raster.product, raster.box, path, threshold, tags, threads))

    with giving_memory_back(), ThreadPoolExecutor(threads, "rasters") as pool:
        if in_sheets(store.extent, settings):
            sheets = _seen_sheets(pool, store, finished, list(sheets_of(store.extent, settings.sheet_cells)), names)
        else:
            sheets = [Sheet("", store.extent)]
        # sheet by sheet, not product by product: then the time that is left is told from all kinds of rasters
        rasters = [raster for sheet in sheets for raster in rasters_of(sheet, names)]
        files = _kept(pool, finished, rasters)
        todo = [raster for raster in rasters if raster not in files]
        files |= _each(pool, finished.storage, write, todo, "rasters", restored=len(files))
    if not in_sheets(store.extent, settings):
        return Written({raster.product: files[raster] for raster in rasters})
    by_sheet = {sheet: {one.product: files[one] for one in rasters_of(sheet, names)} for sheet in sheets}
    return Written({name: _over(store, finished.folder, name, tags, by_sheet) for name in names}, by_sheet)


def rasters_of(sheet: Sheet, names: Iterable[str]) -> list[Raster]:
    """Return the rasters of a sheet."""
    return [Raster(name, sheet.box, sheet.name) for name in names]


def _seen_sheets(
    pool: ThreadPoolExecutor, store: MapStore, finished: FinishedRasters, sheets: Sequence[Sheet], names: Sequence[str]
) -> list[Sheet]:
    """Return the sheets of which some scene saw a pixel; what is known of a sheet already is not read again."""

    def seen(sheet: Sheet) -> bool:
        if finished.is_known_empty(sheet.name):
            return False
        if any(map(finished.is_marked, rasters_of(sheet, names))) or not is_empty(store, sheet.box):
            return True
        finished.add_empty(sheet.name)
        return False

    found = _each(pool, finished.storage, seen, sheets, "sheets looked at")
    return [sheet for sheet in sheets if found[sheet]]


def _kept(pool: ThreadPoolExecutor, finished: FinishedRasters, rasters: Sequence[Raster]) -> dict[Raster, RasterFile]:
    """Return the files that an earlier run finished, and that are whole."""
    marked = [raster for raster in rasters if finished.is_marked(raster)]
    if not marked:
        return {}
    found = _each(pool, finished.storage, finished.find, marked, "finished rasters looked at")
    return {raster: file for raster, file in found.items() if file is not None}


def _each(
    pool: ThreadPoolExecutor, storage: Storage, work: Callable[[T], R], items: Sequence[T], unit: str, restored: int = 0
) -> dict[T, R]:
    """Work on each of some items, with a line of progress; after an error, or a request to end, nothing more is begun.

    Raises:
        Stopped: the run was asked to end; what is worked on then is finished by the end of the pool.
    """
    found: dict[T, R] = {}
    with (
        supervision().stage(STAGE) as stop,
        shown(storage, restored + len(items), STAGE, unit=unit, restored=restored) as progress,
    ):
        futures = {pool.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                progress.advance()
                if stop.requested:
                    break
        finally:
            for future in futures:
                future.cancel()
    return found


def _over(
    store: MapStore,
    folder: Path,
    name: str,
    tags: Mapping[str, str],
    sheets: Mapping[Sheet, Mapping[str, RasterFile]],
) -> RasterFile:
    """Write the virtual raster of a product over its sheets."""
    grid, spec = store.grid.grid_of(store.extent), specs_of(store.classes)[name]
    files = {sheet: found[name] for sheet, found in sheets.items()}
    statistics = tuple(
        reduce(BandStatistics.merge, band) for band in zip(*(f.statistics for f in files.values()), strict=True)
    )
    write_vrt(
        folder / f"{name}{SUFFIX}",
        replace(spec, tags={**spec.tags, **tags}),
        height=grid.height,
        width=grid.width,
        crs=grid.pyproj_crs.to_wkt(),
        transform=grid.affine,
        parts=[
            VrtPart(file.href, sheet.box.shift(-store.extent.y0, -store.extent.x0)) for sheet, file in files.items()
        ],
        statistics=statistics,
    )
    return RasterFile.of(folder, f"{name}{SUFFIX}", statistics)
