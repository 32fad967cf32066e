"""The values of a class map: their names and their colours.

Several names of classes are the values of the class map in their order, the first being background. A single name is
the binary case: value 0 is background, value 1 the class.
"""

import colorsys
from collections.abc import Sequence

Color = tuple[int, int, int, int]
"""Red, green, blue, alpha, 0 to 255."""
NO_CLASS = 255
"""Value of the class map where nothing is known."""
MAX_CLASSES = NO_CLASS
BACKGROUND_COLOR: Color = (228, 228, 224, 255)
CLASS_PALETTE: tuple[Color, ...] = (
    (190, 24, 93, 255),
    (86, 180, 233, 255),
    (230, 159, 0, 255),
    (120, 94, 240, 255),
    (20, 24, 32, 255),
    (102, 37, 6, 255),
    (51, 34, 136, 255),
    (255, 112, 166, 255),
)
"""Classes 1 to 8: apart from each other and from background also for eyes without red, green or blue cones."""


def value_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return what each value of the class map means, from 0 on.

    Args:
        classes: the names in a bundle's card; one name is the class beside background.

    Raises:
        ValueError: names repeat, or there are more of them than the class map has values.
    """
    names = ("background", *classes) if len(classes) == 1 else tuple(classes)
    if len(set(names)) < len(names):
        raise ValueError(f"classes must have names of their own, got {list(names)}; rename the repeated one")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"a class map has values for {MAX_CLASSES} classes, got {len(names)}; merge some")
    return names


def class_colors(count: int) -> dict[int, Color]:
    """Return red, green, blue, alpha of the values 0 to `count - 1` of a class map; no two are equal.

    After the ninth they are told apart by their names: so many colours cannot differ for every eye.
    """
    further = [_further_color(place) for place in range(count - 1 - len(CLASS_PALETTE))]
    return dict(enumerate((BACKGROUND_COLOR, *CLASS_PALETTE, *further)[:count]))


def _further_color(place: int) -> Color:
    """A hue apart from those before it (steps of the golden angle never meet), light and dark by turns."""
    value = (0.95, 0.55, 0.75)[place % 3]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(place * 0.618034 % 1, 0.6, value))
    return red, green, blue, 255
