"""What labels say of the windows that were embedded, and where the networks disagree with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jobs.products import class_of
from jobs.progress import Progress
from jobs.run_embeddings import RunEmbeddings
from tiler.blend import blend
from tiler.labels import IGNORE
from tiler.logit_store import LogitStore
from tiler.scene_store import SceneStore


@dataclass(frozen=True)
class WindowLabels:
    """One row for each item of a run."""

    labelled: np.ndarray
    """float64 (n,): share of the valid pixels that are labelled."""
    coverage: np.ndarray
    """float64 (n,): share of the labelled pixels that are of a class; NaN without any."""
    false_positive: np.ndarray
    """float64 (n,): share of the labelled pixels that the networks put in a class and the label does not; NaN where it
    is not known."""
    false_negative: np.ndarray
    """float64 (n,): the other way round."""


def read_window_labels(
    run: RunEmbeddings, logits: Mapping[str, str] | None = None, threshold: float = 0.5
) -> WindowLabels:
    """Read the labels under every window, and compare them with what the networks say there.

    Args:
        run: with its pixels and labels ingested.
        logits: id of a scene to the address of its window logits; None compares with nothing.
        threshold: of the probability, where there is one class.

    Raises:
        ValueError: no scene of the run has labels.
    """
    columns = np.full((4, len(run)), np.nan)
    scenes = [SceneStore(url) for url in run.ingested]
    if not any(scene.labelled for scene in scenes):
        raise ValueError("no scene of the run has labels; set `labels`, and ingest again")
    with Progress(len(run), "labels", unit="windows") as progress:
        for number, scene in enumerate(scenes):
            rows = np.flatnonzero(run.source == number).tolist()
            url = None if logits is None else logits.get(scene.id)
            store = None if url is None else LogitStore(url)
            for row in rows if scene.labelled else ():
                columns[:, row] = _of_window(scene, store, run, row, threshold)
                progress.advance()
            if not scene.labelled:
                columns[0, rows] = 0.0
                progress.advance(len(rows))
    return WindowLabels(*columns)


def _of_window(
    scene: SceneStore, store: LogitStore | None, run: RunEmbeddings, row: int, threshold: float
) -> tuple[float, float, float, float]:
    box = run.box(row)
    label, valid = scene.read("label", box, IGNORE), scene.read("valid", box, False)
    known = valid & (label != IGNORE)
    count = int(known.sum())
    if count == 0:
        return 0.0, np.nan, np.nan, np.nan
    truth = (label > 0)[known]
    said = count / int(valid.sum()), float(truth.mean())
    if store is None:
        return *said, np.nan, np.nan
    part = box.clip(scene.grid.box)
    sums, seen = blend(store.windows, store.lattice, part, store.layers)
    mapped = np.zeros((box.height, box.width), bool)
    answered = np.zeros_like(mapped)
    inside = part.shift(-box.y0, -box.x0).slices
    mapped[inside], answered[inside] = class_of(sums[: len(store.classes)], threshold) > 0, seen
    both = answered[known]
    if not both.any():
        return *said, np.nan, np.nan
    wrong = mapped[known] != truth
    return *said, float((wrong & ~truth & both).sum() / count), float((wrong & truth & both).sum() / count)
