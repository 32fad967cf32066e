"""Modalities: coarse rasters find their scenes by key, and what is left over on either side is named."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.ingest import PlannedIngest, estimate, ingest, main
from jobs.modalities import Unmatched
from jobs.parsing import load
from jobs.plan import Precision, Run, plan_run
from jobs.publish import main as publish_main
from tests.jobs.worlds import (
    CHANNELS,
    ORIGIN,
    World,
    answering,
    damage,
    files_below,
    image,
    make,
    moved,
    repair,
    undamaged,
    world,
    write_bundle,
    write_tif,
)
from tiler.grids import Box
from tiler.scene_store import SceneStore

COARSE = Affine(300.0, 0.0, ORIGIN.c - 900.0, 0.0, -250.0, ORIGIN.f + 750.0)
AIR = tuple(f"air{i}" for i in range(6))
GEMS = tuple(f"gems{i}" for i in range(10))


def coarse(bands: int, seed: int, height: int = 12, width: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 90, (bands, height, width)).astype("float32")


def air_file(here: World, name: str, seed: int = 1, bands: int = 6, **options) -> Path:
    options = {"transform": COARSE, "nodata": None} | options
    return Path(write_tif(here.folder / "air" / f"{name}.tif", coarse(bands, seed), **options))


def planned(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def refusal(here: World, *changes: str) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        _ = planned(here, *changes).cards
    return str(error.value)


def stores(run: Run) -> dict[str, SceneStore]:
    return {s.scene.id: SceneStore(run.url("ingest", s.name)) for s in run.scenes}


@pytest.fixture
def three(tmp_path) -> World:
    """Scenes in order a, b, c of two dates; named against it."""
    here = world(tmp_path)
    here.scene("b-20240309", image(90, 140, 2), transform=moved(10, -8))
    here.scene("a", image(130, 70), acquired="2024-03-07T13:30:00Z")
    here.scene("c", image(66, 80, 3), transform=moved(20, 30))
    return here


def air(here: World, files: object) -> World:
    here.settings["modalities"] = [{"sensor": "AIR", "files": files}]
    return here


@pytest.mark.parametrize(
    ("pattern", "files", "matched"),
    [
        ("{id}.tif", {"a": "a", "b-20240309": "b", "c": "c"}, "abc"),
        ("AIR_{date}_*.tif", {"AIR_20240307_1330": "a", "AIR_20240309_0001": "b"}, "ab"),
        ("{date:%d%m%y}.tif", {"090324": "b"}, "b"),
        ("mean.tif", {"mean": "*"}, "abc"),
    ],
)
def test_files_find_their_scenes_by_key(three, pattern, files, matched):
    for number, name in enumerate(files):
        air_file(three, name, number)
    run = planned(air(three, f"{three.folder}/air/{pattern}"))
    found = {s.scene.id[0]: [Path(p.path).stem for p in s.scene.coarse[0].pieces] for s in run.scenes}
    assert {key: names for key, names in found.items() if names} == {
        key: [name for name, scene in files.items() if scene in (key, "*")] for key in matched
    }
    lacking = [(u.kind, u.name[0]) for u in run.modalities.unmatched]
    assert lacking == [("scene", key) for key in "abc" if key not in matched]


def test_what_is_left_over_is_named_on_both_sides(three, capsys):
    for name in ("AIR_20240309", "AIR_20240310"):
        air_file(three, name)
    air_file(three, "AIR_20240307", transform=moved(50_000, 0, COARSE))
    air(three, f"{three.folder}/air/AIR_{{date}}.tif")
    run = planned(three)
    folder = three.folder / "air"
    reason = "no scene of its name or date lies under it"
    assert list(run.modalities.unmatched) == [
        Unmatched("air", "scene", "a", "1 files of its name lie elsewhere"),
        Unmatched("air", "scene", "c", "a date is needed, and the scene has none"),
        Unmatched("air", "file", f"{folder}/AIR_20240307.tif", reason),
        Unmatched("air", "file", f"{folder}/AIR_20240310.tif", reason),
    ]
    assert main([*three.command(), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "air is missing for 2 of 3 scenes: a, c" in told
    assert "AIR_20240310.tif" in told
    assert not three.out.exists()
    assert main(three.command()) == 0
    assert "air is missing for 2 of 3 scenes: a, c" in capsys.readouterr().err
    rows = list(csv.reader((three.out / "unmatched.csv").read_text().splitlines()))
    assert rows[0] == ["modality", "kind", "name", "reason"]
    assert [row[:3] for row in rows[1:]] == [[u.modality, u.kind, u.name] for u in run.modalities.unmatched]


def test_a_scene_may_name_its_own(three):
    air_file(three, "b-20240309")
    special = air_file(three, "special", 7)
    air(three, f"{three.folder}/air/{{id}}.tif")
    three.settings["scenes"][1]["modalities"] = {"air": str(special)}
    run = planned(three)
    assert [[Path(p.path).stem for p in s.scene.coarse[0].pieces] for s in run.scenes] == [
        ["special"],
        ["b-20240309"],
        [],
    ]
    assert [u.name for u in run.modalities.unmatched] == ["c"]
    three.settings["modalities"] = [{"sensor": "AIR"}]  # no pattern at all
    assert [u.name for u in planned(three).modalities.unmatched] == ["b-20240309", "c"]
    three.settings["scenes"][1]["modalities"] = {"air": f"{three.folder}/air/none.tif"}
    assert "scene a: no file of air matches" in refusal(three)
    three.settings["scenes"][1]["modalities"] = {"gems": str(special)}
    assert "add {sensor: GEMS} to `modalities`" in refusal(three)


def test_a_modality_that_no_scene_has_is_refused(three):
    air_file(three, "other")
    text = refusal(air(three, f"{three.folder}/air/{{id}}.tif"))
    assert "AIR has no file for any of the 3 scenes" in text
    assert "of a: no file matches" in text
    air_file(three, "mean", transform=moved(50_000, 0, COARSE))
    assert "of a: 1 files of its name lie elsewhere" in refusal(air(three, f"{three.folder}/air/mean.tif"))


def test_other_settings_that_cannot_be(three):
    air_file(three, "mean")
    here = air(three, f"{three.folder}/air/mean.tif")
    here.settings["modalities"] *= 2
    assert "several channels the names ['air0'" in refusal(here)
    here.settings["modalities"] = [{"sensor": "ARI", "files": "x"}]
    assert "did you mean 'AIR'?" in refusal(here)
    here.settings["modalities"] = [{"sensor": "GEMS", "files": f"{three.folder}/air/mean.tif"}]
    assert "has 6 bands, sensor GEMS has 10" in refusal(here)


def test_a_scene_is_named_by_its_modalities_too(three):
    """Their files, their meaning, and that they are there; other scenes keep their names."""
    bare = {s.scene.id: s.name for s in planned(three).scenes}
    air_file(three, "a")
    air_file(three, "b-20240309")
    air(three, f"{three.folder}/air/{{id}}.tif")

    def names(*changes: str) -> dict[str, str]:
        return {s.scene.id: s.name for s in planned(three, *changes).scenes}

    before = names()
    assert before == names()
    assert not set(before.values()) & set(bare.values())
    air_file(three, "a", seed=9)
    after = names()
    assert after["a"] != before["a"]
    assert {k: v for k, v in after.items() if k != "a"} == {k: v for k, v in before.items() if k != "a"}
    logits = [p.name for p in planned(three).logits(Precision("cpu", "fp32", 1))]
    air_file(three, "a", seed=11)
    assert next(p.name for p in planned(three).logits(Precision("cpu", "fp32", 1))) != logits[0]


def test_the_store_holds_the_raster_around_each_scene(three):
    path = air_file(three, "a", nodata=-1.0)
    air_file(three, "c", 2)
    run = planned(air(three, f"{three.folder}/air/{{id}}.tif"))
    before = estimate(run)
    filled, closed = ingest(run, SerialEngine(1))
    assert not filled.failed
    assert not closed.failed
    found = stores(run)
    store = found["a"]
    assert store.offered == (*CHANNELS, *AIR, "air_mask")
    import rasterio

    with rasterio.open(path) as file:
        np.testing.assert_array_equal(store.group["air"][...], file.read()[:, 2:10, 2:7])  # 0.7 km by 1.3 km
    assert store.coarse_moments["air3"][0] == 8 * 5
    assert found["b-20240309"].coarse_moments["air3"] == (0, 0.0, 0.0)
    assert "air" not in found["b-20240309"].group
    assert np.isnan(found["b-20240309"].network_input(Box(0, 0, 40, 50), AIR)).all()
    assert closed.facts["bytes_written"] == sum(4 * s.group["air"].size for s in (store, found["c"]))
    assert before.write_bytes == filled.facts["bytes_written"] + closed.facts["bytes_written"]
    assert estimate(run).write_bytes == 0


def test_a_sensor_of_the_users_own_is_a_modality(three):
    own = three.folder / "no2.yaml"
    own.write_text(
        yaml.safe_dump(
            {"name": "NO2", "bands": ["column"], "valid_min": 0, "valid_max": 60, "nodata": 0, "resolution_m": 300}
        )
    )
    air_file(three, "no2", bands=1)
    three.settings["modalities"] = [{"sensor": str(own), "files": f"{three.folder}/air/no2.tif"}]
    run = planned(three)
    assert run.offered == (*CHANNELS, "column", "no2_mask")
    ingest(run, SerialEngine(1))
    values = np.asarray(stores(run)["a"].group["no2"][...])
    whole = coarse(1, 1)[:, 2:10, 2:7]
    np.testing.assert_array_equal(values, np.where(whole <= 60, whole, np.nan))


def test_an_unchanged_rerun_runs_no_unit_and_touches_no_file(three, monkeypatch):
    air_file(three, "a")
    air(three, f"{three.folder}/air/{{id}}.tif")
    assert main(three.command()) == 0
    before = files_below(three.out)
    monkeypatch.setattr(SerialEngine, "run", lambda *_: pytest.fail("nothing is left to run"))
    assert main(three.command()) == 0
    assert files_below(three.out) == before


def test_a_damaged_coarse_file_sets_its_scene_aside(three, capsys):
    air_file(three, "b-20240309")
    air_file(three, "c")
    fine = Affine(4.0, 0.0, ORIGIN.c - 100.0, 0.0, -4.0, ORIGIN.f + 100.0)  # blocks enough to have a middle
    path = three.folder / "air" / "a.tif"
    write_tif(path, coarse(6, 4, 220, 215), transform=fine, nodata=None, interleave="pixel", **undamaged())
    kept = damage(path)
    air(three, f"{three.folder}/air/{{id}}.tif")
    assert main(three.command()) == 3
    told = capsys.readouterr()
    assert "2 of 3 scenes ingested" in told.out
    assert "quarantined: ingest/a-" in told.err
    assert "a.tif cannot be read" in told.err
    repair(path, kept)
    assert main(three.command()) == 0
    assert stores(planned(three))["a"].coarse_moments["air0"][0] > 0


def test_planning_tells_what_the_networks_need(three):
    write_bundle(three.folder / "six", 3, channels=(*CHANNELS, "air2"))
    write_bundle(three.folder / "masked", 4, channels=("air_mask", "nir", "gems1"))
    six, masked = (f"{three.folder}/{name}" for name in ("six", "masked"))
    text = refusal(three, f"models=[{six}]")
    assert "['air2'] would be missing" in text
    assert "add to `modalities` what gives them" in text
    air_file(three, "a")
    write_tif(three.folder / "gems.tif", coarse(10, 2), transform=COARSE, nodata=None)
    air(three, f"{three.folder}/air/{{id}}.tif")
    three.settings["modalities"].append({"sensor": "GEMS", "files": f"{three.folder}/gems.tif"})
    run = planned(three)
    assert run.offered == (*CHANNELS, *AIR, *GEMS, "air_mask", "gems_mask")
    assert run.channels == CHANNELS
    assert planned(three, f"models=[{masked}, {six}]").channels == (*CHANNELS, "air2", "gems1", "air_mask")
    assert planned(three, f"models=[{masked}]").channels == (*CHANNELS, "gems1", "air_mask")


def test_the_record_of_a_map_names_what_is_left_over(three):
    air_file(three, "a")
    air_file(three, "d")
    air(three, f"{three.folder}/air/{{id}}.tif")
    with answering():
        make(three, SerialEngine(1))
    assert publish_main(three.command("outputs=[cog]")) == 0
    record = json.loads((three.out / "run.json").read_text())
    assert [(u["kind"], Path(u["name"]).stem) for u in record["unmatched"]] == [
        ("scene", "b-20240309"),
        ("scene", "c"),
        ("file", "d"),
    ]


def test_a_data_sets_modalities_stand_elsewhere(tmp_path):
    here = world(tmp_path, models=0)
    del here.settings["scenes"]
    here.settings |= {"dataset": {"root": str(tmp_path)}, "modalities": [{"sensor": "AIR", "files": "x"}]}
    with pytest.raises(ValueError, match=r"`dataset\.modalities`; move them there"):
        load(RunConfig, here.config)


def test_many_are_counted_and_some_named(three):
    for number in range(9):
        air_file(three, f"x{number}")
    air_file(three, "a")
    run = planned(air(three, f"{three.folder}/air/{{id}}.tif"))
    (_, line) = PlannedIngest(run).estimates()[0].notes
    assert line.startswith("air files that match no scene, 9: ")
    assert line.endswith("x4.tif and 4 more, listed in OUT/unmatched.csv")
