"""One window of a logit store: what most tests look at."""

import numpy as np

from tiler.logit_store import LogitStore


def window_of(store: LogitStore, row: int, col: int) -> np.ndarray | None:
    """Return a window, float16 (layers, tile_px, tile_px), or None where it was not wanted."""
    (window,), (wanted,) = store.windows(row, col, col + 1)
    return window if wanted else None
