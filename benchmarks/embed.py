"""How much slower than its bare network is Embed, from a store on disk to vectors on disk?

    python -m benchmarks.embed                          vit_tiny and ViT-B/16 at 224 px, frames and windows
    python -m benchmarks.embed --networks vit_tiny --images 512

    transformer   forward passes alone, of images that lie in memory scaled and resized already
    embedder      scaling, resizing and forward passes, of images that lie in memory as they are stored; as on a GPU
                  one pass after another, on a CPU each on all threads
    ... in teams  the same in the teams that Sandan runs on: on a CPU two passes at once, each on half of the threads
    sandan        the stage: read the store, scale, resize, forward, write vectors and markers; one worker, two units in
                  hand

All have the same network (random weights), number format, batch and threads, and the same images: frames of 3 bands of
224 px (uint8), windows of 4 bands of 512 px (uint16). Times begin when the network is loaded and has answered once.
The first two are processes of their own. The last two, which are to be compared, take turns in one process, on the same
teams and the same network: between processes, where its weights happen to lie made more difference than what is
measured. The table shows medians of rates, and the median of the shares of all turns, with the least and the most; in
the last column the share in processor seconds, which other processes on the machine disturb less.
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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from cluster.engine import Done, SerialEngine
from cluster.heap import keep_memory, one_heap_for_children
from cluster.marked import Marked
from jobs.embed_network import Network, load
from jobs.embed_stage import Embed, Source
from jobs.plan import Precision
from jobs.stages import prepare_worker
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
BARE = ("transformer", "embedder")
PAIR = ("embedder in teams", "sandan")


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


def run_bare(contender: str, kind: str, network: str, count: int, how: Precision, folder: Path) -> dict[str, float]:
    """Run the transformer or the embedder alone in this process; return seconds and processor seconds an image."""
    _, embedder = load(_place(folder, kind, network)[0], how)
    stored, valid = _stored(kind, how)
    device, passes = how.device, -(-count // how.batch)
    with torch.inference_mode():
        ready = embedder.prepared(stored.to(device), valid.to(device)).to(next(embedder.network.parameters()).dtype)

        def once() -> None:
            if contender == "transformer":
                embedder.network(ready)
            else:
                embedder(stored.to(device), valid.to(device)).cpu()

        def run() -> None:
            for _ in range(passes):
                once()
            if device == "cuda":
                torch.cuda.synchronize()

        once()
        return _timed(run, passes * how.batch)


def run_pair(kind: str, network: str, count: int, how: Precision, turns: int, folder: Path) -> list[dict[str, Any]]:
    """Let the embedder in teams and Sandan take turns in this process, on the same teams and the same network."""
    prepare_worker()
    model, images = _place(folder, kind, network)
    stage, units = stage_of(kind, images, folder, model, count, how)
    worker = Network(model, how, Teams.of(torch.get_num_threads(), how.device))
    work = stage.work(worker)
    stored, valid = _stored(kind, how)
    passes = -(-count // how.batch)

    def bare() -> None:
        for asked in [worker.ask(stored.numpy(), valid.numpy()) for _ in range(passes)]:
            asked.result()

    def sandan() -> None:
        marked = Marked(lambda: work, f"{folder}/markers-{kind}-{uuid4().hex}")
        results = list(SerialEngine(concurrency=2).run(marked, units))
        assert all(isinstance(one, Done) for one in results), results

    bare()
    work(units[0])  # the network answers once; done again below
    return [
        dict(zip(PAIR, (_timed(bare, passes * how.batch), _timed(sandan, count)), strict=True)) for _ in range(turns)
    ]


def _stored(kind: str, how: Precision) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch of images as they are stored, and their validity."""
    side, channels, dtype = (FRAME_PX, 3, np.uint8) if kind == "frames" else (TILE_PX, 4, np.uint16)
    stored = np.random.default_rng(5).integers(60, 200, (how.batch, channels, side, side)).astype(dtype)
    return torch.from_numpy(stored), torch.ones((how.batch, 1, side, side), dtype=torch.bool)


def _timed(run: Callable[[], None], count: int) -> dict[str, float]:
    began, busy = time.perf_counter(), time.process_time()
    run()
    return {"seconds": (time.perf_counter() - began) / count, "processor": (time.process_time() - busy) / count}


def _place(folder: Path, kind: str, network: str) -> tuple[str, str]:
    """Return where the bundle and the images of a measurement lie."""
    channels = 3 if kind == "frames" else 4
    return f"{folder}/{NETWORKS[network]}-{channels}", f"{folder}/{'frames' if kind == 'frames' else 'scene'}.zarr"


def start(contender: str, kind: str, network: str, count: int, how: Precision, turns: int, folder: Path) -> Any:
    """Run one contender, or the pair, in a process of its own: others' threads would slow it down."""
    words = [sys.executable, "-m", "benchmarks.embed", "--one", contender, "--kinds", kind, "--networks", network]
    words += ["--images", str(count), "--batch", str(how.batch), "--rounds", str(turns), "--folder", str(folder)]
    environment = dict(os.environ)
    one_heap_for_children(environment)
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(kind: str, network: str, count: int, how: Precision, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure all contenders on one kind of images."""
    channels = ("ir", "swir", "wv") if kind == "frames" else ("red", "green", "blue", "nir")
    made = bundle(folder, NETWORKS[network], channels), (frames if kind == "frames" else scene)(folder, count)
    assert made == _place(folder, kind, network)
    found: dict[str, list[dict[str, float]]] = {}
    for name in BARE:
        found[name] = [start(name, kind, network, count, how, 1, folder) for _ in range(2)]
    turns = start("pair", kind, network, count, how, rounds, folder)
    found.update({name: [turn[name] for turn in turns] for name in PAIR})
    rates = {name: statistics.median(1 / one["seconds"] for one in told) for name, told in found.items()}
    shares, used = ([turn[PAIR[0]][what] / turn[PAIR[1]][what] for turn in turns] for what in ("seconds", "processor"))
    return {
        "images": kind,
        "network": network,
        "precision": how.precision,
        "batch": how.batch,
        "count": count,
        **{f"{name}_per_s": rate for name, rate in rates.items()},
        "of_embedder_in_teams": statistics.median(shares),
        "least_and_most": [min(shares), max(shares)],
        "of_embedder": rates["sandan"] / rates["embedder"],
        "of_transformer": rates["sandan"] / rates["transformer"],
        "processor_of_embedder_in_teams": statistics.median(used),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown."""
    head = ("network", "images", "precision", *(f"{name} /s" for name in (*BARE, *PAIR)))
    head += ("of embedder in teams", "of embedder", "of transformer", "processor seconds of embedder in teams")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (row["network"], row["images"], f"{row['precision']} x {row['batch']}")
        rates = (f"{row[f'{name}_per_s']:.1f}" for name in (*BARE, *PAIR))
        least, most = row["least_and_most"]
        share = f"**{row['of_embedder_in_teams']:.3f}** ({least:.3f} to {most:.3f})"
        others = (f"{row[n]:.3f}" for n in ("of_embedder", "of_transformer", "processor_of_embedder_in_teams"))
        lines.append(f"| {' | '.join((*cells, *rates, share, *others))} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--kinds", nargs="+", choices=("frames", "windows"), default=["frames", "windows"])
    parser.add_argument("--images", type=int, default=1024, help="of each kind")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7, help="turns of the last two")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = arguments.batch or {"cpu": 16, "cuda": 128}[device]
    if arguments.one:
        keep_memory()
        how = Precision(device, choose(device), batch)
        which = arguments.kinds[0], arguments.networks[0], arguments.images, how
        if arguments.one == "pair":
            print(json.dumps(run_pair(*which, arguments.rounds, arguments.folder)))
        else:
            print(json.dumps(run_bare(arguments.one, *which, arguments.folder)))
        return
    rows = []
    for network in arguments.networks:
        for kind in arguments.kinds:
            with tempfile.TemporaryDirectory() as folder:
                how = Precision(device, choose(device), batch)
                rows.append(measure(kind, network, arguments.images, how, arguments.rounds, Path(folder)))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    on = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores"
    facts = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "on": on, "torch": torch.__version__}
    arguments.out.write_text(json.dumps({**facts, "rows": rows}, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
