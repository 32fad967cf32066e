"""Illustrations of twenty classes, five of them full of photos that do not belong there.

    world = IllustrationWorld(seed=1, count=400)
    write_illustrations(world, Path("out"))

docs/illustration_world.md says what is in it.
"""

from tiler.synthetic.illustrations.classes import CONTAMINATED, COUNTS, counts_of
from tiler.synthetic.illustrations.plan import IllustrationWorld, Item, items_of, picture_of
from tiler.synthetic.illustrations.write import SCALES, WrittenImages, encoded, write_illustrations

__all__ = [
    "CONTAMINATED",
    "COUNTS",
    "SCALES",
    "IllustrationWorld",
    "Item",
    "WrittenImages",
    "counts_of",
    "encoded",
    "items_of",
    "picture_of",
    "write_illustrations",
]
