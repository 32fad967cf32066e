"""Segmentation as a task of the trainer: images and labels, the losses of models/losses.py, the scores of a confusion
matrix."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from models.loading import Reader, load_batch
from models.losses import BATCH_DICE, LOSSES, batch_dice_loss, denominators, label_counts
from models.networks import SegmentationNetwork
from models.ranks import Ranks
from models.task import Batch
from models.train_spec import TrainSpec
from models.validate import score, score_names


class Segmentation:
    """A network that names a class for each pixel."""

    def __init__(self, network: SegmentationNetwork, spec: TrainSpec) -> None:
        self.classes = network.spec.classes
        self._loss, self._options = spec.loss, spec.loss_options()

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what `validate` returns."""
        return score_names(self.classes)

    def check(self, spec: TrainSpec, ranks: Ranks) -> None:
        """Raise ValueError unless class weights fit the network, and the loss the accumulation."""
        if spec.loss == BATCH_DICE and spec.accumulate > 1:
            raise ValueError(
                f"{BATCH_DICE} is of a batch as a whole, which {spec.accumulate} parts in turn cannot tell. "
                "Set accumulate to 1, or the loss to dice."
            )
        classes = max(self.classes, 2)
        if spec.class_weights is not None and len(spec.class_weights) != classes:
            raise ValueError(
                f"class_weights holds {len(spec.class_weights)} numbers for {classes} label values. Give one each"
                f"{', background first' if self.classes == 1 else ''}."
            )

    def load(self, reader: Reader, indices: np.ndarray, *, pin: bool = False) -> Batch:
        """Read images, labels and label counts: these on the CPU, where they cost less work than a GPU's waiting."""
        classes = max(self.classes, 2)
        images, labels = load_batch(reader, indices, classes, pin=pin)
        counts = label_counts(labels, classes)
        return Batch((images,), (labels,), counts.pin_memory() if pin else counts)

    def loss(self, outputs: Tensor, truth: tuple[Tensor, ...], counts: Tensor, ranks: Ranks) -> Tensor:
        """Return this part of the loss of a batch; outputs: logits (n, K, h, w).

        Of a network with deep supervision they are (n, heads, K, h, w), and its loss is the mean of those of its heads.
        """
        heads = outputs.unbind(1) if outputs.ndim == 5 else (outputs,)
        if self._loss == BATCH_DICE:
            losses = [batch_dice_loss(logits, truth[0], counts, self._options, ranks) for logits in heads]
        else:
            whole = denominators(counts, self._options)
            losses = [LOSSES[self._loss](logits, truth[0], whole, self._options) for logits in heads]
        return torch.stack(losses).mean() if len(losses) > 1 else losses[0]

    def validate(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> dict[str, float]:
        """Return the scores of all workers' batches together."""
        device = next(network.parameters()).device
        pairs = ((batch.inputs[0], batch.truth[0]) for batch in batches)
        return score(network, pairs, ranks, torch.device(device), self.classes, samples_per_pass)
