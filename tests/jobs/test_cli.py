"""The console command: a table of jobs, help with examples, the nearest name for a wrong one."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import JOBS, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(capsys, words):
    assert main(words) == 0
    told = capsys.readouterr().out
    for name, summary in JOBS.items():
        assert f"  {name:11} {summary}" in told
    assert "examples:" in told


def test_no_command_is_a_mistake_that_shows_help(capsys):
    assert main([]) == 2
    assert "usage: sandan" in capsys.readouterr().out


def test_version(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sandan {version('sandan')}\n"


@pytest.mark.parametrize(("typed", "near"), [("mapp", "map"), ("injest", "ingest"), ("trian", "train")])
def test_a_wrong_command_is_answered_with_the_nearest(capsys, typed, near):
    assert main([typed, "x.yaml"]) == 2
    told = capsys.readouterr().err
    assert f"unknown command {typed!r}; did you mean {near!r}?" in told
    assert told.count("\n") == 1


def test_a_wrong_command_far_from_all_lists_them(capsys):
    assert main(["zzzz"]) == 2
    told = capsys.readouterr().err
    assert "did you mean" not in told
    assert all(name in told for name in JOBS)


@pytest.mark.parametrize("name", JOBS)
def test_each_command_shows_an_example(capsys, name):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert f"examples:\n  sandan {name} " in told
    assert f"usage: sandan {name}" in told
    for option in ("--set", "--dry-run", "CONFIG.yaml"):
        assert option in told


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_a_module_of_its_name(name):
    module = importlib.import_module(f"jobs.{name}")
    assert module.JOB.name == name
    first = module.__doc__.splitlines()
    assert first[0].lower().startswith(name)
    assert any(line.startswith(f"python -m jobs.{name} ") for line in first)


@pytest.mark.parametrize("name", JOBS)
def test_every_job_says_where_a_configuration_is_not(capsys, name):
    assert main([name, "nowhere.yaml"]) == 2
    assert f"sandan {name}: configuration nowhere.yaml does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["-m", "jobs.ingest", "--help"], ["-m", "jobs.cli", "evaluate", "--help"], ["-m", "jobs.map", "gone.yaml"]],
)
def test_modules_are_commands(words):
    """Through the interpreter, as `ray job submit` calls them: the code is the process's own."""
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == (2 if words[-1] == "gone.yaml" else 0)
    assert "usage: sandan" in done.stdout or "gone.yaml does not exist" in done.stderr
