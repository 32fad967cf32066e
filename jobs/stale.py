"""Why is work done again? What stores were made of, beside what the plan would make them of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from cluster.storage import Storage
from tiler.stores import attributes_of, open_group

SUFFIX = ".zarr"
KEY_DIGITS = 12
COMPARED = 20
"""Stores that are looked at to say why, at most: of a country whose bundle changed, all say the same."""


@dataclass(frozen=True)
class Wanted:
    """A store that a plan wants."""

    subject: str
    """Whose it is: the id of a scene; empty for the map."""
    name: str
    """`<subject>-<key>`, or the key alone."""
    made_of: Mapping[str, str]


@dataclass(frozen=True)
class Stale:
    """What a stage has that the plan does not use, and what that explains."""

    stores: tuple[str, ...]
    """Names of stores that the plan does not use."""
    reasons: Mapping[str, tuple[str, ...]]
    """Why stores are made anew ("files changed") to the ids of their scenes."""


def stale_stores(storage: Storage, stage: str, wanted: Sequence[Wanted]) -> Stale:
    """Compare the stores of a stage with those that a plan wants.

    Args:
        storage: of the run.
        stage: "ingest", "infer" or "mosaic".
        wanted: by the plan, of this stage.
    """
    present = {name.removesuffix(SUFFIX) for name in storage.folders(stage) if name.endswith(SUFFIX)}
    names = {one.name for one in wanted}
    unused = sorted(present - names)
    by_subject = {subject: list(group) for subject, group in groupby(sorted(unused, key=_subject), key=_subject)}
    found: dict[str, list[str]] = {}
    anew = [one for one in wanted if one.name not in present and one.subject in by_subject]
    for one in anew[:COMPARED]:
        reason = _difference(storage, stage, one, by_subject[one.subject])
        found.setdefault(reason, []).append(one.subject)
    if len(anew) > COMPARED:
        found[f"not compared, as {COMPARED} others were"] = [one.subject for one in anew[COMPARED:]]
    return Stale(tuple(unused), {reason: tuple(subjects) for reason, subjects in found.items()})


def explained(stage: str, stale: Stale) -> Iterable[str]:
    """Yield a sentence for every reason."""
    for reason, subjects in stale.reasons.items():
        if subjects == ("",):
            yield f"{stage}: the map is made again: {reason}"
            continue
        names = ", ".join(subjects[:3]) + (f" and {len(subjects) - 3} more" if len(subjects) > 3 else "")
        yield f"{stage}: done again for {names}: {reason}"


def _subject(name: str) -> str:
    return name[: -KEY_DIGITS - 1]


def _difference(storage: Storage, stage: str, one: Wanted, others: Iterable[str]) -> str:
    """Say in what a store differs from the one that comes closest to it."""
    differences = [_changed(f"{storage.url}/{stage}/{other}{SUFFIX}", one.made_of) for other in others]
    known = [changed for changed in differences if changed is not None]
    if not known:
        return "an earlier version made what is there"
    changed = min(known, key=len)
    if changed == ["contract"]:
        return "this version makes it in another way"
    return ", ".join(changed) + " changed"


def _changed(url: str, made_of: Mapping[str, str]) -> list[str] | None:
    try:
        before = attributes_of(open_group(url)).get("made_of")
    except FileNotFoundError:
        return None
    if not isinstance(before, dict):
        return None
    return [name for name in made_of if before.get(name) != made_of[name]]
