"""The published map of a run: found by folder or file, and said where there is none."""

import json

import pytest
import yaml

from cluster.storage import Storage
from jobs.published_runs import is_recorded, published, run_folder


def write(folder, pointer: str | None, record: str | None) -> str:
    folder.mkdir()
    if pointer is not None:
        (folder / "map.json").write_text(json.dumps({"key": pointer, "folder": f"maps/{pointer}"}))
    if record is not None:
        (folder / "run.json").write_text(json.dumps({"products": {"key": record}}))
    return str(folder)


def test_it_is_found_by_folder_and_by_file(tmp_path):
    out = write(tmp_path / "out", "a", "a")
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"out": "elsewhere", "scenes": "x.tif"}))
    assert run_folder(out) == out
    assert run_folder(str(config)) == "elsewhere"
    for found in (published(out), published(str(config), [f"out={out}"])):
        assert (found.out, found.pointer["key"], found.record["products"]["key"]) == (out, "a", "a")


@pytest.mark.parametrize(
    ("pointer", "record", "told"),
    [
        (None, None, "no published map yet: it is not the folder of a run"),
        ("a", None, "has a map but no run.json"),
        ("b", "a", "not that of the published map"),
    ],
)
def test_what_is_missing_is_said(tmp_path, pointer, record, told):
    out = write(tmp_path / "out", pointer, record)
    with pytest.raises(ValueError, match=told):
        published(out)
    assert not is_recorded(Storage(out), "b")


def test_changes_are_of_a_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder: leave it out"):
        run_folder(str(tmp_path), ["out=x"])
