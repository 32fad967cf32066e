"""Filling a unit of vectors: which windows or frames it has, reading them in batches, taking what is known already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from jobs.clock import Clock
from jobs.embed_network import Asked, Images, Network
from tiler.embedding_items import SceneItems
from tiler.embedding_store import EmbeddingStore, Taken
from tiler.frame_store import FrameStore
from tiler.grids import Box
from tiler.scene_store import SceneStore
from tiler.stores import CHUNK_PX

READ_FRAMES = 64
"""Frames that are read at once: a block of the frame store."""


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
    bytes_read: int = 0
    again: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    """Reads the image of a row, and its validity, once more."""
    asked: deque[tuple[Sequence[int], Asked]] = field(default_factory=deque)
    """Rows whose vectors are computed."""
    turn: int = 0
    """Among the units that share the network."""

    @classmethod
    def of(cls, store: EmbeddingStore, first: int, last: int, clock: Clock, turn: int = 0) -> Filling:
        """Return an empty unit."""
        count, limit = last - first, store.what.missing_limit
        rows = np.zeros((count, store.dimension), np.float32)
        return cls(first, limit, store.items, rows, np.ones(count, np.float32), np.zeros(count, bool), clock, turn=turn)

    def ask(self, network: Network, rows: Sequence[int], images: Images, valid: Images) -> None:
        """Let the vectors of some rows be computed; if all teams are busy with this unit, wait for the first.

        So a unit is read on while its images are computed.
        """
        if len(self.asked) >= network.at_once:
            self._keep(network)
        self.asked.append((rows, network.ask(images, valid, self.turn)))

    def end(self, network: Network) -> None:
        """Wait for all that was asked."""
        while self.asked:
            self._keep(network)

    def _keep(self, network: Network) -> None:
        rows, asked = self.asked.popleft()
        self.vectors[rows], self.seen[rows] = network.answer(asked, self.clock), True
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
                self.vectors[row] = network.answer(network.ask(image[None], valid[None]), self.clock)[0]
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
            images, valid = [one[1] for one in some], [one[2] for one in some]
            filling.ask(network, [one[0] for one in some], images, valid)
        waiting[side] = held

    for read, valid, places in windows_of(filling, scene, wanted):
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
    filling.end(network)


def windows_of(
    filling: Filling, scene: SceneStore, wanted: np.ndarray | None
) -> Iterator[tuple[Box, np.ndarray, list[tuple[int, Box]]]]:
    """Yield what has to be read of a scene for the wanted windows of a unit, row by row of the lattice, chunk by chunk.

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
        for some in by_chunks(items, row, [col for col in cols if wanted is None or wanted[row, col]]):
            boxes = [items.lattice.window(row, col) for col in some]
            whole = Box(boxes[0].y0, boxes[0].x0, boxes[-1].y1, max(box.x1 for box in boxes))
            with filling.clock.step("read"):
                valid = scene.read("valid", whole, False)
            filling.bytes_read += valid.nbytes
            places: list[tuple[int, Box]] = []
            for item in (items.item(row, col, part) for col in some for part in range(parts)):
                place, box = item - filling.first, items.box(item)
                seen = np.count_nonzero(valid[box.shift(-whole.y0, -whole.x0).slices])
                missing = 1 - seen / (box.height * box.width)
                filling.missing[place] = missing
                if missing <= limit:
                    places.append((place, box))
            if places:
                read = Box(whole.y0, min(b.x0 for _, b in places), whole.y1, max(b.x1 for _, b in places))
                yield read, valid[read.shift(-whole.y0, -whole.x0).slices], places


def by_chunks(items: SceneItems, row: int, cols: Sequence[int]) -> Iterator[list[int]]:
    """Part a row of windows (columns) where chunks begin: each chunk is decoded once, to where its windows stay."""
    some: list[int] = []
    reach = 0
    for col in cols:
        box = items.lattice.window(row, col)
        if some and box.x0 >= reach and box.x0 % CHUNK_PX == 0:
            yield some
            some = []
        some.append(col)
        reach = box.x1
    if some:
        yield some


def embed_frames(filling: Filling, frames: FrameStore, taken: np.ndarray, network: Network) -> None:
    """Embed the frames of a unit, but for the rows that are taken from an earlier store."""
    bands = [frames.bands.index(channel) for channel in network.channels]

    def image_of(row: int) -> tuple[np.ndarray, np.ndarray]:
        images, valid = frames.take([filling.first + row])
        return images[0, bands], valid[0, bands]

    filling.again = image_of
    count = len(filling.seen)
    filling.missing[:] = frames.missing_ratio[filling.first : filling.first + count]
    todo = np.setdiff1d(np.flatnonzero(filling.missing <= filling.limit), taken)
    for start in range(0, len(todo), READ_FRAMES):
        rows = todo[start : start + READ_FRAMES]
        with filling.clock.step("read"):
            images, valid = frames.take(filling.first + rows)
        filling.bytes_read += images.nbytes + valid.nbytes
        same = bands == list(range(images.shape[1]))
        images, valid = (images, valid) if same else (images[:, bands], valid[:, bands])
        for first in range(0, len(rows), network.precision.batch):
            some = slice(first, first + network.precision.batch)
            filling.ask(network, rows[some].tolist(), images[some], valid[some])
    filling.end(network)


def known_frames(earlier: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Return which frames earlier stores hold: digest of the content to place of the store and item."""
    found: dict[int, tuple[int, int]] = {}
    for place, url in enumerate(earlier):
        store = EmbeddingStore(url)
        content = store.content(0, len(store))
        for item in np.flatnonzero(store.columns()[0] > 0).tolist():
            found[int(content[item])] = place, item
    return found


def take_known(
    content: np.ndarray, earlier: Sequence[str], known: Mapping[int, tuple[int, int]], dimension: int
) -> Taken:
    """Return the vectors of those frames of a unit that earlier stores hold.

    Args:
        content: uint64 (n,): digests of the frames of the unit.
        earlier: addresses of the stores.
        known: what `known_frames` says of them.
        dimension: numbers of a vector.
    """
    rows, vectors, norms = [np.empty(0, np.int64)], [np.empty((0, dimension), np.float16)], [np.empty(0, np.float32)]
    found = [(row, *known[digest]) for row, digest in enumerate(content.tolist()) if digest in known]
    for place in sorted({place for _, place, _ in found}):
        store = EmbeddingStore(earlier[place])
        items = np.array([item for _, at, item in found if at == place])
        rows.append(np.array([row for row, at, _ in found if at == place]))
        vectors.append(store.vectors(items)[0])
        norms.append(store.columns()[0][items])
    return Taken(np.concatenate(rows), np.concatenate(vectors), np.concatenate(norms))
