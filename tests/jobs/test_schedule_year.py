"""A year of monthly ticks over a small country, with all that happens in a year."""

import shutil
import signal

import numpy as np
import pytest

from cluster.storage import Storage
from jobs import map as make_map
from jobs import synthesize
from jobs.product import read_pointer, read_runs, records
from tests.jobs.products import Country, country, killed_tick
from tests.jobs.worlds import damage, repair
from tests.processes import forking

SCENE = 20
"""Windows of one scene."""


def same_map(here: Country) -> None:
    """The published map is bit for bit what a run that has nothing makes of the scenes that are there."""
    made = here.layers()
    for layer, values in here.fresh().items():
        np.testing.assert_array_equal(made[layer], values)


@pytest.mark.slow
def test_a_year(tmp_path, capfd, monkeypatch):
    webhook = {"url": "http://127.0.0.1:9/hook", "hosts": ["127.0.0.1"], "schemes": ["http"]}  # nobody listens there
    settings = {"notify": webhook, "gates": {"max_lost": 0.9}, "keep": 3}
    with country(tmp_path, "north", "south", **settings) as here:
        # January: the first map.
        assert here.tick() == (0, 2 * SCENE)
        assert here.record["notified"].startswith("not told")
        january = here.latest
        same_map(here)

        # February: a new scene, and nothing else is seen by networks.
        here.month()
        here.scene("isle")
        assert here.tick() == (0, SCENE)
        assert here.record["differences"]["new"] == ["isle"]
        assert here.latest["earlier"] == [january["run"]]
        same_map(here)

        # March: nothing new. April is missed.
        here.month()
        february = here.latest
        assert here.tick() == (0, 0)
        assert (here.record["outcome"], here.latest) == ("nothing new", february)
        here.month()

        # May: what came in two months, one scene changed.
        here.month()
        here.scene("west")
        here.scene("south", seed=1)
        assert here.tick() == (0, 2 * SCENE)
        assert (here.record["differences"]["new"], here.record["differences"]["changed"]) == (["west"], ["south"])
        same_map(here)

        # June: a second tick begins while the first is at work.
        here.month()
        here.scene("east")
        codes = []
        here.network.meanwhile = lambda tiles: codes or codes.append(here.tick()[0])
        assert here.tick() == (0, SCENE)
        here.network.meanwhile = lambda tiles: None
        assert codes == [4]
        assert "holds" in capfd.readouterr().err
        june = here.latest
        assert june["earlier"][:1] != [june["run"]]
        assert len(here.runs) == 3

        # July: the clock is two years behind, and a scene is gone.
        here.month(-24)
        (tmp_path / "scenes" / "isle.tif").unlink()
        assert here.tick() == (0, 0)
        assert here.record["differences"]["removed"] == ["isle"]
        july = here.latest
        assert july["run"] > june["run"]
        assert july["fence"] > june["fence"]
        assert july["when"] < june["when"]
        assert july["earlier"][0] == june["run"]
        here.month(25)
        same_map(here)

        # August: killed while it infers; the next tick goes on in the same folder.
        here.scene("isle", seed=2)
        here.scene("north", seed=2)
        here.plan  # noqa: B018 - written for the other process
        process = forking().Process(target=killed_tick, args=(tmp_path, 25))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert here.latest == july
        (begun,) = set(here.runs) - {july["run"], *july["earlier"]}
        code, tiles = here.tick()
        assert (code, here.latest["run"]) == (0, begun)
        assert 0 < tiles < 2 * SCENE
        same_map(here)

        # September: a fault. By October the inputs are others: that run is given up, what it made is taken over.
        here.month()
        august = here.latest
        here.scene("west", seed=3)
        with monkeypatch.context() as patch:
            patch.setattr(make_map, "mosaic", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
            assert here.tick() == (1, SCENE)
        assert (here.record["outcome"], here.latest) == ("failed", august)
        september = here.record["run"]
        here.month()
        here.scene("east", seed=3)
        assert here.tick() == (0, SCENE)
        assert here.record["given_up"] == [september]
        assert september not in here.runs
        same_map(here)

        # November: a poisoned scene is not published, nor at the next try; mended it is.
        here.month()
        october = here.latest
        path = here.scene("south", seed=4)
        whole = damage(path)
        for _ in range(2):
            assert here.tick()[0] == 3
            assert here.record["outcome"] == "refused"
            assert "1 of 5 scenes are missing or not whole (south)" in here.record["told"]
            assert here.latest == october
        repair(path, whole)
        assert here.tick() == (0, SCENE)
        (tmp_path / "scenes" / "fog.tif").write_bytes(b"no raster")
        assert here.tick() == (3, 0)
        assert (here.record["outcome"], list(here.record["unreadable"])) == ("nothing new", ["fog"])
        (tmp_path / "scenes" / "fog.tif").unlink()

        # December: all that was industrial is gone, which no gate lets pass until somebody says so.
        here.month()
        november = here.latest
        for name in ("north", "south", "west", "east", "isle"):
            here.scene(name, low=100, high=900)
        assert here.tick() == (3, 5 * SCENE)
        (failed,) = (one for one in here.record["gates"] if not one["passed"])
        assert (failed["gate"], failed["found"]) == ("max_lost", 1.0)
        assert here.latest == november
        assert here.tick("--set", "gates.max_lost=1.0") == (0, 0)
        december = here.latest
        same_map(here)

        # It was wrong all the same.
        assert here.rollback() == 0
        assert here.latest["run"] == november["run"]
        assert here.latest["facts"] == november["facts"]
        assert here.tick() == (0, 0)
        assert (here.record["outcome"], here.latest["run"]) == ("held", november["run"])
        assert here.tick("--release", "--set", "gates.max_lost=1.0") == (0, 0)
        assert here.latest["run"] == december["run"]
        assert here.rollback("--to", november["run"]) == 0
        for name in ("north", "south", "west", "east"):
            here.scene(name, seed=5)
        assert here.tick("--set", "gates.max_lost=1.0") == (0, 4 * SCENE)
        assert here.latest["run"] not in (november["run"], december["run"])
        same_map(here)
        assert len(here.runs) == 3
        assert "ended without a word" in (here.product / "report.html").read_text()


@pytest.mark.slow
def test_a_product_in_an_object_store(tmp_path, bucket):
    with country(tmp_path, "north", "isle", product=f"{bucket}/product", keep=1) as here:
        product = Storage(f"{bucket}/product")
        assert here.tick() == (0, 2 * SCENE)
        first = read_pointer(product)[0]
        assert here.tick() == (0, 0)
        here.scene("isle", seed=1)
        assert here.tick("--dry-run") == (0, 0)
        assert here.tick() == (0, SCENE)
        second = read_pointer(product)[0]
        assert (second.earlier, second.fence) == ((first.run,), 3)
        assert list(read_runs(product)) == [second.run]  # only one is kept, and it lacks nothing without the other
        here.scene("north", seed=1)
        assert here.tick("--set", "keep=2") == (0, SCENE)
        assert here.rollback() == 0
        assert read_pointer(product)[0].run == second.run
        assert here.tick() == (0, 0)
        assert list(records(product, 9)) == [6, 5, 4, 3, 2, 1]
        assert product.get("report.html").startswith(b"<!doctype html>")


@pytest.mark.slow
def test_a_year_of_the_synthetic_country(tmp_path):
    """Each month brings two scenes, of two UTM zones, but March and September, and costs what its own windows do."""
    place = ["--bbox", "125.995", "36.8", "126.005", "36.806", "--zones", "51,52", "--no-air"]
    with country(tmp_path, keep=2) as here:
        cost = []
        for month in range(1, 13):
            here.month()
            if month in (3, 9):
                assert here.tick() == (0, 0)
                continue
            made = tmp_path / f"made{month}"
            assert synthesize.main([str(made), *place, "--dates", f"2025-{month:02}-15", "--clouds", "0.2"]) == 0
            shutil.copytree(made / "scenes", tmp_path / "scenes", dirs_exist_ok=True)
            code, windows = here.tick()
            assert code == 0
            assert len(here.record["differences"]["new"]) == 2
            cost.append(windows)
        assert len(set(cost)) == 1
        assert cost[0] > 0
        assert len(here.runs) == 2
        same_map(here)
