"""Windows filled with similarities, as Mosaic reads them."""

import numpy as np

from jobs.search_map import SimilarityWindows
from models.search import exact_scores
from tests.tiler.embeddings_for_tests import scene_grid, unit_vectors, write_scene_embeddings


def test_quarters_have_their_own_and_what_was_not_seen_is_not_there(tmp_path):
    seen = np.ones(30, bool)
    seen[[7, 10]] = False  # a quarter of window (0, 1), and window (0, 2) itself
    store = write_scene_embeddings(tmp_path, unit_vectors(30), scene_grid(700, 1200), quadrants=True, seen=seen)
    rows = store.read(0, 30)[0]
    scores = exact_scores(rows, rows[3]).astype(np.float16)
    values, there = SimilarityWindows(store, rows[3]).windows(0, 0, 3)
    assert values.shape == (3, 2, 512, 512)
    assert there.tolist() == [True, True, False]
    assert (values[0, 0, :256, :256] == scores[1]).all()
    assert (values[0, 0, 256:, :256] == scores[3]).all()
    assert (values[1, 0, :256, 256:] == scores[5]).all()  # of the whole window
    assert (values[:, 1] == 0).all()


def test_whole_windows_alone(tmp_path):
    store = write_scene_embeddings(tmp_path, unit_vectors(6), scene_grid(700, 1200))
    rows = store.read(0, 6)[0]
    values, _ = SimilarityWindows(store, rows[0]).windows(1, 1, 3)
    for value, score in zip(values, exact_scores(rows[4:6], rows[0]).astype(np.float16), strict=True):
        assert (value[0] == score).all()
