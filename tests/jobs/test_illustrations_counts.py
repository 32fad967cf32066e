"""The document's counts, those that close and those that do not; and ours, which must."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from jobs.illustrations_counts import CLUSTERS, Counted, ceil_share, counts_rows

COUNTS = {"L2_25": 6189, "L2_33": 6206, **dict.fromkeys(("L2_3", "L2_12", *map(str, range(15))), 728), "L2_40": 732}
FOUND = Counted(
    counts=COUNTS,
    over_full=("L2_25", "L2_33"),
    target=728,
    balanced=6189 + 6206 - 2 * 728,
    flagged=("L2_3", "L2_12"),
    clustered=1456,
    cleaned=800,
    kept=13_764,
    parts={"train": 7707, "validation": 3304, "test": 2753},
)


def table(found: Counted) -> Mapping[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in counts_rows(found)}


def test_the_documents_counts_close_up_to_the_split_and_not_there():
    rows = table(FOUND)
    assert rows["each of them keeps the mean of the others"][1] == "yes: 13108/18 = 728.2"
    assert rows["left to divide"][1] == "NO: 14564 - 1905 = 12659, +3273"
    assert rows["train and test, 8:2"][:2] == ("12745/3187", "yes: a fifth, rounded up")
    assert [one.sizes[0] + one.sizes[1] for one in CLUSTERS.values()] == [3269] * 3
    assert rows["images of flagged classes"][1].startswith("yes")


def test_ours_close():
    assert FOUND.images == 25_503
    assert {row[4].split(":")[0] for row in counts_rows(FOUND)} == {"", "yes"}


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"kept": 13_763}, "left to divide"),
        ({"target": 700}, "each of them keeps the mean of the others"),
        ({"balanced": 9}, "after undersampling"),
        ({"clustered": 1457}, "images of flagged classes"),
        ({"parts": {"train": 7707, "validation": 3305, "test": 2752}}, "train and test, 8:2"),
        ({"parts": {"train": 7708, "validation": 3303, "test": 2753}}, "of it train and validation, 7:3"),
    ],
)
def test_one_image_too_many_or_few_is_seen(changes, step):
    assert table(replace(FOUND, **changes))[step][3].startswith("NO")


@pytest.mark.parametrize(
    ("images", "share", "count"), [(15_932, 0.2, 3187), (12_745, 0.3, 3824), (15, 0.2, 3), (16, 0.2, 4)]
)
def test_shares_are_rounded_up(images, share, count):
    assert ceil_share(images, share) == count
