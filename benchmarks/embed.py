"""How much slower than its bare network is Embed, from a store on disk to vectors on disk?

    python -m benchmarks.embed                          vit_tiny and ViT-B/16 at 224 px, frames and windows
    python -m benchmarks.embed --networks vit_tiny --images 512

    transformer   forward passes alone, of images that lie in memory scaled and resized already
    embedder      scaling, resizing and forward passes, of images that lie in memory as they are stored
    sandan        the stage: read the store, scale, resize, forward, write vectors and markers; one worker, two units in
                  hand

All have the same network (random weights), number format, batch and threads, and the same images: frames of 3 bands of
224 px (uint8), windows of 4 bands of 512 px (uint16). Times begin when the network is loaded and has answered once.
They take turns; the table shows medians, and in the last column the share in processor seconds, which other processes
on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cluster.engine import Done, SerialEngine
from cluster.heap import keep_memory
from cluster.marked import Marked
from jobs.embed_network import Network
from jobs.embed_stage import Embed, Source
from jobs.plan import Precision
from models.embedder import EmbedderSpec, build_embedder
from models.embedder_bundle import save_embedder
from models.embedder_card import EmbedderCard
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


def stage_of(
    kind: str, images: str, folder: Path, model: str, count: int, how: Precision, turn: int
) -> tuple[Any, list]:
    """Return a stage that fills a new store, and its units."""
    url, name = f"{folder}/vectors-{kind}-{turn}.zarr", f"bench-{turn}"
    dimension = Network(model, how).card.dimension
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


def measure(kind: str, network: str, count: int, how: Precision, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure all contenders on one kind of images."""
    channels = ("ir", "swir", "wv") if kind == "frames" else ("red", "green", "blue", "nir")
    model, images = bundle(folder, NETWORKS[network], channels), (frames if kind == "frames" else scene)(folder, count)
    side = FRAME_PX if kind == "frames" else TILE_PX
    dtype = np.uint8 if kind == "frames" else np.uint16
    stored = np.random.default_rng(5).integers(60, 200, (how.batch, len(channels), side, side)).astype(dtype)
    valid, bare = np.ones((how.batch, 1, side, side), bool), Network(model, how)
    device, passes = how.device, -(-count // how.batch)
    with torch.inference_mode():
        ready = bare.embedder.prepared(torch.from_numpy(stored).float().to(device), torch.from_numpy(valid).to(device))
        ready = ready.to(next(bare.embedder.network.parameters()).dtype)

    def transformer() -> None:
        with torch.inference_mode():
            for _ in range(passes):
                bare.embedder.network(ready)
            if device == "cuda":
                torch.cuda.synchronize()

    def embedder() -> None:
        with torch.inference_mode():
            for _ in range(passes):
                bare.embedder(torch.from_numpy(stored).to(device).float(), torch.from_numpy(valid).to(device)).cpu()

    seconds: dict[str, list[float]] = {"transformer": [], "embedder": [], "sandan": []}
    processor: dict[str, list[float]] = {name: [] for name in seconds}
    for turn in range(rounds):
        stage, units = stage_of(kind, images, folder, model, count, how, turn)
        work = stage()
        bare.embedder(torch.from_numpy(stored).to(device).float(), torch.from_numpy(valid).to(device))

        def sandan(work: Callable = work, units: list = units, turn: int = turn) -> None:
            marked = Marked(lambda: work, f"{folder}/markers-{kind}-{turn}")
            results = list(SerialEngine(concurrency=2).run(marked, units))
            assert all(isinstance(one, Done) for one in results), results

        for name, run in (("transformer", transformer), ("embedder", embedder), ("sandan", sandan)):
            began, busy = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - busy)
    rates = {name: passes * how.batch / statistics.median(took) for name, took in seconds.items()}
    rates["sandan"] = count / statistics.median(seconds["sandan"])
    used = {name: statistics.median(took) for name, took in processor.items()}
    return {
        "images": kind,
        "network": network,
        "precision": how.precision,
        "batch": how.batch,
        "count": count,
        **{f"{name}_per_s": rate for name, rate in rates.items()},
        "of_embedder": rates["sandan"] / rates["embedder"],
        "of_transformer": rates["sandan"] / rates["transformer"],
        "processor_of_embedder": used["embedder"] / used["sandan"] * count / (passes * how.batch),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    head = (
        "network",
        "images",
        "precision",
        "transformer /s",
        "embedder /s",
        "sandan /s",
        "of embedder",
        "of transformer",
    )
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (row["network"], row["images"], f"{row['precision']} x {row['batch']}")
        rates = (f"{row[f'{name}_per_s']:.1f}" for name in ("transformer", "embedder", "sandan"))
        shares = (f"{row[n]:.3f}" for n in ("of_embedder", "of_transformer", "processor_of_embedder"))
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
    arguments = parser.parse_args()
    keep_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = arguments.batch or {"cpu": 16, "cuda": 128}[device]
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
