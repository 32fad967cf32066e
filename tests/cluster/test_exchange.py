"""Compare and swap keeps one contract on a disk and in an object store: of all who saw the same, one wins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from obstore.exceptions import GenericError

from cluster.exchange import exchange
from cluster.storage import Storage, StorageError
from tests.servers import object_store


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store("exchanged") as address:
        yield address


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return Storage(str(tmp_path / "product"))
    return Storage(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


def test_what_was_seen_is_replaced_and_nothing_else(storage):
    assert not exchange(storage, "latest.json", b"2", b"1")  # there is none
    assert exchange(storage, "latest.json", b"1", None)
    assert not exchange(storage, "latest.json", b"2", None)
    assert not exchange(storage, "latest.json", b"2", b"0")
    assert storage.get("latest.json") == b"1"
    assert exchange(storage, "latest.json", b"2", b"1")
    assert storage.get("latest.json") == b"2"


def test_of_many_that_saw_the_same_one_wins(storage):
    storage.put("latest.json", b"before")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: exchange(storage, "latest.json", str(n).encode(), b"before"), range(16)))
    assert sum(won) == 1
    assert storage.get("latest.json") == str(won.index(True)).encode()


def test_a_store_that_does_not_answer_is_said(bucket, monkeypatch):
    def silent(*_, **__):
        raise GenericError("no route to it\nand a page of Rust")

    monkeypatch.setattr("cluster.exchange.obstore.get", silent)
    with pytest.raises(StorageError, match=r"exchange s3://exchanged/gone/latest.json; found no route to it$"):
        exchange(Storage(f"{bucket}/gone"), "latest.json", b"2", b"1")
