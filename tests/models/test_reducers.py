"""Reducers: what a projection keeps, what a mean is, and rows that cannot be reduced."""

import tracemalloc

import numpy as np
import pytest

from models.reducers import common_space, mean_pool, pca, random_projection, standardised

RANDOM = np.random.default_rng(3)


def test_a_random_projection_keeps_distances_but_for_noise_and_comes_again():
    rows = RANDOM.normal(size=(30, 3000))
    low = random_projection(rows, 400, seed=5)
    before = np.linalg.norm(rows[:, None] - rows, axis=2)[np.triu_indices(30, 1)]
    after = np.linalg.norm(low[:, None] - low, axis=2)[np.triu_indices(30, 1)]
    assert np.abs(after / before - 1).max() < 0.2
    assert np.array_equal(low, random_projection(rows, 400, seed=5))
    assert not np.allclose(low, random_projection(rows, 400, seed=6))


def test_pca_keeps_the_variance_of_data_of_low_rank_whole():
    rows = RANDOM.normal(size=(40, 3)) @ RANDOM.normal(size=(3, 70)) + 9
    low = pca(rows, 3)
    assert low.shape == (40, 3)
    assert low.var(axis=0).sum() == pytest.approx(rows.var(axis=0).sum())
    assert low.var(axis=0).tolist() == sorted(low.var(axis=0).tolist(), reverse=True)


def test_no_reducer_asks_for_more_than_the_data_have():
    rows = RANDOM.normal(size=(7, 4))
    assert pca(rows, 50).shape == random_projection(rows, 50).shape == (7, 4)
    assert pca(RANDOM.normal(size=(3, 90)), 50).shape == (3, 3)
    assert np.ptp(pca(np.full((6, 5), 2.0)), axis=0).tolist() == [0.0], "constant data vary along no direction"


@pytest.mark.parametrize(("height", "width"), [(8, 12), (9, 13), (4, 4)])
def test_pooled_means_are_those_of_the_pixels(height, width):
    images = RANDOM.normal(size=(2, 3, height, width))
    pooled = mean_pool(images, 4).reshape(2, 3, 4, 4)
    down, along = (np.linspace(0, n, 5).round().astype(int) for n in (height, width))
    part = images[1, 2, down[1] : down[2], along[3] : along[4]]
    assert pooled[1, 2, 1, 3] == pytest.approx(part.mean())
    assert mean_pool(images, 1)[:, 1] == pytest.approx(images[:, 1].mean(axis=(1, 2)))


def test_images_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="3 x 9 px"):
        mean_pool(np.zeros((1, 1, 3, 9)), 4)


def test_standardised_columns_have_mean_0_and_deviation_1_unless_they_do_not_vary():
    rows = np.column_stack([RANDOM.normal(7, 3, 50), np.full(50, 0.1), RANDOM.normal(0, 1e-3, 50)])
    done = standardised(rows)
    assert done.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert done.std(axis=0) == pytest.approx([1, 0, 1])
    assert common_space(rows).shape == (50, 3)


@pytest.mark.parametrize("rows", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_rows_that_cannot_be_reduced_are_named(rows):
    for reducer in (random_projection, pca, common_space):
        with pytest.raises(ValueError, match="pixels: "):
            reducer(rows)


def test_beyond_a_sample_the_common_space_is_nearly_that_of_all_rows_and_holds_no_more_than_its_result(
    monkeypatch, tmp_path
):
    random = np.random.default_rng(7)
    mixed = random.normal(size=(3, 600))
    pixels = np.memmap(tmp_path / "pixels", np.float32, "w+", shape=(3_000, 600))
    pixels[:] = 50 + random.normal(size=(3_000, 3)) * [9, 5, 3] @ mixed + random.normal(0, 0.1, (3_000, 600))
    exact = common_space(pixels, 3)
    monkeypatch.setattr("models.reducers.FIT_ROWS", 300)
    monkeypatch.setattr("models.reducers.BLOCK_ROWS", 128)
    chosen = np.arange(3_000)[::-1]
    tracemalloc.start()
    found = common_space(pixels, 3, chosen=chosen)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    for place in range(3):
        assert abs(np.corrcoef(exact[:, place], found[::-1, place])[0, 1]) > 0.99
    assert peak_bytes < 0.8 * pixels.size * 8, "never all rows as float64"
    assert np.array_equal(common_space(pixels, 3, chosen=chosen[:9]), common_space(pixels[chosen[:9]], 3))
