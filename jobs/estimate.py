"""What a stage will cost, before it is started: units, bytes, memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models.card import Card
from tiler.lattice import Lattice

BASE_MEMORY_BYTES = 250 * 2**20
"""A worker with numpy, zarr, rasterio and Ray loaded, as measured."""
TORCH_MEMORY_BYTES = 650 * 2**20
"""What torch and the networks' libraries add, as measured."""
IN_FLIGHT = 2
"""Units that a worker holds at once: one is read or written while another computes."""
INGEST_IN_FLIGHT = 3
"""Of Ingest: one more, because a unit that is flushed to the disk waits and computes nothing."""
ACTIVATION_BYTES_PER_PIXEL = {"unet": 420, "unetplusplus": 800, "deeplabv3plus": 420}
"""Live activations of one view of one pixel in fp32, by architecture, of bundles whose card does not say: those of
EfficientNet-B5, rounded up."""
HALF_PRECISION_SHARE = 0.65
"""Of these, in bf16: some layers still hold float32."""
KEPT = 2.0
"""Memory of a pass that a worker keeps, to what is live in it: libraries need some, too, and the next pass finds it in
pieces that fit or not. Two passes at once took 2.2 to 2.6 (U-Net, U-Net++; bf16, fp32), one 1.1 at most."""
PUBLISH_MEMORY_BYTES = 352 * 2**20
"""What Publish holds whatever it writes: GDAL's cache of 64 MiB, its tables, compiled loops, and what is left between
pieces of memory; as measured."""
COMPRESSION_BYTES = 5 * 2**20
"""A thread of GDAL that compresses one product: its blocks of 512 px, raw and encoded, that wait; as measured."""
STATISTICS_AT_ONCE = 4
"""Cells that are summed by region at once, at most."""
REGIONS_MEMORY_BYTES = 200 * 2**20
"""The districts of a country, some hundred thousand points, as they are read, repaired and cut; as measured."""
OUTLINE_MEMORY_BYTES = 150 * 2**20
"""Outlines and sites of some hundred thousand polygons on their way to a file, as measured."""
RAY_MEMORY_BYTES = 900 * 2**20
"""Ray's own processes on one machine, as measured."""


@dataclass(frozen=True)
class Expected:
    """How long the rest of a stage will take."""

    seconds: float | None
    """None where nothing was measured that could tell."""
    known_from: str
    """For people: what was measured; or why it is not known."""


@dataclass(frozen=True)
class Estimate:
    """One stage of a plan."""

    stage: str
    units: int
    unit: str
    """What a unit is: "shards", "windows"."""
    done: int
    read_bytes: int
    """Of the units that are left."""
    write_bytes: int
    """Of the units that are left, before compression."""
    peak_memory_bytes: int
    """Of one worker."""
    folder: str = ""
    """Local folder that is written to; empty for object stores."""
    notes: tuple[str, ...] = ()
    workers_at_most: int | None = None
    """Workers that do the stage at once, if the engine's number is not what counts."""
    time: Expected | None = None
    """None for what has no units whose time could be measured."""


def ingest_memory(shard_px: int, bands: int, itemsize: int) -> int:
    """Return the expected peak of a worker of Ingest: image, masks and copies of one shard."""
    return BASE_MEMORY_BYTES + INGEST_IN_FLIGHT * shard_px**2 * (bands * (2 * itemsize + 2) + 24)


def coarse_memory(values: int) -> int:
    """Return the expected peak of a worker of Ingest that closes a scene with so many coarse values.

    They are held as they are read and as they are stored, and then as the float64 of which moments are taken.
    """
    return BASE_MEMORY_BYTES + IN_FLIGHT * values * 32


def infer_memory(
    lattice: Lattice,
    *,
    bands: int,
    itemsize: int,
    coarse: int,
    layers: int,
    tiles_per_pass: int,
    passes: int = 1,
    activation_bytes: float,
    weight_bytes: int,
) -> int:
    """Return the expected peak of a worker of Infer.

    It holds the pixels under its units as they are stored (and once more while they are decoded), whole windows in
    all layers in float16 (as computed, as the block of a shard, and encoded), one pass, and the weights (as a
    file, and as a network).

    Args:
        lattice: the windows of the largest scene.
        bands: of the sensor, stored with `itemsize` bytes a pixel.
        itemsize: bytes of a stored value.
        coarse: channels of coarse modalities.
        layers: of a window.
        tiles_per_pass: windows times views of one forward pass.
        passes: that are computed at once.
        activation_bytes: of one pixel of one tile.
        weight_bytes: of all networks.
    """
    count, tile = lattice.shard_windows, lattice.tile_px
    region = ((count - 1) * lattice.stride_px + tile) ** 2
    read = region * (2 * (bands * itemsize + 1) + 4 * coarse)
    written = 3 * count**2 * tile**2 * layers * 2
    live = int((KEPT + passes - 1) * tiles_per_pass * tile**2 * activation_bytes)
    return BASE_MEMORY_BYTES + TORCH_MEMORY_BYTES + IN_FLIGHT * (read + written) + live + 2 * weight_bytes


def activation_bytes(cards: Iterable[Card], precision: str) -> float:
    """Return bytes of live activations a pixel of one tile, of the hungriest of some networks."""
    most = max(ACTIVATION_BYTES_PER_PIXEL.values())
    fp32 = max(
        ACTIVATION_BYTES_PER_PIXEL.get(card.architecture, most)
        if card.activation_bytes is None
        else card.activation_bytes
        for card in cards
    )
    return fp32 if precision == "fp32" else fp32 * HALF_PRECISION_SHARE


def mosaic_memory(cell_px: int, layers: int) -> int:
    """Return the expected peak of a worker of Mosaic: sums of a cell, and one scene's blended and warped part of it."""
    return BASE_MEMORY_BYTES + IN_FLIGHT * cell_px**2 * (layers * 16 + 32)


def publish_memory(cell_px: int, bands: int, cores: int, rasters: int) -> int:
    """Return the expected peak of the process that publishes.

    As many rasters (products of the map, or of its sheets) as there are cores are written at once, each from one cell's
    layer: as it is stored, as it is read and as it is written, float32; and GDAL compresses each on all cores.
    """
    at_once = min(cores, rasters)
    layer = 3 * bands * cell_px**2 * 4
    return BASE_MEMORY_BYTES + PUBLISH_MEMORY_BYTES + at_once * (layer + cores * COMPRESSION_BYTES)


def statistics_memory(cell_px: int, classes: int, cores: int) -> int:
    """Return the expected peak of the process that sums a map by region.

    A cell at a time on each of at most four cores: its logits as they are read (and half of them as they are decoded or
    compared), and in float64 its areas, what regions cover, and the sums of one region, of which not all are there at
    the same time.
    """
    return BASE_MEMORY_BYTES + min(cores, STATISTICS_AT_ONCE) * cell_px**2 * (6 * classes + 20)


def polygons_memory(cell_px: int, classes: int) -> int:
    """Return the expected peak of the process that draws polygons.

    One cell: logits and spreads as they are stored, read and chosen from, float32; classes, labels, counts and dates;
    areas in float64, and once more while they are computed; which site of an earlier map a pixel lies in, and the
    outlines of those. And the layers of the next cell, which is read meanwhile.
    """
    return BASE_MEMORY_BYTES + OUTLINE_MEMORY_BYTES + cell_px**2 * (2 * classes * 5 * 4 + 108)


def format_bytes(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(value, 1) < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
