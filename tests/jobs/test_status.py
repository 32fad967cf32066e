"""Status and logs: what a run's folder tells, while nothing works and after things went wrong."""

import json
from contextlib import contextmanager

import pytest
import rasterio

from cluster.logs import runs
from cluster.storage import Storage
from jobs import logs as logs_job
from jobs import map as map_job
from jobs import status as job
from jobs.config import RunConfig
from jobs.infer_stage import Infer
from jobs.parsing import load
from jobs.plan import plan_run
from tests.jobs.worlds import answering, files_below, image, moved, small_cells, world, write_bundle


def status(capsys, *words: str) -> tuple[int, dict]:
    code = job.main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def two(tmp_path):
    here = world(tmp_path)
    here.scene("b-20240102", image(130, 170), transform=moved(3, 5))
    here.scene("a", image(90, 140, 2), transform=moved(3, 60))
    return here


@contextmanager
def broken(monkeypatch, scene: str):
    """Let Infer fail on every unit of one scene."""
    prepare = Infer.__call__

    def prepared(stage):
        work = prepare(stage)

        def fail(shard):
            if shard.scene.startswith(scene):
                raise ValueError(f"{shard.unit} is poisoned, password=hunter2")
            return work(shard)

        return fail

    with monkeypatch.context() as patch:
        patch.setattr(Infer, "__call__", prepared)
        yield


def test_before_during_and_after(two, capsys, monkeypatch):
    code, found = status(capsys, str(two.config))
    assert code == 3
    assert (found["at_work"], found["last_run"], found["published"]) == ("", "", "nothing")
    assert [(s["stage"], s["done"], s["stale_stores"]) for s in found["stages"]] == [
        *[("ingest", 0, 0), ("infer", 0, 0), ("mosaic", 0, 0), ("publish", 0, 0)],
    ]
    assert not two.out.exists(), "to ask is to write nothing"

    with answering(), small_cells():
        with broken(monkeypatch, "b-"):
            assert map_job.main(two.command()) == 3
        capsys.readouterr()
        before = files_below(two.out)
        code, found = status(capsys, str(two.out))
        assert code == 3
        assert found["last_exit"] == 3
        units = {s["stage"]: (s["units"], s["done"], s["pending"], s["failed"]) for s in found["stages"]}
        wanted, done, pending, failed = units["infer"]
        assert failed > 0
        assert (pending, wanted) == (0, done + failed)
        assert all("poisoned, password=***" in reason for reason in found["quarantined"].values())
        assert {unit.split("/")[1][:2] for unit in found["quarantined"]} == {"b-"}
        assert files_below(two.out) == before

        assert map_job.main(two.command()) == 0
        capsys.readouterr()
        code, found = status(capsys, str(two.config))
        assert code == 0
        assert found["quarantined"] == {}
        assert "of this configuration" in found["published"]
        assert all(s["done"] == s["units"] for s in found["stages"])


def test_the_table_names_what_is_wrong(two, capsys, monkeypatch):
    with answering(), small_cells(), broken(monkeypatch, "a-"):
        assert map_job.main(two.command()) == 3
    capsys.readouterr()
    assert job.main([str(two.config)]) == 3
    told = capsys.readouterr().out
    assert "at work    nobody" in told
    assert "ended with 3" in told
    assert "quarantined: infer/a-" in told

    assert logs_job.main([str(two.out), "--failed"]) == 0
    told = capsys.readouterr().out
    assert "is poisoned" in told
    assert "hunter2" not in told
    assert "Traceback" in told
    assert "done" not in told
    assert logs_job.main([str(two.out), "--stage", "infer", "--unit", "b-", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["event"] for line in lines} == {"done"}
    assert all(line["stage"] == "infer" and line["unit"].startswith("b-") for line in lines)
    assert {(line["run"], line["attempt"]) for line in lines} == {(runs(Storage(str(two.out)))[0], 1)}
    assert logs_job.main([str(two.config), "--runs"]) == 0
    assert len(capsys.readouterr().out.split()) == 1
    assert logs_job.main([str(two.config), "--unit", "no such"]) == 1


def test_what_failed_of_a_scene_that_is_another_by_now_is_no_failure(two, capsys, monkeypatch):
    with answering(), small_cells():
        with broken(monkeypatch, "b-"):
            assert map_job.main(two.command()) == 3
        with rasterio.open(next((two.folder / "scenes").glob("b*")), "r+") as file:
            file.write(file.read()[:, ::-1])
        assert map_job.main(two.command()) == 0
        capsys.readouterr()
        code, found = status(capsys, str(two.config))
    assert code == 0
    assert found["quarantined"] == {}


def notes(here, *changes: str) -> list[str]:
    planned = map_job.PlannedMap(plan_run(load(RunConfig, here.config, changes)))
    return [note for one in planned.estimates() for note in one.notes]


def test_a_dry_run_says_what_it_would_do_again_and_why(two, tmp_path):
    with answering(), small_cells():
        assert map_job.main(two.command()) == 0
        assert notes(two) == []
        write_bundle(tmp_path / "other", 8)
        told = notes(two, f"models=[{tmp_path / 'other'}]")
        assert told == [
            "infer: done again for a, b-20240102: bundles changed",
            "mosaic: the map is made again: logits changed",
        ]
        assert notes(two, "fuse.threshold=0.7") == []
        assert notes(two, "infer.overlap_px=0", "infer.average=probability")[0] == (
            "infer: done again for a, b-20240102: windows, average changed"
        )
        with rasterio.open(next((two.folder / "scenes").glob("a*")), "r+") as file:
            file.write(file.read()[:, ::-1])
        told = notes(two)
        assert told[:2] == [
            "ingest: done again for a: files changed",
            "infer: done again for a: ingested scene changed",
        ]
        assert map_job.main(two.command()) == 0
        assert [s.stale_stores for s in job.status_of(plan_run(load(RunConfig, two.config))).stages] == [1, 1, 1, 0]


def test_what_is_no_run_is_bad_input(tmp_path, capsys):
    assert job.main([str(tmp_path)]) == 2
    assert "neither a configuration nor the folder of a run" in capsys.readouterr().err
    assert logs_job.main([str(tmp_path)]) == 2
    assert "has no run at all" in capsys.readouterr().err


def test_the_folder_alone_tells_what_it_can_where_the_scenes_are_out_of_reach(two, capsys, monkeypatch):
    """As on a machine that sees the bucket of the runs, and not the scenes; no plan, no Ray, no file of theirs."""
    with answering(), small_cells(), broken(monkeypatch, "b-"):
        assert map_job.main(two.command()) == 3
    (two.folder / "scenes").rename(two.folder / "elsewhere")
    capsys.readouterr()
    code, found = status(capsys, str(two.out))
    assert code == 3
    assert (found["stages"], found["last_exit"]) == ([], 3)
    assert "no file matches" in found["unplanned"]
    assert {unit[:8] for unit in found["quarantined"]} == {"infer/b-"}
    assert (found["progress"]["stage"], found["progress"]["state"]) == ("publish", "done")
    assert found["progress"]["run"] == found["last_run"]
    assert job.main([str(two.out)]) == 3
    told = capsys.readouterr().out
    assert "progress   publish   3/3 steps  100 %" in told
    assert "left to do not known from the folder alone" in told
    assert job.main([str(two.config)]) == 2, "who names a configuration wants it planned"


def test_status_shows_the_progress_of_a_run_at_work(two, capsys, monkeypatch):
    seen = []
    prepare = Infer.__call__

    def prepared(stage):
        work = prepare(stage)

        def looked(shard):
            if not seen and (two.out / "progress.json").exists():
                seen.append(job.table(job.status_of(plan_run(load(RunConfig, two.config)))))
            return work(shard)

        return looked

    monkeypatch.setattr(Infer, "__call__", prepared)
    with answering(), small_cells():
        assert map_job.main(two.command()) == 0
        capsys.readouterr()
        code, found = status(capsys, str(two.out))
    assert "at work    'sandan map" in seen[0]
    assert "progress   infer" in seen[0] or "progress   ingest" in seen[0]
    assert (code, found["progress"]["state"], found["unplanned"]) == (0, "done", "")
