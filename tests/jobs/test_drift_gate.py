"""The gate of drift: a run whose new scenes look unlike what is published is held back, and says where and why."""

import numpy as np
import pytest

from tests.jobs.grounds import BLOCK_KM, ground
from tests.jobs.products import Country, country
from tests.jobs.vectors import EMBED, write_embedder
from tests.jobs.worlds import BANDS, moved, write_tif


@pytest.fixture
def plan(tmp_path):
    """A plan with the gate, and one scene."""
    model = write_embedder(tmp_path / "embedder")
    gates = {"drift": {"block_km": BLOCK_KM}}
    with country(tmp_path, embed={**EMBED, "batch": 32, "model": model}, gates=gates) as here:
        write(here, "may", ground(1, 0))
        yield here


def write(here: Country, name: str, array: np.ndarray, **options) -> None:
    write_tif(here.folder / "scenes" / f"{name}.tif", array, **options)


def test_new_scenes_are_compared_with_what_is_published(plan: Country, capsys):
    assert plan.tick()[0] == 0
    first = plan.latest["run"]
    assert "drift" not in {one["gate"] for one in plan.record["gates"]}  # the first map differs from nothing

    plan.month()
    hazy = (0.4 * ground(1, 1) + 3000).astype(np.uint16)
    write(plan, "june", hazy)
    assert plan.tick()[0] == 3
    (verdict,) = (one for one in plan.record["gates"] if one["gate"] == "drift")
    assert (verdict["passed"], verdict["found"]) == (False, 1)
    assert "is not mapped: 1 of 1 regions drift (all: drifts: " in plan.record["told"]
    made = [(plan.product / "runs" / run / "run.json").is_file() for run in (first, plan.record["run"])]
    assert made == [True, False], "no map is made of what drifts"
    assert plan.latest["run"] == first
    assert "drifts" in (plan.product / "report.html").read_text()

    plan.month()
    write(plan, "june", ground(1, 1))
    assert plan.tick()[0] == 0
    assert "vectors of 1, 1 maps" in capsys.readouterr().err
    assert plan.latest["run"] != first
    (verdict,) = (one for one in plan.record["gates"] if one["gate"] == "drift")
    assert verdict["passed"]
    assert verdict["told"].startswith("0 of 1 regions drift")


def test_a_gain_of_a_tenth_is_held_back(plan: Country):
    (plan.folder / "scenes" / "may.tif").unlink()
    for day in range(1, 5):
        write(plan, f"s_2026010{day}", ground(1, day, 0.005))
    assert plan.tick()[0] == 0
    first = plan.latest["run"]
    plan.month()
    write(plan, "s_20260201", (1.1 * ground(1, 9, 0.005)).astype(np.uint16))
    assert plan.tick()[0] == 3
    assert all(f"gain {band} 1.10" in plan.record["told"] for band in BANDS)
    assert plan.latest["run"] == first
    write(plan, "s_20260201", ground(1, 9, 0.005))
    assert plan.tick()[0] == 0
    (verdict,) = (one for one in plan.record["gates"] if one["gate"] == "drift")
    assert verdict["passed"]


def test_other_ground_and_other_embedders_are_no_drift(plan: Country, capsys):
    assert plan.tick()[0] == 0
    plan.month()
    write(plan, "north", ground(5, 0), transform=moved(-5000, 0))
    assert plan.tick()[0] == 0
    assert "drift: nothing to compare" in capsys.readouterr().err
    write(plan, "june", ground(1, 1))
    plan.settings["gates"] = {"drift": {"block_km": 50}}
    assert plan.tick()[0] == 3  # it was asked for, and cannot be measured
    assert "it could not be measured whether the new scenes drift: they share too little" in plan.record["told"]
    plan.settings["embed"] |= {"model": write_embedder(plan.folder / "second", seed=2)}
    assert plan.tick()[0] == 0
    assert "drift: nothing to compare" in capsys.readouterr().err


def test_a_gate_without_an_embedder_is_refused(plan: Country, capsys):
    plan.settings["embed"] = None
    assert plan.tick()[0] == 2
    assert "gates.drift compares embeddings, and the plan names no embedder" in capsys.readouterr().err
