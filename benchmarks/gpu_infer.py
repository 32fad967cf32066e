"""Does Infer keep a GPU busy, and how long would a country take? From a store on local disk to logits on disk.

    python benchmarks/gpu_infer.py                           U-Net++ and DeepLabV3+ on EfficientNet-B5, on a GPU
    python benchmarks/gpu_infer.py --modes eager default     torch.compile too; each compiled row takes minutes
    python benchmarks/gpu_infer.py --profile                 also the kernels that take most of the GPU's time
    python benchmarks/gpu_infer.py --quick                   light networks and small tiles on the CPU, as a proof

Needs `tiler/`, `models/`, `cluster/` (without Ray) and `jobs/infer_stage.py`: no Ray, no rasterio, no network. A GPU
machine that has torch, torchvision, timm and numpy can be given the rest as wheels: zarr, numcodecs, donfig,
google-crc32c, msgpack, fsspec, obstore, pydantic, pydantic-core, annotated-types, typing-inspection, pyproj, shapely,
affine, attrs, certifi, pyyaml, safetensors, huggingface-hub and segmentation-models-pytorch (`pip download --no-deps`,
there `pip install --no-deps --target site` of those that it lacks, then `PYTHONPATH=site:. python ...`).

Rows, each a process of its own:

    bare        forward passes of all networks over windows in four views that lie on the device, ready as the networks
                want them; answers are thrown away. By windows a pass; torch.compile at the best of them
    benchmark   eager, with cuDNN trying algorithms: what Sandan does without so that low bits stay the same
    end to end  the stage Infer in the best batch of its mode, by units in flight: pixels decoded, tiles cut, scaled and
                shown in four views, answers reduced to mean and spread, copied, encoded and written
    feed        the same stage without any network: what reading, moving pixels to the device and writing could feed

Busy: the share of the time in which the device computed windows, by its own clock. Country: South Korea at 10 m, 1.0e9
pixels, 4,982 windows of 512 px every 448. Steps are summed over units in flight, so they may add up to more than the
time that passed. With several rounds rows take turns, and the table shows the median row of each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from cluster.engine import Done, SerialEngine
from jobs.infer_stage import Infer
from jobs.plan import Precision
from jobs.stages import peak_memory_bytes
from models.bundle import load_bundle, save_bundle
from models.card import Card
from models.compiling import MODES, compiled_for_inference
from models.launched import Asked, Launched
from models.networks import NetworkSpec, build
from models.precision import PRECISIONS, choose, prepare
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.logit_store import WindowShard, create_logit_store, window_shards
from tiler.scene_store import SceneStore, create_scene_store
from tiler.scenes import Scene
from tiler.sensors import SENSORS
from tiler.stores import array_of, is_complete, open_group

CHANNELS = ("red", "green", "blue", "nir", "mask")
ARCHITECTURES = ("unetplusplus", "deeplabv3plus")
ENCODERS = {"b5": "efficientnet-b5", "light": "tu-mobilenetv3_small_100"}
VIEWS, OVERLAP_PX = 4, 64
COUNTRY_PX = 1.0e9
BLOCK_PX = 2048
KINDS = ("bare", "end to end", "feed")


@dataclass(frozen=True)
class Setting:
    """One row: what is measured."""

    kind: str
    """Of `KINDS`."""
    folder: str
    networks: str
    """A key of `ENCODERS`."""
    device: str
    precision: str
    pixels: int
    """Side of the scene."""
    tile_px: int
    batch: int = 1
    mode: str = "eager"
    """"eager", "benchmark" or a mode of torch.compile."""
    in_flight: int = 1
    """Units that are worked on at once."""
    seconds: float = 5.0
    """That bare passes are repeated for."""
    profile: bool = False
    cores: int | None = None
    """For torch; None: all."""

    @property
    def compile(self) -> str:
        """The mode of torch.compile, as Infer takes it."""
        return self.mode if self.mode in MODES else "none"

    @property
    def bundles(self) -> tuple[str, ...]:
        """Folders of the networks."""
        return tuple(f"{self.folder}/{self.networks}-{name}" for name in ARCHITECTURES)

    @property
    def scene(self) -> str:
        """Address of the scene's store."""
        return f"{self.folder}/scene-{self.pixels}.zarr"

    @property
    def lattice(self) -> Lattice:
        """The windows."""
        return Lattice(self.pixels, self.pixels, self.tile_px, OVERLAP_PX)


def make_bundles(setting: Setting) -> None:
    """Write networks with random weights, whose normalisations fit the scene."""
    for architecture, path in zip(ARCHITECTURES, setting.bundles, strict=True):
        if Path(path).exists():
            continue
        torch.manual_seed(1)
        encoder = ENCODERS[setting.networks]
        spec = NetworkSpec(architecture=architecture, encoder=encoder, in_channels=len(CHANNELS))
        offset, scale = (1_500.0,) * 4 + (0.0,), (500.0,) * 4 + (1.0,)
        network = build(spec, offset, scale)
        with torch.no_grad():
            network.train()(torch.randn(2, len(CHANNELS), 128, 128) * 500 + 1_500)
        card = Card(
            name=architecture,
            architecture=architecture,
            encoder=encoder,
            channels=CHANNELS,
            sensor="SN10",
            offset=offset,
            scale=scale,
            classes=("industrial",),
            training_data="none",
            weights="random:1",
        )
        save_bundle(Path(path), network.eval(), card)


def make_scene(setting: Setting) -> None:
    """Write a store of smooth ground with noise, uint16, of which a tenth of the blocks have a hole."""
    side = setting.pixels
    if is_complete(setting.scene) and "quality" in open_group(setting.scene).attrs:
        return
    grid = PixelGrid("EPSG:32652", (10.0, 0.0, 3e5, 0.0, -10.0, 4.2e6), side, side)
    create_scene_store(setting.scene, Scene("scene", None, SENSORS["SN10"], grid, "uint16", (), "none", 0), False)
    group, random = open_group(setting.scene), np.random.default_rng(0)
    coarse = random.normal(1_500, 500, (4, BLOCK_PX // 16, BLOCK_PX // 16)).repeat(16, 1).repeat(16, 2)
    block = (coarse + random.normal(0, 60, coarse.shape)).clip(1, 10_000).astype(np.uint16)
    for number, (y, x) in enumerate((y, x) for y in range(0, side, BLOCK_PX) for x in range(0, side, BLOCK_PX)):
        part = slice(y, min(y + BLOCK_PX, side)), slice(x, min(x + BLOCK_PX, side))
        height, width = (p.stop - p.start for p in part)
        image, valid = np.roll(block, 131 * number, 2)[:, :height, :width], np.ones((height, width), bool)
        if number % 10 == 0:
            valid[100:300, 200:700] = False
        array_of(group, "image")[(slice(None), *part)] = image
        array_of(group, "valid")[part] = valid
    SceneStore(setting.scene).summarise()


def wait_for(device: str) -> None:
    """Return once the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def bare(setting: Setting) -> dict[str, Any]:
    """Return the rate of forward passes alone."""
    torch.backends.cudnn.benchmark = setting.mode == "benchmark"
    networks = []
    for path in setting.bundles:
        network = prepare(load_bundle(Path(path))[1], setting.precision, setting.device)
        networks.append(compiled_for_inference(network, setting.compile))
    shape = (setting.batch * VIEWS, len(CHANNELS), setting.tile_px, setting.tile_px)
    tiles = torch.randn(shape, device=setting.device, dtype=PRECISIONS[setting.precision])
    tiles = tiles.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        for network in networks:
            network.answer(tiles)

    with torch.inference_mode():
        began = time.monotonic()
        for _ in range(3):  # compiled graphs are recorded on the second
            step()
        wait_for(setting.device)
        row: dict[str, Any] = {"prepare_s": time.monotonic() - began}
        passes, began = 0, time.monotonic()
        while passes < 3 or time.monotonic() - began < setting.seconds:
            for _ in range(3):  # waiting costs: not after each
                step()
            wait_for(setting.device)
            passes += 3
        seconds = time.monotonic() - began
        if setting.profile:
            row["kernels"] = kernels(step, setting.device)
    return row | {"windows": passes * setting.batch, "seconds": seconds}


def kernels(step: Callable[[], None], device: str) -> list[dict[str, Any]]:
    """Return the kernels that take most of the device's time: share, calls a pass and name."""
    from torch.profiler import ProfilerActivity, profile

    gpu = torch.device(device).type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]) as found:
        step()
        wait_for(device)
    key = "self_device_time_total" if gpu else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: getattr(event, key), reverse=True)
    total = sum(getattr(event, key) for event in events)
    return [{"share": getattr(e, key) / total, "calls": e.count, "name": e.key[:90]} for e in events[:15]]


class NoNetwork:
    """Stands in for an ensemble: logits as smooth and as noisy as any, at no cost."""

    def __init__(self, tile_px: int) -> None:
        steps = np.random.default_rng(1).normal(0, 0.2, (2, tile_px, tile_px))
        self._windows = torch.from_numpy(steps.cumsum(-1).astype(np.float16))

    def launch(self, imagery: Any, corners: list, side_px: int) -> Launched:
        """Answer as `models.predict.Ensemble.launch` does."""
        windows = self._windows.expand(len(corners), -1, -1, -1)
        counts = torch.zeros((len(corners), 2), dtype=torch.int64)
        return Launched(windows, counts, Asked("fp32", False, lambda place: False), lambda: 0.0)


@contextmanager
def networks_or_none(setting: Setting) -> Iterator[None]:
    """Let Infer load no networks, if the row is about feeding them."""
    if setting.kind != "feed":
        yield
        return
    with mock.patch("models.predict.load_ensemble", return_value=NoNetwork(setting.tile_px)):
        yield


def end_to_end(setting: Setting) -> dict[str, Any]:
    """Return the rate of the stage, and where its time goes."""
    logits = f"{setting.folder}/logits.zarr"
    shutil.rmtree(logits, ignore_errors=True)
    create_logit_store(logits, "scene", setting.lattice, ("industrial",), None)
    how = Precision(setting.device, setting.precision, setting.batch, setting.compile)
    stage = Infer({"scene": (setting.scene, logits)}, setting.bundles, CHANNELS, (), "flips4", "logit", how)
    shards = list(window_shards("scene", setting.lattice))
    with networks_or_none(setting):
        work = stage()
    began = time.monotonic()
    for _ in range(2):  # compiled graphs are recorded on the second
        work(shards[0])
    prepare_s = time.monotonic() - began
    utilisation: list[int] = []

    def timed(shard: WindowShard) -> dict:
        record = work(shard)
        utilisation.extend(_utilisation(setting.device))
        return record

    began = time.monotonic()
    cpu = time.process_time()
    done = list(SerialEngine(setting.cores or "auto", setting.in_flight).run(lambda: timed, shards))
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    failed = [unit for unit in done if not isinstance(unit, Done)]
    if failed:
        raise RuntimeError(failed[0].error)
    records = [unit.record for unit in done]
    assert not any(record["quarantined"] for record in records), "random networks gave NaN"
    numbers = [name for name, value in records[0].items() if isinstance(value, int | float)]
    sums = {name: float(sum(record[name] for record in records)) for name in numbers}
    row = {"prepare_s": prepare_s, "seconds": seconds, "windows": int(sums["windows"]), "cpu_s": cpu_s}
    row |= {"km2_per_s": sums["ground_km2"] / seconds, "busy": sums["forward_s"] / seconds}
    row["steps_s"] = {name: value for name, value in sums.items() if name.endswith("_s")}
    row["bytes_per_s"] = (sums["bytes_read"] + sums["bytes_written"]) / seconds
    if utilisation:
        row["utilisation"] = float(np.mean(utilisation)) / 100
    return row


def _utilisation(device: str) -> list[int]:
    if torch.device(device).type != "cuda":
        return []
    try:
        return [torch.cuda.utilization()]
    except (ImportError, RuntimeError):  # it asks NVML, which may be absent
        return []


def measure(setting: Setting) -> dict[str, Any]:
    """Return the numbers of one row."""
    row = asdict(setting)
    if setting.cores is not None:
        torch.set_num_threads(setting.cores)
    try:
        row |= bare(setting) if setting.kind == "bare" else end_to_end(setting)
    except torch.OutOfMemoryError:
        return row | {"note": "out of memory"}
    gpu_bytes = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    rate = row["windows"] / row["seconds"]
    country = COUNTRY_PX / (setting.tile_px - OVERLAP_PX) ** 2
    facts = {"windows_per_s": rate, "country_s": country / rate, "host_bytes": peak_memory_bytes()}
    return row | facts | {"gpu_bytes": gpu_bytes}


def measure_apart(setting: Setting) -> dict[str, Any]:
    """Return the row of a process of its own; whatever ends it is noted."""
    words = [sys.executable, __file__, "--row", json.dumps(asdict(setting))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 0:
        row = json.loads(done.stdout.splitlines()[-1])
    else:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        row = asdict(setting) | {"note": f"failed ({done.returncode}): {said[:160]}"}
    print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
    return row


def race(
    base: Setting, modes: list[str], batches: list[int], in_flight: list[int], rounds: int
) -> list[dict[str, Any]]:
    """Measure bare passes, then the stage in the best batch of each mode, with its ratio to the bare passes."""
    trials = [measure_apart(replace(base, kind="bare", batch=batch)) for batch in batches]
    batch = max(trials, key=rate_of)["batch"]
    plain = replace(base, batch=batch, profile=False)
    settings = [replace(base, kind="bare", batch=batch, mode=mode) for mode in modes]
    settings += [replace(plain, kind="feed", in_flight=n) for n in in_flight]
    settings += [
        replace(plain, kind="end to end", mode=mode, in_flight=n)
        for mode in modes
        if mode != "benchmark"
        for n in in_flight
    ]
    rows = medians([[measure_apart(setting) for setting in settings] for _ in range(rounds)])
    bare = {row["mode"]: rate_of(row) for row in rows if row["kind"] == "bare"}
    for row in rows:
        if row["kind"] == "end to end" and bare[row["mode"]]:
            row["ratio"] = rate_of(row) / bare[row["mode"]]
    return [row for row in trials if row["batch"] != batch] + rows


def medians(rounds: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the row of median rate of each place in the rounds."""
    return [sorted(rows, key=rate_of)[len(rows) // 2] for rows in zip(*rounds, strict=True)]


def rate_of(row: dict[str, Any]) -> float:
    """Return windows a second; 0 of a row that failed."""
    return float(row.get("windows_per_s", 0.0))


COLUMNS = (
    ("windows_per_s", "windows/s", 1.0, ".2f"),
    ("ratio", "of bare", 1.0, ".3f"),
    ("country_s", "country, s", 1.0, ".0f"),
    ("km2_per_s", "km2/s", 1.0, ".0f"),
    ("busy", "busy", 1.0, ".2f"),
    ("utilisation", "GPU utilisation", 1.0, ".2f"),
    ("prepare_s", "first passes, s", 1.0, ".1f"),
    ("gpu_bytes", "GPU memory, GB", 1e-9, ".2f"),
    ("host_bytes", "host memory, GB", 1e-9, ".2f"),
)


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the rows as a table in markdown, steps in milliseconds a window."""
    heads = ["row", "mode", "batch", "in flight", *(title for _, title, _, _ in COLUMNS), "steps, ms a window", "note"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        cells = ["–" if row.get(k) is None else format(row[k] * unit, form) for k, _, unit, form in COLUMNS]
        steps = {k.removesuffix("_s"): 1e3 * s / row["windows"] for k, s in row.get("steps_s", {}).items()}
        said = ", ".join(f"{name} {value:.1f}" for name, value in steps.items()) or "–"
        cells = [row["kind"], row["mode"], str(row["batch"]), str(row["in_flight"]), *cells, said]
        lines.append(" | ".join([*cells, row.get("note", "")]))
    return "\n".join(f"| {line} |" for line in lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--networks", choices=ENCODERS, help="default: b5; quick: light")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"])
    parser.add_argument("--modes", nargs="+", default=["eager"], choices=["eager", "benchmark", *list(MODES)[1:]])
    parser.add_argument("--batches", nargs="+", type=int, help="windows a pass; default: 2 4 8 16, on the CPU 1")
    parser.add_argument("--in-flight", nargs="+", type=int, default=[2, 4, 6], help="units worked on at once")
    parser.add_argument("--pixels", type=int, help="side of the scene; default: 16000, quick: 1700")
    parser.add_argument("--seconds", type=float, default=5.0, help="of bare passes")
    parser.add_argument("--cores", type=int, help="for torch; default: all, quick: 1")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--quick", action="store_true", help="light networks, tiles of 256 px, the CPU")
    parser.add_argument("--work", type=Path, help="folder for stores and bundles; default: a temporary one")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def base_of(arguments: argparse.Namespace, folder: str) -> Setting:
    """Return what all rows share."""
    quick = arguments.quick
    device = "cpu" if quick else arguments.device
    return Setting(
        kind="bare",
        folder=folder,
        networks=arguments.networks or ("light" if quick else "b5"),
        device=device,
        precision=choose(device, arguments.precision),
        pixels=arguments.pixels or (1_700 if quick else 16_000),
        tile_px=256 if quick else 512,
        seconds=arguments.seconds,
        profile=arguments.profile,
        cores=arguments.cores or (1 if quick else None),
    )


def main() -> None:
    """Measure every row, print the table and write it."""
    arguments = _arguments()
    if arguments.row:
        print(json.dumps(measure(Setting(**json.loads(arguments.row)))))
        return
    with tempfile.TemporaryDirectory() as temporary:
        base = base_of(arguments, str(arguments.work.resolve() if arguments.work else temporary))
        make_bundles(base)
        make_scene(base)
        batches = arguments.batches or ([1] if base.device == "cpu" else [2, 4, 8, 16])
        rows = race(base, arguments.modes, batches, arguments.in_flight, arguments.rounds)
    gpu = torch.cuda.get_device_name() if base.device != "cpu" else None
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": gpu or f"{os.cpu_count()} cores, {platform.machine()}",
        "torch": torch.__version__,
        "rows": [{k: v for k, v in row.items() if k != "folder"} for row in rows],
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))
    for row in rows:
        for kernel in row.get("kernels", ()):
            print(f"{row['mode']} {row['batch']}: {kernel['share']:6.1%} {kernel['calls']:5} x {kernel['name']}")


if __name__ == "__main__":
    main()
