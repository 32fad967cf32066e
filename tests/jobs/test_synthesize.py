"""Synthesize: files and a run that Ingest accepts; bad input is refused before anything is written."""

import json

import numpy as np
import pytest
import rasterio

from jobs.config import RunConfig
from jobs.ingest import main as ingest_main
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.synthesize import main
from tiler.scene_store import SceneStore

BBOX = ["--bbox", "125.995", "36.8", "126.005", "36.806"]


def test_what_is_written_can_be_ingested(tmp_path, capsys):
    out = tmp_path / "world"
    command = [str(out), *BBOX, "--zones", "51,52", "--sensors", "SN10,LS30", "--missing", "0.1"]
    assert main(command) == 0
    assert "map.yaml" in capsys.readouterr().out
    run = plan_run(load(RunConfig, str(out / "map.yaml"), ["engine.kind=serial"]))
    assert sorted(s.scene.id for s in run.scenes) == ["SN10_Z51_20240501", "SN10_Z52_20240501"]
    assert run.scenes[0].scene.acquired.date().isoformat() == "2024-05-01"
    assert ingest_main([str(out / "map.yaml"), "--set", "engine.kind=serial"]) == 0
    store = SceneStore(run.url("ingest", run.scenes[0].name))
    found = store.network_input(store.grid.box, ("red", "gems0", "air5"))
    assert np.isfinite(found).all()
    assert run.modalities.unmatched == ()
    other = load(RunConfig, str(out / "map-LS30.yaml"))
    assert (len(other.scenes), other.modalities) == (2, ())
    with rasterio.open(out / "gems" / "SN10_Z51_20240501.tif") as data:
        assert data.count == 10
        assert store.coarse_moments["gems9"][0] == data.height * data.width
    assert json.loads((out / "estates.geojson").read_text())["type"] == "FeatureCollection"


def test_the_same_command_writes_the_same_pixels(tmp_path):
    for name in "ab":
        assert main([str(tmp_path / name), *BBOX, "--no-air"]) == 0
    images = []
    for name in "ab":
        with rasterio.open(tmp_path / name / "scenes" / "SN10_Z52_20240501.tif") as data:
            images.append(data.read())
    np.testing.assert_array_equal(*images)
    assert not (tmp_path / "a" / "gems").exists()
    assert load(RunConfig, str(tmp_path / "a" / "map.yaml")).modalities == ()


def test_chips_are_scenes_of_one_run(tmp_path, capsys):
    assert main([str(tmp_path / "out"), "--kind", "chips", "--count", "1", "--workers", "3", "--no-air"]) == 0
    assert "1/1 chips" in capsys.readouterr().err
    (scene,) = load(RunConfig, str(tmp_path / "out" / "map.yaml")).scenes
    assert scene.id.startswith("SN10_CHN_00001_")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ([], "--bbox is missing"),
        (["--bbox", "3", "4", "5", "6"], "110 to 145"),
        ([*BBOX, "--dates", "2024-13-01"], "YYYY-MM-DD"),
        ([*BBOX, "--sensors", "SN11"], "SN10"),
        ([*BBOX, "--zones", "77"], "1 to 60"),
        ([*BBOX, "--clouds", "2"], "clouds"),
        (["--kind", "aihub", "--count", "0"], "at least one"),
        (["--kind", "chips", "--workers", "0"], "--workers 0: at least one process"),
        (["--kind", "chips", "--dates", "May"], "YYYY-MM-DD"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, capsys, extra, said):
    assert main([str(tmp_path / "no"), *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
