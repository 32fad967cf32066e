"""What a network costs a window and what a stage costs a pixel: the measured figures behind docs/planet.md.

    python benchmarks/planet_figures.py                         about five minutes
    python benchmarks/planet_figures.py --bundle runs/models/x  the sizes of a trained network's logits

networks   FLOP of a pass and what its layers read and write in bf16, each layer by itself, counted without computing
cpu        windows/s of both networks in four views, in Sandan's own ensemble, on all cores
pixels     bytes a pixel on disk of what each stage leaves, core-nanoseconds a pixel of Ingest: synthetic scenes through
           the real stages, with the small network of `benchmarks/infer.py` and random weights
others     core-nanoseconds of Mosaic and Publish from `benchmarks/mosaic.json`, whose scenes are so large that what is
           done once does not count; units/s of the Ray engine from `benchmarks/scale.json`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cluster.engine import SerialEngine
from cluster.heap import keep_memory
from jobs import infer, ingest, mosaic, plan, publish
from jobs.config import RunConfig
from jobs.decisions import decide
from models.bundle import bundle_files, save_bundle
from models.card import Card
from models.imagery import Imagery
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.precision import choose
from models.predict import load_ensemble
from models.weights import build_with_weights
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.synthetic import Acquisition, Country, write_scene

CHANNELS = ("red", "green", "blue", "nir", "mask")
OFFSET, SCALE = (*[1500.0] * 4, 0.0), (*[1000.0] * 4, 1.0)
NETWORKS = {"U-Net++, EfficientNet-B5": "unetplusplus", "DeepLabV3+, EfficientNet-B5": "deeplabv3plus"}
TILE_PX, WINDOWS = 512, 2
SCENES_PX = (500, 700), (1900, 1750)
MOSAIC = "8192 px, apart 1, serial"
"""The run of `benchmarks/mosaic.py` that tells what Mosaic and Publish take."""
# image and valid of the scene store: the quick-look has 20 MB, however large the scene
FOLDERS = {"scene store": "ingest/*/[iv]*", "window logits": "infer", "map": "mosaic", "products": "map"}


def card_of(spec: NetworkSpec, name: str) -> Card:
    """Return the card of a network whose weights mean nothing."""
    facts = {"sensor": "SN10", "classes": ("industrial",), "training_data": "none", "weights": "random:1"}
    numbers = {"channels": CHANNELS, "offset": OFFSET, "scale": SCALE}
    return Card(name=name, architecture=spec.architecture, encoder=spec.encoder, **numbers, **facts)


def counted(architecture: str) -> dict[str, float]:
    """Return FLOP and bytes of one pass over one window, on tensors that have a shape and no content."""
    moved = 0

    def told(module: nn.Module, given: tuple[Any, ...], answer: Any) -> None:
        nonlocal moved
        tensors = [*given, answer, *module.parameters(recurse=False)]
        moved += sum(2 * t.numel() for t in tensors if isinstance(t, Tensor))

    spec = NetworkSpec(architecture=architecture, encoder="efficientnet-b5", in_channels=len(CHANNELS))
    network = build(spec).network.eval().to("meta")
    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(told)
    with torch.inference_mode(), FlopCounterMode(display=False) as flops:
        network(torch.empty(1, len(CHANNELS), TILE_PX, TILE_PX, device="meta"))
    return {"flop": flops.get_total_flops(), "traffic_bytes": moved}


def cpu_speed() -> dict[str, Any]:
    """Return windows/s of both networks in four views."""
    keep_memory()  # as workers do
    files = []
    for name, architecture in NETWORKS.items():
        spec = NetworkSpec(architecture=architecture, encoder="efficientnet-b5", in_channels=len(CHANNELS))
        network: SegmentationNetwork = build_with_weights(spec, "random:1", offset=OFFSET, scale=SCALE)[0]
        files.append(bundle_files(network, card_of(spec, name)))
    how = {"tta": "flips4", "precision": choose("cpu"), "device": "cpu", "batch": 1}
    ensemble = load_ensemble(files, CHANNELS, **how)
    pixels = np.random.default_rng(1).integers(200, 4000, (4, TILE_PX, TILE_PX), np.uint16)
    valid, fill = np.ones((TILE_PX, TILE_PX), bool), np.full(4, 1000, np.float32)
    imagery = Imagery.of(pixels, valid, fill, np.empty((0, TILE_PX, TILE_PX), np.float32), "cpu")
    seconds, core_seconds = [], []
    for _ in range(1 + WINDOWS):
        started, cpu_s = time.monotonic(), time.process_time()
        ensemble.predict_windows(imagery, [(0, 0)], TILE_PX)
        seconds.append(time.monotonic() - started)
        core_seconds.append(time.process_time() - cpu_s)
    # from core-seconds, which other work on the machine lengthens less than seconds
    rate = (os.cpu_count() or 1) / float(np.median(core_seconds[1:]))
    told = {"seconds": seconds[1:], "core_seconds": core_seconds[1:], "precision": how["precision"]}
    return {"windows_per_s": rate, **told}


def size_of(folder: Path, pattern: str) -> int:
    """Return the bytes of all files below the folders of a pattern."""
    return sum(file.stat().st_size for at in folder.glob(pattern) for file in at.rglob("*") if file.is_file())


def pixels(folder: Path, bundle: str | None) -> dict[str, Any]:
    """Return bytes a pixel of what is kept, and core-nanoseconds a pixel of Ingest.

    Two scenes of two sizes: the first one loads and compiles everything, and what both have (histograms, metadata)
    counts for no pixel. Logits count by windows, which advance by less than their side.
    """
    if bundle is None:
        spec = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_100", in_channels=len(CHANNELS))
        network, _ = build_with_weights(spec, "random:1", offset=OFFSET, scale=SCALE)
        save_bundle(folder / "bundle", network, card_of(spec, "small"))
    ingest_s = 0.0
    for height, width in SCENES_PX:
        grid = PixelGrid("EPSG:32652", (10.0, 0.0, 327_350.0, 0.0, -10.0, 4_178_410.0), height, width)
        here = folder / f"{height}x{width}"
        scene = write_scene(Country(3), grid, Acquisition("SN10", date(2024, 5, 20), clouds=0.1), here, "scene")
        models = (bundle or str(folder / "bundle"),)
        run = plan.plan_run(RunConfig(out=str(here / "run"), scenes=str(scene.image), sensor="SN10", models=models))
        ingest_s = _stages(run)
    height, width = SCENES_PX[-1]
    return {"bytes_per_px": sizes(folder), "ingest_ns_per_px": ingest_s / (height * width) * 1e9}


def sizes(folder: Path) -> dict[str, float]:
    """Return bytes a pixel of what the stages left in two runs."""
    small, large = (folder / f"{height}x{width}" / "run" for height, width in SCENES_PX)
    more_px = SCENES_PX[1][0] * SCENES_PX[1][1] - SCENES_PX[0][0] * SCENES_PX[0][1]
    found = {name: (size_of(large, place) - size_of(small, place)) / more_px for name, place in FOLDERS.items()}
    lattice = Lattice(*SCENES_PX[1])
    found["window logits"] = size_of(large, "infer") / (lattice.rows * lattice.cols) / lattice.stride_px**2
    return found


def _stages(run: plan.Run) -> float:
    """Run all stages; return the core-seconds of Ingest."""
    engine = SerialEngine(concurrency=2)
    started = time.process_time()
    ingest.ingest(run, engine)
    ingest_s = time.process_time() - started
    precision = decide(run, engine)
    assert precision is not None
    plans = run.logits(precision)
    infer.infer(run, engine, plans, precision)
    map_plan = run.mosaic(plans)
    mosaic.mosaic(run, engine, plans, map_plan)
    publish.publish(run, plans, map_plan, {})
    return ingest_s


def main() -> None:
    """Measure all and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-planet"))
    parser.add_argument("--bundle", help="of five channels; prints what a pixel takes and writes nothing")
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    if arguments.bundle:
        print(json.dumps(pixels(folder, arguments.bundle), indent=1))
        return
    here = Path(__file__).parent
    (here / "planet.json").write_text(json.dumps(figures(here, cpu_speed(), pixels(folder, None)), indent=1) + "\n")
    print((here / "planet.json").read_text())
    shutil.rmtree(folder)


def figures(here: Path, cpu: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return all figures, with those that other benchmarks have left beside this one."""
    stitched = json.loads((here / "mosaic.json").read_text())[MOSAIC]
    core_ns = 1e9 * stitched["cores"] / (2 * 8192**2)  # all cores are counted as busy
    seconds = {name: stitched["rows"][f"sandan {name}"]["seconds"] for name in ("mosaic", "publish")}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "networks": {name: counted(architecture) for name, architecture in NETWORKS.items()},
        "cpu": cpu,
        "bytes_per_px": found["bytes_per_px"],
        "core_nanoseconds_per_px": {
            "ingest": found["ingest_ns_per_px"],
            **{name: value * core_ns for name, value in seconds.items()},
        },
        "driver_units_per_s": json.loads((here / "scale.json").read_text())["ray"]["units_per_s"],
    }


if __name__ == "__main__":
    main()
