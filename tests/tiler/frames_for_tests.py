"""Frame stores made from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tiler.frame_store import BLOCK_SLOTS, FrameLayout, fill_frames, make_frame_store
from tiler.stores import open_group


def write_frames(
    folder: Path,
    images: np.ndarray,
    valid: np.ndarray | None,
    times: np.ndarray | Sequence[str],
    bands: Sequence[str],
    *,
    series: str = "coms",
    step_s: int = 10800,
    phase_s: int = 0,
    scale: Sequence[float] | None = None,
) -> str:
    """Write images (n, band, y, x) as a frame store below a folder and return its address.

    Times must be multiples of the step; valid None means that nothing is missing.
    """
    whole = np.ones(images.shape, bool) if valid is None else valid
    clock = np.asarray(times, "datetime64[s]")
    height, width = images.shape[2:]
    largest = 255.0 if images.dtype == np.uint8 else float(max(1, images.max()))
    scales = tuple(scale or (largest,) * len(bands))

    def layout(first_slot: int) -> FrameLayout:
        form = (series, series.upper(), tuple(bands), height, width, str(images.dtype), step_s, phase_s)
        return FrameLayout(*form, first_slot, (0.0,) * len(bands), scales)

    slots = layout(0).slots_of(clock)
    assert (layout(0).times_of(slots) == clock).all(), "times must lie on the step"
    first = int(slots.min()) // BLOCK_SLOTS * BLOCK_SLOTS
    blocks = (int(slots.max()) - first) // BLOCK_SLOTS + 1
    url = str(folder / f"{series}.zarr")
    make_frame_store(url, layout(first), blocks)
    group = open_group(url)
    for block in np.unique((slots - first) // BLOCK_SLOTS).tolist():
        inside = np.flatnonzero((slots - first) // BLOCK_SLOTS == block)
        inside = inside[np.argsort(slots[inside])]
        places = (slots[inside] - first) % BLOCK_SLOTS
        fill_frames(group, block, places.tolist(), images[inside], whole[inside], made_of=block + 1)
    return url
