"""What a worker's machine remembers: found again, robust against what others leave behind."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import tuning
from jobs.estimate import activation_bytes
from jobs.plan import Precision
from jobs.tuning import Tune, Tuned, cache_folder, recall, remember
from models.card import read_card
from models.tuning import Choice, Setting, Trial
from tests.jobs.worlds import write_bundle

FOUND = Tuned(Precision("cpu", "bf16", 2), ({"precision": "bf16", "batch": 2, "windows_per_s": 3.5},), 1.25)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sandan" / "tuning"


@pytest.fixture
def question(tmp_path) -> Tune:
    return Tune((write_bundle(tmp_path / "net"),), 64, "none", "logit", "auto", "auto", 16, False, 1)


def test_a_question_is_measured_once(question, cache, monkeypatch):
    first = question()
    assert first.precision.device == "cpu"
    assert first.seconds > 0
    assert {trial["precision"] for trial in first.trials} >= {first.precision.precision}
    assert all(trial["windows_per_s"] > 0 for trial in first.trials)
    (file,) = cache.iterdir()
    assert json.loads(file.read_text())["asked"]["machine"]["threads"] == 1
    monkeypatch.setattr("models.tuning.search", lambda *_: pytest.fail("measured again"))
    assert question() == replace(first, seconds=0.0)


def test_what_is_known_here_is_recalled_without_torch(question, tmp_path, monkeypatch):
    assert question.recalled() is None
    found = question()
    assert question.recalled() == replace(found, seconds=0.0)
    code = f"import sys; from jobs.tuning import Tune; print({question!r}.recalled(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == f"{replace(found, seconds=0.0)} False"
    monkeypatch.setattr(tuning, "GPUS", tmp_path)
    assert question.recalled() is not None, "it keeps to the CPU"
    assert replace(question, gpu=True).recalled() is None, "there may be a GPU: the worker knows"


def test_what_the_choice_depends_on_is_asked_anew(question, tmp_path, monkeypatch):
    asked = []

    def chosen(measure, formats, batches, tile_px, limit_s):
        asked.append((formats, batches, tile_px))
        return Choice(Setting(formats[-1], batches[0]), (Trial(Setting(formats[-1], batches[0]), tile_px, 0.5),))

    monkeypatch.setattr("models.tuning.search", chosen)
    other = write_bundle(tmp_path / "other", seed=7)
    variants = [
        question,
        replace(question, bundles=(other,)),
        replace(question, bundles=(*question.bundles, other)),
        replace(question, tile_px=96),
        replace(question, tta="flips4"),
        replace(question, precision="fp32"),
        replace(question, batch=3),
        replace(question, threads=2),
    ]
    answers = [variant() for variant in variants]
    assert len(asked) == len(variants)
    assert asked[5][0] == ("fp32",)
    assert asked[6][1] == (3,)
    assert answers[0].trials[0]["windows_per_s"] == 2.0
    moved = Path(question.bundles[0]).rename(tmp_path / "moved")
    assert replace(question, bundles=(str(moved),))().precision == answers[0].precision
    assert len(asked) == len(variants), "the same bundle in another folder is the same bundle"


def test_what_there_was_no_time_to_measure_is_not_remembered(question, cache, monkeypatch):
    asked = []
    monkeypatch.setattr("models.tuning.search", lambda *_: asked.append(1) or Choice(Setting("fp32", 1), ()))
    assert question().precision == question().precision == Precision("cpu", "fp32", 1)
    assert len(asked) == 2
    assert not cache.exists()


def test_batches_keep_to_the_memory_and_to_the_unit(question, monkeypatch):
    asked = []
    monkeypatch.setattr("models.tuning.search", lambda _, f, b, *__: asked.append(b) or Choice(Setting("fp32", 1), ()))
    window = 64**2 * activation_bytes([read_card(Path(question.bundles[0]))], "fp32") / tuning.MEMORY_SHARE
    for free in (0.0, 2.5 * window, 5 * window):
        monkeypatch.setattr(tuning, "free_bytes", lambda device, threads, free=free: free)
        question()
    replace(question, unit_windows=1)()
    assert asked == [(1,), (1, 2), (1, 2, 4), (1,)]


def test_what_is_remembered_is_recalled(cache):
    remember(cache / "a.json", FOUND, {"tile_px": 512})
    assert recall(cache / "a.json") == replace(FOUND, seconds=0.0)
    assert [file.name for file in cache.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"precision": 3, "trials": []}',
        '{"precision": {"device": "cpu", "precision": "bf16", "batch": 0}, "trials": []}',
        '{"precision": {"device": "cpu", "precision": "int4", "batch": 1}, "trials": []}',
        '{"precision": {"device": "tpu", "precision": "bf16", "batch": 1}, "trials": []}',
        '{"precision": {"device": "cpu", "precision": "bf16", "batch": "1"}, "trials": []}',
    ],
)
def test_a_broken_file_is_no_answer_and_is_replaced(cache, text):
    cache.mkdir(parents=True)
    (cache / "a.json").write_text(text)
    assert recall(cache / "a.json") is None
    remember(cache / "a.json", FOUND, {})
    assert recall(cache / "a.json") is not None


def test_many_may_remember_at_once(cache):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: remember(cache / "a.json", FOUND, {"x": "y" * 10_000}), range(40)))
    assert recall(cache / "a.json") is not None
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember(cache_folder() / "a.json", FOUND, {})
    assert recall(cache_folder() / "a.json") is None


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_without_a_folder_of_its_own_the_cache_is_the_user_s(monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert cache_folder() == Path.home() / ".cache" / "sandan" / "tuning"
