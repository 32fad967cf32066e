"""What does it cost to read chunks on a disk, by zarr, by zarrs and by Sandan?

    python benchmarks/read_chunks.py
    pip install zarrs                              it is left out where it is absent

Arrays as stages make them (shards of 4 x 4 chunks, lz4 with bitshuffle), in the page cache, each read as its stage
does. One thread reads; the pipelines may use one more. Nanoseconds of processor time a number that was asked for, the
median of the rounds; pipelines take turns.

    image, window     a window of 4 bands that is one chunk, as Embed reads it
    image, across     one that lies across four chunks, as Infer reads it at a border
    image, row        a row of 16 windows out of four shards
    valid, window     validity, all of it valid
    logits            four windows of a row out of a shard of Infer
    map               a cell of a float32 map
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from cluster.heap import keep_memory
from tiler.disk_pipeline import DiskPipeline, read_rectangle, use_disk_pipeline
from tiler.stores import add_array, write_shard

SIDE, CHUNK = 8192, 512
ZARR, ZARRS = "zarr.core.codec_pipeline.BatchedCodecPipeline", "zarrs.ZarrsCodecPipeline"
ALL = slice(None)


def write(folder: Path) -> None:
    """Write the arrays, shard by shard."""
    random, group = np.random.default_rng(1), zarr.create_group(folder, zarr_format=3)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    smooth = 3000 + 2000 * np.sin(y / 700) * np.cos(x / 900)
    image = (smooth + random.normal(0, 200, (4, SIDE, SIDE))).clip(0, 10_000).astype(np.uint16)
    logits = np.moveaxis((image[0] / 1000 - 3).astype(np.float16).reshape(16, CHUNK, 16, CHUNK), 2, 1)
    arrays = {
        "image": (image, (4, CHUNK, CHUNK), (4, 4 * CHUNK, 4 * CHUNK), 0),
        "valid": (np.ones((SIDE, SIDE), bool), (CHUNK, CHUNK), (4 * CHUNK, 4 * CHUNK), False),
        "logits": (logits, (1, 1, CHUNK, CHUNK), (4, 4, CHUNK, CHUNK), float("nan")),
        "map": ((smooth / 1000).astype(np.float32), (CHUNK, CHUNK), (4 * CHUNK, 4 * CHUNK), float("nan")),
    }
    for name, (values, chunk, shard, fill) in arrays.items():
        dims = [f"d{axis}" for axis in range(values.ndim)]
        array = add_array(group, name, dims, values.shape, chunk, shard, str(values.dtype), fill)
        for at in np.ndindex(*(-(-n // s) for n, s in zip(values.shape, shard, strict=True))):
            place = tuple(slice(i * s, (i + 1) * s) for i, s in zip(at, shard, strict=True))
            write_shard(array, place, values[place])


def places(what: str) -> tuple[str, list[tuple[slice, ...]]]:
    """Return an array and the rectangles that are read of it."""
    name, _, how = what.partition(", ")
    lead = (ALL,) if name == "image" else ()
    windows = [(CHUNK * row, CHUNK * col) for row in range(15) for col in range(15)]
    if name == "logits":
        return name, [
            (slice(row, row + 1), slice(col, col + 4), ALL, ALL) for row in range(16) for col in (0, 4, 8, 12)
        ]
    if how == "row":
        return name, [(*lead, slice(CHUNK * row, CHUNK * (row + 1)), slice(0, SIDE)) for row in range(16)]
    if name == "map":
        return name, [
            (slice(y, y + 2048), slice(x, x + 2048)) for y in range(0, SIDE, 2048) for x in range(0, SIDE, 2048)
        ]
    off = 200 if how == "across" else 0
    return name, [(*lead, slice(y + off, y + off + CHUNK), slice(x + off, x + off + CHUNK)) for y, x in windows]


READS = ("image, window", "image, across", "image, row", "valid, window", "logits", "map")


def nanoseconds(folder: Path, pipeline: str, what: str) -> float:
    """Return the processor time of a number that is read."""
    zarr.config.set({"codec_pipeline.path": pipeline})
    name, wanted = places(what)
    array: Any = zarr.open_group(folder, mode="r")[name]
    began, count = time.process_time(), 0
    for place in wanted:
        count += read_rectangle(array, place).size
    return (time.process_time() - began) * 1e9 / count


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    keep_memory()
    use_disk_pipeline(1)
    pipelines = {"zarr": ZARR, "zarrs": ZARRS, "sandan": f"{DiskPipeline.__module__}.{DiskPipeline.__qualname__}"}
    if importlib.util.find_spec("zarrs") is None:
        del pipelines["zarrs"]
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "arrays.zarr"
        write(store)
        found: dict[str, dict[str, list[float]]] = {what: {name: [] for name in pipelines} for what in READS}
        for _ in range(arguments.rounds + 1):
            for what in READS:
                for name, pipeline in pipelines.items():
                    found[what][name].append(nanoseconds(store, pipeline, what))
    rows = {what: {name: statistics.median(times[1:]) for name, times in told.items()} for what, told in found.items()}
    facts = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "zarr": zarr.__version__, "ns_a_number": rows}
    arguments.out.write_text(json.dumps(facts, indent=1))
    print(f"| ns a number | {' | '.join(pipelines)} |")
    print("| --- " * (len(pipelines) + 1) + "|")
    for what, row in rows.items():
        print(f"| {what} | {' | '.join(f'{row[name]:.2f}' for name in pipelines)} |")


if __name__ == "__main__":
    main()
