"""Which grammar draws which class."""

from __future__ import annotations

from collections.abc import Callable

from tiler.synthetic.illustrations import grammars_made as made
from tiler.synthetic.illustrations import grammars_nature as nature
from tiler.synthetic.illustrations.shapes import Piece
from tiler.synthetic.noise import Dice

GRAMMARS: dict[str, Callable[[Dice], list[Piece]]] = {
    "L2_3": nature.flower,
    "L2_10": made.house,
    "L2_12": nature.tree,
    "L2_15": nature.fish,
    "L2_20": made.star,
    "L2_21": nature.shell,
    "L2_24": made.car,
    "L2_25": made.face,
    "L2_27": nature.bird,
    "L2_30": nature.butterfly,
    "L2_33": made.person,
    "L2_34": made.cup,
    "L2_39": made.gear,
    "L2_40": nature.crystal,
    "L2_41": nature.mountains,
    "L2_44": made.bottle,
    "L2_45": made.boat,
    "L2_46": nature.cat,
    "L2_50": nature.leaf,
    "L2_52": made.tiles,
}
