"""The reproduction from data to table, on tiles of 64 px; bad command lines are refused before anything starts."""

import json

import numpy as np
import pytest

from jobs import industrial
from jobs.industrial import MEMBERS, Scale
from jobs.reproduce import main
from models.card import read_card
from tests.jobs.worlds import ENCODER, files_below
from tests.tiler.rasters_for_tests import moved, numbers, write_tif

SIDE, TRAIN, VALIDATION = 64, 6, 3


def deliver(folder) -> None:
    """Write both sensors, with GEMS and AIR, in the layout of the data set; the class is where red is high."""
    for sensor in ("SN10", "LS30"):
        for index in range(TRAIN + VALIDATION):
            letter, name = "T" if index < TRAIN else "V", f"{sensor}_KOR_{index:05d}_230409.tif"
            image = numbers(4, SIDE, SIDE, seed=index)
            label = np.where(image[0] > np.median(image[0]), 10, 90).astype(np.int8)
            write_tif(folder / f"{letter}S_{sensor}_{sensor}/{name}", image, crs=None, transform=None)
            write_tif(folder / f"{letter}L_{sensor}/{name}", label, transform=moved(0, 100 * index))
            for part, bands in (("GEMS", 10), ("AIR_POLLUTION", 6)) if sensor == "SN10" else ():
                coarse = numbers(bands, 8, 8, seed=index).astype(np.float32)
                write_tif(folder / f"{letter}S_SN10_{part}/{name}", coarse, crs=None, transform=None, nodata=None)


@pytest.fixture
def small(monkeypatch):
    """Let the tiny scale be tinier still, data sets hold small tiles, and nothing be timed or drawn by lot for long."""
    scale = Scale(9, "", encoder=ENCODER, tile_px=32, tiles_per_epoch=4, train={"epochs": 1, "batch": 4})
    monkeypatch.setitem(industrial.SCALES, "tiny", scale)
    original = industrial.run_values

    def run_values(*arguments):
        values = original(*arguments)
        values["dataset"]["tile_px"] = SIDE
        for modality in values["dataset"].get("modalities", ()):
            modality["side_px"] = 8
        values["infer"] = {**values.get("infer", {}), "precision": "fp32", "batch": 2}
        values["evaluate"] = {**values.get("evaluate", {}), "resamples": 100}
        return values

    monkeypatch.setattr(industrial, "run_values", run_values)


def test_from_a_delivery_to_the_table(small, tmp_path, capsys):
    deliver(tmp_path / "data")
    command = ["industrial", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--seed", "1"]
    assert main(command) == 0
    told = capsys.readouterr().out
    for word in ("0.9841", "0.9879", "0.9876", "0.9872", "ensemble of 5", "all background", "all positive", "NDVI"):
        assert word in told
    assert "of the data set" in told
    transfer, begun = (read_card(tmp_path / "out/models" / name) for name in ("transfer-6", "pretrain-ls30"))
    assert transfer.origin["digest"] == begun.digest()
    assert "5 -> 6" in transfer.origin["stem"]
    rows = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    assert all(0 <= r["mIoU"] <= 1 for r in rows)
    before = files_below(tmp_path / "out/models")
    assert main(command) == 0
    assert capsys.readouterr().out.count("is trained already") == len(MEMBERS) + 1
    assert files_below(tmp_path / "out/models") == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "gone"], "--data gone is not a folder"),
        (["--workers", "2"], "--workers wants a number from 1 and --engine ray"),
        (["--seed", "-1"], "whole number"),
    ],
)
def test_a_bad_command_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["industrial", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "gone.yaml"], "gone.yaml is no file"),
        (["--workers", "2"], "--workers wants a number from 1 and --engine ray"),
        (["--seeds", "0"], "--seeds 0: give a whole number from 1"),
        (["--queries", "-5"], "--queries -5"),
        (["--metric-size", "8"], "want 32 px or more"),
        (["--states", "pyproject.toml"], "no file"),
        (["--lpips", "alexnet.pth"], "name no source"),
        (["--lpips", "file:gone.pth"], "gone.pth, which is not there"),
        (["--dates", "2019-02-30"], "--dates '2019-02-30'"),
        (["--weights", "resnet"], "name no source"),
        (["--weights", "file:gone.safetensors"], "is not there"),
    ],
)
def test_a_bad_command_for_weather_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["weather", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_runs_for_weather_must_name_frames(tmp_path, monkeypatch, capsys):
    (tmp_path / "map.yaml").write_text("out: runs/map\ndataset: {root: data, sensor: SN10}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["weather", "--data", "map.yaml"]) == 2
    assert "map.yaml" in capsys.readouterr().err


def test_a_layout_needs_a_library_that_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("models.layout.find_spec", lambda name: None)
    assert main(["weather"]) == 2
    assert "sandan[embeddings]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_document_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["industry"])
    assert ended.value.code == 2
