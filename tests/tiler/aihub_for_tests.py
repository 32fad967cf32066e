"""A small delivery in the layout of AI-Hub 71805, sizes apart."""

from pathlib import Path

import numpy as np

from tests.tiler.rasters_for_tests import moved, numbers, write_tif

SIDE, TILES = 24, 5


def missing_pixels(index: int) -> int:
    """Return how many pixels of tile `index` are zero in one band: 0 %, 15 %, 30 %, 30.2 % and 100 %."""
    return [0, 86, 173, 174, SIDE * SIDE][index]


def write_delivery(folder: Path) -> Path:
    """Write five tiles: four of training, one of validation without any valid pixel; tile 2 has no GEMS raster."""
    for index in range(TILES):
        split = "T" if index < 4 else "V"
        name = f"SN10_CHN_{index:05d}_230409.tif"
        image = numbers(4, SIDE, SIDE, seed=index)
        image[index % 4].flat[: missing_pixels(index)] = 0
        write_tif(folder / f"{split}S_SN10_SN10/{name}", image, crs=None, transform=None)
        label = np.full((SIDE, SIDE), 90, np.int8)
        label[: 3 + index] = 10
        label[-1] = 7
        write_tif(folder / f"{split}L_SN10/{name}", label, transform=moved(0, 100 * index))
        if index != 2:
            gems = numbers(10, 6, 6, seed=50 + index).astype(np.float32)
            gems[3, 1, 2] = -999
            write_tif(folder / f"{split}S_SN10_GEMS/{name}", gems, crs=None, transform=None, nodata=-999)
    return folder
