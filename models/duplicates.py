"""Duplicates and honest splits: which items are copies of each other, and parts that none of them straddles.

Three ways of being a copy, from strict to lax: the same bytes; the same picture to the eye (two perceptual hashes);
the same to a network (cosine of embeddings). Copies and what else must stay together (spatial blocks, time) are one
group by union-find, and whole groups are dealt to the parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

HASH_SIDE = 8
THUMBNAIL_PX = 32
"""Side of the square of area means that is hashed."""
TRAINING, VALIDATION, LEFT_OUT = 0, 1, -1
"""Parts of a split; what is left out lies too near a validation item in time to train."""
ROUNDING = 1e-6
"""Cosine distance of equal items whose vectors were rounded to float16."""
BLOCK_ROWS = 2_048
"""Rows of a block of the search by cosine."""


def digest(image: np.ndarray) -> str:
    """Return a name for the exact contents of an array of any shape: sha256 of type, shape and values."""
    whole = np.ascontiguousarray(image)
    return hashlib.sha256(f"{whole.dtype.str} {whole.shape}".encode() + whole.tobytes()).hexdigest()


def thumbnail(image: np.ndarray, valid: np.ndarray, side_px: int = THUMBNAIL_PX) -> np.ndarray:
    """Return the area means of an image's grey, float64 (side_px, side_px).

    Args:
        image: (band, y, x), at least `side_px` along both sides.
        valid: bool (y, x): other pixels count as the mean of the valid ones.
        side_px: pixels of the thumbnail.

    Raises:
        ValueError: the image is too small.
    """
    bands = np.asarray(image, np.float64)
    if min(bands.shape[1:]) < side_px:
        raise ValueError(f"an image of {bands.shape[1:]} px has no thumbnail of {side_px} px; give a larger one")
    grey = bands.mean(0)
    grey = np.where(valid, grey, grey[valid].mean() if valid.any() else 0.0)
    for axis in (0, 1):  # means over [i, i + 1) * length / side, pixels cut in parts where they straddle
        length = grey.shape[axis]
        edges = np.arange(side_px + 1) * (length / side_px)
        sums = np.concatenate([np.zeros_like(grey.take([0], axis)), grey.cumsum(axis)], axis)
        low = np.minimum(edges.astype(int), length)
        part = np.expand_dims(edges - low, 1 - axis)
        at = sums.take(low, axis) + part * grey.take(np.minimum(low, length - 1), axis)
        grey = np.diff(at, axis=axis) / (length / side_px)
    return np.asarray(grey)


def difference_hash(small: np.ndarray) -> int:
    """Return 64 bits: whether each of 8 x 9 area means is darker than the one to its right (dHash)."""
    rows = small.reshape(HASH_SIDE, -1, small.shape[1]).mean(1)
    columns = np.linspace(0, small.shape[1], HASH_SIDE + 2).round().astype(int)
    means = np.add.reduceat(rows, columns[:-1], axis=1) / np.diff(columns)
    return _bits(means[:, 1:] > means[:, :-1])


def frequency_hash(small: np.ndarray) -> int:
    """Return 63 bits: which of the lowest cosine frequencies are above their median (pHash; Zauner 2010, section 3.2).

    The mean (frequency zero) is left out: a picture is the same when all of it is brighter.
    """
    from scipy.fft import dctn

    low = dctn(small, norm="ortho")[:HASH_SIDE, :HASH_SIDE].ravel()[1:]
    return _bits(low > np.median(low))


def _bits(flags: np.ndarray) -> int:
    return int("".join("1" if flag else "0" for flag in flags.ravel()), 2)


def equal_pairs(names: Sequence[str]) -> np.ndarray:
    """Return pairs int64 (p, 2) that chain items of equal names: each with the next one of its name."""
    _, which = np.unique(np.asarray(names, dtype=str), return_inverse=True)
    return _chains(which)


def alike_pairs(hashes: np.ndarray, most_bits: int) -> np.ndarray:
    """Return pairs int64 (p, 2), i < j, of which every hash differs in at most `most_bits` bits.

    Two numbers that differ in t bits are equal in one of t + 1 parts of them, so only those that share a part are
    compared.

    Args:
        hashes: uint64 (n, kinds): all kinds must agree.
        most_bits: 0 to 15.

    Raises:
        ValueError: more bits than the parts are made for.
    """
    if not 0 <= most_bits <= 15:
        raise ValueError(f"hashes that differ in {most_bits} bits are no copies; ask for 0 to 15")
    values, which = np.unique(hashes, axis=0, return_inverse=True)
    parts, found = np.linspace(0, 64, most_bits + 2).astype(int), [np.empty((0, 2), np.int64)]
    first = values[:, 0]
    for low, high in pairwise(parts.tolist()):
        key = (first >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(key, kind="stable")
        for same in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
            for place in range(len(same) - 1):
                apart = np.bitwise_count(values[same[place + 1 :]] ^ values[same[place]]).max(1)
                near = same[place + 1 :][apart <= most_bits]
                found.append(np.stack([np.full(len(near), same[place]), near], axis=1))
    pairs = np.concatenate(found)
    members = np.unique(which.ravel(), return_index=True)[1]  # one item stands for all of its value
    return _ordered(np.concatenate([members[pairs].reshape(-1, 2), _chains(which.ravel())]))


def cosine_pairs(embeddings: np.ndarray, least: float) -> np.ndarray:
    """Return pairs int64 (p, 2), i < j, whose cosine is above `least`; rows of length zero have none.

    Args:
        embeddings: float (n, dimension).
        least: below 1.
    """
    rows = np.asarray(embeddings, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(rows), BLOCK_ROWS):
        for other in range(start, len(rows), BLOCK_ROWS):
            here, there = np.nonzero(rows[start : start + BLOCK_ROWS] @ rows[other : other + BLOCK_ROWS].T > least)
            pairs = np.stack([here + start, there + other], axis=1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return _ordered(np.concatenate(found))


def copy_cosine(embeddings: np.ndarray, share: float = 0.05) -> float:
    """Return a bound for `cosine_pairs` that suits an embedder: how alike is too alike depends on how it spreads items.

    The median distance of an item from its nearest neighbour is what items that are no copies keep; copies lie within
    a small share of it. Half of the items may be copies before it fails.

    Args:
        embeddings: float (n, dimension); rows of length zero do not count.
        share: of that distance.
    """
    rows = np.asarray(embeddings, np.float32)
    lengths = np.linalg.norm(rows, axis=1)
    rows = rows[lengths > 0] / lengths[lengths > 0, None]
    nearest = np.full(len(rows), -1.0, np.float32)
    for start in range(0, len(rows), BLOCK_ROWS):
        alike = rows[start : start + BLOCK_ROWS] @ rows.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -1
        nearest[start : start + BLOCK_ROWS] = alike.max(1)
    usual = float(np.median(1 - nearest.astype(np.float64))) if len(rows) > 1 else 0.0
    return 1 - max(share * usual, ROUNDING)


def groups_of(items: int, pairs: Iterable[np.ndarray], *together: np.ndarray) -> np.ndarray:
    """Return the group of each item, int64 (items,): the number of its first member.

    Args:
        items: how many there are.
        pairs: int (p, 2) each.
        together: int (items,) each, for example spatial blocks or blocks of time: items of one number are one group;
            negative numbers bind nobody.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = [np.empty((0, 2), np.int64), *(np.asarray(p).reshape(-1, 2) for p in pairs)]
    for labels in together:
        bound = np.flatnonzero(labels >= 0)
        links.append(bound[_chains(np.unique(labels[bound], return_inverse=True)[1])].reshape(-1, 2))
    all_links = np.concatenate(links).astype(np.int64)
    graph = coo_array((np.ones(len(all_links)), (all_links[:, 0], all_links[:, 1])), shape=(items, items))
    group = connected_components(graph, directed=False)[1]
    first = np.unique(group, return_index=True)[1]
    return np.asarray(first[group], np.int64)


def split_by_group(
    groups: np.ndarray,
    validation: float,
    seed: int = 0,
    series: np.ndarray | None = None,
    times_s: np.ndarray | None = None,
    guard_s: float = 0.0,
) -> np.ndarray:
    """Deal whole groups to the parts; a function of seed and groups alone.

    Groups come in the order of a shuffle, and each goes to validation as long as that brings the share of items nearer
    to what is asked. So one group larger than the share leaves validation as near as whole groups allow.

    Args:
        groups: int (n,).
        validation: share of the items, in (0, 1).
        seed: of the shuffle.
        series: int (n,): whose times are compared; None for one series.
        times_s: float (n,): when each item was taken; None where it does not matter.
        guard_s: training items nearer in time than this to a validation item of their series are left out: frames of
            neighbouring hours are nearly copies, and blocks of time have borders.

    Returns:
        int8 (n,) of `TRAINING`, `VALIDATION`, `LEFT_OUT`.

    Raises:
        ValueError: fewer than two groups, or a share outside (0, 1).
    """
    names, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2 or not 0 < validation < 1:
        raise ValueError(
            f"{len(names)} groups cannot be split with a validation share of {validation}: two groups and a share "
            "within (0, 1) are needed; make smaller blocks, or ask for closer copies"
        )
    wanted, taken = validation * len(groups), 0
    chosen = np.zeros(len(names), bool)
    for place in np.random.default_rng(seed).permutation(len(names)):
        if abs(taken + sizes[place] - wanted) < abs(taken - wanted):
            chosen[place], taken = True, taken + int(sizes[place])
    if not chosen.any():
        chosen[sizes.argmin()] = True
    if chosen.all():
        chosen[sizes.argmax()] = False
    part = np.where(chosen[which.ravel()], VALIDATION, TRAINING).astype(np.int8)
    if times_s is not None and guard_s > 0:
        part[_too_near(part, np.zeros(len(part), int) if series is None else series, times_s, guard_s)] = LEFT_OUT
    return part


def _too_near(part: np.ndarray, series: np.ndarray, times_s: np.ndarray, guard_s: float) -> np.ndarray:
    """Return which training items lie less than `guard_s` from a validation item of their series, bool (n,)."""
    near = np.zeros(len(part), bool)
    for one in np.unique(series):
        held = np.sort(times_s[(series == one) & (part == VALIDATION)])
        trains = np.flatnonzero((series == one) & (part == TRAINING))
        if len(held):
            after = np.searchsorted(held, times_s[trains])
            gaps = [np.abs(held[np.clip(after - k, 0, len(held) - 1)] - times_s[trains]) for k in (0, 1)]
            near[trains] = np.minimum(*gaps) < guard_s
    return near


def leaks(part: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return pairs int64 (p, 2) of training and validation items of one group, one for each such validation item.

    Args:
        part: as of `split_by_group`, or a split that was made elsewhere.
        groups: int (n,).
    """
    trains, held = np.flatnonzero(part == TRAINING), np.flatnonzero(part == VALIDATION)
    names, first = np.unique(groups[trains], return_index=True)
    straddling = held[np.isin(groups[held], names)]
    partners = trains[first[np.searchsorted(names, groups[straddling])]] if len(straddling) else straddling
    return np.stack([partners, straddling], axis=1).astype(np.int64)


def _chains(labels: np.ndarray) -> np.ndarray:
    """Return pairs (p, 2) of each item with the next one of its label."""
    order = np.argsort(labels, kind="stable")
    same = labels[order][1:] == labels[order][:-1]
    return _ordered(np.stack([order[:-1][same], order[1:][same]], axis=1))


def _ordered(pairs: np.ndarray) -> np.ndarray:
    """Return pairs (p, 2) with i < j, sorted, once each."""
    if not len(pairs):
        return np.empty((0, 2), np.int64)
    return np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)
