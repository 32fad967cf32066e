"""The folder of a product: who may flip its pointer, and what a sweep leaves."""

import json
from datetime import UTC, datetime

import pytest

from cluster.lock import RunLock
from cluster.storage import Storage
from jobs import product as module
from jobs.parsing import load
from jobs.product import Fenced, begin_run, flip, read_pointer, read_runs, records, sweep_runs
from jobs.schedule_config import PlanConfig
from jobs.schedule_decisions import Inputs, Pointer, published_after, run_id
from jobs.tick import discover
from tests.jobs.products import country


@pytest.fixture
def product(tmp_path) -> Storage:
    return Storage(str(tmp_path / "product"))


def lease(product: Storage, above: int = 0) -> RunLock:
    return RunLock(product.child("lock"), "a-run", "sandan schedule plan.yaml", above=above)


def to(run: str, held: RunLock):
    return lambda old: published_after(old, Pointer(run, run, held.number, "", ""))


def test_a_driver_that_was_succeeded_flips_nothing(product):
    with lease(product) as late:
        product.create("lock/2.json", b"{}")  # somebody took it for dead
        with pytest.raises(Fenced, match="went to somebody else after number 1"):
            flip(product, late, to("r1", late))
    assert read_pointer(product) == (None, None)
    with lease(product) as held:
        assert flip(product, held, to("r3", held)).fence == 3
        with pytest.raises(Fenced):  # not twice under one number
            flip(product, held, to("r4", held))
    assert read_pointer(product)[0].run == "r3"


def test_numbers_go_on_where_the_folder_of_the_lock_was_removed(product):
    for _ in range(3):
        with lease(product) as held:
            flip(product, held, to(f"r{held.number}", held))
    for key in list(product.list("lock")):
        product.delete(key)
    with lease(product) as begins_anew, pytest.raises(Fenced):
        flip(product, begins_anew, to("old", begins_anew))
    with lease(product, above=read_pointer(product)[0].fence) as held:
        assert flip(product, held, to("new", held)).earlier == ("r3", "r2", "r1")


def test_what_is_published_meanwhile_is_known_to_the_next_pointer(product, monkeypatch):
    with lease(product) as first:
        flip(product, first, to("r1", first))
    seen, exchange = [], module.exchange

    def meddled(storage, key, data, before):
        if not seen:  # a driver that was thought dead comes first, under its lower number
            assert exchange(storage, key, Pointer("zombie", "z", 2, "", "", earlier=("r1",)).text, before)
        seen.append(before)
        return exchange(storage, key, data, before)

    with lease(product, above=6) as held:
        monkeypatch.setattr(module, "exchange", meddled)
        assert flip(product, held, to("r7", held)).earlier == ("zombie", "r1")
    assert len(seen) == 2


def test_half_a_run_is_none_and_goes_with_the_next_sweep(product, monkeypatch):
    ids = [run_id(n, datetime(2026, 1, 2, tzinfo=UTC), f"{n:012x}") for n in (1, 2, 3, 9)]
    for number, run in enumerate(ids):
        begin_run(product, run, Inputs({"a": str(number)}, {}), number)
        product.put(f"runs/{run}/infer/a.zarr/zarr.json", b"{}")
    product.put("runs/notes/readme.txt", b"somebody's own")
    assert list(read_runs(product)) == ids
    assert read_runs(product)[ids[1]] == Inputs({"a": "1"}, {})
    with monkeypatch.context() as patch:
        patch.setattr(module, "remove_folder", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sweep_runs(product, {ids[1]}, tick=3)
    assert list(read_runs(product)) == ids[1:]
    assert ids[0] in set(product.folders("runs"))
    assert sweep_runs(product, {ids[1]}, tick=3) == [ids[0], ids[2]]  # the ninth tick's is of a later driver
    assert set(product.folders("runs")) == {ids[1], ids[3], "notes"}
    assert product.exists("runs/notes/readme.txt")


def test_what_makes_the_same_map_has_one_key_and_what_does_not_has_another(tmp_path):
    with country(tmp_path, "north", "south") as here:
        keys = {
            change: discover(load(PlanConfig, here.plan, [change])).inputs.key
            for change in (
                *("keep=3", "gates.min_scenes=2", "engine.threads_per_worker=2", "limits.hours=3", "infer.tune=false"),
                *("fuse.threshold=0.4", "outputs=[cog, stac]", "infer.tta=flips4", "grid.resolution_m=10"),
            )
        }
        same = [keys[change] for change in list(keys)[:5]]
        others = [keys[change] for change in list(keys)[5:]]
        assert len(set(same)) == 1
        assert len({same[0], *others}) == 1 + len(others)


def test_records_are_written_once_and_told_latest_first(product):
    for tick in (1, 2, 12):
        module.keep_record(product, tick, {"tick": tick})
    module.keep_record(product, 2, {"tick": "another"})
    assert list(records(product, 2)) == [12, 2]
    assert records(product, 9)[2] == {"tick": 2}
    assert json.loads(product.get("ticks/000012.json")) == {"tick": 12}
