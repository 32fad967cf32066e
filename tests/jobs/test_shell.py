"""The shell of every job: exit codes, one sentence for bad input, a dry run that touches nothing."""

import re
import shutil
import threading

import pytest
import yaml

from cluster.engine import FatalFault
from cluster.faults import Fault, Kind
from jobs.config import RunConfig
from jobs.estimate import Estimate
from jobs.recipe_config import RecipeConfig
from jobs.shell import BAD_INPUT, BUSY, DONE, FAULT, INCOMPLETE, INTERRUPTED, TERMINATED, Job, dry_run_table, run_job
from jobs.supervise import Stopped, Terminated, supervision


def estimate(folder: str = "", **changes: object) -> Estimate:
    values = {"stage": "infer", "units": 40, "unit": "windows", "done": 11, "read_bytes": 3_000_000}
    values |= {"write_bytes": 2_000, "peak_memory_bytes": 1_500_000_000, "folder": folder, **changes}
    return Estimate(**values)


class Planned:
    def __init__(self, outcome=DONE, estimates=()):
        self.outcome, self.found, self.ran = outcome, list(estimates), 0

    def estimates(self):
        return self.found

    def run(self):
        self.ran += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


def job(planned, seen=None) -> Job:
    def plan(config):
        if seen is not None:
            seen.append(config)
        if isinstance(planned, Exception):
            raise planned
        return planned

    return Job("map", "Make it.", "  sandan map map.yaml", RunConfig, plan, helps=True)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump({"out": str(tmp_path / "o"), "scenes": "s"}))
    return str(path)


def test_the_exit_codes_are_those_of_the_readme():
    assert (DONE, FAULT, BAD_INPUT, INCOMPLETE, BUSY, INTERRUPTED, TERMINATED) == (0, 1, 2, 3, 4, 130, 143)


@pytest.mark.parametrize("code", [DONE, FAULT, INCOMPLETE])
def test_a_jobs_own_code_is_the_commands(config, code):
    planned = Planned(code)
    assert run_job(job(planned), [config]) == code
    assert planned.ran == 1


def test_overrides_reach_the_configuration_in_order(config):
    seen = []
    last = f"{config}.b"
    run_job(job(Planned(), seen), [config, "--set", "out=a", "--set", f"out={last}", "--set", "fuse.threshold=0.3"])
    assert (seen[0].out, seen[0].fuse.threshold) == (last, 0.3)


@pytest.mark.parametrize("error", [ValueError("grid: no such CRS"), FileNotFoundError("grid:\n  no such CRS")])
def test_bad_input_is_one_sentence(config, capsys, error):
    assert run_job(job(error), [config]) == BAD_INPUT
    assert capsys.readouterr() == ("", "sandan map: grid: no such CRS\n")


def test_a_mistake_of_ours_is_not_called_bad_input(config):
    with pytest.raises(KeyError):
        run_job(job(KeyError("x")), [config])


def test_interruption_and_fault_say_how_to_go_on(config, capsys):
    assert run_job(job(Planned(KeyboardInterrupt())), [config]) == INTERRUPTED
    assert capsys.readouterr().err == "sandan map: interrupted; repeat the command to continue\n"
    assert run_job(job(Planned(RuntimeError("disk on fire"))), [config]) == FAULT
    told = capsys.readouterr().err
    assert "Traceback" in told
    ended = "sandan map: disk on fire\nwhat was finished is kept; repeat the command to continue\n"
    assert told.count("Traceback") == 1
    assert ended in told
    assert told.endswith("--failed\n")


def test_a_dry_run_prints_the_plan_and_does_nothing(config, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: pytest.fail("a dry run fits anywhere"))
    planned = Planned(estimates=[estimate("/tmp"), estimate(stage="mosaic", notes=("a note",))])
    assert run_job(job(planned), [config, "--dry-run"]) == DONE
    assert planned.ran == 0
    assert capsys.readouterr().out == dry_run_table(planned.estimates()) + "\n"


def test_the_plan_is_a_table():
    lines = dry_run_table([estimate(), estimate(stage="mosaic", unit="cells", done=40, notes=("a note",))]).split("\n")
    assert [line.split() for line in lines[2:4]] == [
        ["infer", "40", "windows", "11", "29", "3.0", "MB", "2.0", "kB", "about", "1.5", "GB"],
        ["mosaic", "40", "cells", "40", "0", "3.0", "MB", "2.0", "kB", "about", "1.5", "GB"],
    ]
    assert lines[4] == "a note"
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[0].index("done") == lines[2].index("11")


@pytest.mark.parametrize("what", ["disk", "memory"])
def test_a_run_that_cannot_fit_is_refused_before_it_starts(config, capsys, tmp_path, what):
    out = tmp_path / "not" / "there"
    huge = {"write_bytes": 10**18} if what == "disk" else {"peak_memory_bytes": 10**18}
    planned = Planned(estimates=[estimate(str(out)), estimate(str(out), **huge)])
    assert run_job(job(planned), [config]) == BAD_INPUT
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "sandan map: " + ("out: " if what == "disk" else "memory: ") in told
    assert planned.ran == 0
    assert not out.exists()


@pytest.mark.parametrize(("kind", "word"), [(RunConfig, "the run"), (RecipeConfig, "the recipe")])
def test_help_shows_examples_and_exit_codes(capsys, kind, word):
    with pytest.raises(SystemExit) as stop:
        run_job(Job("map", "Make it.", "  sandan map map.yaml", kind, lambda _: Planned()), ["--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert "examples:\n  sandan map map.yaml" in told
    assert "2 bad input (nothing started)" in told
    assert word in told


def test_a_missing_configuration_is_bad_input(capsys, tmp_path):
    assert run_job(job(Planned()), [str(tmp_path / "gone.yaml")]) == BAD_INPUT
    assert "gone.yaml does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        run_job(job(Planned()), [])
    assert stop.value.code == BAD_INPUT


ENDINGS = [(Stopped("SIGTERM"), TERMINATED), (Stopped("limits.hours"), FAULT), (Terminated(), TERMINATED)]


@pytest.mark.parametrize(("ended", "code"), ENDINGS)
def test_a_run_that_was_asked_to_end_says_how_to_go_on(config, capsys, ended, code):
    assert run_job(job(Planned(ended)), [config]) == code
    told = capsys.readouterr().err
    assert "repeat the command to continue" in told
    assert "Traceback" not in told


def test_a_disk_that_is_full_is_no_traceback(config, capsys):
    fault = Fault(Kind.FATAL, "Traceback ...\nOSError: [Errno 28] No space left on device")
    assert run_job(job(Planned(FatalFault("a/r0", fault))), [config]) == FAULT
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert "Traceback" not in told


def test_the_second_run_is_refused_or_joins(config, capsys):
    """In one process, as threads: signals are left to the main one."""
    inside, leave, codes = threading.Event(), threading.Event(), []

    class Waiting(Planned):
        def run(self):
            inside.set()
            assert leave.wait(30)
            return super().run()

    first = threading.Thread(target=lambda: codes.append(run_job(job(Waiting()), [config])))
    first.start()
    assert inside.wait(30)
    second = Planned()
    assert run_job(job(second), [config]) == BUSY
    told = capsys.readouterr().err
    assert re.search(r"sandan map: 'sandan map \S+' on \S+ \(process \d+, .*\) holds \S+/lock; wait", told)
    assert second.ran == 0

    joined = []

    class Joining(Planned):
        def run(self):
            joined.append(supervision().joins)
            return super().run()

    assert run_job(job(Joining()), [config, "--join"]) == DONE
    leave.set()
    first.join()
    assert run_job(job(Joining()), [config, "--join"]) == DONE
    assert joined == [True, False], "where nobody is at work, nobody is joined"
    assert codes == [DONE]


def test_what_two_cannot_share_cannot_be_joined(capsys, config):
    with pytest.raises(SystemExit) as ended:
        run_job(Job("train", "Train.", "  sandan train x.yaml", RunConfig, lambda _: Planned()), [config, "--join"])
    assert ended.value.code == BAD_INPUT
    assert "--join" in capsys.readouterr().err
