"""How much slower than the bare networks is Infer, from a store on disk to logits on disk, and how do others do?

    python benchmarks/infer.py                                     a small U-Net: the overhead shows
    python benchmarks/infer.py --networks unetpp-b5 deeplab-b5     the networks of a national map: minutes each
    pip install monai pytorch-toolbelt terratorch                  the peers; one that is absent is left out

Everybody runs the same network in the same precision on the same windows (512 px every 448) in the same four views, and
has all cores. Times begin when the networks are loaded, have answered once (a first pass chooses its kernels: 2 s with
EfficientNet-B5, which a run of some minutes would show and a run of hours not) and workers wait, and end when the last
logit is on disk.

    floor             forward passes alone: tiles lie in memory in the layout that the network wants, answers are thrown
                      away. The best of the number formats and of the tiles per pass that the machine offers, which are
                      tried first; everybody else gets the same
    floor, two teams  the same passes, two at once, each on half of the threads: as Sandan runs them on a CPU
    sandan serial     one process
    sandan ray 1, 2   one actor with all cores; two that share them
    monai             `sliding_window_inference` over the scene in memory, then one array on disk
    toolbelt          `ImageSlicer` and `TileMerger` of pytorch-toolbelt, likewise
    terratorch        `tiled_inference` of TerraTorch, likewise

Peers read and write what Sandan's store holds with Sandan's own functions, so that only the windows differ. They keep
one blended raster; Sandan keeps every window whole, and the spread of the views beside its mean: more to write.

Sandan's processes keep the memory that they free (`cluster.heap`), and so does the floor; peers run as they are
installed.

Each contender is a process of its own; contenders take turns, and the table shows medians of the rounds.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cluster.heap import one_heap_for_children

CHANNELS = ("red", "green", "blue", "nir", "mask")
NETWORKS = {
    # name: architecture, encoder
    "small": ("unet", "tu-mobilenetv3_small_100"),
    "unetpp-b5": ("unetplusplus", "efficientnet-b5"),
    "deeplab-b5": ("deeplabv3plus", "efficientnet-b5"),
}
WINDOWS = (9, 8)
"""Down and across: the smallest scenes have units of one window, which a national run has not; these have sixteen."""
TILE_PX, OVERLAP_PX = 512, 64
TWO_TEAMS = "floor, two teams"
CONTENDERS = (
    "floor",
    TWO_TEAMS,
    "sandan serial",
    "sandan ray 1",
    "sandan ray 2",
    "monai",
    "toolbelt",
    "terratorch",
)
NEEDS = {
    "monai": "monai.inferers",
    "toolbelt": "pytorch_toolbelt.inference.tiles",
    "terratorch": "terratorch.tasks.tiled_inference",
}
TRIED_PASSES = (1, 2, 4)
"""Windows per forward pass, each in four views, that the floor tries."""
TRY, TRIED_WINDOWS = "try", {False: 12, True: 2}
"""Windows that are tried; of large networks fewer."""


def prepare(folder: Path, name: str, windows: tuple[int, int] | None = None) -> Path:
    """Write scene, bundle and run of a network, ingest, and return the file of the run.

    windows: down and across, instead of `WINDOWS`.
    """
    from jobs.config import RunConfig
    from jobs.ingest import plan_ingest
    from jobs.parsing import load
    from models.bundle import save_bundle
    from models.card import Card
    from models.networks import NetworkSpec
    from models.weights import build_with_weights
    from tiler.grids import PixelGrid
    from tiler.synthetic import Acquisition, Country, write_scene

    architecture, encoder = NETWORKS[name]
    rows, cols = windows or WINDOWS
    here = folder / f"{name}-{rows}-{cols}"
    here.mkdir(parents=True, exist_ok=True)
    file = here / "run.yaml"
    if not file.exists():
        stride = TILE_PX - OVERLAP_PX
        height, width = (n * stride + OVERLAP_PX - 37 for n in (rows, cols))  # the last windows are shifted back
        grid = PixelGrid("EPSG:32652", (10.0, 0.0, 327_350.0, 0.0, -10.0, 4_178_410.0), height, width)
        scene = write_scene(Country(3), grid, Acquisition("SN10", date(2024, 5, 20), clouds=0.1), here, "scene")
        spec = NetworkSpec(architecture=architecture, encoder=encoder, in_channels=len(CHANNELS))
        offset, scale = [1500.0] * 4 + [0.0], [1000.0] * 4 + [1.0]
        network, _ = build_with_weights(spec, "random:1", offset=offset, scale=scale)
        card = Card(
            name=name,
            architecture=architecture,
            encoder=encoder,
            channels=CHANNELS,
            sensor="SN10",
            offset=tuple(offset),
            scale=tuple(scale),
            classes=("industrial",),
            training_data="none",
            weights="random:1",
        )
        save_bundle(here / "bundle", network, card)
        values = {
            "out": str(here / "run"),
            "sensor": "SN10",
            "scenes": [{"id": "scene", "files": str(scene.image), "acquired": "2024-05-20"}],
            "models": [str(here / "bundle")],
            "infer": {"tile_px": TILE_PX, "overlap_px": OVERLAP_PX, "tta": "flips4"},
        }
        file.write_text(json.dumps(values))
        if plan_ingest(load(RunConfig, str(file), ["engine.kind=serial"])).run():
            raise SystemExit("the scene could not be ingested")
    return file


@dataclass(frozen=True)
class Timed:
    """A stage whose networks answer before the first unit, and whose records say when each unit began and ended."""

    stage: Callable[[], Callable[[Any], Any]]
    first: Any
    """A unit that is done twice."""
    gate: Path
    """Where each worker says that its networks have answered; none begins before all have."""
    workers: int

    def __call__(self) -> Callable[[Any], dict]:
        """Prepare a worker."""
        work = self.stage()
        work(self.first)
        self.gate.mkdir(exist_ok=True)
        (self.gate / str(os.getpid())).touch()
        while len(os.listdir(self.gate)) < self.workers:
            time.sleep(0.01)

        def timed(key: Any) -> dict:
            began = time.time()
            record = work(key)
            return {**record, "began": began, "ended": time.time()}

        return timed


def run_sandan(file: Path, kind: str, workers: int, precision: str, batch: int) -> dict[str, Any]:
    """Infer a run anew; return seconds and windows."""
    import shutil

    from cluster.engine import Done
    from cluster.marked import Marked
    from jobs.config import RunConfig
    from jobs.decisions import decide
    from jobs.infer import infer_stage, make_logit_store
    from jobs.parsing import load
    from jobs.plan import plan_run
    from jobs.runner import engine_of

    out = file.parent / "run"
    for name in ("infer", "markers/infer", "decisions", "gate"):
        shutil.rmtree(out / name, ignore_errors=True)
    threads = max(1, (os.cpu_count() or 1) // workers)
    settings = [f"engine.kind={kind}", f"engine.workers={workers}", f"engine.threads_per_worker={threads}"]
    settings += [f"infer.precision={precision}", f"infer.batch={batch}"]
    run = plan_run(load(RunConfig, str(file), settings))
    with engine_of(run.config.engine) as engine:
        how = decide(run, engine)
        assert how is not None
        plans = run.logits(how)
        shards = [shard for plan in plans for shard in plan.shards()]
        for plan in plans:
            make_logit_store(run, plan)
        marked = Marked(
            Timed(infer_stage(run, plans, how), shards[0], out / "gate", workers),
            run.storage.child("markers/infer").url,
            {"stage": "infer"},
        )
        records = [r.record for r in engine.run(marked, shards) if isinstance(r, Done)]
    assert len(records) == len(shards), "a unit failed"
    seconds = max(r["ended"] for r in records) - min(r["began"] for r in records)
    parts = {k: sum(r[k] for r in records) for k in records[0] if k.endswith("_s")}
    peak = max(r["peak_memory_bytes"] for r in records)
    return {"seconds": seconds, "windows": int(sum(r["windows"] for r in records)), "peak_bytes": peak, **parts}


def four_views(network: Any, tiles: Any) -> Any:
    """Return the mean logit over the views, as peers would write it: one pass over all views."""
    import torch

    axes = [(), (-1,), (-2,), (-2, -1)]
    shown = torch.cat([tiles.flip(a) if a else tiles for a in axes])
    answers = network(shown.contiguous(memory_format=torch.channels_last)).chunk(4)
    return torch.stack([x.flip(a) if a else x for x, a in zip(answers, axes, strict=True)]).mean(0)


def windows_of(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the windows of an image (c, y, x)."""
    from tiler.lattice import Lattice

    lattice = Lattice(*image.shape[1:], TILE_PX, OVERLAP_PX)
    for row in range(lattice.rows):
        for col in range(lattice.cols):
            yield image[(slice(None), *lattice.window(row, col).slices)]


def run_other(file: Path, contender: str, precision: str, batch: int) -> dict[str, Any]:
    """Run the floor or a peer; return seconds and windows."""
    import torch

    from cluster.heap import keep_memory
    from models.bundle import load_bundle
    from models.precision import prepare as prepared
    from tiler.scene_store import SceneStore

    torch.set_num_threads(os.cpu_count() or 1)
    if contender not in PEERS:
        keep_memory()  # the best that the machine offers: Sandan does so, peers do not
    card, network = load_bundle(file.parent / "bundle")
    network = prepared(network, precision, "cpu")
    (scene,) = (file.parent / "run" / "ingest").glob("*.zarr")
    store = SceneStore(str(scene))
    assert card.channels == store.channels
    if contender in PEERS:
        importlib.import_module(NEEDS[contender])
    with torch.inference_mode():
        four_views(network, torch.zeros((batch, len(CHANNELS), TILE_PX, TILE_PX)))
    began = time.monotonic()
    image = store.network_input(store.grid.box)
    count = sum(1 for _ in windows_of(image))
    with torch.inference_mode():
        if contender not in PEERS:
            count = min(count, TRIED_WINDOWS["b5" in card.name]) if contender == TRY else count
            tiles = np.stack([w for w, _ in zip(windows_of(image), range(8), strict=False)])
            views = torch.from_numpy(np.tile(tiles, (4, 1, 1, 1))).contiguous(memory_format=torch.channels_last)
            began, passes = time.monotonic(), -(-count // batch)
            if contender == TWO_TEAMS:
                seconds = two_teams(lambda: network(views[: 4 * batch]), passes)
                return {"seconds": seconds * count / (passes * batch), "windows": count}
            for _ in range(passes):
                network(views[: 4 * batch])
            return {"seconds": (time.monotonic() - began) * count / (passes * batch), "windows": count}
        logits = PEERS[contender](lambda tiles: four_views(network, tiles), image, batch)
    write(file.parent / f"{contender}.zarr", logits)
    return {"seconds": time.monotonic() - began, "windows": count}


def two_teams(one_pass: Callable[[], Any], passes: int) -> float:
    """Run passes two at once; return the seconds that all took."""
    import torch

    from jobs.teams import Teams

    teams = Teams(2, max(1, (os.cpu_count() or 1) // 2)).start()

    def run() -> None:
        with torch.inference_mode():
            one_pass()

    for done in [teams.submit(run) for _ in range(2)]:
        done.result()
    began = time.monotonic()
    for done in [teams.submit(run) for _ in range(passes)]:
        done.result()
    return time.monotonic() - began


def run_monai(network: Callable[[Any], Any], image: np.ndarray, batch: int) -> np.ndarray:
    """Return float32 (1, y, x)."""
    import torch
    from monai.inferers import sliding_window_inference

    whole = torch.from_numpy(image)[None]
    overlap = OVERLAP_PX / TILE_PX
    return sliding_window_inference(whole, TILE_PX, batch, network, overlap=overlap, mode="gaussian")[0].numpy()


def run_toolbelt(network: Callable[[Any], Any], image: np.ndarray, batch: int) -> np.ndarray:
    """Return float32 (1, y, x)."""
    import torch
    from pytorch_toolbelt.inference.tiles import ImageSlicer, TileMerger

    slicer = ImageSlicer(image.shape[1:], TILE_PX, TILE_PX - OVERLAP_PX, weight="pyramid")
    tiles = slicer.split(np.ascontiguousarray(image.transpose(1, 2, 0)))
    merger = TileMerger(slicer.target_shape, 1, slicer.weight)
    for start in range(0, len(tiles), batch):
        part = np.stack([t.transpose(2, 0, 1) for t in tiles[start : start + batch]])
        merger.integrate_batch(network(torch.from_numpy(part)), slicer.crops[start : start + batch])
    return slicer.crop_to_orignal_size(merger.merge().permute(1, 2, 0).numpy()).transpose(2, 0, 1)


def run_terratorch(network: Callable[[Any], Any], image: np.ndarray, batch: int) -> np.ndarray:
    """Return float32 (1, y, x)."""
    import torch
    from terratorch.tasks.tiled_inference import tiled_inference

    whole, stride = torch.from_numpy(image)[None], TILE_PX - OVERLAP_PX
    how = {"crop": TILE_PX, "stride": stride, "delta": 0, "batch_size": batch, "padding": False}
    return tiled_inference(network, whole, **how)[0].numpy()


PEERS = {"monai": run_monai, "toolbelt": run_toolbelt, "terratorch": run_terratorch}


def write(path: Path, logits: np.ndarray) -> None:
    """Write a raster of logits as Sandan's stores are written."""
    import zarr

    from tiler.stores import COMPRESSOR

    chunks = (1, min(512, logits.shape[1]), min(512, logits.shape[2]))
    array = zarr.create_array(
        str(path), shape=logits.shape, dtype="float16", chunks=chunks, compressors=COMPRESSOR, overwrite=True
    )
    array[...] = logits.astype(np.float16)


def best_settings(file: Path) -> dict[str, Any]:
    """Try number formats and tiles per pass; return the fastest and what was tried."""
    from models.precision import supports

    tried = {}
    for precision in ("fp32", "bf16"):
        if not supports("cpu", precision):
            continue
        for batch in TRIED_PASSES[:1] if "b5" in file.parent.name else TRIED_PASSES:
            found = start(file, TRY, precision, batch)
            tried[f"{precision}, {batch} x 4 views"] = found["windows"] / found["seconds"]
    best = max(tried, key=tried.__getitem__)
    precision, batch = best.split(", ")
    return {"precision": precision, "batch": int(batch.split()[0]), "tried": tried}


def start(file: Path, contender: str, precision: str, batch: int) -> dict[str, Any]:
    """Run one contender in a process of its own."""
    words = [sys.executable, __file__, "--one", contender, "--file", str(file)]
    words += ["--precision", precision, "--batch", str(batch)]
    environment = dict(os.environ)
    if contender not in PEERS:
        one_heap_for_children(environment)
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run everybody, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["small"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, nargs=2, help="down and across, instead of a network's; no JSON then")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark-infer"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default=None, help="instead of the fastest")
    parser.add_argument("--batch", type=int, default=None, help="windows per pass, instead of the fastest")
    arguments = parser.parse_args()
    if arguments.one:
        how = (arguments.precision, arguments.batch)
        words = arguments.one.split()
        if words[0] == "sandan":
            workers = int(words[2]) if words[1] == "ray" else 1
            found = run_sandan(arguments.file, words[1], workers, *how)
        else:
            found = run_other(arguments.file, arguments.one, *how)
        print(json.dumps(found))
        return
    told = Path(__file__).with_suffix(".json")
    result = json.loads(told.read_text()) if told.is_file() else {}
    present = [c for c in arguments.contenders if c not in NEEDS or importlib.util.find_spec(NEEDS[c].split(".")[0])]
    for name in arguments.networks:
        file = prepare(arguments.out.resolve(), name, arguments.windows)
        best = {"precision": arguments.precision, "batch": arguments.batch}
        if not all(best.values()):
            best = best_settings(file)
        times: dict[str, list[dict]] = {c: [] for c in present}
        for _ in range(arguments.rounds):
            for contender in present:
                times[contender].append(start(file, contender, best["precision"], best["batch"]))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        result[name] = {"date": now, "cores": os.cpu_count(), "settings": best, "rounds": times}
        print_table(name, best, times)
        if len(present) == len(CONTENDERS) and arguments.windows is None:
            told.write_text(json.dumps(result, indent=1))


def print_table(name: str, best: dict[str, Any], times: dict[str, list[dict]]) -> None:
    """Print medians and ratios to the floor."""
    windows = next(iter(times.values()))[0]["windows"]
    print(f"\n{name}: {windows} windows x 4 views, {best['precision']}, {best['batch']} windows a pass")
    for tried, rate in best.get("tried", {}).items():
        print(f"  tried {tried}: {rate:.2f} windows/s")
    print("| contender | s | windows/s | times the floor |\n| --- | --- | --- | --- |")
    medians = {c: statistics.median(r["seconds"] for r in rounds) for c, rounds in times.items()}
    for contender, seconds in medians.items():
        ratio = f"{seconds / medians['floor']:.3f}" if "floor" in medians else ""
        print(f"| {contender} | {seconds:.1f} | {windows / seconds:.2f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
