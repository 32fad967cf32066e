"""Recipes of curation: what they say is what a command line says, and repeating one makes no new version."""

import argparse
import csv

import pytest
import yaml

from jobs import curate
from jobs.curate_parser import parser
from jobs.curate_recipe import CurateRecipe, Step
from jobs.shell import BAD_INPUT, DONE
from tests.jobs.curation_world import MANY, picture_run, write_pictures


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photos = write_pictures(folder / "files")
    return picture_run(folder), folder, photos


def recipe(folder, **values) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"task": "curate", **values}))
    return str(path)


def test_every_option_of_a_verb_is_a_setting_of_its_step():
    verbs = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for verb in set(verbs) - {"recipe"}:
        options = {action.dest for action in verbs[verb]._actions} - {"help", "config", "set", "dry_run"}
        fields = set(Step.model_fields[verb].annotation.__args__[0].model_fields)
        assert {"on" if name == "begin" else name for name in fields} == options, verb


def test_a_step_is_its_command_line_and_says_no_more_than_the_recipe():
    values = {
        "task": "curate",
        "run": "r.yaml",
        "steps": [
            {"report": {}},
            {"clean": {"begin": "all", "reducers": ["pca"], "encoder": {"ae": "m/ae", "vit": "m/vit"}, "by": "rule"}},
            {"filter": {"min_width": 30, "duplicates": "near"}},
            {"apply": {"versions": [1, 3]}},
        ],
    }
    found = [step.words("r.yaml") for step in CurateRecipe.model_validate(values).steps]
    assert found == [
        ["report", "r.yaml"],
        [
            "clean",
            "r.yaml",
            "--on=all",
            "--by=rule",
            "--encoder",
            "ae=m/ae",
            "--encoder",
            "vit=m/vit",
            "--reducers=pca",
        ],
        ["filter", "r.yaml", "--duplicates=near", "--min-width=30"],
        ["apply", "r.yaml", "--versions=1,3"],
    ]
    for words in found:
        assert parser().parse_args(words).verb == words[0]


def test_a_recipe_does_its_steps_and_repeating_it_makes_no_new_version(world, monkeypatch, capsys):
    monkeypatch.setattr("jobs.curate_report.write_report", lambda desk: {"verdicts": {}})
    run, folder, photos = world
    steps = [
        {"balance": {"begin": "all", "seed": 2}},
        {"clean": {"begin": "all", "reducers": ["mean_pool"], "by": "rule"}},
        {"apply": {}},
    ]
    path = recipe(folder, run=run, steps=steps)
    kept = []
    for again in (False, True):
        assert curate.main(["recipe", path]) == DONE
        assert ("already" in capsys.readouterr().out) == again
        versions = sorted(one.name for one in (folder / "out/curation").glob("[0-9]*"))
        assert versions == ["0001", "0002"]
        kept.append((folder / "out/curation/kept.csv").read_bytes())
    assert kept[0] == kept[1]
    with (folder / "out/curation/0002/removed.csv").open(newline="") as file:
        assert {row["id"] for row in csv.DictReader(file)} == photos
    assert len((folder / "out/curation/0001/removed.csv").read_text().splitlines()) - 1 == MANY - 10


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": []}, "at least 1"),
        ({"steps": [{"balance": {"sed": 1}}]}, "did you mean 'seed'"),
        ({"steps": [{"balance": {}, "report": {}}]}, "one verb with its settings"),
        ({"steps": [{"polish": {}}]}, "unknown key"),
        ({"train": ["nowhere.yaml"]}, "not there"),
        ({"run": "nowhere.yaml"}, "not there"),
        ({"steps": [{"clean": {"classes": ["suns"], "clusters": 40}}]}, "40 clusters of"),
    ],
)
def test_bad_recipes_are_one_sentence(world, change, told, capsys):
    run, folder, _ = world
    values = {"run": run, "steps": [{"report": {}}], **change}
    assert curate.main(["recipe", recipe(folder, **values)]) == BAD_INPUT
    assert told in capsys.readouterr().err
