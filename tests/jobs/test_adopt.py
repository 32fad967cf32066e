"""What earlier runs made is taken over whole or not at all, and nobody is harmed by it."""

import copy
import re
import shutil
from collections.abc import Iterator

import pytest

from cluster.storage import Storage
from jobs import adopt as module
from jobs import map as job
from jobs.adopt import Adopted, adopt
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.parsing import load
from jobs.plan import Run, plan_run
from tests.jobs.products import Counting
from tests.jobs.worlds import KOREA, World, answering, files_below, image, moved, small_cells, world


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Iterator[World]:
    """A run of two scenes, with decisions that were left to the machine."""
    here = world(tmp_path_factory.mktemp("original"), grid={"crs": KOREA, "resolution_m": 9}, outputs=["cog"])
    here.settings["infer"] |= {"precision": "auto", "batch": "auto", "tune": False}
    here.scene("a", image(90, 130, 2), transform=moved(40, 77))
    here.scene("b", image(80, 90, 3), transform=moved(700, 620))
    here.settings["out"] = str(here.folder / "first")
    with answering(Counting()), small_cells():
        assert job.main(here.command()) == 0
        yield here


@pytest.fixture
def made(original, tmp_path) -> World:
    """A copy of that run, to be harmed."""
    shutil.copytree(original.folder / "first", tmp_path / "first", symlinks=True)
    settings = copy.deepcopy(original.settings) | {"out": str(tmp_path / "first")}
    return World(tmp_path, settings)


def second(here: World) -> Run:
    return plan_run(load(RunConfig, here.config, [f"out={here.folder / 'second'}"]))


def tiles_of(here: World) -> int:
    network = Counting()
    with answering(network):
        assert job.main(here.command(f"out={here.folder / 'second'}")) == 0
    return network.tiles


def contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def test_all_of_an_equal_run_is_taken_over_and_nothing_is_done_twice(made):
    before = contents(made.folder / "first")
    run = second(made)
    product = Storage(str(made.folder))
    assert adopt(product, run, "second", ["first"]) == Adopted(scenes=2, logits=2, maps=1)
    assert decide(run, None) == decide(plan_run(load(RunConfig, made.config)), None)
    assert adopt(product, run, "second", ["first"]) == Adopted()
    assert tiles_of(made) == 0
    assert contents(made.folder / "first") == before
    shard = next((made.folder / "second" / "infer").rglob("c/0/0/0/0/0"))
    assert shard.stat().st_nlink == 2  # a further name of the same file


def test_only_what_is_wanted_and_whole_is_taken_over(made):
    first = made.folder / "first"
    next((first / "markers" / "infer").glob("a-*/*.json")).unlink()
    next((first / "markers" / "ingest").glob("b-*_quality.json")).unlink()
    made.scene("c", image(70, 80, 5), transform=moved(-150, 10))
    made.settings["scenes"].pop(0)  # no a
    assert adopt(Storage(str(made.folder)), second(made), "second", ["first"]) == Adopted(0, 1, 1)
    assert not list((made.folder / "second" / "ingest").glob("a-*"))


@pytest.mark.parametrize("survived", [1, 12, 25, 60])
def test_a_kill_leaves_nothing_that_is_believed(made, monkeypatch, survived):
    product, run = Storage(str(made.folder)), second(made)
    copies, whole = [], Storage.copy

    def dying(self, key, to):
        if len(copies) >= survived:
            raise KeyboardInterrupt
        copies.append(to)
        whole(self, key, to)

    with monkeypatch.context() as patch:
        patch.setattr(module, "THREADS", 1)
        patch.setattr(Storage, "copy", dying)
        with pytest.raises(KeyboardInterrupt):
            adopt(product, run, "second", ["first"])
    for key in (key for key in copies if "/markers/" in key):  # what has a marker is there, to its last array
        stage, group = key.split("/")[2:4]
        store = f"{stage}/{re.sub(r'(_quality)?.json$|_r-?[0-9]+$', '', group)}.zarr"
        assert contents(made.folder / "second" / store) == contents(made.folder / "first" / store)
    adopt(product, run, "second", ["first"])
    assert tiles_of(made) == 0


def test_the_first_of_several_that_has_something_gives_it(made):
    product = Storage(str(made.folder))
    adopt(product, second(made), "empty", ["nowhere"])
    assert adopt(product, second(made), "second", ["nowhere", "empty", "first"]) == Adopted(2, 2, 1)
