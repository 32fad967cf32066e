"""A map that is too large for one file: sheets of whole cells, and one virtual raster for each product over them.

FOLDER/class.vrt                           the whole, for every tool that knows GDAL
FOLDER/sheets/r-3_c7/class.tif             a sheet: the same place in every run, by its row and column
FOLDER/sheets/r-3_c7/r-3_c7.json           its STAC item
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

from jobs.map_config import PublishConfig
from jobs.products import is_empty, products_of, write_product, write_products
from tiler.cog import BandStatistics
from tiler.grids import CELL_PX, Box
from tiler.map_store import MapStore
from tiler.product_specs import specs_of
from tiler.vrt import VrtPart, write_vrt

FOLDER = "sheets"


@dataclass(frozen=True)
class Sheet:
    """A part of a map that has files of its own."""

    name: str
    """`r<row>_c<column>` among sheets of this side, which begin at the grid's own origin."""
    box: Box
    """Absolute map pixels, within the map."""


@dataclass(frozen=True)
class Written:
    """The rasters of a map."""

    products: dict[str, Path]
    """Product name to the file of the whole."""
    sheets: dict[Sheet, dict[str, Path]] = field(default_factory=dict)
    """The sheets, each with its files by product name; none where products are one file."""


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


def write_sheets(
    store: MapStore, folder: Path, threshold: float, tags: dict[str, str], sheet_cells: int, threads: int = 1
) -> Written:
    """Write every product of a map in sheets, and a virtual raster over them; sheets that nobody saw are left out.

    Args:
        store: the map.
        folder: where the files go.
        threshold: probability from which a pixel is of the class.
        tags: written into every file.
        sheet_cells: side of a sheet in cells.
        threads: cores that may be used: so many files are written at once.
    """
    names = products_of(store.uncertainty)
    sheets = [sheet for sheet in sheets_of(store.extent, sheet_cells) if not is_empty(store, sheet.box)]
    files = {sheet: {name: folder / FOLDER / sheet.name / f"{name}.tif" for name in names} for sheet in sheets}

    def write(one: tuple[Sheet, str]) -> tuple[BandStatistics, ...]:
        sheet, name = one
        return write_product(store, name, sheet.box, files[sheet][name], threshold, tags, threads)

    with ThreadPoolExecutor(threads, "sheets") as pool:
        found = {name: list(pool.map(write, ((sheet, name) for sheet in sheets))) for name in names}
    grid, specs = store.grid.grid_of(store.extent), specs_of(store.classes)
    whole: dict[str, Path] = {}
    for name in names:
        whole[name] = folder / f"{name}.vrt"
        write_vrt(
            whole[name],
            replace(specs[name], tags={**specs[name].tags, **tags}),
            height=grid.height,
            width=grid.width,
            crs=grid.pyproj_crs.to_wkt(),
            transform=grid.affine,
            parts=[
                VrtPart(f"{FOLDER}/{sheet.name}/{name}.tif", sheet.box.shift(-store.extent.y0, -store.extent.x0))
                for sheet in sheets
            ],
            statistics=[reduce(BandStatistics.merge, band) for band in zip(*found[name], strict=True)],
        )
    return Written(whole, files)


def write_rasters(
    store: MapStore, folder: Path, threshold: float, tags: dict[str, str], settings: PublishConfig, threads: int = 1
) -> Written:
    """Write every product of a map, as one file each or in sheets, by the size of the map; as `write_sheets`."""
    if in_sheets(store.extent, settings):
        return write_sheets(store, folder, threshold, tags, settings.sheet_cells, threads)
    return Written(write_products(store, folder, threshold, tags, threads))
