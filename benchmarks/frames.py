"""How many frames a second from PNG files to a store, beside decoding alone and beside plain xarray and zarr?

    python benchmarks/frames.py --frames 2000      three bands of 325 x 375 px: COMS pictures made four times smaller
    python benchmarks/frames.py --frames 100 --height 1300 --width 1500

Synthetic frames (smooth clouds that move, noise of one step, a title line, a coast line) are written once, named as KMA
does. All files lie in the page cache, everybody has all cores, each contender is a process of its own, contenders take
turns, and the table shows medians of the rounds.

    decode            floor: every PNG to memory by Pillow, as many threads as cores; thrown away
    sandan serial     `sandan ingest` with the serial engine; also looks for lines, keeps validity, digests
                      and markers, flushes to the disk
    sandan ray        the same with Ray's workers
    xarray            Pillow's box filter (area mean, no validity) in a `dask.delayed` for each file, stacked as an
                      `xarray.DataArray`, `to_zarr` with the same chunks, shards and codec; dask's threads. No
                      validity, no resume, no lists

Times begin when libraries are imported; "stage" is from the first unit to the last, without Ray's start, the listing of
the files, their headers and the search for lines.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CORES = os.cpu_count() or 1
BANDS = ("ir1", "swir", "wv")
SIDE_PX = 224
START = np.datetime64("2015-01-01T00:00")


def write_files(folder: Path, frames: int, height: int, width: int) -> None:
    """Write the frames that are not there yet."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width] / (height / 6)
    waves, phases = rng.uniform(-2, 2, (3, 8, 2)), rng.uniform(0, 6, (3, 8))
    speeds = rng.uniform(-0.3, 0.3, (3, 8))
    coast = (height * (0.5 + 0.2 * np.sin(np.arange(width) / width * 9))).astype(int)
    for step in range(frames):
        stamp = str(START + np.timedelta64(3 * step, "h")).translate({ord(c): None for c in "-:T"})
        for band, name in enumerate(BANDS):
            path = folder / stamp[:6] / f"coms_mi_le1b_{name}_ea040ps_{stamp}.png"
            if path.exists():
                continue
            field = sum(
                np.sin(a * y + b * x + p + s * step)
                for (a, b), p, s in zip(waves[band], phases[band], speeds[band], strict=True)
            )
            image = np.clip(120 + 20 * field + rng.integers(-1, 2, y.shape), 0, 255).astype(np.uint8)
            image[: height // 50] = 0
            image[coast, np.arange(width)] = 200
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def paths_of(folder: Path) -> list[Path]:
    """Return the files, by time and then by band."""
    return sorted(folder.rglob("*.png"), key=lambda path: (path.stem[-12:], path.stem))


def decode(folder: Path, out: Path) -> dict[str, Any]:
    """Read every file into memory."""

    def one(path: Path) -> int:
        with Image.open(path) as image:
            return int(np.asarray(image)[-1, -1])

    start = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        sum(pool.map(one, paths_of(folder)))
    return {"seconds": time.monotonic() - start}


def sandan(folder: Path, out: Path, engine: str) -> dict[str, Any]:
    """Ingest by the command, in this process."""
    start = time.monotonic()
    from jobs.ingest import main

    config = out.with_suffix(".json")
    frames = {"files": str(folder), "burned_in": {"top_px": 6, "lines": True}}
    config.write_text(json.dumps({"out": str(out), "frames": frames, "engine": {"kind": engine}}))
    code = main([str(config)])
    seconds = time.monotonic() - start
    if code:
        raise RuntimeError(f"sandan ingest ended with {code}")
    return {"seconds": seconds, "stage_s": json.loads((out / "stages/ingest.json").read_text())["seconds"]}


def plain(folder: Path, out: Path) -> dict[str, Any]:
    """Do it by dask, xarray and zarr."""
    start = time.monotonic()
    import dask
    import dask.array as da
    import xarray as xr

    from tiler.stores import COMPRESSOR

    dask.config.set(scheduler="threads", num_workers=CORES)
    paths = paths_of(folder)

    def one(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            edge = (image.width - image.height) / 2
            box = (edge, 0, image.width - edge, image.height)
            return np.asarray(image.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX, box))

    planes = [da.from_delayed(dask.delayed(one)(path), (SIDE_PX, SIDE_PX), np.uint8) for path in paths]
    bands = len(BANDS)
    stacked = da.stack([da.stack(planes[i : i + bands]) for i in range(0, len(planes), bands)])
    times = START + 3 * np.arange(len(stacked)).astype("timedelta64[h]")
    cube = xr.DataArray(
        stacked.rechunk((64, bands, SIDE_PX, SIDE_PX)),
        {"time": times.astype("datetime64[ns]")},
        ("time", "band", "y", "x"),
    )
    chunks = {
        "chunks": (1, bands, SIDE_PX, SIDE_PX),
        "shards": (64, bands, SIDE_PX, SIDE_PX),
        "compressors": [COMPRESSOR],
    }
    cube.to_dataset(name="image").to_zarr(str(out), zarr_format=3, consolidated=False, encoding={"image": chunks})
    return {"seconds": time.monotonic() - start}


CONTENDERS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "decode": decode,
    "sandan serial": lambda folder, out: sandan(folder, out, "serial"),
    "sandan ray": lambda folder, out: sandan(folder, out, "ray"),
    "xarray": plain,
}


def main() -> None:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--height", type=int, default=325)
    parser.add_argument("--width", type=int, default=375)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/frames"))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    files = arguments.folder / f"{arguments.frames}x{arguments.height}x{arguments.width}"
    out = arguments.folder / "out"
    if arguments.contender:
        found = CONTENDERS[arguments.contender](files, out)
        print("found " + json.dumps(found))
        return
    write_files(files, arguments.frames, arguments.height, arguments.width)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for _ in range(arguments.rounds):
        for name in CONTENDERS:
            shutil.rmtree(out, ignore_errors=True)
            words = [sys.executable, *sys.argv, "--contender", name]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            line = next(line for line in done.stdout.splitlines() if line.startswith("found "))
            rounds[name].append(json.loads(line.removeprefix("found ")))
    print(f"{arguments.frames} frames of {len(BANDS)} x {arguments.height} x {arguments.width}, {CORES} cores\n")
    print("| contender | seconds | frames/s | stage, frames/s |\n| --- | --- | --- | --- |")
    rows = {}
    for name, found in rounds.items():
        seconds = statistics.median(one["seconds"] for one in found)
        inner = statistics.median(one.get("stage_s", one["seconds"]) for one in found)
        rows[name] = {"seconds": seconds, "stage_s": inner, "rounds": found}
        print(f"| {name} | {seconds:.1f} | {arguments.frames / seconds:.0f} | {arguments.frames / inner:.0f} |")
    facts = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": CORES,
        "frames": arguments.frames,
        "shape": [len(BANDS), arguments.height, arguments.width],
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
