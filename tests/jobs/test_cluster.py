"""`sandan cluster`: files rendered and checked from the command line; the shipped ones are those that it renders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from jobs import cluster as job
from tests.cluster.deployment.test_check_kubernetes import SCHEMAS, needs_schemas

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "cluster" / "cluster.yaml"


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> Path:
    assert job.main(["render", str(CONFIG), "--to", str(tmp_path)]) == 0
    told = capsys.readouterr().out.split()
    assert {Path(name) for name in told} == {path for path in tmp_path.rglob("*") if path.is_file()}
    return tmp_path


def test_the_shipped_files_are_what_is_rendered(folder: Path) -> None:
    for file in (path for path in folder.rglob("*") if path.is_file()):
        shipped = CONFIG.parent / file.relative_to(folder)
        assert shipped.read_text() == file.read_text(), f"run: sandan cluster render {CONFIG} --to {CONFIG.parent}"


@needs_schemas
def test_what_is_rendered_passes_the_check(folder: Path, capsys: pytest.CaptureFixture) -> None:
    files = [str(path) for path in sorted(folder.rglob("*.yaml"))]
    assert job.main(["check", *files, "--schemas", str(SCHEMAS)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{file}: ok" for file in files]


def test_a_broken_file_is_told_and_the_others_are_checked(folder: Path, capsys: pytest.CaptureFixture) -> None:
    broken = folder / "aws.yaml"
    config = yaml.safe_load(broken.read_text())
    config["available_node_types"]["head"]["resources"] = {"CPU": 2}
    broken.write_text(yaml.safe_dump(config))
    (folder / "no.yaml").write_text("a: [")
    (folder / "empty.yaml").write_text("# nothing\n")
    names = ["aws.yaml", "gcp.yaml", "no.yaml", "empty.yaml"]
    assert job.main(["check", *(str(folder / name) for name in names)]) == 3
    told = capsys.readouterr().out
    assert "aws.yaml: the head (head) has CPUs" in told
    assert "gcp.yaml: ok" in told
    assert "no.yaml: is no YAML" in told
    assert "empty.yaml: holds nothing" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["render", "nowhere.yaml", "--to", "x"], "nowhere.yaml does not exist"),
        (["check", "nowhere.yaml"], "nowhere.yaml"),
        (["check", str(CONFIG.parent / "kuberay" / "raycluster.yaml")], "give the folder of KubeRay's schemas"),
    ],
)
def test_bad_input_is_said_in_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture) -> None:
    assert job.main(words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for name in [name for name in sys.modules if name.startswith("botocore")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    assert job.main(["check", str(CONFIG.parent / "aws.yaml")]) == 2
    assert "needs botocore" in capsys.readouterr().err


def test_an_unknown_key_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = yaml.safe_load(CONFIG.read_text())
    config["aws"]["regoin"] = config["aws"].pop("region")
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    assert job.main(["render", str(tmp_path / "cluster.yaml"), "--to", str(tmp_path / "out")]) == 2
    assert "unknown key 'aws.regoin'; did you mean 'region'?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
