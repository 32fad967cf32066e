import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.synthetic.illustrations import CONTAMINATED, COUNTS, IllustrationWorld, counts_of, items_of, picture_of
from tiler.synthetic.illustrations.grammars import GRAMMARS
from tiler.synthetic.illustrations.plan import SIZES
from tiler.synthetic.noise import Dice

WORLD = IllustrationWorld(3, 4000, 4)


def test_counts_are_those_of_the_document():
    assert sum(COUNTS.values()) == 25_503
    assert sorted(COUNTS.values())[-2:] == [6_189, 6_206]
    assert min(COUNTS, key=COUNTS.__getitem__) == "L2_40"
    rest = sum(COUNTS.values()) - 6_189 - 6_206
    assert (rest, round(rest / 18)) == (13_108, 728)
    assert sum(COUNTS[name] for name in CONTAMINATED) == 3_269
    assert set(COUNTS) == set(GRAMMARS)


@given(st.integers(80, 60_000))
def test_counts_add_up_and_keep_their_shape(total):
    found = counts_of(total)
    assert sum(found.values()) == total
    assert min(found.values()) >= 4
    assert all(abs(found[name] - COUNTS[name] * total / 25_503) < 24 for name in COUNTS)


def test_too_few_are_refused():
    with pytest.raises(ValueError, match="need 80"):
        IllustrationWorld(1, 79)


def test_photos_are_planted_in_five_classes():
    for label in COUNTS:
        items = items_of(WORLD, label)
        share = np.mean([i.photo for i in items])
        if label not in CONTAMINATED:
            assert share == 0
            continue
        assert abs(share - 1905 / 3269) < 0.01
        # lots are drawn: photos neither come first nor last
        halves = np.array_split([i.photo for i in items], 2)
        assert min(h.mean() for h in halves) > 0.3


def test_a_tenth_is_hard_and_sizes_have_their_shares():
    items = [item for label in COUNTS for item in items_of(WORLD, label)]
    mixed = [i for i in items if i.label in CONTAMINATED]
    assert 0.07 < np.mean([i.hard and i.photo for i in mixed]) < 0.13
    assert 0.07 < np.mean([i.hard for i in items if not i.photo]) < 0.13
    for height, width, share in SIZES:
        found = np.mean([(i.height_px, i.width_px) == (height // 4, width // 4) for i in items])
        assert abs(found - share) < 0.025
    assert {i.suffix for i in items} == {".jpg", ".png"}


def test_copies_repeat_an_earlier_image_of_their_kind():
    copies = 0
    for label in COUNTS:
        items = items_of(WORLD, label)
        for item in items:
            if item.original is not None:
                first = items[item.original]
                assert (first.original, first.photo, first.hard) == (None, item.photo, item.hard)
                assert first.number < item.number
                copies += 1
    assert 0.03 < copies / 4000 < 0.07


def test_pictures_are_as_dark_as_they_should_be():
    means = {(photo, hard): [] for photo in (True, False) for hard in (True, False)}
    for label in CONTAMINATED:
        for item in items_of(WORLD, label):
            if item.height_px < 100 and len(means[item.photo, item.hard]) < 12:
                picture = picture_of(WORLD, item)
                assert picture.shape == (item.height_px, item.width_px, 3)
                means[item.photo, item.hard].append(picture.mean())
    assert np.median(means[False, False]) > 195
    assert np.median(means[True, False]) < 110
    assert np.median(means[True, True]) > 160
    assert np.median(means[False, True]) < 110


@pytest.mark.parametrize("label", GRAMMARS)
def test_a_grammar_varies_and_stays_in_its_square(label):
    one, other = GRAMMARS[label](Dice(1)), GRAMMARS[label](Dice(2))
    assert max(np.abs(p.points).max() for p in one) <= 1.35
    alike = len(one) == len(other) and all(
        a.points.shape == b.points.shape and np.allclose(a.points, b.points) for a, b in zip(one, other, strict=True)
    )
    assert not alike
