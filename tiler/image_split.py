"""The split of a collection: drawn by a seed, the same share of every stratum, and groups that stay together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from tiler.tile_store import TileEntry

NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders and lists call the parts."""


def drawn_split(
    entries: Sequence[TileEntry], validation: float, test: float, seed: int, groups: Mapping[str, str]
) -> dict[str, str]:
    """Divide images into train, validation and test.

    Test gets ceil(test * n) images and validation ceil(validation * n), and so does every class of every source, as
    nearly as whole images allow. Within a stratum the order is that of hashes of seed and name: it depends neither on
    the order of files nor on other images. A stratum of one image trains.

    Args:
        entries: the images.
        validation: share.
        test: share.
        seed: another seed is another draw.
        groups: image to the name of its group; a group is never divided, so that shares may be missed by its size.

    Returns:
        Id to train, validation or test.
    """
    units: dict[str, list[TileEntry]] = {}
    for entry in entries:
        units.setdefault(f"g{groups[entry.id]}" if groups.get(entry.id) else f"i{entry.id}", []).append(entry)
    strata: dict[tuple[str, str], list[str]] = {}
    for name, members in units.items():
        strata.setdefault((members[0].label, members[0].source), []).append(name)
    sizes = {stratum: sum(len(units[name]) for name in names) for stratum, names in strata.items()}
    found: dict[str, str] = {}
    quotas = {part: _quotas(sizes, share) for part, share in (("test", test), ("validation", validation))}
    for stratum, names in strata.items():
        left = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
        for part in ("test", "validation"):
            wanted = quotas[part][stratum]
            while wanted > 0 and len(left) > 1:
                members = units[left.pop(0)]
                found |= {entry.id: part for entry in members}
                wanted -= len(members)
        found |= {entry.id: "train" for name in left for entry in units[name]}
    return found


def _quotas(sizes: Mapping[tuple[str, str], int], share: float) -> dict[tuple[str, str], int]:
    """Return how many of each stratum: largest remainders, so that the sum is the share of all, rounded up."""
    exact = Fraction(repr(share))  # 0.2 as it was written: 0.2 * 15 is 3, not a little more
    total = math.ceil(exact * sum(sizes.values()))
    parts = {stratum: exact * size for stratum, size in sizes.items()}
    quotas = {stratum: math.floor(part) for stratum, part in parts.items()}
    order = sorted(parts, key=lambda stratum: (quotas[stratum] - parts[stratum], stratum))
    for stratum in order[: total - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas
