from datetime import datetime

import numpy as np
import pytest
import zarr

from tests.tiler.embeddings_for_tests import (
    scene_grid,
    unit_vectors,
    write_frame_embeddings,
    write_scene_embeddings,
)
from tiler.embedding_store import EmbeddingStore, EmbedUnit
from tiler.geoemb import check_geoemb

TIMES = np.datetime64("2011-02-01T00:00", "s") + np.arange(300) * np.timedelta64(3, "h")


def test_vectors_come_back_with_length_one_and_their_norm(tmp_path):
    vectors = unit_vectors(300) * np.linspace(0.5, 30, 300, dtype=np.float32)[:, None]
    write_frame_embeddings(tmp_path, vectors, TIMES)
    store = EmbeddingStore(f"{tmp_path}/embed/coms.zarr")
    rows, norm, missing = store.read(0, 300)
    assert rows.dtype == np.float16
    assert len(store) == 300
    assert store.units == 2
    np.testing.assert_allclose(np.linalg.norm(rows.astype(float), axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(norm, np.linalg.norm(vectors, axis=1), rtol=1e-6)
    np.testing.assert_allclose(rows.astype(float) * norm[:, None], vectors, atol=0.02)
    np.testing.assert_array_equal(store.times, TIMES)
    assert (missing == 0).all()


def test_what_was_not_written_or_not_seen_has_no_length(tmp_path):
    seen = np.ones(300, bool)
    seen[[0, 7, 299]] = False
    vectors = unit_vectors(300)
    vectors[7] = np.nan  # what was not seen may hold anything
    store = write_frame_embeddings(tmp_path, vectors, TIMES, seen=seen)
    _, norm, _ = store.read(0, 300)
    np.testing.assert_array_equal(norm > 0, seen)
    rows, found = store.vectors(np.array([299, 3, 7, 4]))
    np.testing.assert_array_equal(found, [False, True, False, True])
    np.testing.assert_array_equal(rows[[1, 3]], store.read(3, 5)[0])


def test_a_half_filled_store_holds_nothing_of_the_rest(tmp_path):
    grid = scene_grid(700, 33_000)
    store = write_scene_embeddings(tmp_path, unit_vectors(2 * 65), grid)
    path = tmp_path / "embed/scene.zarr/norm"
    (path / "c/1").unlink()
    again = EmbeddingStore(store.url)
    assert (again.read(0, 64)[1] > 0).all()
    assert (again.read(64, 128)[1] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_embedding_without_direction_is_refused(tmp_path, value):
    vectors = unit_vectors(300)
    vectors[280] = value
    with pytest.raises(ArithmeticError, match="item 280"):
        write_frame_embeddings(tmp_path, vectors, TIMES)


def test_the_group_follows_the_convention(tmp_path):
    scene = write_scene_embeddings(
        tmp_path, unit_vectors(2 * 3 * 5), scene_grid(700, 1200), quadrants=True, acquired=datetime(2019, 8, 3)
    )
    frames = write_frame_embeddings(tmp_path, unit_vectors(300), TIMES)
    for store in (scene, frames):
        attributes = dict(zarr.open_group(store.url, mode="r").attrs)
        check_geoemb(attributes)
        assert attributes["geoemb:dimensions"] == 12
    attributes = dict(zarr.open_group(scene.url, mode="r").attrs)
    assert attributes["geoemb:chip_layout"]["chip_size"] == [512, 512]
    assert attributes["geoemb:gsd"] == 10
    assert attributes["proj:wkt2"].startswith("PROJCRS")
    again = EmbeddingStore(scene.url)
    assert again.acquired == datetime(2019, 8, 3)
    assert (again.times == np.datetime64("2019-08-03", "s")).all()


def test_units_are_whole_windows(tmp_path):
    store = write_scene_embeddings(tmp_path, unit_vectors(9 * 9 * 5), scene_grid(4500, 4500), quadrants=True)
    assert store.units == 2
    assert store.unit_span(0) == (0, 320)
    assert store.unit_span(1) == (320, 405)
    assert EmbedUnit("a-1", 3).unit == "a-1/u3"
    assert list(store.blocks(700)) == [(0, 405)]
    assert list(store.blocks(10)) == [(0, 320), (320, 405)]


def test_wrong_shapes_are_refused(tmp_path):
    store = write_frame_embeddings(tmp_path, unit_vectors(300), TIMES)
    with pytest.raises(ValueError, match="takes embeddings"):
        store.write(0, unit_vectors(256, 11), np.zeros(256), np.ones(256, bool))
