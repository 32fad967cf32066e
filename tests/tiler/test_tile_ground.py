"""A data set as ground: its split, its gate, parts of its tiles, and which of them are drawn."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.tiler.aihub_for_tests import SIDE, write_delivery
from tiler.aihub import scan
from tiler.aihub_source import AihubSource
from tiler.fusion import resample
from tiler.grids import Box, PixelGrid
from tiler.ground import Sampling
from tiler.labels import IGNORE
from tiler.sensors import load_sensor
from tiler.stores import open_group
from tiler.tile_ground import TileGround
from tiler.tile_source import fill_shard
from tiler.tile_store import Modality, TileStore, create_tile_store, tile_shards

SN10, GEMS = load_sensor("SN10"), Modality(load_sensor("GEMS"), side_px=6)
CHANNELS = ("nir", "red", "mask", "gems3", "gems_mask")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TileStore:
    """Four training tiles (missing 0, 15, 30 and 30.2 %; the third without GEMS) and an empty validation tile."""
    folder = write_delivery(tmp_path_factory.mktemp("delivery"))
    tiles, url = scan(str(folder), "SN10").tiles, str(folder / "tiles.zarr")
    source = AihubSource(tiles, SN10, SIDE, "uint16", {10: 1, 90: 0}, (GEMS,))
    create_tile_store(url, source.entries, SN10, SIDE, "uint16", 2, [GEMS])
    for shard in tile_shards("s", len(tiles)):
        fill_shard(source, open_group(url), shard)
    return TileStore(url)


def drawn(ground: TileGround, count: int = 200) -> list[tuple[int, Box]]:
    return [ground.draw(np.random.default_rng(i), i) for i in range(count)]


def test_each_tile_is_drawn_once_in_turn(store):
    ground = TileGround(store, SIDE, CHANNELS, 1.0)
    assert [row for row, _ in drawn(ground, 4)] == [0, 1, 2, 3] == ground.rows.tolist()
    assert ground.tiles == 4
    assert ground.held_back() == [(4, Box(0, 0, SIDE, SIDE))]
    assert TileGround(store, SIDE, CHANNELS, 0.301).tiles == 3


def test_channels_come_as_asked_and_missing_pixels_are_not_labelled(store):
    ground = TileGround(store, 16, CHANNELS, 1.0)
    for index in range(4):
        row, box = ground.draw(np.random.default_rng(index), index)
        image, label = ground.read((row, box))
        valid = store.read("valid", row)[box.slices]
        assert_array_equal(image[2] == 0, valid)
        for place, band in ((0, 3), (1, 0)):
            assert_array_equal(image[place][valid], store.read("image", row)[band][box.slices][valid])
        assert_array_equal(label, np.where(valid, store.read("label", row)[box.slices], IGNORE))
        assert_array_equal(image, store.network_input(row, CHANNELS)[(slice(None), *box.slices)])


def test_a_modality_is_resampled_by_geography_and_missing_where_it_is_missing(store):
    step = SIDE / 6
    coarse = PixelGrid("EPSG:32652", (step, 0, 500.0, 0, -step, 900.0), 6, 6)
    fine = PixelGrid("EPSG:32652", (1.0, 0, 500.0, 0, -1.0, 900.0), SIDE, SIDE)
    expected = resample(store.read("gems", 1), coarse, fine, fine.box)
    found = store.network_input(1, CHANNELS)
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-5)
    assert (found[4] == 0).all(), "one missing value of one band does not make the modality missing"
    gone = store.network_input(2, CHANNELS)
    assert np.isnan(gone[3]).all()
    assert (gone[4] == 1).all()
    with pytest.raises(ValueError, match=r"channels \['air0'\] are not in the tile store"):
        store.network_input(0, ("red", "air0"))


def test_statistics_are_those_of_the_tiles_that_train(store):
    found = TileGround(store, SIDE, CHANNELS, 0.2).statistics()  # tiles 0 and 1
    image, valid = (np.stack([store.read(n, r) for r in (0, 1)]) for n in ("image", "valid"))
    nir, gems = image[:, 3][valid], np.concatenate([store.read("gems", r)[3].ravel() for r in (0, 1)])
    assert found.mean[0] == pytest.approx(nir.mean(), rel=1e-9)
    assert found.deviation[0] == pytest.approx(nir.std(), rel=1e-6)
    assert found.mean[3] == pytest.approx(np.nanmean(gems), rel=1e-6)
    assert (found.mean[2], found.deviation[2], found.mean[4], found.deviation[4]) == (0, 1, 0, 1)
    assert min(store.facts("median")[:2, 3]) <= found.median[0] <= max(store.facts("median")[:2, 3])


def test_weights_and_classes_choose_tiles(store):
    names = [t["id"] for t in store.tiles]
    ground = TileGround(store, SIDE, CHANNELS, 1.0, Sampling(weights={names[0]: 0, names[2]: 50}))
    rows = [row for row, _ in drawn(ground)]
    assert set(rows) <= {1, 2, 3}
    assert rows.count(2) > 0.8 * len(rows)
    small = TileGround(store, 8, CHANNELS, 0.2, Sampling({1: 1.0}))
    for place in drawn(small, 50):
        assert (small.read(place)[1] == 1).any()
        assert 0 <= place[1].y0 <= SIDE - 8


def test_shares_of_labels_are_nested(store):
    kept = [
        set(TileGround(store, SIDE, CHANNELS, 1.0, Sampling(label_fraction=f)).rows) for f in (0.01, 0.5, 0.75, 1.0)
    ]
    assert [len(rows) for rows in kept] == [1, 2, 3, 4]
    assert all(few < more for few, more in pairwise(kept))


def test_what_cannot_be_cut_or_is_not_there_is_refused(store):
    with pytest.raises(ValueError, match="32 px cannot be cut from tiles of 24 px"):
        TileGround(store, 32, CHANNELS, 1.0)
    everything = {t["id"]: 0.0 for t in store.tiles}
    with pytest.raises(ValueError, match=r"no tile of .* is left to train"):
        TileGround(store, SIDE, CHANNELS, 1.0, Sampling(weights=everything))
