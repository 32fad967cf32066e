"""Who runs a network fastest on this CPU: torch as it is, torch.compile, ONNX Runtime or OpenVINO?

    pip install onnx onnxscript onnxruntime openvino              one that is absent is left out
    python benchmarks/backends.py                                 a small U-Net
    python benchmarks/backends.py --networks unetpp-b5            as national maps use: minutes

Everybody gets the same scaled window (512 px, 5 channels) in four views as one pass, with the same number of threads.
The networks are without their scaling and without what Sandan does around them. bf16 of torch: weights and
activations; of OpenVINO: its own hint, which leaves some layers in float32. Error: largest and root mean square
difference of a logit from torch's in float32, divided by their standard deviation. Prepare: loading, exporting,
compiling and the first pass.

Contenders are processes that live side by side and take turns of some passes; the table shows medians of the turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.heap import keep_memory
from models.networks import NetworkSpec, SegmentationNetwork, build
from models.precision import prepare, supports

NETWORKS = {
    "small": ("unet", "tu-mobilenetv3_small_100"),
    "unetpp-b5": ("unetplusplus", "efficientnet-b5"),
    "deeplab-b5": ("deeplabv3plus", "efficientnet-b5"),
}
VIEWS, CHANNELS = 4, 5
NEEDS = {"onnxruntime": "onnxruntime", "openvino": "openvino"}
CONTENDERS = (
    "torch fp32",
    "torch bf16",
    "compile fp32",
    "compile bf16",
    "onnxruntime fp32",
    "openvino fp32",
    "openvino bf16",
)

Pass = Callable[[], np.ndarray]


def network_of(name: str) -> SegmentationNetwork:
    """Return a network with random weights whose normalisations fit random input."""
    torch.manual_seed(1)
    architecture, encoder = NETWORKS[name]
    network = build(NetworkSpec(architecture=architecture, encoder=encoder, in_channels=CHANNELS))
    for module in network.modules():  # as drawn, activations vanish with depth, and errors with them
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(3):
            network.train()(torch.randn(2, CHANNELS, 256, 256))
    return network.eval()


def views(side_px: int) -> torch.Tensor:
    """Return one window in its views: float32, channels last."""
    torch.manual_seed(2)
    return torch.randn(VIEWS, CHANNELS, side_px, side_px).contiguous(memory_format=torch.channels_last)


def with_torch(network: SegmentationNetwork, shown: torch.Tensor, precision: str, compiled: bool) -> Pass:
    """Prepare torch as Infer runs it, with or without torch.compile."""
    ready = prepare(network, precision, "cpu")
    inner = torch.compile(ready.network) if compiled else ready.network
    shown = shown.to(next(ready.parameters()).dtype)
    return lambda: inner(shown).float().numpy()


def with_onnxruntime(network: SegmentationNetwork, shown: torch.Tensor, precision: str, threads: int) -> Pass:
    """Prepare ONNX Runtime, whose CPU kernels have no bfloat16."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/network.onnx"
        torch.onnx.export(network.network, (shown,), file, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: shown.contiguous().numpy()}
    return lambda: session.run(None, feed)[0]


def with_openvino(network: SegmentationNetwork, shown: torch.Tensor, precision: str, threads: int) -> Pass:
    """Prepare OpenVINO."""
    import openvino

    shown = shown.contiguous()
    model = openvino.convert_model(network.network, example_input=shown, input=list(shown.shape))
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return lambda: compiled(shown.numpy())[0]


def work(name: str, contender: str, side_px: int, threads: int) -> None:
    """Be a contender: say what preparing took, then do as many passes as each line asks for, and say their seconds."""
    began = time.monotonic()
    keep_memory()  # as workers of Infer do, whoever runs their networks
    torch.set_num_threads(threads)
    kind, precision = contender.split()
    network, shown = network_of(name), views(side_px)
    with torch.inference_mode():
        if kind in ("torch", "compile"):
            forward = with_torch(network, shown, precision, kind == "compile")
        else:
            with torch.inference_mode(False):
                other = {"onnxruntime": with_onnxruntime, "openvino": with_openvino}[kind]
                forward = other(network, shown, precision, threads)
        answer = forward()
        prepared_s = time.monotonic() - began
        exact = network.network(shown).numpy()
        off = (answer - exact) / exact.std()
        facts = {"prepare_s": prepared_s, "largest_error": float(np.abs(off).max()), "rms_error": float(off.std())}
        print(json.dumps(facts), flush=True)
        for line in sys.stdin:
            began = time.monotonic()
            for _ in range(int(line)):
                forward()
            print(json.dumps((time.monotonic() - began) / int(line)), flush=True)


def race(name: str, contenders: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what each contender said: preparing, error, and seconds of a pass in each round."""
    found: dict[str, Any] = {}
    running: dict[str, subprocess.Popen] = {}
    for contender in contenders:
        words = [sys.executable, __file__, "--one", contender, "--networks", name]
        words += ["--threads", str(arguments.threads), "--side", str(arguments.side)]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
            try:
                found[contender] = {**ask(process), "seconds": []}
                running[contender] = process
            except EOFError:
                errors.seek(0)
                said = errors.read().decode().strip().splitlines() or [f"ended with {process.wait()}"]
                found[contender] = {"note": said[-1][:160]}
    for _ in range(arguments.rounds):
        for contender, process in running.items():
            found[contender]["seconds"].append(ask(process, str(arguments.passes)))
    for process in running.values():
        process.communicate()
    return found


def ask(process: subprocess.Popen, line: str = "") -> Any:
    """Send a line, if there is one, and return the JSON of the answer.

    Raises:
        EOFError: the process ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
    for answer in process.stdout:
        try:
            return json.loads(answer)
        except ValueError:
            continue  # exporters talk
    raise EOFError


def table(name: str, found: dict[str, Any]) -> str:
    """Return a table in markdown; rates are set against torch in the better of its number formats."""
    medians = {c: statistics.median(f["seconds"]) for c, f in found.items() if f.get("seconds")}
    eager = min((s for c, s in medians.items() if c.startswith("torch")), default=float("nan"))
    heads = f"| {name} | ms a window (4 views) | times torch's best rate | largest error | rms error | prepare, s |"
    lines = [heads, "| --- " * 6 + "|"]
    for contender, facts in found.items():
        if contender not in medians:
            lines.append(f"| {contender} | {facts['note']} | | | | |")
            continue
        cells = f"{medians[contender] * 1e3:.0f} | {eager / medians[contender]:.2f}"
        errors = f"{facts['largest_error']:.1e} | {facts['rms_error']:.1e}"
        lines.append(f"| {contender} | {cells} | {errors} | {facts['prepare_s']:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Race, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["small"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passes", type=int, default=5, help="of a turn")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        work(arguments.networks[0], arguments.one, arguments.side, arguments.threads)
        return
    present = [
        c
        for c in arguments.contenders
        if importlib.util.find_spec(NEEDS.get(c.split()[0], "torch")) and supports("cpu", c.split()[1])
    ]
    result = {"date": datetime.now(UTC).date().isoformat(), "threads": arguments.threads, "torch": torch.__version__}
    result["networks"] = {}
    for name in arguments.networks:
        result["networks"][name] = race(name, present, arguments)
        print(table(name, result["networks"][name]), flush=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
