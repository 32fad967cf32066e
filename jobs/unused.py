"""What a run's folder holds that nothing needs any more: stores, their markers, older maps, old logs.

Two things need a store: a plan, and the published map (`OUT/map.json`), whose stores `run.json` names. Whatever cannot
be judged stays: all logits while only a cluster could say which of them a plan means, maps where no pointer tells their
order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.logs import runs
from cluster.storage import Storage
from jobs.datasets import PlannedDataset
from jobs.decisions import decide, decision_name
from jobs.embed_plan import embed_decision_name
from jobs.embedding import embedding_of
from jobs.failures import failures_of
from jobs.frames import PlannedFrames
from jobs.infer import complete
from jobs.kinds import Plan
from jobs.plan import Run
from jobs.publish import publish_key
from jobs.published import FOLDER, current
from jobs.rasters import MARKERS
from jobs.stages import QUALITY
from jobs.stale import KEY_DIGITS, SUFFIX

MARKED_BY = {"mosaic": "mosaic", "infer": "infer", "embed": "embed", "ingest": "ingest", "tiles": "ingest"}
"""Folders of stores, the last stage first, and whose markers vouch for them."""
TAILS = {"ingest": QUALITY, "tiles": r"_s\d+", "mosaic": r"_r-?\d+"}
"""What follows the name of a store in those of its markers, or of their folders."""
NAMED = re.compile(rf"(.+-)?[0-9a-f]{{{KEY_DIGITS}}}")
"""How a run names stores and maps; what is called otherwise is somebody's own."""
SWEEP = "sweep"
"""The command, in the names of its logs."""


class Unknown(ValueError):
    """It cannot be said what the published map is made of."""


@dataclass(frozen=True)
class Store:
    """A store that nothing needs."""

    folder: str
    """A key of `MARKED_BY`."""
    name: str
    markers: tuple[str, ...]
    """Folders and keys of its markers."""

    @property
    def path(self) -> str:
        """Its folder in that of the run."""
        return f"{self.folder}/{self.name}{SUFFIX}"


@dataclass(frozen=True)
class Unused:
    """What may go."""

    stores: tuple[Store, ...] = ()
    maps: tuple[str, ...] = ()
    """Folders."""
    logs: tuple[str, ...] = ()
    """Folders."""
    decisions: tuple[str, ...] = ()
    """Keys."""
    failures: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Stage to units of stores that are no more."""

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.stores or self.maps or self.logs or self.decisions or self.failures)


def needed(storage: Storage, plans: Sequence[Plan], whole: bool) -> dict[str, frozenset[str]]:
    """Return the names of the stores that plans and the published map need, by folder; of other folders all stay.

    Args:
        storage: of the run.
        plans: every configuration that counts.
        whole: whether the published map is that of a plan, and needs nothing more.

    Raises:
        Unknown: it is not, and `run.json` is not its record.
    """
    each = [_of_run(plan) if isinstance(plan, Run) else _of_one(plan) for plan in plans]
    published = {} if whole else _published(storage)
    return {
        folder: published.get(folder, frozenset()).union(*(one[folder] for one in each))
        for folder in set.intersection(*map(set, each))
    }


def _of_one(plan: PlannedDataset | PlannedFrames) -> dict[str, frozenset[str]]:
    if isinstance(plan, PlannedFrames):
        return {"ingest": frozenset([plan.name]), **_vectors(plan)}
    return {"tiles": frozenset([plan.name])}


def _vectors(plan: Run | PlannedFrames) -> dict[str, frozenset[str]]:
    """Return the embedding stores of a plan, where it says by which network; else nobody knows, and all stay."""
    todo = embedding_of(plan, None) if plan.config.embed is not None else None
    return {} if todo is None else {"embed": frozenset(one.name for one in todo.plans)}


def _of_run(run: Run) -> dict[str, frozenset[str]]:
    found = {"ingest": frozenset(plan.name for plan in run.scenes), **_vectors(run)}
    precision = decide(run, None) if run.config.models else None
    if precision is None:
        return found
    plans = run.logits(precision)
    done = complete(run, plans)  # with scenes that fail, the map is that of the others
    maps = [run.mosaic(some).name for some in (plans, done) if some]
    return {**found, "infer": frozenset(plan.name for plan in plans), "mosaic": frozenset(maps)}


def _published(storage: Storage) -> dict[str, frozenset[str]]:
    """Return the stores of the published map."""
    pointer = current(storage)
    if not pointer:
        return {}
    try:
        record = json.loads(storage.get("run.json"))
    except FileNotFoundError:
        record = {}
    if record.get("products", {}).get("key") != pointer["key"]:
        raise Unknown(
            f"{storage.url}: the published map, {pointer['key']}, is not of this configuration, and run.json does not "
            f"say what it is made of; run `sandan publish` (or `sandan map`) first"
        )
    scenes = record["scenes"]
    return {
        "ingest": frozenset(scene["store"] for scene in scenes),
        "infer": frozenset(scene["logits"] for scene in scenes),
        "mosaic": frozenset([record["map"]["key"]]),
    }


def wanted_map(run: Run) -> str | None:
    """Return the key of the map of a plan, whole; None where only a cluster could say what that is."""
    precision = decide(run, None) if run.config.models else None
    return None if precision is None else publish_key(run, run.mosaic(run.logits(precision)))


def unused(storage: Storage, plans: Sequence[Plan], keep_maps: int, keep_logs: int, own_log: str = "") -> Unused:
    """Look through a folder; nothing is written.

    Args:
        storage: of the run.
        plans: every configuration that counts.
        keep_maps: earlier maps that stay beside the current one.
        keep_logs: logs that stay, of what worked here and of sweeps each.
        own_log: name of the log of who asks, which stays.

    Raises:
        Unknown: it cannot be said what the published map is made of.
    """
    wanted = {wanted_map(plan) for plan in plans if isinstance(plan, Run)} - {None}
    whole = current(storage).get("key") in wanted
    need = needed(storage, plans, whole)
    failures: dict[str, list[str]] = {}
    for stage in need.keys() - {"tiles"}:
        gone = [unit for unit in failures_of(storage, stage) if store_of(stage, unit) not in need[stage]]
        failures |= {stage: gone} if gone else {}
    # Decisions for other settings may be those of the published map, unless that is of a plan.
    decided = storage.children("decisions") if whole or not current(storage) else ()
    kept = {decision_name(plan.config) for plan in plans if plan.config.models}
    kept |= {embed_decision_name(plan.config) for plan in plans if plan.config.embed is not None}
    maps = {*storage.folders(FOLDER), *storage.folders(MARKERS)}  # of empty sheets there are markers alone
    return Unused(
        tuple(store for folder in MARKED_BY if folder in need for store in _stores(storage, folder, need[folder])),
        tuple(f"{FOLDER}/{key}" for key in old_maps(current(storage), maps, keep_maps) if key not in wanted),
        tuple(f"logs/{name}" for name in old_logs(runs(storage), keep_logs) if name != own_log),
        tuple(sorted(set(decided) - kept)),
        failures,
    )


def _stores(storage: Storage, folder: str, need: frozenset[str]) -> Iterator[Store]:
    """Yield the stores of a folder that nobody needs, and those of which only markers are left."""
    stage = f"markers/{MARKED_BY[folder]}"
    markers: dict[str, list[str]] = {}
    for group in () if folder == "tiles" else storage.folders(stage):
        markers.setdefault(store_of(folder, group), []).append(f"{stage}/{group}")
    for key in storage.children(stage):
        unit = key.rpartition("/")[2].removesuffix(".json")
        if store_of(folder, unit) != unit:  # else it is of another kind: scenes and data sets share this folder
            markers.setdefault(store_of(folder, unit), []).append(key)
    names = {name.removesuffix(SUFFIX) for name in storage.folders(folder) if name.endswith(SUFFIX)}
    for name in sorted(filter(NAMED.fullmatch, (names | markers.keys()) - need)):
        yield Store(folder, name, tuple(sorted(markers.get(name, ()))))


def store_of(folder: str, unit: str) -> str:
    """Return the name of the store, of a folder of stores, that a unit or a folder of markers is of."""
    return re.sub(rf"{TAILS[folder]}$", "", unit.partition("/")[0]) if folder in TAILS else unit.partition("/")[0]


def old_maps(pointer: Mapping, folders: Iterable[str], keep: int) -> list[str]:
    """Return the keys of maps that may go: earlier ones but the last few, and those that were never published.

    Args:
        pointer: to the current map; of an empty one, or one that does not tell earlier maps, all maps stay.
        folders: keys of the maps that are there.
        keep: earlier maps that stay.
    """
    there = set(filter(NAMED.fullmatch, folders))
    if "earlier" not in pointer:
        return []
    earlier = [key for key in pointer["earlier"] if key in there]
    return sorted(there - {pointer["key"], *earlier[:keep]})


def old_logs(names: Sequence[str], keep: int) -> list[str]:
    """Return the names of runs whose logs may go, of which the names sort by time: sweeps are counted apart."""
    found: list[str] = []
    for sweeps in (False, True):
        some = [name for name in sorted(names) if is_sweep(name) == sweeps]
        found += some[: max(0, len(some) - keep)]
    return sorted(found)


def is_sweep(name: str) -> bool:
    """Whether a run, by its name, was a sweep."""
    return name.split("-")[1:2] == [SWEEP]
