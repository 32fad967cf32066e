import io

import numpy as np
import pytest
from PIL import Image

from jobs.panels import overlay, sample_figures, tile_panels
from tiler.labels import IGNORE
from tiler.sensors import load_sensor

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


class Store:
    """Seven tiles of four bands; the band's number is in the hundreds, the tile's in the units."""

    sensor = load_sensor("SN10")

    def __init__(self) -> None:
        self.tiles = [{"id": f"{'long' * 12}/{row}"} for row in range(7)]

    def read(self, name: str, row: int) -> np.ndarray:
        if name == "image":
            return np.broadcast_to(np.arange(100, 500, 100)[:, None, None] + row, (4, 5, 6))
        if name == "valid":
            return np.full((5, 6), True)
        return np.where(np.eye(5, 6) > 0, row % 3, np.where(np.arange(6) == 5, IGNORE, 0)).astype(np.uint8)


def test_samples_are_four_tiles_evenly_spread_in_true_colours_and_with_their_labels_in_green(monkeypatch):
    drawn = []
    monkeypatch.setattr("jobs.panels.tile_panels", lambda *given: drawn.append(given) or b"")
    figures = sample_figures(Store(), np.array([0, 1, 2, 4, 5, 6]))
    assert [figure.title for figure in figures] == ["Samples", "Samples with labels"]
    (images, valid, titles), (again, _, _, masks) = drawn
    rows = [int(image[0, 0, 0]) - 100 for image in images]
    assert rows == [0, 1, 4, 6]
    assert [image[:, 0, 0].tolist() for image in again] == [[100 + row, 200 + row, 300 + row] for row in rows]
    assert [title[-2:] for title in titles] == [f"/{row}" for row in rows]
    assert max(map(len, titles)) == 40
    assert all(seen.all() for seen in valid)
    for row, mask in zip(rows, masks, strict=True):
        np.testing.assert_array_equal(mask, (np.eye(5, 6) > 0) & (row % 3 > 0))
    assert sample_figures(Store(), np.array([], int)) == []
