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
ROUNDING = 1e-9
"""Of the length of a picture: what rounding leaves of one colour."""
BLOCK_PICTURES, BLOCK_PAIRS, BLOCK_ROWS = 64, 512, 4_096


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

    What is fitted with is made once for each picture, however many pairs it is in; a pair then costs the product of ten
    rows and a picture: tens of microseconds.

    Args:
        pictures: (n, band, y, x).
        pairs: int (p, 2).

    Returns:
        float64 (p,) each: 1 minus the squared residual over the squared deviation; 0 where the gain is not above 0, or
        nothing varies.
    """
    found = np.zeros((2, len(pairs)))
    if not len(pairs):
        return found[0], found[1]
    named, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    norms = np.concatenate(
        [_norms(pictures[some]) for some in np.split(named, range(BLOCK_PICTURES, len(named), BLOCK_PICTURES))], axis=1
    )
    for side in (0, 1):
        order = np.argsort(places[:, side], kind="stable")
        ends = np.searchsorted(places[order, side], np.arange(len(named) + 1))
        for start in range(0, len(named), BLOCK_PICTURES):
            block = np.arange(start, min(start + BLOCK_PICTURES, len(named)))
            block = block[ends[block + 1] > ends[block]]
            columns, inverses = _columns(pictures[named[block]]) if len(block) else ((), ())
            for place, rows, inverse in zip(block.tolist(), columns, inverses, strict=True):
                for first in range(ends[place], ends[place + 1], BLOCK_PAIRS):
                    some = order[first : min(first + BLOCK_PAIRS, ends[place + 1])]
                    other = places[some, 1 - side]
                    share = _shares(rows, inverse, pictures[named[other]], norms[:, other])
                    found[:, some] = np.maximum(found[:, some], share)
    return found[0], found[1]


def _columns(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what other pictures are fitted by, made of each of some pictures (b, band, y, x).

    Returns:
        float64 (b, 2, 5, d): the picture, its gradients and these times the place, each of mean 0 (first), or without
        the lowest frequencies (second), and of length 1, or 0 where nothing but rounding is left of it; and
        float64 (b, 2, 5, 5): the pseudo-inverse of their products.
    """
    one = pictures.astype(np.float64)
    down, along = np.gradient(one, axis=(2, 3))
    y, x = (np.linspace(-1, 1, length) for length in one.shape[2:])
    made = np.stack([one, along, along * x, down, down * y[:, None]], axis=1)
    flat = made.reshape(-1, *one.shape[1:])
    parts = np.stack([_centred(flat), _without_low(flat)]).reshape(2, len(one), made.shape[1], -1)
    lengths = np.linalg.norm(parts, axis=3, keepdims=True)
    least = ROUNDING * np.linalg.norm(one.reshape(len(one), -1), axis=1)[:, None, None]
    rows = np.divide(parts, lengths, out=np.zeros_like(parts), where=lengths > least).transpose(1, 0, 2, 3)
    return rows, np.linalg.pinv(rows @ rows.transpose(0, 1, 3, 2), rcond=1e-10, hermitian=True)


def _norms(pictures: np.ndarray) -> np.ndarray:
    """Return the lengths of pictures (b, band, y, x) as `_columns` treats them, float64 (2, b); 0 of one colour."""
    one = pictures.astype(np.float64)
    parts = np.stack([_centred(one), _without_low(one)]).reshape(2, len(one), -1)
    lengths = np.linalg.norm(parts, axis=2)
    return np.where(lengths > ROUNDING * np.linalg.norm(one.reshape(len(one), -1), axis=1), lengths, 0.0)


def _shares(rows: np.ndarray, inverse: np.ndarray, others: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return float64 (2, m): the share of each of m pictures that one explains; its gain must be above 0.

    The rows are free of means, or of low frequencies, so that their products with a picture are those with what is left
    of it without these.

    Args:
        rows: float64 (2, 5, d), of `_columns`.
        inverse: float64 (2, 5, 5).
        others: (m, band, y, x).
        norms: float64 (2, m), of `_norms`.
    """
    seen = rows @ others.reshape(len(others), -1).astype(np.float64).T
    seen = np.divide(seen, norms[:, None], out=np.zeros_like(seen), where=norms[:, None] > 0)
    gains = inverse @ seen
    return np.where(gains[:, 0] > 0, np.clip((gains * seen).sum(axis=1), 0, 1), 0.0)


def _centred(pictures: np.ndarray) -> np.ndarray:
    """Return (p, band, y, x) less the mean of each picture."""
    return np.asarray(pictures - pictures.mean(axis=(1, 2, 3), keepdims=True))


def _without_low(pictures: np.ndarray) -> np.ndarray:
    """Return (p, band, y, x) without its `LOW` x `LOW` lowest cosine frequencies."""
    low_y, low_x = (_cosines(length) for length in pictures.shape[2:])
    return np.asarray(pictures - low_y.T @ (low_y @ pictures @ low_x.T) @ low_x)


def _cosines(length: int) -> np.ndarray:
    """Return the lowest orthonormal cosines (DCT-II), float64 (LOW, length)."""
    order, place = np.arange(min(LOW, length))[:, None], np.arange(length)[None] + 0.5
    waves = np.cos(np.pi * order * place / length)
    return np.asarray(waves / np.linalg.norm(waves, axis=1, keepdims=True))
