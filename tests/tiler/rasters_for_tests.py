"""Small raster files and grids for the tests: never square, never at the origin."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from tiler.grids import PixelGrid

UTM52 = "EPSG:32652"
TRANSFORM = Affine(10.0, 0.0, 321_450.0, 0.0, -12.0, 4_123_476.0)


def write_tif(path, array: np.ndarray, *, crs=UTM52, transform=TRANSFORM, nodata=None, **options) -> str:
    """Write (band, y, x) or (y, x) as GeoTIFF; `crs=None, transform=None` leaves it without a place."""
    array = array[None] if array.ndim == 2 else array
    options = {"driver": "GTiff", "count": len(array), "dtype": array.dtype, "nodata": nodata, **options}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        place = {"crs": crs, "transform": transform} if transform is not None else {}
        with rasterio.open(path, "w", height=array.shape[1], width=array.shape[2], **place, **options) as data:
            data.write(array)
    return str(path)


def moved(rows: float, cols: float, transform: Affine = TRANSFORM) -> Affine:
    """Return a transform whose origin lies `rows` and `cols` pixels further."""
    x, y = transform @ (cols, rows)
    return Affine(transform.a, transform.b, x, transform.d, transform.e, y)


def grid(height: int, width: int, transform: Affine = TRANSFORM, crs: str = UTM52) -> PixelGrid:
    """Return a pixel grid of that size."""
    return PixelGrid(crs, tuple(transform)[:6], height, width)


def numbers(*shape: int, low: int = 1, high: int = 9000, dtype="uint16", seed: int = 3) -> np.ndarray:
    """Return reproducible pixels that all differ from zero."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)
