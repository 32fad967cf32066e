"""`sandan submit` from the command line: what is checked, what is sent, what it ends with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import following
from cluster.submission import Attempt, Lost, Refused
from jobs import submit
from jobs.cli import JOBS
from jobs.estimate import format_bytes
from tests.cluster.job_servers import FakeJobs

TOKEN = "verysecret"


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


class Place:
    """A folder with a run, and a cluster that is not there."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        self.jobs = FakeJobs(log="a line of the driver\n", begun=Attempt("", "SUCCEEDED", 0))
        self.sent: dict[str, Any] = {}
        self.files: list[str] = []
        self.write({"out": "s3://maps/june", "scenes": "/shared/*.tif", "limits": {"grace_s": 40.5}})
        for name in (".env", "token", "own/code.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(TOKEN)
        patch.chdir(folder)
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(folder / "token"))
        patch.setattr(submit, "check_token", lambda address, without_token, environment: True)
        patch.setattr(submit, "connect_jobs", self.connect)
        patch.setattr(following.time, "sleep", lambda s: None)

    def write(self, settings: Mapping[str, Any], name: str = "map.yaml") -> None:
        (self.folder / name).write_text(yaml.safe_dump(dict(settings)))

    def connect(self, address: str, with_token: bool, work: Mapping[str, Any]) -> FakeJobs:
        self.sent = {"address": address, **work}
        archive = Path(work["runtime_env"]["working_dir"])
        if archive.exists():
            with zipfile.ZipFile(archive) as opened:
                self.files = opened.namelist()
                assert TOKEN.encode() not in opened.read("map.yaml")
        return self.jobs

    def ends(self, state: str, code: int | None = None, message: str = "") -> None:
        """Let attempts end so as soon as they are submitted."""
        self.jobs.begun = Attempt("", state, code, message)

    def at_work(self) -> None:
        """Let attempts work until they are stopped."""
        self.jobs.begun = Attempt("", "RUNNING")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_a_run_is_sent_and_followed(place: Place, capsys: pytest.CaptureFixture) -> None:
    assert submit.main(["map.yaml", "--set", "engine.workers=3", "--address", "http://head:8265"]) == 0
    told = capsys.readouterr()
    assert told.out == "a line of the driver\n"
    [id] = place.jobs.submitted
    assert id.startswith("sandan-map-")
    assert id.endswith("-a1")
    size = sum((place.folder / name).stat().st_size for name in ("map.yaml", "own/code.py"))
    first, *others = told.err.splitlines()
    assert first.startswith(f"sandan submit: 2 files, {format_bytes(size)} (map.yaml ")
    assert first.endswith(") for http://head:8265")
    assert others == [f"sandan submit: {id} submitted", f"sandan submit: {id} succeeded, exit code 0"]
    assert place.files == ["map.yaml", "own/code.py"]
    assert place.sent["address"] == "http://head:8265"
    assert place.sent["entrypoint"] == "exec python -m jobs.map map.yaml --set engine.workers=3"
    assert place.sent["runtime_env"]["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "71"}
    assert place.sent["metadata"] == {"sandan": "map", "run": id.removesuffix("-a1"), "out": "s3://maps/june"}
    assert TOKEN not in told.err


def test_the_same_command_does_nothing_new(place: Place, capsys: pytest.CaptureFixture) -> None:
    assert [submit.main(["map.yaml"]) for _ in range(3)] == [0, 0, 0]
    assert len(place.jobs.submitted) == 1
    assert "succeeded: nothing to do; --again submits it anew" in capsys.readouterr().err
    assert submit.main(["map.yaml", "--again"]) == 0
    assert [id[-3:] for id in place.jobs.submitted] == ["-a1", "-a2"]


@pytest.mark.parametrize(
    ("state", "code", "ends"), [("FAILED", 3, 3), ("FAILED", 4, 4), ("FAILED", None, 1), ("STOPPED", None, 143)]
)
def test_the_driver_s_code_is_the_command_s(
    place: Place, capsys: pytest.CaptureFixture, state: str, code: int | None, ends: int
) -> None:
    place.ends(state, code, "what Ray says of it")
    assert [submit.main(["map.yaml"]) for _ in range(2)] == [ends, ends]
    assert [id[-3:] for id in place.jobs.submitted] == ["-a1", "-a2"]
    told = capsys.readouterr().err
    assert f"{state.lower()}{': what Ray says of it' if ends == 1 else ''}, exit code {ends}; the same" in told


def test_a_run_at_work_is_followed_not_doubled(place: Place, capsys: pytest.CaptureFixture) -> None:
    place.at_work()
    assert submit.main(["map.yaml", "--no-wait"]) == 0
    [id] = place.jobs.submitted
    place.jobs.log = "more\n"
    place.jobs.tick = lambda jobs: setattr(jobs, "tick", lambda jobs: jobs.end(id, "FAILED", 3))  # while it is followed
    assert submit.main(["map.yaml"]) == 3
    assert place.jobs.submitted == [id]
    assert f"{id} is at work: following it" in capsys.readouterr().err


def test_stop(place: Place, capsys: pytest.CaptureFixture) -> None:
    assert submit.main(["map.yaml", "--stop"]) == 0
    assert "is not at work" in capsys.readouterr().err
    place.at_work()
    submit.main(["map.yaml", "--no-wait"])
    assert submit.main(["map.yaml", "--stop"]) == 0
    assert place.jobs.stopped == place.jobs.submitted
    told = capsys.readouterr()
    assert "stopped" in told.err.splitlines()[-1]
    assert told.out == "a line of the driver\n"


def interrupting(times: int) -> Callable[[FakeJobs], None]:
    """Ctrl-C at the first questions after the run was submitted."""
    left = [times]

    def tick(jobs: FakeJobs) -> None:
        if jobs.submitted and left[0]:
            left[0] -= 1
            raise KeyboardInterrupt

    return tick


@pytest.mark.parametrize(
    ("typed", "code", "stopped"), [("d\n", 130, 0), ("s\n", 143, 1), ("\ns\n", 143, 1), ("", 130, 0), ("s", 130, 0)]
)
def test_ctrl_c_asks_at_a_terminal(
    place: Place, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, stopped: int
) -> None:
    place.at_work()
    place.jobs.tick = interrupting(2 if "\n" in typed[:-1] else 1)
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", Terminal())
    assert submit.main(["map.yaml"]) == code
    assert len(place.jobs.stopped) == stopped


def test_ctrl_c_detaches_where_there_is_no_terminal(place: Place, capsys: pytest.CaptureFixture) -> None:
    place.at_work()
    place.jobs.tick = interrupting(1)
    assert submit.main(["map.yaml"]) == 130
    assert place.jobs.stopped == []
    assert "goes on; the same command follows it, and with --stop ends it" in capsys.readouterr().err


def test_the_name_is_that_of_what_is_asked_for_not_of_its_spelling(place: Place) -> None:
    place.write({"extends": "map.yaml"}, "same.yaml")
    place.write({"extends": "map.yaml", "limits": {"hours": 3}}, "other.yaml")
    for words in (["map.yaml"], ["map", "same.yaml"], ["other.yaml", "--set", "limits.hours=null"]):
        submit.main(words)
    assert len(place.jobs.submitted) == 1
    submit.main(["other.yaml"])
    submit.main(["ingest", "map.yaml"])
    names = {id.rsplit("-", 2)[0] for id in place.jobs.submitted}
    assert len(place.jobs.submitted) == 3
    assert names == {"sandan-map", "sandan-ingest"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.yaml"], "configuration nowhere.yaml does not exist"),
        (["mapp", "map.yaml"], "asked for mapp; say at most one job, of map, ingest"),
        (["map", "map", "map.yaml"], "asked for map map; say at most one job"),
        (["map.yaml", "--set", "infre.tta=none"], "unknown key 'infre'; did you mean 'infer'?"),
        (["map.yaml", "--set", "out=runs/x"], "out: 'runs/x' is relative"),
        (["map.yaml", "--address", "head:6379"], "looks like http://HEAD:8265"),
        (
            ["map.yaml", "--working-dir", "own"],
            "map.yaml' is not among what is sent",
        ),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_sent(
    place: Place, capsys: pytest.CaptureFixture, words: list[str], told: str
) -> None:
    assert submit.main(words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.splitlines()[-1].startswith("sandan submit: ")
    assert not place.sent or not place.jobs.submitted


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("no token"), 2), (Lost("nobody there"), 1), (Refused("wrong token"), 2)]
)
def test_a_cluster_out_of_reach_or_without_token(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: Exception, code: int
) -> None:
    def refuse(*words: Any) -> bool:
        raise error

    monkeypatch.setattr(submit, "check_token", refuse)
    assert submit.main(["map.yaml"]) == code
    assert str(error) in capsys.readouterr().err
    assert not place.sent


def test_a_server_that_forgets_the_run_is_a_fault(place: Place, capsys: pytest.CaptureFixture) -> None:
    place.at_work()
    place.jobs.tick = lambda jobs: jobs.known.clear()
    assert submit.main(["map.yaml"]) == 1
    assert "does not know" in capsys.readouterr().err


def test_a_dry_run_names_what_would_be_sent(place: Place, capsys: pytest.CaptureFixture) -> None:
    (place.folder / "link").symlink_to(place.folder / "token")
    assert submit.main(["map.yaml", "--dry-run", "--set", "engine.kind=serial"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[:2] == ["map.yaml", "own/code.py"]
    assert "python -m jobs.map map.yaml --set engine.kind=serial" in told.out
    assert "link is a link, and not sent" in told.err
    assert "all of it runs on the head" in told.err
    assert not place.sent


def test_a_configuration_of_a_subfolder_is_found_from_its_root(place: Place) -> None:
    place.write({"extends": "../map.yaml"}, "own/june.yaml")
    place.patch.chdir(place.folder / "own")
    assert submit.main(["june.yaml", "--working-dir", ".."]) == 0
    assert place.sent["entrypoint"] == "exec python -m jobs.map own/june.yaml"
    assert set(place.files) == {"map.yaml", "own/code.py", "own/june.yaml"}


@pytest.mark.parametrize("name", JOBS)
def test_every_job_reads_the_kind_of_its_own(name: str) -> None:
    source = (Path(submit.__file__).parent / f"{name}.py").read_text()
    assert ("kind=recipe_kind" in source, "kind=RunConfig" in source) == (name == "train", name != "train")


def test_help(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        submit.main(["--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert "examples:\n  sandan submit map.yaml --address http://127.0.0.1:8265" in told
    assert "exit codes: those of the job itself" in told
