"""The embedding store: a vector of every window of a scene, or of every frame of a series, as one zarr group.

`embedding (item, dimension)` float16 holds vectors of length 1, so that their products are cosines; `norm (item)`
float32 holds the lengths that they had, 0 for items that saw too little or were not asked for: such are never found.
`missing_ratio (item)` float32; for frames `time (item)`, seconds since 1970 (UTC), and `content (item)`, a digest of
what was embedded. The group's attributes follow the geoemb convention (tiler/geoemb.py).

A unit is one shard, written by one worker: 64 windows (row by row, all parts of each) or 256 frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from tiler.embedding_items import SceneItems
from tiler.geoemb import chip_attributes, urn
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.stores import add_array, array_of, attributes_of, finish_group, new_group, open_group, write_shard

UNIT_WINDOWS, UNIT_FRAMES = 64, 256


@dataclass(frozen=True, order=True)
class EmbedUnit:
    """Neighbouring items of one store: the unit of work of Embed."""

    store: str
    """Name of the embedding store."""
    index: int

    @property
    def unit(self) -> str:
        """The name of the unit of work."""
        return f"{self.store}/u{self.index}"


@dataclass(frozen=True)
class Embedded:
    """Whose embeddings a store holds, and of which network."""

    source: str
    """Id of the scene, or name of the frame series."""
    store: str
    """Name of the ingested store that was embedded."""
    sensor: str
    card_name: str
    card_digest: str
    """Names network and weights: vectors of two digests cannot be compared."""
    dimension: int
    missing_limit: float
    """Items of which more than this share was missing were not embedded."""


@dataclass(frozen=True)
class Taken:
    """Vectors as another store holds them."""

    rows: np.ndarray
    """int (n,): rows of a unit."""
    vectors: np.ndarray
    """float16 (n, dimension), of length 1."""
    norms: np.ndarray
    """float32 (n,), above 0."""


def create_scene_embeddings(
    url: str, what: Embedded, items: SceneItems, acquired: datetime | None, gsd_m: float | None
) -> None:
    """Make the empty embedding store of a scene: no item has been seen.

    Args:
        url: where.
        what: whose embeddings, of which network.
        items: the windows of the scene.
        acquired: time of the scene.
        gsd_m: pixel size in metres, where it has one.
    """
    side, stride = items.lattice.tile_px, items.lattice.stride_px
    attributes = chip_attributes(
        dimension=what.dimension,
        model=urn("embedder", what.card_digest),
        sources=[urn("scene", what.store)],
        chip_px=(side, side),
        stride_px=(stride, stride),
        gsd_m=gsd_m,
        crs_wkt=items.grid.pyproj_crs.to_wkt(),
    )
    facts = {
        "kind": "scene",
        "lattice": asdict(items.lattice),
        "parts": items.parts,
        "grid": items.grid.to_json(),
        "acquired": None if acquired is None else acquired.isoformat(),
    }
    _create(url, what, len(items), UNIT_WINDOWS * items.parts, attributes | facts, None)


def create_frame_embeddings(url: str, what: Embedded, times: np.ndarray, frame_px: tuple[int, int]) -> None:
    """Make the empty embedding store of a frame series: no frame has been seen.

    Args:
        url: where.
        what: whose embeddings, of which network.
        times: datetime64 (n,), rising.
        frame_px: height and width of a frame.
    """
    attributes = chip_attributes(
        dimension=what.dimension,
        model=urn("embedder", what.card_digest),
        sources=[urn("frames", what.store)],
        chip_px=frame_px,
        stride_px=frame_px,
    )
    facts = {"kind": "frames", "frame_px": list(frame_px)}
    _create(url, what, len(times), UNIT_FRAMES, attributes | facts, times.astype("datetime64[s]"))


def _create(
    url: str, what: Embedded, count: int, unit_items: int, attributes: Mapping[str, Any], times: np.ndarray | None
) -> None:
    group, items, unit = new_group(url), max(1, count), (unit_items,)
    shape, chunk, dims = (items, what.dimension), (unit_items, what.dimension), ("item", "dimension")
    add_array(group, "embedding", dims, shape, chunk, None, "float16", 0.0)
    add_array(group, "norm", ("item",), (items,), unit, None, "float32", 0.0)
    add_array(group, "missing_ratio", ("item",), (items,), unit, None, "float32", 1.0)
    if times is not None:
        said = {"units": "seconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian"}
        kept = add_array(group, "time", ("item",), (items,), (items,), None, "int64", 0, said)
        kept[: len(times)] = times.astype(np.int64)
        add_array(group, "content", ("item",), (items,), unit, None, "uint64", 0)
    finish_group(group, {**attributes, "embedded": asdict(what), "items": count, "unit_items": unit_items})


class EmbeddingStore:
    """An embedding store opened for filling and reading."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.group = open_group(url)
        attrs = attributes_of(self.group)
        self.what = Embedded(**attrs["embedded"])
        self.kind = str(attrs["kind"])
        """"scene" or "frames"."""
        self.unit_items = int(attrs["unit_items"])
        self._count = int(attrs["items"])
        acquired = attrs.get("acquired")
        self.acquired = None if acquired is None else datetime.fromisoformat(str(acquired))
        """Of a scene."""
        self.items: SceneItems | None = None
        """Where the items of a scene lie; None for frames."""
        if self.kind == "scene":
            lattice, grid = Lattice(**attrs["lattice"]), PixelGrid.from_json(attrs["grid"])
            self.items = SceneItems(lattice, int(attrs["parts"]), grid)

    def __len__(self) -> int:
        return self._count

    @property
    def dimension(self) -> int:
        """Numbers in one embedding."""
        return self.what.dimension

    @cached_property
    def times(self) -> np.ndarray:
        """When the items were acquired, datetime64[s] (n,) in UTC; NaT where a scene has no date."""
        if self.kind == "frames":
            return np.asarray(array_of(self.group, "time")[: self._count]).astype("datetime64[s]")
        return np.full(self._count, utc(self.acquired), "datetime64[s]")

    @property
    def units(self) -> int:
        """How many units of work the store has."""
        return -(-self._count // self.unit_items)

    def unit_span(self, index: int) -> tuple[int, int]:
        """Return the items `[first, last)` of a unit."""
        return index * self.unit_items, min((index + 1) * self.unit_items, self._count)

    def write(
        self,
        index: int,
        embedding: np.ndarray,
        missing_ratio: np.ndarray,
        seen: np.ndarray,
        content: np.ndarray | None = None,
        taken: Taken | None = None,
    ) -> int:
        """Write one unit, each array in one assignment.

        Args:
            index: of the unit.
            embedding: float32 (n, dimension), of any length; of items that were not seen it may hold anything.
            missing_ratio: float32 (n,).
            seen: bool (n,): items that have an embedding; the others have norm 0.
            content: uint64 (n,), for frames: digests of what was embedded.
            taken: rows that another store held already, to be kept bit by bit.

        Returns:
            Bytes before compression.

        Raises:
            ArithmeticError: an embedding is not finite, or has no length.
        """
        first, last = self.unit_span(index)
        shape = (last - first, self.dimension)
        if embedding.shape != shape:
            raise ValueError(f"unit {index} of {self.url} takes embeddings {shape}, got {embedding.shape}")
        length = np.where(seen, np.linalg.norm(embedding.astype(np.float64), axis=1), 0.0)
        broken = seen & ~(np.isfinite(length) & (length > 0))
        if broken.any():
            item = first + int(broken.argmax())
            raise ArithmeticError(f"{self.what.source}: the embedding of item {item} is not finite or has no length")
        unit = np.zeros(shape, np.float16)
        unit[seen] = embedding[seen] / length[seen, None]
        if taken is not None:
            unit[taken.rows], length[taken.rows] = taken.vectors, taken.norms
        at = (slice(first, last),)
        write_shard(array_of(self.group, "embedding"), (*at, slice(None)), unit)
        write_shard(array_of(self.group, "missing_ratio"), at, missing_ratio.astype(np.float32))
        if content is not None:
            write_shard(array_of(self.group, "content"), at, content.astype(np.uint64))
        # last: who reads a store while it is filled finds no item without its vector
        write_shard(array_of(self.group, "norm"), at, length.astype(np.float32))
        return int(unit.nbytes) + 8 * len(unit) + (0 if content is None else content.nbytes)

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read items `[start, stop)`.

        Returns:
            embedding float16 (n, dimension), norm float32 (n,), missing_ratio float32 (n,).
        """
        stop = min(stop, self._count)
        rows = np.asarray(array_of(self.group, "embedding")[start:stop])
        norm, missing = (np.asarray(array_of(self.group, name)[start:stop]) for name in ("norm", "missing_ratio"))
        return rows, norm, missing

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Return norm and missing ratio of all items, float32 (n,) each, as they are now."""
        norm, missing = (array_of(self.group, name)[: self._count] for name in ("norm", "missing_ratio"))
        return np.asarray(norm), np.asarray(missing)

    def broken(self) -> np.ndarray:
        """Return the items that should have a vector and have none, because it was not finite; int (n,).

        Of a store that is filled to its end.
        """
        norm, missing = self.columns()
        return np.flatnonzero((norm == 0) & (missing <= np.float32(self.what.missing_limit)))

    def vectors(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors of some items, read unit by unit.

        Args:
            items: int (n,), any order.

        Returns:
            float16 (n, dimension), and bool (n,): which have one.
        """
        items = np.asarray(items, np.int64)
        rows, seen = np.zeros((len(items), self.dimension), np.float16), np.zeros(len(items), bool)
        for index in np.unique(items // self.unit_items).tolist():
            first, last = self.unit_span(index)
            here = np.flatnonzero(items // self.unit_items == index)
            block, norm, _ = self.read(first, last)
            rows[here], seen[here] = block[items[here] - first], norm[items[here] - first] > 0
        return rows, seen

    def content(self, start: int, stop: int) -> np.ndarray:
        """Return the digests of what was embedded, uint64 (n,); frames only."""
        return np.asarray(array_of(self.group, "content")[start : min(stop, self._count)])

    def blocks(self, rows: int) -> Iterator[tuple[int, int]]:
        """Yield spans `[first, last)` of at most so many items (whole units, so that each chunk is read once)."""
        step = max(1, rows // self.unit_items) * self.unit_items
        for first in range(0, self._count, step):
            yield first, min(first + step, self._count)


def utc(moment: datetime | None) -> np.datetime64:
    """Return a moment as datetime64[s] in UTC (one without a zone is taken for UTC); NaT for None."""
    if moment is None:
        return np.datetime64("NaT", "s")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return np.datetime64(aware.astimezone(UTC).replace(tzinfo=None), "s")
