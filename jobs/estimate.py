"""What a stage will cost, before it is started: units, bytes, memory."""

from __future__ import annotations

from dataclasses import dataclass

BASE_MEMORY_BYTES = 250 * 2**20
"""A worker with numpy, zarr, rasterio and Ray loaded, as measured."""
TORCH_MEMORY_BYTES = 550 * 2**20
"""What torch and the networks' libraries add, as measured."""
IN_FLIGHT = 2
"""Units that a worker holds at once: one is read or written while another computes."""
ACTIVATION_BYTES_PER_PIXEL = 900
"""Live activations of one view of one pixel: measured at 512 px with U-Net++ and DeepLabV3+, rounded up."""


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


def ingest_memory(shard_px: int, bands: int, itemsize: int) -> int:
    """Return the expected peak of a worker of Ingest: image, masks and copies of one shard."""
    return BASE_MEMORY_BYTES + IN_FLIGHT * shard_px**2 * (bands * (2 * itemsize + 2) + 24)


def coarse_memory(values: int) -> int:
    """Return the expected peak of a worker of Ingest that closes a scene with so many coarse values.

    They are held as they are read and as they are stored, and then as the float64 of which moments are taken.
    """
    return BASE_MEMORY_BYTES + IN_FLIGHT * values * 32


def infer_memory(tile_px: int, channels: int, shard_windows: int, batch: int, views: int, weight_bytes: int) -> int:
    """Return the expected peak of a worker of Infer: weights, tiles of its units, one batch in all its views."""
    tiles = IN_FLIGHT * shard_windows**2 * channels * tile_px**2 * 4 * 4  # region, tiles, tensors and results
    return (
        BASE_MEMORY_BYTES
        + TORCH_MEMORY_BYTES
        + weight_bytes
        + tiles
        + batch * views * tile_px**2 * ACTIVATION_BYTES_PER_PIXEL
    )


def mosaic_memory(cell_px: int, classes: int) -> int:
    """Return the expected peak of a worker of Mosaic: sums of a cell, and one scene's blended and warped part of it."""
    return BASE_MEMORY_BYTES + IN_FLIGHT * cell_px**2 * (2 * classes * 20 + 48)


def format_bytes(count: int) -> str:
    """Return a number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if round(value, 1) < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError
