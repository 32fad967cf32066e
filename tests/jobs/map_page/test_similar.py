"""Places that look like a clicked one: those of a plain product of the vectors."""

from contextlib import ExitStack

import numpy as np
import pytest
from starlette.testclient import TestClient

from jobs import embed
from jobs.config import RunConfig
from jobs.map_page.server import app_of
from jobs.map_page.shown import Shown
from jobs.parsing import load
from jobs.run_embeddings import read_run
from tests.jobs.vectors import embedded_world


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    found = embedded_world(tmp_path_factory.mktemp("similar"))
    assert embed.main(found.command()) == 0
    return found


def test_the_nearest_windows_are_found_and_never_the_place_itself(here):
    asked = TestClient(app_of(Shown(here.config, None, None, ExitStack())), base_url="http://localhost")
    assert asked.get("/page.json").json()["similar"] is True
    run = read_run(load(RunConfig, here.config))
    lon, lat = run.lonlat[0]
    found = asked.get(f"/similar?lon={lon}&lat={lat}&top=4").json()["places"]
    vectors = run.vectors.astype(np.float64)
    own = run.row_of(0)
    scores = np.sort((vectors @ vectors[0])[1:][run.seen[1:]])[::-1][:4]
    np.testing.assert_allclose([one["score"] for one in found], scores, atol=2e-3)
    assert f"{own['scene']}:{own['row']},{own['col']}" not in {one["id"] for one in found}
    for one in found:
        assert np.array(one["outline"]).shape == (4, 2)


def test_a_place_outside_of_the_run_is_told(here):
    asked = TestClient(app_of(Shown(here.config, None, None, ExitStack())), base_url="http://localhost")
    answer = asked.get("/similar?lon=3&lat=4")
    assert answer.status_code == 409
    assert "no scene reaches it" in answer.json()["detail"]
