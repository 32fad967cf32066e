"""What the products of a map hold: one table, for one class beside background or for several classes (softmax)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiler.classes import NO_CLASS, class_colors, value_names
from tiler.cog import CogSpec
from tiler.fuse import NO_DATE

PRODUCTS: dict[str, CogSpec] = {
    "probability": CogSpec(
        "probability", "float32", math.nan, "average", description="Probability of the class, 0 to 1"
    ),
    "class": CogSpec(
        "class",
        "uint8",
        NO_CLASS,
        "mode",
        class_colors(2),
        "Class of the pixel: 0 background, 1 the class",
    ),
    "spread": CogSpec(
        "spread", "float32", math.nan, "average", None, "Standard deviation of logits over networks and views", "logit"
    ),
    # 0 is an answer of `count` ("no scene saw this pixel"), so "outside the map" needs a value of its own.
    "count": CogSpec(
        "count", "uint16", 65535, "nearest", None, "Scenes that saw the pixel: 0 none, 65535 outside the map", "scenes"
    ),
    "latest": CogSpec(
        "latest",
        "int32",
        int(NO_DATE),
        "nearest",
        None,
        "Day on which the pixel was last seen, in days since 1970-01-01 (UTC)",
        "days since 1970-01-01",
    ),
}
"""The products of every map of one class; `specs_of` makes those of a run."""
UNCERTAINTY = CogSpec(
    "uncertainty",
    "float32",
    math.nan,
    "average",
    None,
    "What the map does not know: entropy of the mean probability (total), the mutual information in it (epistemic: "
    "networks, views and scenes contradict each other), and the standard deviation of the logit over scenes",
    ("nat", "nat", "logit"),
    bands=("entropy", "mutual_information", "disagreement"),
)
"""The product of a map with uncertainty, whatever its classes; `tiler.doubt` has the formulas."""


def specs_of(classes: Sequence[str]) -> Mapping[str, CogSpec]:
    """Return the products of a map of these classes: `PRODUCTS`, then `UNCERTAINTY`, which not every map has.

    The class map carries its names as tags `CLASS_<value>`. With several classes, probability and spread have a band
    for each, named by it.

    Raises:
        ValueError: as `value_names`.
    """
    names = value_names(classes)
    tags = {f"CLASS_{value}": name for value, name in enumerate(names)}
    if len(classes) == 1:
        return PRODUCTS | {"class": replace(PRODUCTS["class"], tags=tags), "uncertainty": UNCERTAINTY}
    meanings = ", ".join(f"{value} {name}" for value, name in enumerate(names))
    return PRODUCTS | {
        "probability": replace(
            PRODUCTS["probability"], bands=names, description="Softmax probability of each class, 0 to 1"
        ),
        "class": replace(
            PRODUCTS["class"],
            colors=class_colors(len(names)),
            tags=tags,
            description=f"Most probable class of the pixel: {meanings}",
        ),
        "spread": replace(
            PRODUCTS["spread"],
            bands=names,
            description="Standard deviation of each class's logits over networks and views",
        ),
        "uncertainty": UNCERTAINTY,
    }
