"""Products: the layers of the map store as Cloud-Optimized GeoTIFFs, streamed block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from tiler.ahead import ahead
from tiler.classes import NO_CLASS, value_names
from tiler.cog import BandStatistics, write_cog
from tiler.doubt import doubts_of
from tiler.grids import CELL_PX, Box, MapGrid
from tiler.map_store import DOUBTS, MapStore
from tiler.product_specs import UNCERTAINTY, specs_of
from tiler.stores import CHUNK_PX

PROBABILITY_BINS = 50


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logit)) in float32, without overflow; NaN stays NaN."""
    values = np.multiply(logit, 0.5, dtype=np.float32)
    np.tanh(values, out=values)
    values += 1
    values *= 0.5
    return values


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return exp(l_k) / sum over j of exp(l_j) along the first axis, in float32, without overflow; NaN stays NaN."""
    powers = np.subtract(logits, logits.max(axis=0), dtype=np.float32)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=0)
    return powers


def probability_of(logits: np.ndarray) -> np.ndarray:
    """Return the probability of mean logits (class, y, x), float32, NaN where no scene saw the pixel.

    One class beside background: its sigmoid (y, x). Several: the softmax (class, y, x).
    """
    return sigmoid(logits[0]) if len(logits) == 1 else softmax(logits)


def probability_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return `probability_of` a part of a map."""
    del threshold
    return probability_of(store.read("logit", box))


def positive_probability(probability: np.ndarray) -> np.ndarray:
    """Return one plane (y, x) of a probability layer: of the class, or of the most probable one but background."""
    return probability if probability.ndim == 2 else np.asarray(probability[1:].max(axis=0))


def class_of(logits: np.ndarray, threshold: float) -> np.ndarray:
    """Return the class of mean logits (class, y, x), uint8 (y, x), 255 where nothing was seen.

    One class beside background: 1 where its probability reaches the threshold, 0 elsewhere. Several: the place of the
    most probable one, of equal ones the first; the threshold plays no part.
    """
    if len(logits) > 1:
        return np.where(np.isnan(logits).any(axis=0), np.uint8(NO_CLASS), logits.argmax(axis=0).astype(np.uint8))
    logit = logits[0]
    with np.errstate(invalid="ignore"):
        inside = logit >= np.float32(np.log(threshold / (1 - threshold)))
    return np.where(np.isnan(logit), np.uint8(NO_CLASS), inside.astype(np.uint8))


def class_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return `class_of` a part of a map."""
    return class_of(store.read("logit", box), threshold)


def spread_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return the standard deviation of the logits over networks and views, float32, NaN where nothing was seen.

    (y, x) for one class beside background, (class, y, x) for several.
    """
    del threshold
    spread = store.read("spread", box)
    return np.asarray(spread[0] if len(spread) == 1 else spread)


def count_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return uint16 (y, x): how many scenes saw the pixel."""
    del threshold
    return store.read("count", box)


def latest_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return int32 (y, x): days since 1970-01-01 of the latest scene that saw the pixel, the least int32 for none."""
    del threshold
    return store.read("latest", box)


def uncertainty_layer(store: MapStore, box: Box, threshold: float) -> np.ndarray:
    """Return `tiler.doubt.doubts_of` a part of a map, float32 (3, y, x); some rows at a time, for their logarithms."""
    del threshold
    out = np.empty((len(UNCERTAINTY.bands), box.height, box.width), np.float32)
    for start in range(box.y0, box.y1, CHUNK_PX):
        rows = replace(box, y0=start, y1=min(start + CHUNK_PX, box.y1))
        out[:, rows.y0 - box.y0 : rows.y1 - box.y0] = doubts_of(*(store.read(name, rows) for name in DOUBTS))
    return out


LAYERS: dict[str, Callable[[MapStore, Box, float], np.ndarray]] = {
    "probability": probability_layer,
    "class": class_layer,
    "spread": spread_layer,
    "count": count_layer,
    "latest": latest_layer,
    "uncertainty": uncertainty_layer,
}
"""Product (a file `NAME.tif`, described in `tiler.product_specs.PRODUCTS`) to what reads a block of it."""


def products_of(uncertainty: bool) -> list[str]:
    """Return the products that a map has."""
    return [name for name in LAYERS if uncertainty or name != UNCERTAINTY.name]


@dataclass(frozen=True)
class MapNumbers:
    """What the map says in numbers."""

    seen_px: int
    positive_px: int
    """Of any class but background."""
    class_px: dict[str, int]
    """Name of each value of the class map, background first, to its pixels."""
    pixel_area_m2: float | None
    """None on a geographic grid, where it varies."""
    class_area_m2: dict[str, float] | None
    """As `class_px`; None on a geographic grid."""
    probability_counts: tuple[int, ...]
    """Pixels whose `positive_probability` lies in each of `PROBABILITY_BINS` equal bins from 0 to 1."""

    def to_json(self) -> dict:
        """Return plain values."""
        return asdict(self)


def written_parts(box: Box) -> Iterator[Box]:
    """Yield the parts of a rectangle of absolute map pixels that lie in one cell each, in the order to write them.

    Blocks of a raster begin at its corner, not at that of a cell: all parts of a block come one
    soon after the other, because GDAL's cache is not as wide as a country, and what left it has to be read again.
    """
    for y0 in range(box.y0, box.y1, CELL_PX):
        strip = replace(box, y0=y0, y1=min(y0 + CELL_PX, box.y1))
        yield from sorted(MapGrid.parts_of(strip), key=lambda part: part.x0)


def write_product(
    store: MapStore, name: str, box: Box, path: Path, threshold: float, tags: Mapping[str, str], threads: int = 1
) -> tuple[BandStatistics, ...]:
    """Write one product of a part of a map; return the statistics of its bands.

    Args:
        store: the map.
        name: a key of `LAYERS`.
        box: absolute map pixels.
        path: of the file, which appears whole or not at all.
        threshold: probability from which a pixel is of the class.
        tags: written into the file.
        threads: for compression.
    """
    grid, spec = store.grid.grid_of(box), specs_of(store.classes)[name]

    def block(part: Box) -> tuple[int, int, np.ndarray]:
        return part.y0 - box.y0, part.x0 - box.x0, LAYERS[name](store, part, threshold)

    return write_cog(
        path,
        replace(spec, tags={**spec.tags, **tags}),
        height=grid.height,
        width=grid.width,
        crs=grid.pyproj_crs.to_wkt(),
        transform=grid.affine,
        blocks=ahead(block, written_parts(box)),
        threads=threads,
    )


def is_empty(store: MapStore, box: Box | None = None) -> bool:
    """Whether no scene saw any pixel of a map, or of a part of it; reads no further than to the first that one did."""
    return not any(store.read("count", part).any() for part in MapGrid.parts_of(store.extent if box is None else box))


def map_numbers(store: MapStore, threshold: float) -> MapNumbers:
    """Count pixels and probabilities over the whole map, block by block."""
    from tiler.counts import count_shares

    names = value_names(store.classes)
    of_class, counts = np.zeros(NO_CLASS + 1, np.int64), np.zeros(PROBABILITY_BINS, np.int64)
    for box in MapGrid.parts_of(store.extent):
        logits = store.read("logit", box)
        count_shares(positive_probability(probability_of(logits)).ravel(), counts)
        of_class += np.bincount(class_of(logits, threshold).ravel(), minlength=NO_CLASS + 1)
    class_px = dict(zip(names, of_class.tolist(), strict=False))
    crs = store.grid.pixels.pyproj_crs
    unit = None if crs.is_geographic else crs.axis_info[0].unit_conversion_factor
    area = None if unit is None else store.grid.resolution[0] * store.grid.resolution[1] * unit**2
    return MapNumbers(
        seen_px=sum(class_px.values()),
        positive_px=sum(class_px.values()) - class_px[names[0]],
        class_px=class_px,
        pixel_area_m2=area,
        class_area_m2=None if area is None else {name: px * area for name, px in class_px.items()},
        probability_counts=tuple(counts.tolist()),
    )


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
