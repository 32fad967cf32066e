"""How well a map would scale to hundreds of workers: the pool's own decisions, with measured times, in simulation.

python benchmarks/scaling.py OUT                 a run whose markers tell how long its units of Infer took
python benchmarks/scaling.py OUT --factor 0.02   units a fiftieth as long: a GPU instead of these cores

The state machine is the real one (`cluster.slots`), and so is the processor time that it takes: what the driver
computes is measured and added to the simulated clock, together with what Ray takes for a call (benchmarks/engine.py).
Workers are simulated: they start, take a unit's measured time, and, where `--lives` says so, are taken away.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.decisions import Abort, Dispatch, GiveUp, Policy, Probe, Spawn
from cluster.faults import Fault, Kind
from cluster.slots import Slots

CALL_S = 0.00043
"""Of the driver's processor, for one call through Ray and its answer: the bare loop of benchmarks/engine.py."""
START_S = 12.0
"""Of a worker: Ray, libraries and networks (benchmarks/start.py)."""
WAIT_S = 0.25
"""The longest sleep of the driver."""
SPAN_S = 600.0
"""Of work for each worker ..."""
UNITS = 200_000
"""... and how many units at most."""


@dataclass(frozen=True)
class Row:
    """What a simulation came to."""

    workers: int
    lives_s: float | None
    units: int
    efficiency: float
    """Work that was done, over what all workers could have done while they were there, until the last answer."""
    rate: float
    """Units a second, from when workers were ready."""
    driver: float
    """Share of that time in which the driver computed."""
    decisions_ms: float
    """Processor time of the pool's own decisions, a unit."""
    twice: int
    """Units that were begun again."""


class Simulation:
    """A pool of simulated workers on a simulated clock."""

    def __init__(self, workers: int, durations_s: Sequence[float], lives_s: float | None, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.workers, self.lives_s = workers, lives_s
        units = min(UNITS, int(workers * SPAN_S / statistics.mean(durations_s)))
        self.durations_s = self.chance.choices(durations_s, k=units)
        self.slots = Slots(Policy(workers), self.chance.random)
        self.now_s = self.decided_s = self.called_s = self.there_s = self.done_s = 0.0
        self.events: list[tuple[float, int, str, int, int]] = []
        self.order = itertools.count()
        self.came_s: dict[int, float] = {}
        """When a worker was ready."""
        self.free_s: dict[int, float] = {}
        """When a worker has done all that it holds."""
        self.begun = 0

    def run(self) -> Row:
        """Run until every unit is settled."""
        given = 0
        while not self.slots.finished:
            with self._deciding():
                for _ in range(self.slots.wanted(self.now_s)):
                    if given == len(self.durations_s):
                        self.slots.exhausted = True
                        break
                    self.slots.add(given)
                    given += 1
                actions = self.slots.decide(self.now_s)
            for action in actions:
                self._act(action)
            self._listen()
        self.there_s += sum(self.done_s - came_s for came_s in self.came_s.values())
        units = len(self.durations_s)
        return Row(
            self.workers,
            self.lives_s,
            units,
            sum(self.durations_s) / self.there_s,
            units / (self.done_s - START_S),
            (self.decided_s + self.called_s) / self.now_s,
            1000 * self.decided_s / units,
            self.begun - units,
        )

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """Count what the pool's own code takes, and let the simulated clock go on by it."""
        began_s = time.process_time()
        yield
        took_s = time.process_time() - began_s
        self.decided_s += took_s
        self.now_s += took_s

    def _later(self, after_s: float, what: str, slot: int, unit: int = 0) -> None:
        heapq.heappush(self.events, (self.now_s + after_s, next(self.order), what, slot, unit))

    def _act(self, action: object) -> None:
        match action:
            case Spawn(slot):
                self._later(START_S * (0.8 + 0.4 * self.chance.random()), "ready", slot)
            case Dispatch(slot, unit):
                self.begun += 1
                self.called_s += CALL_S
                self.now_s += CALL_S
                self.free_s[slot] = max(self.now_s, self.free_s[slot]) + self.durations_s[unit]
                self._later(self.free_s[slot] - self.now_s, "done", slot, unit)
            case Probe(slot):
                self._later(0.001, "answer", slot)
            case GiveUp(reason) | Abort(_, reason, _):
                raise RuntimeError(f"the pool ended: {reason}")

    def _listen(self) -> None:
        if self.events:
            self.now_s = max(self.now_s, min(self.events[0][0], self.now_s + WAIT_S))
        while self.events and self.events[0][0] <= self.now_s:
            _, _, what, slot, unit = heapq.heappop(self.events)
            if slot in self.slots.slots:
                with self._deciding():
                    self._hear(what, slot, unit)

    def _hear(self, what: str, slot: int, unit: int) -> None:
        if what == "ready":
            self.slots.ready(slot, self.now_s, node=f"node{slot}")
            self.free_s[slot] = self.now_s
            self.came_s[slot] = self.now_s
            if self.lives_s is not None:
                self._later(self.chance.expovariate(1 / self.lives_s), "die", slot)
        elif what == "die":
            self.there_s += self.now_s - self.came_s.pop(slot)
            self.slots.died(slot, Fault(Kind.TAKEN, "its machine was taken away"), self.now_s)
        elif what == "answer":
            self.slots.answered(slot, self.now_s)
        else:
            self.done_s = self.now_s
            self.slots.succeeded(slot, unit, None, self.now_s)


def measured_s(run: Path) -> list[float]:
    """Return how long the networks took for each unit of a run, from its markers."""
    found = [json.loads(file.read_text())["record"] for file in sorted(run.glob("markers/infer/*/*.json"))]
    durations_s = [record["forward_s"] for record in found if record.get("windows")]
    if not durations_s:
        raise SystemExit(f"asked for the times of {run}; found no marker of Infer there; run `sandan infer` first")
    return durations_s


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    lines = [
        "| workers | taken away after | units | efficiency | units/s | driver at work | decisions, ms a unit | again |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lives = "never" if row.lives_s is None else f"{row.lives_s / 60:g} min"
        shown = (row.workers, lives, row.units, f"{row.efficiency:.3f}", f"{row.rate:.2f}", f"{row.driver:.3f}")
        lines.append(f"| {' | '.join(map(str, (*shown, f'{row.decisions_ms:.3f}', row.twice)))} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and keep it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="OUT", help="a run with markers of Infer")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 64, 512])
    parser.add_argument("--factor", type=float, nargs="+", default=[1.0, 0.02], help="of the measured times")
    parser.add_argument(
        "--lives", type=float, default=60.0, help="minutes until a spot machine is taken away, on average"
    )
    arguments = parser.parse_args(argv)
    durations_s = measured_s(arguments.run)
    kept = {}
    for factor in arguments.factor:
        some = [factor * seconds for seconds in durations_s]
        rows = [
            Simulation(workers, some, lives_s).run()
            for lives_s in (None, 60 * arguments.lives)
            for workers in arguments.workers
        ]
        print(f"units of {statistics.median(some):.3g} s (from {min(some):.3g} to {max(some):.3g})\n{table(rows)}\n")
        kept[f"{statistics.median(some):.3g} s a unit"] = [asdict(row) for row in rows]
    told = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "span_s": SPAN_S, "tables": kept}
    Path(__file__).with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
