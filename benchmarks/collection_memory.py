"""Does memory grow with the number of images of a collection?

    python benchmarks/collection_memory.py                     5,000 and 25,000 images of 40 x 48 px
    python benchmarks/collection_memory.py --counts 1000 2000

Each collection goes through `sandan ingest`, `sandan curate report` and `sandan curate clean --classes class-00`, every
command a process of its own, in one process (`engine: serial`). Peak: the largest proportional set size of the command
and all that it started, sampled.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from peak_memory import wait_for
from PIL import Image

COUNTS = (5_000, 25_000)
CLASSES, SIDE_PX = 20, 32
COMMANDS = {"ingest": [], "report": [], "clean": ["--classes", "class-00"]}


def write_images(root: Path, count: int) -> None:
    """Write images of 40 x 48 px, none like another, as PNG."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    for number in range(count):
        folder = root / f"class-{number % CLASSES:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        wave = 120 + 60 * np.sin(y / random.uniform(3, 20) + random.uniform(0, 6)) * np.cos(x / random.uniform(3, 20))
        image = wave[..., None] + random.normal(0, 10, (40, 48, 3)) + random.uniform(-50, 50, 3)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / folder / f"{number:06d}.png", compress_level=1)


def measure(folder: Path, count: int) -> list[dict[str, Any]]:
    """Run the commands on a collection; return a row for each."""
    root, out = folder / f"images-{count}", folder / f"run-{count}"
    if not root.is_dir():
        write_images(root, count)
    shutil.rmtree(out, ignore_errors=True)
    dataset = {"layout": "images", "root": str(root), "classes": "folder", "side_px": SIDE_PX}
    path = folder / f"run-{count}.yaml"
    path.write_text(json.dumps({"out": str(out), "dataset": dataset, "engine": {"kind": "serial"}}))
    rows = []
    for name, words in COMMANDS.items():
        command = ["jobs.ingest", str(path)] if name == "ingest" else ["jobs.curate", name, str(path), *words]
        began_s = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
        peak = wait_for(process)
        if process.returncode:
            raise SystemExit(f"{name} of {count} images ended with {process.returncode}")
        seconds = time.monotonic() - began_s
        rows.append({"command": name, "images": count, "peak_bytes": peak, "seconds": round(seconds, 1)})
        print(text_of(rows[-1]), flush=True)
    return rows


def text_of(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    return f"| {row['command']} | {row['images']:,} | {row['peak_bytes'] / 1e9:.2f} | {row['seconds']:.0f} |"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/collection-memory"))
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    print("| command | images | peak, GB | s |\n| --- | --- | --- | --- |")
    rows = [row for count in arguments.counts for row in measure(folder, count)]
    arguments.json.write_text(json.dumps({"date": datetime.now(UTC).date().isoformat(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
