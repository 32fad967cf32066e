"""Does memory grow with the scene? Peaks of every stage's worker and of the driver, beside what the plan expected.

    python benchmarks/memory.py                                     scenes of 2,048, 8,192 and 36,000 px a side
    python benchmarks/memory.py --sides 2048 --raster tile.tif      and one real raster of one band, whatever its size

A scene of 2,048 px is a single unit of Ingest, of which a worker holds two; one of 8,192 px is sixteen. A run of the
smaller side has sixteen scenes, so that what is compared is the side and not how much there is to do.

Each run goes through `sandan ingest`, `infer`, `mosaic` and `publish`, every command a process of its own, with one
worker (`--engine ray` or `serial`). Generated scenes hold one byte a pixel, all valid; the network is a small one in
one view: what a pass takes does not depend on the scene. Peaks differ from run to run, by which large moments of two
units meet: `--rounds` repeats Ingest and Mosaic, which are quick, and the table has their medians, with the least and
the most. Worker: the largest resident memory of a worker, as the stage recorded it. Command: the largest proportional
set size of the command and all that it started (Ray's own processes too), sampled.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from peak_memory import wait_for
from rasterio.windows import Window

from models.bundle import save_bundle
from models.card import Card
from models.networks import NetworkSpec
from models.weights import build_with_weights

SIDES = (2048, 8192, 36_000)
SCENES = {2048: 16}
"""Of a run with scenes of this side, if not one."""
STAGES = ("ingest", "infer", "mosaic", "publish")
REPEATED = ("ingest", "mosaic")
CHANNELS = ("cover", "mask")
ARCHITECTURE, ENCODER = "unet", "tu-mobilenetv3_small_050"
BLOCK_PX = 1024
SENSOR = "{name: COVER, bands: [cover], valid_min: 1, valid_max: 100, nodata: 0, scale: 1.0, resolution_m: 10}"


def write_scene(path: Path, side_px: int, number: int = 0) -> None:
    """Write a GeoTIFF of one byte a pixel, none missing, block by block; `number` of its kind lie to the west."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:BLOCK_PX, 0:BLOCK_PX]
    base = 40 + 30 * np.sin(y / 90) * np.cos(x / 70) + random.integers(0, 9, (BLOCK_PX, BLOCK_PX))
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": side_px, "width": side_px, "nodata": 0}
    profile |= {
        "crs": "EPSG:32652",
        "transform": rasterio.Affine(10, 0, 300_000 + 10 * side_px * number, 0, -10, 4_300_000),
    }
    profile |= {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate"}
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, side_px, BLOCK_PX):
            for col in range(0, side_px, BLOCK_PX):
                block = np.roll(base, (row // 7, col // 5), (0, 1)).astype(np.uint8)
                height, width = min(BLOCK_PX, side_px - row), min(BLOCK_PX, side_px - col)
                file.write(block[:height, :width], 1, window=Window(col, row, width, height))


def write_bundle(folder: Path) -> None:
    """Write a small network with random weights."""
    spec = NetworkSpec(architecture=ARCHITECTURE, encoder=ENCODER, in_channels=len(CHANNELS))
    network, _ = build_with_weights(spec, "random:1", offset=[50.0, 0.0], scale=[20.0, 1.0])
    card = Card(
        name="small",
        architecture=ARCHITECTURE,
        encoder=ENCODER,
        channels=CHANNELS,
        sensor="COVER",
        offset=(50.0, 0.0),
        scale=(20.0, 1.0),
        classes=("industrial",),
        training_data="none",
        weights="random:1",
    )
    save_bundle(folder, network, card)


def measure(folder: Path, name: str, rasters: list[Path], engine: str, rounds: int) -> list[dict[str, Any]]:
    """Run the four commands on rasters of one side; return a row for each, of its median round by the worker's peak."""
    out, file = folder / name, folder / f"{name}.yaml"
    shutil.rmtree(out, ignore_errors=True)
    values = {
        "out": str(out),
        "sensor": str(folder / "sensor.yaml"),
        "scenes": [{"id": f"{name}-{number}", "files": str(raster)} for number, raster in enumerate(rasters)],
        "models": [str(folder / "bundle")],
        "infer": {"tta": "none", "precision": "bf16", "batch": 4},
        "outputs": ["cog"],
        "engine": {"kind": engine, "workers": 1},
    }
    file.write_text(json.dumps(values))
    with rasterio.open(rasters[0]) as data:
        side = max(data.shape)
    rows = []
    for stage in STAGES:
        found = []
        for _ in range(rounds if stage in REPEATED else 1):
            shutil.rmtree(out / stage, ignore_errors=True)
            shutil.rmtree(out / "markers" / stage, ignore_errors=True)
            found.append(_run_stage(stage, file, out))
        peaks = sorted(row["worker_bytes"] for row in found)
        row = next(row for row in found if row["worker_bytes"] == peaks[len(peaks) // 2])
        row |= {"scene": name, "side_px": side, "worker_bytes_of_rounds": peaks}
        rows.append(row)
        print(text_of(row), flush=True)
    shutil.rmtree(out)
    return rows


def _run_stage(stage: str, file: Path, out: Path) -> dict[str, Any]:
    """Run one command in a process of its own, and return what it took."""
    process = subprocess.Popen([sys.executable, "-m", f"jobs.{stage}", str(file)], stdout=subprocess.DEVNULL)
    command = wait_for(process)
    if process.returncode:
        raise SystemExit(f"{stage} of {out.name} ended with {process.returncode}")
    facts = json.loads((out / "stages" / f"{stage}.json").read_text())
    row = {"stage": stage, "seconds": facts["seconds"], "command_bytes": command}
    return row | {"worker_bytes": facts["peak_memory_bytes"], "expected_bytes": facts.get("expected_memory_bytes")}


def text_of(row: dict[str, Any]) -> str:
    """Return a line of the table."""
    worker, expected, command = (
        "" if row[key] is None else f"{row[key] / 1e9:.2f}"
        for key in ("worker_bytes", "expected_bytes", "command_bytes")
    )
    peaks = row["worker_bytes_of_rounds"]
    worker += f" ({peaks[0] / 1e9:.2f} to {peaks[-1] / 1e9:.2f})" if len(peaks) > 1 else ""
    return f"| {row['stage']} | {row['scene']} | {worker} | {expected} | {command} | {row['seconds']:.0f} |"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/memory"))
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES)
    parser.add_argument("--raster", type=Path, nargs="*", default=[])
    parser.add_argument("--engine", choices=("ray", "serial"), default="ray")
    parser.add_argument("--rounds", type=int, default=3, help="of Ingest and Mosaic")
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sensor.yaml").write_text(SENSOR)
    write_bundle(folder / "bundle")
    rasters: dict[str, list[Path]] = {}
    for side in arguments.sides:
        rasters[f"generated-{side}"] = files = [folder / f"{side}-{n}.tif" for n in range(SCENES.get(side, 1))]
        for number, path in enumerate(files):
            if not path.is_file():
                write_scene(path, side, number)
    rasters |= {path.stem: [path.resolve()] for path in arguments.raster}
    print("| stage | scene | worker, GB | expected, GB | command, GB | s |\n| --- | --- | --- | --- | --- | --- |")
    engine, rounds = arguments.engine, arguments.rounds
    rows = [row for name, paths in rasters.items() for row in measure(folder, name, paths, engine, rounds)]
    found = {"date": datetime.now(UTC).date().isoformat(), "engine": arguments.engine, "rows": rows}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
