"""What should have been found: the frames nearest to each query by an image metric, a block of queries at a time.

A unit of work is one metric for one block of queries, against the whole gallery, which streams past: images are
read and prepared anew for each unit, so that no store of feature vectors is needed and memory is that of two blocks.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from cluster.engine import Engine
from cluster.storage import Storage
from cluster.units import grouped
from jobs.pace import Work
from jobs.plan import key_of
from jobs.runner import Outcome, run_stage
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.weather_gallery import Gallery, read_gallery
from models.image_distance import ImageMetric, Psnr, Ssim, alikeness
from models.lpips import load_lpips
from models.retrieval import excluded, nearest

CONTRACT = 1
"""Raised by hand when the same frames would get other neighbours."""
QUERIES = 128
"""Of one unit."""
GALLERY_FRAMES = 64
"""Prepared at a time."""
STAGE = "truth"


@dataclass(frozen=True)
class Lpips:
    """Which LPIPS."""

    trunk: str
    weights: str
    """file:PATH or random:SEED."""
    heads: str | None = None


def metric_of(name: str, lpips: Lpips | None, device: str = "cpu") -> ImageMetric:
    """Return a metric by its name in tables: psnr, ssim or lpips."""
    if name == "lpips":
        assert lpips is not None
        return load_lpips(lpips.trunk, lpips.weights, lpips.heads).to(device)
    return Psnr() if name == "psnr" else Ssim()


@dataclass(frozen=True)
class Ranking:
    """How frames are ranked."""

    lpips: Lpips | None
    side_px: int | None
    """To which images are reduced first."""
    hours: tuple[float, ...]
    """What lies within them of the query is no answer: one ranking for each."""
    k: int


@dataclass(frozen=True)
class TruthTask:
    """One metric for one block of queries: the unit of work."""

    key: str
    metric: str
    index: int

    @property
    def unit(self) -> str:
        """The name of the unit of work."""
        return f"{self.key}/{self.metric}-{self.index}"


@dataclass(frozen=True)
class NearestByMetric:
    """Rank the gallery for a block of queries by an image metric; writes the places of the k nearest."""

    url: str
    """Of the folder that holds `gallery.npz` and `queries.npy` and gets the answers."""
    ranking: Ranking

    def __call__(self) -> Callable[[TruthTask], dict]:
        """Prepare a worker."""
        prepare_worker()
        device, how = "cuda" if torch.cuda.is_available() else "cpu", self.ranking
        opened: dict[str, tuple[Gallery, np.ndarray, Storage]] = {}
        metrics: dict[str, ImageMetric] = {}

        def work(task: TruthTask) -> dict:
            if task.key not in opened:
                folder = Storage(self.url).child(task.key)
                opened[task.key] = read_gallery(folder.get("gallery.npz")), read_array(folder, "queries.npy"), folder
            gallery, queries, folder = opened[task.key]
            if task.metric not in metrics:
                metrics[task.metric] = metric_of(task.metric, how.lpips, device)
            block = queries[task.index * QUERIES : (task.index + 1) * QUERIES]
            alike = rank(metrics[task.metric], gallery, block, how.side_px, device)
            found = [nearest(alike, excluded(block, gallery.times, hours), how.k) for hours in how.hours]
            put_array(folder, f"{task.metric}-{task.index}.npy", np.stack(found))
            return {"pairs": alike.size, "peak_memory_bytes": peak_memory_bytes()}

        return work


@torch.inference_mode()
def rank(metric: ImageMetric, gallery: Gallery, block: np.ndarray, side_px: int | None, device: str) -> np.ndarray:
    """Return how alike queries (q,) and all frames of the gallery are, float32 (q, n): the larger the more."""

    def prepared(places: np.ndarray) -> Any:
        return metric.prepare(torch.from_numpy(gallery.images(places, side_px)).to(device))

    queries = prepared(block)
    out = np.empty((len(block), len(gallery)), np.float32)
    for start in range(0, len(gallery), GALLERY_FRAMES):
        part = np.arange(start, min(start + GALLERY_FRAMES, len(gallery)))
        out[:, part] = alikeness(metric, metric.compare(queries, prepared(part))).cpu().numpy()
    return out


def find_truth(
    engine: Engine,
    storage: Storage,
    gallery: Gallery,
    queries: np.ndarray,
    metrics: Sequence[str],
    how: Ranking,
) -> tuple[Outcome, dict[str, np.ndarray]]:
    """Return the k nearest frames of every query by each metric, int32 (hours, q, k); what is known is not done again.

    Queries whose unit failed have -1 throughout.
    """
    key = key_of("truth", CONTRACT, QUERIES, gallery.digest, queries.tolist(), asdict(how))
    folder = storage.child(f"{STAGE}/{key}")
    if not folder.exists("gallery.npz"):
        put_array(folder, "queries.npy", queries)
        folder.put("gallery.npz", gallery.to_bytes())
    count = -(-len(queries) // QUERIES)
    tasks = [TruthTask(key, metric, index) for metric in metrics for index in range(count)]
    stage = NearestByMetric(storage.child(STAGE).url, how)
    work = Work(lambda task: 1, key_of("truth pace", len(gallery), how.side_px))
    outcome = run_stage(engine, storage, STAGE, stage, grouped(tasks), "blocks of queries", work=work)
    found = {}
    for metric in metrics:
        found[metric] = np.full((len(how.hours), len(queries), how.k), -1, np.int32)
        for index in range(count):
            if TruthTask(key, metric, index).unit not in outcome.failed:
                part = slice(index * QUERIES, (index + 1) * QUERIES)
                found[metric][:, part] = read_array(folder, f"{metric}-{index}.npy")
    return outcome, found


def put_array(folder: Storage, name: str, array: np.ndarray) -> None:
    """Write an array as a file of numpy's."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    folder.put(name, buffer.getvalue())


def read_array(folder: Storage, name: str) -> np.ndarray:
    """Return an array that `put_array` wrote."""
    return np.load(io.BytesIO(folder.get(name)), allow_pickle=False)
