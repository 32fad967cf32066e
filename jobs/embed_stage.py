"""The stage that embeds: reading windows or frames, forward passes, writing vectors. No Ray, no rasterio.

Two units are in hand at once: one is read while another computes. Images travel to the network's device as they are
stored, and are scaled and averaged over areas there, as in training.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.storage import Storage
from jobs.clock import Clock
from jobs.plan import Precision
from jobs.stages import OPEN_STORES, peak_memory_bytes, prepare_worker
from models.card import CARD_FILE
from tiler.embedding_items import SceneItems
from tiler.embedding_store import EmbeddingStore, EmbedUnit
from tiler.frame_store import FrameStore
from tiler.grids import Box
from tiler.scene_store import SceneStore

if TYPE_CHECKING:
    from models.embedder import Embedder
    from models.embedder_card import EmbedderCard

READ_FRAMES = 64
"""Frames that are read at once: a block of the frame store."""


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

    def __call__(self) -> Callable[[EmbedUnit], dict]:
        """Prepare a worker: load the network once.

        The function it returns may run on several threads at once; the network runs on one thread of its own.
        """
        prepare_worker()
        network = Network(self.bundle, self.precision)

        @lru_cache(maxsize=OPEN_STORES)
        def opened(name: str) -> tuple[EmbeddingStore, SceneStore | FrameStore]:
            source, store = self.sources[name], EmbeddingStore(self.sources[name].embeddings)
            return store, SceneStore(source.images) if store.kind == "scene" else FrameStore(source.images)

        @lru_cache(maxsize=OPEN_STORES)
        def known(name: str) -> dict[int, tuple[int, int]]:
            return known_frames(self.sources[name].earlier)

        def work(unit: EmbedUnit) -> dict:
            store, images = opened(unit.store)
            first, last = store.unit_span(unit.index)
            filling = Filling.of(store, first, last, Clock())
            content = None
            if isinstance(images, SceneStore):
                embed_windows(filling, images, self.sources[unit.store].wanted, network)
            else:
                content = images.digests[first:last]
                taken = take_known(filling, content, self.sources[unit.store].earlier, known(unit.store))
                embed_frames(filling, images, taken, network)
            quarantined = filling.check(network)
            with filling.clock.step("write"):
                written = store.write(unit.index, filling.vectors, filling.missing, filling.seen, content)
            return {
                "images": filling.images,
                "items": int(filling.seen.sum()),
                "taken": filling.taken,
                "quarantined": quarantined,
                "digest": f"crc32:{zlib.crc32(filling.vectors[filling.seen].astype(np.float16).tobytes()):08x}",
                "bytes_read": filling.bytes_read,
                "bytes_written": written,
                **filling.clock.facts,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work


class Network:
    """An embedder on a worker, on a thread of its own."""

    def __init__(self, bundle: str, precision: Precision) -> None:
        self.card, self.embedder = load(bundle, precision)
        self.precision = precision
        self.channels = tuple(self.card.channels)
        self._thread = ThreadPoolExecutor(1, "network")

    def __call__(self, images: np.ndarray, valid: np.ndarray, clock: Clock) -> np.ndarray:
        """Embed images in batches.

        Args:
            images: (n, channel, y, x) as stored, the channels those of the card.
            valid: bool (n, channel or 1, y, x).
            clock: gets the times.

        Returns:
            float32 (n, dimension).
        """
        asked = time.monotonic()
        vectors, seconds = self._thread.submit(self._forward, images, valid).result()
        clock.add("forward", seconds)
        clock.add("wait", max(0.0, time.monotonic() - asked - seconds))
        return vectors

    def _forward(self, images: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, float]:
        import torch

        began, device, batch = time.monotonic(), self.precision.device, self.precision.batch
        out = []
        with torch.inference_mode():
            for first in range(0, len(images), batch):
                part = images[first : first + batch]
                stored = torch.from_numpy(part).to(device)
                seen = torch.from_numpy(valid[first : first + batch]).to(device)
                out.append(self.embedder(stored.float(), seen))
            vectors = torch.cat(out).cpu().numpy()
        return vectors, time.monotonic() - began


def load(bundle: str, precision: Precision) -> tuple[EmbedderCard, Embedder]:
    """Load an embedder from the folder of its bundle, its adapter merged."""
    from models.embedder_bundle import files_of, load_embedder
    from models.embedder_card import read_embedder_card

    storage = Storage(bundle)
    names = files_of(read_embedder_card(storage.get(CARD_FILE)))
    return load_embedder({name: storage.get(name) for name in names}, precision.precision, precision.device)


@dataclass
class Filling:
    """A unit that is being filled."""

    first: int
    """Item of the first row."""
    limit: float
    """Largest missing ratio of an item that gets a vector."""
    items: SceneItems | None
    vectors: np.ndarray
    """float32 (n, dimension)."""
    missing: np.ndarray
    """float32 (n,)."""
    seen: np.ndarray
    """bool (n,)."""
    clock: Clock
    images: int = 0
    """That went through the network."""
    taken: int = 0
    """That an earlier store held already."""
    bytes_read: int = 0
    again: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    """Reads the image of a row, and its validity, once more."""

    @classmethod
    def of(cls, store: EmbeddingStore, first: int, last: int, clock: Clock) -> Filling:
        """Return an empty unit."""
        count, limit = last - first, store.what.missing_limit
        rows = np.zeros((count, store.dimension), np.float32)
        return cls(first, limit, store.items, rows, np.ones(count, np.float32), np.zeros(count, bool), clock)

    def add(self, rows: Sequence[int], vectors: np.ndarray) -> None:
        """Keep the vectors of some rows."""
        self.vectors[rows], self.seen[rows] = vectors, True
        self.images += len(rows)

    def check(self, network: Network) -> dict[str, str]:
        """Ask once more about vectors that are not finite, and leave out those that are not finite again.

        Returns:
            The items that are left out, by name, with the reason: they have a missing ratio within the limit, no norm.
        """
        broken = np.flatnonzero(self.seen & ~_finite(self.vectors))
        for row in broken.tolist():  # a fault of the machine passes, one of the image does not
            if self.again is not None:
                image, valid = self.again(row)
                self.vectors[row] = network(image[None], valid[None], self.clock)[0]
        self.seen &= _finite(self.vectors)
        said = f"its vector is not finite ({network.precision.precision})"
        return {f"item_{self.first + row}": said for row in broken.tolist() if not self.seen[row]}


def _finite(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return np.isfinite(length) & (length > 0)


def embed_windows(filling: Filling, scene: SceneStore, wanted: np.ndarray | None, network: Network) -> None:
    """Embed the windows of a unit of a scene, and their quadrants, where they have any.

    Windows are read row by row of the lattice, each chunk once, and go through the network in batches of one size.
    """
    items = filling.items
    assert items is not None
    bands = [scene.sensor.bands.index(channel) for channel in network.channels]

    def image_of(row: int) -> tuple[np.ndarray, np.ndarray]:
        box = items.box(filling.first + row)
        return scene.read("image", box, 0)[bands], scene.read("valid", box, False)[None]

    filling.again = image_of
    waiting: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}

    def flush(side: int, least: int) -> None:
        held = waiting.get(side, [])
        while len(held) >= max(1, least):
            some, held = held[: network.precision.batch], held[network.precision.batch :]
            images, valid = np.stack([one[1] for one in some]), np.stack([one[2] for one in some])
            filling.add([one[0] for one in some], network(images, valid, filling.clock))
        waiting[side] = held

    for read, valid, places in windows_of(filling, scene, wanted):
        if not places:
            continue
        with filling.clock.step("read"):
            image = scene.read("image", read, 0)
        filling.bytes_read += image.nbytes
        image = image if bands == list(range(len(image))) else image[bands]
        for row, box in places:
            part = box.shift(-read.y0, -read.x0).slices
            waiting.setdefault(box.height, []).append((row, image[(slice(None), *part)], valid[part][None]))
        for side in list(waiting):
            flush(side, network.precision.batch)
    for side in list(waiting):
        flush(side, 1)


def windows_of(
    filling: Filling, scene: SceneStore, wanted: np.ndarray | None
) -> Iterator[tuple[Box, np.ndarray, list[tuple[int, Box]]]]:
    """Yield what has to be read of a scene for the wanted windows of a unit, row by row of the lattice.

    Missing ratios are noted on the way: what hangs over the scene is missing.

    Yields:
        Scene pixels, their validity, and (row of the unit, scene pixels) of every item that is to be embedded.
    """
    items, count = filling.items, len(filling.seen)
    assert items is not None
    parts, limit = items.parts, filling.limit
    windows = [filling.first // parts + place for place in range(count // parts)]
    for row, group in groupby(windows, key=lambda window: window // items.lattice.cols):
        cols = [window % items.lattice.cols for window in group]
        cols = [col for col in cols if wanted is None or wanted[row, col]]
        if not cols:
            continue
        boxes = [items.lattice.window(row, col) for col in cols]
        whole = Box(boxes[0].y0, boxes[0].x0, boxes[-1].y1, max(box.x1 for box in boxes))
        with filling.clock.step("read"):
            valid = scene.read("valid", whole, False)
        filling.bytes_read += valid.nbytes
        places: list[tuple[int, Box]] = []
        for col in cols:
            for part in range(parts):
                place, box = items.item(row, col, part) - filling.first, items.box(items.item(row, col, part))
                missing = 1 - float(valid[box.shift(-whole.y0, -whole.x0).slices].mean())
                filling.missing[place] = missing
                if missing <= limit:
                    places.append((place, box))
        if places:
            read = Box(whole.y0, min(b.x0 for _, b in places), whole.y1, max(b.x1 for _, b in places))
            yield read, valid[read.shift(-whole.y0, -whole.x0).slices], places


def embed_frames(filling: Filling, frames: FrameStore, taken: np.ndarray, network: Network) -> None:
    """Embed the frames of a unit that are not taken from an earlier store."""
    bands = [frames.bands.index(channel) for channel in network.channels]

    def image_of(row: int) -> tuple[np.ndarray, np.ndarray]:
        images, valid = frames.take([filling.first + row])
        return images[0, bands], valid[0, bands]

    filling.again = image_of
    count = len(filling.seen)
    filling.missing[:] = frames.missing_ratio[filling.first : filling.first + count]
    todo = np.flatnonzero((filling.missing <= filling.limit) & ~taken)
    for start in range(0, len(todo), READ_FRAMES):
        rows = todo[start : start + READ_FRAMES]
        with filling.clock.step("read"):
            images, valid = frames.take(filling.first + rows)
        filling.bytes_read += images.nbytes + valid.nbytes
        same = bands == list(range(images.shape[1]))
        images, valid = (images, valid) if same else (images[:, bands], valid[:, bands])
        filling.add(rows.tolist(), network(images, valid, filling.clock))


def known_frames(earlier: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return which frames earlier stores hold: digest of the content to place of the store and item."""
    found: dict[int, tuple[int, int]] = {}
    for place, url in enumerate(earlier):
        store = EmbeddingStore(url)
        _, norm, _ = _columns(store)
        content = store.content(0, len(store))
        for item in np.flatnonzero(norm > 0).tolist():
            found[int(content[item])] = place, item
    return found


def _columns(store: EmbeddingStore) -> tuple[Any, np.ndarray, np.ndarray]:
    from tiler.stores import array_of

    norm, missing = (np.asarray(array_of(store.group, name)[: len(store)]) for name in ("norm", "missing_ratio"))
    return None, norm, missing


def take_known(
    filling: Filling, content: np.ndarray, earlier: Sequence[str], known: dict[int, tuple[int, int]]
) -> np.ndarray:
    """Copy the vectors of frames that an earlier store holds; return which, bool (n,)."""
    found = [known.get(digest) for digest in content.tolist()]
    taken = np.zeros(len(found), bool)
    for place in {one[0] for one in found if one is not None}:
        rows = np.array([row for row, one in enumerate(found) if one is not None and one[0] == place])
        items = np.array([found[row][1] for row in rows])  # type: ignore[index]
        store = EmbeddingStore(earlier[place])
        vectors, seen = store.vectors(items)
        lengths = store.norms(items)
        filling.vectors[rows[seen]] = vectors[seen].astype(np.float32) * lengths[seen, None]
        filling.seen[rows[seen]] = taken[rows[seen]] = True
    filling.taken = int(taken.sum())
    return taken
