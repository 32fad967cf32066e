import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.duplicates import (
    LEFT_OUT,
    TRAINING,
    VALIDATION,
    alike_pairs,
    copy_cosine,
    cosine_pairs,
    difference_hash,
    digest,
    equal_pairs,
    frequency_hash,
    groups_of,
    leaks,
    split_by_group,
    thumbnail,
)


def picture(seed: int, height: int = 75, width: int = 90) -> np.ndarray:
    """Return a smooth image of four bands, uint16."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [
        random.normal() * np.cos(random.uniform(1, 25) * x + random.uniform(1, 25) * y + random.uniform(0, 6))
        for _ in range(12)
    ]
    return (
        (2000 + 300 * np.sum(waves, axis=0)[None] * np.array([1, 0.9, 1.1, 0.7])[:, None, None])
        .clip(1)
        .astype(np.uint16)
    )


def bits_apart(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def test_digests_tell_values_types_and_shapes_apart():
    image = picture(1)
    other = image.copy()
    other[0, 3, 4] += 1
    names = [digest(one) for one in (image, image.copy(), other, image.astype(np.int32), image.reshape(4, 90, 75))]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_a_thumbnail_is_the_area_means():
    image = np.random.default_rng(0).random((2, 96, 64))
    valid = np.ones((96, 64), bool)
    expected = image.mean(0).reshape(32, 3, 32, 2).mean((1, 3))
    np.testing.assert_allclose(thumbnail(image, valid), expected)
    lopsided = thumbnail(np.random.default_rng(1).random((1, 75, 50)), np.ones((75, 50), bool))
    assert lopsided.shape == (32, 32)
    ramp = thumbnail(np.broadcast_to(np.arange(50.0), (1, 75, 50)), np.ones((75, 50), bool))
    assert ramp.mean() == pytest.approx(24.5)  # nothing is lost where pixels are cut
    valid[:40] = False
    image[:, ~valid] = 1e9
    assert thumbnail(image, valid).max() < 1
    with pytest.raises(ValueError, match=r"an image of \(20, 64\) px has no thumbnail"):
        thumbnail(image[:, :20], valid[:20])


@pytest.mark.parametrize("name", [difference_hash, frequency_hash])
def test_hashes_forgive_what_the_eye_does_and_tell_pictures_apart(name):
    every = np.ones((75, 90), bool)
    noise = np.random.default_rng(0).normal(0, 15, (4, 75, 90))
    for seed in range(8):
        image = picture(seed)
        plain = name(thumbnail(image, every))
        for alike in (image * 1.2 + 50, image + noise, image.repeat(2, 1).repeat(2, 2)):
            mask = np.ones(alike.shape[1:], bool)
            assert bits_apart(plain, name(thumbnail(alike, mask))) <= 4
        assert bits_apart(plain, name(thumbnail(picture(seed + 100), every))) > 12


def test_equal_names_are_chained():
    assert equal_pairs(["b", "a", "b", "c", "b"]).tolist() == [[0, 2], [2, 4]]
    assert equal_pairs(["a", "b"]).shape == (0, 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 7)), min_size=1, max_size=40), st.integers(0, 6))
def test_alike_pairs_link_what_brute_force_links(seeds, most):
    """Same groups as comparing each with each: equal values are chained, not all paired."""
    hashes = np.array([[a ^ (1 << b), a] for a, b in seeds for _ in range(2)], np.uint64)
    hashes[::2, 0] ^= np.uint64(1)
    n = len(hashes)
    brute = [
        (i, j)
        for i in range(n)
        for j in range(i + 1, n)
        if all(bits_apart(int(x), int(y)) <= most for x, y in zip(hashes[i], hashes[j], strict=True))
    ]
    found = alike_pairs(hashes, most)
    assert {tuple(p) for p in found.tolist()} <= set(brute)
    np.testing.assert_array_equal(groups_of(n, [found]), groups_of(n, [np.array(brute).reshape(-1, 2)]))


def test_cosine_pairs_are_those_of_the_whole_matrix(monkeypatch):
    monkeypatch.setattr("models.duplicates.BLOCK_ROWS", 7)
    rows = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    rows[31], rows[8], rows[12] = 3 * rows[2], rows[2] + 0.01, 0
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    i, j = np.nonzero(np.triu(unit @ unit.T > 0.6, 1))
    found = cosine_pairs(rows, 0.6)
    assert found.tolist() == np.stack([i, j], axis=1).tolist()
    assert [2, 31] in found.tolist()
    assert not (found == 12).any()


def test_the_bound_of_an_embedder_lies_between_copies_and_neighbours(monkeypatch):
    monkeypatch.setattr("models.duplicates.BLOCK_ROWS", 30)
    random = np.random.default_rng(1)
    for narrow in (1.0, 0.05):  # an embedder that gives all items nearly one direction
        rows = np.array([1.0, *np.zeros(15)]) + narrow * random.normal(size=(200, 16))
        copies = rows[:20] + 0.01 * narrow * random.normal(size=(20, 16))
        rows = np.concatenate([rows, copies, np.zeros((3, 16))])
        found = cosine_pairs(rows, copy_cosine(rows))
        assert found.tolist() == [[n, 200 + n] for n in range(20)]


def test_groups_join_pairs_blocks_and_nobody_else():
    together = np.array([-1, 7, -1, -1, 7, -1])
    assert groups_of(6, [np.array([[0, 3]]), np.array([[3, 4]])], together).tolist() == [0, 0, 2, 0, 0, 5]


@given(st.integers(0, 10_000), st.floats(0.1, 0.5))
def test_planted_duplicates_never_straddle(seed, share):
    random = np.random.default_rng(seed)
    pairs = random.integers(0, 60, (25, 2))
    blocks = random.integers(-1, 20, 60)
    groups = groups_of(60, [pairs], blocks)
    if len(np.unique(groups)) < 2:
        return
    part = split_by_group(groups, share, seed)
    assert set(part.tolist()) == {TRAINING, VALIDATION}
    assert (part[pairs[:, 0]] == part[pairs[:, 1]]).all()
    assert all(len(set(part[blocks == b].tolist())) <= 1 for b in range(20))
    assert not len(leaks(part, groups))
    np.testing.assert_array_equal(part, split_by_group(groups, share, seed))


def test_shares_are_met_as_near_as_groups_allow():
    part = split_by_group(np.arange(1000) // 3, 0.2, seed=4)
    assert abs((part == VALIDATION).mean() - 0.2) < 0.003
    assert (split_by_group(np.arange(1000) // 3, 0.2, seed=5) != part).any()


def test_leaks_of_a_split_at_random_are_found():
    groups = np.arange(60) // 2
    part = np.tile([TRAINING, VALIDATION, TRAINING, TRAINING], 15)
    found = leaks(part, groups)
    assert found.tolist() == [[4 * i, 4 * i + 1] for i in range(15)]


def test_frames_of_neighbouring_hours_are_guarded():
    """Blocks of ten days of frames every 3 h; no training frame lies within a day of a validation frame."""
    hours = np.concatenate([np.arange(0, 2400, 3), np.arange(6000, 7000, 3)])
    series, times_s = np.repeat([0, 1], len(hours)), np.tile(hours * 3600.0, 2)
    blocks = series * 1000 + (times_s // (240 * 3600)).astype(int)
    part = split_by_group(groups_of(len(blocks), [], blocks), 0.25, 3, series, times_s, guard_s=24 * 3600.0)
    assert (part == LEFT_OUT).any()
    for one in (0, 1):
        held, trains = (times_s[(series == one) & (part == p)] for p in (VALIDATION, TRAINING))
        assert np.abs(held[:, None] - trains[None]).min() >= 24 * 3600
    # left out is only what is too near
    for item in np.flatnonzero(part == LEFT_OUT):
        held = times_s[(series == series[item]) & (part == VALIDATION)]
        assert np.abs(held - times_s[item]).min() < 24 * 3600


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="1 groups cannot be split"):
        split_by_group(np.zeros(5, int), 0.2)
    with pytest.raises(ValueError, match=r"share of 1\.5"):
        split_by_group(np.arange(5), 1.5)
    with pytest.raises(ValueError, match="differ in 20 bits"):
        alike_pairs(np.zeros((3, 1), np.uint64), 20)
