"""The archive that a search looks through: every finished embedding store of some runs, in one order.

An item has an id: the place of its store in that order, by source and name, then its number in the store. The order
does not depend on the order in which runs are named.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from jobs.config import RunConfig
from jobs.embed_plan import EmbedPlan
from jobs.embedding import Embedding
from jobs.search_filters import Places
from tiler.embedding_store import EmbeddingStore

Span = tuple[int, int, int]
"""Place of a store, and its items `[first, last)`."""


@dataclass(frozen=True)
class Member:
    """One embedding store of the archive."""

    config: RunConfig
    plan: EmbedPlan
    url: str
    images: str
    """Address of the scene store or frame store."""

    @cached_property
    def store(self) -> EmbeddingStore:
        """The store, opened."""
        return EmbeddingStore(self.url)

    @cached_property
    def places(self) -> Places:
        """Times and places of its items."""
        return Places(self.store)


class Archive:
    """All stores of a search.

    Raises ValueError: none, or vectors of different networks.
    """

    def __init__(self, members: Sequence[Member], command: str) -> None:
        """Put stores in order.

        Args:
            members: of all runs; a store that two runs share counts once.
            command: what makes vectors, for the error where there are none.
        """
        unique = {member.url: member for member in members}
        self.members = tuple(sorted(unique.values(), key=lambda m: (m.plan.what.source, m.plan.name, m.url)))
        if not self.members:
            raise ValueError(f"there are no embeddings yet; run `{command}` first")
        by_digest = {member.store.what.card_digest: member for member in self.members}
        if len(by_digest) > 1:
            one, other = list(by_digest.values())[:2]
            raise ValueError(
                f"vectors of different networks cannot be compared: those of {one.plan.what.source} are by "
                f"{_network(one)}, those of {other.plan.what.source} by {_network(other)}; embed both with one "
                f"`embed.model`"
            )
        self.starts = [0, *accumulate(len(member.store) for member in self.members)]

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def dimension(self) -> int:
        """Numbers of a vector."""
        return self.members[0].store.dimension

    def place(self, item_id: int) -> tuple[Member, int]:
        """Return the store of an item, and its number there."""
        at = bisect_right(self.starts, item_id) - 1
        return self.members[at], item_id - self.starts[at]

    def base(self, member: Member) -> int:
        """Return the id of a store's first item."""
        return self.starts[self.members.index(member)]

    def of_kind(self, kind: str) -> list[Member]:
        """Return the stores of scenes ("scene") or of series ("frames")."""
        return [member for member in self.members if member.plan.kind == kind]

    def spans(self, rows: int) -> Iterator[tuple[Span, ...]]:
        """Yield blocks of about so many rows: parts of large stores, or several small ones together."""
        held: list[Span] = []
        size = 0
        for at, member in enumerate(self.members):
            for first, last in member.store.blocks(rows):
                if held and size + last - first > rows:
                    yield tuple(held)
                    held, size = [], 0
                held.append((at, first, last))
                size += last - first
        if held:
            yield tuple(held)

    def label(self, item_id: int) -> str:
        """Return what people call an item: `coms@2019-02-12T00:00Z`, `scene:3,7`, `scene:3,7,2` (a quadrant)."""
        member, item = self.place(item_id)
        items = member.store.items
        if items is None:
            return f"{member.plan.what.source}@{iso(member.store.times[item])}"
        row, col, part = items.place(item)
        return f"{member.plan.what.source}:{row},{col}" + (f",{part}" if part else "")


def _network(member: Member) -> str:
    what = member.store.what
    return f"{what.card_name} ({what.card_digest[-12:]}, {what.dimension} numbers)"


def iso(moment: np.datetime64) -> str:
    """Return a time for people, to the minute (or to the second, where it has any); empty for NaT."""
    if np.isnat(moment):
        return ""
    text = str(moment.astype("datetime64[s]"))
    return f"{text.removesuffix(':00')}Z"


def members_of(todo: Embedding) -> list[Member]:
    """Return the finished stores of a run."""
    return [Member(todo.config, plan, todo.url(plan), todo.images[plan.name]) for plan in todo.complete()]
