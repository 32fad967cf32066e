"""Published maps are opened by YAML or by folder; what is none is said."""

import numpy as np
import pytest

from jobs.opened_map import open_map
from tests.jobs.published_maps import EXTENT, publish_made
from tests.jobs.worlds import small_cells
from tiler.grids import Box

LOGITS = np.random.default_rng(0).normal(0, 2, (1, EXTENT.height, EXTENT.width)).astype(np.float32)
LOGITS[:, 5:9, 20:30] = np.nan
PLACE = Box(EXTENT.y0 + 3, EXTENT.x0 + 17, EXTENT.y0 + 12, EXTENT.x0 + 41)


@pytest.fixture
def out(tmp_path):
    with small_cells():
        yield publish_made(tmp_path / "out", LOGITS, threshold=0.7)


def test_a_map_is_opened_by_its_folder_and_by_its_run(out, tmp_path):
    (tmp_path / "map.yaml").write_text(f"out: {out}\nscenes: none\n")
    for address in (str(out), str(tmp_path / "map.yaml")):
        opened = open_map(address)
        assert (opened.name, opened.threshold, opened.classes) == ("0123456789ab", 0.7, ("background", "industrial"))
        logits = LOGITS[0][PLACE.shift(-EXTENT.y0, -EXTENT.x0).slices].astype(float)
        p = 1 / (1 + np.exp(-logits))
        expected = np.where(np.isnan(p), 255, p >= 0.7)
        np.testing.assert_array_equal(opened.class_at(PLACE), expected)
        classes, certainty = opened.certainty_at(PLACE)
        np.testing.assert_array_equal(classes, expected)
        np.testing.assert_allclose(certainty, np.where(p >= 0.7, p, 1 - p), atol=1e-6)


def test_of_several_classes_the_most_probable_one_counts(tmp_path):
    logits = np.random.default_rng(1).normal(0, 2, (3, EXTENT.height, EXTENT.width)).astype(np.float32)
    with small_cells():
        opened = open_map(str(publish_made(tmp_path, logits, classes=("a", "b", "c"))))
        classes, certainty = opened.certainty_at(EXTENT)
    powers = np.exp(logits.astype(float))
    np.testing.assert_array_equal(classes, logits.argmax(axis=0))
    np.testing.assert_allclose(certainty, powers.max(axis=0) / powers.sum(axis=0), rtol=1e-5)


def test_what_is_no_published_map_is_said(out, tmp_path):
    with pytest.raises(ValueError, match=r"has no published map yet: it is not the folder of a run .*run `sandan map`"):
        open_map(str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="is a folder: leave it out"):
        open_map(str(out), ["out=x"])
    (out / "mosaic" / "0123456789ab.zarr" / "zarr.json").unlink()
    with pytest.raises(ValueError, match="is gone"):
        open_map(str(out))


def test_single_pixels_are_those_of_the_map_and_nothing_lies_beyond_it(out):
    opened = open_map(str(out))
    random = np.random.default_rng(2)
    rows = random.integers(EXTENT.y0 - 60, EXTENT.y1 + 60, 300)
    cols = random.integers(EXTENT.x0 - 60, EXTENT.x1 + 700, 300)
    classes, certainty = opened.at_points(rows, cols)
    whole, sure = opened.certainty_at(EXTENT)
    inside = (rows >= EXTENT.y0) & (rows < EXTENT.y1) & (cols >= EXTENT.x0) & (cols < EXTENT.x1)
    assert 0 < inside.sum() < 300
    at = rows[inside] - EXTENT.y0, cols[inside] - EXTENT.x0
    np.testing.assert_array_equal(classes[inside], whole[at])
    np.testing.assert_array_equal(certainty[inside], sure[at])
    assert (classes[~inside] == 255).all()
    assert np.isnan(certainty[~inside]).all()
