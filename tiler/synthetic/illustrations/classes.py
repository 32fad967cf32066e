"""The twenty classes: how many images each has, and which of them hold photos that do not belong there."""

from __future__ import annotations

COUNTS = {
    **{"L2_3": 652, "L2_10": 905, "L2_12": 688, "L2_15": 741, "L2_20": 1012, "L2_21": 634, "L2_24": 601},
    **{"L2_25": 6189, "L2_27": 768, "L2_30": 870, "L2_33": 6206, "L2_34": 585, "L2_39": 951, "L2_40": 180},
    **{"L2_41": 694, "L2_44": 722, "L2_45": 823, "L2_46": 1003, "L2_50": 634, "L2_52": 645},
}
"""25,503 in all; 13,108 of them outside the two large classes. The document gives the sum, the largest two and the
smallest; the others are ours, and those with photos add up to its 3,269."""
CONTAMINATED = ("L2_12", "L2_24", "L2_3", "L2_41", "L2_50")
PHOTO_SHARE = 1905 / 3269
"""Of the images of these classes."""
HARD_SHARE = 0.1
"""Bright photos, of all images of a class that holds photos; and dark ones, of its illustrations. (Were a tenth of the
photos alone bright, their mean would still tell them with an F1 of 0.91.)"""
LEAST = 4
"""Images of a class, however few there are in all."""


def counts_of(total: int) -> dict[str, int]:
    """Return images of each class, in proportion to `COUNTS`, adding up to `total`.

    Raises:
        ValueError: too few for `LEAST` of each class.
    """
    if total < LEAST * len(COUNTS):
        raise ValueError(f"count {total}: {len(COUNTS)} classes of {LEAST} images at least need {LEAST * len(COUNTS)}")
    whole = sum(COUNTS.values())
    found = {name: max(LEAST, count * total // whole) for name, count in COUNTS.items()}
    by_rest = sorted(COUNTS, key=lambda name: -(COUNTS[name] * total % whole))
    for name in by_rest:  # largest remainders first
        if sum(found.values()) < total:
            found[name] += 1
    while sum(found.values()) > total:  # what small classes were given above their share
        found[max(found, key=found.__getitem__)] -= 1
    return found
