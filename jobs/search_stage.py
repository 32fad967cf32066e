"""The stage of a search: read a block of vectors, score it, keep the best few, drop it. No Ray, no rasterio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cluster.engine import Engine, Failed
from jobs.clock import Clock
from jobs.search_archive import Archive, Span
from jobs.search_filters import Allowed, Examples, Filters, Places, allowed
from jobs.stages import peak_memory_bytes, prepare_worker
from models.search import BLOCK_ROWS, Best, best_of_block, best_sequences, merged
from tiler.embedding_store import EmbeddingStore

OPEN_STORES = 64
"""Stores whose times and places a worker keeps."""


@dataclass(frozen=True)
class Block:
    """About `BLOCK_ROWS` vectors: the unit of work of a search."""

    index: int
    spans: tuple[Span, ...]

    @property
    def unit(self) -> str:
        """The name of the unit of work."""
        return f"search/b{self.index}"


@dataclass(frozen=True)
class Score:
    """Score the vectors of a block, and keep the best of those that may be found."""

    stores: tuple[tuple[str, int], ...]
    """Address of each embedding store, and the id of its first item."""
    queries: np.ndarray
    """float16 (1, dimension), or (frames, dimension) of a sequence."""
    offsets_s: tuple[int, ...]
    """Of the frames of a sequence from its first; one number of any other search."""
    k: int
    filters: Filters
    examples: Examples

    def __call__(self) -> Callable[[Block], dict]:
        """Prepare a worker."""
        prepare_worker()

        @lru_cache(maxsize=OPEN_STORES)
        def places(at: int) -> Places:
            return Places(EmbeddingStore(self.stores[at][0]))

        def work(block: Block) -> dict:
            clock, parts, removed, candidates, read = Clock(), [], dict[str, int](), 0, 0
            for at, first, last in block.spans:
                found, may, size = self._span(places(at), self.stores[at][1], first, last, clock)
                parts.append(found)
                candidates, read = candidates + int(may.mask.sum()), read + size
                for name, count in may.removed.items():
                    removed[name] = removed.get(name, 0) + count
            best = merged(parts, self.k)
            return {
                "scores": best.scores.tolist(),
                "ids": best.ids.tolist(),
                "removed": removed,
                "candidates": candidates,
                "bytes_read": read,
                **clock.facts,
                "peak_memory_bytes": peak_memory_bytes(),
            }

        return work

    def _span(self, places: Places, base: int, first: int, last: int, clock: Clock) -> tuple[Best, Allowed, int]:
        sequence = len(self.offsets_s) > 1
        end = _reach(places.times, first, last, max(self.offsets_s)) if sequence else last
        with clock.step("read"):
            rows, norm, missing = places.store.read(first, end)
        with clock.step("score"):
            may = allowed(places, (first, end), base, norm, missing, self.filters, self.examples, last - first)
            if sequence:
                found = self._sequences(places.times, rows, may, base, first, last)
            else:
                (found,) = best_of_block(rows, self.queries, may.mask, self.k, base + first)
        return found, may, rows.nbytes

    def _sequences(self, times: np.ndarray, rows: np.ndarray, may: Allowed, base: int, first: int, last: int) -> Best:
        """Score the sequences that begin in a span: all of their frames must be there, and may be found."""
        here = times[first : first + len(rows)]
        starts = np.arange(last - first)
        wanted = here[: last - first, None] + np.array(self.offsets_s).astype("timedelta64[s]")
        members = np.searchsorted(here, wanted)
        there = members < len(here)
        members = np.minimum(members, len(here) - 1)
        there &= here[members] == wanted
        whole = (there & may.mask[members]).all(axis=1)
        may.keep("not every frame of the sequence", np.concatenate([whole, np.zeros(len(rows) - len(whole), bool)]))
        chosen = starts[whole]
        return best_sequences(rows, self.queries, members[whole], base + first + chosen, self.k)


def _reach(times: np.ndarray, first: int, last: int, longest_s: int) -> int:
    """Return the item behind the last one that a sequence which begins in a span may need."""
    if last <= first:
        return last
    return int(np.searchsorted(times, times[last - 1] + np.timedelta64(longest_s, "s"), "right"))


@dataclass
class Found:
    """What a search found."""

    best: Best
    candidates: int = 0
    """Items that might have been found."""
    removed: dict[str, int] = field(default_factory=dict)
    """Name of a filter to the items that it took away."""
    facts: dict[str, Any] = field(default_factory=dict)


def blocks_of(archive: Archive, shards: int | None) -> list[Block]:
    """Return the units of work of a search.

    Args:
        archive: where it looks.
        shards: into how many it is cut, at least; None: as few as memory asks for.
    """
    rows = BLOCK_ROWS if shards is None else min(BLOCK_ROWS, max(1, -(-len(archive) // shards)))
    return [Block(index, spans) for index, spans in enumerate(archive.spans(rows))]


def find(archive: Archive, score: Score, engine: Engine, shards: int | None = None) -> Found:
    """Search the archive: the same bits for any engine, shards and order.

    Raises:
        RuntimeError: a block could not be read.
    """
    found, parts = Found(merged([], score.k)), []
    for record in _records(engine, score, blocks_of(archive, shards)):
        parts.append(Best(np.array(record["scores"], np.float64), np.array(record["ids"], np.int64)))
        found.candidates += record["candidates"]
        for name, count in record["removed"].items():
            found.removed[name] = found.removed.get(name, 0) + count
    found.best = merged(parts, score.k)
    return found


def _records(engine: Engine, score: Score, blocks: Iterable[Block]) -> Iterator[dict]:
    for result in engine.run(score, blocks):
        if isinstance(result, Failed):
            raise RuntimeError(f"{result.key.unit} could not be searched: {result.reason}; embed again what is damaged")
        yield result.record


def score_of(
    archive: Archive,
    queries: np.ndarray,
    k: int,
    filters: Filters | None = None,
    examples: Examples | None = None,
    offsets_s: tuple[int, ...] = (0,),
) -> Score:
    """Return the stage of a search through an archive."""
    stores = tuple((member.url, start) for member, start in zip(archive.members, archive.starts, strict=False))
    return Score(stores, np.atleast_2d(queries), offsets_s, k, filters or Filters(), examples or Examples())
