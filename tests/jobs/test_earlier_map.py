"""Sites through maps that succeed one another: since when each is known, and which map it was continued from."""

import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.storage import Storage
from jobs import map as map_job
from jobs import publish as publish_job
from jobs import status as status_job
from jobs.config import RunConfig
from jobs.earlier_map import CONTINUES, check_earlier, earlier_map, open_earlier, polygons_facts
from jobs.parsing import load
from jobs.plan import Run, plan_run
from jobs.published import current
from jobs.unused import wanted_map
from tests.jobs.worlds import UTM51, World, answering, small_cells, world
from tests.servers import object_store
from tiler.grids import MapGrid

PATCHES = {  # rows and columns of a scene of 80 x 112 px; map cells meet at row 49 and column 33
    "stays": (slice(40, 60), slice(25, 45)),
    "grows": (slice(4, 10), slice(4, 10)),
    "splits": (slice(4, 10), slice(60, 80)),
    "one": (slice(20, 26), slice(60, 66)),
    "other": (slice(20, 26), slice(72, 78)),
    "goes": (slice(66, 72), slice(80, 90)),
}
FIRST, SECOND, THIRD = date(2023, 5, 1), date(2024, 6, 2), date(2025, 7, 3)


def scene_of(*patches: str | tuple[slice, slice]) -> np.ndarray:
    """Return uint16 (4, y, x): the pointwise network finds these patches and nothing else."""
    array = np.full((4, 80, 112), 200, np.uint16)
    for patch in patches:
        array[:, *(PATCHES[patch] if isinstance(patch, str) else patch)] = 9000
    return array


def mapped(here: World, array: np.ndarray, day: date | None, *changes: str) -> dict[str, date | None]:
    """Map one scene in place of all; return since when each site is known, by row and column of its first pixel."""
    here.settings["scenes"] = []
    name = "undated" if day is None else f"{day:s-%Y%m%d}"
    here.scene(name, array)
    assert map_job.main(here.command(*changes)) == 0
    return dates(here)


def again(here: World, *changes: str) -> dict[str, date | None]:
    """Publish what is there, with other settings."""
    assert publish_job.main(here.command(*changes)) == 0
    return dates(here)


def dates(here: World) -> dict[str, date | None]:
    table = pq.read_table(here.out / "map" / "polygons.parquet")
    left, top = 327_350.0, 4_178_410.0
    found = {}
    for row in table.to_pylist():
        box = row["bbox"]
        found[f"{(top - box['ymax']) / 10:.0f} {(box['xmin'] - left) / 10:.0f}"] = row["first_seen"]
        assert row["last_seen_from"] is None or row["first_seen"] <= row["last_seen_from"]
    assert len(found) == len(table)
    return found


def told(here: World) -> Mapping:
    pointer = json.loads((here.out / "map.json").read_text())
    return {"key": pointer["key"], **pointer["files"]["polygons"]}


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Networks whose answer is known, and cells that scenes cross."""
    with answering(), small_cells():
        yield


@pytest.fixture
def here(tmp_path) -> World:
    return world(tmp_path, outputs=["polygons"])


def test_sites_that_stay_grow_split_merge_go_and_return(here, capsys):
    found = mapped(here, scene_of(*PATCHES), FIRST)
    assert found == dict.fromkeys(("40 25", "4 4", "4 60", "20 60", "20 72", "66 80"), FIRST)
    assert told(here)[CONTINUES] is None

    grown, bridge, fresh = (slice(4, 14), slice(4, 18)), (slice(22, 24), slice(66, 72)), (slice(4, 9), slice(100, 110))
    second = scene_of(*PATCHES, grown, bridge, fresh)
    second[:, 4:10, 69:71] = 200  # splits
    second[:, 66:72, 80:90] = 200  # goes
    found = mapped(here, second, SECOND)
    stays = {"40 25": FIRST, "4 4": FIRST, "4 60": FIRST, "4 71": FIRST, "20 60": FIRST}
    assert found == {**stays, "4 100": SECOND}
    one = told(here)
    assert one[CONTINUES] | {"sha256": ""} == {
        "asked": "auto", "run": None, "key": one[CONTINUES]["key"], "file": one[CONTINUES]["file"], "sha256": ""
    }  # fmt: skip

    third = second.copy()
    third[:, 66:72, 80:90] = 9000  # is back: it begins anew
    third[:, 22:24, 66:72] = 200  # what had become one is two again
    expected = {**stays, "20 72": FIRST, "4 100": SECOND, "66 80": THIRD}
    assert mapped(here, third, THIRD) == expected

    # Settings that somebody tries on the way leave no trace.
    then = told(here)
    assert again(here, "polygons.min_area_m2=5500") == {"40 25": FIRST, "4 4": FIRST, "66 80": THIRD}
    assert told(here)[CONTINUES] == then[CONTINUES]
    shutil.rmtree(here.out / "maps" / then["key"])  # as a sweep does
    assert again(here) == expected
    assert told(here) == then
    assert again(here, "polygons.earlier=none") == dict.fromkeys(expected, THIRD)  # and this is how to begin anew
    capsys.readouterr()


def test_what_was_continued_may_be_gone_and_what_has_no_date_has_none(here, capsys):
    mapped(here, scene_of("stays", "goes"), FIRST)
    mapped(here, scene_of("stays", "grows"), None)
    assert dates(here) == {"40 25": FIRST, "4 4": None}
    first = json.loads((here.out / "map.json").read_text())["earlier"][0]
    shutil.rmtree(here.out / "maps" / first)
    capsys.readouterr()
    assert again(here, "polygons.simplify_px=1") == {"40 25": FIRST, "4 4": None}
    assert f"has map {first} no more; first_seen goes on from what is published here" in capsys.readouterr().err
    # Files of an earlier version have no such column, and their lists do not say what they continue.
    pointer = json.loads((here.out / "map.json").read_text())
    for name in ("polygons", "polygons_flatgeobuf"):
        del pointer["files"][name][CONTINUES]
    (here.out / "map.json").write_text(json.dumps(pointer))
    (here.out / "map" / "polygons.fgb").write_bytes(b"something else")
    found = mapped(here, scene_of("stays", "grows"), SECOND)
    assert found == {"40 25": SECOND, "4 4": SECOND}
    assert "first_seen begins anew" in capsys.readouterr().err
    assert told(here)[CONTINUES] is None


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> World:
    """A run of 2023 with polygons as GeoParquet alone."""
    here = world(tmp_path_factory.mktemp("before"), outputs=["polygons"], polygons={"formats": ["geoparquet"]})
    mapped(here, scene_of(*PATCHES), FIRST)
    return here


def planned(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, list(changes)))


def test_a_run_that_is_named_is_continued_instead_of_the_last_map(here, before, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(before.out, moved, symlinks=True)
    named = f"polygons.earlier={moved}"
    assert mapped(here, scene_of("stays", (slice(70, 78), slice(4, 14))), SECOND, named) == {
        "40 25": FIRST,
        "70 4": SECOND,
    }
    found = [polygons_facts(planned(here, f"polygons.earlier={one}")) for one in (moved, before.config, "none", "auto")]
    assert found[0] == found[1]
    assert len({one["earlier"] for one in found}) == 3  # and so are the keys of what is published
    expected = {"40 25": FIRST, "66 80": FIRST, "70 4": THIRD}
    assert mapped(here, scene_of("stays", "goes", (slice(70, 78), slice(4, 15))), THIRD, named) == expected
    one = told(here)
    assert (one[CONTINUES]["run"], one[CONTINUES]["asked"]) == (str(moved), str(moved))
    capsys.readouterr()
    for own in (here.out, here.config):
        assert publish_job.main(here.command(f"polygons.earlier={own}")) == 2
        assert "is this run itself; leave it out" in capsys.readouterr().err

    # Once it is continued, it may go: nothing is done again, and what is done anew knows its dates.
    shutil.rmtree(moved)
    here.settings["polygons"] = {"earlier": str(moved)}
    assert publish_job.main(here.command()) == 0
    assert told(here) == one
    assert status_job.main([here.config]) == 0
    assert wanted_map(planned(here)) == current(planned(here).storage)["key"]
    assert publish_job.main(here.command("polygons.connectivity=4")) == 0
    assert dates(here) == expected
    assert told(here)[CONTINUES] == one[CONTINUES]
    assert "first_seen goes on from what is published here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (lambda folder: shutil.rmtree(folder), ["has no published map yet", "check the path", "earlier: none"]),
        (lambda folder: (folder / "map" / "polygons.parquet").unlink(), ["does not exist", "earlier: none"]),
        (lambda folder: (folder / "map" / "polygons.parquet").write_bytes(b"PAR1"), ["cannot be read as sites"]),
        (lambda folder: _pointer(folder, {"class": {}}), ["no polygons as GeoParquet or FlatGeobuf, only ['class']"]),
        (lambda folder: _elsewhere(folder), ["lie elsewhere than the scenes"]),
    ],
)
def test_a_named_run_that_cannot_be_continued_is_told_before_anything_runs(
    here, before, tmp_path, capsys, spoil, parts
):
    named = tmp_path / "named"
    shutil.copytree(before.out, named, symlinks=True)
    spoil(named)
    here.scene("only", scene_of("stays"))
    assert map_job.main(here.command(f"polygons.earlier={named}")) == 2
    said = capsys.readouterr().err
    for part in ("polygons.earlier: ", str(named), *parts):
        assert part in said
    assert said.count("\n") == 1
    assert not here.out.exists()
    here.settings["outputs"] = ["cog"]  # then nobody asks
    check_earlier(planned(here, f"polygons.earlier={named}"))


def _pointer(folder: Path, files: Mapping) -> None:
    pointer = json.loads((folder / "map.json").read_text())
    (folder / "map.json").write_text(json.dumps(pointer | {"files": files}))


def _elsewhere(folder: Path) -> None:
    path = (folder / "map" / "polygons.parquet").resolve()
    table = pq.read_table(path)
    geo = json.loads(pq.read_metadata(path).metadata[b"geo"])
    geo["columns"]["geometry"]["bbox"] = [side + 90_000 for side in geo["columns"]["geometry"]["bbox"]]
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def test_a_run_in_an_object_store_is_copied_to_the_scratch_folder(here, before, tmp_path, capsys):
    with object_store("earlier") as bucket:
        remote = Storage(f"{bucket}/run")
        for file in before.out.rglob("*"):
            if file.is_file() and "maps" in file.parts:
                remote.put_file(file.relative_to(before.out).as_posix(), file)
        remote.put("map.json", (before.out / "map.json").read_bytes())
        remote.put("run.json", (before.out / "run.json").read_bytes())
        here.scene("only", scene_of("stays"))
        run = planned(here, f"polygons.earlier={bucket}/run")
        check_earlier(run)
        found = earlier_map(run, "another")
        assert found.run == remote.url
        sites = open_earlier(found, run.storage, ("industrial",), MapGrid(UTM51, (10.0, 10.0)), tmp_path)
        assert len(sites.days) == len(PATCHES) + 1
        assert (tmp_path / "polygons.parquet").exists()
        remote.put(found.file, b"PAR1 and no more")
        (tmp_path / "new").mkdir()
        with pytest.raises(ValueError, match=r"polygons.earlier: .* cannot be read as sites .*earlier: none"):
            open_earlier(found, run.storage, ("industrial",), MapGrid(UTM51, (10.0, 10.0)), tmp_path / "new")
