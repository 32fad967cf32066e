import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from tests.tiler.images_for_tests import picture, polygon, save
from tiler.image_files import ORIENTATION, Picture, read_image
from tiler.image_masks import classes_of, label_of, looks_like_codes
from tiler.image_spec import MaskSpec
from tiler.labels import IGNORE

HEIGHT, WIDTH = 12, 17


def opened(tmp_path, orientation: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Picture:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return read_image(str(save(tmp_path / "photo.png", picture(height, width), exif=exif)))


def test_soft_edges_are_cut_at_128(tmp_path):
    gray = (np.arange(HEIGHT * WIDTH) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH)
    path = str(save(tmp_path / "mask.png", gray))
    assert_array_equal(label_of(opened(tmp_path), path, MaskSpec()), gray >= 128)
    assert_array_equal(label_of(opened(tmp_path), path, MaskSpec(threshold=30)), gray >= 30)


def test_codes_and_colours_that_nobody_explained_are_not_labelled(tmp_path):
    values = np.array([[0, 1, 2], [7, 255, 1]], np.uint8)
    expected = np.array([[0, 3, IGNORE], [IGNORE, IGNORE, 3]])
    assert_array_equal(classes_of(values, MaskSpec(codes={0: 0, 1: 3}), "m"), expected)
    colours = np.zeros((1, 3, 3), np.uint8)
    colours[0] = [(255, 0, 0), (0, 128, 255), (1, 128, 255)]
    found = classes_of(colours, MaskSpec(colours={"#FF0000": 0, "#0080ff": 1}), "m")
    assert_array_equal(found, [[0, 1, IGNORE]])
    with pytest.raises(ValueError, match="mask of colours"):
        classes_of(colours, MaskSpec(), "m")
    gray = classes_of(np.array([[255, 0]], np.uint8), MaskSpec(colours={"#ffffff": 1, "#000000": 0}), "m")
    assert_array_equal(gray, [[1, 0]])


def test_the_white_border_of_the_pixel_annotation_tool_is_not_labelled(tmp_path):
    ids = np.full((HEIGHT, WIDTH), 1, np.uint8)
    ids[4:8, 5:12] = 2
    ids[3, 4:13] = ids[8, 4:13] = 255
    ids[[0, -1]] = 255
    ids[:, [0, -1]] = 255
    path = str(save(tmp_path / "photo_watershed_mask.png", ids))
    spec = MaskSpec(kind="pixel_annotation_tool", codes={1: 0, 2: 1})
    found = label_of(opened(tmp_path), path, spec)
    assert_array_equal(found == IGNORE, ids == 255)
    assert_array_equal(found == 1, ids == 2)
    table = {1: (70, 70, 70), 2: (220, 20, 60), 255: (255, 255, 255)}
    colours = np.array([table[int(v)] for v in ids.ravel()], np.uint8).reshape(HEIGHT, WIDTH, 3)
    path = str(save(tmp_path / "photo_color_mask.png", colours))
    spec = MaskSpec(kind="pixel_annotation_tool", colours={"#464646": 0, "#dc143c": 1})
    assert_array_equal(label_of(opened(tmp_path), path, spec), found)


def test_a_mask_over_the_stored_file_is_turned_with_it(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:3, :5] = 255
    stored = str(save(tmp_path / "stored.png", mask))
    turned = opened(tmp_path, orientation=6)  # a quarter turn clockwise
    found = label_of(turned, stored, MaskSpec())
    assert found.shape == turned.pixels.shape[1:] == (WIDTH, HEIGHT)
    assert_array_equal(found, np.rot90(mask // 255, -1))
    upright = str(save(tmp_path / "upright.png", np.ascontiguousarray(np.rot90(mask, -1))))
    assert_array_equal(label_of(turned, upright, MaskSpec()), found)


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = str(save(tmp_path / "mask.png", np.zeros((HEIGHT + 1, WIDTH), np.uint8)))
    with pytest.raises(ValueError, match=r"mask.png is 13 x 17 px, its image 12 x 17"):
        label_of(opened(tmp_path), path, MaskSpec())


def test_an_image_without_a_mask_is_what_the_run_says(tmp_path):
    photo = opened(tmp_path)
    assert (label_of(photo, None, None) == IGNORE).all()
    assert (label_of(photo, None, MaskSpec(without="unlabelled")) == IGNORE).all()
    assert (label_of(photo, None, MaskSpec(without="background")) == 0).all()
    spec = MaskSpec(kind="via", file="x", attribute="cls", classes={"scratch": 1})
    assert (label_of(photo, (), spec) == 0).all(), "annotated, and nothing found"
    regions = ((polygon((0, 0), (9, 0), (9, 5)), {"cls": "scratch"}),)
    assert label_of(photo, regions, spec).sum() > 10


def test_codes_are_not_taken_for_gray():
    values = np.array([[0, 1, 2]], np.uint8)
    assert looks_like_codes(values, MaskSpec())
    assert not looks_like_codes(values, MaskSpec(codes={1: 1}))
    assert not looks_like_codes(values * 0, MaskSpec())
    assert not looks_like_codes(np.array([[0, 200]], np.uint8), MaskSpec())


def test_the_values_that_labels_may_hold():
    assert MaskSpec().label_values == (0, 1)
    assert MaskSpec(codes={3: 2, 4: 1}).label_values == (1, 2)
    assert MaskSpec(codes={3: 2}, without="background").label_values == (0, 2)
    assert MaskSpec(kind="via", file="x", classes={"a": 3}).label_values == (0, 3)
