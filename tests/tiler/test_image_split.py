import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tiler.image_split import drawn_split
from tiler.tile_store import TileEntry


def entries(sizes: dict[str, int]) -> list[TileEntry]:
    return [TileEntry(f"{label}/{i}", label=label) for label, size in sizes.items() for i in range(size)]


SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(2, 40), min_size=1)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.3]), st.sampled_from([0.0, 0.1, 0.2]), st.integers(0, 5))
def test_every_image_is_in_one_part_and_every_class_has_its_share(sizes, validation, test, seed):
    images = entries(sizes)
    found = drawn_split(images, validation, test, seed, {})
    assert set(found) == {e.id for e in images}
    assert drawn_split(images[::-1], validation, test, seed, {}) == found, "the order of files does not matter"
    for part, share in (("validation", validation), ("test", test)):
        for label, size in sizes.items():
            count = sum(found[e.id] == part for e in images if e.label == label)
            assert math.floor(share * size) - 1 <= count <= math.ceil(share * size)
    assert all(Counter(found[e.id] for e in images if e.label == label)["train"] >= 1 for label in sizes)


def test_shares_are_rounded_up_as_written():
    found = drawn_split(entries({"": 15_932}), 0.0, 0.2, 0, {})
    assert Counter(found.values()) == {"train": 12_745, "test": 3_187}
    assert Counter(drawn_split(entries({"": 15}), 0.2, 0.2, 0, {}).values()) == {"train": 9, "test": 3, "validation": 3}
    found = drawn_split(entries({"a": 47, "b": 8, "c": 1}), 0.15, 0.15, 0, {})
    assert found["c/0"] == "train"


def test_another_seed_is_another_draw_and_new_images_do_not_move_old_ones():
    images = entries({"a": 100})
    first = drawn_split(images, 0.2, 0.2, 1, {})
    assert first != drawn_split(images, 0.2, 0.2, 2, {})
    more = drawn_split([*images, TileEntry("a/new", label="a")], 0.2, 0.2, 1, {})
    assert sum(more[name] != part for name, part in first.items()) <= 3


def test_groups_are_never_divided():
    images = entries({"a": 30})
    groups = {e.id: f"g{i // 3}" for i, e in enumerate(images)}
    found = drawn_split(images, 0.2, 0.2, 0, groups)
    assert all(len({found[e.id] for e in images if groups[e.id] == g}) == 1 for g in groups.values())
    assert Counter(found.values()) == {"train": 18, "test": 6, "validation": 6}
