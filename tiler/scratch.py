"""Memory that is used again: the system has to clear fresh memory before a shard can be decoded into it."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np


class Scratch(threading.local):
    """One array of a thread at a time; the next one of the thread lies in the same memory."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def array(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """Return an array with whatever the memory holds; it replaces the one that this thread got before."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if len(self._bytes) < size:
            self._bytes = np.empty(size, np.uint8)
        return self._bytes[:size].view(dtype).reshape(shape)
