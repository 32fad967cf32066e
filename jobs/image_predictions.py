"""What a trained classifier answers, image by image, beside what a few numbers of each image would answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jobs.image_training_data import ImageSet
from jobs.plan import Precision
from jobs.predict_stage import PredictClasses
from jobs.tile_tasks import TileTask
from jobs.train_images import PlannedImages
from tiler.tile_store import TileStore

BATCH = 32


@dataclass(frozen=True)
class Answers:
    """Answers to some images."""

    ids: tuple[str, ...]
    labels: np.ndarray
    """int64 (n,): class indices."""
    answered: dict[str, np.ndarray]
    """Who answers to int64 (n,)."""

    def matrix(self, who: str, classes: int, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the confusion matrix int64 (K, K) of who answers; chosen: bool (n,), of these images alone."""
        some = np.ones(len(self.ids), bool) if chosen is None else chosen
        pairs = self.labels[some] * classes + self.answered[who][some]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def image_set(planned: PlannedImages) -> ImageSet:
    """Return the images of a classifier whose data set is ingested."""
    store = TileStore(planned.data.planned.url)
    return ImageSet.of(store, planned.channels, planned.parts, planned.data.planned.limit, labelled=True)


def network_answers(planned: PlannedImages, images: ImageSet, part: str = "test") -> np.ndarray:
    """Return the classes that a trained bundle answers for the images of a part, int64 (n,), in their order."""
    stage = PredictClasses(images.store.url, (planned.recipe.out,), images.channels, Precision("cpu", "fp32", BATCH))
    told = stage()(TileTask("", 0, tuple(images.rows[part].tolist())))["images"]
    return np.array([int(np.argmax(image["probabilities"])) for image in told], np.int64)


LIGHT = "band means"
LIGHT_AND_SIZE = "band means and deviations, width, height"


def baseline_answers(images: ImageSet, part: str = "test") -> dict[str, np.ndarray]:
    """Return the answers of trivial rules, fitted on the images that train: name to int64 (n,)."""
    from models.image_baselines import logistic_regression, nearest_centroid

    means, spreads = images.store.facts("mean"), images.store.facts("standard_deviation")
    sizes = np.column_stack([images.store.facts("width"), images.store.facts("height")])
    known, asked = images.rows["train"], images.rows[part]
    labels = images.labels("train")
    light, all_of = np.asarray(means, float), np.column_stack([means, spreads, sizes]).astype(float)
    return {
        "most frequent class": np.full(len(asked), np.bincount(labels).argmax()),
        f"nearest centroid of {LIGHT}": nearest_centroid(light[known], labels, light[asked]),
        f"nearest centroid of {LIGHT_AND_SIZE}": nearest_centroid(all_of[known], labels, all_of[asked]),
        f"logistic regression of {LIGHT_AND_SIZE}": logistic_regression(all_of[known], labels, all_of[asked]),
    }


def answers(planned: PlannedImages, name: str, part: str = "test") -> Answers:
    """Return what a trained network, called `name`, and trivial rules answer for the images of a part."""
    images = image_set(planned)
    ids = tuple(images.store.tiles[row]["id"] for row in images.rows[part].tolist())
    found = {name: network_answers(planned, images, part), **baseline_answers(images, part)}
    return Answers(ids, images.labels(part), found)
