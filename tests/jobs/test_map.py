"""The whole line, end to end: one map whatever did the work, nothing done twice, bad input refused before the start."""

import importlib.util
import json
import os
import re
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from cluster.engine import SerialEngine
from cluster.storage import Storage
from jobs import map as job
from jobs import runner
from jobs.map import main
from models.bundle import load_bundle
from tests.jobs.test_mosaic import near_the_border
from tests.jobs.worlds import (
    INFER,
    KOREA,
    UTM51,
    UTM52,
    ShuffledEngine,
    World,
    answering,
    assert_same_map,
    damage,
    files_below,
    image,
    layers,
    logit_of,
    moved,
    repair,
    rounding,
    small_cells,
    undamaged,
    world,
    write_bundle,
    write_tif,
)
from tests.windows import window_of
from tiler.map_store import MapStore

PRODUCTS = ("probability", "class", "spread", "count", "latest")
THRESHOLD = 0.08
"""About where the untrained networks say class as often as background."""


def store_of(out: Path) -> MapStore:
    key = json.loads((out / "run.json").read_text())["map"]["key"]
    return MapStore(str(out / "mosaic" / f"{key}.zarr"))


def two_scenes(folder: Path, **settings: object) -> World:
    """Two scenes that overlap, one with a hole."""
    here = world(folder, **settings)
    array = image(100, 140)
    array[:, 30:50, 20:60] = 0
    here.scene("b-20240102", array)
    here.scene("a-20230506", image(90, 130, 2), transform=moved(40, 77))
    return here


@pytest.fixture
def work(monkeypatch) -> list[tuple[str, int]]:
    """What engines are asked to run: the stage, and how many units."""
    asked: list[tuple[str, int]] = []
    run = SerialEngine.run

    def watched(self, factory, keys, stop=None, at_once=2):
        keys = list(keys)
        asked.append((factory.fields["stage"], len(keys)))
        return run(self, factory, keys, stop, at_once)

    monkeypatch.setattr(SerialEngine, "run", watched)
    return asked


# ---- one map, whoever made it --------------------------------------------------


@pytest.fixture(scope="module")
def both_engines(tmp_path_factory) -> World:
    """The same configuration mapped by this process, and by two workers of Ray."""
    here = world(tmp_path_factory.mktemp("engines"), models=2, grid={"crs": KOREA, "resolution_m": 12})
    here.settings["infer"] |= {"tta": "flips4"}
    here.settings["fuse"] = {"threshold": THRESHOLD}
    array = image(150, 190)
    array[:, 40:60, 70:90] = 0
    east, west = near_the_border(UTM52, -70, -60, 150, 190), near_the_border(UTM51, -50, -80, 130, 97)
    here.scene("east", array, "2024-02-03", crs=UTM52, transform=east.affine)
    here.scene("west", image(130, 97, 3), "2023-02-03", crs=UTM51, transform=west.affine)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        assert main(here.command()) == 0
        ray = ["engine={kind: ray, workers: 2, threads_per_worker: 1}", f"out={here.folder / 'ray'}"]
        assert main(here.command(*ray)) == 0
    return here


def test_two_workers_of_ray_make_the_map_of_one_process(both_engines):
    serial, ray = (json.loads((both_engines.folder / n / "run.json").read_text()) for n in ("out", "ray"))
    assert ray["stages"]["infer"]["engine"]["kind"] == "ray"
    assert ray["stages"]["infer"]["engine"]["workers"] == 2
    assert serial["map"] == ray["map"]
    one, two = (layers(store_of(both_engines.folder / name)) for name in ("out", "ray"))
    assert_same_map(two, one)
    assert np.nanstd(one["logit"]) > 0.3
    assert set(np.unique(one["count"])) == {0, 1, 2}
    classes = []
    for name in ("out", "ray"):
        with rasterio.open(both_engines.folder / name / "map" / "class.tif") as data:
            classes.append(data.read(1))
    with np.errstate(invalid="ignore"):
        sure = ~(np.abs(one["logit"] - np.log(THRESHOLD / (1 - THRESHOLD))) <= rounding(one["logit"]))
    np.testing.assert_array_equal(classes[0][sure], classes[1][sure])
    assert min((classes[0] == value).mean() for value in (0, 1, 255)) > 0.05


def test_the_map_is_that_of_the_networks(both_engines):
    """Far from every window's border a pixel is the plain mean over networks and views of its window alone."""
    from jobs.config import RunConfig
    from jobs.decisions import decide
    from jobs.parsing import load
    from jobs.plan import plan_run
    from tests.jobs.test_infer import by_hand, stores

    run = plan_run(load(RunConfig, both_engines.config))
    plan = run.logits(decide(run, None))[0]
    scene, logits = stores(run, plan)
    tile = scene.network_input(logits.lattice.window(1, 1))
    mean, _ = by_hand(both_engines.settings["models"], tile, True)
    found = window_of(logits, 1, 1)[:1].astype(np.float32)
    assert (np.abs(found - mean) <= rounding(mean)).all()


def test_who_works_does_not_matter_for_what_is_done(both_engines, capsys, monkeypatch):
    """A map that one process made is finished for Ray as well: no worker starts."""
    monkeypatch.setattr("cluster.ray_engine.connect", lambda *_: pytest.fail("Ray was asked for"))
    before = files_below(both_engines.out / "infer") | files_below(both_engines.out / "map")
    assert main(both_engines.command("engine={kind: ray, workers: 3}")) == 0
    assert files_below(both_engines.out / "infer") | files_below(both_engines.out / "map") == before
    whole = files_below(both_engines.folder / "ray")
    again = ["engine={kind: ray, workers: 2, threads_per_worker: 1}", f"out={both_engines.folder / 'ray'}"]
    assert main(both_engines.command(*again)) == 0
    assert files_below(both_engines.folder / "ray") == whole


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_gives_the_same_files(tmp_path, monkeypatch, seed):
    """Down to the bytes of every product."""
    found = []
    for number, engine in enumerate((SerialEngine(1), ShuffledEngine(seed))):
        monkeypatch.setattr(job, "engine_of", lambda _, engine=engine: engine)
        here = two_scenes(tmp_path / str(number), grid={"crs": KOREA, "resolution_m": 9})
        with answering(), small_cells():
            assert main(here.command()) == 0
        found.append([(here.out / "map" / f"{name}.tif").read_bytes() for name in PRODUCTS])
    keys = [json.loads((tmp_path / str(n) / "out" / "run.json").read_text())["map"]["key"] for n in (0, 1)]
    for name, one, two in zip(PRODUCTS, *found, strict=True):
        # the files say which run they are of, and that is named by its scenes' files, which differ in their dates
        assert one.replace(keys[0].encode(), b"") == two.replace(keys[1].encode(), b""), name


class Interrupted(SerialEngine):
    """An engine that is stopped after some units."""

    left = 0

    def run(self, factory, keys, stop=None, at_once=2):
        for done in super().run(factory, keys, stop):
            Interrupted.left -= 1
            if Interrupted.left < 0:
                raise KeyboardInterrupt
            yield done


@pytest.mark.parametrize("after", [1, 7, 16])
def test_interrupted_anywhere_the_same_command_finishes_the_same_map(tmp_path, monkeypatch, after, work):
    here = two_scenes(tmp_path)
    with answering(), small_cells():
        assert main(here.command(f"out={tmp_path / 'whole'}")) == 0
        units = sum(count for _, count in work)
        work.clear()
        Interrupted.left = after
        with monkeypatch.context() as patch:
            patch.setattr(job, "engine_of", lambda _: Interrupted(1))
            assert main(here.command()) == 130
        assert not (here.out / "run.json").exists()
        work.clear()
        assert main(here.command()) == 0
        one, two = layers(store_of(tmp_path / "whole")), layers(store_of(here.out))
    assert sum(count for _, count in work) == units - after - 1  # the unit at which it stopped had been done
    assert one["count"].any()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values)


# ---- nothing is done twice -----------------------------------------------------


def test_an_unchanged_rerun_does_no_work_and_touches_no_file(tmp_path, work):
    here = two_scenes(tmp_path)
    with answering(), small_cells():
        assert main(here.command()) == 0
        assert [stage for stage, _ in work] == ["ingest", "ingest", "infer", "mosaic"]
        work.clear()
        before = files_below(here.out)
        assert main(here.command()) == 0
    assert work == []
    assert files_below(here.out) == before


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("fuse.threshold=0.35", []),
        ("outputs=[cog]", []),
        ("grid={crs: EPSG:5179, resolution_m: 20}", ["mosaic"]),
        ("infer.overlap_px=0", ["infer", "mosaic"]),
        ("models=[{folder}/other]", ["infer", "mosaic"]),
    ],
)
def test_a_change_redoes_what_it_touches(tmp_path, work, change, stages):
    here = two_scenes(tmp_path)
    write_bundle(tmp_path / "other", 8)
    with answering(), small_cells():
        assert main(here.command()) == 0
        work.clear()
        published = (here.out / "map.json").read_bytes()
        kept = files_below(here.out / "ingest") | files_below(here.out / "infer") | files_below(here.out / "mosaic")
        assert main(here.command(change.replace("{folder}", str(tmp_path)))) == 0
        assert [stage for stage, _ in work] == stages
        assert (here.out / "map.json").read_bytes() != published
        found = files_below(here.out / "ingest") | files_below(here.out / "infer") | files_below(here.out / "mosaic")
        assert {name: found[name] for name in kept} == kept
        work.clear()
        assert main(here.command()) == 0  # and back: the old logits and the old map are still there
    assert work == []


def test_new_weights_in_the_same_folder_are_another_network(tmp_path, work):
    here = two_scenes(tmp_path)
    with answering(), small_cells():
        assert main(here.command()) == 0
        work.clear()
        write_bundle(tmp_path / "net0", 77)
        assert main(here.command()) == 0
    assert [stage for stage, _ in work] == ["infer", "mosaic"]


def test_another_scene_costs_another_scene(tmp_path, work):
    here = two_scenes(tmp_path)
    with answering(), small_cells():
        assert main(here.command()) == 0
        first = dict(work)
        work.clear()
        here.scene("c-20240607", image(64, 64, 5), transform=moved(-30, -20))
        assert main(here.command()) == 0
    assert first["infer"] > 10
    assert work[0] == ("ingest", 1)
    assert dict(work)["infer"] == 1


def table(capsys) -> dict[str, tuple[int, int, int]]:
    """Stage to units, done and to do, as the dry run prints them."""
    lines = capsys.readouterr().out.split("\n")[2:]
    found = [re.match(r"(\w+) +(\d+) [a-z ]*?  +(\d+) +(\d+) ", line) for line in lines]
    return {m[1]: (int(m[2]), int(m[3]), int(m[4])) for m in found if m}


def test_a_dry_run_touches_nothing_and_tells_what_is_done(tmp_path, capsys, monkeypatch):
    here = two_scenes(tmp_path)
    config = here.command()
    before = files_below(tmp_path)
    with small_cells(), monkeypatch.context() as patch:
        patch.setattr(job, "engine_of", lambda _: pytest.fail("a dry run needs no worker"))
        assert main([*config, "--dry-run"]) == 0
        found = table(capsys)
        assert list(found) == ["ingest", "infer", "mosaic", "publish"]
        assert all(done == 0 and left == units > 0 for units, done, left in found.values())
        assert files_below(tmp_path) == before
        assert not here.out.exists()
    with answering(), small_cells():
        assert main(config) == 0
        capsys.readouterr()
        before = files_below(here.out)
        assert main([*config, "--dry-run"]) == 0
        assert table(capsys) == {stage: (units, units, 0) for stage, (units, _, _) in found.items()}
        assert main([*config, "--set", "fuse.threshold=0.2", "--dry-run"]) == 0
        assert [left for _, _, left in table(capsys).values()] == [0, 0, 0, len(PRODUCTS)]
        assert main([*config, "--set", "infer.overlap_px=0", "--dry-run"]) == 0
        assert [left > 0 for _, _, left in table(capsys).values()] == [False, True, True, True]
    assert files_below(here.out) == before


# ---- damaged scenes ------------------------------------------------------------


def test_a_damaged_scene_is_set_aside_and_named_until_it_is_repaired(tmp_path, capsys, work):
    here = two_scenes(tmp_path)
    bad = here.scene("Bad-1", image(333, 290, 4), transform=moved(-150, -100), **undamaged())
    kept = damage(bad)
    with answering(), small_cells():
        assert main(here.command()) == 3
        told = capsys.readouterr().err
        assert re.search(r"quarantined: ingest/Bad-1-\w+/r0_c0: .*Bad-1\.tif", told)
        record = json.loads((here.out / "run.json").read_text())
        assert len(record["quarantined"]) == 1
        assert next(iter(record["quarantined"])).startswith("ingest/Bad-1-")
        assert [s["id"] for s in record["scenes"]] == ["a-20230506", "b-20240102"]
        assert "Bad-1.tif" in (here.out / "report.html").read_text()
        first = layers(store_of(here.out))
        grid = store_of(here.out).grid
        before = files_below(here.out / "map")
        work.clear()
        assert main(here.command()) == 3  # nobody repaired it: it is tried again, and nothing else is done
        assert work == [("ingest", 1)]
        assert files_below(here.out / "map") == before
        repair(bad, kept)
        work.clear()
        assert main(here.command()) == 0
        assert [stage for stage, _ in work] == ["ingest", "ingest", "infer", "mosaic"]
        assert json.loads((here.out / "run.json").read_text())["quarantined"] == {}
        assert "Bad-1.tif" not in (here.out / "report.html").read_text().split("Configuration")[0]
        assert store_of(here.out).grid == grid  # decided from the first scene by id, though it could not be read
        assert (layers(store_of(here.out))["count"] > 0).sum() > (first["count"] > 0).sum()
        alone = two_scenes(tmp_path / "alone")  # the healthy scenes, had the damaged one never been named
        assert main(alone.command()) == 0
        assert_same_map(first, layers(store_of(alone.out)))


def test_no_scene_that_can_be_read_is_a_fault_not_an_empty_map(tmp_path, capsys):
    here = world(tmp_path)
    damage(here.scene("bad", image(333, 290), **undamaged()))
    assert main(here.command()) == 1
    assert "no scene could be mapped; nothing is published" in capsys.readouterr().err
    assert not (here.out / "run.json").exists()
    assert not (here.out / "map").exists()


# ---- an area -------------------------------------------------------------------


def test_only_windows_that_touch_the_area_are_inferred(tmp_path):
    import shapely

    here = world(tmp_path, infer=INFER | {"overlap_px": 0})
    array = image(256, 320)
    path = here.scene("only", array)
    with rasterio.open(path) as data:
        # pixels [70, 120) x [70, 135): windows (1, 1) and (1, 2) of 4 x 5
        left, top = data.transform @ (70, 70)
        right, bottom = data.transform @ (135, 120)
    polygon = shapely.box(left, bottom, right, top)
    area = tmp_path / "area.geojson"
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32652"}}
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(polygon))}
    area.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    with answering(), small_cells():
        assert main(here.command(f"area={area}")) == 0
        found = layers(store_of(here.out))
    record = json.loads((here.out / "run.json").read_text())
    assert record["stages"]["infer"]["windows"] == 2
    expected = np.full((256, 320), np.nan, np.float32)
    expected[64:128, 64:192] = logit_of(array)[64:128, 64:192]
    np.testing.assert_array_equal(np.isnan(found["logit"]), np.isnan(expected))
    inside = ~np.isnan(expected)
    assert (np.abs(found["logit"] - expected)[inside] <= rounding(expected[inside])).all()
    np.testing.assert_array_equal(found["count"], inside)
    with rasterio.open(here.out / "map" / "class.tif") as data:
        np.testing.assert_array_equal(data.read(1) == 255, ~inside)


# ---- bad input -----------------------------------------------------------------


def truncated(here: World) -> None:
    path = next((here.folder / "scenes").glob("b*.tif"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def corrupt(here: World) -> None:
    next((here.folder / "scenes").glob("b*.tif")).write_bytes(b"II*\0" + bytes(range(256)) * 3)


def unlike(here: World) -> None:
    write_tif(here.folder / "pieces" / "one.tif", image(40, 50))
    write_tif(here.folder / "pieces" / "two.tif", image(40, 50)[:3], transform=moved(40, 0))
    here.settings["scenes"].append({"id": "odd", "files": str(here.folder / "pieces")})


def alien_bundle(here: World) -> None:
    here.settings["models"] = [write_bundle(here.folder / "alien", channels=("red", "swir16"))]


def no_weights(here: World) -> None:
    (here.folder / "net0" / "weights.safetensors").unlink()


def bad_card(here: World) -> None:
    (here.folder / "net0" / "card.json").write_text('{"format": 1}')


def out_is_a_file(here: World) -> None:
    here.out.write_text("mine")


def same_ids(here: World) -> None:
    here.settings["scenes"][1]["id"] = "b-20240102"


def setting(**values: object) -> Callable[[World], None]:
    return lambda here: here.settings.update(values)


BANDS = {"red": 1, "green": 2, "blue": 3}
BAD: dict[str, tuple[Callable[[World], None] | str, str]] = {
    "no scene matches": (setting(scenes="nothing/*.tif"), "no file matches 'nothing/*.tif'"),
    "no file of a scene": ("scenes.1.files=gone.tif", "scene a-20230506: no file matches 'gone.tif'"),
    "no scenes": (setting(scenes=[]), "scenes: the list is empty"),
    "band not named": ("scenes.0.bands={red: 1, green: 2, blue: 3}", "add ['nir']"),
    "band not in the file": ("scenes.0.bands={red: 1, green: 2, blue: 3, nir: 9}", "band number 9 is wanted"),
    "corrupt file": (corrupt, "b-20240102.tif"),
    "truncated file": (truncated, "b-20240102.tif is damaged"),
    "pieces unlike": (unlike, "its files differ in bands"),
    "same ids": (same_ids, "['b-20240102']"),
    "unknown key": (setting(treshold=3), "unknown key 'treshold'"),
    "nearest key": (setting(infer=INFER | {"overlap": 3}), "did you mean 'overlap_px'?"),
    "malformed override": ("infer.overlap_px", "--set wants key=value, got 'infer.overlap_px'"),
    "no bundle": ("models=[{folder}/gone]", "no bundle at {folder}/gone"),
    "no bundles": (setting(models=[]), "names no bundle"),
    "channels": (alien_bundle, "['swir16'] would be missing"),
    "weights gone": (no_weights, "weights.safetensors"),
    "card damaged": (bad_card, "card.json is not a card"),
    "unknown CRS": ("grid={crs: EPSG:999999, resolution_m: 10}", "'EPSG:999999' is unknown"),
    "unit of the grid": ("grid={crs: EPSG:4326, resolution_m: 10}", "give resolution_deg"),
    "out is a file": (out_is_a_file, "out: {folder}/out cannot be written"),
    "out below a file": ("out={folder}/map.yaml/deep", "{folder}/map.yaml is not a writable folder"),
    "modalities": (setting(modalities=["era5"]), "should be a mapping with the keys ['sensor', 'files'], got 'era5'"),
    "sensor of a modality": ("modalities=[{sensor: GEMMS, files: gems/*.tif}]", "did you mean 'GEMS'?"),
    "sensor": (setting(sensor="SN11"), "did you mean 'SN10'?"),
    "area": ("area=gone.geojson", "gone.geojson does not exist"),
    "labels": ("labels={files: gone.tif, codes: {1: 1}}", "no file matches 'gone.tif'"),
    "tile": ("infer.tile_px=100", "multiple of 32"),
    "overlap": ("infer.overlap_px=48", "multiple of 32"),
    "engine": ("engine.kind=sparc", "'sparc' is unknown"),
    "workers": ("engine.workers=0", "workers is 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_before_anything_starts(tmp_path, capsys, monkeypatch, case):
    change, told = BAD[case]
    here = two_scenes(tmp_path)
    for module in ("ingest", "infer", "mosaic", "map"):
        importlib.import_module(f"jobs.{module}")
        monkeypatch.setattr(f"jobs.{module}.engine_of", lambda _: pytest.fail("no worker may start"))
    changes = [change.format(folder=tmp_path) if "{folder}" in change else change] if isinstance(change, str) else []
    if not isinstance(change, str):
        change(here)
    command = here.command(*changes)
    before = files_below(tmp_path)
    assert main(command) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("sandan map: ")
    assert told.replace("{folder}", str(tmp_path)) in error
    assert error.count("\n") == 1
    assert files_below(tmp_path) == before
    assert not here.out.is_dir()


def test_a_place_that_may_not_be_written_is_refused(tmp_path, capsys, monkeypatch):
    here = two_scenes(tmp_path)
    (tmp_path / "locked").mkdir()
    access = os.access
    denied = str(tmp_path / "locked")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != denied and access(path, mode))
    assert main(here.command(f"out={denied}/deep/er")) == 2
    assert f"{denied} is not a writable folder" in capsys.readouterr().err
    assert list((tmp_path / "locked").iterdir()) == []


def test_a_disk_that_is_too_small_is_refused(tmp_path, capsys, monkeypatch):
    here = two_scenes(tmp_path)
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12 - 50_000, 50_000))
    monkeypatch.setattr(job, "engine_of", lambda _: pytest.fail("no worker may start"))
    assert main(here.command()) == 2
    told = capsys.readouterr().err
    assert "has 50.0 kB free" in told
    assert not here.out.exists()


def test_an_untouched_run_survives_bad_input(tmp_path, capsys):
    here = two_scenes(tmp_path)
    with answering(), small_cells():
        assert main(here.command()) == 0
        before = files_below(here.out)
        assert main(here.command("infer.overlap_px=48")) == 2
        assert main(here.command("models=[nowhere]")) == 2
    assert files_below(here.out) == before


# ---- object stores -------------------------------------------------------------


def keys_of(url: str) -> dict[str, str]:
    """Every object below an address, and its ETag."""
    import obstore
    from obstore.store import from_url

    scheme, rest = url.split("://")
    name, _, prefix = rest.partition("/")
    found = obstore.list(from_url(f"{scheme}://{name}"), prefix)
    return {
        item["path"].removeprefix(prefix + "/"): f"{item['e_tag']} {item['last_modified']}"
        for batch in found
        for item in batch
        if not {"lock", "logs"} & set(item["path"].split("/"))
    }


def test_an_object_store_is_a_place_like_any_other(tmp_path, bucket, work):
    here = world(tmp_path)
    array = image(70, 90)
    array[:, 3:9, 40:] = 0
    here.scene("only-20240203", array)
    with answering(), small_cells():
        assert main(here.command(f"out={bucket}")) == 0
        assert [stage for stage, _ in work] == ["ingest", "ingest", "infer", "mosaic"]
        work.clear()
        before = keys_of(bucket)
        folder = json.loads(Storage(bucket).get("map.json"))["folder"]
        wanted = {f"{folder}/{name}.tif" for name in PRODUCTS}
        assert wanted | {"run.json", "report.html", f"{folder}/catalog.json", "map.json"} <= set(before)
        assert main(here.command(f"out={bucket}")) == 0
        assert work == []
        assert keys_of(bucket) == before
        assert main(here.command()) == 0  # the same map in a folder
    storage = Storage(bucket)
    record = json.loads(storage.get("run.json"))
    assert record["config"]["out"] == bucket
    assert record["map"] == json.loads((here.out / "run.json").read_text())["map"]
    for name in PRODUCTS:
        assert storage.get(f"{folder}/{name}.tif") == (here.out / "map" / f"{name}.tif").read_bytes()
    assert not (Path.cwd() / "s3:").exists()
    model = json.loads(storage.get(f"{folder}/models/net0/net0.json"))
    assert model["assets"]["weights"]["href"] == str((tmp_path / "net0" / "weights.safetensors").resolve())


def test_bundles_are_read_as_they_were_written(tmp_path):
    """What these tests call a tiny network is one: it loads, and gives logits on both sides of the threshold."""
    card, network = load_bundle(Path(write_bundle(tmp_path / "net", 1)))
    assert card.classes == ("industrial",)
    assert sum(p.numel() for p in network.parameters()) < 3_000_000
    assert runner.engine_of is job.engine_of
