"""A store that lets two writers win is found out before anything rests on it."""

import pytest

from cluster.storage import Storage, StorageError
from cluster.store_check import check_create
from tests.store_proxy import store_proxy


@pytest.fixture(scope="module")
def store():
    with store_proxy("checked") as proxy:
        yield proxy


def test_a_store_that_obeys(store, tmp_path):
    check_create(Storage(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    store.counts()
    check_create(Storage(f"{store.url}/run"))
    assert sum(count["requests"] for count in store.counts().values()) == 4
    assert list(Storage(f"{store.url}/run").list()) == []


def test_a_store_that_does_not(store):
    store.harm("careless", times=2)
    with pytest.raises(StorageError, match="does not obey conditional puts"):
        check_create(Storage(f"{store.url}/run"))
    assert list(Storage(f"{store.url}/run").list()) == []


def test_a_store_that_is_not_there(store):
    with pytest.raises(FileNotFoundError, match="asked to create s3://elsewhere/run/probe-"):
        check_create(Storage("s3://elsewhere/run"))


def test_a_create_whose_answer_is_lost_is_won_all_the_same(store):
    """The client asks again, and is told that the object exists: by itself."""
    storage = Storage(f"{store.url}/run")
    store.harm("lost_put")
    assert storage.create("lock.json", b"mine") is True
    assert store.left() == 0
    assert storage.create("lock.json", b"another's") is False
    assert storage.get("lock.json") == b"mine"
