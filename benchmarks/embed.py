"""How much slower than its bare network is Embed, from a store on disk to vectors on disk?

    python -m benchmarks.embed                          vit_tiny and ViT-B/16 at 224 px, frames and windows
    python -m benchmarks.embed --networks vit_tiny --images 512

    transformer   forward passes alone, of images that lie in memory scaled and resized already
    embedder      scaling, resizing and forward passes, of images that lie in memory as they are stored
    ... two teams the same passes on a CPU, two at once, each on half of the threads, as Sandan runs them
    sandan        the stage: read the store, scale, resize, forward, write vectors and markers; one worker, two units in
                  hand, on a CPU two passes at once

All have the same network (random weights), number format, batch and threads, and the same images: frames of 3 bands of
224 px (uint8), windows of 4 bands of 512 px (uint16). Times begin when the network is loaded and has answered once.
Each is a process of its own; they take turns. The table shows medians, and in the last column the share in processor
seconds, which other processes on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from cluster.engine import Done, SerialEngine
from cluster.heap import keep_memory, one_heap_for_children
from cluster.marked import Marked
from jobs.embed_network import load
from jobs.embed_stage import Embed, Source
from jobs.plan import Precision
from jobs.teams import Teams
from models.card import CARD_FILE
from models.embedder import EmbedderSpec, build_embedder
from models.embedder_bundle import save_embedder
from models.embedder_card import EmbedderCard, read_embedder_card
from models.precision import choose
from tiler.embedding_items import WHOLE, SceneItems
from tiler.embedding_store import (
    UNIT_FRAMES,
    UNIT_WINDOWS,
    Embedded,
    EmbedUnit,
    create_frame_embeddings,
    create_scene_embeddings,
)
from tiler.frame_store import BLOCK_SLOTS, FrameLayout, fill_frames, make_frame_store
from tiler.grids import Box, PixelGrid
from tiler.lattice import Lattice
from tiler.scene_store import SceneStore, create_scene_store
from tiler.scenes import Scene
from tiler.sensors import SENSORS
from tiler.shards import shard_box, shards_of
from tiler.stores import array_of, open_group, write_shard

NETWORKS = {"vit_tiny": "vit_tiny_patch16_224", "vit_base": "vit_base_patch16_224"}
FRAME_PX, TILE_PX, ACROSS = 224, 512, 16
TWO_TEAMS = "embedder, two teams"
CONTENDERS = ("transformer", "embedder", TWO_TEAMS, "sandan")


def bundle(folder: Path, architecture: str, channels: tuple[str, ...]) -> str:
    """Write an embedder with random weights; return its folder."""
    spec = EmbedderSpec(architecture=architecture, in_channels=len(channels))
    offset, scale = (0.0,) * len(channels), (255.0 if len(channels) == 3 else 10_000.0,) * len(channels)
    torch.manual_seed(1)
    embedder = build_embedder(spec, offset, scale)
    card = EmbedderCard(
        kind="embedder",
        name=architecture,
        architecture=architecture,
        side_px=spec.side_px,
        dimension=embedder.dimension,
        width=embedder.dimension,
        channels=channels,
        sensor="BENCH",
        offset=offset,
        scale=scale,
        method="frozen",
        training_data="none",
        weights="random:1",
    )
    place = folder / f"{architecture}-{len(channels)}"
    save_embedder(place, embedder, card)
    return str(place)


def frames(folder: Path, count: int) -> str:
    """Write a frame store of noise over clouds; return its address."""
    random, url = np.random.default_rng(3), f"{folder}/frames.zarr"
    layout = FrameLayout(
        "bench", "BENCH", ("ir", "swir", "wv"), FRAME_PX, FRAME_PX, "uint8", 10_800, 0, 0, (0.0,) * 3, (255.0,) * 3
    )
    make_frame_store(url, layout, -(-count // BLOCK_SLOTS))
    group = open_group(url)
    for block in range(-(-count // BLOCK_SLOTS)):
        places = list(range(min(BLOCK_SLOTS, count - block * BLOCK_SLOTS)))
        images = random.integers(60, 200, (len(places), 3, FRAME_PX, FRAME_PX), np.uint8)
        fill_frames(group, block, places, images, np.ones(images.shape, bool), block + 1)
    return url


def scene(folder: Path, count: int) -> str:
    """Write a scene store with so many windows; return its address."""
    random, url = np.random.default_rng(4), f"{folder}/scene.zarr"
    height, width = -(-count // ACROSS) * TILE_PX, ACROSS * TILE_PX
    grid = PixelGrid("EPSG:32652", (10.0, 0.0, 3e5, 0.0, -10.0, 4e6), height, width)
    made = Scene("bench", None, SENSORS["SN10"], grid, "uint16", (), "bench", 0)
    create_scene_store(url, made, False)
    group = open_group(url)
    for shard in shards_of("bench", grid):
        box: Box = shard_box(shard, grid)
        image = random.integers(200, 9000, (4, box.height, box.width), np.uint16)
        write_shard(array_of(group, "image"), (slice(None), *box.slices), image)
        write_shard(array_of(group, "valid"), box.slices, np.ones((box.height, box.width), bool))
    group.update_attributes({"quality": {"bands": [{"median": 4000.0}] * 4}})
    return url


def stage_of(kind: str, images: str, folder: Path, model: str, count: int, how: Precision) -> tuple[Any, list]:
    """Return a stage that fills a new store, and its units."""
    name = f"bench-{uuid4().hex}"
    url = f"{folder}/vectors-{kind}-{name}.zarr"
    dimension = read_embedder_card((Path(model) / CARD_FILE).read_bytes()).dimension
    what = Embedded("bench", "bench", "BENCH", "bench", "sha256:0", dimension, 0.9)
    if kind == "frames":
        create_frame_embeddings(url, what, np.arange(count).astype("datetime64[h]"), (FRAME_PX, FRAME_PX))
    else:
        grid = SceneStore(images).grid
        create_scene_embeddings(
            url, what, SceneItems(Lattice(grid.height, grid.width, TILE_PX, 0), WHOLE, grid), None, 10
        )
    units = -(-count // (UNIT_FRAMES if kind == "frames" else UNIT_WINDOWS))
    return Embed({name: Source(url, images)}, model, how), [EmbedUnit(name, index) for index in range(units)]


def run_one(contender: str, kind: str, network: str, count: int, how: Precision, folder: Path) -> dict[str, float]:
    """Run one contender in this process; return seconds and processor seconds an image."""
    model, images = _place(folder, kind, network)
    side, channels = (FRAME_PX, 3) if kind == "frames" else (TILE_PX, 4)
    dtype = np.uint8 if kind == "frames" else np.uint16
    if contender == "sandan":
        stage, units = stage_of(kind, images, folder, model, count, how)
        work = stage()
        work(units[0])  # the network answers once; done again below
        marked = Marked(lambda: work, f"{folder}/markers-{kind}-{uuid4().hex}")

        def run() -> None:
            results = list(SerialEngine(concurrency=2).run(marked, units))
            assert all(isinstance(one, Done) for one in results), results

    else:
        _, embedder = load(model, how)
        stored = np.random.default_rng(5).integers(60, 200, (how.batch, channels, side, side)).astype(dtype)
        valid = torch.from_numpy(np.ones((how.batch, 1, side, side), bool))
        passes, device = -(-count // how.batch), how.device
        with torch.inference_mode():
            ready = embedder.prepared(torch.from_numpy(stored).to(device), valid.to(device))
            ready = ready.to(next(embedder.network.parameters()).dtype)

        def once() -> None:
            if contender == "transformer":
                embedder.network(ready)
            else:
                embedder(torch.from_numpy(stored).to(device), valid.to(device)).cpu()

        def run() -> None:
            with torch.inference_mode():
                for _ in range(passes):
                    once()
                if device == "cuda":
                    torch.cuda.synchronize()

        if contender == TWO_TEAMS:
            teams = Teams.of(torch.get_num_threads(), device).start()

            def one() -> None:
                with torch.inference_mode():
                    once()

            for done in [teams.submit(one) for _ in range(teams.count)]:
                done.result()

            def run() -> None:
                for done in [teams.submit(one) for _ in range(passes)]:
                    done.result()

        with torch.inference_mode():
            once()
        count = passes * how.batch
    began, busy = time.perf_counter(), time.process_time()
    run()
    return {"seconds": (time.perf_counter() - began) / count, "processor": (time.process_time() - busy) / count}


def _place(folder: Path, kind: str, network: str) -> tuple[str, str]:
    """Return where the bundle and the images of a measurement lie."""
    channels = 3 if kind == "frames" else 4
    return f"{folder}/{NETWORKS[network]}-{channels}", f"{folder}/{'frames' if kind == 'frames' else 'scene'}.zarr"


def start(contender: str, kind: str, network: str, count: int, how: Precision, folder: Path) -> dict[str, float]:
    """Run one contender in a process of its own: of two in one process, each slows the other's threads down."""
    words = [sys.executable, "-m", "benchmarks.embed", "--one", contender, "--kinds", kind, "--networks", network]
    words += ["--images", str(count), "--batch", str(how.batch), "--folder", str(folder)]
    environment = dict(os.environ)
    one_heap_for_children(environment)
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(kind: str, network: str, count: int, how: Precision, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure all contenders on one kind of images."""
    channels = ("ir", "swir", "wv") if kind == "frames" else ("red", "green", "blue", "nir")
    made = bundle(folder, NETWORKS[network], channels), (frames if kind == "frames" else scene)(folder, count)
    assert made == _place(folder, kind, network)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, told in found.items():
            told.append(start(name, kind, network, count, how, folder))
    rates = {name: 1 / statistics.median(one["seconds"] for one in told) for name, told in found.items()}
    used = {name: statistics.median(one["processor"] for one in told) for name, told in found.items()}
    return {
        "images": kind,
        "network": network,
        "precision": how.precision,
        "batch": how.batch,
        "count": count,
        **{f"{name}_per_s": rate for name, rate in rates.items()},
        "of_embedder": rates["sandan"] / rates["embedder"],
        "of_embedder_two_teams": rates["sandan"] / rates[TWO_TEAMS],
        "of_transformer": rates["sandan"] / rates["transformer"],
        "processor_of_embedder": used["embedder"] / used["sandan"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    head = (
        "network",
        "images",
        "precision",
        "transformer /s",
        "embedder /s",
        "embedder, two teams /s",
        "sandan /s",
        "of embedder",
        "of two teams",
        "of transformer",
        "processor seconds of embedder",
    )
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (row["network"], row["images"], f"{row['precision']} x {row['batch']}")
        rates = (f"{row[f'{name}_per_s']:.1f}" for name in CONTENDERS)
        shares = (
            f"{row[n]:.3f}" for n in ("of_embedder", "of_embedder_two_teams", "of_transformer", "processor_of_embedder")
        )
        lines.append(f"| {' | '.join((*cells, *rates, *shares))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--kinds", nargs="+", choices=("frames", "windows"), default=["frames", "windows"])
    parser.add_argument("--images", type=int, default=0, help="of each kind; default: 1,024, of ViT-B/16 256")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = arguments.batch or {"cpu": 16, "cuda": 128}[device]
    if arguments.one:
        keep_memory()
        how = Precision(device, choose(device), batch)
        which = arguments.kinds[0], arguments.networks[0], arguments.images
        print(json.dumps(run_one(arguments.one, *which, how, arguments.folder)))
        return
    rows = []
    for network in arguments.networks:
        for kind in arguments.kinds:
            count = arguments.images or (1024 if network == "vit_tiny" else 256)
            with tempfile.TemporaryDirectory() as folder:
                how = Precision(device, choose(device), batch)
                rows.append(measure(kind, network, count, how, arguments.rounds, Path(folder)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    on = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores"
    facts = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "on": on, "torch": torch.__version__}
    arguments.out.write_text(json.dumps({**facts, "rows": rows}, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
