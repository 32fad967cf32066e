"""`run.json`: scenes, networks, settings and code of a map, by their hashes."""

import hashlib
import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import shapely

from cluster.differences import keep
from cluster.storage import Storage
from jobs import map as map_job
from jobs import record as record_job
from jobs.config import RunConfig
from jobs.map_page.xyz import bounds_of
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.record import git_commit, read_record, versions
from models.card import read_card
from tests.jobs.worlds import World, answering, image, moved, world

RASTERS = ("probability", "class", "spread", "count", "latest")


@pytest.fixture(scope="module")
def mapped(tmp_path_factory) -> World:
    here = world(tmp_path_factory.mktemp("record"), models=2)
    here.scene("b-20240102", image(60, 80))
    here.scene("a", image(64, 64, 2), transform=moved(10, 90))
    with answering():
        assert map_job.main(here.command("fuse.threshold=0.4")) == 0
    return here


def test_the_record_says_what_made_the_map(mapped):
    run = plan_run(load(RunConfig, mapped.config, ["fuse.threshold=0.4"]))
    found = read_record(run)
    assert RunConfig.model_validate(found["config"]) == run.config
    assert found["config"]["infer"]["overlap_px"] == 32
    assert found["config"]["outputs"] == ["cog", "stac", "report"]  # also what the file leaves to its default
    assert [s["id"] for s in found["scenes"]] == ["a", "b-20240102"]
    for said, plan in zip(found["scenes"], run.scenes, strict=True):
        assert said["fingerprint"] == plan.scene.fingerprint
        assert said["files"] == [str(mapped.folder / "scenes" / f"{plan.scene.id}.tif")]
        assert (mapped.out / "ingest" / f"{said['store']}.zarr").is_dir()
        assert (mapped.out / "infer" / f"{said['logits']}.zarr").is_dir()
    assert found["scenes"][1]["acquired"] == "2024-01-02T00:00:00+00:00"
    assert [s["shape_px"] for s in found["scenes"]] == [[64, 64], [60, 80]]
    for said, plan in zip(found["scenes"], run.scenes, strict=True):
        bounds = bounds_of(plan.scene.grid)
        assert shapely.Polygon(said["outline"]).bounds == pytest.approx(tuple(bounds.to_json()), abs=1e-6)
    for said, path in zip(found["models"], run.config.models, strict=True):
        assert said["path"] == path
        assert said["digest"] == read_card(Path(path)).digest()
        assert said["weights_sha256"] == hashlib.sha256((Path(path) / "weights.safetensors").read_bytes()).hexdigest()
    assert (mapped.out / "mosaic" / f"{found['map']['key']}.zarr").is_dir()
    assert found["quarantined"] == {}


def test_units_that_were_done_twice_with_different_answers_are_in_the_record(mapped):
    storage = Storage(str(mapped.out))
    run = plan_run(load(RunConfig, mapped.config, ["fuse.threshold=0.4"]))
    before = read_record(run)
    assert before["differences"] == {}
    name = before["scenes"][0]["logits"]
    found = {"unit": f"{name}/r0_c0", "facts": {"digest": ["crc32:0", "crc32:1"]}, "first": {}, "second": {}}
    keep(storage.child("differences/infer").url, found)
    keep(storage.child("differences/infer").url, {**found, "unit": "of-another-configuration/r0_c0"})
    try:
        with answering():
            assert map_job.main(mapped.command("fuse.threshold=0.4")) == 0, "it changes no outcome"
        after = read_record(run)
        assert after["differences"] == {f"infer/{name}/r0_c0": found}
        assert after["products"] == before["products"]
        assert "done twice with different answers" in (mapped.out / "report.html").read_text()
    finally:
        shutil.rmtree(mapped.out / "differences")


def test_every_stage_says_what_it_cost(mapped):
    stages = json.loads((mapped.out / "run.json").read_text())["stages"]
    assert list(stages) == ["ingest", "quality", "infer", "mosaic", "publish"]
    for name, facts in stages.items():
        assert facts["seconds"] >= 0
        assert facts["peak_memory_bytes"] > 50 * 2**20
        assert name == "quality" or facts["bytes_written"] > 0
    assert stages["ingest"]["bytes_written"] == (60 * 80 + 64 * 64) * 9
    written = [p for p in (mapped.out / "map").iterdir() if p.suffix in (".tif", ".qml", ".yaml")]
    assert stages["publish"]["bytes_written"] == sum(path.stat().st_size for path in written)
    assert len(written) == 2 * len(RASTERS) + 1


def test_the_ledger_tells_rates_and_where_time_went(mapped):
    found = json.loads((mapped.out / "run.json").read_text())["ledger"]
    steps = {"ingest": {"read", "write"}, "infer": {"read", "wait", "forward", "write"}}
    steps["mosaic"] = {"blend", "warp", "fuse", "write"}
    for name, wanted in steps.items():
        assert set(found[name]["share_of_steps"]) == wanted
        assert found[name]["km2_per_s"] > 0
    seconds = json.loads((mapped.out / "run.json").read_text())["stages"]["ingest"]["seconds"]
    assert found["ingest"]["km2_per_s"] * seconds == pytest.approx((60 * 80 + 64 * 64) * 100 / 1e6)
    assert found["infer"]["windows_per_s"] > 0
    assert found["all"]["seconds"] == pytest.approx(sum(one["seconds"] for n, one in found.items() if n != "all"))


def test_products_are_named_by_their_hash(mapped):
    products = json.loads((mapped.out / "run.json").read_text())["products"]
    assert set(products["files"]) == {*RASTERS, *(f"{name}_style" for name in RASTERS), "config"}
    for file in products["files"].values():
        data = (mapped.out / "map" / file["href"]).read_bytes()
        assert (file["size_bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert products["numbers"]["seen_px"] == 60 * 80 + 64 * 64


def test_versions_and_commit_are_those_of_what_runs(mapped):
    found = json.loads((mapped.out / "run.json").read_text())
    assert found["versions"] == versions()
    assert versions()["zarr"] == version("zarr")
    assert {"python", "torch", "rasterio", "sandan"} <= set(versions())
    root = Path(__file__).parent
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert git_commit().removesuffix("+changes") == head.strip()
    assert len(found["git_commit"].removesuffix("+changes")) == 40


def test_a_package_that_is_absent_has_no_version(monkeypatch):
    monkeypatch.setattr(record_job, "PACKAGES", ("numpy", "no-such-package"))
    assert set(versions()) == {"python", "numpy"}


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(record_job, "__file__", str(tmp_path / "record.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_reading_a_record_that_is_not_there(mapped):
    run = plan_run(load(RunConfig, mapped.config, [f"out={mapped.folder}/elsewhere"]))
    with pytest.raises(ValueError, match="run `sandan publish`"):
        read_record(run)


def test_secrets_are_not_kept(tmp_path, monkeypatch):
    """Neither in the record, nor in the report, the log, or what failed."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setattr("sys.argv", ["sandan", "map", "--set", "note=wJalrXUtnFEMI"])
    here = world(tmp_path / "wJalrXUtnFEMI")
    here.scene("only", image(60, 80))
    with answering():
        assert map_job.main(here.command()) == 0
        assert map_job.main(here.command()) == 0
    kept = [p for p in here.out.rglob("*") if p.suffix in (".json", ".jsonl", ".html") and ".zarr" not in str(p)]
    assert {"run.json", "report.html", "1.jsonl", "map.json"} <= {p.name for p in kept}
    told = [p for p in kept if p.name in ("run.json", "report.html") or p.suffix == ".jsonl"]
    assert [p.name for p in told if "wJalrXUtnFEMI" in p.read_text().replace("scenes/only", "")] == []
