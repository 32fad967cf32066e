import io

import numpy as np
import pytest
from PIL import Image

from jobs.panels import overlay, tile_panels

pytestmark = pytest.mark.usefixtures("drawn_pictures")


def test_only_pixels_of_the_mask_turn_green():
    rgb = np.random.default_rng(0).integers(0, 255, (7, 5, 3)).astype(np.uint8)
    mask = np.zeros((7, 5), bool)
    mask[2:4, 1:] = True
    out = overlay(rgb, mask)
    np.testing.assert_array_equal(out[~mask], rgb[~mask])
    grey = np.full((1, 1, 3), 100, np.uint8)
    red, green, blue = overlay(grey, np.ones((1, 1), bool))[0, 0].tolist()
    assert green > 100 > blue > red


@pytest.mark.parametrize("count", [1, 3, 4])
def test_every_tile_gets_a_panel_and_the_mask_changes_the_picture(count):
    random = np.random.default_rng(1)
    images = [random.integers(1, 3000, (3, 24, 30)) for _ in range(count)]
    valid = [np.ones((24, 30), bool) for _ in range(count)]
    valid[0][:3] = False
    masks = [np.zeros((24, 30), bool) for _ in range(count)]
    titles = [f"tile {i}" for i in range(count)]
    plain, bare = tile_panels(images, valid, titles), tile_panels(images, valid, titles, masks)
    assert plain == bare, "an empty mask is no mask"
    masks[-1][5:20, 5:20] = True
    green = tile_panels(images, valid, titles, masks)
    assert green != plain
    assert Image.open(io.BytesIO(green)).format == "PNG"
    with pytest.raises(ValueError, match="zip"):
        tile_panels(images, valid, titles[1:])
