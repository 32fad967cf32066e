"""How good a retrieval is: which frames are found for a query, beside which should have been.

Queries are places in the gallery; what is near a query in time may be left out of its answers. Everything goes by
blocks of queries against the gallery, so that memory grows with the gallery and never with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

QUERIES_AT_ONCE = 256
LEAST_GALLERY = 2000
"""Frames below which 100 of them are no small share, and recall says little."""
YEAR_DAYS = 365.2425

Similarity = Callable[[np.ndarray], np.ndarray]
"""From places of queries (q,) to their similarity with the whole gallery (q, n), the larger the nearer."""


def query_blocks(queries: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield where in `queries` (q,) a block lies, and the block."""
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        part = slice(start, start + QUERIES_AT_ONCE)
        yield part, queries[part]


def cosine(embeddings: np.ndarray, others: np.ndarray | None = None) -> Similarity:
    """Return the similarity by cosine of embeddings (n, d) with those of `others` (m, d), or with themselves.

    An embedding of length 0 stands for a frame that saw too little: it is nearer to nothing than everything else.
    """
    rows = _unit(embeddings)
    gallery = rows if others is None else _unit(others)
    blank = ~gallery.any(1)

    def similarity(queries: np.ndarray) -> np.ndarray:
        found = rows[queries] @ gallery.T
        found[:, blank] = -2
        return found

    return similarity


def _unit(embeddings: np.ndarray) -> np.ndarray:
    rows = embeddings.astype(np.float32)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def excluded(queries: np.ndarray, times: np.ndarray, hours: float) -> np.ndarray:
    """Return which frames of the gallery are no answer (q, n) bool: the query itself, and what is within `hours` of it.

    queries: places (q,); times: datetime64 (n,); hours: 0 leaves out the query alone.
    """
    seconds = times.astype("datetime64[s]").astype(np.int64)
    out = np.zeros((len(queries), len(times)), bool)
    if hours:
        out = np.abs(seconds[queries][:, None] - seconds) <= round(hours * 3600)
    out[np.arange(len(queries)), queries] = True
    return out


def nearest(similarity: np.ndarray, barred: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k most similar (q, k) int32, the best first; of equal ones the lower place first.

    similarity: (q, n); barred: bool (q, n).
    Raises ValueError: fewer than k are allowed for a query, or a similarity is NaN.
    """
    allowed = int((~barred).sum(1).min(initial=barred.shape[1]))
    if k > allowed:
        raise ValueError(f"Asked for the {k} nearest of {allowed} frames. Ask for fewer, or give a larger gallery.")
    if np.isnan(similarity).any():
        raise ValueError("A similarity is NaN, which has no place in an order. Look for NaN in images or embeddings.")
    away = np.where(barred, np.inf, -similarity)
    # only what is not behind the k-th is sorted: a tenth of the time where k is a small share
    last = np.partition(away, k - 1, axis=1)[:, k - 1] if k else np.zeros(len(away))
    out = np.empty((len(away), k), np.int32)
    for row, values in enumerate(away):
        near = np.flatnonzero(values <= last[row])
        out[row] = near[np.argsort(values[near], kind="stable")[:k]]
    return out


def neighbours(similarity: Similarity, queries: np.ndarray, times: np.ndarray, hours: float, k: int) -> np.ndarray:
    """Return the k nearest frames (q, k) int32 of every query, what is within `hours` of it left out."""
    found = np.empty((len(queries), k), np.int32)
    for part, block in query_blocks(queries):
        found[part] = nearest(similarity(block), excluded(block, times, hours), k)
    return found


def recall(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the share of the true k that is among the found k, for every query (q,) float64.

    truth, found: places (q, k), each row without repeats.
    """
    if truth.shape != found.shape:
        raise ValueError(f"Recall compares as many as there are: {truth.shape} with {found.shape}. Take the same k.")
    hits = [np.intersect1d(a, b, assume_unique=True).size for a, b in zip(truth, found, strict=True)]
    return np.array(hits, np.float64) / truth.shape[1]


def chance(gallery: int, k: int, barred: float = 0) -> float:
    """Return the recall at k of random answers: the k over the frames that may be answers, at most 1.

    barred: frames of the gallery, in the mean over queries, that may not.
    """
    return min(1.0, k / max(1.0, gallery - barred))


def ndcg(gain: Similarity, found: np.ndarray, queries: np.ndarray, times: np.ndarray, hours: float) -> np.ndarray:
    """Return the normalised discounted cumulative gain of the found (q, k), for every query (q,).

    Jarvelin and Kekalainen 2002 (https://doi.org/10.1145/582415.582418): gains over log2(1 + rank), summed, over what
    the best order of the same frames would give. gain: similarities of known truth, at least 0; hours: as in
    `neighbours`.
    """
    k = found.shape[1]
    discount = 1 / np.log2(np.arange(2, k + 2))
    out = np.empty(len(queries))
    for part, block in query_blocks(queries):
        gains = gain(block)
        got = np.take_along_axis(gains, found[part].astype(np.int64), 1) @ discount
        allowed = np.where(excluded(block, times, hours), 0, gains)
        best = np.sort(np.partition(allowed, -k, axis=1)[:, -k:], axis=1)[:, ::-1] @ discount
        out[part] = np.divide(got, best, out=np.ones_like(got), where=best > 0)
    return out


def hits(wanted: np.ndarray, kinds: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the share of the found frames (q, k) that are of the kind wanted, for every query (q,).

    wanted: (q,); kinds: (n,) of the gallery: `kinds[found] == wanted`, for example quadrants of typhoons.
    """
    return (kinds[found] == wanted[:, None]).mean(1)


def season_error_days(times: np.ndarray, query_times: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return how far the found frames lie from the query in the year, whatever the year, in days, mean over k (q,).

    Random answers give a quarter of a year, 91 days.
    """
    apart = np.abs(day_of_year(times)[found] - day_of_year(query_times)[:, None])
    return np.minimum(apart, YEAR_DAYS - apart).mean(1)


def day_of_year(times: np.ndarray) -> np.ndarray:
    """Return days since the begin of the year with their fraction, float64, of datetime64 (n,)."""
    return (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")


def successors(times: np.ndarray, series: np.ndarray, hours: float = 3) -> np.ndarray:
    """Return the place of the frame of the same series `hours` later (n,) int64, -1 where the gallery has none.

    times: datetime64[s] (n,); series: whole numbers (n,): which frames share a clock and a view.
    """
    places = {(s, t): place for place, (s, t) in enumerate(zip(series.tolist(), times.astype(np.int64), strict=True))}
    step_s = round(hours * 3600)
    later = zip(series.tolist(), times.astype(np.int64) + step_s, strict=True)
    return np.array([places.get(key, -1) for key in later], np.int64)


def ranks_of(similarity: Similarity, queries: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return which rank a wanted frame has among all but the query, from 1, float64 (q,); NaN where wanted is -1.

    queries, wanted: places (q,). Of equal frames the lower place ranks first. The temporal continuity of an embedding
    is the median rank of the frame three hours later.
    """
    out = np.full(len(queries), np.nan)
    for part, block in query_blocks(queries):
        place = wanted[part][:, None]
        values = similarity(block)
        values[np.arange(len(block)), block] = -np.inf
        own = np.take_along_axis(values, np.maximum(place, 0), 1)
        before = (values > own) | ((values == own) & (np.arange(values.shape[1]) < place))
        out[part] = np.where(place[:, 0] >= 0, 1 + before.sum(1), np.nan)
    return out


def state_gain(vectors: np.ndarray) -> Similarity:
    """Return the similarity of known states, exp(-|a - b|^2) of vectors (n, m): 1 for equal ones."""
    rows = (vectors - vectors.mean(0)).astype(np.float32)  # differences of large squares would lose small distances
    squares = np.square(rows).sum(1)

    def gain(queries: np.ndarray) -> np.ndarray:
        apart = squares[queries][:, None] + squares[None] - 2 * rows[queries] @ rows.T
        return np.exp(-np.maximum(apart, 0))

    return gain
