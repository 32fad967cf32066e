"""Products: the layers of the map store as Cloud-Optimized GeoTIFFs, streamed block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tiler.cog import PRODUCTS, write_cog
from tiler.grids import Box, MapGrid
from tiler.map_store import MapStore

PROBABILITY_BINS = 50


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logit)) in float32, without overflow; NaN stays NaN."""
    return (0.5 * (1.0 + np.tanh(0.5 * logit.astype(np.float32)))).astype(np.float32)


def blocks_of(extent: Box) -> Iterator[Box]:
    """Yield the parts of a rectangle of absolute map pixels that lie in one cell each, row by row."""
    for cell in MapGrid.cells_of(extent):
        yield MapGrid.box_of(cell).clip(extent)


def probability_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return float32 (y, x): the sigmoid of the mean logit, NaN where no scene saw the pixel."""
    del threshold
    return sigmoid(store.read("logit", box)[0])


def class_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return uint8 (y, x): 1 where the probability reaches the threshold, 0 elsewhere, 255 where nothing was seen."""
    logit = store.read("logit", box)[0]
    with np.errstate(invalid="ignore"):
        inside = logit >= np.float32(np.log(threshold / (1 - threshold)))
    return np.where(np.isnan(logit), np.uint8(255), inside.astype(np.uint8))


def spread_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return float32 (y, x): standard deviation of the logits over networks and views, NaN where nothing was seen."""
    del threshold
    return np.asarray(store.read("spread", box)[0])


def count_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return uint16 (y, x): how many scenes saw the pixel."""
    del threshold
    return store.read("count", box)


LAYERS: dict[str, Callable[[MapStore, Box, float], np.ndarray]] = {
    "probability": probability_layer,
    "class": class_layer,
    "spread": spread_layer,
    "count": count_layer,
}
"""Product (a file `NAME.tif`, described in `tiler.cog.PRODUCTS`) to what reads a block of it."""


@dataclass(frozen=True)
class MapNumbers:
    """What the map says in numbers."""

    seen_px: int
    positive_px: int
    pixel_area_m2: float | None
    """None on a geographic grid, where it varies."""
    probability_counts: tuple[int, ...]
    """Pixels in each of `PROBABILITY_BINS` equal bins from 0 to 1."""

    def to_json(self) -> dict:
        """Return plain values."""
        return asdict(self)


def write_products(store: MapStore, folder: Path, threshold: float, tags: dict[str, str]) -> dict[str, Path]:
    """Write every product of a map.

    Args:
        store: the map.
        folder: where the files go; each appears whole or not at all.
        threshold: probability from which a pixel is of the class.
        tags: written into every file.

    Returns:
        Product name to file.
    """
    from dataclasses import replace

    grid = store.grid.grid_of(store.extent)
    files = {}
    for name, layer in LAYERS.items():
        spec = PRODUCTS[name]
        files[name] = folder / f"{name}.tif"
        write_cog(
            files[name],
            replace(spec, tags={**spec.tags, **tags}),
            height=grid.height,
            width=grid.width,
            crs=grid.pyproj_crs.to_wkt(),
            transform=grid.affine,
            blocks=(
                (box.y0 - store.extent.y0, box.x0 - store.extent.x0, layer(store, box, threshold))
                for box in blocks_of(store.extent)
            ),
        )
    return files


def map_numbers(store: MapStore, threshold: float) -> MapNumbers:
    """Count pixels and probabilities over the whole map, block by block."""
    seen = positive = 0
    counts = np.zeros(PROBABILITY_BINS, np.int64)
    for box in blocks_of(store.extent):
        probability = probability_layer(store, box, threshold)
        known = probability[~np.isnan(probability)]
        seen += known.size
        positive += int((class_layer(store, box, threshold) == 1).sum())
        counts += np.histogram(known, PROBABILITY_BINS, (0.0, 1.0))[0]
    crs = store.grid.pixels.pyproj_crs
    unit = None if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    area = None if unit is None else store.grid.resolution[0] * store.grid.resolution[1] * unit**2
    return MapNumbers(seen, positive, area, tuple(counts.tolist()))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
