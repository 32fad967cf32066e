"""Going back is one pointer, and what was gone back from does not come again by itself."""

import pytest

from cluster.lock import RunLock
from cluster.storage import Storage
from tests.jobs.products import Country, country


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A country whose map was published three times."""
    with country(tmp_path_factory.mktemp("three"), "north") as here:
        for seed in (1, 2, 3):
            here.scene("north", seed=seed)
            assert here.tick()[0] == 0
        yield here


def test_back_and_forth(three: Country, capsys):
    third, second, first = three.latest["run"], *three.latest["earlier"]
    facts = three.latest["facts"]
    assert three.rollback() == 0
    assert (three.latest["run"], three.latest["earlier"]) == (second, [first])
    assert [held["run"] for held in three.latest["held"]] == [third]
    assert (three.record["outcome"], three.record["run"]) == ("rolled back", second)
    assert three.tick() == (0, 0)
    assert f"held: the inputs are those of a run that was rolled back, {third}" in capsys.readouterr().out
    assert three.latest["run"] == second
    assert three.tick("--dry-run") == (0, 0)
    assert f"held: run {third}" in capsys.readouterr().out
    assert three.rollback("--to", third) == 0  # its release
    assert (three.latest["run"], three.latest["held"], three.latest["facts"]) == (third, [], facts)
    assert three.rollback("--to", first) == 0
    assert [held["run"] for held in three.latest["held"]] == [third, second]
    assert three.tick() == (0, 0)
    assert three.tick("--release") == (0, 0)
    assert (three.latest["run"], three.latest["earlier"][0]) == (third, first)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "000009-20260101-000000000000"], "was never published, or is kept no more"),
        (["--set", "product=/nowhere/at/all"], "has no published run"),
    ],
)
def test_no_way_back_is_bad_input(three: Country, capsys, words, told):
    before = three.latest
    assert three.rollback(*words) == 2
    assert told in capsys.readouterr().err
    assert three.latest == before


def test_not_while_a_tick_works(three: Country, capsys):
    before = three.latest
    with RunLock(Storage(str(three.product / "lock")), "a-run", "sandan schedule plan.yaml"):
        assert three.rollback() == 4
    assert "sandan rollback: 'sandan schedule plan.yaml'" in capsys.readouterr().err
    assert three.latest == before
