"""The embeddings of a whole run as matrices, with where and when each item was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jobs.config import RunConfig
from jobs.embedding import embedding_of
from jobs.plan import plan_run
from tiler.embedding_items import SceneItems
from tiler.embedding_store import EmbeddingStore
from tiler.grids import Box
from tiler.ground_blocks import ground_blocks, same_places

ROWS = 16_384
"""Items that are read at once."""
SAME_PLACE = 0.25
"""Middles nearer than this share of a window's side show one place."""


@dataclass(frozen=True, eq=False)
class RunEmbeddings:
    """Every whole window of every embedded scene of a run, one row each; quadrants are left out."""

    stores: tuple[EmbeddingStore, ...]
    """One for each scene, in order of their ids."""
    ingested: tuple[str, ...]
    """Address of the scene store of each."""
    vectors: np.ndarray
    """float16 (n, dimension), of length 1; zeros where nothing was seen."""
    seen: np.ndarray
    """bool (n,): which have a vector."""
    missing_ratio: np.ndarray
    """float32 (n,)."""
    source: np.ndarray
    """int64 (n,): index into `stores`."""
    item: np.ndarray
    """int64 (n,): number in its store."""
    lonlat: np.ndarray
    """float64 (n, 2): middles, degrees."""

    def __len__(self) -> int:
        return len(self.item)

    @property
    def card(self) -> str:
        """Digest of the embedder."""
        return self.stores[0].what.card_digest

    @cached_property
    def times(self) -> np.ndarray:
        """When each item was acquired, datetime64[s] (n,) in UTC; NaT where its scene has no date."""
        dates = np.array([store.times[0] for store in self.stores], "datetime64[s]")
        return np.asarray(dates[self.source])

    @property
    def window_m(self) -> float:
        """Side of the largest window."""
        sides = [_items(store).lattice.tile_px * max(_items(store).grid.resolution) for store in self.stores]
        return float(max(sides))

    def only(self, chosen: np.ndarray) -> RunEmbeddings:
        """Return some of the items (an index or a mask)."""
        columns = (self.vectors, self.seen, self.missing_ratio, self.source, self.item, self.lonlat)
        return RunEmbeddings(self.stores, self.ingested, *(column[chosen] for column in columns))

    def blocks(self, side_m: float) -> np.ndarray:
        """Return the number of the square of ground that each item lies in, int64 (n,)."""
        return ground_blocks(self.lonlat, side_m)

    def row_of(self, row: int) -> dict[str, object]:
        """Return who an item is, for tables."""
        store = self.stores[int(self.source[row])]
        down, along, _ = _items(store).place(int(self.item[row]))
        lon, lat = self.lonlat[row].round(6).tolist()
        time = self.times[row]
        date = "" if np.isnat(time) else str(time)
        return {"scene": store.what.source, "row": down, "col": along, "lon": lon, "lat": lat, "acquired": date}

    def box(self, row: int) -> Box:
        """Return the scene pixels of an item."""
        return _items(self.stores[int(self.source[row])]).box(int(self.item[row]))

    def outline(self, row: int) -> list[list[float]]:
        """Return the closed ring around an item, longitude and latitude."""
        corners = _items(self.stores[int(self.source[row])]).outline(int(self.item[row])).round(7).tolist()
        return [*corners, corners[0]]


def read_run(config: RunConfig) -> RunEmbeddings:
    """Read all embeddings of a run of scenes.

    Raises:
        ValueError: the run has no embedder, or scenes that are not embedded.
    """
    run = plan_run(config)
    todo = embedding_of(run, None)
    if todo is None:
        raise ValueError(
            "embed: `precision: auto` is decided by workers elsewhere, and was not yet; run `sandan embed` first"
        )
    lacking = [plan.what.source for plan, left in zip(todo.plans, todo.left(), strict=True) if any(left)]
    if lacking:
        raise ValueError(
            f"scenes {lacking[:5]}{' and more' if len(lacking) > 5 else ''} of {config.out} are not embedded; run "
            f"`sandan embed` first"
        )
    stores = [EmbeddingStore(todo.url(plan)) for plan in todo.plans]
    return gathered(stores, [run.url("ingest", plan.what.store) for plan in todo.plans])


def gathered(stores: Sequence[EmbeddingStore], ingested: Sequence[str]) -> RunEmbeddings:
    """Read the whole windows of stores of scenes.

    Args:
        stores: opened, of one embedder.
        ingested: address of the scene store of each.

    Raises:
        ValueError: there is none, or they are of several embedders.
    """
    cards = {store.what.card_digest: store.what.card_name for store in stores}
    if len(cards) != 1:
        raise ValueError(
            f"only embeddings of one embedder can be compared, found {len(cards)}: {sorted(cards.items())}; embed all "
            f"with one"
        )
    vectors, norms, missing, sources, items, lonlat = [], [], [], [], [], []
    for number, store in enumerate(stores):
        parts = _items(store).parts
        for first, last in store.blocks(ROWS):
            rows, norm, ratio = store.read(first, last)
            whole = np.arange(first, last) % parts == 0
            vectors.append(rows[whole])
            norms.append(norm[whole])
            missing.append(ratio[whole])
            items.append(np.arange(first, last)[whole])
            sources.append(np.full(int(whole.sum()), number))
        lonlat.append(_items(store).centres(np.arange(0, len(store), parts)))
    together = (np.concatenate(some) for some in (vectors, norms, missing, sources, items, lonlat))
    embeddings, norm, ratio, source, item, middles = together
    return RunEmbeddings(tuple(stores), tuple(ingested), embeddings, norm > 0, ratio, source, item, middles)


def check_comparable(run: RunEmbeddings, other: RunEmbeddings, what: str) -> None:
    """Refuse runs whose embeddings mean different things.

    Args:
        run: this one.
        other: the one it is compared with.
        what: to call that in the error.

    Raises:
        ValueError: other embedders, or windows of other sizes.
    """
    if run.card != other.card:
        names = [f"{one.stores[0].what.card_name} ({one.card[:12]})" for one in (run, other)]
        raise ValueError(f"the run was embedded by {names[0]}, {what} by {names[1]}; embed both with one embedder")
    sides = run.window_m, other.window_m
    if abs(sides[0] - sides[1]) > 0.01 * sides[0]:
        raise ValueError(
            f"windows of the run measure {sides[0]:g} m, those of {what} {sides[1]:g} m; set embed.tile_px alike"
        )


def places_of(runs: Sequence[RunEmbeddings]) -> list[np.ndarray]:
    """Return the place that each item of each run shows, int64: one number for one place in all of them."""
    offsets = np.cumsum([0, *(len(run.stores) for run in runs)])
    source = np.concatenate([run.source + offset for run, offset in zip(runs, offsets[:-1], strict=True)])
    lonlat = np.concatenate([run.lonlat for run in runs])
    places = same_places(lonlat, source, SAME_PLACE * max(run.window_m for run in runs))
    return np.split(places, np.cumsum([len(run) for run in runs])[:-1])


def _items(store: EmbeddingStore) -> SceneItems:
    assert store.items is not None, "stores of scenes only"
    return store.items
