"""What travels: code and configurations; never secrets, data, results, links, or what ignore files name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import package
from cluster.package import BULK, SECRETS, collect, write_zip

ROOT = Path(__file__).resolve().parents[2]


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return folder


def sample(pattern: str) -> str:
    """Return a file that a pattern of ours means."""
    name = pattern.strip("/").replace("*", "some")
    return f"{name}/inside" if pattern.endswith("/") else name


@pytest.mark.parametrize("pattern", [*SECRETS, *BULK])
def test_what_never_travels(tmp_path: Path, pattern: str) -> None:
    fill(tmp_path, sample(pattern), "code.py")
    assert list(collect(tmp_path).files) == ["code.py"]


@given(st.sampled_from(SECRETS), st.lists(st.sampled_from(["a", "jobs", "b.c"]), max_size=3))
@settings(max_examples=30, deadline=None)
def test_no_secret_travels_from_any_depth(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, at: list[str]
) -> None:
    folder = fill(tmp_path_factory.mktemp("f"), "/".join([*at, sample(pattern)]))
    (folder / ".gitignore").write_text("!*\n!.env\n")  # no ignore file can bring it back
    assert not collect(folder).files


def test_names_that_only_look_alike_travel(tmp_path: Path) -> None:
    names = ["jobs/data/table.csv", "environment.env.py", "keys.py", "monkey", "runs.yaml", "tests/runs/a.py"]
    assert sorted(collect(fill(tmp_path, *names)).files) == sorted(names)


def test_ignore_files_are_heeded_and_inner_ones_decide(tmp_path: Path) -> None:
    fill(tmp_path, "a.log", "big/x.bin", "in/a.log", "in/keep.log", "in/deep/b.log", "in/only/y.txt", "in/y.txt")
    (tmp_path / ".gitignore").write_text("*.log\n/big/\n")
    (tmp_path / "in" / ".gitignore").write_text("!keep.log\n")
    (tmp_path / "in" / ".rayignore").write_text("/only/\n")
    assert list(collect(tmp_path).files) == ["in/keep.log", "in/y.txt"]


def test_links_stay_and_are_named(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", "secret")
    inside = fill(tmp_path / "inside", "a.py")
    (inside / "file").symlink_to(outside / "secret")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    found = collect(inside)
    assert list(found.files) == ["a.py"]
    assert found.links == ("file", "folder", "loop")


def test_a_token_of_any_name_stays(tmp_path: Path) -> None:
    fill(tmp_path, "cluster.txt", "a.py")
    (tmp_path / "cluster.txt").chmod(0o600)
    assert list(collect(tmp_path, never=[tmp_path / "cluster.txt"]).files) == ["a.py"]


def test_too_much_is_refused_with_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.py")
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "s.tif").write_bytes(bytes(3 * 2**20))
    assert collect(tmp_path).size_bytes == 3 * 2**20 + len("content of a.py")
    monkeypatch.setattr(package, "LIMIT_BYTES", 2 * 2**20)
    with pytest.raises(
        ValueError, match=r"2 files of 3 MiB, Ray takes at most 2 MiB; largest are scenes 3.0 MiB, a.py"
    ):
        collect(tmp_path)


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="is no folder"):
        collect(tmp_path / "nowhere")


def test_the_archive_holds_the_files_and_equal_ones_are_equal(tmp_path: Path) -> None:
    first, second = (fill(tmp_path / name, "jobs/a.py", "b.yaml", ".env") for name in "xy")
    (second / "b.yaml").touch()
    write_zip(collect(first), tmp_path / "x.zip")
    write_zip(collect(second), tmp_path / "y.zip")
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "b.yaml": b"content of b.yaml",
            "jobs/a.py": b"content of jobs/a.py",
        }


def test_it_knows_what_it_holds(tmp_path: Path) -> None:
    found = collect(fill(tmp_path, "in/a", "in/b", "mixed/c", "mixed/.env", "d"))
    (tmp_path / "empty").mkdir()
    held = {name: found.holds(tmp_path / name) for name in ("in", "in/a", "mixed", "mixed/c", "mixed/.env", "d", "no")}
    assert held == {
        "in": True,
        "in/a": True,
        "mixed": False,
        "mixed/c": True,
        "mixed/.env": False,
        "d": True,
        "no": False,
    }
    assert found.holds(tmp_path / "mixed" / ".." / "d")
    assert not found.holds(tmp_path / "empty")
    assert not found.holds(tmp_path.parent / "d")


def test_a_plain_submission_leaves_the_same(tmp_path: Path) -> None:
    """Ray's own walk, by the `.rayignore` that this project ships."""
    from ray._private.runtime_env.packaging import _dir_travel

    shipped = (ROOT / ".rayignore").read_text()
    assert [line for line in shipped.splitlines() if not line.startswith("#")] == [*SECRETS, *BULK]
    fill(
        tmp_path, *(sample(pattern) for pattern in (*SECRETS, *BULK)), "jobs/a.py", "jobs/data/b", "deep/.env", "c.yaml"
    )
    (tmp_path / ".rayignore").write_text(shipped)
    seen: list[Path] = []
    _dir_travel(tmp_path, [], seen.append, include_gitignore=True)
    taken = {path.relative_to(tmp_path).as_posix() for path in seen if path.is_file()}
    assert taken - {".rayignore"} == set(collect(tmp_path).files) == {"jobs/a.py", "jobs/data/b", "c.yaml"}


def test_this_project_can_be_sent() -> None:
    files = collect(ROOT).files
    assert {"jobs/map.py", "jobs/templates/report.html.j2", "cluster/pool.py", "pyproject.toml"} <= files.keys()
    assert not [name for name in files if name.startswith((".git/", "runs/", ".venv/"))]
