"""Adapt: a rule is learnt from windows of a run, kept, and changes what Infer does and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cluster.engine import SerialEngine
from jobs.adapt import Window, draw, main, plan_adapt
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import infer
from jobs.infer import main as infer_main
from jobs.ingest import main as ingest_main
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from models.adaptive_rule import read_rule
from tests.jobs.worlds import files_below, image, moved, world, write_bundle
from tiler.logit_store import LogitStore

WINDOWS = 4 * 5 + 7


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Two networks and two ingested scenes; the second has two windows without a valid pixel."""
    folder = tmp_path_factory.mktemp("adapt")
    here = world(folder, models=1, adapt={"windows": 24, "bound": 0.5, "seed": 1})
    here.settings["models"].append(write_bundle(folder / "twin", seed=1))  # strangers would agree nowhere
    here.settings["infer"]["tta"] = "flips4"
    here.scene("a", image(150, 190))
    array = image(64, 256, 2)
    array[:, :, 64:160] = 0
    here.scene("b", array, transform=moved(1000, 2000))
    assert ingest_main(here.command()) == DONE
    return here


@pytest.fixture(scope="module")
def rule(here):
    assert main(here.command()) == DONE
    return read_rule((here.out / "adaptive.json").read_bytes())


def run_of(here, *changes):
    return plan_run(load(RunConfig, here.config, list(changes)))


def logits_of(here, *changes) -> tuple[dict[str, np.ndarray], dict]:
    """Infer, and return the logits of every scene and the facts of the stage."""
    run = run_of(here, *changes)
    precision = decide(run, SerialEngine(1))
    plans = run.logits(precision)
    outcome = infer(run, SerialEngine(1), plans, precision)
    stores = {p.source.scene.id: LogitStore(run.url("infer", p.name)) for p in plans}
    return {name: np.asarray(store.group["logits"][...]) for name, store in stores.items()}, outcome.facts


def test_the_rule_says_what_it_was_learnt_from(here, rule, capsys):
    cards = run_of(here).cards
    assert rule.networks == tuple(card.digest() for card in cards)
    assert rule.first in {card.name for card in cards}
    assert (rule.tta, rule.tile_px, rule.threshold, rule.bound) == ("flips4", 64, 0.5, 0.5)
    assert 24 - 2 <= rule.found["windows"] <= 24, "two windows hold nothing"
    assert rule.found["upper"] <= 0.5
    assert rule.found["forwards"] == pytest.approx(1 / 8 + rule.found["refined"], abs=1e-6)


def test_again_there_is_nothing_to_do_and_the_rule_is_the_same(here, rule, capsys):
    before = files_below(here.out / "markers")
    text = (here.out / "adaptive.json").read_bytes()
    assert main(here.command()) == DONE
    assert files_below(here.out / "markers") == before
    assert (here.out / "adaptive.json").read_bytes() == text
    said = capsys.readouterr().out
    assert "<- chosen" in said
    assert f"infer.adaptive={here.out}/adaptive.json" in said


def test_infer_refines_what_the_rule_says_and_skips_what_is_missing(here, rule):
    path = f"infer.adaptive={here.out}/adaptive.json"
    adaptive, facts = logits_of(here, path)
    full, all_facts = logits_of(here)
    assert facts["windows"] == all_facts["windows"] == all_facts["refined"] == WINDOWS - 2
    assert 0 < facts["refined"] < facts["windows"]
    same = [
        np.array_equal(adaptive[name][row, col], full[name][row, col])
        for name in full
        for row in range(full[name].shape[0])
        for col in range(full[name].shape[1])
        if full[name][row, col].any()
    ]
    assert sum(same) == facts["refined"]
    again, none = logits_of(here, path)
    assert none == {}, "what is done is found again"
    for name, values in adaptive.items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.parametrize("change", ["infer.tta=none", "infer.tile_px=96", "fuse.threshold=0.4"])
def test_a_rule_for_another_run_is_refused_before_anything_starts(here, rule, change, capsys):
    before = files_below(here.out)
    command = here.command(f"infer.adaptive={here.out}/adaptive.json", change)
    assert infer_main(command) == BAD_INPUT
    assert "was learnt for another run" in capsys.readouterr().err
    assert files_below(here.out) == before


def test_a_rule_that_is_absent_is_refused(here, capsys):
    assert infer_main(here.command("infer.adaptive=nowhere.json")) == BAD_INPUT
    assert "no rule at nowhere.json" in capsys.readouterr().err


def test_windows_are_drawn_from_all_scenes_without_putting_back(here):
    run = run_of(here)
    plans = run.logits(decide(run, SerialEngine(1)))
    drawn = draw(plans, 20, 5)
    assert len(set(drawn)) == 20
    assert {window.scene for window in drawn} == {plan.name for plan in plans}
    assert draw(plans, 20, 5) == drawn
    assert draw(plans, 20, 6) != drawn
    everything = [
        Window(plan.name, row, col)
        for plan in plans
        for row in range(plan.lattice.rows)
        for col in range(plan.lattice.cols)
    ]
    assert draw(plans, 1000, 5) == everything
    some = np.zeros((4, 5), bool)
    some[1, 3] = some[2, 0] = True
    parts = [replace(plans[0], wanted=some), plans[1]]
    assert draw(parts, 1000, 5) == [Window(plans[0].name, 1, 3), Window(plans[0].name, 2, 0), *everything[20:]]


def test_a_dry_run_touches_nothing(here, rule, capsys):
    before = files_below(here.out)
    assert main([*here.command(), "--dry-run"]) == DONE
    assert files_below(here.out) == before
    assert capsys.readouterr().out.splitlines()[2].split()[:7] == ["adapt", "24", "windows", "24", "0", "0", "B"]
    assert main([*here.command("adapt.seed=2"), "--dry-run"]) == DONE
    again = capsys.readouterr().out.splitlines()[2].split()
    assert 0 < int(again[3]) < 24, "what was compared for another draw is not compared again"


def test_failed_windows_leave_no_rule(here, monkeypatch, capsys):
    def broken(*arguments, **settings):
        raise ArithmeticError("this network is broken")

    monkeypatch.setattr("models.adaptive.Compared.compare", broken)
    out = f"{here.folder}/other"
    assert ingest_main(here.command(f"out={out}")) == DONE
    assert main(here.command(f"out={out}")) == INCOMPLETE
    assert "this network is broken" in capsys.readouterr().err
    assert not (here.folder / "other" / "adaptive.json").exists()


def test_windows_that_networks_cannot_answer_teach_nothing_and_are_named(here, rule, monkeypatch, capsys):
    from models.adaptive import Compared

    compare, asked = Compared.compare, []

    def poisoned(self, *arguments):
        asked.append(arguments)
        if len(asked) % 5 == 0:
            raise FloatingPointError("The logits of tile 0 are not finite (fp32).")
        return compare(self, *arguments)

    monkeypatch.setattr(Compared, "compare", poisoned)
    out = f"{here.folder}/poisoned"
    assert ingest_main(here.command(f"out={out}")) == DONE
    for _ in range(2):  # the second time without asking
        assert main(here.command(f"out={out}")) == INCOMPLETE
        assert capsys.readouterr().err.count("tile 0 are not finite") == 4
        assert len(asked) == rule.found["windows"]
    found = read_rule((here.folder / "poisoned" / "adaptive.json").read_bytes())
    assert found.found["windows"] == rule.found["windows"] - 4


def test_scenes_must_be_ingested(here):
    config = load(RunConfig, here.config, [f"out={here.folder}/empty"])
    with pytest.raises(ValueError, match="not ingested"):
        plan_adapt(config)


def test_the_file_is_plain_json(here, rule):
    values = json.loads((here.out / "adaptive.json").read_bytes())
    assert {"first", "refine_above", "bound", "found"} <= set(values)
