"""An embedder on a worker, on the threads of its teams (`jobs.teams`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from cluster.storage import Storage
from jobs.clock import Clock
from jobs.plan import Precision
from jobs.teams import ONE_TEAM, Teams
from models.card import CARD_FILE

if TYPE_CHECKING:
    from models.embedder import Embedder
    from models.embedder_card import EmbedderCard

Images = np.ndarray | Sequence[np.ndarray]
"""(n, ...), or n arrays that lie apart: windows of what was read."""
Asked = Future[tuple[np.ndarray, float]]
"""Vectors that are computed, and the seconds that it takes."""


class Network:
    """An embedder on a worker."""

    def __init__(self, bundle: str, precision: Precision, teams: Teams = ONE_TEAM) -> None:
        self._teams = teams.start()
        self.card, self.embedder = self._teams.submit(load, bundle, precision).result()
        self.at_once, self.precision = teams.count, precision
        self._turns = count()
        self.channels = tuple(self.card.channels)

    def next_turn(self) -> int:
        """Return the turn of a new unit.

        Units that share the teams evenly would end at the same time, and the teams would wait for both: so what was
        begun first has all of them until it ends, and meanwhile the next is read.
        """
        return next(self._turns)

    def ask(self, images: Images, valid: Images, turn: int = 0) -> Asked:
        """Begin to embed images, a batch at most; up to `at_once` are computed at once, the least turn first.

        Args:
            images: (n, channel, y, x) as stored, or n of (channel, y, x), the channels those of the card.
            valid: bool (n, channel or 1, y, x), or n of them.
            turn: that of a unit (`next_turn`).
        """
        if self.precision.device != "cpu":  # one block to travel, made here while the device computes
            images, valid = np.asarray(images), np.asarray(valid)
        return self._teams.submit(self._forward, images, valid, turn=turn)

    def answer(self, asked: Asked, clock: Clock) -> np.ndarray:
        """Wait for the vectors, float32 (n, dimension); a clock gets the times."""
        began = time.monotonic()
        vectors, seconds = asked.result()
        clock.add("wait", time.monotonic() - began)
        clock.add("forward", seconds / self.at_once)  # of the whole worker: each team is its share of it
        return vectors

    def _forward(self, images: Images, valid: Images) -> tuple[np.ndarray, float]:
        import torch

        began, device = time.monotonic(), self.precision.device
        with torch.inference_mode():
            if device == "cpu":  # each where it lies
                blocks = [(image[None], there[None]) for image, there in zip(images, valid, strict=True)]
            else:
                blocks = [(np.asarray(images), np.asarray(valid))]
            prepared = [
                self.embedder.prepared(torch.from_numpy(image).to(device), torch.from_numpy(there).to(device))
                for image, there in blocks
            ]
            vectors = self.embedder.vectors(torch.cat(prepared))
        return vectors.cpu().numpy(), time.monotonic() - began


def load(bundle: str, precision: Precision) -> tuple[EmbedderCard, Embedder]:
    """Load an embedder from the folder of its bundle, its adapter merged."""
    from models.embedder_bundle import files_of, load_embedder
    from models.embedder_card import read_embedder_card

    storage = Storage(bundle)
    names = files_of(read_embedder_card(storage.get(CARD_FILE)))
    return load_embedder({name: storage.get(name) for name in names}, precision.precision, precision.device)
