import csv
import json

import numpy as np
import pytest
import yaml

from jobs import status
from jobs.config import RunConfig
from jobs.datasets import plan_dataset
from jobs.ingest import main
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from tests.tiler.aihub_for_tests import SIDE, TILES, missing_pixels, write_delivery
from tests.tiler.rasters_for_tests import numbers, write_tif
from tiler.tile_store import TileStore


@pytest.fixture
def run(tmp_path):
    """Write a delivery and the run that ingests it."""
    root = write_delivery(tmp_path / "delivery")
    modalities = [{"sensor": "GEMS", "side_px": 6}]
    config = {
        "out": str(tmp_path / "out"),
        "sensor": "SN10",
        "dataset": {"root": str(root), "tile_px": SIDE, "modalities": modalities},
        "engine": {"kind": "serial"},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def rows(path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_delivery_becomes_a_store_with_lists_and_a_report(run, capsys):
    out = run.parent / "out"
    extra = run.parent / "delivery/TS_SN10_SN10/SN10_CHN_00099_230409.tif"
    write_tif(extra, numbers(4, SIDE, SIDE), crs=None, transform=None)
    assert main([str(run)]) == DONE
    listed = rows(out / "tiles.csv")
    ratios = [missing_pixels(i) / SIDE**2 for i in range(TILES)]
    assert [r["kept"] for r in listed] == [str(r <= np.float32(0.3)) for r in ratios]
    assert [float(r["missing_ratio"]) for r in listed] == pytest.approx(ratios, abs=1e-6)
    assert listed[4]["reason"] == "missing ratio above 0.3"
    assert [r["path"] for r in rows(out / "unmatched.csv")] == [str(extra)]
    facts = json.loads((out / "quality.json").read_text())
    assert facts["tiles"] == TILES == facts["kept"] + facts["over_limit"] + facts["damaged"]
    store = TileStore(plan_dataset(load(RunConfig, str(run))).url)
    mean, _ = store.scaling(store.kept(0.3))
    assert [b["mean"] for b in facts["bands"]] == pytest.approx(mean.tolist())
    page = (out / "report.html").read_text()
    assert "Samples with labels" in page
    assert "mean missing ratio" in page
    assert f"{facts['kept']} of {TILES} tiles kept" in capsys.readouterr().out


def test_the_limit_is_a_setting_and_the_sensors_otherwise(run):
    assert main([str(run), "--set", "dataset.missing_limit=0.05"]) == DONE
    kept = [r["kept"] for r in rows(run.parent / "out/tiles.csv")]
    assert kept == ["True"] + ["False"] * 4
    assert load(RunConfig, str(run)).dataset.missing_limit is None


def test_a_second_run_reads_nothing_again(run, monkeypatch):
    assert main([str(run)]) == DONE
    first = (run.parent / "out/tiles.csv").read_text()
    monkeypatch.setattr("jobs.datasets.fill_shard", lambda *_: pytest.fail("read again"))
    assert main([str(run)]) == DONE
    assert (run.parent / "out/tiles.csv").read_text() == first


def test_damaged_tiles_are_named_and_the_rest_is_ingested(run, capsys):
    path = run.parent / "delivery/TS_SN10_GEMS/SN10_CHN_00001_230409.tif"
    path.write_bytes(path.read_bytes()[:300])
    assert main([str(run)]) == INCOMPLETE
    assert "quarantined: SN10_CHN_00001_230409" in capsys.readouterr().err
    listed = rows(run.parent / "out/tiles.csv")
    assert [r["reason"] for r in listed if r["id"] == "SN10_CHN_00001_230409"] == ["damaged"]
    assert json.loads((run.parent / "out/quality.json").read_text())["damaged"] == 1


def test_a_dry_run_says_what_there_is_and_touches_nothing(run, capsys):
    assert main([str(run), "--dry-run"]) == DONE
    assert "shards of 64 tiles" in capsys.readouterr().out
    assert not (run.parent / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.root=/nowhere", "is not a folder"),
        ("dataset.tile_px=512", "expected 4 x 512 x 512"),
        ("sensor=LS30", "nothing of LS30"),
        ("dataset.rot=x", "did you mean 'root'"),
        ("scenes=a.tif", "not both"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(run, override, message, capsys):
    assert main([str(run), "--set", override]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (run.parent / "out").exists()


def test_a_data_set_is_not_mapped(run, capsys):
    from jobs.map import main as map_main

    assert map_main([str(run)]) == BAD_INPUT
    assert "names a `dataset`" in capsys.readouterr().err


def test_its_status_is_told_by_its_configuration_and_by_its_folder(run, capsys):
    assert status.main([str(run)]) == INCOMPLETE
    assert "pending" in capsys.readouterr().out
    assert main([str(run)]) == DONE
    capsys.readouterr()
    assert status.main([str(run.parent / "out"), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert [(s["stage"], s["pending"], s["failed"]) for s in found["stages"]] == [("ingest", 0, 0)]
    assert found["published"] == "nothing"
