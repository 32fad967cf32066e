"""How long does the shipped example take, and how much memory: the commands of `make map`, one by one.

python benchmarks/example.py [--out DIR]

Prints a table and writes `benchmarks/example.json`. Memory is the proportional set size (shared pages counted once) of
the command and of everything it started, sampled twice a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from peak_memory import wait_for

EXAMPLE = "examples/aberystwyth"


def commands(out: Path) -> list[tuple[str, list[str]]]:
    """Return name and words of each command, all writing below `out`."""
    run = ["--set", f"out={out}/run", "--set", f"models=[{out}/unetpp, {out}/deeplab]"]
    here = out / "map.yaml"
    here.write_text(f"extends: {Path(EXAMPLE).resolve()}/map.yaml\nout: {out}/run\n")
    data = ["--set", f"data.run={here}"]
    return [
        ("ingest", ["ingest", f"{EXAMPLE}/map.yaml", *run]),
        ("train U-Net++", ["train", f"{EXAMPLE}/unetpp.yaml", "--set", f"out={out}/unetpp", *data]),
        ("train DeepLabV3+", ["train", f"{EXAMPLE}/deeplab.yaml", "--set", f"out={out}/deeplab", *data]),
        ("map", ["map", f"{EXAMPLE}/map.yaml", *run]),
        ("evaluate", ["evaluate", f"{EXAMPLE}/map.yaml", *run]),
        ("map again (no work)", ["map", f"{EXAMPLE}/map.yaml", *run]),
    ]


def measure(words: list[str]) -> tuple[float, int]:
    """Run one command; return seconds and peak bytes.

    Raises:
        RuntimeError: it failed.
    """
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "jobs.cli", *words], stdout=subprocess.DEVNULL)
    peak = wait_for(process)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    return time.monotonic() - started, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="empty folder to work in; default: a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = (arguments.out or Path(scratch)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        rows = [(name, *measure(words)) for name, words in commands(out)]
        evaluation = json.loads((out / "run/evaluation/evaluation.json").read_text())
        stages = json.loads((out / "run/run.json").read_text())["stages"]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "commands": [{"name": n, "seconds": round(s, 1), "peak_bytes": b} for n, s, b in rows],
        "stages": {name: facts["seconds"] for name, facts in stages.items()},
        "evaluation": evaluation["rows"],
    }
    Path("benchmarks/example.json").write_text(json.dumps(result, indent=1) + "\n")
    print("| command | seconds | peak memory, GB |\n| --- | --- | --- |")
    for name, seconds, peak in rows:
        print(f"| {name} | {seconds:.1f} | {peak / 1e9:.2f} |")
    print("\n| map | mIoU | IoU of the class | precision | recall |\n| --- | --- | --- | --- | --- |")
    for row in evaluation["rows"]:
        cells = ("–" if row[k] is None else f"{row[k]:.4f}" for k in ("mIoU", "iou_fg", "precision", "recall"))
        print(f"| {row['name']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
