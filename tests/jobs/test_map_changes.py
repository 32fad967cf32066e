"""How two maps differ, and what one saw of an area, against a count of all pixels at once."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from cluster.storage import Storage
from jobs import map as job
from jobs.config import RunConfig
from jobs.map_changes import PublishedMap, compare, seen_share
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.products import class_of
from jobs.record import read_record
from tests.jobs.worlds import KOREA, World, answering, image, moved, small_cells, world
from tiler.grids import MapGrid
from tiler.map_store import MapStore, create_map_store
from tiler.regions import area_region


def published(here: World, threshold: float = 0.5) -> PublishedMap:
    run = plan_run(load(RunConfig, here.config))
    return PublishedMap(Storage(str(here.out)), read_record(run)["map"]["key"], threshold, 81.0)


@pytest.fixture(scope="module")
def two_maps(tmp_path_factory):
    """A map of two scenes, and one in which one of them is another and a third is new."""
    here = world(tmp_path_factory.mktemp("two"), grid={"crs": KOREA, "resolution_m": 9}, outputs=["cog"])
    here.scene("a", image(90, 130, 2), transform=moved(40, 77))
    here.scene("far", image(80, 90, 3), transform=moved(700, 620))
    with answering(), small_cells():
        assert job.main(here.command()) == 0
        before = published(here)
        here.settings["scenes"].pop(0)
        here.scene("a", image(90, 130, 8), transform=moved(40, 77))
        here.scene("new", image(70, 80, 5), transform=moved(-150, 10))
        assert job.main(here.command()) == 0
        yield before, published(here)


def classes(one: PublishedMap, box) -> np.ndarray:
    store = one.store()
    out = np.full((box.height, box.width), 255, np.uint8)
    inside = store.extent.clip(box)
    rows, cols = inside.shift(-box.y0, -box.x0).slices
    out[rows, cols] = class_of(store.read("logit", inside), one.threshold)
    return out


def test_counts_are_those_of_all_pixels_at_once(two_maps, monkeypatch):
    before, now = two_maps
    box = now.store().extent
    was, is_now = classes(before, box), classes(now, box)
    both = (was != 255) & (is_now != 255)
    found = compare(before, now)
    assert (found.before_px, found.gained_px, found.lost_px) == (
        (both & (was == 1)).sum(),
        (both & (was == 0) & (is_now == 1)).sum(),
        (both & (was == 1) & (is_now == 0)).sum(),
    )
    assert min(found.before_px, found.gained_px, found.lost_px) > 100
    same = compare(now, now)
    assert (same.gained_px, same.lost_px) == (0, 0)
    stricter = compare(now, PublishedMap(now.run, now.name, 0.9))
    assert (stricter.gained_px, stricter.lost_px > 0) == (0, True)
    read = []
    whole = MapStore.read
    monkeypatch.setattr(MapStore, "read", lambda self, name, box: read.append(box) or whole(self, name, box))
    compare(before, now)
    assert len(set(read)) < len(read) < 2 * len(set(read))  # cells of unchanged scenes are read once


def test_other_grids_are_not_compared(two_maps, tmp_path):
    before, _ = two_maps
    box, grid = before.store().extent, before.store().grid
    classes = before.store().classes
    for other, names in ((replace(grid, resolution=(11.0, 11.0)), classes), (grid, (*classes, "more"))):
        folder = Storage(str(tmp_path / f"{other.resolution[0]}"))
        create_map_store(f"{folder.url}/mosaic/m.zarr", other, MapGrid.cells_of(box), box, names)
        assert compare(before, PublishedMap(folder, "m", 0.5)) is None


def test_the_share_of_an_area_counts_what_lies_outside_of_the_map(two_maps):
    _, now = two_maps
    store = now.store()
    box, grid = store.extent, store.grid
    seen = store.read("count", box) > 0
    (x0, x1), (y1, y0) = grid.pixels.xy(np.array([box.y0, box.y1]), np.array([box.x0, box.x1]))
    whole = shapely.box(x0, y0, x1, y1)
    assert seen_share(store, *area_region(whole, KOREA, grid)) == pytest.approx(seen.mean(), abs=1e-6)
    doubled = shapely.box(x0 - (x1 - x0), y0, x1, y1)
    assert seen_share(store, *area_region(doubled, KOREA, grid)) == pytest.approx(seen.mean() / 2, abs=1e-6)
