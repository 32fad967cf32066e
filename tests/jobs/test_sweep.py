"""Sweep: a folder is left with what a run that has nothing would make, and with what was asked to stay."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import rasterio

from cluster import removal
from cluster.engine import SerialEngine
from cluster.logs import runs
from cluster.storage import Storage
from jobs import map as map_job
from jobs import status as status_job
from jobs import sweep as job
from jobs.supervise import supervised
from tests.jobs.test_map import keys_of
from tests.jobs.worlds import World, answering, files_below, image, moved, small_cells, world, write_bundle


@contextmanager
def small():
    with answering(), small_cells():
        yield


def replace(path: Path) -> None:
    with rasterio.open(path, "r+") as file:
        file.write(file.read()[:, ::-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> World:
    """A map of two scenes of which one was replaced, and the folder of a run that never knew the first one."""
    here = world(tmp_path_factory.mktemp("replaced"))
    here.scene("a", image(90, 140, 2), transform=moved(3, 60))
    path = here.scene("b-20240102", image(130, 170), transform=moved(3, 5))
    with small():
        assert map_job.main(here.command()) == 0
        replace(path)
        assert map_job.main(here.command()) == 0
        assert map_job.main(here.command(f"out={here.folder / 'fresh'}")) == 0
    return here


@pytest.fixture
def here(made, tmp_path) -> World:
    """The same in a folder of its own."""
    shutil.copytree(made.out, tmp_path / "out", symlinks=True)
    return World(tmp_path, made.settings | {"out": str(tmp_path / "out")})


def earlier_map(out: Path) -> Path:
    (key,) = json.loads((out / "map.json").read_text())["earlier"]
    return out / "maps" / key


def expected(made: World, out: Path) -> set[str]:
    """The files of a fresh run, and the map before the current one."""
    folders = f"maps/{earlier_map(out).name}", f"markers/publish/{earlier_map(out).name}"
    kept = {f"{folder}/{name}" for folder in folders for name in files_below(out / folder)}
    return set(files_below(made.folder / "fresh")) | kept


def empty_folders(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_what_is_left_is_what_a_fresh_run_makes_and_the_map_before(made, here, capsys, monkeypatch):
    def status() -> dict:
        assert status_job.main([here.config, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    with small():
        assert map_job.main(here.command()) == 0  # run.json holds the folder's name, which is another now
        capsys.readouterr()
        before, size = status(), sum(size for size, _ in files_below(here.out).values())
        assert [stage["stale_stores"] for stage in before["stages"]] == [1, 1, 1, 0]
        wanted = expected(made, here.out)
        assert set(files_below(here.out)) > wanted
        assert job.main([here.config]) == 0
        told = capsys.readouterr().out.splitlines()
        assert [line.split()[:3] for line in told if "stores" in line] == [
            *(["mosaic", "stores", "1"], ["infer", "stores", "1"], ["ingest", "stores", "1"]),
        ]
        assert told[-1].endswith(" freed")
        after = files_below(here.out)
        assert set(after) == wanted
        assert empty_folders(here.out) == []
        assert sum(size for size, _ in after.values()) < size
        kept = status()
        for stage in before["stages"]:
            stage["stale_stores"] = 0
        assert kept == before

        monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("there is nothing to do"))
        assert map_job.main(here.command()) == 0
        assert files_below(here.out) == after
        capsys.readouterr()
        assert job.main([str(here.out)]) == 0, "a folder is enough, and the second time finds nothing"
        assert capsys.readouterr().out == "nothing to remove\n"
        assert files_below(here.out) == after


def whole_or_unmarked(before: dict, out: Path) -> bool:
    """Whether every store of which a marker is left has all the files that it had."""
    now = files_below(out)
    stores = {name.split(".zarr/")[0] for name in before if ".zarr/" in name}
    for store in stores:
        stage, name = store.split("/")
        vouched = [n for n in now if n.startswith((f"markers/{stage}/{name}/", f"markers/{stage}/{name}_"))]
        files = {n for n in before if n.startswith(f"{store}.zarr/")}
        if vouched and not files <= set(now):
            return False
    return True


@pytest.mark.parametrize("after", [1, 9, 40, 75])
def test_whenever_it_is_killed_nothing_is_taken_for_finished_and_the_next_one_does_the_rest(
    made, here, capsys, monkeypatch, after
):
    wanted, before, left = expected(made, here.out), files_below(here.out), iter(range(after))
    remove = removal._unlink

    def killed(path: Path) -> int:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return remove(path)

    with small():
        with monkeypatch.context() as patch:
            patch.setattr(removal, "_unlink", killed)
            assert job.main([here.config]) == 130
        assert "repeat the command to continue" in capsys.readouterr().err
        assert wanted < set(files_below(here.out)) <= set(before)
        assert whole_or_unmarked(before, here.out)
        assert job.main([here.config]) == 0
    assert set(files_below(here.out)) == wanted
    assert empty_folders(here.out) == []


def test_a_store_that_went_in_part_is_not_complete(here, capsys, monkeypatch):
    """Of a scene that comes back the store is made anew: the sign that it is there goes before its arrays."""
    remove = removal._unlink

    def only_markers(path: Path) -> int:
        if "markers" not in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return remove(path)

    current = json.loads((here.out / "run.json").read_text())["map"]["key"]
    (stale,) = [path for path in (here.out / "mosaic").iterdir() if path.stem != current]
    monkeypatch.setattr(removal, "_unlink", only_markers)
    with small():
        assert job.main([here.config]) == 1
    assert "asked to remove" in capsys.readouterr().err
    assert stale.is_dir()
    assert not (stale / "zarr.json").exists()
    assert not list((here.out / "markers" / "mosaic").glob(f"{stale.stem}_*"))


def test_a_dry_run_says_the_same_and_touches_nothing(here, capsys):
    with small():
        before, count = files_below(here.out), len(runs(Storage(str(here.out))))
        target = here.config
        assert job.main([target, "--dry-run"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert files_below(here.out) == before
        assert len(runs(Storage(str(here.out)))) == count
        assert job.main([here.config]) == 0
        assert capsys.readouterr().out.splitlines()[:-1] == said


def test_while_a_run_is_at_work_nothing_is_removed(here, capsys):
    config = job.configs_of(here.config)[0]
    with small(), supervised("map", config, "sandan map x.yaml", join=False):
        before = files_below(here.out)
        assert job.main([here.config]) == 4
        assert "'sandan map x.yaml' on" in capsys.readouterr().err
        assert files_below(here.out) == before


def test_what_the_published_map_is_made_of_stays_until_another_is_published(here, made, tmp_path, capsys):
    other = write_bundle(tmp_path / "other", 8)
    with small():
        assert job.main([here.config]) == 0
        swept = files_below(here.out)
        changed = World(tmp_path, here.settings | {"models": [other]})
        assert job.main([changed.config]) == 0
        assert files_below(here.out) == swept, "the map of other bundles is not made yet"
        assert job.main([str(here.out), "--set", "fuse.threshold=0.4"]) == 2
        record = (here.out / "run.json").read_text()
        (here.out / "run.json").write_text(json.dumps(json.loads(record) | {"products": {"key": "another"}}))
        shutil.rmtree(here.out / "logs")  # else the last run tells
        assert job.main([changed.config]) == 2
        assert "run.json does not say what it is made of; run `sandan publish`" in capsys.readouterr().err
        assert map_job.main(changed.command()) == 0
        assert job.main([changed.config, "--keep-maps", "0"]) == 0
        key = json.loads((here.out / "map.json").read_text())["key"]
        assert [path.name for path in (here.out / "maps").iterdir()] == [key]
        assert len(list((here.out / "infer").iterdir())) == 2
        assert len(list((here.out / "decisions").iterdir())) == 1


def test_what_the_last_run_was_told_counts_too(here, monkeypatch):
    """A run with --set that did not come to its end is not undone by a sweep that was not told."""
    change = "infer.overlap_px=0"
    with small():
        with monkeypatch.context() as patch:
            patch.setattr("jobs.map.mosaic", lambda *_: (_ for _ in ()).throw(RuntimeError("power cut")))
            assert map_job.main(here.command(change)) == 1
        there = set((here.out / "infer").iterdir())
        assert job.main([here.config]) == 0
        left = set((here.out / "infer").iterdir())
        assert len(there - left) == 1, "of the scene that was replaced"
        assert len(left) == 4
        assert map_job.main(here.command()) == 0
        assert job.main([here.config, "--keep-logs", "1"]) == 0
        assert len(list((here.out / "infer").iterdir())) == 2
        assert [name.split("-")[1] for name in runs(Storage(str(here.out)))] == ["map", "sweep"]


def test_where_only_a_cluster_could_say_what_is_meant_logits_stay(here, monkeypatch):
    before = files_below(here.out)
    monkeypatch.setattr("jobs.unused.decide", lambda *_: None)
    with small():
        assert job.main([here.config]) == 0
    after = set(files_below(here.out))
    assert {name.split("/")[0] for name in set(before) - after} == {"ingest", "markers"}
    assert {name for name in before if name.startswith(("infer/", "mosaic/", "maps/", "markers/infer"))} < after


@pytest.mark.parametrize("words", [["--keep-maps", "-1"], ["--keep-logs", "0"], ["--set", "nonsense=1"]])
def test_bad_input(here, capsys, words):
    before = files_below(here.out)
    assert job.main([here.config, *words]) == 2
    assert capsys.readouterr().err.startswith("sandan sweep: ")
    assert files_below(here.out) == before
    assert job.main([str(here.folder / "nowhere")]) == 2


def test_in_an_object_store(tmp_path, bucket, capsys):
    here = world(tmp_path, out=bucket)
    path = here.scene("only-20240203", image(70, 90))
    with small():
        assert map_job.main(here.command()) == 0
        first = keys_of(bucket)
        replace(path)
        assert map_job.main(here.command()) == 0
        # The only scene is another one: every store that was there is stale, and so are its markers.
        stale = {key for key in first if key.startswith(("ingest/", "infer/", "mosaic/", "markers/"))}
        stale -= {key for key in first if key.startswith("markers/publish/")}  # the map before stays
        before = keys_of(bucket)
        assert stale < set(before)
        assert job.main([here.config]) == 0
        after = keys_of(bucket)
        assert set(after) == set(before) - stale
        assert map_job.main(here.command()) == 0
        assert keys_of(bucket) == after
    assert "freed" in capsys.readouterr().out
