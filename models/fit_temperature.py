"""The temperature of a trained network, fitted on its validation samples by all workers together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models.calibration import (
    FINE_BINS,
    LOGIT_BINS,
    LOGIT_RANGE,
    UNITS,
    Reliability,
    SlopeGrid,
    binary_temperature,
    logit_histogram,
)
from models.loading import Reader, load_batch, read_ahead, shard_steps
from models.metrics import IGNORE
from models.networks import SegmentationNetwork
from models.ranks import Ranks
from models.validate import filled

LOWEST, HIGHEST = 0.05, 20.0
"""A temperature outside says that the samples cannot tell, not that the network is so unsure or so sure."""
SOFTMAX_PIXELS = 4_000_000
"""About how many pixels several classes are fitted on: each is looked at in 41 temperatures. More would not move T,
which so many know to a thousandth."""


@dataclass(frozen=True)
class Calibration:
    """By what the logits of a network are divided, and what that does to its probabilities."""

    temperature: float
    ece_before: float
    """Expected calibration error of the logits as they are, in 15 bins of equal width."""
    ece_after: float
    """The same of the logits divided by the temperature: on the samples it was fitted on, so a little flattered."""
    pixels: int
    """That it was fitted on."""


@torch.no_grad()
def fit_temperature(
    network: SegmentationNetwork,
    validation: Reader,
    ranks: Ranks,
    device: torch.device,
    images_per_pass: int,
    threads: int = 2,
) -> Calibration | None:
    """Return the temperature that fits best, the same on every worker; None where none does.

    Every worker calls it with the same network and passes its part of `validation`. In the binary case what they add
    up are integers, and the result is the same for any number of workers; several classes add up float64, which
    leaves the last digits to their order, and are counted on every n-th pixel and row (`SOFTMAX_PIXELS`).
    network: the bare one; is left in eval mode, where it was. images_per_pass: of every forward pass, the last one
    filled up. None: the samples hold one label only or no mistake, or T lies outside [0.05, 20].
    """
    home = network.offset.device
    network.to(device).eval()
    try:
        passes = _Passes(network, validation, ranks, device, images_per_pass, threads)
        return _binary(passes) if network.spec.classes == 1 else _several(passes)
    finally:
        network.to(home)


@dataclass(frozen=True)
class _Passes:
    """Passing the validation samples of this worker, as often as needed."""

    network: SegmentationNetwork
    validation: Reader
    ranks: Ranks
    device: torch.device
    images_per_pass: int
    threads: int

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield logits float32 (n, K, h, w) and labels uint8 (n, h, w)."""
        self.validation.set_epoch(0)
        classes = max(self.network.spec.classes, 2)
        steps = shard_steps(len(self.validation), self.images_per_pass, self.ranks.rank, self.ranks.world_size)
        for images, labels in read_ahead(lambda step: load_batch(self.validation, step, classes), steps, self.threads):
            whole = filled(images, self.images_per_pass).contiguous(memory_format=torch.channels_last)
            logits = self.network(whole.to(self.device))[: len(images)]
            yield logits.float().cpu().numpy(), labels.numpy()

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the sum of an array over the workers."""
        return self.ranks.sum(torch.from_numpy(counts).to(self.device)).cpu().numpy()


def _binary(passes: _Passes) -> Calibration | None:
    counts = np.zeros((2, LOGIT_BINS), np.int64)
    for logits, labels in passes.batches():
        counts += logit_histogram(logits[:, 0], labels)
    counts = passes.total(counts)
    temperature = _within(lambda: binary_temperature(counts))
    if temperature is None:
        return None
    before, after = (_histogram_error(counts, t) for t in (1.0, temperature))
    return Calibration(temperature, before, after, int(counts.sum()))


def _histogram_error(histogram: np.ndarray, temperature: float) -> float:
    """Return the calibration error of a `logit_histogram`, whose bins count as their centres."""
    centres = (np.arange(LOGIT_BINS) + 0.5) * (2 * LOGIT_RANGE / LOGIT_BINS) - LOGIT_RANGE
    confidence = 1 / (1 + np.exp(-np.clip(centres / temperature, -700, 700)))
    bins = np.minimum((confidence * FINE_BINS).astype(np.int64), FINE_BINS - 1)
    counts, correct, sums = (np.zeros(FINE_BINS, np.int64) for _ in range(3))
    pixels = histogram.sum(0)
    np.add.at(counts, bins, pixels)
    np.add.at(correct, bins, histogram[1])
    np.add.at(sums, bins, pixels * np.rint(confidence * UNITS).astype(np.int64))
    return Reliability(counts, correct, sums).curve().error


def _several(passes: _Passes) -> Calibration | None:
    parts = [SlopeGrid.of(*_thinned(logits, labels, len(passes.validation))) for logits, labels in passes.batches()]
    own = sum(parts[1:], parts[0]) if parts else SlopeGrid.of(np.zeros((1, 2, 1)), np.full((1, 1), IGNORE))
    count = int(passes.total(np.array([own.count]))[0])
    grid = SlopeGrid(passes.total(own.slopes), passes.total(own.curvatures), count)
    temperature = _within(grid.temperature)
    if temperature is None:
        return None
    before, after = _errors(passes, temperature)
    return Calibration(temperature, before, after, count)


def _thinned(logits: np.ndarray, labels: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every n-th row and column; n follows from the size of the whole, so it is the same on every worker."""
    step = int(np.ceil(np.sqrt(max(1.0, images * labels[0].size / SOFTMAX_PIXELS))))
    return logits[..., ::step, ::step], labels[..., ::step, ::step]


def _errors(passes: _Passes, temperature: float) -> tuple[float, float]:
    """Return the calibration errors before and after; a second pass, because the first did not know T."""
    sums = np.zeros((2, 3, FINE_BINS), np.int64)
    for logits, labels in passes.batches():
        thin, truth = _thinned(logits, labels, len(passes.validation))
        for place, t in enumerate((1.0, temperature)):
            shares = torch.softmax(torch.from_numpy(thin) / t, 1).numpy()
            found = Reliability.of(shares.max(1).clip(max=1), shares.argmax(1) == truth, truth != IGNORE)
            sums[place] += np.stack([found.counts, found.correct, found.confidence])
    before, after = (Reliability(*rows).curve().error for rows in passes.total(sums))
    return before, after


def _within(fit: Callable[[], float]) -> float | None:
    """Return what `fit` finds if it is of use; every worker asks about the same sums, so all get the same answer."""
    try:
        temperature = fit()
    except ValueError:  # no finite temperature: the one thing that a fit raises
        return None
    return temperature if LOWEST <= temperature <= HIGHEST else None
