"""What turns out hostile only while it is read is set aside; the others are mapped, and nothing wrong is in the map."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from jobs.map import main
from tests.jobs.worlds import World, answering, damage, image, logit_of, moved, undamaged, world


@pytest.fixture
def here(tmp_path: Path) -> World:
    """Return a world with one good scene."""
    made = world(tmp_path, grid="auto", outputs=["cog"])
    made.scene("good", image(140, 90))
    return made


def mapped(here: World) -> dict[str, np.ndarray]:
    """Return the layers of the published map."""
    found = {}
    for name in ("probability", "count"):
        with rasterio.open(here.out / "map" / f"{name}.tif") as data:
            found[name] = data.read(1)
    return found


def test_a_scene_cut_behind_its_header_is_set_aside_and_the_good_one_is_mapped(here: World, capsys):
    bad = here.scene("bad", image(333, 290), transform=moved(5, 7), **undamaged())
    damage(bad)
    with answering():
        assert main(here.command()) == 3
    told = capsys.readouterr().err
    assert "quarantined: ingest/bad-" in told
    assert "bad.tif cannot be read" in told
    run = json.loads((here.out / "run.json").read_text())
    assert [s for s in json.dumps(run).split('"') if s.startswith("ingest/bad-")]
    layers = mapped(here)
    good = image(140, 90)
    assert layers["count"].max() == 1
    assert (layers["count"] == 1).sum() == good[0].size
    with rasterio.open(here.out / "map" / "probability.tif") as data:
        rows, cols = np.nonzero(layers["count"] == 1)
        values = layers["probability"][rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        scale = data.scales[0]
    expected = 1 / (1 + np.exp(-logit_of(good)))
    np.testing.assert_allclose(values * scale, expected, atol=0.01)


def test_a_scene_that_shrinks_after_planning_is_set_aside(here: World, capsys, monkeypatch):
    """The header is whole when the run is planned; then the file is cut."""
    bad = here.scene("bad", image(333, 290), transform=moved(5, 7), **undamaged())
    from jobs import map as job

    planned = job.plan_run

    def then_cut(config):
        run = planned(config)
        os.truncate(bad, bad.stat().st_size // 2)
        return run

    monkeypatch.setattr(job, "plan_run", then_cut)
    with answering():
        assert main(here.command()) == 3
    assert "quarantined: ingest/bad-" in capsys.readouterr().err
    assert mapped(here)["count"].max() == 1


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.full((4, 140, 90), np.nan, np.float32), {"nodata": float("nan")}),
        (np.full((4, 140, 90), np.inf, np.float32), {"nodata": None}),
        (np.full((4, 140, 90), -np.inf, np.float32), {"nodata": float("-inf")}),
        (np.zeros((4, 140, 90), np.uint16), {"nodata": 0}),
        (np.full((4, 140, 90), 7, np.uint16), {"nodata": 7}),
    ],
    ids=["NaN", "infinite", "infinite nodata", "zero", "all declared missing"],
)
def test_a_scene_without_a_measurement_leaves_no_trace_in_the_map(values, options, here: World):
    here.scene("void", values, transform=moved(5, 7), **options)
    with answering():
        assert main(here.command()) == 0
    layers = mapped(here)
    assert (layers["count"] == 1).sum() == 140 * 90
    assert layers["count"].max() == 1
