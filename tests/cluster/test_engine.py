"""Every engine keeps the contract of ``cluster.engine``; the serial one is the reference."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from cluster.engine import (
    ENGINES,
    Done,
    Engine,
    Failed,
    FatalFault,
    ResolvedResources,
    Resources,
    SerialEngine,
    Stop,
    WorkerError,
    open_engine,
    resolve,
)
from cluster.marked import Marked
from cluster.markers import Markers
from cluster.storage import Storage
from tests.cluster.conftest import ROOT
from tests.cluster.stages import Faulty, Key, Rows, answer, broken, large, no_pickle, refuse

SMALL = Resources(workers=2, threads_per_worker=1)


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    with open_engine(request.param, SMALL) as engine:
        yield engine


def squares(results: list[Done[int, dict[str, int]] | Failed[int]]) -> dict[int, int]:
    return {r.key: r.record["square"] for r in results if isinstance(r, Done)}


def test_every_key_is_reported_once(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path)), range(23)))
    assert squares(results) == {n: n * n for n in range(23)}
    assert len(results) == 23
    assert all(r.seconds >= 0 for r in results if isinstance(r, Done))


def test_equal_keys_are_units_of_their_own(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path)), [3, 3, 3]))
    assert [r.key for r in results] == [3, 3, 3]


def test_no_keys_no_results(engine: Engine, tmp_path: Path) -> None:
    assert list(engine.run(Faulty(str(tmp_path)), [])) == []


def test_a_unit_that_raises_once_is_done(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path), {4: ("raise",), 0: ("raise",)}), range(6)))
    assert squares(results) == {n: n * n for n in range(6)}


def test_a_unit_that_always_raises_fails_and_the_others_go_on(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path), {2: ("raise",) * 9}), range(6)))
    (failed,) = [r for r in results if isinstance(r, Failed)]
    assert squares(results) == {n: n * n for n in (0, 1, 3, 4, 5)}
    assert (failed.key, failed.attempts, failed.kind) == (2, 2, "input")
    assert failed.reason == "RuntimeError: injected into 2, attempt 1"
    assert "Traceback" in failed.error


def test_a_full_disk_stops_the_run_and_gives_nothing_up(engine: Engine, tmp_path: Path) -> None:
    results = []
    with pytest.raises(FatalFault, match=r"unit 4 met what every other .* OSError.*No space left"):
        results.extend(engine.run(Faulty(str(tmp_path), {4: ("full",)}), range(50)))
    assert not any(isinstance(r, Failed) for r in results)
    assert squares(list(engine.run(Faulty(str(tmp_path)), range(4, 50)))) == {n: n * n for n in range(4, 50)}


def test_a_unit_that_finds_too_little_memory_is_done_alone(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path), {2: ("memory",)}), range(6)))
    assert squares(results) == {n: n * n for n in range(6)}


def test_a_stop_ends_the_run_and_the_next_one_does_the_rest(engine: Engine, tmp_path: Path) -> None:
    stage = Marked(Rows(), str(tmp_path / "units"), {"stage": "rows"})
    stop, reported = Stop(), set()
    for result in engine.run(stage, (Key(row) for row in itertools.count()), stop):
        reported.add(result.key.unit)
        if len(reported) == 3:
            stop.request("test", 60.0)
    markers = Markers(Storage(str(tmp_path / "units")))
    assert markers.done() == reported, "what was begun is finished and reported"
    rest = [Key(row) for row in range(30) if f"row{row}" not in reported]
    list(engine.run(stage, rest, Stop()))
    assert len(markers.done()) == 30


def test_the_factory_is_called_once_per_worker(engine: Engine, tmp_path: Path) -> None:
    results = list(engine.run(Faulty(str(tmp_path)), range(40)))
    started = len(list(tmp_path.glob("factory.*")))
    assert 1 <= started <= 2
    assert len({r.record["pid"] for r in results if isinstance(r, Done)}) <= started


def test_a_factory_that_raises_is_an_error_at_once(engine: Engine) -> None:
    with pytest.raises((LookupError, WorkerError), match="no weights at /nowhere"):
        list(engine.run(broken, range(3)))


def test_keys_are_taken_as_they_are_needed(engine: Engine, tmp_path: Path) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        for key in itertools.count():
            taken += 1
            yield key

    run = engine.run(Faulty(str(tmp_path)), endless())
    assert len(list(itertools.islice(run, 20))) == 20
    assert taken < 60
    run.close()  # type: ignore[attr-defined]


def test_an_error_of_the_keys_is_raised(engine: Engine, tmp_path: Path) -> None:
    def keys() -> Iterator[int]:
        yield 1
        raise OSError("listing broke off")

    with pytest.raises(OSError, match="listing broke off"):
        list(engine.run(Faulty(str(tmp_path)), keys()))


@pytest.mark.parametrize(("factory", "reason"), [(large, "write arrays to the store"), (no_pickle, "pickle")])
def test_records_must_be_small_and_picklable(engine: Engine, factory: Callable, reason: str) -> None:
    (failed,) = list(engine.run(factory, [3_000_000]))
    assert isinstance(failed, Failed)
    assert reason in failed.error


def test_one_engine_runs_many_stages(engine: Engine, tmp_path: Path) -> None:
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert squares(list(engine.run(Faulty(str(folder)), [5]))) == {5: 25}


def test_marked_stages_resume(engine: Engine, tmp_path: Path) -> None:
    stage = Marked(Rows(), str(tmp_path / "units"), {"stage": "rows"})
    keys = [Key(row) for row in range(9)]
    list(engine.run(stage, keys[:4]))
    markers = Markers(Storage(str(tmp_path / "units")))
    rest = [key for key in keys if key.unit not in markers.done()]
    assert len(rest) == 5
    list(engine.run(stage, rest))
    assert {u: r["record"]["twice"] for u, r in markers.read_all().items()} == {f"row{n}": 2 * n for n in range(9)}


def test_ask_runs_once_on_a_worker(engine: Engine) -> None:
    value, threads = engine.ask(answer)
    assert value == 42
    if engine.facts()["kind"] == "ray":
        assert threads == "1"
    with pytest.raises((LookupError, WorkerError), match="no bf16 here"):
        engine.ask(refuse)
    assert engine.ask(partial(int, "7")) == 7


def test_facts_say_what_ran(engine: Engine) -> None:
    facts = engine.facts()
    assert {"kind", "workers", "cpus", "gpus", "threads", "concurrency"} <= set(facts)
    assert facts["threads"] == 1
    assert facts["kind"] in ENGINES


def test_the_nearest_engine_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'serial'"):
        open_engine("seriel")
    assert isinstance(open_engine("serial"), SerialEngine)


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus", "limit", "found"),
    [
        (Resources(), 2, 0, None, (2, 0, 1, 4, 1)),
        (Resources(), 1, 0, None, (1, 0, 1, 4, 1)),
        (Resources(), 16, 0, None, (4, 0, 4, 4, 4)),
        (Resources(), 6, 0, 2, (2, 0, 2, 4, 2)),
        (Resources(), 16, 1, None, (1, 1, 16, 4, 16)),
        (Resources(), 64, 8, 6, (8, 1, 6, 4, 6)),
        (Resources(gpus_per_worker=0.5), 8, 2, None, (4, 0.5, 2, 4, 2)),
        (Resources(gpus_per_worker=0), 8, 2, None, (2, 0, 4, 4, 4)),
        (Resources(workers=3, threads_per_worker=2), 8, 0, None, (3, 0, 2, 4, 2)),
        (Resources(workers=3), 2, 0, None, (3, 0, 1, 4, 0.666)),
        (Resources(workers=2, threads_per_worker=8), 6, 0, None, (2, 0, 8, 4, 3)),
        (Resources(workers=2, concurrency=1), 8, 4, None, (2, 1, 4, 1, 4)),
    ],
)
def test_auto_is_resolved(asked: Resources, cpus: int, gpus: int, limit: int | None, found: tuple) -> None:
    workers, per_worker, threads, concurrency, cpus_each = found
    expected = ResolvedResources(workers, per_worker, threads, concurrency, cpus_each)
    assert resolve(asked, cpus, gpus, limit) == expected


def test_the_limit_of_a_unit_reaches_the_workers() -> None:
    assert resolve(Resources(unit_limit_s=600.0), 4, 0).unit_limit_s == 600.0
    with pytest.raises(ValueError, match="unit_limit_s is 0; give seconds above 0"):
        Resources(unit_limit_s=0)
    assert resolve(Resources(start_limit_s=None), 4, 0).start_limit_s is None
    with pytest.raises(ValueError, match="start_limit_s is -1; give seconds above 0"):
        Resources(start_limit_s=-1)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"threads_per_worker": 0}, {"concurrency": 0}, {"workers": "all"}])
def test_impossible_resources_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Resources(**wrong)


def test_gpus_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="asked for 3 workers with 1 GPU each; found 2 GPU; lower"):
        resolve(Resources(workers=3), 8, 2)
    with pytest.raises(ValueError, match="found 0 GPU"):
        resolve(Resources(gpus_per_worker=1), 8, 0)
    with pytest.raises(ValueError, match="whole number"):
        Resources(gpus_per_worker=1.5)


def test_nothing_needs_ray_to_be_imported() -> None:
    modules = [path.stem for path in (ROOT / "cluster").glob("[a-z]*.py")]
    code = "import sys; sys.modules['ray'] = sys.modules['torch'] = None; import cluster"
    code += "".join(f"; import cluster.{module}" for module in modules)
    code += "; from cluster.engine import *; assert list(SerialEngine().run(lambda: abs, [-1]))[0].record == 1"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@dataclass(frozen=True)
class Meeting:
    """Work that answers only when as many keys as expected are worked on at once, in one worker."""

    parties: int

    def __call__(self) -> Callable[[int], int]:
        barrier = threading.Barrier(self.parties, timeout=20)

        def work(key: int) -> int:
            barrier.wait()
            return key

        return work


@pytest.mark.parametrize("kind", sorted(ENGINES))
def test_a_worker_works_on_as_many_keys_at_once_as_the_stage_asks_for(kind: str, request: pytest.FixtureRequest):
    if kind == "ray":
        request.getfixturevalue("ray_here")
    with open_engine(kind, Resources(workers=1, threads_per_worker=1)) as engine:
        for parties in (3, 1):
            results = list(engine.run(Meeting(parties), range(9), at_once=parties))
            assert sorted(r.record for r in results if isinstance(r, Done)) == list(range(9))


def test_an_engine_may_allow_fewer_keys_at_once_than_asked_for():
    results = list(SerialEngine(1, concurrency=3).run(Meeting(3), range(9), at_once=5))
    assert [r.record for r in results if isinstance(r, Done)] == list(range(9)), "in order"


def test_a_serial_engine_takes_keys_as_it_needs_them():
    taken = []

    def keys():
        for key in range(50):
            taken.append(key)
            yield key

    results = SerialEngine(1, concurrency=2).run(lambda: abs, keys())
    assert next(results).record == 0
    assert len(taken) <= 4  # those at work, and as many that wait
    results.close()
    assert len(taken) <= 4  # those at work, and as many that wait


def test_a_failure_on_a_thread_is_told_like_any_other():
    def work(key):
        if key == 2:
            raise KeyError("two")
        return key

    results = list(SerialEngine(1, concurrency=2).run(lambda: work, range(4)))
    assert [type(r).__name__ for r in results] == ["Done", "Done", "Failed", "Done"]
    assert "two" in results[2].reason
