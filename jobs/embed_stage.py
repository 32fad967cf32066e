"""The stage that embeds: reading windows or frames, forward passes, writing vectors. No Ray, no rasterio.

Two units are in hand at once, and one is read on while its images are computed. Images travel to the network's device
as they are stored, and are scaled and averaged over areas there, as in training.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jobs.clock import Clock
from jobs.embed_filling import Filling, embed_frames, embed_windows, known_frames, take_known
from jobs.embed_network import Network
from jobs.plan import Precision
from jobs.stages import OPEN_STORES, peak_memory_bytes, prepare_worker
from jobs.teams import Teams
from tiler.embedding_store import EmbeddingStore, EmbedUnit
from tiler.frame_store import FrameStore
from tiler.scene_store import SceneStore


@dataclass(frozen=True)
class Source:
    """What one embedding store is filled from."""

    embeddings: str
    """Address of the store that is filled."""
    images: str
    """Address of the scene store or frame store."""
    wanted: np.ndarray | None = None
    """bool (rows, cols): windows of a scene that are wanted; None wants all."""
    earlier: tuple[str, ...] = ()
    """Addresses of stores of the same series by the same network: frames that they hold are not embedded again."""


@dataclass(frozen=True)
class Embed:
    """Embed every window of a unit, or every frame."""

    sources: dict[str, Source]
    """By the name of the embedding store."""
    bundle: str
    precision: Precision
    teams: Teams | None = None
    """How the network's passes share the cores of a worker; None lets the worker say."""

    def __call__(self) -> Callable[[EmbedUnit], dict]:
        """Prepare a worker: load the network once."""
        prepare_worker()
        import torch  # which must find the worker prepared

        teams = self.teams or Teams.of(torch.get_num_threads(), self.precision.device)
        return self.work(Network(self.bundle, self.precision, teams))

    def work(self, network: Network) -> Callable[[EmbedUnit], dict]:
        """Return what a worker does with a unit, on several threads at once; all teams run the same network."""

        @lru_cache(maxsize=OPEN_STORES)
        def opened(name: str) -> tuple[EmbeddingStore, SceneStore | FrameStore]:
            source, store = self.sources[name], EmbeddingStore(self.sources[name].embeddings)
            return store, SceneStore(source.images) if store.kind == "scene" else FrameStore(source.images)

        @lru_cache(maxsize=OPEN_STORES)
        def known(name: str) -> dict[int, tuple[int, int]]:
            return known_frames(self.sources[name].earlier)

        def fill(unit: EmbedUnit) -> dict:
            store, images = opened(unit.store)
            first, last = store.unit_span(unit.index)
            filling = Filling.of(store, first, last, Clock(), network.next_turn())
            content, taken = None, None
            if isinstance(images, SceneStore):
                embed_windows(filling, images, self.sources[unit.store].wanted, network)
            else:
                content = images.digests[first:last]
                taken = take_known(content, self.sources[unit.store].earlier, known(unit.store), store.dimension)
                embed_frames(filling, images, taken.rows, network)
            quarantined = filling.check(network)
            with filling.clock.step("write"):
                written = store.write(unit.index, filling.vectors, filling.missing, filling.seen, content, taken)
            return {
                "images": filling.images,
                "taken": 0 if taken is None else len(taken.rows),
                "quarantined": quarantined,
                "digest": f"crc32:{zlib.crc32(filling.vectors[filling.seen].astype(np.float16).tobytes()):08x}",
                "bytes_read": filling.bytes_read,
                "bytes_written": written,
                **filling.clock.facts,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return fill
