"""Lists of a frame series: every frame, every gap, and every file that is not part of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np

from cluster.storage import Storage
from jobs.lists import csv_bytes
from tiler.frame_index import FrameIndex
from tiler.frame_sheet import contact_sheet
from tiler.frame_store import FrameStore


def write_lists(storage: Storage, store: FrameStore, index: FrameIndex, damaged: Mapping[str, str]) -> None:
    """Write `frames.csv`, `unmatched.csv`, `quality.json` and `frames.png` into a run's folder."""
    storage.put("unmatched.csv", csv_bytes(("path", "reason"), index.unmatched))
    storage.put(
        "frames.csv", csv_bytes(("time", "bands", "missing_ratio", "damaged"), frame_rows(store, index, damaged))
    )
    facts = {
        "series": store.series,
        "bands": list(store.bands),
        "summary": index.summary(),
        "frames": len(store),
        "damaged": dict(damaged),
        "between_steps": index.between,
        "missing_ratio": {"mean": _rounded(store.missing_ratio.mean()), "largest": _rounded(store.missing_ratio.max())}
        if len(store)
        else None,
        "gaps": gaps(store),
    }
    storage.put("quality.json", json.dumps(facts, indent=1).encode())
    if len(store):
        storage.put("frames.png", contact_sheet(store))


def frame_rows(store: FrameStore, index: FrameIndex, damaged: Mapping[str, str]) -> Iterable[tuple[object, ...]]:
    """Yield time, bands of which there are files, missing ratio (none: not a frame) and damaged bands of every step."""
    ratio = dict(zip(store.times.tolist(), store.missing_ratio.tolist(), strict=True))
    by_slot: dict[int, list[str]] = {}
    bad: dict[int, list[str]] = {}
    for entry in index.entries:
        by_slot.setdefault(entry.slot, []).append(index.bands[entry.band])
        if entry.where in damaged:
            bad.setdefault(entry.slot, []).append(index.bands[entry.band])
    for slot, time in zip(index.slots.tolist(), index.times.tolist(), strict=True):
        known = ratio.get(time)
        shown = "" if known is None else f"{known:.6f}"
        yield time.isoformat(), " ".join(by_slot[slot]), shown, " ".join(bad.get(slot, []))


def gaps(store: FrameStore) -> list[dict[str, object]]:
    """Return the gaps of a series, in order: the last frame before each, and the steps that are missing."""
    steps = np.diff(store.times).astype(np.int64) // store.step_s
    return [{"after": str(store.times[at]), "steps": int(steps[at] - 1)} for at in np.flatnonzero(steps > 1)]


def _rounded(value: float) -> float:
    return round(float(value), 6)
