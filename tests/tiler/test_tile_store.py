from pathlib import Path

import numpy as np
import pytest

from tests.tiler.aihub_for_tests import SIDE, TILES, missing_pixels, write_delivery
from tests.tiler.rasters_for_tests import moved, numbers, write_tif
from tiler.aihub import AihubTile, scan
from tiler.aihub_source import AihubSource
from tiler.labels import IGNORE
from tiler.sensors import load_sensor
from tiler.stores import open_group
from tiler.tile_source import fill_shard
from tiler.tile_store import (
    SHARD_TILES,
    Modality,
    TileShard,
    TileStore,
    create_tile_store,
    tile_shards,
)

SN10 = load_sensor("SN10")
GEMS = Modality(load_sensor("GEMS"), side_px=6)
CODES = {10: 1, 90: 0}


@pytest.fixture
def delivery(tmp_path) -> Path:
    return write_delivery(tmp_path)


def ingested(folder: Path, shards=None) -> tuple[TileStore, tuple[AihubTile, ...], list[dict]]:
    tiles = scan(str(folder), "SN10").tiles
    url = str(folder / "tiles.zarr")
    source = AihubSource(tiles, SN10, SIDE, "uint16", CODES, (GEMS,))
    create_tile_store(url, source.entries, SN10, SIDE, "uint16", 2, [GEMS])
    group = open_group(url)
    records = [fill_shard(source, group, shard) for shard in shards or tile_shards("s", len(tiles))]
    return TileStore(url), tiles, records


def test_rows_are_what_the_files_hold(delivery):
    store, tiles, records = ingested(delivery)
    assert records == [{"tiles": TILES, "damaged": {}, "notes": {}}]
    assert [t["id"] for t in store.tiles] == [t.id for t in tiles]
    assert [t["split"] for t in store.tiles] == ["train"] * 4 + ["validation"]
    for index in range(TILES):
        image = numbers(4, SIDE, SIDE, seed=index)
        image[index % 4].flat[: missing_pixels(index)] = 0
        valid = (image > 0).all(axis=0)
        np.testing.assert_array_equal(store.read("valid", index), valid)
        np.testing.assert_array_equal(store.read("image", index)[:, valid], image[:, valid])
        label = store.read("label", index)
        assert (label[: 3 + index] == 1).all()
        assert (label[3 + index : -1] == 0).all()
        assert (label[-1] == IGNORE).all(), "a code that nobody explained is not background"
        np.testing.assert_allclose(store.grid(index).transform, tuple(moved(0, 100 * index))[:6])
        assert store.grid(index).pyproj_crs.to_epsg() == 32652


def test_a_missing_modality_is_missing_and_not_zero(delivery):
    store, _, _ = ingested(delivery)
    assert np.isnan(store.read("gems", 2)).all()
    gems = store.read("gems", 1)
    assert np.isnan(gems[3, 1, 2])
    assert np.isfinite(gems).sum() == gems.size - 1


def test_facts_are_those_of_the_pixels(delivery):
    store, _, _ = ingested(delivery)
    for index in range(TILES):
        valid, image = store.read("valid", index), store.read("image", index).astype(float)
        assert store.facts("missing_ratio")[index] == pytest.approx(missing_pixels(index) / SIDE**2, abs=1e-6)
        if valid.any():
            np.testing.assert_allclose(store.facts("median")[index], np.median(image[:, valid], axis=1))
            known = valid & (store.read("label", index) != IGNORE)
            expected = (store.read("label", index)[known] == 1).mean()
            assert store.facts("coverage")[index] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(store.facts("median")[4]).all()
    estimate = store.facts("missing_ratio_3_patches")
    assert estimate[0] == 0.0
    assert estimate[4] == 1.0
    # The upper left patch of 6 x 6 lies in the missing rows of tile 1 (86 pixels are 3 rows and 14), the others do not.
    assert estimate[1] == pytest.approx((3 * 6 + 6) / 108, abs=1e-6)


def test_facts_of_the_files_are_those_that_numpy_tells(delivery):
    damaged = delivery / "TS_SN10_SN10/SN10_CHN_00003_230409.tif"
    damaged.write_bytes(damaged.read_bytes()[:200])
    store, _, _ = ingested(delivery)
    assert store.facts("damaged").tolist() == [False, False, False, True, False]
    assert store.facts("width").tolist() == store.facts("height").tolist() == [SIDE, SIDE, SIDE, 0, SIDE]
    names = ("mean", "standard_deviation", "minimum", "maximum")
    for index in range(3):
        pixels = store.read("image", index)[:, store.read("valid", index)]
        assert store.facts("pixel")[index] == pixels.mean()
        wanted = [pixels.mean(1), pixels.std(1), pixels.min(1), pixels.max(1)]
        for name, expected in zip(names, wanted, strict=True):
            np.testing.assert_array_equal(store.facts(name)[index], expected)
    for index in (3, 4):
        assert np.isnan(store.facts("pixel")[index])
        assert all(np.isnan(store.facts(name)[index]).all() for name in names)
    assert store.kept(1.0).tolist() == [0, 1, 2, 4], "what could not be read is never kept"


def test_the_list_says_what_is_known_of_each_tile(delivery):
    store, tiles, _ = ingested(delivery)
    assert store.class_names == ()
    assert store.tiles[0] == {"id": tiles[0].id, "split": "train", "date": "230409", "source": "CHN", "label": ""}


def test_the_gate_keeps_thirty_percent_and_drops_a_little_more(delivery):
    store, _, _ = ingested(delivery)
    ratios = [missing_pixels(i) / SIDE**2 for i in range(TILES)]
    assert store.kept(ratios[2]).tolist() == [0, 1, 2], "equal to the limit is kept"
    assert store.kept(0.30).tolist() == [0, 1] if ratios[2] > 0.30 else [0, 1, 2]
    assert store.kept(1.0, "validation").tolist() == [4]
    assert store.kept(1.0, "train").tolist() == [0, 1, 2, 3]


def test_statistics_are_those_of_the_tiles_that_were_kept(delivery):
    store, _, _ = ingested(delivery)
    rows = store.kept(0.31)
    mean, deviation = store.scaling(rows)
    pixels = np.concatenate([store.read("image", r)[:, store.read("valid", r)] for r in rows], axis=1).astype(float)
    np.testing.assert_allclose(mean, pixels.mean(axis=1))
    np.testing.assert_allclose(deviation, pixels.std(axis=1))
    np.testing.assert_allclose(store.scaling(np.append(rows, 4))[0], mean, err_msg="a tile without pixels adds nothing")


def test_networks_see_medians_where_a_tile_is_missing(delivery):
    store, _, _ = ingested(delivery)
    seen, valid = store.network_input(1), store.read("valid", 1)
    np.testing.assert_array_equal(seen[-1], ~valid)
    np.testing.assert_array_equal(seen[:-1][:, valid], store.read("image", 1)[:, valid])
    np.testing.assert_allclose(seen[:-1][:, ~valid], np.repeat(store.facts("median")[1][:, None], (~valid).sum(), 1))
    assert np.isfinite(store.network_input(4)).all(), "also where nothing is valid"


def test_a_damaged_tile_is_named_and_takes_no_other_along(delivery):
    path = delivery / "TS_SN10_SN10/SN10_CHN_00001_230409.tif"
    path.write_bytes(path.read_bytes()[:200])
    write_tif(
        delivery / "TL_SN10/SN10_CHN_00003_230409.tif", np.full((SIDE, SIDE), 10, np.int8), crs=None, transform=None
    )
    write_tif(delivery / "VS_SN10_SN10/SN10_CHN_00004_230409.tif", numbers(4, SIDE, SIDE + 1))
    store, _, records = ingested(delivery)
    assert sorted(records[0]["damaged"]) == ["SN10_CHN_00001_230409", "SN10_CHN_00003_230409", "SN10_CHN_00004_230409"]
    assert "does not say where" in records[0]["damaged"]["SN10_CHN_00003_230409"]
    assert "the store holds 4 x 24 x 24" in records[0]["damaged"]["SN10_CHN_00004_230409"]
    assert store.kept(0.99).tolist() == [0, 2]
    assert (store.read("label", 1) == IGNORE).all()


def test_shards_partition_the_tiles_and_may_come_in_any_order(delivery, monkeypatch):
    assert [s.index for s in tile_shards("s", 2 * SHARD_TILES + 1)] == [0, 1, 2]
    assert TileShard("a", 3).unit == "a_s3"
    whole, _, _ = ingested(delivery)
    expected = {name: whole.facts(name) for name in ("image", "label", "gems", "sums", "epsg")}
    monkeypatch.setattr("tiler.tile_store.SHARD_TILES", 2)
    monkeypatch.setattr("tiler.tile_source.SHARD_TILES", 2)
    again, _, records = ingested(delivery, [TileShard("s", i) for i in (2, 0, 1)])
    assert [r["tiles"] for r in records] == [1, 2, 2]
    for name, values in expected.items():
        np.testing.assert_array_equal(again.facts(name), values)
