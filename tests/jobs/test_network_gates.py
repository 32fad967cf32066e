"""Gates on what was trained: below them the command ends with 3, the bundle stays, and it is the same without them."""

import json

import pytest

from jobs.gates_config import NetworkGates
from jobs.network_gates import judge
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from jobs.train import main
from tests.jobs.recipes import Recipe
from tests.jobs.test_train_images import ImageRecipe
from tests.jobs.worlds import files_below


def test_bounds_are_reached_where_they_are_met_and_what_is_not_known_is_not_passed():
    gates = NetworkGates(least={"mIoU": 0.2, "dice": 0.31, "iou_fg": 0.1}, most={"mse": 4.0, "ece": 0.05})
    found = judge(gates, {"mIoU": 0.2, "dice": 0.3, "mse": 4.0, "ece": 0.06})
    assert [(one.gate, one.passed) for one in found] == [
        ("mIoU", True),
        ("dice", False),
        ("iou_fg", False),
        ("mse", True),
        ("ece", False),
    ]
    assert found[1].told == "dice is 0.3000, at least 0.31 is asked (gates.least.dice)"
    assert found[2].told == "iou_fg is not known, at least 0.1 is asked (gates.least.iou_fg)"
    assert found[4].told == "ece is 0.0600, at most 0.05 is asked (gates.most.ece)"


def test_a_network_below_its_gate_ends_with_3_and_its_bundle_stays_the_same(tmp_path, capsys):
    recipe = ImageRecipe(tmp_path, counts={"blue": 8, "green": 8})
    recipe.settings["train"]["epochs"] = 1
    gate = "gates={least: {accuracy: 1.01}}"
    assert main(recipe.command(gate)) == INCOMPLETE
    card = json.loads((recipe.out / "card.json").read_text())
    told = capsys.readouterr()
    assert f"epoch {card['metrics']['epoch']:.0f}" in told.out, "it was trained"
    last = next(line for line in told.err.splitlines() if line.startswith("sandan train: the network"))
    assert f"accuracy is {card['metrics']['accuracy']:.4f}, at least 1.01 is asked (gates.least.accuracy)" in last
    assert "its bundle stays as it is" in last
    before = files_below(recipe.out)
    assert main(recipe.command(gate)) == INCOMPLETE, "also when it is repeated"
    assert main(recipe.command("gates={least: {accuracy: 0}}")) == DONE
    assert main(recipe.command()) == DONE
    assert capsys.readouterr().out.count("is trained already by this recipe on these data") == 3
    after = files_below(recipe.out)
    assert {n: b for n, b in after.items() if "logs/" not in n} == {n: b for n, b in before.items() if "logs/" not in n}


@pytest.mark.parametrize("task", ["classify", "autoencode"])
def test_scores_that_a_task_does_not_have_are_refused_before_anything_is_read(task, tmp_path, capsys):
    recipe = ImageRecipe(tmp_path, task, counts={"blue": 4, "green": 4})
    assert main(recipe.command("gates.least.mIoU=0.2")) == BAD_INPUT
    assert "gates.least: Unknown score 'mIoU'." in capsys.readouterr().err
    assert main(recipe.command("gates.lest.accuracy=0.2")) == BAD_INPUT
    assert "did you mean 'least'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_gates_of_segmentation_do_not_count_into_the_key(tmp_path, capsys):
    recipe = Recipe(tmp_path)
    assert recipe.key("gates={least: {mIoU: 0.2}}") == recipe.key()
    assert main([*recipe.command("gates.least.miou=0.2"), "--dry-run"]) == BAD_INPUT
    assert "Did you mean 'mIoU'?" in capsys.readouterr().err
