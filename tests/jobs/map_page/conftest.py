"""A published map of two scenes in two zones, with a hole, and the same with another threshold."""

import shutil
from contextlib import ExitStack

import pytest

from jobs import map as map_job
from jobs.map_page.description import ShownRun
from jobs.map_page.published_run import open_published
from tests.jobs.worlds import World, answering, image, moved, small_cells, world


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> World:
    """The map: 10 m, EPSG:5179."""
    here = world(tmp_path_factory.mktemp("page"), grid={"crs": "EPSG:5179", "resolution_m": 10})
    array = image(190, 250)
    array[:, 40:80, 100:160] = 0
    here.scene("b", array, acquired="2024-01-02")
    here.scene("a", image(130, 170, 2), acquired="2023-05-06", transform=moved(100, 160))
    with answering(), small_cells():
        assert map_job.main(here.command()) == 0
    return here


@pytest.fixture(scope="session")
def other(published) -> World:
    """The same with half of the threshold; its logits are those of the first run."""
    folder = published.folder / "other"
    here = World(folder, {**published.settings, "out": str(folder / "out")})
    folder.mkdir()
    shutil.copytree(published.out, here.out, symlinks=True)
    with answering(), small_cells():
        assert map_job.main(here.command("fuse.threshold=0.1")) == 0
    return here


@pytest.fixture(scope="session")
def shown(published) -> ShownRun:
    """The map with its layers."""
    return ShownRun.of("a", open_published(str(published.out), ExitStack()))
