"""Autoencoding as a task of the trainer: squared errors of images that come back, over their valid pixels alone.

A sample is (image, valid): float32 (C, h, w) in the units of the sensor, and bool (1, h, w) or (C, h, w).
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.autoencoder import Autoencoder
from models.loading import copied
from models.ranks import Ranks
from models.task import Batch, Samples
from models.train_spec import TrainSpec

SCORES = ("mse", "explained")
FIXED_POINT = 2.0**24
"""Sums of images are added up as integers, so that they are the same for any number of workers."""


class MaskedReader(Samples, Protocol):
    """Images with their valid pixels, by number."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image (C, h, w), and bool (1, h, w) or (C, h, w): which pixels are there."""
        ...


class Autoencoding:
    """A network that brings back what it sees through a few numbers."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what `validate` returns."""
        return SCORES

    def check(self, spec: TrainSpec, ranks: Ranks) -> None:
        """Accept all settings."""

    def load(self, reader: MaskedReader, indices: np.ndarray, *, pin: bool = False) -> Batch:
        """Read images and validity; counts: the number of valid values, all channels counted."""
        samples = [reader[int(index)] for index in indices]
        shapes = {(image.shape, valid.shape) for image, valid in samples}
        if len(shapes) > 1:
            raise ValueError(
                f"Samples {indices.tolist()} have images and masks of the shapes {sorted(shapes)}; a batch needs one "
                "(C, h, w). Bring them to one size when they are ingested."
            )
        images = copied([image for image, _ in samples], np.float32, pin=pin)
        valid = copied([mask for _, mask in samples], np.bool_, pin=pin)
        return Batch((images, valid), (), valid.sum() * (images.shape[1] // valid.shape[1]))

    def loss(self, outputs: Tensor, truth: tuple[Tensor, ...], counts: Tensor, ranks: Ranks) -> Tensor:
        """Return this part of the mean squared error over the valid values of a batch; outputs: of `Autoencoder`."""
        return outputs.float().sum() / counts.clamp(min=1)

    @torch.no_grad()
    def validate(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> dict[str, float]:
        """Return the scores over the valid values of all workers' images.

        mse: mean squared error in scaled units. explained: 1 - mse / (mean square of the scaled values), that is 0 for
        an answer of nothing but the mean of the training data, 1 for a perfect one; NaN where all values are that mean.
        """
        assert isinstance(network, Autoencoder)
        network.eval()
        total = torch.zeros(3, dtype=torch.int64, device=next(network.parameters()).device)
        for batch in batches:
            images, valid = batch.inputs
            places = torch.arange(samples_per_pass, device=images.device).clamp(max=len(images) - 1)
            errors = network(images[places], valid[places])[: len(images)]
            target, share = network.prepared(images, valid)
            pixels = images.shape[-2] * images.shape[-1] / network.spec.side_px**2
            sums = torch.stack([errors.double().sum((1, 2, 3)), (pixels * share * target**2).double().sum((1, 2, 3))])
            total[:2] += (sums * FIXED_POINT).round().long().sum(1)
            total[2] += batch.counts.to(total.device)
        wrong, square, count = ranks.sum(total).tolist()
        if not count:
            return dict.fromkeys(SCORES, float("nan"))
        return {
            "mse": wrong / FIXED_POINT / count,
            "explained": 1 - wrong / square if square else float("nan"),
        }
