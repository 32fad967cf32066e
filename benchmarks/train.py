"""How fast does the trainer train, beside the bare step of the same network on tensors that already lie on the device?

    python benchmarks/train.py --batch 16              U-Net++ and DeepLabV3+ on EfficientNet-B5, 512 px, 5 channels
    python benchmarks/train.py --reader augment        with the augmentation of the 30 m recipe (numpy)
    python benchmarks/train.py --quick                 a light encoder, 64 px, on the CPU: under two minutes

Needs `models/` and `tiler/augment*.py` of this repository with torch, timm, segmentation-models-pytorch, safetensors,
pydantic and huggingface-hub; no Ray, rasterio or zarr, and no network. A GPU machine that lacks some of them can be
given wheels: `pip download --no-deps -d wheels segmentation-models-pytorch`, there `pip install --no-deps --target site
wheels/*.whl`, then `PYTHONPATH=site:. python benchmarks/train.py`.

Rows. Networks and images are channels last everywhere, as in the trainer.

    fp32          float32 with TensorFloat-32 switched off
    tf32          float32 with TensorFloat-32 for convolutions and matrices. Torch's default, which the trainer leaves
                  as it is, is on for convolutions and off for matrices: `precision: fp32` is nearer to this row
    bf16          autocast to bfloat16, losses float32
    bf16-compile  the same with torch.compile

Columns. Trainer: `models.train.train` over a reader, with a progress report after each step, as jobs call it. Bare:
forward, the same loss, backward and optimizer on one batch that stays on the device. Ratio: trainer to bare by the
clock; where the CPU trains also by CPU time, which neighbours on the machine change less (with `--cores 1`: idle
threads of torch spin). Loader: the batches of the trainer alone, with nobody to train; the trainer cannot be faster in
the long run, but has 2 * threads + 1 batches in hand when timing starts, so take many more steps than that. Compile:
from the call to the end of the first step, less one step.

Every row is a process of its own: one that ends out of memory says so, and the others go on.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.loading import load_batch, read_ahead
from models.losses import LOSSES, denominators, label_counts
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.optimise import make_optimizer
from models.precision import PRECISIONS, supports
from models.train import StepReport, TrainSpec, train

BANDS = 4
LS30 = ("RandomResizedCrop", "HorizontalFlip", "VerticalFlip", "RandomRotate90", "GaussianNoise", "CoarseDropout")


@dataclass(frozen=True)
class Arithmetic:
    """What a row of the table means."""

    precision: str
    """A key of `models.precision.PRECISIONS`."""
    tf32: bool | None = None
    """TensorFloat-32 for all (True) or for nothing (False); None: as torch has it."""
    compile: bool = False


ARITHMETIC = {
    "fp32": Arithmetic("fp32", tf32=False),
    "tf32": Arithmetic("fp32", tf32=True),
    "bf16": Arithmetic("bf16"),
    "bf16-compile": Arithmetic("bf16", compile=True),
}


@dataclass(frozen=True)
class Setting:
    """One row: what is measured."""

    architecture: str
    precision: str
    """A key of `ARITHMETIC`."""
    encoder: str = "efficientnet-b5"
    side_px: int = 512
    batch: int = 16
    steps: int = 50
    """Timed."""
    warmup: int = 10
    """Steps before those; at least 1."""
    device: str = "cpu"
    reader: str = "memory"
    """memory, or augment: with the operations `LS30`."""
    threads: int = 2
    """That read ahead."""
    cores: int | None = None
    """For torch; None: all."""


@dataclass(frozen=True)
class Seconds:
    """How long a step takes."""

    clock: float
    cpu: float
    """Of all threads of this process."""
    first: float = 0.0
    """By the clock, from the beginning to the end of the first step."""


class Tiles:
    """Deflated uint16 tiles in memory, decoded when asked for, behind the protocol of `models.loading.Reader`."""

    def __init__(self, setting: Setting, kept: int = 32) -> None:
        self._side, self._length = setting.side_px, setting.batch * (setting.warmup + setting.steps)
        self._epoch, self._augment = 0, None
        random, coarse_px = np.random.default_rng(0), -(-setting.side_px // 16)
        self._tiles, self._labels = [], []
        for _ in range(kept):
            coarse = random.normal(1_500, 500, (BANDS, coarse_px, coarse_px)).repeat(16, 1).repeat(16, 2)
            fine = coarse[:, : self._side, : self._side] + random.normal(0, 60, (BANDS, self._side, self._side))
            # the bytes of a number apart, as in the tile store
            planes = fine.clip(1, 10_000).astype("<u2").view(np.uint8).reshape(-1, 2).T
            self._tiles.append(zlib.compress(planes.tobytes(), 1))
            label = (fine[0] > 1_900).astype(np.uint8)
            label[:: max(2, self._side // 8)] = 255
            self._labels.append(zlib.compress(label.tobytes(), 1))
        if setting.reader == "augment":
            from tiler.augment import Channels, compose

            names, zeros = ("red", "green", "blue", "nir", "mask"), (0.0,) * 5
            self._augment = compose(LS30, Channels(names, (1_500.0,) * 4 + (0.0,), (500.0,) * 4 + (1.0,), zeros))

    def __len__(self) -> int:
        """Samples of the warm-up and of the timed steps."""
        return self._length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 (bands + mask, y, x) and uint8 (y, x)."""
        place, shape = index % len(self._tiles), (self._side, self._side)
        planes = np.frombuffer(zlib.decompress(self._tiles[place]), np.uint8).reshape(2, -1)
        image = np.empty((BANDS + 1, *shape), np.float32)
        image[:BANDS] = np.ascontiguousarray(planes.T).view("<u2").reshape(BANDS, *shape)
        image[BANDS] = image[0] == 0
        label = np.frombuffer(zlib.decompress(self._labels[place]), np.uint8).reshape(shape)
        if self._augment is None:
            return image, label
        return self._augment(image, label, np.random.default_rng([self._epoch, index]))

    def set_epoch(self, epoch: int) -> None:
        """Remember the epoch, from which augmentation draws."""
        self._epoch = epoch


def network_of(setting: Setting) -> SegmentationNetwork:
    """Return the network with random weights."""
    torch.manual_seed(0)
    spec = NetworkSpec(architecture=setting.architecture, encoder=setting.encoder, in_channels=BANDS + 1)
    return build(spec, [1_500.0] * BANDS + [0.0], [500.0] * BANDS + [1.0])


def spec_of(setting: Setting) -> TrainSpec:
    """Return one epoch of the trainer's defaults."""
    how = ARITHMETIC[setting.precision]
    return TrainSpec(epochs=1, batch=setting.batch, precision=how.precision, compile=how.compile, learning_rate=1e-4)


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def trainer_seconds(setting: Setting) -> Seconds:
    """Return the seconds of a step of the trainer."""
    ends: list[np.ndarray] = []

    def on_step(report: StepReport) -> None:  # its loss has been read, so the step is over on the device too
        ends.append(_now())

    tiles, network, spec, start = Tiles(setting), network_of(setting), spec_of(setting), _now()
    train(network, tiles, None, spec, device=setting.device, on_step=on_step, reader_threads=setting.threads)
    clock, cpu = (ends[-1] - ends[setting.warmup - 1]) / setting.steps
    return Seconds(clock, cpu, first=float((ends[0] - start)[0]))


def bare_seconds(setting: Setting) -> Seconds:
    """Return the seconds of a step without loading, counting or reporting."""
    how, spec, device = ARITHMETIC[setting.precision], spec_of(setting), torch.device(setting.device)
    network = network_of(setting).to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = make_optimizer(network, spec.learning_rate, spec.weight_decay, spec.optimizer)
    shape = (setting.batch, BANDS + 1, setting.side_px, setting.side_px)
    images = (torch.rand(shape, device=device) * 3_000).contiguous(memory_format=torch.channels_last)
    labels = (torch.rand(shape[:1] + shape[2:], device=device) < 0.2).to(torch.uint8)
    options = spec.loss_options()
    whole = denominators(label_counts(labels, 2), options)
    forward = torch.compile(network) if how.compile else network
    dtype = PRECISIONS[how.precision]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, None if dtype == torch.float32 else dtype, enabled=dtype != torch.float32):
            logits = forward(images)
        LOSSES[spec.loss](logits, labels, whole, options).backward()
        optimizer.step()

    return seconds_of(step, setting, device)


def loader_seconds(setting: Setting) -> Seconds:
    """Return the seconds of a batch where loading is all there is to do."""
    tiles, device = Tiles(setting), torch.device(setting.device)
    numbers = np.arange(len(tiles)).reshape(-1, setting.batch)

    def load(part: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        images, labels = load_batch(tiles, part, pin=device.type == "cuda")
        return images, label_counts(labels, 2)

    batches = read_ahead(load, numbers, setting.threads)
    return seconds_of(lambda: next(batches), setting, device)


def seconds_of(step: Callable[[], object], setting: Setting, device: torch.device) -> Seconds:
    """Return the mean of the steps behind the warm-up."""

    def wait() -> np.ndarray:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return _now()

    for _ in range(setting.warmup):
        step()
    start = wait()
    for _ in range(setting.steps):
        step()
    clock, cpu = (wait() - start) / setting.steps
    return Seconds(clock, cpu)


def measure(setting: Setting) -> dict[str, Any]:
    """Return the numbers of one row; what could not be measured is left out, and `note` says why."""
    how, row = ARITHMETIC[setting.precision], asdict(setting)
    if not supports(setting.device, how.precision):
        return row | {"note": f"no {how.precision} on {setting.device}"}
    if setting.cores is not None:
        torch.set_num_threads(setting.cores)
    if how.tf32 is not None:
        torch.set_float32_matmul_precision("high" if how.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = how.tf32
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            row["loader"] = setting.batch / loader_seconds(setting).clock
            trainer = trainer_seconds(setting)
            row |= {"trainer": setting.batch / trainer.clock, "memory_bytes": _peak_bytes()}
            if how.compile:
                row["compile_s"] = trainer.first - trainer.clock
            _forget()
            bare = bare_seconds(setting)
            row |= {"bare": setting.batch / bare.clock, "ratio": bare.clock / trainer.clock}
            if setting.device == "cpu":
                row["cpu_ratio"] = bare.cpu / trainer.cpu
        except (torch.OutOfMemoryError, MemoryError):
            row["note"] = "out of memory"
        except RuntimeError as error:  # the CPU's allocator has no error of its own
            if "can't allocate memory" not in str(error):
                raise
            row["note"] = "out of memory"
    failed = [str(w.message) for w in warned if "torch.compile failed" in str(w.message)]
    return row | ({"note": failed[0]} if failed else {})


def _peak_bytes() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def _forget() -> None:
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure_apart(setting: Setting) -> dict[str, Any]:
    """Return the row of a process of its own; whatever ends it is noted."""
    words = [sys.executable, __file__, "--row", json.dumps(asdict(setting))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    said = (done.stderr.strip().splitlines() or [""])[-1]
    note = "killed, perhaps out of memory" if done.returncode == -9 else f"failed ({done.returncode}): {said[:160]}"
    return asdict(setting) | {"note": note}


COLUMNS = (
    ("trainer", "trainer, images/s", 1.0, ".1f"),
    ("bare", "bare, images/s", 1.0, ".1f"),
    ("ratio", "ratio", 1.0, ".3f"),
    ("cpu_ratio", "ratio, CPU", 1.0, ".3f"),
    ("loader", "loader, images/s", 1.0, ".0f"),
    ("memory_bytes", "peak GPU memory, GB", 1e-9, ".2f"),
    ("compile_s", "compile, s", 1.0, ".0f"),
)


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the rows as a table in markdown."""
    heads = ["network", "precision", *(title for _, title, _, _ in COLUMNS), "note"]
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    for row in rows:
        cells = ("–" if row.get(k) is None else format(row[k] * unit, form) for k, _, unit, form in COLUMNS)
        lines.append(" | ".join([row["architecture"], row["precision"], *cells, row.get("note", "")]))
    return "\n".join(f"| {line} |" for line in lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--architectures", default="unetplusplus,deeplabv3plus")
    parser.add_argument("--precisions", help=f"of {','.join(ARITHMETIC)} (default: all; quick: fp32,bf16)")
    parser.add_argument("--encoder", help="default: efficientnet-b5; quick: tu-mobilenetv3_small_050")
    parser.add_argument("--side", type=int, help="pixels; default: 512, quick: 64")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, help="timed; default: 50, quick: 15")
    parser.add_argument("--warmup", type=int, help="steps before those; default: 10, quick: 5")
    parser.add_argument("--reader", choices=("memory", "augment"), default="memory")
    parser.add_argument("--threads", type=int, default=2, help="that read ahead")
    parser.add_argument("--cores", type=int, help="for torch; default: all, quick: 1")
    parser.add_argument("--quick", action="store_true", help="light encoder, small tiles, the CPU")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/train.json"))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace) -> list[Setting]:
    """Return the rows that were asked for.

    Raises:
        ValueError: an unknown precision, or no warm-up.
    """
    quick = arguments.quick
    precisions = (arguments.precisions or ("fp32,bf16" if quick else ",".join(ARITHMETIC))).split(",")
    strange = sorted(set(precisions) - set(ARITHMETIC))
    steps = (15 if quick else 50) if arguments.steps is None else arguments.steps
    warmup = (5 if quick else 10) if arguments.warmup is None else arguments.warmup
    if strange or warmup < 1 or steps < 1:
        raise ValueError(f"--precisions {strange}: known are {list(ARITHMETIC)}; --warmup and --steps are at least 1")
    common = {
        "encoder": arguments.encoder or ("tu-mobilenetv3_small_050" if quick else "efficientnet-b5"),
        "side_px": arguments.side or (64 if quick else 512),
        "device": "cpu" if quick else arguments.device,
        "cores": arguments.cores or (1 if quick else None),
        "steps": steps,
        "warmup": warmup,
        **{name: getattr(arguments, name) for name in ("batch", "reader", "threads")},
    }
    return [Setting(a, p, **common) for a in arguments.architectures.split(",") for p in precisions]


def main() -> None:
    """Measure every row, print the table and write it."""
    arguments = _arguments()
    if arguments.row:
        print(json.dumps(measure(Setting(**json.loads(arguments.row)))))
        return
    rows = []
    for setting in settings_of(arguments):
        rows.append(measure_apart(setting))
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() and not arguments.quick else None
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": gpu or f"{os.cpu_count()} cores, {platform.machine()}",
        "torch": torch.__version__,
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
