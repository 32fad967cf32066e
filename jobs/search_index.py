"""An index of the archive for millions of items: candidates by faiss, their order by exact scores.

An inverted file (Jegou, Douze and Schmid 2011, Product Quantization for Nearest Neighbor Search, IEEE TPAMI 33, section
4; vectors stay float16, no product quantiser) sorts vectors into cells around centres, and looks only into the cells
nearest to a query. What it misses is measured once, when it is built: every search states that recall. It lies in
`OUT/index/` of the first run, and is built again when the archive has changed.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.plan import key_of
from jobs.search_archive import Archive
from jobs.search_filters import allowed
from jobs.search_stage import Found, Score
from models.search import BLOCK_ROWS, Best, best_of, exact_scores, merged

INDEXES = ("exact", "faiss")
FOLDER = "index"
CENTRES_PER_ROOT = 4
"""Cells for each square root of the number of items: faiss' own advice is 4 to 16."""
ITEMS_PER_CENTRE = 40
"""Items that a centre is learnt from, at most; and with fewer items there are fewer centres."""
PROBED_SHARE = 0.06
"""Of the cells, that are looked into."""
QUERIES, RECALL_AT = 200, 10
"""Items that are looked up to measure recall, and among how many."""
SLACK = 4
"""Candidates for each result that is asked for."""


def check_index(kind: str, sequence: bool, out: Storage) -> None:
    """Refuse an index that cannot be had.

    Raises:
        ValueError: faiss is not installed, the run lies on an object store, or a sequence is asked for.
    """
    if kind == "exact":
        return
    if sequence:
        raise ValueError("--index faiss: sequences are only searched exactly; leave one of the two out")
    if not out.is_local:
        raise ValueError(f"--index faiss keeps its index in a local folder, {out.url} is none; search exactly")
    try:
        import faiss  # noqa: F401
    except ImportError as error:
        raise ValueError("--index faiss needs the package faiss-cpu: pip install 'sandan[faiss]'") from error


def find_with_index(archive: Archive, score: Score, out: Storage) -> Found:
    """Search approximately: candidates from the index, in the order of their exact scores.

    Args:
        archive: where to look.
        score: what to look for.
        out: folder of the first run.
    """
    import faiss

    index, facts = _opened(archive, Path(out.url) / FOLDER)
    may, found = np.zeros(len(archive), bool), Found(merged([], score.k))
    for member, base in zip(archive.members, archive.starts, strict=False):
        span = 0, len(member.store)
        part = allowed(member.places, span, base, *member.store.columns(), score.filters, score.examples)
        may[base : base + span[1]] = part.mask
        for name, count in part.removed.items():
            found.removed[name] = found.removed.get(name, 0) + count
    found.candidates, found.facts = int(may.sum()), {**facts, "told": facts["told"]}
    bits = np.packbits(may, bitorder="little")
    selector = faiss.IDSelectorBitmap(len(archive), faiss.swig_ptr(bits))
    probed = _parameters(facts["probed"], selector)
    wanted = min(score.k * SLACK, len(archive))
    _, ids = index.search(score.queries[:1].astype(np.float32), wanted, params=probed)
    there = np.sort(ids[0][ids[0] >= 0])
    found.best = merged([Best(exact_scores(_vectors(archive, there), score.queries[0]), there)], score.k)
    return found


def _parameters(probed: int, selector: Any = None) -> Any:
    import faiss

    made: Any = faiss.SearchParametersIVF()
    made.nprobe = probed
    if selector is not None:
        made.sel = selector
    return made


def _vectors(archive: Archive, ids: np.ndarray) -> np.ndarray:
    """Return the vectors of items, float16 (n, dimension); ids rising."""
    out = np.zeros((len(ids), archive.dimension), np.float16)
    for member, base in zip(archive.members, archive.starts, strict=False):
        here = (ids >= base) & (ids < base + len(member.store))
        if here.any():
            out[here] = member.store.vectors(ids[here] - base)[0]
    return out


def _blocks(archive: Archive) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield every block of the archive: vectors, which of them there are, and the first id."""
    for member, base in zip(archive.members, archive.starts, strict=False):
        for first, last in member.store.blocks(BLOCK_ROWS):
            rows, norm, _ = member.store.read(first, last)
            yield rows, norm > 0, base + first


def _opened(archive: Archive, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the index of an archive and its facts; build it where there is none."""
    import faiss

    key = key_of([(member.plan.name, int((member.store.columns()[0] > 0).sum())) for member in archive.members])
    file, beside = folder / f"{key}.faiss", folder / f"{key}.json"
    if beside.is_file():  # written last
        return faiss.read_index(str(file)), json.loads(beside.read_text())
    began = time.monotonic()
    print(f"building an index of {len(archive)} items", file=sys.stderr)
    index, probed = _built(archive)
    recall = _recall(archive, index, probed)
    facts = {
        "items": int(index.ntotal),
        "cells": int(index.nlist),
        "probed": probed,
        f"recall_at_{RECALL_AT}": recall,
        "seconds": round(time.monotonic() - began, 1),
        "told": f"faiss IVF ({probed} of {index.nlist} cells; recall@{RECALL_AT} {recall:.3f} when it was built)",
    }
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    faiss.write_index(index, str(partial))
    partial.replace(file)
    beside.write_text(json.dumps(facts, indent=1))
    return index, facts


def _built(archive: Archive) -> tuple[Any, int]:
    """Return an index of all items that have a vector, and how many of its cells are looked into."""
    import faiss

    total, dimension = len(archive), archive.dimension
    cells = max(1, min(round(CENTRES_PER_ROOT * math.sqrt(total)), total // ITEMS_PER_CENTRE))
    quantizer = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    step = max(1, total // (cells * ITEMS_PER_CENTRE))
    index.train(np.concatenate([rows[seen][::step] for rows, seen, _ in _blocks(archive)]).astype(np.float32))
    for rows, seen, first_id in _blocks(archive):
        index.add_with_ids(rows[seen].astype(np.float32), first_id + np.flatnonzero(seen))
    return index, max(1, math.ceil(cells * PROBED_SHARE))


def _recall(archive: Archive, index: Any, probed: int) -> float:
    """Return the share of the true nearest neighbours of some items that the index finds, themselves left out."""

    chosen = np.unique(np.linspace(0, len(archive) - 1, QUERIES).astype(np.int64))
    queries = _vectors(archive, chosen)
    there = (queries != 0).any(axis=1)
    queries = queries[there]
    truth = best_of(_blocks(archive), queries, RECALL_AT + 1)
    _, ids = index.search(queries.astype(np.float32), RECALL_AT + 1, params=_parameters(probed))
    pairs = zip(truth, ids, chosen[there], strict=True)
    return float(np.mean([_share(best.ids, found, own) for best, found, own in pairs]))


def _share(truth: np.ndarray, found: np.ndarray, own: int) -> float:
    wanted = {one for one in truth.tolist() if one != own}
    return len(wanted & set(found.tolist())) / max(1, len(wanted))
