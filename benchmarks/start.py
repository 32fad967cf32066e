"""How long from a command to the first window?

    python benchmarks/start.py                                   a small network and the two of a national map

Cold: everything that `sandan infer` does before a network sees the first window: Python, imports, reading headers, Ray
and its worker (or none), the model. It is measured as a user would, from the start of the process to the moment in
which the first unit of work begins (its marker's time less the unit's own seconds). Warm: the same command once more,
when all is done and there is nothing to do. `sandan --help` beside it. Medians of the rounds, which take turns; "first
ever" also measures how the networks run fastest on this machine, which later runs remember. Rows of networks that are
not measured stay as they were.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from infer import NETWORKS, prepare

ENGINES = ("serial", "ray")
WAIT_S = 0.02


def first_unit_s(file: Path, engine: str) -> float:
    """Return seconds from the start of the command until the first unit began; stop it then."""
    out = file.parent / "run"
    for name in ("infer", "markers/infer", "decisions"):
        shutil.rmtree(out / name, ignore_errors=True)
    words = [sys.executable, "-m", "jobs.infer", str(file), "--set", f"engine.kind={engine}"]
    began = time.time()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not (found := list((out / "markers/infer").rglob("*.json"))):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
            time.sleep(WAIT_S)
        first = min(found, key=lambda path: path.stat().st_mtime)
        return first.stat().st_mtime - json.loads(first.read_text())["seconds"] - began
    finally:
        process.terminate()
        process.communicate()


def command_s(words: list[str]) -> float:
    """Return seconds that a command takes."""
    began = time.time()
    subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.time() - began


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/infer"))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    files = {name: prepare(arguments.out.resolve(), name) for name in arguments.networks}
    found: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # nothing is remembered yet
        for name, file in files.items():
            for engine in ENGINES:  # workers of each have other threads, and remember for themselves
                found.setdefault(f"first window ever, {name}, {engine}", []).append(first_unit_s(file, engine))
        found.setdefault("sandan --help", []).append(command_s(["jobs.cli", "--help"]))
        for name, file in files.items():
            for engine in ENGINES:
                found.setdefault(f"first window, {name}, {engine}", []).append(first_unit_s(file, engine))
    if "small" in files:
        words = ["jobs.infer", str(files["small"]), "--set", "engine.kind=ray"]
        command_s(words)
        for _ in range(arguments.rounds):
            found.setdefault("nothing to do, small, ray", []).append(command_s(words))
    rows = {name: {"median_s": statistics.median(values), "all_s": values} for name, values in found.items()}
    print("| | s |\n| --- | --- |")
    for name, row in rows.items():
        print(f"| {name} | {row['median_s']:.2f} |")
    kept = Path(__file__).with_suffix(".json")
    others = json.loads(kept.read_text())["rows"] if kept.is_file() else {}
    kept.write_text(json.dumps({"date": datetime.now(UTC).date().isoformat(), "rows": others | rows}, indent=1))


if __name__ == "__main__":
    main()
