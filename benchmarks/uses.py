"""What embeddings are good for, on a synthetic country where the truth is known.

    python benchmarks/uses.py runs/uses --json benchmarks/uses.json

Searches for places like an estate, alarms of drift, planted duplicates, planted changes and one round of active
learning, for each embedder beside baselines without a network. Embedders are trained on another country (another seed).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from uses_active import active_rows
from uses_data import COLOUR, DATES, NOW, SPREAD, TILE_PX, Embedding, World, standardised
from uses_drift import drift_rows, gain_rows
from uses_duplicates import duplicate_rows

from jobs import train
from jobs.run_embeddings import RunEmbeddings
from jobs.screen import changes
from models.bootstrap import block_bootstrap
from models.search import best_of

BBOX = (127.0, 36.5, 127.6, 37.0)
TOP = 20
Row = dict[str, Any]


def dates_of(run: RunEmbeddings) -> np.ndarray:
    """Return the date of each item as text."""
    return run.times.astype("datetime64[D]").astype(str)


def at_date(run: RunEmbeddings, day: str, baseline: bool) -> np.ndarray:
    """Return the vectors of one date, float32 (windows, dimension), of length 1."""
    rows = run.vectors[dates_of(run) == day].astype(np.float32)
    return standardised(rows, rows) if baseline else rows


def search_rows(world: World, found: dict[str, RunEmbeddings], baselines: Sequence[str]) -> list[Row]:
    """Find places like an estate: precision among the first 20, own estate left out."""
    sites = world.sites("estate")
    share = world.shares(sites)
    kinds = np.array([site.subtype for site in sites])
    queries = np.flatnonzero(share.max(1) >= 0.5)
    own = share[queries].argmax(1)
    same = np.stack([share[:, kinds == kinds[o]].sum(1) for o in own]) >= 0.25
    any_estate = np.broadcast_to(share.sum(1) >= 0.25, same.shape)
    allowed = share[:, own].T < 0.01
    rows = []
    for name, run in found.items():
        for label, asked, gallery in (("same date", NOW, NOW), ("across seasons", DATES[2], DATES[3])):
            q, g = (at_date(run, day, name in baselines) for day in (asked, gallery))
            hits = np.zeros((len(queries), 3))
            for i, query in enumerate(queries):
                ids = np.flatnonzero(allowed[i])
                best = ids[
                    best_of([(g[ids].astype(np.float16), np.ones(len(ids), bool), 0)], q[query : query + 1], TOP)[0].ids
                ]
                hits[i] = any_estate[i, best].mean(), same[i, best].sum(), min(TOP, int((same[i] & allowed[i]).sum()))
            usable = hits[:, 2] > 0
            counts = np.stack([hits[:, 0] * TOP, np.full(len(hits), TOP), hits[:, 1] * usable, hits[:, 2]], 1)
            per_site = np.stack([counts[own == s].sum(0) for s in np.unique(own)]).astype(np.int64)
            scores = block_bootstrap(per_site, lambda c: {"any": c[0] / c[1], "same": c[2] / max(c[3], 1)})
            rows.append(
                {"embedding": name, "query": label, "queries": len(queries), "estates": len(per_site)}
                | {f"p@20 {key}": [round(v, 3) for v in (one.value, one.low, one.high)] for key, one in scores.items()}
            )
    chance = float(any_estate[0].mean())
    return [*rows, {"embedding": "chance", "p@20 any": [round(chance, 3)] * 3}]


def shards_agree(world: World, run: RunEmbeddings) -> dict[str, bool]:
    """Whether ids found in 1, 2 and 5 shards are those of brute force, for every window as a query."""
    rows = run.vectors[dates_of(run) == NOW]
    unit = rows.astype(np.float64)
    every = np.ones(len(rows), bool)
    queries = rows[:: max(1, len(rows) // 200)].astype(np.float32)
    exact = queries.astype(np.float16).astype(np.float64) @ unit.T
    brute = [np.lexsort((np.arange(len(rows)), -scores))[:TOP].tolist() for scores in exact]
    agree = {}
    for shards in (1, 2, 5):
        cuts = np.linspace(0, len(rows), shards + 1).astype(int)
        blocks = [(rows[a:b], every[a:b], a) for a, b in pairwise(cuts.tolist())]
        agree[str(shards)] = [one.ids.tolist() for one in best_of(blocks, queries, TOP)] == brute
    return agree


def change_rows(world: World, name: str, run: RunEmbeddings, planted: RunEmbeddings, baseline: bool) -> Row:
    """Rank the windows of a date with new estates; return where each estate's best window stands."""
    before = run.only(dates_of(run) != NOW)
    if baseline:
        like = before.vectors
        planted = replace(planted, vectors=standardised(planted.vectors, like))
        before = replace(before, vectors=standardised(before.vectors, like))
    rows, screened = changes(planted, before)
    share = world.shares(world.planted_sites())[rows]
    # Among the windows where nothing was planted: the new estates do not compete with each other.
    plain = np.sort(screened.score[share.max(1) == 0])[::-1]
    plain_distance = np.sort(screened.distance[share.max(1) == 0])[::-1]
    best, by_distance = [], []
    for site in range(share.shape[1]):
        mine = share[:, site] >= share[:, site].max() / 2
        best.append(1 + int((plain > screened.score[mine].max()).sum()))
        by_distance.append(1 + int((plain_distance > screened.distance[mine].max()).sum()))
    first = len(rows) // 100
    return {
        "embedding": name,
        "windows": len(rows),
        "largest shares": share.max(0).round(2).tolist(),
        "top 1 %": first,
        "best ranks": best,
        "in the top 1 %": sum(b <= first for b in best),
        "ranks by distance alone": by_distance,
    }


def trained(arguments: argparse.Namespace) -> list[str]:
    """Train on the country of the next seed, all from the same first weights; return who was trained."""
    other = World(arguments.folder / f"seed{arguments.seed + 1}", arguments.seed + 1)
    other.make(tuple(arguments.bbox), planted=False)
    network = {"architecture": "vit_tiny_patch16_224", "weights": "random:1", "side_px": 64, "depth": 4, "patch_px": 8}
    data = {"run": str(other.folder / "map.yaml"), "tile_px": TILE_PX, "max_days": 400, "validation_samples": 100}
    turns: Row = {"pair_augment": ["HorizontalFlip", "VerticalFlip", "RandomRotate90"]}
    found = []
    for method, own in (("frozen", {}), ("timely", {}), ("timely-ntxent", turns)):
        recipe: Row = {"task": "embed", "out": str(arguments.folder / method), "method": method, **own}
        recipe |= {"network": {**network, "lora": None}, "data": data | {"samples_per_epoch": arguments.samples}}
        steps = {"batch": 48, "learning_rate": 7e-4, "schedule": "CosineAnnealingLR"}
        recipe |= {"train": {"epochs": arguments.epochs, **steps}, "engine": {"kind": "serial"}}
        path = arguments.folder / f"{method}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        assert train.main([str(path)]) == 0
        found.append(f"{method}={arguments.folder / method}")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embedder", action="append", metavar="NAME=FOLDER", help="default: they are trained here")
    parser.add_argument("--samples", type=int, default=4_800, help="of an epoch of training")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bbox", type=float, nargs=4, default=BBOX)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="search,drift,gains,change,duplicates,active")
    arguments = parser.parse_args(argv)
    world = World(arguments.folder / f"seed{arguments.seed}", arguments.seed)
    world.make(tuple(arguments.bbox))
    models = arguments.embedder or trained(arguments)
    embeddings = [
        Embedding(COLOUR),
        Embedding(SPREAD),
        *(Embedding(*text.split("=", 1)) for text in models),
    ]
    baselines = [one.name for one in embeddings if not one.model]
    frozen = embeddings[2].model
    found = {one.name: one.of(world, frozen) for one in embeddings}
    parts = arguments.only.split(",")
    table: dict[str, Any] = {}

    def tell(part: str, rows: list[Row]) -> None:
        """Print and write what is known so far: the parts take minutes each."""
        table[part] = rows
        print(f"\n{part}", *rows, sep="\n   ", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(table, indent=1))

    networks = [one for one in embeddings if one.model]
    if "search" in parts:
        tell("search", search_rows(world, found, baselines))
        agree = {one.name: shards_agree(world, found[one.name]) for one in networks}
        tell("shards equal brute force", [{"embedding": name, **shards} for name, shards in agree.items()])
    if "change" in parts:
        ranked = [
            change_rows(world, one.name, found[one.name], one.of(world, frozen, planted=True), not one.model)
            for one in embeddings
        ]
        tell("change", ranked)
    if "duplicates" in parts:
        tell("duplicates", [row for one in networks for row in duplicate_rows(one, found[one.name])])
    if "active" in parts:
        vectors = {name: at_date(run, NOW, name in baselines) for name, run in found.items()}
        tell("active", active_rows(world, vectors))
    if "gains" in parts:
        tell("gains", gain_rows(found[networks[0].name]))
    if "drift" in parts:
        tell("drift", [row for one in networks for row in drift_rows(world, one, found[one.name])])


if __name__ == "__main__":
    main()
