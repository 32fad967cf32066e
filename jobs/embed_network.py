"""An embedder on a worker, on a thread of its own: each thread that computes brings a team of helper threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from cluster.storage import Storage
from jobs.clock import Clock
from jobs.plan import Precision
from models.card import CARD_FILE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.embedder import Embedder
    from models.embedder_card import EmbedderCard

Images = np.ndarray | Sequence[np.ndarray]
"""(n, ...), or n arrays that lie apart: windows of what was read."""


class Network:
    """An embedder on a worker, on a thread of its own."""

    def __init__(self, bundle: str, precision: Precision) -> None:
        self._thread = ThreadPoolExecutor(1, "network")
        # Loaded there, too: the team of whoever loads would stay, and slow the other down (jobs/infer_stage.py).
        self.card, self.embedder = self._thread.submit(load, bundle, precision).result()
        self.precision = precision
        self.channels = tuple(self.card.channels)

    def __call__(self, images: Images, valid: Images, clock: Clock) -> np.ndarray:
        """Embed images in batches.

        Args:
            images: (n, channel, y, x) as stored, or n of (channel, y, x), the channels those of the card.
            valid: bool (n, channel or 1, y, x), or n of them.
            clock: gets the times.

        Returns:
            float32 (n, dimension).
        """
        if self.precision.device != "cpu":  # one block to travel, made here while the device computes
            images, valid = np.asarray(images), np.asarray(valid)
        asked = time.monotonic()
        vectors, seconds = self._thread.submit(self._forward, images, valid).result()
        clock.add("forward", seconds)
        clock.add("wait", max(0.0, time.monotonic() - asked - seconds))
        return vectors

    def _forward(self, images: Images, valid: Images) -> tuple[np.ndarray, float]:
        import torch

        began, device, batch = time.monotonic(), self.precision.device, self.precision.batch
        out = []
        with torch.inference_mode():
            for first in range(0, len(images), batch):
                stored = _tensor(images[first : first + batch], torch.float32, device)
                out.append(self.embedder(stored, _tensor(valid[first : first + batch], torch.bool, device)))
            vectors = torch.cat(out).cpu().numpy()
        return vectors, time.monotonic() - began


def _tensor(images: Images, dtype: torch.dtype, device: str) -> Tensor:
    """Return images on the device, (n, ...); those that lie apart are copied once, as `dtype`."""
    import torch

    if isinstance(images, np.ndarray):
        return torch.from_numpy(images).to(device).to(dtype)
    out = torch.empty((len(images), *images[0].shape), dtype=dtype)
    for row, image in zip(out, images, strict=True):
        row.copy_(torch.from_numpy(image))
    return out


def load(bundle: str, precision: Precision) -> tuple[EmbedderCard, Embedder]:
    """Load an embedder from the folder of its bundle, its adapter merged."""
    from models.embedder_bundle import files_of, load_embedder
    from models.embedder_card import read_embedder_card

    storage = Storage(bundle)
    names = files_of(read_embedder_card(storage.get(CARD_FILE)))
    return load_embedder({name: storage.get(name) for name in names}, precision.precision, precision.device)
