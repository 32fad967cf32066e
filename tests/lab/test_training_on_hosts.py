"""A training on two hosts is that of one machine, also when it loses one of them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.chaos.lessons import EPOCHS, learnt, small_recipe
from tests.chaos.runs import begin
from tests.jobs.recipes import Recipe
from tests.lab.clusters import Cluster
from tests.lab.hosts import lacking
from tests.lab.seen import Table, ended, wait_for_files

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(lacking()), reason=lacking())]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return small_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def alone(recipe: Recipe) -> dict[str, str]:
    """What two workers learn on one machine."""
    code, said = begin("jobs.train", *recipe.command()).wait()
    assert code == 0, said
    return learnt(recipe.out)


def start(cluster: Cluster, recipe: Recipe, out: Path) -> subprocess.Popen:
    return cluster.command("jobs.train", *recipe.command(f"out={out}"))


def test_two_hosts_learn_what_one_machine_learns(
    cluster: Cluster, table: Table, recipe: Recipe, alone: dict[str, str], tmp_path: Path
) -> None:
    cluster.heal()
    began_s = time.monotonic()
    out = tmp_path / recipe.out.name
    code, said = ended(start(cluster, recipe, out))
    assert code == 0, said
    assert learnt(out) == alone
    table.add("a training on two hosts: nothing", out, code, 1, began_s)


def test_a_training_that_loses_a_host_goes_on_when_it_is_back(
    cluster: Cluster, table: Table, recipe: Recipe, alone: dict[str, str], tmp_path: Path
) -> None:
    cluster.heal()
    began_s = time.monotonic()
    out = tmp_path / recipe.out.name
    process = start(cluster, recipe, out)
    wait_for_files(out, "training/*/*.json", 2, process)  # two checkpoints: it is in the middle
    assert process.poll() is None, process.communicate()
    cluster.lab.hosts[1].off()
    time.sleep(5)
    cluster.heal()
    code, said = ended(process)
    assert code == 0, said
    assert learnt(out) == alone
    assert said.count(f"epoch {EPOCHS}/{EPOCHS}") >= 1
    table.add("a training on two hosts: one is switched off, then on again", out, code, 1, began_s)
