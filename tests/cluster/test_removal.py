"""Whole folders go; what has other names, or lies behind a link, stays; bytes are those that come free."""

import os
from pathlib import Path

import pytest

from cluster.removal import bytes_below, remove_folder
from cluster.storage import Storage, StorageError


def write(folder: Path, name: str, size: int) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_a_folder_goes_with_all_that_listings_hide(tmp_path):
    storage = Storage(str(tmp_path))
    for name, size in (("a/b/c", 5), ("a/b/d#123", 7), ("a/.e.partial", 11), ("ab/c", 13)):
        write(tmp_path, name, size)
    (tmp_path / "a" / "empty").mkdir()
    assert bytes_below(storage, ["a", "absent"]) == 23
    assert remove_folder(storage, "a") == 23
    assert [path.name for path in tmp_path.iterdir()] == ["ab"]
    assert remove_folder(storage, "a") == bytes_below(storage, ["a"]) == 0
    assert remove_folder(Storage(str(tmp_path / "absent")), "a") == 0


def test_a_file_with_several_names_frees_its_bytes_with_the_last(tmp_path):
    storage = Storage(str(tmp_path))
    first = write(tmp_path, "old/c", 10)
    for name in ("older", "kept"):
        (tmp_path / name).mkdir()
        os.link(first, tmp_path / name / "c")
    write(tmp_path, "old/own", 3)
    assert [bytes_below(storage, names) for names in (["old"], ["old", "older"], ["old", "older", "kept"])] == [
        3,
        3,
        13,
    ]
    assert [remove_folder(storage, name) for name in ("old", "older", "kept")] == [3, 0, 10]


def test_links_go_and_what_they_point_to_stays(tmp_path):
    storage = Storage(str(tmp_path / "run"))
    target = write(tmp_path, "elsewhere/file", 9)
    (tmp_path / "run" / "a").mkdir(parents=True)
    (tmp_path / "run" / "a" / "folder").symlink_to(target.parent, target_is_directory=True)
    (tmp_path / "run" / "a" / "file").symlink_to(target)
    (tmp_path / "run" / "b").symlink_to(target.parent, target_is_directory=True)
    remove_folder(storage, "a")
    remove_folder(storage, "b")
    assert target.read_bytes() == b"x" * 9
    assert list((tmp_path / "run").iterdir()) == []


def test_what_may_not_be_removed_says_so(tmp_path, monkeypatch):
    write(tmp_path, "a/b", 1)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match=r"asked to remove .*/a; found .*Permission denied"):
        remove_folder(Storage(str(tmp_path)), "a")
