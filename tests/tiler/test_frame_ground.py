import numpy as np
import pytest

from tests.tiler.frames_for_tests import write_frames
from tiler.frame_ground import FrameGround
from tiler.frame_rows import frame_names
from tiler.frame_store import FrameStore
from tiler.item_ground import moments

BANDS = ("ir", "swir", "wv")


def frames(count=70, seed=0, height=6, width=9):
    random = np.random.default_rng(seed)
    images = random.integers(1, 200, (count, 3, height, width)).astype(np.uint8)
    valid = random.random(images.shape) > 0.2
    valid[5] = False
    valid[5, 0, 0, 0] = True
    return images, valid


def times(count, start="2019-01-01T00"):
    return np.datetime64(start, "s") + (np.arange(count) * 3).astype("timedelta64[h]")


def store(folder, **options):
    folder.mkdir()
    images, valid = frames(seed=options.pop("seed", 0), height=options.pop("height", 6))
    start = options.pop("start", "2019-01-01T00")
    return FrameStore(write_frames(folder, images, valid, times(len(images), start), BANDS, **options))


@pytest.fixture
def two(tmp_path):
    return [store(tmp_path / "a"), store(tmp_path / "b", seed=1, series="gk2a", start="2019-06-01T00")]


def test_items_are_the_frames_of_all_stores_by_series(two):
    ground = FrameGround(two, ["wv", "ir"])
    assert (len(ground.times), set(ground.groups), ground.sensor) == (140, {0, 1}, "COMS+GK2A")
    for item in (0, 33, 70, 139):
        images, valid = frames(seed=item // 70)
        image, seen = ground.read(item)
        np.testing.assert_array_equal(seen, valid[item % 70][[2, 0]])
        np.testing.assert_array_equal(image[seen], images[item % 70][[2, 0]][seen])
        assert ground.times[item] == two[item // 70].times[item % 70]
    assert ground.valid_range == ((0.0, 0.0), (255.0, 255.0))


def test_frames_that_lack_too_much_are_left_out(two):
    ground = FrameGround(two, missing_limit=0.5)
    assert len(ground.times) == 138
    assert two[0].times[5] not in ground.times[ground.groups == 0]
    with pytest.raises(ValueError, match="no frame of"):
        FrameGround(two, missing_limit=0.0)


def test_moments_are_those_of_the_chosen_pixels(two):
    ground, chosen = FrameGround(two), np.array([3, 5, 8, 90])
    mean, deviation = moments(ground, chosen)
    for band in range(3):
        pairs = [frames(seed=item // 70) for item in chosen]
        at = [item % 70 for item in chosen]
        values = np.concatenate([i[k, band][v[k, band]] for (i, v), k in zip(pairs, at, strict=True)])
        assert mean[band] == pytest.approx(values.mean(dtype=float))
        assert deviation[band] == pytest.approx(values.std(dtype=float))
    with pytest.raises(ValueError, match=r"channels \['swir', 'wv'\] have no valid pixel"):
        moments(ground, [5])


def test_what_does_not_fit_together_is_refused(tmp_path, two):
    with pytest.raises(ValueError, match=r"has the bands .* not \['vis'\]"):
        FrameGround(two, ["vis"])
    tall = store(tmp_path / "c", height=7, series="tall")
    with pytest.raises(ValueError, match="one size and one unit"):
        FrameGround([two[0], tall])
    warm = store(tmp_path / "d", series="warm", scale=(100.0, 100.0, 100.0))
    with pytest.raises(ValueError, match="one size and one unit"):
        FrameGround([two[0], warm])


def test_frames_that_curation_removed_are_no_items(two):
    gone = [frame_names(two[0])[3], frame_names(two[1])[7]]
    ground = FrameGround(two, left_out=gone)
    assert len(ground.times) == 138
    assert not {two[0].times[3], two[1].times[7]} & set(ground.times)
    with pytest.raises(ValueError, match="curation left none"):
        FrameGround(two[:1], left_out=frame_names(two[0]))
