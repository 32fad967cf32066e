"""Frame stores made from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

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


def kma_name(sensor: str, band: str, time: np.datetime64, suffix: str = "png") -> str:
    """Return a file name as KMA gives them: `coms_mi_le1b_ir1_ch1_cn_201103030645.png`, `gk2a_ami_le1b_ir105_...`."""
    instrument, area = ("mi", "ea040ps") if sensor == "coms" else ("ami", "ea020lc")
    minute = str(time.astype("datetime64[m]")).translate({ord(sign): None for sign in "-:T"})
    return f"{sensor}_{instrument}_le1b_{band}_{area}_{minute}.{suffix}"


def write_pngs(
    folder: Path, images: np.ndarray, times: np.ndarray, bands: Sequence[str], sensor: str = "coms"
) -> list[Path]:
    """Write images (n, band, y, x) as one grey PNG for each band and time, in a folder for each day."""
    paths = []
    for image, time in zip(images, times, strict=True):
        for plane, band in zip(image, bands, strict=True):
            path = folder / str(time.astype("datetime64[D]")) / kma_name(sensor, band, time)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane).save(path)
            paths.append(path)
    return paths


def plain_area_mean(values: np.ndarray, valid: np.ndarray, side: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what `tiler.frame_resize` must: every output pixel by itself, from the shares of the source pixels."""
    height, width = values.shape
    scale = min(height, width) / side
    y0, x0 = (height - side * scale) / 2, (width - side * scale) / 2
    down = _shares(height, y0, scale, side)
    across = _shares(width, x0, scale, side)
    means, good = np.zeros((side, side)), np.zeros((side, side), bool)
    for i in range(side):
        for j in range(side):
            weight = np.outer(down[i], across[j])
            known = weight[valid].sum()
            good[i, j] = known > 0 and known / weight.sum() >= least
            if good[i, j]:
                means[i, j] = (weight[valid] * values[valid]).sum() / known
    return means, good


def _shares(size: int, start: float, scale: float, side: int) -> np.ndarray:
    """Return how much of each of `size` pixels lies in each of `side` intervals."""
    edges = start + scale * np.arange(side + 1)
    pixel = np.arange(size)
    return np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, None)
