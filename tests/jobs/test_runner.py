"""One stage: what has a marker is left alone, the rest is done, failures are kept apart."""

import json
from dataclasses import dataclass

import pytest

from cluster.engine import SerialEngine
from cluster.storage import Storage
from cluster.units import Units, grouped
from jobs import runner
from jobs.config import EngineConfig
from jobs.runner import engine_of, markers_of, quarantine, report_failures, run_stage, stage_facts
from tests.jobs.worlds import ShuffledEngine, files_below


@dataclass(frozen=True, order=True)
class Key:
    """A unit of work."""

    name: str

    @property
    def unit(self) -> str:
        """Its name."""
        return f"unit_{self.name}"


class Stage:
    """A stage that notes what it was asked for, and fails on some keys."""

    def __init__(self, bad: tuple[str, ...] = ()) -> None:
        self.bad, self.asked, self.workers = bad, [], 0

    def __call__(self):
        self.workers += 1

        def work(key: Key) -> dict:
            self.asked.append(key.name)
            if key.name in self.bad:
                raise OSError(f"cannot read\nthe file of {key.name}")
            size = len(key.name)
            return {"bytes": size, "half": size / 2, "ok": True, "peak_memory_bytes": 100 * size, "note": key.name}

        return work


KEYS = [Key("a"), Key("bb"), Key("ccc"), Key("dddd")]


def test_all_units_run_once_and_their_cost_is_added_up(tmp_path):
    stage, storage = Stage(), Storage(str(tmp_path / "run"))
    outcome = run_stage(ShuffledEngine(3), storage, "infer", stage, grouped(KEYS), "windows")
    assert set(stage.asked) == {"a", "bb", "ccc", "dddd"}
    assert (outcome.total, outcome.before, outcome.failed) == (4, 0, {})
    facts = stage_facts(storage, ["ingest", "infer"])
    assert list(facts) == ["infer"]
    assert facts["infer"] == outcome.facts
    assert (facts["infer"]["bytes"], facts["infer"]["half"], facts["infer"]["peak_memory_bytes"]) == (10, 5.0, 400)
    assert (facts["infer"]["units"], facts["infer"]["failed"]) == (4, 0)
    assert facts["infer"]["engine"]["kind"] == "serial"
    assert not {"ok", "note"} & set(facts["infer"])  # only numbers add up
    assert markers_of(storage, "infer").done() == {key.unit for key in KEYS}
    assert markers_of(storage, "infer").read("unit_bb")["record"]["bytes"] == 2


def test_the_peak_is_told_beside_what_was_expected(tmp_path, capsys, monkeypatch):
    storage = Storage(str(tmp_path / "run"))
    monkeypatch.setattr(runner, "BASE_MEMORY_BYTES", 10**15)
    outcome = run_stage(SerialEngine(1), storage, "infer", Stage(), grouped(KEYS), "windows", memory_bytes=1500)
    assert outcome.facts["expected_memory_bytes"] == 1500
    assert "infer: the largest worker took 400 B at its peak, about 1.5 kB expected" in capsys.readouterr().err
    run_stage(SerialEngine(1), storage, "infer", Stage(), grouped(KEYS), "windows", memory_bytes=1500)
    assert "largest worker" not in capsys.readouterr().err, "nobody worked"


def test_what_the_process_held_before_is_expected_too(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "BASE_MEMORY_BYTES", 0)
    storage = Storage(str(tmp_path / "run"))
    outcome = run_stage(SerialEngine(1), storage, "infer", Stage(), grouped(KEYS), "windows", memory_bytes=1500)
    assert 20 * 2**20 < outcome.facts["expected_memory_bytes"] - 1500 < 10**11


def test_what_is_done_is_not_done_again(tmp_path):
    storage = Storage(str(tmp_path / "run"))
    run_stage(SerialEngine(1), storage, "infer", Stage(), grouped(KEYS[:3]), "windows")
    first = json.loads(storage.get("stages/infer.json"))
    stage = Stage()
    outcome = run_stage(SerialEngine(1), storage, "infer", stage, grouped(KEYS), "windows")
    assert stage.asked == ["dddd"]
    assert (outcome.total, outcome.before) == (4, 3)
    assert json.loads(storage.get("stages/infer.json"))["units"] == 1 != first["units"]


@pytest.mark.parametrize("keys", [KEYS, []])
def test_nothing_left_means_no_worker_and_no_write(tmp_path, monkeypatch, keys):
    storage = Storage(str(tmp_path / "run"))
    run_stage(SerialEngine(1), storage, "infer", Stage(), grouped(KEYS), "windows")
    before = files_below(tmp_path)
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left"))
    stage = Stage()
    outcome = run_stage(SerialEngine(1), storage, "infer", stage, grouped(keys), "windows")
    assert (outcome.total, outcome.before, outcome.facts) == (len(keys), len(keys), {})
    assert stage.workers == 0
    assert files_below(tmp_path) == before


def test_a_failed_unit_is_named_has_no_marker_and_is_tried_next_time(tmp_path, capsys):
    storage = Storage(str(tmp_path / "run"))
    outcome = run_stage(SerialEngine(1), storage, "infer", Stage(("bb", "dddd")), grouped(KEYS), "windows")
    assert outcome.failed == {"unit_bb": "the file of bb", "unit_dddd": "the file of dddd"}
    assert "unit_dddd failed: the file of dddd" in capsys.readouterr().err
    assert outcome.facts["failed"] == 2
    assert outcome.facts["bytes"] == 4
    assert markers_of(storage, "infer").done() == {"unit_a", "unit_ccc"}
    again = Stage(("dddd",))
    second = run_stage(SerialEngine(1), storage, "infer", again, grouped(KEYS), "windows")
    assert again.asked == ["bb", "dddd", "dddd"]  # a unit that raises is tried twice
    assert list(second.failed) == ["unit_dddd"]
    assert quarantine([second]) == {"infer/unit_dddd": "the file of dddd"}
    capsys.readouterr()
    report_failures([outcome, second])
    assert capsys.readouterr().err == "".join(
        f"quarantined: infer/unit_{name}: the file of {name}\n" for name in ("bb", "dddd")
    )


def test_stages_do_not_share_markers_but_may_share_a_name_for_costs(tmp_path):
    storage = Storage(str(tmp_path / "run"))
    run_stage(SerialEngine(1), storage, "ingest", Stage(), grouped(KEYS[:1]), "shards")
    stage = Stage()
    run_stage(SerialEngine(1), storage, "infer", stage, grouped(KEYS[:1]), "windows", facts_as="other")
    assert stage.asked == ["a"]
    assert set(stage_facts(storage, ["ingest", "infer", "other"])) == {"ingest", "other"}


def chapters(name: str, count: int) -> Units[Key]:
    """A group whose units are made one at a time, and never twice in one turn."""
    return Units(f"unit_{name}", count, lambda: (Key(f"{name}/{n}") for n in range(count)))


def test_groups_are_prepared_before_their_first_unit_and_only_if_any_is_left(tmp_path):
    storage, told, stage = Storage(str(tmp_path / "run")), [], Stage()
    groups = [chapters("a", 3), chapters("b", 2), chapters("c", 2)]
    run_stage(SerialEngine(1), storage, "infer", Stage(), [groups[1]], "windows")

    class Watched(SerialEngine):
        def run(self, factory, keys, stop=None, at_once=2):
            def seen():
                for key in keys:
                    assert key.unit.rpartition("/")[0] in told
                    yield key

            return super().run(factory, seen(), stop)

    outcome = run_stage(Watched(1), storage, "infer", stage, groups, "windows", prepare=told.append)
    assert sorted(told) == ["unit_a", "unit_c"]
    assert stage.asked == ["a/0", "a/1", "a/2", "c/0", "c/1"]
    assert (outcome.total, outcome.before, outcome.facts["units"]) == (7, 2, 5)
    assert markers_of(storage, "infer").done("unit_c") == {"unit_c/0", "unit_c/1"}


def test_keys_are_made_as_workers_ask_for_them(tmp_path):
    """Nobody holds a list: of 10,000 units not one more is made than was asked for."""
    made = []

    def keys():
        for n in range(10_000):
            made.append(n)
            yield Key(f"a/{n}")

    class Impatient(SerialEngine):
        def run(self, factory, keys, stop=None, at_once=2):
            for number, done in enumerate(super().run(factory, keys, stop)):
                if number == 7:
                    raise KeyboardInterrupt
                yield done

    storage = Storage(str(tmp_path / "run"))
    with pytest.raises(KeyboardInterrupt):
        run_stage(Impatient(1), storage, "infer", Stage(), [Units("unit_a", 10_000, keys)], "windows")
    assert made == list(range(8))


def test_what_cannot_be_prepared_stops_the_stage(tmp_path):
    def full(folder):
        raise OSError(f"no room for {folder}")

    stage = Stage()
    with pytest.raises(OSError, match="no room for unit_a"):
        run_stage(SerialEngine(1), Storage(str(tmp_path)), "infer", stage, [chapters("a", 2)], "windows", prepare=full)
    assert stage.asked == []


def test_an_interrupted_stage_keeps_what_was_finished(tmp_path):
    class Interrupted(SerialEngine):
        def run(self, factory, keys, stop=None, at_once=2):
            for number, done in enumerate(super().run(factory, keys, stop)):
                if number == 2:
                    raise KeyboardInterrupt
                yield done

    storage = Storage(str(tmp_path / "run"))
    with pytest.raises(KeyboardInterrupt):
        run_stage(Interrupted(1), storage, "infer", Stage(), grouped(KEYS), "windows")
    stage = Stage()
    run_stage(SerialEngine(1), storage, "infer", stage, grouped(KEYS), "windows")
    assert stage.asked == ["dddd"]  # the third had left its marker


def test_the_engine_of_a_configuration():
    with engine_of(EngineConfig(kind="serial", threads_per_worker=3)) as engine:
        assert engine.facts()["kind"] == "serial"
        assert engine.facts()["threads"] == 3
