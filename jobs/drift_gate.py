"""The gate of drift: what is new in a run is compared with the run that is published, before it replaces that."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from cluster.storage import Storage
from jobs.drift import compare
from jobs.drift_config import DriftConfig
from jobs.embedding import FOLDER, embedding_of
from jobs.gates import DriftFacts
from jobs.ingest import ingested
from jobs.plan import Run
from jobs.run_embeddings import RunEmbeddings, gathered
from jobs.runner import markers_of
from jobs.stale import SUFFIX
from tiler.embedding_store import EmbeddingStore
from tiler.stores import is_complete

MOST_TOLD = 5
"""Regions that are named."""


def measured_drift(run: Run, before: Storage, published: Collection[str], asked: DriftConfig) -> DriftFacts | None:
    """Compare the scenes that are new in a run with the published one, on the ground of the new ones.

    Args:
        run: whose map is made; its scenes are embedded.
        before: folder of the published run.
        published: names of the scene stores of its map.
        asked: how drift is judged.

    Returns:
        What the gate says; None where there is nothing to compare: no scene is new, the published run was not embedded
        by this embedder, or it never saw this ground.
    """
    todo = embedding_of(ingested(run), None)
    if todo is None:
        return None
    reference = _published(before, published, todo.card.digest())
    new = [plan for plan in todo.complete() if plan.what.store not in published]
    expected = [scene for scene in run.scenes if scene.name not in published]
    if reference is None or not expected:
        return None
    if not new:
        return DriftFacts(None, "it could not be measured whether the new scenes drift: none of them is embedded")
    here = gathered([EmbeddingStore(todo.url(p)) for p in new], [run.url("ingest", p.what.store) for p in new])
    block_m = 1000 * asked.block_km if asked.block_km is not None else 2 * here.window_m
    shared = np.isin(reference.blocks(block_m), here.blocks(block_m))
    if not shared.any():
        return None
    try:
        compared = compare(here, reference.only(shared), asked)
    except ValueError as error:  # other windows, too little ground, regions elsewhere
        return DriftFacts(None, f"it could not be measured whether the new scenes drift: {error}")
    if not compared.judged:
        return DriftFacts(None, "it could not be measured whether the new scenes drift: they share too little ground")
    told = compared.drifting
    names = "; ".join(told[:MOST_TOLD]) + (" ..." if len(told) > MOST_TOLD else "")
    return DriftFacts(
        len(told), f"{len(told)} of {len(compared.found)} regions drift" + (f" ({names})" if told else "")
    )


def _published(before: Storage, published: Collection[str], card: str) -> RunEmbeddings | None:
    """Return the finished embeddings of a published run by one embedder; None where there are none."""
    stores = []
    for name in sorted(before.folders(FOLDER)):
        url = f"{before.url}/{FOLDER}/{name}"
        if not name.endswith(SUFFIX) or not is_complete(url):
            continue
        store = EmbeddingStore(url)
        done = markers_of(before, FOLDER).done(name.removesuffix(SUFFIX))
        if store.what.card_digest == card and store.what.store in published and len(done) >= store.units:
            stores.append(store)
    if not stores:
        return None
    return gathered(stores, [f"{before.url}/ingest/{store.what.store}{SUFFIX}" for store in stores])
