import numpy as np
import pytest

from jobs.embedding_readers import ChangedViews, HeldBackTriplets, Pairs, Triplets, change_by
from models.triplets import Frames, Items, TripletSampler

HOURS = np.datetime64("2019-01-01", "s") + (np.arange(30) * 3).astype("timedelta64[h]")


class Numbered:
    """An item's pixels are its number; every fifth lacks its first row."""

    channels, sensor, times, groups = ("a", "b"), "s", HOURS.astype("M8[s]"), np.zeros(30, int)
    valid_range = ((0.0, 0.0), (1.0, 1.0))

    def read(self, item: int):
        valid = np.ones((2, 6, 8), bool)
        valid[:, 0] = item % 5 != 0
        return np.full((2, 6, 8), item, np.uint8), valid


def sampler():
    return TripletSampler(Items(Numbered.groups, Numbered.times), Frames(), seed=2)


def drawn(reader, epoch):
    reader.set_epoch(epoch)
    return [tuple(reader[i][0][:, 0, 3, 0].tolist()) for i in range(len(reader))]


def test_triplets_are_those_of_the_sampler_and_epochs_differ():
    reader = Triplets(Numbered(), sampler())
    assert len(reader) == 29
    for epoch in (0, 3):
        assert drawn(reader, epoch) == [tuple(sampler().draw(epoch, i)) for i in range(29)]
    views, valid = reader[4]
    assert views.shape == valid.shape == (3, 2, 6, 8)
    assert valid[0, 0, 0].any() == (views[0, 0, 0, 0] % 5 != 0)
    with pytest.raises(IndexError):
        reader[29]


def test_pairs_are_those_of_the_sampler_and_each_image_changes_by_itself():
    reader = Pairs(Numbered(), sampler())
    assert len(reader) == 29
    assert drawn(reader, 0) == drawn(reader, 3) == [sampler().pair(i) for i in range(29)]

    def shifted(image, valid, random):
        return image + random.uniform(100, 200), ~valid

    changed = Pairs(Numbered(), sampler(), shifted, count=7, seed=3)
    changed.set_epoch(2)
    images, valid = changed[4]
    away = images[:, 0, 3, 0] - np.array(sampler().pair(changed._chosen[4]))
    assert ((away >= 100) & (away < 200)).all()
    assert away[0] != away[1]
    assert not valid[:, :, 1:].any()
    assert (changed[4][0] == images).all()
    assert drawn(changed, 2) != drawn(changed, 5)


def test_a_part_of_the_samples_is_another_one_in_each_epoch():
    reader = Triplets(Numbered(), sampler(), count=10, seed=1)
    first, second, again = (drawn(reader, epoch) for epoch in (0, 1, 0))
    assert len(first) == len({anchor for anchor, *_ in first}) == 10
    assert first == again != second


def test_held_back_triplets_stay_and_are_spread():
    reader = HeldBackTriplets(Numbered(), sampler(), limit=5)
    assert drawn(reader, 0) == drawn(reader, 7)
    assert [anchor for anchor, *_ in drawn(reader, 0)] == [0, 5, 11, 17, 23]
    assert len(HeldBackTriplets(Numbered(), sampler())) == 29


def test_views_are_the_item_its_change_and_another_item():
    def shifted(image, valid, random):
        return image + 100, valid

    members = np.array([3, 8, 12])
    reader = ChangedViews(Numbered(), members, (None, shifted), with_another=True, seed=4)
    found = {i: set() for i in range(3)}
    for epoch in range(40):
        for i, (anchor, positive, negative) in enumerate(drawn(reader, epoch)):
            assert (anchor, positive) == (members[i], members[i] + 100)
            found[i].add(negative)
    assert found == {0: {8, 12}, 1: {3, 12}, 2: {3, 8}}
    with pytest.raises(ValueError, match="needs another one"):
        ChangedViews(Numbered(), members[:1], (None,), with_another=True)


def test_changes_move_image_and_validity_together_and_fill_with_the_mean():
    random, image = np.random.default_rng(0), np.arange(96, dtype=np.uint8).reshape(2, 6, 8)
    valid = np.ones(image.shape, bool)
    valid[1, :, :2] = False
    flipped, seen = change_by([{"HorizontalFlip": {"p": 1}}], ["a", "b"], [5.0, 7.0], [1.0, 1.0])(image, valid, random)
    np.testing.assert_array_equal(seen, valid[..., ::-1])
    np.testing.assert_array_equal(flipped[seen], image[..., ::-1][seen])
    assert (flipped[1, :, -2:] == 7.0).all()
    with pytest.raises(ValueError, match="did you mean 'GaussianBlur'"):
        change_by(["GaussianBlurr"], ["a"], [0.0], [1.0])
