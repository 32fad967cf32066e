"""Planted copies among the windows of a date: which of the three ways finds them, and do splits keep them together?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from uses_data import NOW, Embedding, window_of

from jobs.run_embeddings import RunEmbeddings
from models.duplicates import (
    TRAINING,
    VALIDATION,
    alike_pairs,
    copy_cosine,
    cosine_pairs,
    difference_hash,
    digest,
    equal_pairs,
    frequency_hash,
    groups_of,
    leaks,
    split_by_group,
    thumbnail,
)

COPIES = 12
"""Of each kind: few beside the windows, as in an archive."""
BITS = 4


def _noise(image: np.ndarray, number: int) -> np.ndarray:
    return image + np.random.default_rng(number).normal(0, 20, image.shape)


KINDS = {
    "same bytes": lambda image, number: image,
    "5 % brighter": lambda image, number: image * 1.05,
    "noise of 20": _noise,
    "one pixel aside": lambda image, number: np.roll(image, 1, axis=2),
}


def duplicate_rows(embedding: Embedding, run: RunEmbeddings) -> list[dict[str, Any]]:
    """Add altered copies of some windows of the last date to all of its windows, and look for them."""
    now = np.flatnonzero((run.times.astype("datetime64[D]").astype(str) == NOW) & run.seen)
    random = np.random.default_rng(0)
    originals = np.concatenate([random.choice(now, COPIES, replace=False) for _ in KINDS])
    alter = list(KINDS.values())

    images = [window_of(run, row) for row in now.tolist()]
    copies = []
    for number, row in enumerate(originals.tolist()):
        image, valid = window_of(run, row)
        copies.append((alter[number // COPIES](image, number).round(), valid))
    altered = embedding.altered(
        run.only(originals), np.arange(len(originals)), lambda i, v, r: (np.stack([copies[k][0] for k in r]), v)
    )
    # Originals are embedded again, in the number format of the copies.
    plain = embedding.altered(run.only(now), np.arange(len(now)), lambda i, v, r: (i, v))
    everything = replace(run, vectors=np.concatenate([plain.vectors, altered.vectors]))
    names, hashes = [], []
    for image, valid in [*images, *copies]:
        names.append(digest(image))
        small = thumbnail(image, valid)
        hashes.append((frequency_hash(small), difference_hash(small)))
    found = {
        "exact": equal_pairs(names),
        "perceptual": alike_pairs(np.array(hashes, np.uint64), BITS),
        "cosine": cosine_pairs(everything.vectors, copy_cosine(everything.vectors)),
    }
    count = len(names)
    where = {row: place for place, row in enumerate(now.tolist())}
    of = np.array([where[row] for row in originals.tolist()])
    copy = len(now) + np.arange(len(originals))
    together = {kind: groups_of(count, [pairs]) for kind, pairs in found.items()}
    together["all three"] = groups_of(count, found.values())
    rows = []
    for kind, groups in together.items():
        hit = groups[copy] == groups[of]
        recall = {name: round(float(hit[n * COPIES : (n + 1) * COPIES].mean()), 3) for n, name in enumerate(KINDS)}
        planted = groups_of(count, [np.stack([of, copy], 1)])
        wrong = len(np.unique(planted)) - len(
            np.unique(groups_of(count, [np.stack([groups, np.arange(count)], 1), np.stack([of, copy], 1)]))
        )
        part = split_by_group(groups, 0.2, 1)
        straddling = int((part[of] != part[copy]).sum())
        row = {"embedding": embedding.name, "by": kind, "recall": recall, "windows joined that are no copies": wrong}
        rows.append(row | {"planted pairs that straddle": straddling})
    by_chance = np.where(random.random(count) < 0.2, VALIDATION, TRAINING)
    straddling = {
        "by": "a split at random",
        "planted pairs that straddle": int((by_chance[of] != by_chance[copy]).sum()),
    }
    return [*rows, straddling | {"leaks found": len(leaks(by_chance, together["all three"]))}]
