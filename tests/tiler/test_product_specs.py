"""The table of products: bands, names and colours for one class and for several."""

from dataclasses import replace

import numpy as np

from tiler.classes import class_colors
from tiler.product_specs import PRODUCTS, UNCERTAINTY, specs_of


def test_products_of_one_class_are_the_table_and_the_names():
    found = specs_of(("forest",))
    assert found["class"].tags == {"CLASS_0": "background", "CLASS_1": "forest"}
    assert found | {"class": replace(found["class"], tags={})} == PRODUCTS | {"uncertainty": UNCERTAINTY}


def test_products_of_several_classes():
    names = ("background", "industrial", "quarry")
    found = specs_of(names)
    assert list(found) == [*PRODUCTS, "uncertainty"]
    assert found.pop("uncertainty") == UNCERTAINTY
    assert found["count"] == PRODUCTS["count"]
    assert {name: spec.bands for name, spec in found.items() if spec.bands} == {"probability": names, "spread": names}
    assert found["class"].colors == class_colors(3)
    assert found["class"].tags == {"CLASS_0": "background", "CLASS_1": "industrial", "CLASS_2": "quarry"}
    assert found["class"].description.endswith("0 background, 1 industrial, 2 quarry")
    for name, spec in found.items():
        same = ("name", "dtype", "resampling", "unit")
        assert [getattr(spec, key) for key in same] == [getattr(PRODUCTS[name], key) for key in same]
        np.testing.assert_array_equal(spec.nodata, PRODUCTS[name].nodata)
