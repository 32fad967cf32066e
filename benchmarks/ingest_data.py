"""A Sentinel-2 granule of the synthetic country for benchmarks/ingest.py, as both kinds of files that one comes in.

Four bands of 10 m, uint16, a twentieth of the width beyond the swath, one file a band:

    cog/B04.tif ...   as on the clouds: tiles of 1,024 px, deflate with predictor, overviews
    jp2/B04.jp2 ...   as from ESA: JPEG 2000 without loss, tiles of 1,024 px
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.windows import Window

from tiler.grids import Box, PixelGrid
from tiler.synthetic import Acquisition, Country
from tiler.synthetic.render import render

BANDS = {"red": "B04", "green": "B03", "blue": "B02", "nir": "B08"}
"""Name of the sensor's band to that of the file."""
GRANULE_PX = 10_980
CORNER = (300_000.0, 4_100_040.0)
"""Upper left corner of granule 52SCF, metres of EPSG:32652."""
TILE_PX = 1024
FORMATS = {"cog": "tif", "jp2": "jp2"}
"""Kind of file to suffix."""
HOW = Acquisition("SN10", date(2024, 5, 1), edge=0.05)


@dataclass(frozen=True)
class Granule:
    """Where a granule of some size lies."""

    folder: Path
    side_px: int

    @property
    def grid(self) -> PixelGrid:
        """Its pixels."""
        return PixelGrid("EPSG:32652", (10.0, 0.0, CORNER[0], 0.0, -10.0, CORNER[1]), self.side_px, self.side_px)

    def files(self, kind: str) -> dict[str, Path]:
        """Return band name to file, in the order of the sensor."""
        return {band: self.folder / kind / f"{name}.{FORMATS[kind]}" for band, name in BANDS.items()}

    def boxes(self, side_px: int) -> list[Box]:
        """Cut it into squares, row by row."""
        starts = range(0, self.side_px, side_px)
        return [Box(y, x, y + side_px, x + side_px).clip(self.grid.box) for y in starts for x in starts]


@lru_cache(maxsize=1)
def _country() -> Country:
    return Country(1)


def _draw(work: tuple[Granule, Box]) -> np.ndarray:
    granule, box = work
    return render(_country(), granule.grid, HOW, box).image


def write_granule(granule: Granule, workers: int) -> None:
    """Write the files, unless they lie there already: some minutes, once."""
    done = granule.folder / "written"
    if done.is_file():
        return
    for kind in FORMATS:
        (granule.folder / kind).mkdir(parents=True, exist_ok=True)
    pixels = np.empty((len(BANDS), granule.side_px, granule.side_px), np.uint16)
    boxes = granule.boxes(512)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        drawn = pool.map(_draw, [(granule, box) for box in boxes], chunksize=4)
        for box, image in zip(boxes, drawn, strict=True):
            pixels[(slice(None), *box.slices)] = image
    for place, band in enumerate(BANDS):
        _write_band(granule, band, pixels[place])
    done.touch()


def _write_band(granule: Granule, band: str, pixels: np.ndarray) -> None:
    plain = granule.folder / "plain.tif"
    size = {"height": granule.side_px, "width": granule.side_px, "crs": granule.grid.crs}
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "transform": granule.grid.affine, **size}
    with rasterio.open(plain, "w", tiled=True, blockxsize=TILE_PX, blockysize=TILE_PX, **profile) as file:
        file.write(pixels, 1, window=Window(0, 0, granule.side_px, granule.side_px))
    cog = {"compress": "deflate", "predictor": "yes", "blocksize": TILE_PX, "num_threads": "all_cpus"}
    rasterio.shutil.copy(plain, granule.files("cog")[band], driver="COG", **cog)
    lossless = {"quality": 100, "reversible": "yes", "blockxsize": TILE_PX, "blockysize": TILE_PX}
    rasterio.shutil.copy(plain, granule.files("jp2")[band], driver="JP2OpenJPEG", **lossless)
    plain.unlink()
