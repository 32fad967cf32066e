"""Ticks of a plan: what is new is mapped and published, what is not costs nothing, and nothing bad is published."""

import json
import re
import shutil
import time
from datetime import date

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from cluster.lock import RunLock
from cluster.storage import Storage
from jobs import schedule
from jobs import status as status_job
from tests.jobs.products import Country, country
from tests.jobs.worlds import files_below, write_tif
from tiler.product_specs import PRODUCTS


@pytest.fixture
def two(tmp_path):
    """A country of two scenes."""
    with country(tmp_path, "north", "isle", keep=2) as here:
        yield here


def test_three_ticks_map_what_is_new_and_nothing_else(two: Country, capsys, monkeypatch):
    monkeypatch.chdir(two.folder)  # paths of a plan are relative to here
    two.settings |= {"product": "product", "scenes": "scenes/*.tif"}
    code, whole = two.tick()
    assert (code, whole > 0) == (0, True)
    first = two.latest
    assert capsys.readouterr().out.startswith("tick 1: 2 new (isle, north); begins run 000001-20260102-")
    assert two.tick() == (0, 0)
    assert "nothing new: run 000001" in capsys.readouterr().out
    assert (two.latest, two.record["outcome"], two.record["tick"]) == (first, "nothing new", 2)
    two.month()
    two.scene("isle", seed=1)
    before = files_below(two.product)
    assert two.tick("--dry-run") == (0, 0)
    told = capsys.readouterr().out
    assert "1 changed (isle); would begin a run" in told
    assert re.search(rf"^infer +{whole} window shards +{whole // 2} +{whole // 2} ", told, re.MULTILINE)
    assert "in all about" in told
    assert files_below(two.product) == before
    assert two.tick() == (0, whole // 2)
    assert two.latest["earlier"] == [first["run"]]
    record = json.loads((two.product / two.latest["facts"]["record"]["href"]).read_text())
    assert record["config"]["out"] == f"product/runs/{two.latest['run']}"
    assert [scene["files"] for scene in record["config"]["scenes"]] == ["scenes/isle.tif", "scenes/north.tif"]
    made = two.layers()
    for layer, values in two.fresh().items():
        np.testing.assert_array_equal(made[layer], values)

    # What the pointer names is there, as it says; and the run is one like any other.
    facts = two.latest["facts"]
    assert {name for name in facts["files"] if not name.endswith("_style")} == {*PRODUCTS, "config"}
    for one in (*facts["files"].values(), facts["record"]):
        assert (two.product / one["href"]).stat().st_size == one["size_bytes"]
    assert status_job.main([str(two.product / "runs" / two.latest["run"])]) == 0
    assert "stale" in capsys.readouterr().out
    page = (two.product / "report.html").read_text()
    for text in ("1 changed (isle)", "nothing new", "max_lacking", "window shards"):
        assert text in page


def test_sites_are_as_old_as_those_of_the_tick_before(tmp_path, capsys):
    def first_seen(here: Country) -> dict[int, date]:
        folder = here.product / "runs" / here.latest["run"] / "map"
        table = pq.read_table(folder / "polygons.parquet")
        return dict(zip(table["id"].to_pylist(), table["first_seen"].to_pylist(), strict=True))

    with country(tmp_path, "isle-20260105", outputs=["polygons"], polygons={"min_area_m2": 9000}) as here:
        here.settings["polygons"]["earlier"] = str(tmp_path / "nowhere")
        assert here.tick()[0] == 2
        assert "nowhere has no published map yet" in here.record["told"] + capsys.readouterr().err
        here.settings["polygons"]["earlier"] = "auto"
        assert here.tick()[0] == 0
        assert set(first_seen(here).values()) == {date(2026, 1, 5)}
        first = here.latest["run"]
        here.month()
        (tmp_path / "scenes" / "isle-20260105.tif").rename(tmp_path / "scenes" / "isle-20260205.tif")
        here.scene("south-20260301")
        assert here.tick()[0] == 0
        run = here.product / "runs" / here.latest["run"]
        assert set(first_seen(here).values()) == {date(2026, 1, 5), date(2026, 3, 1)}
        continued = json.loads((run / "map.json").read_text())["files"]["polygons"]["continues"]
        assert continued["asked"] == str(here.product / "runs" / here.latest["earlier"][0])
        assert here.tick() == (0, 0)

        # After going back the next map goes on from what is published then.
        assert here.rollback("--to", first) == 0
        (tmp_path / "scenes" / "south-20260301.tif").unlink()
        (tmp_path / "scenes" / "isle-20260205.tif").rename(tmp_path / "scenes" / "isle-20260405.tif")
        shutil.rmtree(here.product / "runs" / first / "maps")
        capsys.readouterr()
        assert here.tick()[0] == 0
        assert "first_seen does not go on from there" in capsys.readouterr().err
        assert set(first_seen(here).values()) == {date(2026, 4, 5)}


def test_a_tick_that_lost_its_lease_publishes_nothing(two: Country, capsys):
    lock = Storage(str(two.product / "lock"))

    def succeed(tiles: int) -> None:
        lock.create("2.json", json.dumps({"run": "b"}).encode())

    two.network.meanwhile = succeed
    assert two.tick()[0] == 1
    assert not (two.product / "latest.json").exists()
    assert "went to somebody else after number 1" in two.record["told"]
    assert not (two.product / "report.html").exists()
    two.network.meanwhile = lambda tiles: None
    assert two.tick() == (0, 0)  # what it made is there all the same
    assert two.latest["fence"] == 3


def test_a_driver_that_is_told_that_it_was_succeeded_stops_its_run(two: Country, monkeypatch, capsys):
    monkeypatch.setattr("cluster.lock.BEAT_S", 0.02)
    lock = Storage(str(two.product / "lock"))

    def succeed_and_wait(tiles: int) -> None:
        if lock.create("2.json", b"{}"):
            time.sleep(0.3)

    two.network.meanwhile = succeed_and_wait
    code, tiles = two.tick()
    assert (code, tiles < 30) == (1, True)
    assert "its lock for free" in two.record["told"]


def test_a_run_that_cannot_fit_is_a_failed_tick_that_says_why(two: Country, capsys):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.room.machine_memory", lambda: 2**20)
        assert two.tick() == (2, 0)
    assert "memory: ingest takes about" in capsys.readouterr().err
    assert (two.record["outcome"], two.record["exit"]) == ("failed", 2)
    assert not (two.product / "latest.json").exists()


def test_while_another_tick_works_nothing_is_touched(two: Country, capsys):
    with RunLock(Storage(str(two.product / "lock")), "a-run", "sandan schedule other.yaml"):
        assert two.tick() == (4, 0)
    assert "'sandan schedule other.yaml' on" in capsys.readouterr().err
    assert [path.name for path in two.product.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "scenes=nowhere/*.tif"], "no file matches"),
        (["--set", "product=plan.yaml/x"], "not a writable folder"),
        (["--set", "models=[nowhere]"], "nowhere"),
        (["--set", "gates.min_seen=1"], "add area"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(two: Country, capsys, monkeypatch, words, told):
    monkeypatch.chdir(two.folder)
    assert two.tick(*words) == (2, 0)
    said = capsys.readouterr().err
    assert told in said
    assert said.startswith("sandan schedule: ")
    assert said.count("\n") == 1
    assert not two.product.exists()


def test_a_tick_that_cannot_begin_is_told_to_the_webhook(two: Country, capsys):
    two.settings["notify"] = {"url": "http://127.0.0.1:9/x", "hosts": ["127.0.0.1"], "schemes": ["http"]}
    two.settings["scenes"] = str(two.folder / "nowhere" / "*.tif")
    assert two.tick() == (2, 0)
    assert "webhook: not told" in capsys.readouterr().err
    assert two.tick("--dry-run") == (2, 0)
    assert "webhook" not in capsys.readouterr().err


def test_help_says_what_ends_how(capsys):
    with pytest.raises(SystemExit) as ended:
        schedule.main(["--help"])
    assert ended.value.code == 0
    assert "4 another tick is at work" in capsys.readouterr().out


@pytest.mark.slow
def test_labels_and_an_area_are_asked_where_a_gate_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.evaluation.files.pictures", lambda _: {})
    with country(tmp_path, "north") as here:
        with rasterio.open(here.folder / "scenes" / "north.tif") as data:
            red, place, (left, bottom, right, top) = data.read(1), data.transform, data.bounds
        codes = np.where(red >= 4500, 1, 2).astype(np.uint8)
        write_tif(here.folder / "labels.tif", codes, transform=place)
        ring = [[left, bottom], [right, bottom], [right, 2 * top - bottom], [left, 2 * top - bottom], [left, bottom]]
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32652"}}
        area = {"type": "FeatureCollection", "crs": crs, "features": [feature]}
        (here.folder / "area.geojson").write_text(json.dumps(area))
        here.settings |= {
            "labels": {"files": str(here.folder / "labels.tif"), "codes": {1: 1, 2: 0}},
            "area": str(here.folder / "area.geojson"),
            "evaluate": {"where": "all", "resamples": 100},
            "gates": {"min_seen": 0.6, "min_miou": 0.99},
        }
        code, tiles = here.tick()
        assert (code, tiles > 0, here.record["outcome"]) == (3, True, "refused")
        found = {one["gate"]: one["found"] for one in here.record["gates"]}
        assert found["min_seen"] == pytest.approx(0.5, abs=0.01)  # half of the area lies north of the scene
        assert 0.85 < found["min_miou"] < 0.99
        assert not (here.product / "latest.json").exists()
        here.settings["gates"] = {"min_seen": 0.45, "min_miou": 0.85}
        assert here.tick() == (0, 0)
        assert here.latest["run"] == here.runs[0]
