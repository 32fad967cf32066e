"""Storage keeps one contract on a disk and in an object store."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.storage import Storage, StorageError
from tests.servers import object_store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store("sandan-test") as address:
        yield address


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "not yet" / "made"))
    # A folder of its own in one bucket, so that tests do not see each other.
    return Storage(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def test_whole_objects_come_back_and_are_replaced(storage: Storage) -> None:
    storage.put("runs/a=1/x.json", b"first, longer")
    storage.put("runs/a=1/x.json", b"second")
    assert storage.get("runs/a=1/x.json") == b"second"


def test_missing_things_are_missing(storage: Storage) -> None:
    assert not storage.exists("no")
    assert list(storage.list()) == []
    storage.delete("no")
    with pytest.raises(FileNotFoundError, match="no"):
        storage.get("no")
    storage.put("yes", b"")
    with pytest.raises(FileNotFoundError, match="asked to read"):
        storage.get("no")
    storage.delete("no")
    assert storage.get("yes") == b""


def test_an_object_becomes_a_file_that_was_not_there(storage: Storage, tmp_path: Path) -> None:
    data = os.urandom(1_000_001)
    storage.put("a/b.bin", data)
    storage.get_file("a/b.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    with pytest.raises(FileNotFoundError, match="asked to download"):
        storage.get_file("a/none.bin", tmp_path / "other")


def test_create_is_won_once(storage: Storage) -> None:
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(storage.create("m/one", b"%d" % i))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    before = storage.get("m/one")
    assert storage.create("m/one", b"late") is False
    assert storage.get("m/one") == before


def test_list_is_by_folder_and_deep(storage: Storage) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "4"):
        storage.put(key, b"x")
    assert sorted(storage.list()) == ["4", "a/1", "a/b/2", "ab/3"]
    assert sorted(storage.list("a")) == sorted(storage.list("a/")) == ["a/1", "a/b/2"]
    assert sorted(storage.child("a").list()) == ["1", "b/2"]
    assert list(storage.list("zz")) == []
    assert list(storage.children()) == ["4"]
    assert list(storage.children("a")) == list(storage.children("a/")) == ["a/1"]
    assert list(storage.child("a").children("b")) == ["b/2"]
    assert list(storage.children("zz")) == list(storage.child("zz").children()) == []


def test_delete_and_exists(storage: Storage) -> None:
    storage.put("a/b", b"x")
    assert storage.exists("a/b")
    assert not storage.exists("a")
    storage.delete("a/b")
    assert not storage.exists("a/b")


@pytest.mark.parametrize("move", [False, True])
def test_files_are_uploaded_whole(storage: Storage, tmp_path: Path, move: bool) -> None:
    source = tmp_path / "big"
    data = os.urandom(7_000_001)
    source.write_bytes(data)
    storage.put_file("deep/copy", source, move=move)
    assert storage.get("deep/copy") == data
    assert source.exists() is not move
    assert list(storage.list()) == ["deep/copy"]


def test_copies_are_objects_of_their_own(storage: Storage) -> None:
    storage.put("a/one", b"first")
    storage.copy("a/one", "b/c/two")
    storage.put("a/one", b"second")
    assert (storage.get("a/one"), storage.get("b/c/two")) == (b"second", b"first")
    storage.copy("a/one", "b/c/two")
    assert storage.get("b/c/two") == b"second"
    storage.copy("absent", "b/three")
    assert not storage.exists("b/three")
    assert sorted(storage.folders()) == ["a", "b"]
    assert list(storage.folders("b")) == ["c"]
    assert list(storage.folders("absent")) == []


def test_survives_a_trip_to_another_process(storage: Storage) -> None:
    storage.put("k", b"v")
    there = pickle.loads(pickle.dumps(storage))
    assert there == storage
    assert there.get("k") == b"v"


def test_odd_keys_are_refused(storage: Storage) -> None:
    for key in ("../up", "a//b", "/root", "a#1", "per%20cent", "tail/", "b\\c", "."):
        with pytest.raises(ValueError, match="use letters"):
            storage.put(key, b"")
    for key in ("plain", "산단/é = 1,2+3@4.json", "a b"):
        storage.put(key, b"x")
        assert key in set(storage.list())


def test_paths_are_of_disks_only(tmp_path: Path) -> None:
    local = Storage(str(tmp_path))
    assert local.is_local
    assert local.path("a/b") == tmp_path / "a" / "b"
    assert local.path() == tmp_path
    assert Storage(f"file://{tmp_path}") == local
    with pytest.raises(ValueError, match="object store"):
        Storage("s3://bucket/x/").path("a")
    assert Storage("s3://bucket/x/").url == "s3://bucket/x"
    with pytest.raises(ValueError, match="known are paths and s3://, gs://"):
        Storage("ftp://host/x")


def test_relative_folders_are_made_absolute_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("runs")
    monkeypatch.chdir("/")
    assert storage.url == str(tmp_path / "runs")


def test_an_unusable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder, key in ((tmp_path, "file/x"), (tmp_path / "file", "x")):
        with pytest.raises(StorageError, match=r"asked to write .*file/x; found .*; check that"):
            Storage(str(folder)).put(key, b"")


def test_litter_of_a_killed_writer_is_not_listed(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.put("k.json", b"x")
    (tmp_path / "k.json#1").write_bytes(b"ha")
    assert list(storage.list()) == list(storage.children()) == ["k.json"]
