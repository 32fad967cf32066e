"""A run in an object store: how many requests a unit of work costs, and what faults of the store do to the map.

Numbers are of requests, never of seconds. The store and its proxy are in a process of their own.
"""

import itertools
import json
import os
from dataclasses import replace

import pytest

from cluster.storage import Storage
from jobs import sheets
from jobs.infer import main as infer
from jobs.ingest import main as ingest
from jobs.map import main as make_map
from jobs.mosaic import main as mosaic
from jobs.rasters import FinishedRasters, Raster
from jobs.shell import BAD_INPUT, DONE, INTERRUPTED
from tests.jobs.worlds import answering, image, small_cells, world
from tests.store_proxy import store_proxy
from tiler.cog import BandStatistics
from tiler.grids import Box

STAGES = {"ingest": ingest, "infer": infer, "mosaic": mosaic}
RASTERS = ("probability", "class", "spread", "count", "latest")


@pytest.fixture(scope="module")
def store():
    with store_proxy("maps") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def numbers():
    return itertools.count()


@pytest.fixture
def out(store, numbers):
    """A folder of its own in the one bucket."""
    return f"{store.url}/run{next(numbers)}"


def test_requests_of_units(store, out, tmp_path, monkeypatch):
    """Nothing is asked for each window or each chunk that is asked once for a unit, and nothing is read to be written.

    Chunks of 64 px, shards of 256, cells of 128: of a scene of 230 x 330 px that are two shards, 70 windows in six
    units, and twelve cells.
    """
    for module in ("tiler.stores", "tiler.scene_store", "tiler.map_store"):
        monkeypatch.setattr(f"{module}.CHUNK_PX", 64)
    here = world(tmp_path)
    here.scene("a-20240101", image(230, 330))
    found = {}
    with small_cells(128), answering():
        for name, run in STAGES.items():
            store.counts()
            assert run(here.command(f"out={out}")) == DONE
            found[name] = {kind: count["requests"] for kind, count in store.counts().items()}
    units = {name: sum("_quality" not in key for key in Storage(out).list(f"markers/{name}")) for name in STAGES}
    assert units == {"ingest": 2, "infer": 6, "mosaic": 12}
    # of a run, once or now and then: probe, lock, progress, metadata, listings, decisions, log; then of each unit
    at_most = {
        # image, valid, histogram, two quick-looks, marker
        "ingest": {"PUT": 50 + 6 * units["ingest"], "LIST": 12, "GET": 100},
        # its marker, chunks of image and valid under its windows, indices of their shards; logits and marker
        "infer": {"PUT": 32 + 2 * units["infer"], "LIST": 12, "GET": 60 + 15 * units["infer"]},
        # valid, and the windows under it, which are chunks, with the index of their shard for each row of windows
        "mosaic": {"PUT": 42 + 5 * units["mosaic"], "LIST": 28, "GET": 60 + 30 * units["mosaic"]},
    }
    told = json.dumps({"found": found, "at most": at_most})
    assert all(found[s].get(kind, 0) <= most for s, kinds in at_most.items() for kind, most in kinds.items()), told


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A map of two windows, and its products as nobody disturbed them."""
    here = world(tmp_path_factory.mktemp("small"))
    here.scene("only-20240203", image(70, 90))
    with answering(), small_cells():
        assert make_map(here.command("outputs=[cog]")) == DONE
    return here, {name: (here.out / "map" / f"{name}.tif").read_bytes() for name in RASTERS}


def products(out):
    storage = Storage(out)
    folder = json.loads(storage.get("map.json"))["folder"]
    return {name: storage.get(f"{folder}/{name}.tif") for name in RASTERS}


HARMS = [
    {"kind": "slowdown", "times": 4, "every": 40},
    pytest.param({"kind": "torn_get", "times": 6, "every": 10}, marks=pytest.mark.slow),
    pytest.param({"kind": "torn_put", "times": 6, "every": 6}, marks=pytest.mark.slow),
    pytest.param({"kind": "lost_put", "times": 6, "every": 6}, marks=pytest.mark.slow),
    pytest.param({"kind": "late", "times": 8, "every": 20, "wait_s": 1.0}, marks=pytest.mark.slow),
    pytest.param({"kind": "refuse", "times": 2, "every": 60, "wait_s": 3.0}, marks=pytest.mark.slow),
    pytest.param({"kind": "slowdown", "times": 40, "every": 1}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: f"{harm['kind']} {harm['times']}")
def test_a_map_through_faults_of_the_store_is_the_same_map(store, out, small, harm, capsys):
    """At once, or by the same command once more, after an error that says what was the matter."""
    here, expected = small
    command = here.command(f"out={out}", "outputs=[cog]")
    store.harm(**harm)
    with answering(), small_cells():
        code = make_map(command)
        told = capsys.readouterr().err
        left = store.left()
        print(f"{harm}: exit {code}, {left} not done")
        if code != DONE:
            assert "repeat the command to continue" in told or code == BAD_INPUT
            assert make_map(command) == DONE
    assert left < harm["times"], "some harm was done"
    assert products(out) == expected


def test_a_raster_in_a_store_is_kept_as_long_as_it_has_its_size(out, tmp_path):
    storage, raster, statistics = Storage(out), Raster("class", Box(0, 0, 3, 5), "r-1_c7"), (BandStatistics(),)
    path, key = tmp_path / raster.href, f"maps/0123456789ab/{raster.href}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"raster")
    added = FinishedRasters.open(storage, "0123456789ab", tmp_path).add(raster, statistics)
    assert not path.exists()
    assert storage.get(key) == b"raster"
    assert FinishedRasters.open(storage, "0123456789ab", tmp_path).find(raster) == replace(added, kept=True)
    storage.put(key, b"half")
    assert FinishedRasters.open(storage, "0123456789ab", tmp_path).find(raster) is None
    assert not list(storage.list("markers"))


@pytest.mark.slow
def test_publishing_into_a_store_goes_on_where_it_was_ended(out, tmp_path, monkeypatch):
    """Sheets go there one by one, and do not go twice; the map is that of a folder on a disk."""
    here = world(tmp_path, publish={"one_file_px": 60, "sheet_cells": 1}, outputs=["cog", "stac"])
    here.scene("only-20240203", image(70, 90))
    command, written, write = here.command(f"out={out}"), [], sheets.write_product

    def dies(store, name, box, path, *rest):
        if len(written) == 7:
            raise KeyboardInterrupt
        written.append((name, box))
        return write(store, name, box, path, *rest)

    def goes_on(store, name, box, path, *rest):
        assert not list(path.parents[1].rglob("*.tif")), "what is there is not kept here, too"
        written.append((name, box))
        return write(store, name, box, path, *rest)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with answering(), small_cells():
        assert make_map(here.command()) == DONE
        monkeypatch.setattr(sheets, "write_product", dies)
        assert make_map(command) == INTERRUPTED
        assert sum(key.endswith(".tif") for key in Storage(out).list("maps")) == 7
        monkeypatch.setattr(sheets, "write_product", goes_on)
        assert make_map(command) == DONE
    assert len(written) == len(set(written)) == 4 * len(RASTERS)
    storage = Storage(out)
    folder = json.loads(storage.get("map.json"))["folder"]
    local = {path.relative_to(here.out / "map").as_posix(): path for path in (here.out / "map").rglob("*.*")}
    assert {key.removeprefix(f"{folder}/") for key in storage.list(folder)} == {
        k for k, p in local.items() if p.is_file()
    }
    for name, path in local.items():
        if path.suffix in (".tif", ".vrt"):
            assert storage.get(f"{folder}/{name}") == path.read_bytes()
        elif path.suffix == ".json" and path.parent.parent.name == "sheets":
            found, expected = json.loads(storage.get(f"{folder}/{name}")), json.loads(path.read_bytes())
            assert found["assets"] == expected["assets"]


def test_scenes_in_a_store_are_read_where_the_environment_says(store, out, small, capsys):
    """GDAL has names of its own for the endpoint that others call AWS_ENDPOINT_URL."""
    here, _ = small
    scene = here.settings["scenes"][0]["files"]
    Storage(out).put_file("in/only-20240203.tif", scene)
    assert ingest(here.command(f"out={out}", f"scenes={out}/in/*.tif")) == DONE
    assert "1 of 1 scenes ingested" in capsys.readouterr().out


def test_a_store_without_conditional_puts_is_refused_and_nothing_is_left(store, out, small, capsys):
    here, _ = small
    store.harm("careless", times=1000)
    assert make_map(here.command(f"out={out}")) == BAD_INPUT
    store.left()
    assert "does not obey conditional puts" in capsys.readouterr().err
    assert list(Storage(out).list()) == []
