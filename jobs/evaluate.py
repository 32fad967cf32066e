"""Evaluate: the stitched map against labels of held-back blocks, beside trivial baselines.

python -m jobs.evaluate examples/aberystwyth/map.yaml
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.config import RunConfig
from jobs.estimate import Estimate, mosaic_memory
from jobs.infer import require_ingested
from jobs.mosaic import planned_map
from jobs.page import write_page
from jobs.plan import CellTask, Run
from jobs.products import class_layer
from jobs.publish import PlannedPublish, is_published, plan_publish
from jobs.record import read_record
from jobs.runner import engine_of
from jobs.shell import DONE, INCOMPLETE, Job, run_job
from tiler.grids import CELL_PX, MapGrid
from tiler.labels import IGNORE
from tiler.map_store import MapStore
from tiler.scene_store import SceneStore
from tiler.split import Split
from tiler.warp import Mapping, nearest

NDVI_BINS = 80
COLUMNS = ("mIoU", "iou_fg", "iou_bg", "precision", "recall", "dice", "accuracy")
DEFINITION = (
    "On the stitched map, over valid labelled pixels of blocks that no network was trained on ({pixels:,} pixels, "
    "{share:.1%} of the class). mIoU: mean of the IoU of class and background. NDVI rule: low <= NDVI < high with both "
    "limits fitted on the training blocks."
)


@dataclass(frozen=True)
class Score:
    """Compare one cell of the map with the labels of its scenes; returns counts only."""

    scenes: dict[str, str]
    """Logit store name to the address of the scene store."""
    map_url: str
    threshold: float
    split: Split

    def __call__(self) -> Callable[[CellTask], dict]:
        """Prepare a worker."""
        target = MapStore(self.map_url)

        def work(task: CellTask) -> dict:
            confusion = np.zeros((2, 2), np.int64)
            ndvi = np.zeros((2, 2, NDVI_BINS), np.int64)
            for name in task.scenes:
                c, n = self._scene(SceneStore(self.scenes[name]), target, task)
                confusion, ndvi = confusion + c, ndvi + n
            return {"confusion": confusion.tolist(), "ndvi": ndvi.tolist()}

        return work

    def _scene(self, scene: SceneStore, target: MapStore, task: CellTask) -> tuple[np.ndarray, np.ndarray]:
        """Return the confusion (label, prediction) on held-back pixels, and NDVI counts (held back, label, bin)."""
        confusion, ndvi = np.zeros((2, 2), np.int64), np.zeros((2, 2, NDVI_BINS), np.int64)
        box = MapGrid.box_of(task.cell)
        mapping = Mapping(target.grid.pixels, scene.grid)
        at = mapping.source_box(box)
        if at.empty or not scene.labelled:
            return confusion, ndvi
        label, valid = scene.read("label", at, IGNORE), scene.read("valid", at, False)
        label = np.where(valid & (label != IGNORE), label > 0, np.uint8(IGNORE)).astype(np.uint8)
        held = self.split.held_back(scene.id, at)
        if {"red", "nir"} <= set(scene.sensor.bands):
            index = self._ndvi_bins(scene, scene.read("image", at, 0))
            for part in (0, 1):
                for value in (0, 1):
                    ndvi[part, value] = np.bincount(index[(held == part) & (label == value)], minlength=NDVI_BINS)
        truth = nearest(mapping, box, np.where(held, label, np.uint8(IGNORE)), at, IGNORE)
        predicted = class_layer(target, box, self.threshold)
        known = (truth != IGNORE) & (predicted != 255)
        confusion += np.bincount(truth[known] * 2 + predicted[known], minlength=4).reshape(2, 2)
        return confusion, ndvi

    @staticmethod
    def _ndvi_bins(scene: SceneStore, image: np.ndarray) -> np.ndarray:
        red, nir = (image[scene.sensor.bands.index(n)].astype(np.float32) for n in ("red", "nir"))
        ratio = (nir - red) / np.maximum(np.abs(nir + red), 1e-6)
        return np.clip((ratio + 1) / 2 * NDVI_BINS, 0, NDVI_BINS - 1).astype(np.int64)


def best_interval(counts: np.ndarray) -> tuple[int, int]:
    """Return the bins `[low, high)` that, taken as the class, give the best mIoU.

    Args:
        counts: int (2, bins): pixels of background and of the class in each bin.
    """
    total = counts.sum(1)
    running = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
    inside = running[:, None, :] - running[:, :, None]  # [label, low, high]
    false_positive, true_positive = inside
    false_negative, true_negative = total[1] - true_positive, total[0] - false_positive
    with np.errstate(divide="ignore", invalid="ignore"):
        foreground = true_positive / (true_positive + false_positive + false_negative)
        background = true_negative / (true_negative + false_positive + false_negative)
    score = np.nan_to_num(foreground) + np.nan_to_num(background)  # a class that is nowhere has no IoU (0/0)
    score[np.tril_indices(score.shape[0])] = -1.0
    low, high = np.unravel_index(int(score.argmax()), score.shape)
    return int(low), int(high)


def evaluation_of(records: Sequence[dict[str, Any]], map_key: str, split: Split, threshold: float) -> dict[str, Any]:
    """Turn the cells' counts into the table.

    Raises:
        ValueError: no held-back pixel is labelled.
    """
    from models.metrics import scores

    confusion = np.sum([r["confusion"] for r in records], axis=0)
    train, held = np.sum([r["ndvi"] for r in records], axis=0)
    total = confusion.sum()
    if total == 0:
        raise ValueError(
            "no labelled pixel lies in a held-back block of the map; check `labels` and the recipes' `split`"
        )
    background = np.stack([confusion.sum(1), np.zeros(2, np.int64)], axis=1)
    rows: list[dict[str, Any]] = [
        {"name": "map", **scores(confusion)},
        {"name": "all background", **scores(background)},
    ]
    if train.sum():
        low, high = best_interval(train)
        inside = held[:, low:high].sum(1)
        rule = np.stack([held.sum(1) - inside, inside], axis=1)
        limits = f"{low / NDVI_BINS * 2 - 1:.2f} <= NDVI < {high / NDVI_BINS * 2 - 1:.2f}"
        rows.append({"name": f"NDVI rule ({limits})", **scores(rule)})
    share = float(confusion[1].sum() / total)
    return {
        "map": map_key,
        "threshold": threshold,
        "split": split.model_dump(),
        "columns": list(COLUMNS),
        # An undefined score (0/0) is null: NaN is no JSON.
        "rows": [{"name": r["name"], **{k: r[k] if r[k] == r[k] else None for k in COLUMNS}} for r in rows],
        "confusion": confusion.tolist(),
        "definition": DEFINITION.format(pixels=int(total), share=share),
    }


def split_of(run: Run) -> Split:
    """Return the split that the run's bundles were trained with.

    Raises:
        ValueError: they differ, so that no block is unseen by all.
    """
    splits = {json.dumps(card.split, sort_keys=True) for card in run.cards}
    if len(splits) > 1:
        raise ValueError(
            f"the bundles held back different blocks: {sorted(splits)}; train them with the same `data.split`"
        )
    return Split.model_validate(json.loads(splits.pop()))


@dataclass(frozen=True)
class PlannedEvaluate:
    """The job, checked."""

    publish: PlannedPublish
    split: Split

    def estimates(self) -> list[Estimate]:
        """Return what there is to do."""
        tasks = self.publish.map.tasks
        extent = self.publish.map.extent
        pixels = extent.height * extent.width
        memory = mosaic_memory(CELL_PX, 1)
        return [Estimate("evaluate", len(tasks), "cells", 0, pixels * 14, 0, memory)]

    def run(self) -> int:
        """Count, print the table, and put it into the report."""
        run, plan = self.publish.planned, self.publish.map
        stage = Score(
            {p.name: run.url("ingest", p.source.name) for p in self.publish.plans},
            run.url("mosaic", plan.name),
            run.config.fuse.threshold,
            self.split,
        )
        records, failed = [], []
        with engine_of(run.config.engine) as engine:
            for result in engine.run(stage, plan.tasks):
                if hasattr(result, "record"):
                    records.append(result.record)
                else:
                    failed.append(result)
        for result in failed:
            print(f"failed: {result.key.unit}: {result.reason}", file=sys.stderr)
        evaluation = evaluation_of(records, plan.name, self.split, run.config.fuse.threshold)
        run.storage.put("evaluation.json", json.dumps(evaluation, indent=1).encode())
        print(table(evaluation))
        if "report" in run.config.outputs:
            write_page(run, read_record(run))
            print(f"report     {run.config.out.rstrip('/')}/report.html")
        return INCOMPLETE if failed else DONE


def table(evaluation: dict[str, Any]) -> str:
    """Return the evaluation as plain text."""
    width = max(len(r["name"]) for r in evaluation["rows"])
    lines = [" " * width + "".join(f"{c:>11}" for c in evaluation["columns"])]
    for row in evaluation["rows"]:
        cells = ("–" if row[c] is None else f"{row[c]:.4f}" for c in evaluation["columns"])
        lines.append(f"{row['name']:{width}}" + "".join(f"{c:>11}" for c in cells))
    return "\n".join([*lines, evaluation["definition"]])


def plan_evaluate(config: RunConfig) -> PlannedEvaluate:
    """Check a published run with labels.

    Raises:
        ValueError: bad input, no labels, or a map that is not published.
    """
    if config.labels is None:
        raise ValueError("evaluate compares the map with labels; the run has none: set `labels`")
    planned = plan_publish(config)
    require_ingested(planned.planned)
    planned_map(planned.planned)
    if not is_published(planned.planned, planned.map):
        raise ValueError(f"the map in {config.out} is not published with these settings; run `sandan publish` first")
    return PlannedEvaluate(planned, split_of(planned.planned))


JOB = Job(
    name="evaluate",
    summary="Judge the stitched map on blocks held back from training, beside trivial baselines.",
    example="  sandan evaluate examples/aberystwyth/map.yaml\n"
    "  sandan evaluate map.yaml --set fuse.threshold=0.4   (after publishing with it)",
    kind=RunConfig,
    plan=plan_evaluate,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return run_job(JOB, argv)


if __name__ == "__main__":
    sys.exit(main())
