import numpy as np

from tests.tiler.frames_for_tests import write_frames
from tiler.frame_rows import FrameRows
from tiler.frame_store import FrameStore


def test_rows_are_read_as_tiles(tmp_path):
    random = np.random.default_rng(1)
    images = random.integers(1, 200, (5, 2, 6, 9)).astype(np.uint8)
    valid = random.random(images.shape) > 0.3
    valid[3, 1] = False
    times = np.datetime64("2019-10-08T00", "s") + (np.arange(5) * 3).astype("timedelta64[h]")
    store = FrameStore(write_frames(tmp_path, images, valid, times, ("ir", "wv")))
    rows = FrameRows(store, {"pixel": np.arange(5)})
    assert rows.tiles[1]["id"].endswith("/2019-10-08T03:00:00")
    assert rows.facts("pixel")[4] == 4
    assert (rows.read("valid", 2) == valid[2].all(axis=0)).all(), "where every band has a value"
    seen = rows.read("valid", 2)
    assert (rows.read("image", 2)[:, seen] == images[2][:, seen]).all()
    found = rows.network_input(2, ("wv",))
    assert (found[0][valid[2, 1]] == images[2, 1][valid[2, 1]]).all()
    np.testing.assert_allclose(found[0][~valid[2, 1]], images[2, 1][valid[2, 1]].mean(), rtol=1e-6)
    assert (rows.network_input(3, ("wv",)) == 0).all(), "a band without any value"
    assert rows.sensor.bands == rows.offered == ("ir", "wv")
