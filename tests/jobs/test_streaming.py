"""A store that is larger than its cache is read and trained on in the memory of the cache, not of the store."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from jobs.image_training_data import ImageSamples, ImageSet
from models.networks import NetworkSpec, build
from models.train import train
from models.train_spec import TrainSpec
from tiler.luminance import RGB
from tiler.sensors import load_sensor
from tiler.stores import open_group
from tiler.tile_ground import TileGround
from tiler.tile_source import NOWHERE, Row, fill_shard, original_facts, stored_facts
from tiler.tile_store import TileEntry, TileStore, create_tile_store, tile_shards
from tiler.tiles import HeldBackTiles, TrainingTiles

SIDE_PX, TRAINING, VALIDATION = 192, 48, 8
TILE_BYTES = SIDE_PX**2 * (3 + 1 + 1)
STORE_BYTES = (TRAINING + VALIDATION) * TILE_BYTES
CACHE_BYTES = 4 * TILE_BYTES
HANDS_BYTES = 12 * TILE_BYTES
"""Decoded tiles, float32 images and batches that are in hand at once, at most."""


@dataclass(frozen=True)
class Noise:
    """Tiles that no codec makes smaller."""

    entries: tuple[TileEntry, ...]
    sensor = load_sensor("RGB")
    tile_px, dtype, classes, class_names, modalities, label_values = SIDE_PX, "uint8", 2, ("a", "b"), (), (0, 1)

    def identity(self) -> tuple[object, ...]:
        return ("noise",)

    def row(self, index: int) -> Row:
        random = np.random.default_rng(index)
        image = random.integers(0, 256, (3, SIDE_PX, SIDE_PX), dtype=np.uint8)
        valid, label = np.ones((SIDE_PX, SIDE_PX), bool), random.integers(0, 2, (SIDE_PX, SIDE_PX), dtype=np.uint8)
        facts = original_facts(image, valid) | stored_facts(image, valid, label, 2)
        return {"image": image, "valid": valid, "label": label} | facts | NOWHERE


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TileStore:
    url = str(tmp_path_factory.mktemp("large") / "tiles.zarr")
    parts = ["train"] * TRAINING + ["validation"] * VALIDATION
    source = Noise(tuple(TileEntry(f"{n:03}", part, "", "", "ab"[n % 2]) for n, part in enumerate(parts)))
    create_tile_store(url, source.entries, source.sensor, SIDE_PX, "uint8", 2, (), source.class_names)
    for shard in tile_shards("noise", len(parts)):
        fill_shard(source, open_group(url), shard)
    return TileStore(url)


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most memory of arrays that some work held at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def whole_tiles(store: TileStore, cache_bytes: int) -> Callable[[], object]:
    ground = TileGround(store, SIDE_PX, RGB, 1.0, cache_bytes=cache_bytes)
    readers = TrainingTiles(ground, TRAINING), HeldBackTiles(ground)
    return lambda: [reader[index][0].sum() for reader in readers for index in range(len(reader))]


def images(store: TileStore, cache_bytes: int) -> Callable[[], object]:
    some = ImageSet.of(store, RGB, {tile["id"]: tile["split"] for tile in store.tiles}, 1.0, labelled=True)
    how = {"masks": False, "cache_bytes": cache_bytes}
    readers = [ImageSamples(some, part, some.statistics(), **how) for part in ("train", "validation")]
    return lambda: [reader[index][0].sum() for reader in readers for index in range(len(reader))]


def training(store: TileStore, cache_bytes: int) -> Callable[[], object]:
    ground = TileGround(store, 32, RGB, 1.0, cache_bytes=cache_bytes)
    network = build(NetworkSpec(architecture="unet_classic", in_channels=3, width=2))
    spec = TrainSpec(epochs=1, batch=8, precision="fp32")
    train(
        network, TrainingTiles(ground, 8), None, spec
    )  # imports what the first step imports: that is no memory of tiles
    return lambda: train(network, TrainingTiles(ground, TRAINING), None, spec, reader_threads=2)


@pytest.mark.parametrize("readers", [whole_tiles, images, training])
def test_memory_is_that_of_the_cache(store, readers):
    assert CACHE_BYTES + HANDS_BYTES < STORE_BYTES / 3
    assert peak_bytes(readers(store, CACHE_BYTES)) < CACHE_BYTES + HANDS_BYTES


def test_without_a_bound_the_store_would_be_held(store):
    held = peak_bytes(whole_tiles(store, 2 * STORE_BYTES))
    assert held > 0.9 * STORE_BYTES, "so that the other test would see it"
