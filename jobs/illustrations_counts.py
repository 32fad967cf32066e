"""What the illustration document reports, and which of its counts close."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

IMAGES, OVER_FULL, SMALLEST, CLASSES = 25_503, (6_189, 6_206), 180, 20
FLAGGED = ("L2_12", "L2_24", "L2_3", "L2_41", "L2_50")
FLAGGED_IMAGES, REMOVED, DIVIDED = 3_269, 1_905, 15_932
TRAIN, TEST = 12_745, 3_187
EXAMPLE = (220.19, 41.11)
"""Mean pixels of its example pair: an illustration, a photo."""
MEAN_F1, TRUE_MEAN_F1 = 0.135, 0.033
"""What the document calls the mean of its F1 values, and the mean of the twenty that it prints."""
TEST_SHARE, VALIDATION_SHARE = 0.2, 0.3


@dataclass(frozen=True)
class ReportedClusters:
    """A row of the document's table of reducers."""

    sizes: tuple[int, int]
    silhouette: float
    davies_bouldin: float

    @property
    def text(self) -> str:
        """The row as one cell."""
        return f"{'/'.join(map(str, self.sizes))}, {self.silhouette:.4f}, {self.davies_bouldin:.4f}"


CLUSTERS = {
    "random": ReportedClusters((1905, 1364), 0.3829, 1.0540),
    "pca": ReportedClusters((327, 2942), 0.0048, 14.7660),
    "autoencoder": ReportedClusters((1905, 1364), 0.3829, 1.0540),
}


@dataclass(frozen=True)
class Counted:
    """The counts of a reproduction, step by step."""

    counts: Mapping[str, int]
    """Class to images, as delivered."""
    over_full: tuple[str, ...]
    target: int | None
    balanced: int
    """Images that balancing removes."""
    flagged: tuple[str, ...]
    clustered: int
    cleaned: int
    """Images that cleaning removes."""
    kept: int
    parts: Mapping[str, int]
    """Images that train, validate and judge."""

    @property
    def images(self) -> int:
        """All of them."""
        return sum(self.counts.values())


COLUMNS = ("step", "reported", "reported counts close", "here", "here they close")


def ceil_share(images: int, share: float) -> int:
    """Return a share of images, rounded up; 0.2 is a fifth, not a little more."""
    return math.ceil(round(images * share, 6))


def counts_rows(found: Counted) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for each step: what the document says, what was counted, and whether sums agree."""
    rest = IMAGES - sum(OVER_FULL)
    target = rest / (CLASSES - len(OVER_FULL))
    after = rest + len(OVER_FULL) * round(target)
    left = after - REMOVED
    over = sum(found.counts[name] for name in found.over_full)
    filled = len([count for count in found.counts.values() if count])
    mean = (found.images - over) / max(filled - len(found.over_full), 1)
    parts = found.parts
    train_and_validation = parts.get("train", 0) + parts.get("validation", 0)
    judged, validated = ceil_share(found.kept, TEST_SHARE), ceil_share(train_and_validation, VALIDATION_SHARE)
    pairs = "/".join(str(found.counts[name]) for name in found.over_full) or "none"
    return [
        ("images", f"{IMAGES}", "", f"{found.images}", ""),
        ("over-full classes", "/".join(map(str, OVER_FULL)), f"yes: {IMAGES} - {rest}", pairs, ""),
        (
            "each of them keeps the mean of the others",
            "(728 by its rule)",
            f"yes: {rest}/{CLASSES - len(OVER_FULL)} = {target:.1f}",
            "nothing to balance" if found.target is None else f"{found.target}",
            "" if found.target is None else _yes(found.target == max(1, round(mean)), f"{mean:.1f}"),
        ),
        (
            "after undersampling",
            "not printed",
            f"{after} by its rule",
            f"{found.images - found.balanced}",
            ""
            if found.target is None
            else _yes(found.images - over + len(found.over_full) * found.target == found.images - found.balanced),
        ),
        (
            "images of flagged classes",
            f"{FLAGGED_IMAGES}",
            _yes(all(sum(one.sizes) == FLAGGED_IMAGES for one in CLUSTERS.values()), "sums of its clusters"),
            f"{found.clustered}",
            _yes(sum(found.counts.get(name, 0) for name in found.flagged) >= found.clustered, "readable ones"),
        ),
        ("removed as photos", f"{REMOVED}", "yes: its cluster 0", f"{found.cleaned}", ""),
        (
            "left to divide",
            f"{DIVIDED}",
            _yes(left == DIVIDED, f"{after} - {REMOVED} = {left}, {DIVIDED - left:+d}"),
            f"{found.kept}",
            _yes(found.images - found.balanced - found.cleaned == found.kept),
        ),
        (
            "train and test, 8:2",
            f"{TRAIN}/{TEST}",
            _yes(ceil_share(DIVIDED, TEST_SHARE) == TEST and DIVIDED - TEST == TRAIN, "a fifth, rounded up"),
            f"{train_and_validation}/{parts.get('test', 0)}",
            _yes(parts.get("test", 0) == judged and train_and_validation + judged == found.kept),
        ),
        (
            "of it train and validation, 7:3",
            "not printed",
            f"{TRAIN - ceil_share(TRAIN, VALIDATION_SHARE)}/{ceil_share(TRAIN, VALIDATION_SHARE)} by its rule",
            f"{parts.get('train', 0)}/{parts.get('validation', 0)}",
            _yes(parts.get("validation", 0) == validated),
        ),
    ]


def _yes(closes: bool, why: str = "") -> str:
    return ("yes" if closes else "NO") + (f": {why}" if why else "")
