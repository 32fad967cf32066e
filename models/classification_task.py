"""Classification of whole images as a task of the trainer: cross-entropy, and the scores of a confusion matrix.

A sample is (image, label): float32 (C, h, w) in the units of the sensor, and the index of its class.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.classification_scores import SCORES, classification_scores
from models.confusion import confusion
from models.loading import copied
from models.ranks import Ranks
from models.task import Batch, Samples
from models.train_spec import TrainSpec
from models.validate import filled


class ClassReader(Samples, Protocol):
    """Images with their class, by number."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        """Return image float32 (C, h, w) and the index of its class."""
        ...


@dataclass(frozen=True)
class Classification:
    """A network that names a class for each image."""

    classes: int
    class_weights: tuple[float, ...] | None = None
    """Of each class in the loss; None: all 1."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what `validate` returns."""
        return ("cross_entropy", *SCORES)

    def check(self, spec: TrainSpec, ranks: Ranks) -> None:
        """Raise ValueError unless class weights fit the network."""
        if self.class_weights is not None and len(self.class_weights) != self.classes:
            raise ValueError(
                f"class_weights holds {len(self.class_weights)} numbers for {self.classes} classes. Give one each."
            )

    def load(self, reader: ClassReader, indices: np.ndarray, *, pin: bool = False) -> Batch:
        """Read images and labels; counts: images of each class."""
        samples = [reader[int(index)] for index in indices]
        shapes = {image.shape for image, _ in samples}
        if len(shapes) > 1:
            raise ValueError(
                f"Samples {indices.tolist()} have images of the shapes {sorted(shapes)}; a batch needs one (C, h, w). "
                "Bring them to one size when they are ingested."
            )
        labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
        if not bool(((labels >= 0) & (labels < self.classes)).all()):
            raise ValueError(
                f"Samples {indices.tolist()} have the labels {labels.tolist()}; only 0 to {self.classes - 1} have a "
                "meaning here. Leave images without a class out."
            )
        images = copied([image for image, _ in samples], np.float32, pin=pin)
        counts = torch.bincount(labels, minlength=self.classes)
        return Batch((images,), (labels,), counts)

    def loss(self, outputs: Tensor, truth: tuple[Tensor, ...], counts: Tensor, ranks: Ranks) -> Tensor:
        """Return this part of the mean cross-entropy of a batch, each image weighted as its class; outputs: (n, K)."""
        weights = self._weights(outputs.device)
        losses = F.cross_entropy(outputs.float(), truth[0], reduction="none")
        whole = (counts * weights).sum()
        return (losses * weights[truth[0]]).sum() / torch.where(whole > 0, whole, 1.0)

    @torch.no_grad()
    def validate(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> dict[str, float]:
        """Return the scores of all workers' images together, and their mean cross-entropy without weights.

        Each image is computed in a pass of `samples_per_pass`, the last one filled up, and what workers add up are
        integers: the same weights have the same scores for any number of workers and any order of the images.
        """
        matrix, nats = self.counted(network, batches, ranks, samples_per_pass)
        images = int(matrix.sum())
        return {"cross_entropy": nats / images if images else float("nan"), **classification_scores(matrix)}

    @torch.no_grad()
    def counted(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> tuple[np.ndarray, float]:
        """Return the confusion matrix int64 (K, K) of all workers' images, and the sum of their cross-entropies."""
        network.eval()
        device = next(network.parameters()).device
        counts = torch.zeros(self.classes**2 + 1, dtype=torch.int64, device=device)
        for batch in batches:
            images, labels = batch.inputs[0], batch.truth[0]
            logits = network(filled(images, samples_per_pass))[: len(images)].float()
            counts[:-1] += confusion(labels, logits.argmax(1), self.classes, ignore=-1).flatten()
            nats = F.cross_entropy(logits, labels, reduction="none").clamp(max=MOST_NATS)
            counts[-1] += (nats.double() * FIXED_POINT).round().long().sum()
        whole = ranks.sum(counts).cpu()
        return whole[:-1].reshape(self.classes, self.classes).numpy(), float(whole[-1]) / FIXED_POINT

    def _weights(self, device: torch.device) -> Tensor:
        if self.class_weights is None:
            return torch.ones(self.classes, device=device)
        return torch.tensor(self.class_weights, device=device)


FIXED_POINT = 2.0**32
"""Cross-entropies are added up as integers, so that they are the same for any number of workers."""
MOST_NATS = 1000.0
"""Of one image in that sum, so that an infinite one leaves a number."""


def balanced_weights(counts: np.ndarray) -> tuple[float, ...]:
    """Return class weights n / (K n_c): each class then has the same part in the loss.

    Raises ValueError: a class without an image.
    """
    empty = np.flatnonzero(np.asarray(counts) == 0)
    if empty.size:
        raise ValueError(f"Classes {empty.tolist()} have no image to weight. Leave them out, or add images.")
    return tuple((counts.sum() / (len(counts) * counts)).tolist())
