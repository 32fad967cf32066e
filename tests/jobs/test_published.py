"""The pointer to the current map: switched at once, followed by a link, whatever was cut short before."""

import json
import os
import threading
from pathlib import Path

from cluster.storage import Storage
from jobs.published import current, new_folder, show, switch


def publish(storage: Storage, key: str, text: str) -> None:
    with new_folder(storage, key) as folder:
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(text)
        (folder / "models").mkdir(exist_ok=True)
        (folder / "models" / "c.txt").write_text(text)
    switch(storage, key, {"files": ["a.txt"]})


def read(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.rglob("*.txt")}


def test_nothing_is_published_at_first(tmp_path):
    assert current(Storage(str(tmp_path / "absent"))) == {}


def test_the_pointer_and_the_link_show_the_last_map(tmp_path):
    storage = Storage(str(tmp_path))
    for key, earlier in (("k1", []), ("k2", ["k1"]), ("k1", ["k2"]), ("k1", ["k2"])):
        publish(storage, key, key)
        pointer = {"key": key, "folder": f"maps/{key}", "files": ["a.txt"], "earlier": earlier}
        assert current(storage) == pointer
        assert show(storage) == f"{tmp_path}/map"
        assert read(tmp_path / "map") == {key}
    assert read(tmp_path / "maps" / "k2") == {"k2"}  # whoever reads it still can
    assert {p.name for p in tmp_path.iterdir()} == {"map", "map.json", "maps"}


def test_a_publication_that_ends_early_is_not_seen(tmp_path):
    storage = Storage(str(tmp_path))
    publish(storage, "old", "old")
    show(storage)
    folder = new_folder(storage, "new")
    (folder.__enter__() / "a.txt").write_text("half")
    del folder  # killed here
    assert current(storage)["key"] == "old"
    assert show(storage) == f"{tmp_path}/map"
    assert read(tmp_path / "map") == {"old"}


def test_a_link_that_was_not_switched_is_made_up_for(tmp_path):
    storage = Storage(str(tmp_path))
    publish(storage, "old", "old")
    show(storage)
    publish(storage, "new", "new")  # killed before the link
    assert read(tmp_path / "map") == {"old"}
    show(storage)
    assert read(tmp_path / "map") == {"new"}


def test_without_links_the_folder_itself_is_shown(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Operation not permitted")

    storage = Storage(str(tmp_path))
    publish(storage, "k", "k")
    monkeypatch.setattr(os, "symlink", refuse)
    assert show(storage) == f"{tmp_path}/maps/k"


def test_a_folder_in_the_place_of_the_link_is_left_alone(tmp_path):
    storage = Storage(str(tmp_path))
    publish(storage, "k", "k")
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "mine.txt").write_text("mine")
    assert show(storage) == f"{tmp_path}/maps/k"
    assert read(tmp_path / "map") == {"mine"}


def test_readers_see_one_map_or_the_other(tmp_path):
    storage = Storage(str(tmp_path))
    for key in ("even", "odd"):
        publish(storage, key, key)
    seen: list[set[str]] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            pointer = json.loads((tmp_path / "map.json").read_bytes())
            seen.append(read(tmp_path / pointer["folder"]))
            folder = (tmp_path / "map").resolve()  # followed once, as a program does that opens a folder
            seen.append(read(folder))

    show(storage)
    reader = threading.Thread(target=look)
    reader.start()
    for turn in range(60):
        switch(storage, ("even", "odd")[turn % 2], {"files": []})
        show(storage)
    stop.set()
    reader.join()
    assert {"even"} in seen
    assert {"odd"} in seen
    assert all(one in ({"even"}, {"odd"}) for one in seen)
