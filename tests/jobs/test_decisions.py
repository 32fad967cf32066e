"""Decisions: made once for a run, found again whoever resumes; a dry run measures nothing."""

import json
import subprocess
import sys

import pytest

from cluster.engine import SerialEngine
from jobs import decisions
from jobs.config import RunConfig
from jobs.decisions import decide, measures
from jobs.infer import estimate
from jobs.parsing import load
from jobs.plan import Precision, Run, plan_run
from jobs.tuning import Tune, Tuned
from tests.jobs.worlds import INFER, World, files_below, image, world, write_bundle

AUTO = INFER | {"precision": "auto", "batch": "auto"}


class Answering(SerialEngine):
    """An engine whose worker answers what it is told to, and keeps the questions."""

    def __init__(self, *answers):
        super().__init__(1)
        self.answers, self.questions = list(answers), []

    def ask(self, function, beside=None):
        self.questions.append(function)
        return self.answers.pop(0)


def tuned(precision: str, batch: int, device: str = "cpu") -> Tuned:
    return Tuned(Precision(device, precision, batch), ({"precision": precision, "windows_per_s": 2.5},), 1.5)


@pytest.fixture
def here(tmp_path, monkeypatch) -> World:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    made = world(tmp_path, infer=dict(AUTO))
    made.scene("only", image(64, 90))
    return made


def run_of(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def test_what_was_measured_is_kept_and_never_measured_again(here, capsys):
    run = run_of(here)
    engine = Answering(tuned("fp32", 4), tuned("bf16", 2))
    assert decide(run, engine) == Precision("cpu", "fp32", 4)
    assert "fp32, windows a pass: 4 (measured in 1.5 s)" in capsys.readouterr().err
    (question,) = engine.questions
    assert question == Tune(tuple(here.settings["models"]), 64, "none", "logit", "auto", "auto", 1, True, 1)
    (file,) = (here.out / "decisions").iterdir()
    assert json.loads(file.read_text())["trials"] == [{"precision": "fp32", "windows_per_s": 2.5}]
    resumed = ["engine.workers=3", "engine.threads_per_worker=2", "engine.price_per_worker_hour=2", "infer.tune=false"]
    for changes in ([], resumed, ["engine.kind=ray"]):
        for again in (engine, None):
            assert decide(run_of(here, *changes), again) == Precision("cpu", "fp32", 4)
    assert len(engine.questions) == 1


@pytest.mark.parametrize("change", ["infer.overlap_px=0", "engine.gpus_per_worker=0", "models"])
def test_another_question_has_another_answer(here, tmp_path, change):
    engine = Answering(tuned("fp32", 4), tuned("bf16", 2))
    decide(run_of(here), engine)
    if change == "models":
        change = f"models=[{write_bundle(tmp_path / 'other', seed=9)}]"
    assert decide(run_of(here, change), engine) == Precision("cpu", "bf16", 2)


def test_of_two_that_begin_a_run_the_first_decides(here):
    late = Answering()

    def slow(question, beside=None):
        decide(run_of(here), Answering(tuned("fp32", 4)))
        return tuned("bf16", 2)

    late.ask = slow
    assert decide(run_of(here), late) == Precision("cpu", "fp32", 4)


def test_without_an_engine_nothing_is_measured_or_written(here, monkeypatch):
    monkeypatch.setattr(decisions, "guess", lambda: ("cpu", "bf16"))
    before = files_below(here.folder)
    run = run_of(here)
    assert decide(run, None) == Precision("cpu", "bf16", 1)
    (note,) = estimate(run).notes
    assert "bf16 and 1 windows a pass are assumed" in note
    assert {k: v for k, v in files_below(here.folder).items() if k != "map.yaml"} == {
        k: v for k, v in before.items() if k != "map.yaml"
    }
    decide(run, Answering(tuned("fp32", 4)))
    assert estimate(run).notes == ()


def test_what_is_said_or_switched_off_is_not_measured(here, monkeypatch):
    monkeypatch.setattr(decisions, "probe", lambda: ("cuda", "fp32"))
    engine = Answering()
    assert decide(run_of(here, "infer.batch=3", "infer.precision=fp32"), engine) == Precision("cuda", "fp32", 3)
    assert decide(run_of(here, "infer.tune=false"), engine) == Precision("cuda", "fp32", 1)
    many = ["infer.tile_px=32", "infer.overlap_px=0", "infer.tune=false"]
    here.scene("many", image(300, 230))
    assert decide(run_of(here, *many), engine) == Precision("cuda", "fp32", 8), "units of 16 windows"
    cpu = run_of(here, "infer.tune=false", "engine.gpus_per_worker=0")
    assert decide(cpu, engine) == Precision("cpu", "fp32", 1)
    assert [measures(run_of(here, f"infer.{word}").config) for word in ("batch=3", "precision=fp32")] == [True, True]


def test_what_is_assumed_is_what_this_machine_can_do_and_needs_no_torch(monkeypatch, tmp_path):
    code = "import sys; from jobs.decisions import guess; print(*guess(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == [*decisions.probe(), "False"]
    monkeypatch.setattr(decisions, "probe", lambda: ("cuda", "fp32"))
    monkeypatch.setattr(decisions, "GPUS", tmp_path)
    assert decisions.guess() == ("cuda", "fp32"), "only torch knows whether it can use a GPU"


def test_workers_elsewhere_are_asked(here):
    run = run_of(here, "engine={kind: ray, address: 'ray://10.0.0.1:10001'}")
    assert decide(run, None) is None
    assert "decided by the cluster's workers" in estimate(run).notes[0]
    engine = Answering(tuned("bf16", 8, "cuda"))
    assert decide(run, engine) == decide(run, None) == Precision("cuda", "bf16", 8)
    untuned = run_of(here, "engine={kind: ray, address: 'ray://10.0.0.1:10001'}", "infer={tune: false, tta: none}")
    engine = Answering(("cuda", "bf16"))
    assert decide(untuned, engine) == Precision("cuda", "bf16", 1)
    assert engine.questions == [decisions.probe]
