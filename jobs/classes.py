"""Which classes a run may map: checked when it is planned, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.map_config import FuseConfig
from tiler.classes import value_names


def check_classes(classes: Sequence[str], fuse: FuseConfig) -> None:
    """Refuse classes that no map can show, and settings that mean nothing for them.

    Raises:
        ValueError: names repeat, there are too many, or a threshold is set where the most probable class wins.
    """
    value_names(classes)
    default = FuseConfig().threshold
    if len(classes) > 1 and fuse.threshold != default:
        raise ValueError(
            f"fuse: threshold {fuse.threshold:g} is set, but the bundles tell {len(classes)} classes apart "
            f"({', '.join(classes)}) and the most probable one wins: leave it at {default:g}"
        )
