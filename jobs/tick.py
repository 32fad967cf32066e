"""One tick of a plan, under the lease of its product: what was found is mapped, judged and published, or left alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cluster.lock import Locked, RunLock
from cluster.storage import Storage
from jobs.earlier_map import continuing
from jobs.gates import refused, verdicts
from jobs.map import PlannedMap
from jobs.plan import Run, plan_run
from jobs.preflight import scene_specs
from jobs.product import RUNS, Fenced, begin_run, flip, inputs_of, read_pointer, read_runs, sweep_runs
from jobs.schedule_config import PlanConfig
from jobs.schedule_decisions import (
    Act,
    Differences,
    Inputs,
    Pointer,
    decide_act,
    differences,
    published_after,
    retained,
    run_id,
)
from jobs.schedule_run import Made, make, measured, placed, plan_told
from jobs.shell import BUSY, DONE, FAULT, INCOMPLETE
from jobs.supervise import Supervision
from jobs.tick_record import new_record, now, pointed_at


@dataclass(frozen=True)
class Found:
    """What the search of a plan found."""

    run: Run
    """Planned, in no folder yet; its configuration names each scene."""
    inputs: Inputs
    unreadable: Mapping[str, str]
    """Id to reason of scenes that could not be opened, and are left out."""


def discover(plan: PlanConfig) -> Found:
    """Look for scenes, and read their headers; nothing is written.

    Raises:
        ValueError: bad input.
    """
    config = plan.run_at(f"{plan.product.rstrip('/')}/{RUNS}/next")
    specs = scene_specs(config)
    unreadable: dict[str, str] = {}
    run = plan_run(config.model_copy(update={"scenes": specs}), unreadable)
    # What arrives later is for the next tick, whoever asks in this run's folder.
    scenes = tuple(spec for spec in specs if spec.id not in unreadable)
    run = replace(run, config=config.model_copy(update={"scenes": scenes}))
    return Found(run, inputs_of(run), unreadable)


@dataclass
class Situation:
    """What a product is like when a tick looks at it, and what that calls for."""

    pointer: Pointer | None
    runs: dict[str, Inputs]
    """By id, in order."""
    act: Act
    same: str | None
    """The run that has these inputs already, if any."""
    differences: Differences
    """From what is published."""

    @classmethod
    def of(cls, product: Storage, inputs: Inputs, release: bool) -> Situation:
        """Look at a product; with `release` no run is held."""
        pointer, runs = read_pointer(product)[0], read_runs(product)
        asked = replace(pointer, held=()) if release and pointer is not None else pointer
        act, same = decide_act(inputs.key, asked, {run: one.key for run, one in runs.items()})
        before = None if pointer is None else runs.get(pointer.run)
        return cls(pointer, runs, act, same, differences(before, inputs))

    @property
    def earlier(self) -> list[str]:
        """Return the folders of the runs, the latest first, that a run may take over from."""
        return [f"{RUNS}/{run}" for run in reversed(self.runs) if run != self.same]

    @property
    def given_up(self) -> list[str]:
        """Return the runs that were begun, and neither published nor wanted any more."""
        known = set() if self.pointer is None else {self.pointer.run, *self.pointer.earlier}
        known |= set() if self.pointer is None else {held.run for held in self.pointer.held}
        return [run for run in self.runs if run not in known and run != self.same]


@dataclass
class Tick:
    """A tick, of which `run` is called under the lease."""

    plan: PlanConfig
    product: Storage
    found: Found
    command: str
    """As typed, without secrets."""
    release: bool = False
    """Whether runs that were rolled back may be published again."""
    record: dict[str, Any] = field(default_factory=dict)
    """What is kept of it."""
    here: Supervision | None = None
    """Of the run, while it is made."""
    lost: str = ""
    """Why the lease is, if it is."""

    def lose(self, reason: str) -> None:
        """Stop: the lease is somebody else's."""
        self.lost = reason
        if self.here is not None:
            self.here.stop.request(reason, 0.0)

    def run(self, lease: RunLock) -> int:
        """Do what the inputs call for; return the exit code."""
        inputs, unreadable = self.found.inputs, self.found.unreadable
        at = Situation.of(self.product, inputs, self.release)
        self.record |= new_record(lease.number, at.same, at.differences)
        self.record |= {"key": inputs.key, "unreadable": dict(unreadable)}
        for name, reason in unreadable.items():
            print(f"left out: scene {name}: {reason}", file=sys.stderr)
        published = False
        if at.act is Act.NOTHING:
            code = self._idle(at)
        elif at.act is Act.HELD:
            advice = "it is not published again until they change, or with --release"
            self._end("held", f"held: the inputs are those of a run that was rolled back, {at.same}; {advice}")
            code = DONE
        else:
            code, published = self._map(at, lease)
        if code in (DONE, INCOMPLETE) and lease.is_mine():
            stays = retained(read_pointer(self.product)[0], self.plan.keep, self.record["run"], published)
            self.record["removed"] = sweep_runs(self.product, stays, lease.number)
        return code

    def _idle(self, at: Situation) -> int:
        total = len(self.found.inputs.scenes) + len(self.found.unreadable)
        self._end("nothing new", f"nothing new: run {at.same} is published and of these inputs; no network ran")
        return INCOMPLETE if len(self.found.unreadable) > self.plan.gates.max_lacking * total else DONE

    def _map(self, at: Situation, lease: RunLock) -> tuple[int, bool]:
        """Make the run, judge it and publish it; return the exit code, and whether it is published."""
        number, inputs = lease.number, self.found.inputs
        name = at.same or run_id(number, now(), inputs.key)
        self.record |= {"run": name, "given_up": at.given_up}
        print(f"tick {number}: {at.differences}; {'goes on with' if at.same else 'begins'} run {name}", flush=True)
        for run in self.record["given_up"]:
            print(f"given up: run {run}: the inputs are others by now")
        begin_run(self.product, name, inputs, number)
        run, before = runs_at(self.plan, self.found.run, at, name)
        asked = (self.plan.gates, self.command, self._begun)
        try:
            made = make(self.product, run, f"{RUNS}/{name}", at.earlier, before, *asked)
        except Locked as error:
            print(f"sandan schedule: {error}", file=sys.stderr)
            self._end("failed", "somebody else works in the folder of the run")
            return BUSY, False
        self.record |= {"planned": made.planned, "spent": made.spent}
        if made.code not in (DONE, INCOMPLETE):
            self._end("failed", self.lost or f"the run ended with {made.code}; the next tick goes on with it")
            return made.code, False
        failed = refused(made.judged)
        if failed:
            self.record["gates"] = [asdict(one) for one in made.judged]
            told = "; ".join(one.told for one in failed)
            self._end("refused", f"run {name} is not mapped: {told}; leave the scenes out, or loosen the gate")
            return INCOMPLETE, False
        return self._judge(at, lease, run, before, made)

    def _begun(self, here: Supervision) -> None:
        self.here = here
        if self.lost:
            here.stop.request(self.lost, 0.0)

    def _judge(self, at: Situation, lease: RunLock, run: Run, before: Run | None, made: Made) -> tuple[int, bool]:
        name = self.record["run"]
        facts = measured(run, self.found.unreadable, made, before, self.plan.gates)
        judged = verdicts(self.plan.gates, facts)
        self.record["gates"] = [asdict(one) for one in judged]
        self.record["map"] = asdict(facts)
        failed = refused(judged)
        if failed:
            self._end("refused", f"run {name} is not published: " + "; ".join(one.told for one in failed))
            return INCOMPLETE, False
        pointer = Pointer(
            run=name,
            key=self.found.inputs.key,
            fence=lease.number,
            when=now().isoformat(timespec="seconds"),
            why=str(at.differences),
            facts=pointed_at(self.product, name),
        )
        try:
            flip(self.product, lease, lambda old: published_after(old, pointer))
        except Fenced as error:
            self._end("failed", str(error))
            return FAULT, False
        self._end("published", f"published run {name}: {at.differences}")
        return DONE, True

    def _end(self, outcome: str, told: str) -> None:
        self.record |= {"outcome": outcome, "told": told}
        print(f"tick {self.record['tick']}: {told}", flush=True)


def runs_at(plan: PlanConfig, found: Run, at: Situation, name: str) -> tuple[Run, Run | None]:
    """Return a run of a product, and the published one, if that is another: both planned, in their folders."""
    folder = f"{plan.product.rstrip('/')}/{RUNS}"
    run, before = placed(found, f"{folder}/{name}"), None
    if at.pointer is not None and at.pointer.run in at.runs and at.pointer.run != name:
        before = placed(found, f"{folder}/{at.pointer.run}")
    return continuing(run, before), before


def foretold(plan: PlanConfig, product: Storage, found: Found, release: bool = False) -> str:
    """Return what a tick would do now, as text; nothing is written.

    What there is to do is counted in the folder of the run that would go on, or else in that of the latest run, from
    which all that is still valid would be taken over.
    """
    at = Situation.of(product, found.inputs, release)
    lines = [f"left out: scene {name}: {reason}" for name, reason in found.unreadable.items()]
    if at.act in (Act.NOTHING, Act.HELD):
        return "\n".join([*lines, f"{at.act}: run {at.same}"])
    folder = at.same or next(reversed(at.runs), "next")
    would = f"would go on with run {at.same}" if at.same else "would begin a run"
    run, _ = runs_at(plan, found.run, at, folder)
    lines += [f"{at.differences}; {would}", plan_told(run, PlannedMap(run).estimates())]
    return "\n".join(lines + [f"would give up run {run}" for run in at.given_up])
