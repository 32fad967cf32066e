"""A run in an object store: how many requests a unit of work costs, and what faults of the store do to the map.

Numbers are of requests, never of seconds. The store and its proxy are in a process of their own.
"""

import itertools
import json

import pytest

from cluster.storage import Storage
from jobs.infer import main as infer
from jobs.ingest import main as ingest
from jobs.map import main as make_map
from jobs.mosaic import main as mosaic
from jobs.shell import BAD_INPUT, DONE
from tests.jobs.worlds import answering, image, small_cells, world
from tests.store_proxy import store_proxy

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
