"""The ground of a map: who may judge, what rules learn from, and how large a pixel is."""

import numpy as np
import pytest

from jobs.evaluation.ground import read_bands, read_labels, read_logits
from tests.tiler.rasters_for_tests import moved
from tests.tiler.stores_for_tests import TWO, ingest, labels_from, scene_from
from tiler.fuse import Fused
from tiler.grids import Box, Cell, MapGrid
from tiler.labels import IGNORE
from tiler.map_store import MapStore, create_map_store
from tiler.scene_store import SceneStore
from tiler.split import Split

SPLIT = Split(block_px=8, fraction=0.5, seed=2)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> tuple[list[SceneStore], dict[str, tuple[int, int]]]:
    """Two labelled scenes, the second ten rows lower and fifteen columns further, and their first pixels on the map."""
    folder, stores = tmp_path_factory.mktemp("ground"), []
    for name, at in (("a", (0, 0)), ("b", (10, 15))):
        (folder / name).mkdir()
        rng = np.random.default_rng(len(stores))
        image = rng.integers(1, 9000, (2, 30, 40)).astype(np.uint16)
        image[:, 3:9, 20:31] = 0
        codes = rng.choice([10, 20, 30, 99], (30, 40)).astype(np.uint8)
        scene = scene_from(folder / name, name, image, transform=moved(*at))
        labels = labels_from(folder / name, codes, transform=moved(*at), ignore=(99,))
        stores.append(ingest(str(folder / f"{name}.zarr"), scene, labels))
    grid = MapGrid.like(stores[0].grid)
    places = {s.id: tuple(round(v) for v in grid.pixels.offset_of(s.grid)) for s in stores}
    return stores, places


def test_ground_that_any_scene_trained_on_does_not_judge(scenes):
    stores, places = scenes
    pixels = MapGrid.like(stores[0].grid).pixels
    (y, x), (v, u) = places["a"], places["b"]
    box = Box(y - 3, x - 2, v + 33, u + 41)
    truth, trained = np.full((2, box.height, box.width), IGNORE), np.zeros((box.height, box.width), bool)
    for layer, store in zip(truth, stores, strict=True):
        row, col = places[store.id]
        at = slice(row - box.y0, row - box.y0 + 30), slice(col - box.x0, col - box.x0 + 40)
        layer[at] = store.read("label", store.grid.box, IGNORE)
        trained[at] |= (layer[at] != IGNORE) & ~SPLIT.held_back(store.id, store.grid.box)
    both = np.where(truth[0] != IGNORE, truth[0], truth[1])
    found = read_labels(stores, pixels, box, SPLIT, 3, everywhere=False)
    np.testing.assert_array_equal(found.judging, np.where(trained, IGNORE, both))
    np.testing.assert_array_equal(found.training, np.where(trained, both, IGNORE))
    assert set(np.unique(both)) == {0, 1, 2, IGNORE}
    overlap = (truth != IGNORE).all(axis=0)
    assert (overlap & (found.judging != IGNORE)).any()
    whole = read_labels(stores, pixels, box, SPLIT, 3, everywhere=True)
    np.testing.assert_array_equal(whole.judging, both)
    np.testing.assert_array_equal(whole.training, found.training)
    binary = read_labels(stores, pixels, box, SPLIT, 2, everywhere=True)
    np.testing.assert_array_equal(binary.judging, np.where(both == IGNORE, IGNORE, both > 0))


def test_bands_are_those_of_the_first_scene_that_saw_the_pixel(scenes):
    stores, places = scenes
    (y, x), (v, u) = places["a"], places["b"]
    bands, seen = read_bands(stores, MapGrid.like(stores[0].grid).pixels, Box(y, x, v + 30, u + 40))
    first, second = (s.read("image", s.grid.box, 0) for s in stores)
    valid = stores[0].read("valid", stores[0].grid.box, False)
    np.testing.assert_array_equal(seen[:30, :40][valid], True)
    np.testing.assert_array_equal(bands[:, :30, :40][:, valid], first[:, valid])
    hole = stores[1].read("valid", stores[1].grid.box, False)[25:, 30:]
    np.testing.assert_array_equal(bands[:, 35:40, 45:55], np.where(hole, second[:, 25:, 30:], 0))
    assert not seen[0, 50:].any()
    assert TWO.bands == ("red", "nir")


def test_logits_beyond_the_store_are_nan(tmp_path, monkeypatch):
    for module in ("tiler.grids", "tiler.map_store"):
        monkeypatch.setattr(f"{module}.CELL_PX", 512)
    grid = MapGrid("EPSG:5179", (10.0, 10.0))
    create_map_store(str(tmp_path / "m.zarr"), grid, [Cell(-3, 2)], Box(-1500, 1030, -1100, 1400), ("c",))
    store = MapStore(str(tmp_path / "m.zarr"))
    logit = np.arange(512 * 512, dtype=np.float32).reshape(1, 512, 512)
    store.write(Cell(-3, 2), Fused(logit, logit, logit[0].astype(np.uint16), logit[0].astype(np.int32)))
    found = read_logits(store, Box(-1539, 1021, -1023, 1539))
    assert found.shape == (1, 516, 518)
    np.testing.assert_array_equal(found[0, 3:515, 3:515], logit[0])
    found[0, 3:515, 3:515] = np.nan
    assert np.isnan(found).all()
    assert np.isnan(read_logits(store, Box(0, 0, 3, 4))).all()
