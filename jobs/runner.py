"""Running one stage: list the markers, run the rest, keep count of what failed and what it cost."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from typing import Any

import psutil

from cluster.engine import Done, Engine, open_engine
from cluster.marked import FOUND, Marked
from cluster.markers import Markers, unit_of
from cluster.metrics import metered
from cluster.storage import Storage
from cluster.units import Units, prepared, unfinished
from jobs.config import EngineConfig
from jobs.estimate import BASE_MEMORY_BYTES, IN_FLIGHT, format_bytes
from jobs.failures import Failures
from jobs.pace import Crew, Held, Work
from jobs.progress_file import shown
from jobs.supervise import supervision

logger = logging.getLogger(__name__)


def engine_of(config: EngineConfig) -> Engine:
    """Open the engine a configuration asks for; Ray itself starts with the first unit of work."""
    return open_engine(config.kind, config.resources(), address=config.address)


def markers_of(storage: Storage, stage: str) -> Markers:
    """Return the markers of a stage of a run."""
    return Markers(storage.child(f"markers/{stage}"))


@dataclass
class Outcome:
    """What one stage did."""

    stage: str
    total: int
    before: int
    """Units that an earlier run had finished."""
    failed: dict[str, str] = field(default_factory=dict)
    """Unit to the last line of its error."""
    partly: dict[str, str] = field(default_factory=dict)
    """What units that are finished had to leave out, by name, with the reason; of this call and of earlier ones."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Time, bytes and memory of this call."""


def run_stage(
    engine: Engine,
    storage: Storage,
    name: str,
    stage: Callable[[], Callable[[Any], Any]],
    groups: Sequence[Units[Any]],
    word: str,
    facts_as: str | None = None,
    memory_bytes: int | None = None,
    work: Work | None = None,
    prepare: Callable[[str], object] | None = None,
    at_once: int = IN_FLIGHT,
) -> Outcome:
    """Run the units of a stage that have no marker yet.

    Args:
        engine: who runs them.
        storage: the run's folder.
        name: of the stage.
        stage: called once per worker.
        groups: every unit of the stage, done or not.
        word: what a unit is called in the progress line.
        facts_as: name under which the cost is kept, if not the stage's.
        memory_bytes: peak that is expected of a worker, to be told beside what it was.
        work: what the time of a unit goes with, to be kept for estimates of later runs.
        prepare: called with a group's folder before any worker gets one of its units, if any is left: makes the store
            that they write to. It runs on several threads, a few groups ahead of the workers.
        at_once: units that a worker works on at a time, which `memory_bytes` counts.
    """
    here = supervision()
    markers = markers_of(storage, name)
    masks = unfinished(markers, groups)
    total, left = sum(map(len, groups)), sum(map(sum, masks))
    outcome = Outcome(name, total, total - left)
    if not left:
        return outcome
    told = engine.facts()
    told["concurrency"] = min(at_once, told["concurrency"])
    crew, held = Crew.of(told), held_already() if told["kind"] == "serial" else 0
    sums: dict[str, float] = {}
    started, peak, busy_s = time.monotonic(), 0, 0.0
    units, first_s = Held(), math.inf
    markers_url, differences_url = (storage.child(f"{folder}/{name}").url for folder in ("markers", "differences"))
    marked = Marked(stage, markers_url, {"stage": name, **crew.facts}, differences_url)
    logger.info("%d of %d %s to do", left, total, word, extra={"event": "stage"})
    failures = Failures(storage, name)
    label = facts_as or name
    with (
        here.stage(label) as stop,
        failures,
        metered(told["kind"], label) as meter,
        shown(storage, total, label, unit=word, restored=outcome.before) as progress,
    ):
        for result in engine.run(marked, _keys(groups, masks, prepare, here.joins), stop, at_once):
            unit = unit_of(result.key)
            if isinstance(result, Done):
                peak = max(peak, _add_up(sums, result.record))
                busy_s += result.seconds
                failures.mend(unit)
                event = "found" if FOUND in (result.record or ()) else "done"
                facts = {"event": event, "unit": unit, "seconds": result.seconds, "attempt": result.attempts}
                logger.info(event, extra=facts)
                if event == "done" and work is not None:
                    units.add(work.size(result.key), result.seconds, result.record or {}, crew.in_hand)
                progress.advance()
            else:
                outcome.failed[unit] = result.reason
                failures.add(unit, result)
                event = "failed"
                progress.advance(note=f"{unit} failed: {result.reason}", failed=1)
            if meter is not None:
                meter.unit(event, total - progress.done, result)
            first_s = min(first_s, time.monotonic())
            in_hand = crew.workers * crew.in_hand
            reached = progress.done - outcome.before
            here.mind_time(label, word, reached, left, time.monotonic() - first_s, in_hand)
    measured = {} if work is None else {"measured_s": units.seconds, "measured_size": units.size, "like": work.like}
    outcome.facts = {
        "seconds": round(time.monotonic() - started, 3),
        "units": left,
        "failed": len(outcome.failed),
        **{key: round(value, 6) for key, value in sums.items()},
        "busy_s": round(busy_s, 3),
        **measured,
        "peak_memory_bytes": peak,
        **({} if memory_bytes is None else {"expected_memory_bytes": memory_bytes + held}),
        "engine": told,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if not here.joins:  # whose part of the work would stand for the whole
        storage.put(f"stages/{facts_as or name}.json", json.dumps(outcome.facts, indent=1).encode())
    if memory_bytes is not None and peak:
        say_memory(facts_as or name, peak, memory_bytes + held)
    return outcome


def _keys(
    groups: Sequence[Units[Any]], masks: Sequence[bytes], prepare: Callable[[str], object] | None, backwards: bool
) -> Iterator[Any]:
    """Yield the keys that are left, as workers ask for them.

    Backwards for a run that helps another one: they meet in the middle.
    """
    pairs = list(zip(groups, masks, strict=True))
    some: Iterator[tuple[Units[Any], bytes]] = (
        (group, mask) for group, mask in (reversed(pairs) if backwards else pairs) if any(mask)
    )
    if prepare is not None:
        some = prepared(lambda one: prepare(one[0].folder), some)
    for group, mask in some:
        left = compress(group, mask)
        yield from reversed(list(left)) if backwards else left


def held_already() -> int:
    """Return what this process, which does a stage itself, holds from before, beyond the libraries of any worker."""
    return max(0, psutil.Process().memory_info().rss - BASE_MEMORY_BYTES)


def say_memory(stage: str, peak_bytes: int, expected_bytes: int) -> None:
    """Say what a worker took beside what was expected, on stderr."""
    said = f"{format_bytes(peak_bytes)} at its peak, about {format_bytes(expected_bytes)} expected"
    print(f"{stage}: the largest worker took {said}", file=sys.stderr)


def _add_up(sums: dict[str, float], record: Any) -> int:
    """Add a unit's numbers to the stage's, and return the peak memory it reports."""
    if not isinstance(record, Mapping):
        return 0
    for key, value in record.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and key != "peak_memory_bytes":
            sums[key] = sums.get(key, 0) + value
    return int(record.get("peak_memory_bytes", 0))


def stage_facts(storage: Storage, stages: Iterable[str]) -> dict[str, dict]:
    """Return what the stages of a run cost when they last had work to do."""
    return {s: json.loads(storage.get(f"stages/{s}.json")) for s in stages if storage.exists(f"stages/{s}.json")}


def quarantine(outcomes: Iterable[Outcome]) -> dict[str, str]:
    """Return every failed unit, as `stage/unit`, and what others left out, with the reason."""
    return {f"{o.stage}/{u}": reason for o in outcomes for u, reason in (o.failed | o.partly).items()}


def report_failures(outcomes: Iterable[Outcome]) -> None:
    """Name every failed unit, and what others left out, on stderr: the progress line shows only the latest."""
    for unit, error in quarantine(outcomes).items():
        print(f"quarantined: {unit}: {error}", file=sys.stderr)
