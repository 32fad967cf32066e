"""Names and colours of the values of a class map."""

import itertools

import numpy as np
import pytest

from tiler.classes import BACKGROUND_COLOR, CLASS_PALETTE, MAX_CLASSES, NO_CLASS, class_colors, value_names

# What eyes see that lack one kind of cones, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
EYES = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(color: tuple[int, ...], eye: str) -> np.ndarray:
    """CIELAB (D65) of an sRGB colour as an eye sees it."""
    srgb = np.array(color[:3]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(EYES[eye]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_background_and_eight_classes_differ_for_every_eye(eye):
    for one, two in itertools.combinations((BACKGROUND_COLOR, *CLASS_PALETTE), 2):
        distance = np.linalg.norm(seen(one, eye) - seen(two, eye))
        assert distance > 20, (one, two)  # a difference of about 2 can just be seen


@pytest.mark.parametrize("count", [2, 3, 9, 10, 40, MAX_CLASSES])
def test_every_value_has_a_colour_of_its_own(count):
    colors = class_colors(count)
    assert list(colors) == list(range(count))
    assert len(set(colors.values())) == count
    assert NO_CLASS not in colors
    assert {len(color) for color in colors.values()} == {4}
    assert all(type(part) is int and 0 <= part <= 255 for color in colors.values() for part in color)
    assert class_colors(2) == dict(itertools.islice(colors.items(), 2))


def test_one_name_is_a_class_beside_background_and_several_begin_with_it():
    assert value_names(("forest",)) == ("background", "forest")
    assert value_names(("other", "forest")) == ("other", "forest")
    assert len(value_names([str(n) for n in range(MAX_CLASSES)])) == 255
    with pytest.raises(ValueError, match="255 classes, got 256"):
        value_names([str(n) for n in range(MAX_CLASSES + 1)])
    for repeated in (("a", "b", "a"), ("background",)):
        with pytest.raises(ValueError, match="rename the repeated one"):
            value_names(repeated)
