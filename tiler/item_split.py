"""Which items of a series train and which validate: by time, at random, in blocks of days, or by place.

Frames three hours apart are nearly copies of each other. A split at random puts such copies on both sides, and flatters
whatever is judged on it; it is here because a document used it. The last part of the time tests what a forecast office
does, but may hold no typhoon. Blocks of days, of every season as many, hold some of everything. Between what trains and
what validates lies a guard: items that do neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

TRAINS, VALIDATES, GUARDS = 0, 1, 2
DAY_S = 86400


class ItemSplit(BaseModel):
    """How items with times and groups are divided."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["time", "random", "blocks", "places"] = "time"
    """time: the last part; random: any times; blocks: every n-th block of days, the blocks in the order of the seasons;
    places: any groups, whole."""
    validation: float = Field(default=0.2, ge=0, lt=1)
    """Share that validates."""
    guard_hours: float = Field(default=72.0, ge=0)
    """Of time and blocks: items within so many hours of one that validates do not train."""
    days: float = Field(default=10.0, gt=0)
    """Of blocks: their length."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _blocks_wider_than_guards(self) -> ItemSplit:
        if self.kind == "blocks" and self.validation > 0 and self.guard_hours * 2 >= self.days * 24 / self.validation:
            raise ValueError(
                f"guards of {self.guard_hours:g} h on both sides leave nothing to train between blocks of "
                f"{self.days:g} days, of which {self.validation:.0%} validate; lengthen the blocks"
            )
        return self

    def parts(self, times: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return what each item does: `TRAINS`, `VALIDATES` or `GUARDS`, int8 (n,).

        Args:
            times: datetime64 (n,), in any order.
            groups: integers (n,): series or places.
        """
        seconds = times.astype("datetime64[s]").astype(np.int64)
        parts = np.zeros(len(seconds), np.int8)
        if self.validation == 0 or not len(seconds):
            return parts
        random = np.random.default_rng([self.seed, 20])
        if self.kind == "random":
            held = random.permutation(np.unique(seconds))
            parts[np.isin(seconds, held[: round(self.validation * len(held))])] = VALIDATES
            return parts
        if self.kind == "places":
            names = np.unique(groups)
            held = random.permutation(names)[: round(self.validation * len(names))]
            parts[np.isin(groups, held)] = VALIDATES
            return parts
        if self.kind == "time":
            clock = np.unique(seconds)
            count = round(self.validation * len(clock))
            parts[np.isin(seconds, clock[len(clock) - count :])] = VALIDATES
        else:
            parts[np.isin(self._block_of(seconds), self._held_blocks(seconds, random))] = VALIDATES
        return self._guarded(parts, seconds)

    def _block_of(self, seconds: np.ndarray) -> np.ndarray:
        return np.asarray(seconds // round(self.days * DAY_S))

    def _held_blocks(self, seconds: np.ndarray, random: np.random.Generator) -> np.ndarray:
        blocks = np.unique(self._block_of(seconds))
        middles = ((blocks + 0.5) * self.days * DAY_S).astype("datetime64[s]")
        of_year = (middles - middles.astype("datetime64[Y]")).astype("timedelta64[s]").astype(np.int64)
        by_season = blocks[np.lexsort((blocks, of_year))]
        # a place on the line of blocks moves on by `validation`; where it passes a whole number, a block is held back
        marks = np.floor(random.random() + self.validation * np.arange(len(blocks) + 1))
        return np.asarray(by_season[np.diff(marks) > 0])

    def _guarded(self, parts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        held = np.sort(seconds[parts == VALIDATES])
        if self.guard_hours > 0 and len(held):
            after = np.searchsorted(held, seconds)
            gaps = [np.abs(seconds - held[np.clip(place, 0, len(held) - 1)]) for place in (after - 1, after)]
            parts[(np.minimum(*gaps) <= self.guard_hours * 3600) & (parts == TRAINS)] = GUARDS
        return parts


def spans_of(times: np.ndarray, chosen: np.ndarray) -> list[list[str]]:
    """Return the chosen times as spans [first, last], both included, in which no other time lies.

    Args:
        times: datetime64 (n,), in any order, with repetitions.
        chosen: bool (n,).
    """
    clock = np.unique(times.astype("datetime64[s]"))
    held = np.isin(clock, times[chosen].astype("datetime64[s]"))
    edges = np.diff(np.concatenate([[False], held, [False]]).astype(np.int8))
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return [[str(clock[a]), str(clock[b])] for a, b in zip(starts, stops, strict=True)]


def in_spans(times: np.ndarray, spans: Sequence[Sequence[str]]) -> np.ndarray:
    """Return which times lie in one of the spans that `spans_of` returned, bool (n,)."""
    inside = np.zeros(len(times), bool)
    for first, last in spans:
        inside |= (times >= np.datetime64(first)) & (times <= np.datetime64(last))
    return inside
