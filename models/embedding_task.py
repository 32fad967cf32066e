"""Embedding as a task of the trainer: views of samples, a loss between their vectors, scores of held-back triplets.

A sample is (views, valid): images (V, C, h, w) in the units of the sensor and which pixels are there. V is 3 for
triplets (anchor, positive, negative), 2 for NT-Xent. Validation is always on triplets, and on the vectors of the
embedder itself: so methods with unlike losses are judged by one rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.embedder import Embedder
from models.embedding_losses import cosine_distance, nt_xent_loss, triplet_loss, triplet_losses
from models.loading import copied, shard_steps
from models.ranks import Ranks
from models.task import Batch, Samples
from models.train_spec import TrainSpec

SCORES = ("triplet_loss", "triplet_accuracy", "similarity_gap")
PROJECTION = 128
"""Numbers behind the projection head of NT-Xent, as in SimCLR."""
FIXED_POINT = 2.0**36
"""Scores are added up as integers, so that they are the same for any number of workers."""


class ViewReader(Samples, Protocol):
    """Views of samples by number."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return views (V, C, h, w), of any type, and bool of the same shape: which pixels are there."""
        ...


class EmbeddingNetwork(nn.Module):
    """What is trained: an embedder, and behind it the projection head of NT-Xent, which no bundle keeps."""

    def __init__(self, embedder: Embedder, head: nn.Module | None = None) -> None:
        super().__init__()
        self.embedder = embedder
        self.head = head

    def forward(self, views: Tensor, valid: Tensor) -> Tensor:
        """Return the vectors that the loss compares: (n, V, C, h, w) to float32 (n, V, d)."""
        vectors = self.embed(views, valid)
        return vectors if self.head is None else self.head(vectors).float()

    def embed(self, views: Tensor, valid: Tensor) -> Tensor:
        """Return the vectors of the embedder: (n, V, C, h, w) to float32 (n, V, dimension)."""
        vectors: Tensor = self.embedder(views.flatten(0, 1), valid.flatten(0, 1))
        return vectors.reshape(*views.shape[:2], -1)


def projection_head(dimension: int, seed: int) -> nn.Module:
    """Return a perceptron of one hidden layer, drawn from a seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, PROJECTION))


@dataclass(frozen=True)
class Embedding:
    """A network whose vectors are close where images are alike."""

    loss_name: Literal["triplet", "nt_xent"] = "triplet"
    margin: float = 0.5
    """By how much farther a negative must be than a positive, in cosine distance."""
    temperature: float = 0.1
    """Of NT-Xent."""

    def __post_init__(self) -> None:
        if self.margin <= 0 or self.temperature <= 0:
            raise ValueError(f"margin {self.margin} and temperature {self.temperature} must be above 0.")

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of what `validate` returns."""
        return SCORES

    def check(self, spec: TrainSpec, ranks: Ranks) -> None:
        """Raise ValueError where the loss of a batch would not be that of its parts."""
        if self.loss_name == "nt_xent" and spec.accumulate > 1:
            raise ValueError(
                f"NT-Xent compares each view with all others of the batch; accumulate {spec.accumulate} would compare "
                "it with those of its part only. Set accumulate to 1, and a smaller batch or more workers."
            )

    def load(self, reader: ViewReader, indices: np.ndarray, *, pin: bool = False) -> Batch:
        """Read views and validity; counts: the number of samples."""
        samples = [reader[int(index)] for index in indices]
        shapes = {views.shape for views, _ in samples} | {valid.shape for _, valid in samples}
        if len(shapes) > 1:
            raise ValueError(
                f"Samples {indices.tolist()} have views of the shapes {sorted(shapes)}; a batch needs one "
                "(V, C, h, w). Use images of one size."
            )
        views = copied([views for views, _ in samples], np.float32, pin=pin)
        valid = copied([valid for _, valid in samples], np.bool_, pin=pin)
        return Batch((views, valid), (), torch.tensor(len(samples)))

    def loss(self, outputs: Tensor, truth: tuple[Tensor, ...], counts: Tensor, ranks: Ranks) -> Tensor:
        """Return this part of the loss of a batch; outputs: (n, V, d)."""
        if self.loss_name == "nt_xent":
            return nt_xent_loss(outputs, self.temperature, counts, ranks)
        return triplet_loss(outputs, self.margin, counts)

    @torch.no_grad()
    def validate(
        self, network: nn.Module, batches: Iterator[Batch], ranks: Ranks, samples_per_pass: int
    ) -> dict[str, float]:
        """Return mean loss, accuracy (share of positives nearer than the negative) and gap of similarities.

        Each triplet is computed in a pass of `samples_per_pass`, the last one filled up.
        """
        assert isinstance(network, EmbeddingNetwork)
        network.eval()
        total = torch.zeros(1 + len(SCORES), dtype=torch.int64, device=next(network.parameters()).device)
        for views, valid in (batch.inputs for batch in batches):
            count = len(views)
            places = torch.arange(samples_per_pass, device=views.device).clamp(max=count - 1)
            anchor, positive, negative = network.embed(views[places], valid[places])[:count].unbind(1)
            near, far = cosine_distance(anchor, positive), cosine_distance(anchor, negative)
            losses = triplet_losses(anchor, positive, negative, self.margin)
            rows = torch.stack([torch.ones_like(near), losses, (near < far).float(), far - near])
            total += (rows.double() * FIXED_POINT).round().long().sum(1)
        count, *sums = (ranks.sum(total).double() / FIXED_POINT).tolist()
        return {name: value / count for name, value in zip(SCORES, sums, strict=True)} if count else {}


def judge(
    network: EmbeddingNetwork,
    reader: ViewReader,
    task: Embedding,
    ranks: Ranks,
    device: str,
    samples_per_pass: int,
) -> dict[str, float]:
    """Return the scores of a network that is not trained. Every worker must call it."""
    place = torch.device(device)
    network.to(place)
    batches = (
        Batch(tuple(tensor.to(place) for tensor in batch.inputs), (), batch.counts)
        for steps in shard_steps(len(reader), samples_per_pass, ranks.rank, ranks.world_size)
        for batch in [task.load(reader, steps)]
    )
    scores = task.validate(network, batches, ranks, samples_per_pass)
    network.to("cpu")
    return scores
