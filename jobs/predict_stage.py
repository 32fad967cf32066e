"""The stage of Predict: networks over images, answers at the size of each; or over tiles of imagery. No Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from cluster.storage import Storage
from jobs.bundles import read_bundles
from jobs.evaluation.scoring import classes_of
from jobs.plan import Precision
from jobs.stages import peak_memory_bytes, prepare_worker
from jobs.tile_tasks import TileTask
from tiler.image_resize import Fit
from tiler.labels import IGNORE
from tiler.mask_files import mask_png
from tiler.tile_store import TileStore


def mask_names(ids: Sequence[str]) -> list[str]:
    """Return the file of each image's mask: its path with .png, after the old ending where two would be one file."""
    plain = [str(PurePosixPath(name).with_suffix(".png")) for name in ids]
    seen = Counter(name.casefold() for name in plain)
    return [short if seen[short.casefold()] == 1 else f"{name}.png" for name, short in zip(ids, plain, strict=True)]


def highest_probability(logits: np.ndarray) -> float:
    """Return the highest probability of any class but background in logits (K, y, x); pixels of NaN have none.

    One class: the logistic function. Several: 1 minus the softmax of class 0.
    """
    seen = logits[:, ~np.isnan(logits).any(axis=0)].astype(np.float64)
    odds = seen[0] if len(seen) == 1 else logsumexp(seen[1:], axis=0) - seen[0]
    return float(expit(odds.max()))


@dataclass(frozen=True)
class PredictMasks:
    """Segment images: a mask of each one's own size, and how much was found; or tiles of imagery, as they are."""

    url: str
    bundles: tuple[str, ...]
    channels: tuple[str, ...]
    tta: str
    precision: Precision
    fit: str
    """How images became tiles (`Fit.of`); "" where tiles are no images: then nobody knows what is where pixels miss."""
    threshold: float
    masks: str
    """Address of the folder of the masks; "" writes none."""

    def __call__(self) -> Callable[[TileTask], dict]:
        """Prepare a worker: load the networks once."""
        prepare_worker()
        from models.members import load_members

        store, folder = TileStore(self.url), Storage(self.masks) if self.masks else None
        sizes = np.stack([store.facts("height"), store.facts("width")], axis=1).tolist()
        names = mask_names([tile["id"] for tile in store.tiles])
        how = self.precision
        members = load_members(
            read_bundles(self.bundles),
            self.channels,
            tta=self.tta,
            precision=how.precision,
            device=how.device,
            batch=how.batch,
            compile=how.compile,
        )

        def answer(row: int, logits: np.ndarray) -> dict[str, Any]:
            if self.fit:
                height, width = sizes[row]
                whole = Fit.of(self.fit, height, width, store.tile_px).restored(logits, height, width)
            else:
                whole = np.where(store.read("valid", row), logits, np.float32(np.nan))
            found = classes_of(whole, self.threshold)
            if folder is not None:
                folder.put(names[row], mask_png(found))
            counts = np.bincount(found.ravel(), minlength=256)
            values, seen_px = max(2, len(whole)), int(counts[:IGNORE].sum())
            return {
                "row": row,
                "areas_px": counts[1:values].tolist(),
                "seen_px": seen_px,
                "highest": round(highest_probability(whole), 6) if seen_px else None,
            }

        def work(task: TileTask) -> dict:
            images = []
            for start in range(0, len(task.rows), members.batch):
                rows = task.rows[start : start + members.batch]
                tiles = np.stack([store.network_input(row, members.channels) for row in rows])
                logits, _ = members.predict(tiles)
                images += [answer(row, one) for row, one in zip(rows, logits, strict=True)]
            return {"images": images, "peak_memory_bytes": peak_memory_bytes()}

        return work


@dataclass(frozen=True)
class PredictClasses:
    """Classify images: a probability of each class."""

    url: str
    bundles: tuple[str, ...]
    channels: tuple[str, ...]
    precision: Precision

    def __call__(self) -> Callable[[TileTask], dict]:
        """Prepare a worker: load the networks once."""
        prepare_worker()
        import torch

        from models.image_bundle import load_classifier

        store, how = TileStore(self.url), self.precision
        loaded = [load_classifier(files, how.precision, how.device) for files in read_bundles(self.bundles)]
        places = [[self.channels.index(channel) for channel in card.channels] for card, _ in loaded]

        def work(task: TileTask) -> dict:
            images = []
            for start in range(0, len(task.rows), how.batch):
                rows = task.rows[start : start + how.batch]
                tiles = torch.from_numpy(np.stack([store.network_input(row, self.channels) for row in rows]))
                tiles = tiles.to(how.device)
                with torch.inference_mode():
                    logits = [
                        network(tiles[:, where]).float() for (_, network), where in zip(loaded, places, strict=True)
                    ]
                chances = torch.stack(logits).mean(0).softmax(1).cpu().numpy()
                images += [
                    {"row": row, "probabilities": [round(float(p), 6) for p in chance]}
                    for row, chance in zip(rows, chances, strict=True)
                ]
            return {"images": images, "peak_memory_bytes": peak_memory_bytes()}

        return work
