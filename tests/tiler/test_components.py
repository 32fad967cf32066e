"""Components: the table of the whole raster, however it was cut into parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiler.components import Pieces, joined, label, overlaps_of, runs_of, stitch, touching
from tiler.grids import Box

masks = st.tuples(st.integers(1, 17), st.integers(1, 23)).flatmap(
    lambda shape: arrays(bool, shape, elements=st.sampled_from([False, False, True]), fill=st.nothing())
)
ORIGIN = (-37, 61)


def flooded(mask: np.ndarray) -> np.ndarray:
    """Label by flooding, pixel by pixel: slow and plain."""
    out, number = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if out[start]:
            continue
        number += 1
        todo = [start]
        while todo:
            y, x = todo.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not out[y, x]:
                out[y, x] = number
                todo += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return out


@given(masks)
@settings(max_examples=150)
def test_labels_are_those_of_flooding(mask):
    found, count = label(mask)
    expected = flooded(mask)
    assert count == expected.max(initial=0)
    np.testing.assert_array_equal(found, expected)


def cut(height: int, width: int, side_y: int, side_x: int) -> list[Box]:
    """Parts of a raster whose cell borders lie at absolute multiples, so that the first and last parts are partial."""
    y0, x0 = ORIGIN
    whole = Box(y0, x0, y0 + height, x0 + width)
    rows, cols = range(y0 // side_y, -(-whole.y1 // side_y)), range(x0 // side_x, -(-whole.x1 // side_x))
    cells = (Box(r * side_y, c * side_x, (r + 1) * side_y, (c + 1) * side_x) for r in rows for c in cols)
    return [cell.clip(whole) for cell in cells]


def told(truth: np.ndarray, found: np.ndarray, regions: np.ndarray, boxes: list[Box]):
    """The objects of both layers and their overlaps, as a table that does not know the parts."""
    layers: tuple[list[Pieces], list[Pieces]] = ([], [])
    shared = []
    for box in boxes:
        here = box.shift(-ORIGIN[0], -ORIGIN[1]).slices
        labels = label(truth[here])[0], label(found[here])[0]
        for layer, one in zip(layers, labels, strict=True):
            layer.append(Pieces.of(one, box, regions[here]))
        shared.append(overlaps_of(*labels))
    truths, founds = (stitch(layer) for layer in layers)

    def described(objects, number):
        return tuple(sorted((r, *sums.tolist()) for (o, r), sums in objects.regions.items() if o == number))

    pairs: dict = {}
    for part, rows in enumerate(shared):
        for a, b, pixels in rows:
            key = described(truths, truths.owner[part, a]), described(founds, founds.owner[part, b])
            pairs[key] = pairs.get(key, 0) + pixels
    return [sorted(described(layer, n) for n in range(len(layer))) for layer in (truths, founds)], pairs


@given(masks, st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 11))
@settings(max_examples=200, deadline=None)
def test_the_cut_does_not_show(truth, seed, side_y, side_x):
    rng = np.random.default_rng(seed)
    found = np.where(rng.random(truth.shape) < 0.7, truth, rng.random(truth.shape) < 0.4)
    regions = rng.integers(-1, 3, truth.shape)
    whole = told(truth, found, regions, [Box(*ORIGIN, ORIGIN[0] + truth.shape[0], ORIGIN[1] + truth.shape[1])])
    assert told(truth, found, regions, cut(*truth.shape, side_y, side_x)) == whole
    assert sum(r[1] for o in whole[0][0] for r in o) == truth.sum()


def test_a_ring_around_four_parts_and_a_chain_over_their_corner():
    mask = np.zeros((8, 10), bool)
    mask[0], mask[-1], mask[:, 0], mask[:, -1] = True, True, True, True
    mask[3, 4] = mask[4, 5] = True  # touch only across the corner where four parts of 4 x 5 meet
    parts = [Box(r, c, r + 4, c + 5) for r in (0, 4) for c in (0, 5)]
    pieces = [Pieces.of(label(mask[b.slices])[0], b) for b in parts]
    found = stitch(pieces)
    assert len(found) == 2
    assert sorted(sums[0] for sums in found.regions.values()) == [2, 32]
    alone = stitch([Pieces.of(label(mask[b.slices])[0], b, alone=True) for b in parts])
    assert len(alone) == 6


def test_many_runs_join_whatever_their_order():
    rng = np.random.default_rng(3)
    order = rng.permutation(2000)
    chain = np.stack([order[:-1], order[1:]], axis=1)
    assert set(joined(2000, chain).tolist()) == {0}
    assert joined(4, np.zeros((0, 2), int)).tolist() == [0, 1, 2, 3]
    assert joined(5, np.array([[4, 1], [3, 0]])).tolist() == [0, 1, 2, 0, 1]


def test_nothing_has_no_runs_and_touches_nothing():
    assert runs_of(np.zeros((3, 4), bool)).shape == (0, 3)
    assert touching(np.zeros((0, 3), int), np.array([[1, 2, 3]])).shape == (0, 2)
    assert label(np.zeros((3, 4), bool))[1] == 0
    assert len(stitch([Pieces([], [])])) == 0
    assert overlaps_of(np.zeros((2, 2), int), np.ones((2, 2), int)) == []


@pytest.mark.parametrize(("gap", "touch"), [(-1, True), (0, True), (1, False)])
def test_a_corner_is_enough_and_a_gap_is_too_much(gap, touch):
    pairs = touching(np.array([[7, 2, 5]]), np.array([[7, 5 + gap, 9]]))
    assert pairs.tolist() == ([[0, 0]] if touch else [])


def test_many_objects_of_many_regions_keep_their_names():
    mask = np.zeros((61, 83), bool)
    mask[::2, ::2] = True
    regions = np.arange(mask.size).reshape(mask.shape) + 70_000
    found = Pieces.of(label(mask)[0], Box(0, 0, *mask.shape), regions)
    assert [p[0] for p in found.pieces] == list(range(1, mask.sum() + 1))
    assert [p[1] for p in found.pieces] == regions[mask].tolist()
    assert {p[2] for p in found.pieces} == {1}
