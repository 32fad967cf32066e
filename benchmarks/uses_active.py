"""One round of active learning: do queues make the false alarms on greenhouses fall more than random labels do?"""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from scipy.ndimage import uniform_filter
from sklearn.ensemble import HistGradientBoostingClassifier
from uses_data import NOW, TILE_PX, World

from models.active import label_queue

CONFUSER = "greenhouses"
PIXELS = 400
"""Of each labelled window, drawn to train."""
EVERY_PX = 2
"""Of the pixels of a window, every second one of every second row is trained and judged on."""
SIDES_PX = (5, 15)
"""Of the neighbourhoods whose mean and spread the classifier sees beside each pixel."""


def features_of(image: np.ndarray) -> np.ndarray:
    """Return what the classifier sees of each pixel, float32 (y, x, feature)."""
    bands = image.astype(np.float32)
    layers = list(bands)
    for side in SIDES_PX:
        for band in bands:
            mean = uniform_filter(band, side)
            layers += [mean, np.sqrt(np.maximum(uniform_filter(band * band, side) - mean * mean, 0))]
    return np.stack(layers, axis=-1)


class Ground:
    """The last date of a world by windows: pixels, truth and greenhouses, and who may be used for what."""

    def __init__(self, world: World) -> None:
        (path,) = (world.folder / "scenes").glob(f"*{NOW.replace('-', '')}.tif")
        with rasterio.open(path, driver="GTiff") as file:
            features = features_of(file.read())
        with rasterio.open(world.folder / "truth" / path.name, driver="GTiff") as file:
            truth = file.read(1) == 1
        confuser = world.mask(CONFUSER) & ~truth
        height, width = truth.shape
        rows, cols = -(-height // TILE_PX), -(-width // TILE_PX)
        corners = [
            (min(r * TILE_PX, height - TILE_PX), min(c * TILE_PX, width - TILE_PX))
            for r in range(rows)
            for c in range(cols)
        ]

        def cut(layer: np.ndarray) -> list[np.ndarray]:
            return [
                layer[y : y + TILE_PX : EVERY_PX, x : x + TILE_PX : EVERY_PX].reshape(-1, *layer.shape[2:]).copy()
                for y, x in corners
            ]

        self.features, self.truth, self.confuser = cut(features), cut(truth), cut(confuser)
        col = np.tile(np.arange(cols), rows)
        block = np.repeat(np.arange(rows) // 4, cols) * 1000 + col // 4
        # Blocks of 4 x 4 windows are dealt to the parts, so that each part has some of every kind of ground.
        part = np.random.default_rng(0).permutation(int(block.max()) + 1)[block] % 4
        has = np.array([one.mean() > 0.01 for one in self.confuser])
        self.first = np.flatnonzero((part == 0) & ~has)
        """Labelled from the beginning: no greenhouses among them, as in labels that were drawn around estates."""
        self.checked = np.flatnonzero(part == 1)
        """Labelled to check the map: where errors are found."""
        self.free = np.flatnonzero(part == 2)
        self.test = np.flatnonzero(part == 3)

    def fit(self, windows: np.ndarray, seed: int) -> HistGradientBoostingClassifier:
        """Train on pixels of windows."""
        random = np.random.default_rng(seed)
        drawn = [(w, random.choice(len(self.truth[w]), PIXELS, replace=False)) for w in windows.tolist()]
        x = np.concatenate([self.features[w][p] for w, p in drawn])
        y = np.concatenate([self.truth[w][p] for w, p in drawn])
        return HistGradientBoostingClassifier(max_iter=80, random_state=seed).fit(x, y)

    def judged(
        self, classifier: HistGradientBoostingClassifier, windows: np.ndarray
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Return the share of each window that is falsely mapped, and rates over all."""
        false, on_confuser, hits, union = [], np.zeros(2), 0, 0
        for w in windows.tolist():
            mapped = classifier.predict(self.features[w]).astype(bool)
            wrong = mapped & ~self.truth[w]
            false.append(wrong.mean())
            on_confuser += (mapped & self.confuser[w]).sum(), self.confuser[w].sum()
            hits, union = hits + int((mapped & self.truth[w]).sum()), union + int((mapped | self.truth[w]).sum())
        rates = {"on greenhouses": on_confuser[0] / max(on_confuser[1], 1), "iou": hits / max(union, 1)}
        return np.array(false), rates | {"anywhere": float(np.mean(false))}


def active_rows(world: World, vectors: dict[str, np.ndarray], count: int = 24, seeds: int = 3) -> list[dict[str, Any]]:
    """Label as many windows by queue and at random, train again, and judge on ground that neither saw."""
    ground = Ground(world)
    before: list[dict[str, float]] = []
    after: dict[str, list[dict[str, float]]] = {}
    picked: dict[str, list[float]] = {}
    for seed in range(seeds):
        classifier = ground.fit(ground.first, seed)
        false, _ = ground.judged(classifier, ground.checked)
        before.append(ground.judged(classifier, ground.test)[1])
        errors = ground.checked[np.argsort(-false)[:count]]
        random = np.random.default_rng(seed)
        queues = {"random": random.choice(ground.free, count, replace=False)}
        queues |= {
            name: ground.free[label_queue(v[errors], v[ground.free], count, seed=seed).items]
            for name, v in vectors.items()
        }
        for name, queue in queues.items():
            # the checked windows are labelled as well, whoever chooses: what differs is the queue alone
            again = ground.fit(np.concatenate([ground.first, queue]), seed)
            after.setdefault(name, []).append(ground.judged(again, ground.test)[1])
            picked.setdefault(name, []).append(float(np.mean([ground.confuser[w].mean() > 0.02 for w in queue])))
    rows = [{"labels": "none added"} | _means(before)]
    return [*rows, *({"labels": name, "with greenhouses": round(float(np.mean(picked[name])), 3)} | _means(found)
                     for name, found in after.items())]  # fmt: skip


def _means(rates: list[dict[str, float]]) -> dict[str, list[float]]:
    return {
        key: [
            round(float(np.mean([r[key] for r in rates])), 5),
            round(float(np.std([r[key] for r in rates], ddof=1)), 5),
        ]
        for key in rates[0]
    }
