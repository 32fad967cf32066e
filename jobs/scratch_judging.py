"""Judging the networks of the scratch document image by image, a shard of a store at a time, and rules beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from cluster.engine import Engine
from cluster.units import grouped
from jobs.bundles import read_bundles
from jobs.datasets import PlannedDataset
from jobs.decisions import probe
from jobs.pace import Work
from jobs.plan import key_of
from jobs.progress import Progress
from jobs.runner import markers_of, report_failures, run_stage
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.tile_tasks import TileTask, tile_tasks
from models.card import read_card
from models.contrast_rules import best_rules, grey
from models.mask_scores import ImageCounts
from models.members import Members, load_members
from tiler.labels import IGNORE
from tiler.tile_store import TileStore

CONTRACT = 1
"""Raised by hand when the same networks and images would get other counts."""
CHANNELS = ("red", "green", "blue")
BATCH = 8
RULE_IMAGES = 40
"""Training images with scratches, and others, of which each family of rules chooses its settings."""


@dataclass(frozen=True)
class Judged:
    """One image, and what every network or rule found in it."""

    id: str
    source: str
    split: str
    counts: Mapping[str, ImageCounts]
    """By name of the network or rule."""


@dataclass(frozen=True)
class JudgeImages:
    """Run networks over images of a store, each image as it is, and count."""

    url: str
    bundles: tuple[str, ...]

    def __call__(self) -> Callable[[TileTask], dict]:
        """Prepare a worker: load the networks once."""
        prepare_worker()
        store, device = TileStore(self.url), probe()[0]
        files = read_bundles(self.bundles)
        members = load_members(files, CHANNELS, tta="none", precision="fp32", device=device, batch=BATCH)
        temperatures = [read_card(one).temperature for one in files]

        def work(task: TileTask) -> dict:
            images = [
                [row, {name: astuple(one) for name, one in zip(members.names, found, strict=True)}]
                for row, found in zip(task.rows, _counted(store, task.rows, members, temperatures), strict=True)
            ]
            return {"counts": images, "peak_memory_bytes": peak_memory_bytes()}

        return work


def _counted(
    store: TileStore, rows: Sequence[int], members: Members, temperatures: Sequence[float]
) -> list[list[ImageCounts]]:
    out: list[list[ImageCounts]] = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        logits = members.predict_each(np.stack([store.network_input(row, CHANNELS) for row in batch]))[0]
        for place, row in enumerate(batch):
            label = label_of(store, row)
            # the card's temperature says how sure a network is; its loss was computed without
            pairs = zip(logits[:, place, 0], temperatures, strict=True)
            out.append([ImageCounts.of(label, one * temperature) for one, temperature in pairs])
    return out


def label_of(store: TileStore, row: int) -> np.ndarray:
    """Return the label of an image, uint8 (y, x): 1 where a class is, 255 where nothing is said or seen."""
    label, valid = store.read("label", row), store.read("valid", row)
    return np.where((label == IGNORE) | ~valid, IGNORE, label > 0).astype(np.uint8)


def judge_networks(engine: Engine, dataset: PlannedDataset, bundles: Sequence[str]) -> tuple[list[Judged], int]:
    """Judge networks on the images that validate and that test; a repeated call counts nothing again.

    Returns:
        The images in the order of the store, and how many shards could not be judged.
    """
    store = TileStore(dataset.url)
    rows = sorted({*_rows(dataset, store, "validation"), *_rows(dataset, store, dataset.judged)})
    digests = [read_card(one).digest() for one in read_bundles(bundles)]
    key = key_of("scratch", CONTRACT, dataset.name, rows, digests)
    tasks = tile_tasks(key, rows)
    stage, work = JudgeImages(dataset.url, tuple(bundles)), Work(lambda task: 1, key_of("scratch", digests))
    outcome = run_stage(engine, dataset.storage, "judge", stage, grouped(tasks), "shards", work=work)
    report_failures([outcome])
    markers = markers_of(dataset.storage, "judge")
    found: list[Judged] = []
    for task in tasks:
        if task.unit not in outcome.failed:
            for row, counts in markers.read(task.unit)["record"]["counts"]:
                tile = store.tiles[row]
                named = {name: ImageCounts(*values) for name, values in counts.items()}
                found.append(Judged(tile["id"], tile["source"], tile["split"], named))
    return found, len(outcome.failed)


def judge_rules(dataset: PlannedDataset) -> list[Judged]:
    """Judge what needs no context on the images that test: nothing, everything, and rules of grey values.

    Their settings are the best of each family on training images, evenly spread.
    """
    store = TileStore(dataset.url)
    training = np.array(_rows(dataset, store, "train"))
    scratched = store.facts("class_counts")[training][:, 1:].sum(axis=1) > 0
    chosen = [*_spread(training[scratched]), *_spread(training[~scratched])]
    rules = best_rules([grey(store.read("image", row)) for row in chosen], [label_of(store, row) for row in chosen])
    found = []
    rows = _rows(dataset, store, dataset.judged)
    with Progress(len(rows), "rules", unit="images") as progress:
        for row in rows:
            image, label, tile = grey(store.read("image", row)), label_of(store, row), store.tiles[row]
            answers = {"nothing": np.zeros(label.shape, bool), "everything": np.ones(label.shape, bool)}
            answers |= {name: rule(image) for name, rule in rules.items()}
            counts = {name: ImageCounts.of_mask(label, answer) for name, answer in answers.items()}
            found.append(Judged(tile["id"], tile["source"], tile["split"], counts))
            progress.advance()
    return found


def source_counts(dataset: PlannedDataset) -> list[dict[str, Any]]:
    """Return for each source and part: photos, those with scratches, and the share of labelled pixels of scratches."""
    store = TileStore(dataset.url)
    counts = store.facts("class_counts").astype(np.int64)
    kept = set(store.kept(dataset.limit, None, dataset.left_out()).tolist())
    rows = []
    for source in sorted({tile["source"] for tile in store.tiles}):
        for split in ("train", "validation", "test"):
            some = [r for r in sorted(kept) if (store.tiles[r]["source"], store.tiles[r]["split"]) == (source, split)]
            if some:
                pixels, scratches = int(counts[some].sum()), int(counts[some][:, 1:].sum())
                with_any = int((counts[some][:, 1:].sum(axis=1) > 0).sum())
                share = scratches / pixels if pixels else float("nan")
                told = {"source": source or "all", "part": split, "photos": len(some), "with scratches": with_any}
                rows.append({**told, "scratched pixels": share})
    return rows


def _rows(dataset: PlannedDataset, store: TileStore, split: str) -> list[int]:
    return [int(row) for row in store.kept(dataset.limit, split, dataset.left_out())]


def _spread(rows: np.ndarray) -> list[int]:
    if not len(rows):
        return []
    return [int(row) for row in rows[np.unique(np.linspace(0, len(rows) - 1, RULE_IMAGES).astype(int))]]
