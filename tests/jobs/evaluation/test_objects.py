"""Objects: what is found, split, missed, false and merged, on a picture that one can check by eye."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.config import EvaluateConfig
from jobs.evaluation.objects import by_size, object_columns, objects_of, pieces_of, tally
from tiler.grids import Box
from tiler.labels import IGNORE

SETTINGS = EvaluateConfig(size_edges_ha=(0, 0.05, 0.2))
PIXEL_M2 = 100.0


def place(part: int, row: float, col: float) -> tuple[float, float, float]:
    return 500 + 10 * col, 900 - 10 * row, PIXEL_M2


def drawn(picture: str) -> np.ndarray:
    return np.array([[int(c == "#") + IGNORE * (c == "?") for c in line] for line in picture.split()], np.uint8)


TRUTH = drawn("""
    ####..##..####.#
    ####..##..####..
    ..........####..
    ####......####..
    ####............
    ...........?????
""")
FOUND = drawn("""
    ####......##.##.
    ....####........
    ..........####..
    .....###..####..
    ....####........
    ...........#####
""")


def judged(truth=TRUTH, found=FOUND, regions=None):
    told = pieces_of(truth, found, 2, Box(7, 3, 7 + truth.shape[0], 3 + truth.shape[1]), regions, alone=True)
    return objects_of([told], ("industrial",), SETTINGS, place)


def test_every_verdict_is_given_where_it_belongs():
    found = [(o.kind, o.pixels, o.share, o.verdict, o.broken, o.partners) for o in judged()]
    assert sorted(found) == [
        ("labelled", 1, 0.0, "missed", False, 0),  # upper right
        ("labelled", 4, 0.5, "found", False, 1),
        ("labelled", 8, 0.0, "missed", False, 0),  # lower left
        ("labelled", 8, 0.5, "found", False, 1),  # upper left
        ("labelled", 16, 11 / 16, "found", True, 2),  # a third piece covers one pixel of it: too little
        ("mapped", 2, 0.5, "right", False, 0),
        ("mapped", 2, 1.0, "right", False, 1),
        ("mapped", 7, 0.0, "false", False, 0),
        ("mapped", 8, 0.75, "right", True, 2),  # its two rows touch at a corner
        ("mapped", 8, 1.0, "right", False, 1),
    ]


def test_one_object_that_covers_two_merges_them():
    alone = judged(drawn("##......##"), drawn("##########"))
    assert [(o.verdict, o.broken, o.partners) for o in alone if o.kind == "mapped"] == [("right", True, 2)]
    assert [(o.verdict, o.broken) for o in alone if o.kind == "labelled"] == [("found", False)] * 2


@pytest.mark.parametrize(("covered", "verdict"), [(1, "missed"), (2, "partly"), (9, "partly"), (10, "found")])
def test_limits_belong_to_the_better_verdict(covered, verdict):
    truth, found = np.ones((1, 20), np.uint8), np.zeros((1, 20), np.uint8)
    found[0, :covered] = 1
    assert [o.verdict for o in judged(truth, found) if o.kind == "labelled"] == [verdict]


@pytest.mark.parametrize(("right", "verdict"), [(0, "false"), (1, "false"), (2, "right")])
def test_a_mapped_object_is_false_below_a_tenth(right, verdict):
    truth, found = np.zeros((1, 20), np.uint8), np.ones((1, 20), np.uint8)
    truth[0, :right] = 1
    assert [o.verdict for o in judged(truth, found) if o.kind == "mapped"] == [verdict]


def test_ignored_pixels_hold_no_object():
    assert all(o.pixels < 5 or o.y > 900 - 10 * 12 for o in judged() if o.kind == "mapped")
    assert sum(o.pixels for o in judged() if o.kind == "mapped") == ((FOUND == 1) & (TRUTH != IGNORE)).sum()


def test_place_area_and_region():
    regions = np.where(np.arange(16)[None, :] < 13, 1, 0) + np.zeros((6, 1), int)
    large = next(o for o in judged(regions=regions) if o.kind == "labelled" and o.pixels == 16)
    assert (large.x, large.y) == (500 + 10 * (3 + 12), 900 - 10 * (7 + 2))
    assert large.area_ha == 0.16
    assert large.region == 1  # three of its four columns
    single = next(o for o in judged(regions=regions) if o.kind == "labelled" and o.pixels == 1)
    assert single.region == 0
    told = object_columns(large, ("a", "b"), {"tile": "t"})
    assert (told["tile"], told["region"], told["split_or_merged"]) == ("t", "b", large.broken)
    assert "part" not in told


def test_sizes_hold_every_object_once():
    objects = judged()
    rows = by_size(objects, SETTINGS.size_edges_ha)
    assert [r["size"] for r in rows] == ["0 to 0.05 ha", "0.05 to 0.2 ha", "0.2 ha and more"]
    total = tally(objects)
    for key in ("labelled", "found", "partly", "missed", "split", "mapped", "false", "merged"):
        assert sum(r[key] for r in rows) == total[key]
    assert total["labelled"] == total["found"] + total["partly"] + total["missed"]
    assert [r["labelled"] for r in rows] == [2, 3, 0]
    assert rows[2]["found_share"] is None
    assert total["labelled_ha"] == pytest.approx((TRUTH == 1).sum() / 100)


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(3, 12))
@settings(max_examples=40, deadline=None)
def test_the_cut_does_not_show(seed, side_y, side_x):
    rng = np.random.default_rng(seed)
    truth, found = (rng.random((2, 17, 23)) < 0.4).astype(np.uint8) * rng.integers(1, 3, (2, 1, 1), np.uint8)
    truth[rng.random(truth.shape) < 0.1] = IGNORE
    origin = -5, 8
    whole = pieces_of(truth, found, 3, Box(*origin, origin[0] + 17, origin[1] + 23), None)
    parts = []
    for y in range(0, 17, side_y):
        for x in range(0, 23, side_x):
            at = slice(y, min(17, y + side_y)), slice(x, min(23, x + side_x))
            box = Box(at[0].start + origin[0], at[1].start + origin[1], at[0].stop + origin[0], at[1].stop + origin[1])
            parts.append(pieces_of(truth[at], found[at], 3, box, None))
    names = ("industrial", "port")
    one, many = (objects_of(p, names, SETTINGS, place) for p in ([whole], parts))
    shown = [[object_columns(o, (), {}) for o in rows] for rows in (one, many)]
    assert shown[0] == shown[1]
