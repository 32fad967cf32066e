"""How long a stage will take: arithmetic as tables, what a run's folder tells, and commands that refuse or go on."""

import json
import logging
import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.engine import SerialEngine
from cluster.markers import Markers
from cluster.storage import Storage
from cluster.units import Units, unfinished
from jobs import decisions
from jobs import infer as infer_job
from jobs import map as map_job
from jobs.config import RunConfig
from jobs.decisions import window_pace
from jobs.estimate import Estimate, Expected
from jobs.pace import (
    CLEARLY,
    FAIR_ROUNDS,
    FAIR_UNITS,
    UNKNOWN,
    Crew,
    Held,
    Pace,
    Work,
    about,
    check_time,
    expected,
    falls_behind,
    pace_of_stage,
    pace_of_trials,
    pace_of_units,
)
from jobs.parsing import load
from jobs.plan import Precision, plan_run
from jobs.runner import run_stage
from jobs.supervise import Supervision, supervised
from jobs.time_left import Rest
from jobs.tuning import Tuned
from tests.jobs.worlds import answering, image, small_cells, world


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5_969, "99 min"),
        (7_800, "2:10 h"),
        (360_000, "100:00 h"),
    ],
)
def test_durations_for_people(seconds, text):
    assert about(seconds) == text


@given(st.floats(0, 1e7))
def test_what_people_read_is_near(seconds):
    said = about(seconds)
    number = said.split()[0]
    hours, _, minutes = number.rpartition(":")
    found = {"s": 1, "min": 60, "h": 60}[said.split()[1]] * (60 * int(hours or 0) + int(minutes))
    assert found == pytest.approx(seconds, abs=max(0.5, 0 if said.endswith(" s") else 30.5))


@pytest.mark.parametrize(
    ("units", "in_hand", "held_s"),
    [
        ([(4.0, {})], 2, 2.0),
        ([(4.0, {})], 1, 4.0),
        ([(4.0, {"forward_s": 3.5})], 2, 3.5),
        ([(4.0, {"forward_s": 1.5})], 2, 2.0),
        ([(4.0, {"forward_s": 3.0}), (6.0, {"forward_s": 1.0})], 2, 5.0),  # the larger sum, not the sum of the larger
    ],
)
def test_units_share_their_worker(units, in_hand, held_s):
    held = Held()
    for seconds, record in units:
        held.add(3, seconds, record, in_hand)
    assert (held.seconds, held.size, held.count) == (held_s, 3 * len(units), len(units))


def marker(seconds: float, cores: float = 2.0, in_hand: int = 2, **record: float) -> dict:
    return {"seconds": seconds, "cores": cores, "in_hand": in_hand, "record": record}


@pytest.mark.parametrize(
    ("units", "gpu", "hand_s"),
    [
        ([], False, None),
        ([(3, {"record": {}}), (5, {})], False, None),  # taken over, or removed since: nobody measured
        ([(3, marker(9))], False, 3.0),
        ([(3, marker(9))], True, 1.5),
        ([(1, marker(9)), (9, marker(11, cores=1)), (4, {})], False, 1.45),  # by size, not by unit
        ([(4, marker(2, forward_s=2.0))], True, 0.5),
    ],
)
def test_the_pace_of_finished_units(units, gpu, hand_s):
    found = pace_of_units(units, gpu, "shards")
    assert (found is None) == (hand_s is None)
    if found is not None:
        assert found.hand_s == pytest.approx(hand_s)
        assert found.known_from == f"as measured on {sum('seconds' in m for _, m in units)} shards of this run"


FACTS = {"like": "x", "measured_s": 30.0, "measured_size": 60.0, "units": 12, "failed": 2}
FACTS["engine"] = {"kind": "ray", "workers": 3, "threads": 4, "cpus": 6, "concurrency": 2}


@pytest.mark.parametrize(
    ("change", "gpu", "hand_s"),
    [
        ({}, False, 1.0),  # three workers of four threads share six cores
        ({}, True, 0.5),
        ({"like": "y"}, False, None),
        ({"measured_size": 0.0}, False, None),
    ],
)
def test_the_pace_of_a_stage_that_was_done_before(change, gpu, hand_s):
    found = pace_of_stage(FACTS | change, "x", gpu, "cells")
    assert found == (hand_s and Pace(hand_s, "as measured on 10 cells that were done here before"))
    assert pace_of_stage({}, "x", gpu, "cells") is None


def trial(precision: str, batch: int, windows_per_s: float, side_px: int = 512) -> dict:
    return {"precision": precision, "batch": batch, "windows_per_s": windows_per_s, "side_px": side_px}


@pytest.mark.parametrize(
    ("trials", "gpu", "hand_s"),
    [
        ([], False, None),
        ([trial("fp32", 1, 5.0), trial("bf16", 2, 5.0)], False, None),
        ([trial("bf16", 1, 4.0), trial("bf16", 1, 5.0), trial("fp32", 1, 9.0)], False, 0.6),
        ([trial("bf16", 1, 5.0)], True, 0.2),
        ([trial("bf16", 1, 80.0, side_px=128)], True, 0.2),
        ([{"precision": "bf16", "batch": 1, "windows_per_s": 4.0}], True, None),
    ],
)
def test_the_pace_of_what_was_tried_to_decide(trials, gpu, hand_s):
    found = pace_of_trials(trials, "bf16", 1, 512, 3.0, gpu)
    assert (found and found.hand_s) == (hand_s and pytest.approx(hand_s))


@pytest.mark.parametrize(
    ("pace", "crew", "gpu", "seconds"),
    [
        (Pace(3.0, "x"), Crew(2, 4.0), False, 30.0),
        (Pace(3.0, "x"), Crew(4, 4.0), False, 15.0),
        (Pace(3.0, "x"), Crew(4, 2.0), False, 30.0),  # the same cores in more workers
        (Pace(3.0, "x"), Crew(4, 2.0), True, 60.0),
        (Pace(3.0, "x"), None, False, None),
        (None, Crew(1, 1.0), False, None),
    ],
)
def test_what_is_expected(pace, crew, gpu, seconds):
    assert expected(pace, 80.0, crew, gpu).seconds == seconds


def stage(name: str, seconds: float | None, done: int = 3) -> Estimate:
    return Estimate(name, 9, "cells", done, 0, 0, 0, time=Expected(seconds, "as measured on 7 cells of this run"))


@pytest.mark.parametrize(
    ("stages", "hours", "words"),
    [
        ([stage("infer", 3600)], None, ""),
        ([stage("infer", 3600)], 1.0, ""),
        (
            [stage("infer", 3600.5)],
            1.0,
            "limits.hours: about 60 min are expected (infer 60 min, as measured on 7 cells",
        ),
        ([stage("infer", 1900), stage("mosaic", 1900)], 1.0, "about 63 min are expected (infer 32 min, as"),
        ([stage("infer", None), stage("mosaic", 7800)], 2.0, "at least about 2:10 h are expected (mosaic 2:10 h, as"),
        ([stage("infer", 9e9, done=9)], 1.0, ""),
        ([stage("infer", None)], 0.001, ""),
        ([Estimate("train", 9, "epochs", 0, 0, 0, 0)], 0.001, ""),
    ],
)
def test_what_is_refused(stages, hours, words):
    if not words:
        check_time(stages, hours)
        return
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        check_time(stages, hours)
    assert f"{hours:g} h are allowed; raise limits.hours, give more workers" in str(refused.value)


MANY = FAIR_UNITS + 1


@pytest.mark.parametrize(
    ("done", "left", "since_s", "in_hand", "time_left_s", "rest_s"),
    [
        (MANY, 200, 20.0, 2, 100.0, 200.0),
        (MANY, 200, 20.0, 2, 200.0 / CLEARLY + 1, None),  # it may just do
        (MANY - 1, 10**6, 20.0, 2, 1.0, None),  # too few to tell
        (MANY, 10**6, 20.0, 8, 1.0, None),  # too few for so many at once
        (FAIR_ROUNDS * 8 + 1, 48, 24.0, 8, 1.0, 48.0),
        (MANY, 0, 20.0, 2, -5.0, None),
        (MANY, 10**9, 20.0, 2, math.inf, None),
    ],
)
def test_a_stage_that_falls_behind(done, left, since_s, in_hand, time_left_s, rest_s):
    assert falls_behind(done, left, since_s, in_hand, time_left_s) == rest_s


GROUP = Units("a", 400, lambda: (f"a/u{n}" for n in range(400)))
SIZED = Work(lambda unit: 1 + int(unit.removeprefix("a/u")) % 2, "x")


def rest(masks: list[bytes], size: float = 10.0) -> Rest:
    return Rest("infer", "shards", [GROUP], masks, size)


def test_finished_units_are_sampled_from_the_first_to_the_last(tmp_path, monkeypatch):
    storage, asked = Storage(str(tmp_path)), []
    monkeypatch.setattr("jobs.time_left.SAMPLE", 50)
    markers = Markers(storage.child("markers/infer"))
    for n in range(100, 220):
        markers.create(f"a/u{n}", marker(6.0 * SIZED.size(f"a/u{n}"), cores=1.0))
    read = Markers.read
    monkeypatch.setattr(Markers, "read", lambda self, unit: asked.append(unit) or read(self, unit))
    found = rest(unfinished(markers, [GROUP])).time(storage, SIZED, Crew(1, 1.0))
    assert found == Expected(30.0, f"as measured on {len(asked)} shards of this run")
    assert 40 <= len(asked) <= 50
    assert {"a/u100", "a/u217"} < set(asked) < {f"a/u{n}" for n in range(100, 220)}


def test_where_no_unit_tells_an_earlier_stage_does_and_then_what_was_tried(tmp_path):
    storage, none = Storage(str(tmp_path)), [b"\1" * 400]
    tried = Pace(7.0, "tried")
    assert rest(none).time(storage, SIZED, Crew(1, 1.0)) == UNKNOWN
    assert rest(none).time(storage, SIZED, Crew(1, 1.0), otherwise=tried) == Expected(70.0, "tried")
    storage.put("stages/infer.json", json.dumps(FACTS).encode())
    assert rest(none).time(storage, SIZED, Crew(1, 1.0), otherwise=tried).seconds == 10.0
    assert rest(none).time(storage, Work(SIZED.size, "y"), Crew(1, 1.0), otherwise=tried).seconds == 70.0
    assert rest(none).time(storage, SIZED, None).seconds == pytest.approx(10 / 6), "by who did it before"


class Sleeps:
    """A stage whose units take their time."""

    def __call__(self):
        return lambda key: time.sleep(0.002) or {}


def test_a_run_is_told_once_that_it_falls_behind(tmp_path, capsys, caplog):
    config = RunConfig.model_validate({"out": str(tmp_path), "scenes": "s", "limits": {"hours": 20 / 3600}})
    with supervised("map", config, "sandan map x.yaml", join=False) as here, caplog.at_level(logging.WARNING):
        assert 0 < here.ends_s - time.monotonic() <= 20
        here.ends_s = time.monotonic() + 0.05
        few = Units("a", 60, lambda: (f"a/u{n}" for n in range(60)))
        for name in ("infer", "mosaic"):
            run_stage(SerialEngine(1), Storage(str(tmp_path)), name, Sleeps(), [few], "shards", work=SIZED)
    (told,) = [record for record in caplog.records if record.event == "behind"]
    assert told.facts["rest_s"] >= told.facts["time_left_s"]
    assert capsys.readouterr().err.count("WARNING: infer: ") == 1
    facts = json.loads((tmp_path / "stages" / "infer.json").read_text())
    assert (facts["measured_size"], facts["like"]) == (90, "x")
    assert facts["measured_s"] >= 60 * 0.002


def test_in_parts_nobody_is_told(tmp_path):
    limits = {"hours": 1, "in_parts": True}
    config = RunConfig.model_validate({"out": str(tmp_path), "scenes": "s", "limits": limits})
    with supervised("map", config, "sandan map x.yaml", join=False) as here:
        assert here.ends_s == math.inf
    assert Supervision().ends_s == math.inf


@pytest.fixture
def here(tmp_path):
    made = world(tmp_path)
    made.scene("a", image(130, 170))
    return made


def slowly(out, stage: str, seconds: float) -> int:
    """Let the finished units of a stage have taken long; return how many there are."""
    files = list((out / "markers" / stage).rglob("r*_c*.json"))
    for file in files:
        facts = json.loads(file.read_text())
        file.write_text(json.dumps(facts | {"seconds": seconds, "in_hand": 1, "cores": 1}))
    return len(files)


def test_a_run_that_cannot_end_in_time_is_refused_before_it_starts(here, capsys):
    few = ["limits.hours=2"]
    assert map_job.main([*here.command(*few), "--dry-run"]) == 0
    told = capsys.readouterr().out
    for stage_name in ("ingest", "infer", "mosaic", "publish"):
        assert f"{stage_name}: time not known before the first units" in told
    with answering(), small_cells():
        assert map_job.main(here.command(*few)) == 0, "of a fresh run nothing is known, and nothing is refused"
        here.scene("b", image(100, 140, 2))
        count = slowly(here.out, "infer", 1800.0)
        capsys.readouterr()
        assert map_job.main([*here.command(), "--dry-run"]) == 0
        told = capsys.readouterr().out
        found = re.search(rf"infer: about (\d+):(\d\d) h, as measured on {count} window shards of this run", told)
        assert found
        assert re.search(r"ingest: about \d+ s, as measured on 1 shards of this run", told)
        assert "publish: about" in told
        assert "publish: time" not in told
        before = set(here.out.rglob("*"))
        assert map_job.main(here.command(*few)) == 2
        told = capsys.readouterr().err
        assert f"sandan map: limits.hours: about {found[1]}:{found[2]} h are expected (ingest" in told
        assert "2 h are allowed; raise limits.hours, give more workers" in told
        assert set(here.out.rglob("*")) == before
        assert map_job.main(here.command("limits.hours=2", "limits.in_parts=true")) == 0
        assert map_job.main(here.command(*few)) == 0, "nothing is left"


def test_what_was_measured_to_decide_tells_the_time_of_windows(here, monkeypatch):
    here.settings["infer"] |= {"precision": "auto", "batch": "auto"}
    monkeypatch.setattr(decisions, "probe", lambda: ("cpu", "fp32"))
    run = plan_run(load(RunConfig, here.config))
    assert window_pace(run) is None
    found = Tuned(Precision("cpu", "bf16", 2), (trial("bf16", 2, 0.5, side_px=64),), 3.0)
    monkeypatch.setattr("jobs.tuning.Tune.recalled", lambda self: found)
    assert window_pace(run).hand_s == 2.0, "this machine remembers"
    windows = sum(plan.lattice.rows * plan.lattice.cols for plan in run.logits(Precision("cpu", "fp32", 1)))
    assert infer_job.estimate(run).time.seconds == 2.0 * windows
    decisions.decide(run, SerialEngine(1))
    monkeypatch.setattr("jobs.tuning.Tune.recalled", lambda self: None)
    assert window_pace(run).hand_s == 2.0, "the run has kept it"
    for change in ("infer.compile=openvino", "infer.precision=fp32"):
        assert window_pace(plan_run(load(RunConfig, here.config, [change]))) is None
