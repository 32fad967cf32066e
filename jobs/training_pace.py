"""How long the rest of a training takes: from the epochs that it has behind it, and from nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.storage import Storage
from jobs.estimate import Expected
from jobs.supervise import supervision

FILE = "stages/train.json"
"""In the folder of the bundle; written after each epoch, with its validation."""


@dataclass
class TrainingClock:
    """Measures a training while it runs, from its first step on: starting workers says nothing of what is left."""

    storage: Storage
    """Of the bundle."""
    key: str
    """Of the recipe and its data."""
    epochs: int
    workers: int
    now: Callable[[], float] = time.monotonic
    _first: tuple[int, float] | None = field(default=None, init=False)
    _reached: int = field(default=0, init=False)
    _per_epoch: int = field(default=0, init=False)

    def step(self, reached: int, per_epoch: int) -> None:
        """Note a step, counted from the first epoch on; says once when `limits.hours` is too short for the rest."""
        if self._first is None:
            self._first = reached, self.now()
        self._reached, self._per_epoch = reached, per_epoch
        begun, since_s = self._first
        total = self.epochs * per_epoch - begun
        supervision().mind_time("train", "steps", reached - begun, total, self.now() - since_s, in_hand=1)

    def epoch(self, done: int) -> None:
        """Keep the pace, once so many epochs are done."""
        if self._first is None or self._reached == self._first[0]:
            return
        facts = {
            "key": self.key,
            "epochs_done": done,
            "steps_per_epoch": self._per_epoch,
            "steps": self._reached - self._first[0],
            "seconds": round(self.now() - self._first[1], 3),
            "workers": self.workers,
        }
        self.storage.put(FILE, json.dumps(facts, indent=1).encode())


def time_left(storage: Storage, key: str, epochs: int) -> Expected:
    """Return how long the rest of a training takes.

    Args:
        storage: of the bundle.
        key: of the recipe and its data; the pace of another training tells nothing.
        epochs: of the whole.
    """
    try:
        facts = json.loads(storage.get(FILE))
        if facts["key"] != key:
            raise KeyError(key)
        left = max(0, epochs - facts["epochs_done"]) * facts["steps_per_epoch"]
        known_from = f"as measured on {facts['steps']} steps of it with {facts['workers']} workers"
        return Expected(left * facts["seconds"] / facts["steps"], known_from)
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return Expected(None, "not known before the first epoch")
