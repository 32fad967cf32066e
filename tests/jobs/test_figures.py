"""Figures: right sizes, missing never drawn as a value, nothing global touched."""

import io

import numpy as np
import pytest
from PIL import Image

from jobs import figures
from jobs.figures import Extent, histogram, side_by_side, stretch, timing_bar

EXTENT = Extent(953_120.0, 1_950_670.0, 954_430.0, 1_951_340.0, "EPSG:5179")
pytestmark = pytest.mark.usefixtures("drawn_pictures")
HEIGHT, WIDTH = 67, 131


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB"))


def ground(seed: int = 1, height: int = HEIGHT, width: int = WIDTH):
    rng = np.random.default_rng(seed)
    rgb = rng.random((3, height, width)).astype("float32")
    probability = rng.random((height, width)).astype("float32")
    valid = np.ones((height, width), bool)
    valid[: height // 3, : width // 4] = False
    probability[~valid] = np.nan
    classes = np.where(valid, probability > 0.5, 255).astype("uint8")
    return stretch(rgb, valid), probability, classes, valid


def test_stretch_maps_percentiles_of_valid_pixels_to_the_full_range():
    plane = np.arange(HEIGHT * WIDTH, dtype="float32").reshape(HEIGHT, WIDTH)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[0] = False
    rgb = np.stack([plane, -plane, np.full_like(plane, 3.0)])
    rgb[:, 0] = 1e9  # missing pixels hold rubbish, which must not squeeze the rest
    out = stretch(rgb, valid, (0, 100))
    assert out.shape == (HEIGHT, WIDTH, 3)
    assert out.dtype == np.uint8
    assert (out[1, 0, 0], out[-1, -1, 0]) == (0, 255)
    assert (out[1, 0, 1], out[-1, -1, 1]) == (255, 0)
    assert (out[1:, :, 2] == 128).all()
    assert (out[0] == 0).all()


def test_stretch_of_nothing_valid():
    assert not stretch(np.full((3, 5, 7), np.nan), np.zeros((5, 7), bool)).any()


def test_stretch_refuses_other_axis_orders():
    with pytest.raises(ValueError, match=r"found \(5, 7, 3\) and \(5, 7\)"):
        stretch(np.zeros((5, 7, 3)), np.ones((5, 7), bool))


@pytest.mark.parametrize("top", [1_950_700.0, 1_951_340.0, 1_959_999.0])
def test_side_by_side_is_a_picture_for_any_shape_of_ground(top):
    extent = Extent(953_120.0, 1_950_670.0, 954_430.0, top, "EPSG:5179")
    picture = pixels(side_by_side(*ground(), extent, threshold=0.5))
    assert picture.shape[0] > 200
    assert picture.shape[1] > 700


def shares(picture: np.ndarray, color: str) -> float:
    wanted = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
    return float((np.abs(picture.astype(int) - wanted).max(axis=2) < 4).mean())


def test_missing_is_hatched_ground_and_not_the_colour_of_zero():
    imagery, probability, classes, valid = ground()
    whole = pixels(side_by_side(imagery, np.zeros_like(probability), classes * 0, valid | True, EXTENT))
    none = pixels(side_by_side(imagery, probability * np.nan, np.full_like(classes, 255), np.zeros_like(valid), EXTENT))
    assert shares(none, figures.GROUND) > 0.2
    assert shares(whole, figures.GROUND) < 0.01
    # The colour of probability 0 fills a panel of zeros, and only the colour bar of a panel of nothing.
    assert shares(whole, "#000004") > 0.15
    assert shares(none, "#000004") < 0.01


def test_several_classes_have_their_own_colours_and_names():
    imagery, probability, classes, valid = ground()
    colors = {"industrial": "#be185d", "solar farm": "#56b4e9", "quarry": "#e69f00"}

    def drawn(value: int) -> np.ndarray:
        painted = np.where(valid, np.uint8(value), np.uint8(255))
        white = np.full_like(imagery, 255)
        return pixels(side_by_side(white, probability, painted, valid, EXTENT, class_colors=colors))

    pictures = [drawn(value) for value in range(4)]
    for value, color in enumerate(colors.values(), start=1):
        parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
        over_white = "#" + "".join(f"{int(0.78 * part + 0.22 * 252):02x}" for part in parts)
        counted = [shares(picture, over_white) for picture in pictures]
        assert counted[value] > 0.1
        assert sum(counted) - counted[value] < 0.01
        assert min(shares(picture, color) for picture in pictures) > 0.0002  # the legend names it in any case
    with pytest.raises(ValueError, match="found class 4, named are 3"):
        side_by_side(imagery, probability, np.full_like(classes, 4), valid, EXTENT, class_colors=colors)


def test_the_panels_must_show_the_same_ground():
    imagery, probability, classes, valid = ground()
    with pytest.raises(ValueError, match="same ground, found"):
        side_by_side(imagery, probability[:-1], classes, valid, EXTENT)


@pytest.mark.parametrize("count", [1, 3])
def test_planes_have_colours_where_something_is_known_and_hatching_elsewhere(count):
    plane = np.linspace(0, 3, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    plane[:, : WIDTH // 2] = np.nan
    named = {f"plane {number}, nat": plane * (number + 1) for number in range(count)}
    seen, nothing = (pixels(figures.planes(n, EXTENT)) for n in (named, {name: plane * np.nan for name in named}))
    yellow, most = "#fde725", 0.02 * count  # the end of viridis: the last hundredth, and the ends of bars
    assert 0 < shares(nothing, yellow) < shares(seen, yellow) < most


def test_large_rasters_are_thinned(monkeypatch):
    monkeypatch.setattr(figures, "PANEL_PX", 50)
    assert pixels(side_by_side(*ground(), EXTENT)).shape[1] > 700


def test_the_same_input_gives_the_same_bytes():
    assert side_by_side(*ground(), EXTENT) == side_by_side(*ground(), EXTENT)


@pytest.mark.parametrize("counts", [np.zeros(20, int), np.arange(20) ** 4])
def test_histograms(counts):
    assert pixels(histogram(counts, np.linspace(0, 1, 21), label="probability", threshold=0.5)).size
    with pytest.raises(ValueError, match="one edge more"):
        histogram(counts, np.linspace(0, 1, 20), label="probability")


@pytest.mark.parametrize("seconds", [{}, {"ingest": 0.0}, {"ingest": 3.5, "infer": 412.25, "모자이크": 1e5}])
def test_timings(seconds):
    assert pixels(timing_bar(seconds)).size


def test_pyplot_stays_out():
    import subprocess
    import sys

    code = "import sys, jobs.figures as f; f.timing_bar({'a': 1.0}); sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
