"""Which items make a triplet: an anchor, a positive close to it in time within its group, a negative from elsewhere.

Two rules over one table of items, each with a group and a time:

    frames   the group is a sensor's series; the positive lies exactly one of the offsets away (3 h, say), whatever gaps
             there are; the negative is any other item, uniformly, outside an exclusion window around the anchor
    places   the group is a place; the positive is the same place at its next acquisition, `min_days` to `max_days`
             later; the negative is an item of another place, uniformly

What is drawn is a function of (seed, epoch, index) alone: any number of workers sees the same triplets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TRIES = 1000
"""Items that are drawn, at most, until one may be a negative."""
HOUR_S = 3600


class Triplet(NamedTuple):
    """Numbers of three items."""

    anchor: int
    positive: int
    negative: int


@dataclass(frozen=True)
class Items:
    """What can be drawn: one entry per item, in any order."""

    groups: np.ndarray
    """Integers (n,): which items belong together."""
    times: np.ndarray
    """datetime64[s] (n,)."""

    def __post_init__(self) -> None:
        if self.groups.shape != self.times.shape or self.groups.ndim != 1:
            raise ValueError(f"Items need a group and a time each, got {self.groups.shape} and {self.times.shape}.")

    @property
    def seconds(self) -> np.ndarray:
        """Times as int64 seconds since 1970."""
        return self.times.astype("datetime64[s]").astype(np.int64)


@dataclass(frozen=True)
class Frames:
    """The rule of frame series."""

    offsets_hours: tuple[float, ...] = (3.0,)
    """How far a positive lies from its anchor; -3 is three hours before."""
    exclude_hours: float = 0.0
    """Within so many hours of the anchor, in any series, no negative is drawn; 0: only anchor and positive are not."""

    same_month: bool = False
    """Draw negatives from the anchor's month of the year only, so that the season alone tells nothing."""

    def __post_init__(self) -> None:
        if not self.offsets_hours or 0 in self.offsets_hours or self.exclude_hours < 0:
            raise ValueError(
                f"Positives lie {list(self.offsets_hours)} h away, negatives are excluded within {self.exclude_hours} "
                "h: name at least one distance, none of them 0, and an exclusion of 0 or more."
            )

    def pairs(self, items: Items) -> np.ndarray:
        """Return anchor and positive of every pair, int64 (m, 2), ordered by anchor."""
        seconds, order = items.seconds, np.lexsort((items.seconds, items.groups))
        at = {(int(items.groups[i]), int(seconds[i])): int(i) for i in order}
        steps = [round(hours * HOUR_S) for hours in self.offsets_hours]
        found = [
            (i, at[other])
            for i in range(len(seconds))
            for step in steps
            if (other := (int(items.groups[i]), int(seconds[i]) + step)) in at
        ]
        return np.array(found, np.int64).reshape(-1, 2)

    def may_be_negative(self, items: Items, pair: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return which of the drawn items may be the negative of a pair, bool as `drawn`."""
        allowed = (drawn != pair[0]) & (drawn != pair[1])
        if self.exclude_hours > 0:
            away = np.abs(items.seconds[drawn] - items.seconds[pair[0]])
            allowed &= away > self.exclude_hours * HOUR_S
        if self.same_month:
            months = items.times.astype("datetime64[M]").astype(np.int64) % 12
            allowed &= months[drawn] == months[pair[0]]
        return np.asarray(allowed)


@dataclass(frozen=True)
class Places:
    """The rule of places on a map."""

    max_days: float = 400.0
    """A next acquisition that is later than so many days is no positive."""
    min_days: float = 0.5
    """What was seen sooner after is of the same pass: neighbouring scenes overlap."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_days < self.max_days:
            raise ValueError(
                f"A positive lies between {self.min_days} and {self.max_days} days later: set min_days from 0, and "
                "max_days above it."
            )

    def pairs(self, items: Items) -> np.ndarray:
        """Return each item with the next acquisition of its group, int64 (m, 2), ordered by anchor."""
        seconds = items.seconds
        order = np.lexsort((np.arange(len(seconds)), seconds, items.groups))
        found = []
        for place, item in enumerate(order):
            later = place + 1
            while later < len(order) and items.groups[order[later]] == items.groups[item]:
                away = seconds[order[later]] - seconds[item]
                if away > 0 and away >= self.min_days * 24 * HOUR_S:
                    if away <= self.max_days * 24 * HOUR_S:
                        found.append((int(item), int(order[later])))
                    break
                later += 1
        return np.array(sorted(found), np.int64).reshape(-1, 2)

    def may_be_negative(self, items: Items, pair: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return which of the drawn items may be the negative of a pair, bool as `drawn`."""
        return np.asarray(items.groups[drawn] != items.groups[pair[0]])


Rule = Frames | Places


class TripletSampler:
    """Triplets by number: in each epoch every pair is anchor and positive of one, with a negative drawn anew."""

    def __init__(self, items: Items, rule: Rule, seed: int = 0, members: Sequence[int] | np.ndarray | None = None):
        """Take the items that may be drawn.

        members: numbers of the items that may occur, as any of the three; None: all.
        Raises ValueError: there is no pair, or a pair without any negative.
        """
        self._numbers = np.arange(len(items.times)) if members is None else np.asarray(members, np.int64)
        self._items = Items(items.groups[self._numbers], items.times[self._numbers])
        self._rule, self._seed = rule, seed
        self.pairs = rule.pairs(self._items)
        if not len(self.pairs):
            raise ValueError(
                f"{rule} finds no pair of anchor and positive among {len(self._numbers)} items of "
                f"{len(np.unique(self._items.groups))} groups. Check their times, or widen the rule."
            )
        order = np.lexsort((self._items.groups, self._items.times))
        likely, everything = np.concatenate([order[:3], order[-3:]]), np.arange(len(self._numbers))
        for pair in self.pairs:
            if not any(rule.may_be_negative(self._items, pair, drawn).any() for drawn in (likely, everything)):
                raise ValueError(
                    f"The item of {self._items.times[pair[0]]} has no negative among {len(self._numbers)} items by "
                    f"{rule}. Use more items, or exclude less."
                )

    def __len__(self) -> int:
        return len(self.pairs)

    def pair(self, index: int) -> tuple[int, int]:
        """Return anchor and positive `index`."""
        anchor, positive = self._numbers[self.pairs[index]].tolist()
        return anchor, positive

    def draw(self, epoch: int, index: int) -> Triplet:
        """Return triplet `index` of an epoch."""
        random, pair = np.random.default_rng([self._seed, epoch, index]), self.pairs[index]
        for _ in range(TRIES):
            drawn = random.integers(len(self._numbers), size=1)
            if self._rule.may_be_negative(self._items, pair, drawn)[0]:
                break
        else:  # so rare that they are listed
            allowed = self._rule.may_be_negative(self._items, pair, np.arange(len(self._numbers)))
            drawn = random.choice(np.flatnonzero(allowed), size=1)
        return Triplet(*(int(self._numbers[place]) for place in (*pair, drawn[0])))
