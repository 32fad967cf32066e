"""Near copies: which small pictures are the same picture, resized, recompressed, a little cropped or brighter.

Hashes of 64 bits forgive no crop: a shift by a third of a pixel of a small picture flips many bits of a line drawing.
Here candidates correlate as they are, and what decides is how much of one picture the other explains after the best
small shift, stretch, gain and offset.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.duplicates import cosine_pairs
from models.reducers import mean_pool

CANDIDATE_SIDE = 16
"""Means along a side of the grey pictures that candidates are found by."""
CANDIDATE = 0.95
"""Least correlation of these. Of 3,000 drawn illustrations and 84 photographs all copies that pass the rest have 0.98,
of 140 photographs of one kind of part 0.96."""
WHOLE = 0.95
"""Least share of a picture that its copy explains."""
DETAIL = 0.85
"""The same of what is left without the lowest frequencies: smooth pictures are alike without being copies."""
LOW = 4
"""Cosine frequencies along each axis that are no detail."""
BLOCK_PAIRS, BLOCK_ROWS = 256, 4_096


def near_copies(
    pictures: np.ndarray, series: Sequence[str] | np.ndarray | None = None, chosen: np.ndarray | None = None
) -> np.ndarray:
    """Return pairs int64 (p, 2), i < j, of pictures that are near copies, or equal.

    All pairs of n pictures are compared by one blocked matrix product, 25,000 in seconds; only candidates are fitted.

    Args:
        pictures: (n, band, y, x): area means, the same side along both axes.
        series: of each picture, such as the day that it was taken: only those of one series are copies. None: of one.
        chosen: int (k,), rising: pictures that are compared; None: all. Of many that are equal, one will do.
    """
    asked = np.arange(len(pictures)) if chosen is None else chosen
    if len(asked) < 2:
        return np.empty((0, 2), np.int64)
    side = min(CANDIDATE_SIDE, *pictures.shape[2:])
    blocks = np.split(asked, range(BLOCK_ROWS, len(asked), BLOCK_ROWS))
    grey = (pictures[block].mean(axis=1, keepdims=True, dtype=np.float64) for block in blocks)
    rows = np.concatenate([mean_pool(some, side) for some in grey])
    rows -= rows.mean(axis=1, keepdims=True)
    pairs = asked[cosine_pairs(rows, CANDIDATE)]
    if series is not None:
        said = np.asarray(series, str)
        pairs = pairs[said[pairs[:, 0]] == said[pairs[:, 1]]]
    whole, detail = explained(pictures, pairs)
    return pairs[(whole >= WHOLE) & (detail >= DETAIL)]


def explained(pictures: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how much of one picture of a pair the other explains, as a whole and without the lowest frequencies.

    Each is the larger of both directions. A picture b is fitted by a gain times a, an offset, and the gradients of a,
    plain and times the place: the first order of a shift and a stretch along each axis (Lucas and Kanade 1981).

    Args:
        pictures: (n, band, y, x).
        pairs: int (p, 2).

    Returns:
        float64 (p,) each: 1 minus the squared residual over the squared deviation; 0 where the gain is not above 0, or
        nothing varies.
    """
    found = np.zeros((2, len(pairs)))
    for start in range(0, len(pairs), BLOCK_PAIRS):
        some = slice(start, start + BLOCK_PAIRS)
        first, second = (pictures[pairs[some, side]].astype(np.float64) for side in (0, 1))
        for one, other in ((first, second), (second, first)):
            found[:, some] = np.maximum(found[:, some], _fitted(one, other))
    return found[0], found[1]


def _fitted(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return float64 (2, p): how much of each of `other`, (p, band, y, x), each of `one` explains, whole and detail."""
    down, along = np.gradient(one, axis=(2, 3))
    y, x = (np.linspace(-1, 1, length) for length in one.shape[2:])
    columns = [one, along, along * x, down, down * y[:, None]]
    centred = [column - column.mean(axis=(1, 2, 3), keepdims=True) for column in [*columns, other]]
    floor = 1e-9 * np.linalg.norm(other.reshape(len(other), -1), axis=1)  # what rounding leaves of one colour
    return np.stack([_share(centred, floor), _share([_without_low(column) for column in [*columns, other]], floor)])


def _share(columns: Sequence[np.ndarray], floor: np.ndarray) -> np.ndarray:
    """Return the share of the last column that the others explain, float64 (p,); the first one's gain is above 0.

    Columns that are no longer than `floor`, float64 (p,), are nothing.
    """
    rows = np.stack([column.reshape(len(column), -1) for column in columns], axis=1)
    lengths = np.linalg.norm(rows, axis=2, keepdims=True)
    rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > floor[:, None, None])
    products = rows @ rows.transpose(0, 2, 1)
    seen = products[:, :-1, -1]
    gains = np.einsum("pij,pj->pi", np.linalg.pinv(products[:, :-1, :-1], rcond=1e-10, hermitian=True), seen)
    return np.where(gains[:, 0] > 0, np.clip((gains * seen).sum(axis=1), 0, 1), 0.0)


def _without_low(pictures: np.ndarray) -> np.ndarray:
    """Return (p, band, y, x) without its `LOW` x `LOW` lowest cosine frequencies."""
    low_y, low_x = (_cosines(length) for length in pictures.shape[2:])
    return np.asarray(pictures - low_y.T @ (low_y @ pictures @ low_x.T) @ low_x)


def _cosines(length: int) -> np.ndarray:
    """Return the lowest orthonormal cosines (DCT-II), float64 (LOW, length)."""
    order, place = np.arange(min(LOW, length))[:, None], np.arange(length)[None] + 0.5
    waves = np.cos(np.pi * order * place / length)
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True))
