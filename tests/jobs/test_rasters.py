"""Publishing goes on where it was ended: what is finished is not written again, and the map is the same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from cluster.engine import SerialEngine
from cluster.storage import Storage
from jobs import sheets as module
from jobs import sweep
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.publish import estimate, main
from jobs.rasters import FinishedRasters, Raster, count_finished
from tests.jobs.worlds import World, answering, image, make, moved, small_cells, world
from tiler.cog import BandStatistics
from tiler.grids import Box

NAMES = ("probability", "class", "spread", "count", "latest")
SHEETS = {"one_file_px": 100, "sheet_cells": 1}
SEEN, EMPTY = 3, 1
"""Of four sheets."""
PUBLISHED = ("maps", "markers/publish", "map.json", "map", "run.json", "report.html", "stages/publish.json")


class Then(datetime):
    """A clock that stands still: what is published says when."""

    @classmethod
    def now(cls, tz=None):
        return cls(2026, 5, 6, 7, 8, 9, tzinfo=tz)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> World:
    """A map over four sheets of one cell each, of which one was never seen; nothing is published."""
    here = world(
        tmp_path_factory.mktemp("rasters"),
        grid={"crs": "EPSG:32652", "resolution_m": 10},
        publish=SHEETS,
        outputs=["cog", "stac"],
    )
    here.scene("a", image(40, 330), "2024-03-01", transform=moved(0, 0))
    here.scene("b", image(240, 60, 2), "2023-05-06", transform=moved(60, 40))
    with answering(), small_cells():
        make(here, SerialEngine(1))
    return here


@pytest.fixture
def here(made, monkeypatch):
    """The same before anything is published; one raster is written at a time."""
    for name in PUBLISHED:
        path = made.out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    for name in ("jobs.publish.datetime", "jobs.catalog.datetime"):
        monkeypatch.setattr(name, Then)
    with small_cells():
        yield made


def files(here: World) -> dict[str, bytes]:
    """All that is published but `run.json` and the report, which tell times."""
    paths = [path for path in (here.out / "maps").rglob("*") if path.is_file()]
    return {str(path.relative_to(here.out)): path.read_bytes() for path in (*paths, here.out / "map.json")}


def current(here: World) -> str:
    """The key of the published map."""
    return json.loads((here.out / "map.json").read_text())["key"]


class Watched:
    """Publishing, with what it wrote and which sheets it read to see whether they are empty."""

    def __init__(
        self, here: World, *changes: str, dies_at: int | None = None, terminated_at: int | None = None
    ) -> None:
        self.written: list[tuple[str, str]] = []
        self.read: list[Box] = []
        write, is_empty = module.write_product, module.is_empty

        def written(store, name, box, path, *rest):
            if len(self.written) == dies_at:
                scratch = path.parent / f".{path.name}.a_9killd"  # as the writer leaves it
                scratch.mkdir(parents=True)
                (scratch / "plain.tif").write_bytes(b"half")
                raise KeyboardInterrupt
            if len(self.written) == terminated_at:
                os.kill(os.getpid(), signal.SIGTERM)
            self.written.append((path.parent.name if path.parent.parent.name == "sheets" else "", name))
            return write(store, name, box, path, *rest)

        def looked(store, box):
            self.read.append(box)
            return is_empty(store, box)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "write_product", written)
            patch.setattr(module, "is_empty", looked)
            self.code = main(here.command(*changes))


ONE_FILE = "publish={}"


@pytest.mark.parametrize(
    ("changes", "dies_at", "wanted", "read"),
    [((), 7, SEEN * 5, 1), ((ONE_FILE,), 3, 5, 0)],
)
def test_the_repeated_command_writes_what_is_left_and_the_same_map(here, changes, dies_at, wanted, read, capsys):
    whole = Watched(here, *changes)
    assert (whole.code, len(whole.written)) == (0, wanted)
    expected = files(here)
    shutil.rmtree(here.out / "maps")
    shutil.rmtree(here.out / "markers" / "publish")
    (here.out / "map.json").unlink()

    first = Watched(here, *changes, dies_at=dies_at)
    assert (first.code, len(first.written)) == (130, dies_at)
    assert not (here.out / "map.json").exists()
    assert list((here.out / "maps").rglob("plain.tif"))
    capsys.readouterr()
    then = Watched(here, *changes)
    assert then.code == 0
    assert Counter(first.written + then.written) == Counter(whole.written), "each once"
    assert len(then.read) == read, "sheets that are known to be empty, or not to be, are not read again"
    assert files(here) == expected
    said = capsys.readouterr().err
    assert f"publish   {dies_at}/{wanted} rasters  {100 * dies_at // wanted:2} %" in said
    assert f"publish   {wanted}/{wanted} rasters  100 %" in said


def test_who_is_asked_to_end_finishes_what_is_being_written(here):
    first = Watched(here, terminated_at=4)
    assert first.code == 143
    assert len(first.written) in (5, 6), "another one may have been begun"
    then = Watched(here)
    assert (then.code, len(then.written)) == (0, SEEN * 5 - len(first.written))
    assert not set(then.written) & set(first.written)


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_gets_there(made, tmp_path):
    """Really killed, whatever it is doing then."""
    shutil.copytree(made.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    here = World(tmp_path, made.settings | {"out": str(tmp_path / "out"), "models": made.settings["models"]})
    shutil.rmtree(here.out)
    with answering():
        make(here, SerialEngine(1))  # with cells of the real size, of which this process knows

    def markers() -> int:
        return len(list((here.out / "markers" / "publish").glob("*/*.json")))

    def rasters() -> dict[str, bytes]:
        paths = [path for path in (here.out / "maps").rglob("*") if path.suffix in (".tif", ".vrt")]
        return {path.relative_to(here.out).as_posix(): path.read_bytes() for path in paths}

    command = [sys.executable, "-m", "jobs.publish", here.config]
    for most in (1, 5, 9, 14):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while markers() < most and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert most <= markers() < SEEN * 5 + EMPTY
    assert not (here.out / "map.json").exists()
    subprocess.run(command, check=True, capture_output=True)
    found = rasters()
    assert not [path for path in (here.out / "maps").rglob(".*")]
    for name in ("maps", "markers/publish"):
        shutil.rmtree(here.out / name)
    (here.out / "map.json").unlink()
    subprocess.run(command, check=True, capture_output=True)
    assert rasters() == found
    assert len(found) == SEEN * 5 + 5


def test_a_file_that_is_not_as_it_was_written_is_written_anew(here):
    assert Watched(here).code == 0
    expected = files(here)
    (here.out / "map.json").unlink()
    (folder,) = (here.out / "maps").iterdir()
    paths = sorted(folder.glob("sheets/*/*.tif"))
    assert len(paths) == SEEN * 5
    os.truncate(paths[2], paths[2].stat().st_size - 1)
    data = bytearray(paths[6].read_bytes())
    data[len(data) // 2] ^= 1
    paths[6].write_bytes(data)
    paths[9].unlink()
    again = Watched(here)
    assert again.code == 0
    assert sorted(again.written) == sorted((path.parent.name, path.stem) for path in (paths[2], paths[6], paths[9]))
    assert files(here) == expected
    (here.out / "map.json").unlink()
    found = estimate(plan_run(load(RunConfig, here.config)))
    assert found.done == found.units - 1, "all rasters are not all that is to do"
    assert Watched(here).written == [], "and is believed then"
    assert files(here) == expected


def test_another_map_is_written_whole(here):
    assert len(Watched(here, dies_at=8).written) == 8
    other = Watched(here, "fuse.threshold=0.7")
    assert (other.code, len(other.written)) == (0, SEEN * 5)
    back = Watched(here)
    assert (back.code, len(back.written)) == (0, SEEN * 5 - 8)


def test_a_sweep_leaves_what_is_half_published_and_takes_markers_with_their_map(here):
    def keys() -> list[set[str]]:
        return [{path.name for path in (here.out / name).iterdir()} for name in ("maps", "markers/publish")]

    command = [*here.command("fuse.threshold=0.7"), "--keep-maps", "0"]
    assert Watched(here).code == 0
    before = keys()
    Watched(here, "fuse.threshold=0.7", dies_at=7)
    half = keys()
    assert sweep.main(command) == 0
    assert keys() == half
    assert len(Watched(here, "fuse.threshold=0.7").written) == SEEN * 5 - 7
    assert sweep.main(command) == 0
    assert keys() == [now - then for now, then in zip(half, before, strict=True)] == [{current(here)}] * 2


def test_what_is_left_is_told_beforehand_and_what_was_done_afterwards(here):
    def told():
        return estimate(plan_run(load(RunConfig, here.config)))

    before = told()
    assert (before.units, before.done) == ((SEEN + EMPTY) * 5, 0)
    Watched(here, dies_at=7)
    found = told()
    assert (found.units, found.done) == (before.units, 7 + EMPTY * 5)
    assert found.write_bytes == pytest.approx(before.write_bytes * 8 / 20, rel=0.01)
    Watched(here)
    after = told()
    assert (after.units, after.done, after.write_bytes) == (before.units, before.units, 0)
    cost = json.loads((here.out / "stages" / "publish.json").read_text())
    pointer = json.loads((here.out / "map.json").read_text())
    y0, x0 = (min(sheet["box"][side] for sheet in pointer["sheets"].values()) for side in (0, 1))
    y1, x1 = (max(sheet["box"][side] for sheet in pointer["sheets"].values()) for side in (2, 3))
    assert cost["pixels"] == round((y1 - y0) * (x1 - x0) * 8 / 15)
    written = [path for path in (here.out / "maps").rglob("*") if path.suffix in (".tif", ".vrt", ".qml", ".yaml")]
    kept = sorted(path for path in written if path.suffix == ".tif")
    assert 0 < cost["bytes_written"] < sum(path.stat().st_size for path in written)
    assert len(kept) == SEEN * 5


def test_a_marker_is_of_one_map_and_one_raster(tmp_path):
    storage, folder = Storage(str(tmp_path)), tmp_path / "maps" / "k1"
    raster, statistics = Raster("class", Box(0, 0, 3, 5), "r0_c-1"), (BandStatistics(3, 1.5, 0.1, 1.0, 2.0),) * 2
    path: Path = folder / raster.href
    path.parent.mkdir(parents=True)
    path.write_bytes(b"raster")
    added = FinishedRasters.open(storage, "k1", folder).add(raster, statistics)
    FinishedRasters.open(storage, "k1", folder).add_empty("r0_c0")
    found = FinishedRasters.open(storage, "k1", folder)
    kept = found.find(raster)
    assert kept is not None
    assert (kept.facts(), kept.statistics, kept.kept) == (added.facts(), statistics, True)
    assert not added.kept
    assert [found.is_known_empty(name) for name in ("r0_c0", "r0_c-1")] == [True, False]
    assert found.find(Raster("class", raster.box, "r0_c1")) is None
    assert found.find(Raster("class", raster.box)) is None
    assert FinishedRasters.open(storage, "k2", tmp_path / "maps" / "k2").find(raster) is None
    assert count_finished(storage, "k1", 5) == 6
    path.write_bytes(b"Raster")
    assert FinishedRasters.open(storage, "k1", folder).find(raster) is None
    assert count_finished(storage, "k1", 5) == 5, "its marker is gone before it is written again"
