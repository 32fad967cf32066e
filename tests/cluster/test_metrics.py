"""What Prometheus is told: from Ray, on a node's port; and nothing at all with another engine."""

from __future__ import annotations

import itertools
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from cluster import metrics as module
from cluster.engine import Done, Failed, Resources, open_engine
from cluster.faults import Kind
from cluster.metrics import COUNTERS, GAUGES, LABELS, STATES, Meter, current, metered
from tests.cluster.stages import Faulty

DOCS = Path(__file__).parents[2] / "docs" / "observability.md"


class Kept:
    """Stands in for `ray.util.metrics`: keeps what it is told."""

    def __init__(self) -> None:
        self.values: dict[str, dict[tuple[str, ...], list[float]]] = defaultdict(lambda: defaultdict(list))

    def _made(self, name: str, *about: Any) -> Any:
        def keep(value: float, tags: dict[str, str]) -> None:
            assert tuple(tags) == LABELS[name] == about[-1]
            assert value or name in GAUGES, "Ray refuses to add nothing"
            self.values[name][tuple(tags.values())].append(value)

        return type("Metric", (), {"inc": keep, "set": keep, "observe": keep})

    Counter = Gauge = Histogram = _made


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_counts_wait_for_a_second_and_none_is_lost() -> None:
    kept, clock = Kept(), Clock()
    meter = Meter("infer", clock, kept)
    done = Done("k", {"windows": 16, "bytes_read": 0, "bytes_written": 70, "read_s": 0.1}, 0.25)
    for left in (9, 8, 7):
        meter.unit("done", left, done)
    meter.unit("found", 6, done)
    assert not kept.values
    clock.now_s = 1.0
    meter.unit("failed", 5, Failed("k", "error", 2, Kind.INPUT))
    assert kept.values["sandan_units"] == {("infer", "done"): [3], ("infer", "found"): [1], ("infer", "failed"): [1]}
    assert kept.values["sandan_windows"] == {("infer",): [48]}, "what somebody else did is counted by him"
    assert kept.values["sandan_written_bytes"] == {("infer",): [210]}
    assert "sandan_read_bytes" not in kept.values
    assert kept.values["sandan_unit_seconds"] == {("infer",): [0.25] * 3}
    assert kept.values["sandan_units_left"] == {("infer",): [5]}
    meter.fault("retried", "transient")
    meter.pool({"ready": 2, "dead": 7}, 3)
    assert kept.values["sandan_faults"] == {("infer", "retried", "transient"): [1]}
    assert {key[1]: value for key, value in kept.values["sandan_workers"].items()} == {
        **{state: [0] for state in STATES},
        "ready": [2],
    }
    meter.close()
    assert kept.values["sandan_units"]["infer", "done"] == [3]
    assert [values[-1] for name in GAUGES for values in kept.values[name].values()] == [0] * 6


def test_another_engine_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Meter", lambda stage: pytest.fail("made a meter"))
    with metered("serial", "infer") as meter:
        assert meter is None
        assert current() is None


def test_no_label_can_grow_with_the_work() -> None:
    assert set(LABELS) == set(COUNTERS) | set(GAUGES) | {"sandan_unit_seconds"}
    assert {label for labels in LABELS.values() for label in labels} == {"stage", "outcome", "kind", "state"}


def test_every_metric_is_documented() -> None:
    told = DOCS.read_text()
    for name in LABELS:
        shown = f"ray_{name}_total" if name in COUNTERS else f"ray_{name}"
        labels = ", ".join(f"`{label}`" for label in LABELS[name])
        assert any(f"`{shown}`" in line and labels in line for line in told.splitlines()), name


def served(node: dict[str, Any]) -> dict[str, list[str]]:
    """The lines of our metrics on a node's port, asked without a token."""
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.startswith("ray_sandan"):
            found[line.partition("{")[0]].append(line)
    return found


def test_a_node_serves_what_the_driver_counted(
    ray_here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    looked: list[tuple[dict[str, int], int]] = []
    tell = Meter.pool

    def spied(meter: Meter, states: dict[str, int], in_hand: int) -> None:
        looked.append((dict(states), in_hand))
        tell(meter, states, in_hand)

    monkeypatch.setattr(Meter, "pool", spied)
    list_nodes: Any = ray.nodes
    # The worker dies in a run of its own: what another unit raised could die with it, and would be tried once more.
    raising, dying = (
        Faulty(str(tmp_path), {2: ("raise",), 3: ("raise", "raise")}),
        Faulty(str(tmp_path), {8: ("exit",)}),
    )
    with open_engine("ray", Resources(workers=2, threads_per_worker=1)) as engine, metered("ray", "ingest") as meter:
        assert meter is current() is not None
        results = itertools.chain(engine.run(raising, range(8)), engine.run(dying, [8]))
        for left, result in enumerate(results):
            meter.unit("done" if isinstance(result, Done) else "failed", 8 - left, result)
        meter.flush()

        def value(name: str, **labels: str) -> float:
            """Of a metric on the port; 0 until Ray has told its ports, which it does now and then."""
            found = [line for line in told[name] if all(f'{key}="{text}"' in line for key, text in labels.items())]
            return float(found[0].rpartition(" ")[2]) if len(found) == 1 else 0.0

        told, until = served(list_nodes()[0]), time.monotonic() + 60
        counted = [("ray_sandan_units_total", "outcome", "done", 8), ("ray_sandan_workers", "state", "ready", 2)]
        while any(value(n, **{k: v}) != count for n, k, v, count in counted) and time.monotonic() < until:
            time.sleep(0.2)
            meter.pool({"ready": 2}, 1)  # Ray drops a gauge that is not told again
            told = served(list_nodes()[0])
    assert value("ray_sandan_units_total", stage="ingest", outcome="done") == 8
    assert value("ray_sandan_units_total", stage="ingest", outcome="failed") == 1
    assert value("ray_sandan_faults_total", stage="ingest", outcome="retried", kind="input") == 2
    assert value("ray_sandan_faults_total", stage="ingest", outcome="given_up", kind="input") == 1
    assert value("ray_sandan_faults_total", stage="ingest", outcome="worker_lost", kind="node") == 1
    assert value("ray_sandan_unit_seconds_count", stage="ingest") == 8
    assert value("ray_sandan_units_left", stage="ingest") == 0
    assert {state: value("ray_sandan_workers", stage="ingest", state=state) for state in STATES} == {
        **{state: 0 for state in STATES},
        "ready": 2,
    }
    assert value("ray_sandan_units_in_hand", stage="ingest") == 1
    assert [states for states, _ in looked if states.get("starting")], "the pool told of its workers"
