"""A run of which most scenes are poisoned: they are named and set aside, the others mapped, whoever does the work."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from jobs import map as job
from tests.chaos.runs import digest
from tests.hostile.poisons import POISONS, VOID, Poisoned
from tests.jobs.worlds import world


def quarantined(out: Path) -> dict[str, str]:
    """Return the id of each scene that a run set aside, with the reason."""
    found = json.loads((out / "run.json").read_text())["quarantined"]
    return {unit.split("/")[1].rpartition("-")[0]: reason for unit, reason in found.items()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_workers_of_ray_set_aside_the_scenes_that_one_process_does_and_map_the_others_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    poisoned = Poisoned(world(tmp_path, grid="auto", outputs=["cog"]))
    here, planned = poisoned.world, job.plan_run

    def then_poison(config):
        run = planned(config)
        poisoned.poison()
        return run

    monkeypatch.setattr(job, "plan_run", then_poison)
    outs, told = {}, {}
    for kind in ("serial", "ray"):
        outs[kind] = tmp_path / kind
        poisoned.heal()
        engine = f"engine={{kind: {kind}, workers: {2 if kind == 'ray' else 1}, threads_per_worker: 1}}"
        code = job.main(here.command(engine, f"out={outs[kind]}"))
        told[kind] = capsys.readouterr().err
        assert code == 3, told[kind]
    names = {kind: quarantined(out) for kind, out in outs.items()}
    assert set(names["ray"]) == {f"bad-{name}" for name in POISONS}
    assert names["ray"] == names["serial"], "the same reasons"
    for name in POISONS:
        assert f"quarantined: ingest/bad-{name}-" in told["ray"]
        assert f"bad-{name}.tif" in names["ray"][f"bad-{name}"], "the file is named"
    assert digest(outs["ray"]) == digest(outs["serial"])

    good = {**here.settings, "scenes": [s for s in here.settings["scenes"] if s["id"].startswith("good-")]}
    here.settings = good
    monkeypatch.setattr(job, "plan_run", planned)
    assert job.main(here.command(f"out={tmp_path / 'good'}")) == 0
    for product in ("probability", "class", "count", "spread"):
        layers = []
        for place in (outs["ray"], tmp_path / "good"):
            with rasterio.open(place / "map" / f"{product}.tif") as data:
                layers.append(data.read())
        np.testing.assert_array_equal(*layers, err_msg=f"{product}: of {len(POISONS)} poisoned, {len(VOID)} void")
