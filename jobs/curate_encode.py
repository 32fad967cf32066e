"""Vectors of tiles by a network of ours: the codes of an autoencoder, or the embeddings of an embedder."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.curate_clean import KNOWN
from jobs.curate_subject import Tiles
from jobs.embed_network import load as load_embedder_bundle
from jobs.plan import Precision
from jobs.progress import Progress

BATCH = 32
KINDS = ("autoencoder", "embedder")


def split_spec(spec: str) -> tuple[str, str]:
    """Return name and bundle of NAME=BUNDLE.

    Raises:
        ValueError: it is not of this form, or the bundle has no card, or is of another kind.
    """
    name, _, bundle = spec.partition("=")
    if not name or not bundle or name in KNOWN:
        raise ValueError(f"--encoder {spec}: NAME=BUNDLE is needed, with another name than {', '.join(KNOWN)}")
    if not Storage(bundle).exists("card.json"):
        raise ValueError(f"--encoder {spec}: no bundle there (card.json is missing); train it, or correct the path")
    if kind_of(bundle) not in KINDS:
        raise ValueError(f"--encoder {spec}: a bundle of {kind_of(bundle)!r}; vectors come from {' or '.join(KINDS)}")
    return name, bundle


def kind_of(bundle: str) -> str:
    """Return what a bundle's card says it is; networks of segmentation say nothing."""
    return str(json.loads(Storage(bundle).get("card.json")).get("kind", "segmentation"))


def encoded(store: Tiles, rows: np.ndarray, bundle: str) -> np.ndarray:
    """Return a vector of each tile asked for.

    Args:
        store: the tiles.
        rows: int64 (k,): which.
        bundle: folder of an autoencoder or an embedder.

    Returns:
        float64 (n, d) for all n tiles of the store, NaN where none was asked for.

    Raises:
        ValueError: the store lacks a channel of the network, or the bundle is damaged.
    """
    import torch

    channels, network = _loaded(bundle)
    absent = [channel for channel in channels if channel not in store.offered]
    if absent:
        raise ValueError(f"the bundle {bundle} needs the channels {absent}; the data set offers {list(store.offered)}")
    parts = []
    with Progress(len(rows), "encode", unit="tiles") as progress, torch.inference_mode():
        for first in range(0, len(rows), BATCH):
            some = rows[first : first + BATCH].tolist()
            images = torch.from_numpy(np.stack([store.network_input(row, channels) for row in some]))
            valid = torch.from_numpy(np.stack([store.read("valid", row)[None] for row in some]))
            parts.append(network(images.nan_to_num(), valid).numpy())
            progress.advance(len(some))
    out = np.full((len(store.tiles), parts[0].shape[1] if parts else 1), np.nan)
    if parts:
        out[rows] = np.concatenate(parts)
    return out


def _loaded(bundle: str) -> tuple[tuple[str, ...], Any]:
    """Return the channels of a network, and what makes vectors of (images, valid)."""
    if kind_of(bundle) == "embedder":
        card, embedder = load_embedder_bundle(bundle, Precision("cpu", "fp32", BATCH))
        return card.channels, embedder
    from models.image_bundle import load_autoencoder

    storage = Storage(bundle)
    found, autoencoder = load_autoencoder({n: storage.get(n) for n in ("card.json", "weights.safetensors")})
    return found.channels, partial(autoencoder.encode)
