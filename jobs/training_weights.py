"""Weights that a recipe begins with, as seen by a job: what identifies them, and an address that workers understand."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cluster.storage import Storage
from jobs.training_data import absolute
from models.card import CARD_FILE, BundleCard, read_card
from models.embedder_card import read_embedder_card
from models.image_cards import read_autoencoder_card, read_classifier_card
from tiler.rasters import fingerprint


def source_digest(weights: str) -> str:
    """Return what identifies the content of weights that may change under their name: a bundle's card, a file."""
    scheme, _, what = weights.partition(":")
    if scheme == "recipe" and Storage(what).exists(CARD_FILE):
        return _card(Storage(what).get(CARD_FILE)).digest()
    return fingerprint(what) if scheme == "file" and Path(what).is_file() else weights


def absolute_weights(weights: str) -> str:
    """Return weights by an address that means the same in a worker."""
    scheme, _, what = weights.partition(":")
    return f"{scheme}:{absolute(what)}" if scheme in ("file", "recipe") else weights


def _card(data: bytes) -> BundleCard:
    for read in (read_embedder_card, read_classifier_card, read_autoencoder_card):
        with suppress(ValueError):
            return read(data)
    return read_card(data)
