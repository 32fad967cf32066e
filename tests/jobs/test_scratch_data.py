"""Photos that are given: forms that are known, and what is said of others before anything starts."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from jobs.reproduce import main
from jobs.scratch_data import given_dataset, source_alone
from tiler.synthetic.scratches import ScratchWorld, write_scratches


def photo(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 36, 3), np.uint8)).save(path)


def annotations(path, values, count: int = 12) -> None:
    """Write photos, and a JSON of VIA in which every other photo has a region of each value."""
    told = []
    for index in range(count):
        photo(path.parent / f"{index}.png", index)
        shape = {"name": "rect", "x": 3, "y": 4, "width": 9, "height": 5}
        regions = [{"shape_attributes": shape, "region_attributes": {"cls": value}} for value in values]
        told.append({"filename": f"{index}.png", "size": 1, "regions": regions if index % 2 else []})
    path.write_text(json.dumps(told))


def test_a_folder_with_one_annotation_is_a_source(tmp_path):
    annotations(tmp_path / "images" / "via.json", ["roue", "Rayure"])
    found = given_dataset(str(tmp_path))
    assert found["root"] == str(tmp_path / "images")
    assert (found["masks"]["attribute"], found["masks"]["classes"]) == ("cls", {"Rayure": 1})
    assert found["split"]["test"] > 0


def test_a_scratch_world_has_two_sources(tmp_path):
    write_scratches(ScratchWorld(1, 64, (1, 1)), tmp_path)
    assert [one["name"] for one in given_dataset(str(tmp_path))["collections"]] == ["company", "public"]


def test_a_run_yaml_says_the_rest(tmp_path):
    annotations(tmp_path / "images" / "via.json", ["kratzer"])
    masks = {"kind": "via", "file": str(tmp_path / "images/via.json"), "attribute": "cls", "classes": {"kratzer": 1}}
    dataset = {"layout": "images", "root": str(tmp_path / "images"), "masks": masks, "split": {"test": 0.4}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"out": "out", "dataset": dataset}))
    found = given_dataset(str(tmp_path / "run.yaml"))
    assert found["masks"]["classes"] == {"kratzer": 1}
    assert found["split"] == {"test": 0.4}


def test_the_source_that_is_alone():
    assert source_alone(["public", "company"], None) == "company"
    assert source_alone(["", ""], None) == ""
    assert source_alone(["ours", "theirs"], "theirs") == "theirs"
    with pytest.raises(ValueError, match="say with --company which one"):
        source_alone(["ours", "theirs"], None)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Write data that cannot be used."""
    tmp_path = tmp_path_factory.mktemp("places")
    photo(tmp_path / "bare" / "a.png", 1)
    annotations(tmp_path / "wheels" / "via.json", ["roue"])
    annotations(tmp_path / "twice" / "one" / "via.json", ["scratch"])
    annotations(tmp_path / "twice" / "two" / "via.json", ["scratch"])
    write_scratches(ScratchWorld(1, 64, (6, 6)), tmp_path / "world")
    root = str(tmp_path / "bare")
    runs = {
        "unmasked": {"layout": "images", "root": root},
        "gray": {
            "layout": "images",
            "root": root,
            "preprocess": ["gray"],
            "masks": {"kind": "png", "without": "background"},
        },
        "tiles": {"root": root},
        "few": {
            "layout": "images",
            "root": root,
            "masks": {"kind": "png", "without": "background"},
        },
        "classes": {
            "layout": "images",
            "root": str(tmp_path / "wheels"),
            "masks": {
                "kind": "via",
                "file": str(tmp_path / "wheels/via.json"),
                "attribute": "cls",
                "classes": {"roue": 2},
            },
        },
    }
    for name, dataset in runs.items():
        sensor = {"sensor": "SN10"} if name == "tiles" else {}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"out": "out", "dataset": dataset, **sensor}))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "gone"], "--data gone is neither a folder nor a run YAML"),
        (["--data", "bare"], "holds no annotations of VIA, and no other masks; give company/ and public/"),
        (["--data", "twice"], "holds 2 annotations of VIA"),
        (["--data", "wheels"], "no region is called scratch or rayure, found {'cls': ['roue']}"),
        (["--data", "unmasked.yaml"], "a collection has no `masks`"),
        (["--data", "gray.yaml"], "leave `preprocess` out"),
        (["--data", "tiles.yaml"], "names no `dataset` of `layout: images`"),
        (["--data", "classes.yaml"], "masks hold the classes [0, 2]; scratches are class 1"),
        (
            ["--data", "world", "--company", "compny"],
            "--company compny: the photos come from ['company', 'public']; did",
        ),
        (["--data", "few.yaml"], "no photo is for test and validation; 1 photos are there"),
        (["--company", "ours"], "--company ours: the photos come from ['company', 'public']"),
        (["--workers", "2"], "--workers wants a number from 1 and --engine ray"),
        (["--seed", "-1"], "--seed -1: give a whole number from 0"),
        (["--goal", "1.5"], "--goal 1.5: an IoU lies between 0 and 1"),
    ],
)
def test_a_bad_command_is_refused_before_anything_starts(places, monkeypatch, capsys, words, told):
    monkeypatch.chdir(places)
    before = sorted(places.rglob("*"))
    assert main(["scratch", *words]) == 2
    assert told in capsys.readouterr().err
    assert sorted(places.rglob("*")) == before
