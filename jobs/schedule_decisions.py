"""What a tick decides, from plain facts alone: what changed, what that calls for, which runs stay.

Numbers order everything, and only rise: clocks may be wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

REMEMBERED = 100
"""Runs that a pointer knows of those published before, and of those held, at most."""


@dataclass(frozen=True)
class Inputs:
    """What a run maps: two runs of equal inputs make the same map."""

    scenes: Mapping[str, str]
    """Id to the name of its store, in which its files, labels and modalities count."""
    settings: Mapping[str, str]
    """What else the map depends on, by name: digests."""

    @property
    def key(self) -> str:
        """A short name."""
        return _digest([sorted(self.scenes.items()), sorted(self.settings.items())])


@dataclass(frozen=True)
class Differences:
    """How the inputs of two runs differ."""

    new: tuple[str, ...] = ()
    """Ids of scenes, sorted; so are the others."""
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For people, one line."""
        kinds = {"new": self.new, "changed": self.changed, "removed": self.removed, "other": self.settings}
        return "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds.items() if names) or "nothing"


def differences(before: Inputs | None, now: Inputs) -> Differences:
    """Compare what is published, if anything, with what is there now."""
    old = Inputs({}, {}) if before is None else before
    both = old.scenes.keys() & now.scenes.keys()
    words = () if before is None else old.settings.keys() | now.settings.keys()
    return Differences(
        new=tuple(sorted(now.scenes.keys() - old.scenes.keys())),
        changed=tuple(sorted(name for name in both if old.scenes[name] != now.scenes[name])),
        removed=tuple(sorted(old.scenes.keys() - now.scenes.keys())),
        settings=tuple(sorted(word for word in words if old.settings.get(word) != now.settings.get(word))),
    )


def _some(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


@dataclass(frozen=True)
class Held:
    """A run that was rolled back: its inputs are not published again until they are others, or it is released."""

    run: str
    key: str


@dataclass(frozen=True)
class Pointer:
    """What `latest.json` says."""

    run: str
    key: str
    """Of its inputs."""
    fence: int
    """Number of the lease under which it was written: lower ones never replace it."""
    when: str
    why: str
    earlier: tuple[str, ...] = ()
    """Runs that were published before, the latest first."""
    held: tuple[Held, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For readers: folder, catalogue, files with checksums, numbers of the map."""

    @classmethod
    def parse(cls, text: bytes) -> Pointer:
        """Read a pointer; ValueError where it is none."""
        try:
            values = dict(json.loads(text))
            held = tuple(Held(**one) for one in values.pop("held"))
            return cls(**{**values, "earlier": tuple(values["earlier"]), "held": held})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"latest.json is no pointer of a product ({error}); write it again as the last record in ticks/ says"
            ) from error

    @property
    def text(self) -> bytes:
        """As it is written."""
        return json.dumps(asdict(self), indent=1).encode()


class Act(StrEnum):
    """What a tick does with the inputs that it finds."""

    NOTHING = "nothing new"
    HELD = "held"
    RESUME = "resume"
    BEGIN = "begin"


def decide_act(key: str, pointer: Pointer | None, runs: Mapping[str, str]) -> tuple[Act, str | None]:
    """Decide what inputs call for.

    Args:
        key: of the inputs that were found.
        pointer: to what is published, if anything.
        runs: id to key of the inputs of the runs that are there.

    Returns:
        The act; and of a run that has these inputs already, begun or done, its id.
    """
    same = max((run for run in runs if runs[run] == key), default=None)
    if pointer is not None:
        if pointer.key == key and runs.get(pointer.run) == key:
            return Act.NOTHING, pointer.run
        if key in {held.key for held in pointer.held}:
            return Act.HELD, same
    return (Act.BEGIN, None) if same is None else (Act.RESUME, same)


def run_id(tick: int, when: datetime, key: str) -> str:
    """Return the id of a run that a tick begins; ids sort by tick, the date is for people."""
    return f"{tick:06}-{when:%Y%m%d}-{key}"


def retained(pointer: Pointer | None, keep: int, now: str | None, published: bool) -> set[str]:
    """Return the ids of the runs that stay: published ones, the one at hand, and held ones until the next is published.

    Args:
        pointer: as it is now.
        keep: published runs, the present one included.
        now: the run of this tick, if any.
        published: whether this tick published it.
    """
    stays = {now} if now is not None else set()
    if pointer is None:
        return stays
    held = () if published else (held.run for held in pointer.held)
    return stays | {pointer.run, *pointer.earlier[: keep - 1], *held}


def published_after(before: Pointer | None, after: Pointer) -> Pointer:
    """Return a pointer to a new map that knows what was published before it."""
    if before is None:
        return after
    earlier = tuple(run for run in (before.run, *before.earlier) if run != after.run)
    return replace(
        after, earlier=earlier[:REMEMBERED], held=tuple(held for held in before.held if held.run != after.run)
    )


def rolled_back(before: Pointer, after: Pointer, keys: Mapping[str, str]) -> Pointer:
    """Return a pointer to a run that was published before, with all that came after it held.

    Args:
        before: what is published.
        after: to the earlier run.
        keys: id to key of the inputs of the runs that are there.

    Raises:
        ValueError: it was not published before, is published now, or is not kept any more.
    """
    known = [run for run in (*before.earlier, *(held.run for held in before.held)) if run in keys]
    if after.run not in known:
        state = "is the published one" if after.run == before.run else "was never published, or is kept no more"
        raise ValueError(f"run {after.run!r} {state}; runs that can be gone back to: {known}")
    held = [one for one in before.held if one.run != after.run]
    if after.run not in before.earlier:  # it was held itself: this is its release
        return replace(after, earlier=(before.run, *before.earlier), held=tuple(held))
    place = before.earlier.index(after.run)
    later = [before.run, *before.earlier[:place]]
    new = [Held(run, keys[run]) for run in later if run in keys]
    return replace(after, earlier=before.earlier[place + 1 :], held=(*new, *held)[:REMEMBERED])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:12]
