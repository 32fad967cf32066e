"""The scene store: the scene's pixels, whatever the order of the shards; what networks see; quality."""

import numpy as np
import pytest
import rioxarray  # noqa: F401  (adds `.rio`)
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import TRANSFORM, moved, numbers
from tests.tiler.stores_for_tests import TWO, ingest, labels_from, scene_from
from tiler.grids import Box
from tiler.labels import IGNORE
from tiler.scene_store import SceneStore, create_scene_store, fill_shard
from tiler.shards import Shard, shards_of
from tiler.stores import open_dataset, open_group

HEIGHT, WIDTH = 75, 4301  # two whole shards and a partial one across


def thin_image():
    image = numbers(2, HEIGHT, WIDTH)
    image[:, 20:40, 2000:2100] = 0  # a hole over the border of two shards
    image[1, 5] = 0  # one band only
    image[0, 70, 4000:] = 10_001  # out of range
    return image


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """A wide scene of three shards with labels that reach over a part of it, ingested backwards."""
    folder = tmp_path_factory.mktemp("thin")
    codes = np.random.default_rng(8).choice([0, 10, 20, 99], (60, 2500)).astype("uint8")
    scene = scene_from(folder, "thin_20240309", thin_image())
    labels = labels_from(folder, codes, moved(9, 1000), ignore=(99,))
    return scene, labels, ingest(f"{folder}/store", scene, labels, order=-1)


def test_what_the_shards_wrote_is_one_read_of_the_whole_scene(thin):
    scene, labels, store = thin
    assert len(list(shards_of(scene.id, scene.grid))) == 3
    image, valid = scene.read(scene.grid.box)
    assert 0 < (~valid).sum() < valid.size
    assert_array_equal(store.read("image", scene.grid.box, 0), image)
    assert_array_equal(store.read("valid", scene.grid.box, False), valid)
    assert_array_equal(store.read("label", scene.grid.box, IGNORE), labels.read(scene.grid, scene.grid.box))


def test_any_order_of_shards_gives_the_same_store(thin, tmp_path):
    scene, labels, store = thin
    other = ingest(f"{tmp_path}/other", scene, labels, order=1)
    for name in ("image", "valid", "label", "quality/quicklook", "quality/quicklook_valid", "quality/histogram"):
        assert_array_equal(other.group[name][...], store.group[name][...])
    assert other.quality == store.quality


def test_a_shard_counts_what_it_wrote(thin, tmp_path):
    scene, labels, _ = thin
    create_scene_store(f"{tmp_path}/s", scene, labelled=True)
    record = fill_shard(open_group(f"{tmp_path}/s"), scene, labels, Shard(scene.id, 0, 1))
    box = Box(0, 2048, HEIGHT, 4096)
    valid, label = scene.read(box)[1], labels.read(scene.grid, box)
    known = valid & (label != IGNORE)
    assert record == {
        "pixels": box.height * box.width,
        "valid": valid.sum(),
        "labelled": known.sum(),
        "positive": (known & (label > 0)).sum(),
        "bytes_written": box.height * box.width * (len(scene.sensor.bands) * np.dtype(scene.dtype).itemsize + 2),
    }
    assert 0 < record["positive"] < record["labelled"] < record["valid"] < record["pixels"]


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
def test_xarray_opens_it_where_it_lies(thin):
    scene, _, store = thin
    dataset = open_dataset(store.url)
    assert set(dataset.data_vars) == {"image", "valid", "label"}
    assert list(dataset["band"].values) == ["red", "nir"]
    assert dataset["image"].dims == ("band", "y", "x")
    assert dataset["image"].rio.crs.to_epsg() == 32652
    assert_allclose(tuple(dataset["image"].rio.transform())[:6], tuple(TRANSFORM)[:6])
    x, y = scene.grid.xy(np.array([0, HEIGHT]), np.array([0, WIDTH]))
    assert_allclose(dataset["image"].rio.bounds(), (x[0], y[1], x[1], y[0]))
    assert_array_equal(dataset["image"].sel(band="nir").values, scene.read(scene.grid.box)[0][1])
    assert dataset.attrs["acquired"] == "2024-03-09T00:00:00+00:00"


def test_a_store_knows_its_scene(thin):
    scene, _, store = thin
    assert (store.id, store.acquired, store.sensor, store.grid) == (scene.id, scene.acquired, TWO, scene.grid)
    assert store.channels == ("red", "nir", "mask")
    assert store.labelled


def test_networks_see_medians_where_pixels_are_missing_and_a_mask(thin):
    scene, _, store = thin
    image, valid = scene.read(scene.grid.box)
    medians = np.median(image[:, valid], axis=1)
    assert_array_equal(store.medians, medians.astype(np.float32))
    box = Box(-7, 1990, HEIGHT + 9, 2200)  # hangs over two borders, holds the hole and a shard border
    found = store.network_input(box)
    assert found.dtype == np.float32
    mask = np.ones((box.height, box.width), bool)
    mask[7:-9] = ~valid[:, 1990:2200]
    assert_array_equal(found[-1], mask)
    expected = np.broadcast_to(medians[:, None, None], (2, *mask.shape)).copy()
    expected[:, 7:-9][:, ~mask[7:-9]] = image[:, :, 1990:2200][:, ~mask[7:-9]]
    assert_array_equal(found[:-1], expected.astype(np.float32))


def test_a_box_beyond_the_scene_is_missing_everywhere(thin):
    found = thin[2].network_input(Box(-50, -60, -10, -20))
    assert (found[-1] == 1).all()
    assert_array_equal(found[:-1], np.broadcast_to(thin[2].medians[:, None, None], (2, 40, 40)))
    assert (thin[2].read("label", Box(HEIGHT, 0, HEIGHT + 5, 9), IGNORE) == IGNORE).all()


def test_quality_says_what_numpy_says_of_all_pixels(thin):
    scene, labels, store = thin
    image, valid = scene.read(scene.grid.box)
    quality = store.quality
    assert (quality["pixels"], quality["valid"]) == (valid.size, valid.sum())
    assert quality["missing_ratio"] == pytest.approx(1 - valid.mean(), abs=1e-12)
    centre = (WIDTH - 512) // 2
    three = np.concatenate([valid[:, :512], valid[:, centre : centre + 512], valid[:, -512:]], axis=1)
    assert quality["missing_ratio_3_patches"] == pytest.approx(1 - three.mean(), abs=1e-12)
    for found, band in zip(quality["bands"], image[:, valid].astype(float), strict=True):
        assert (found["count"], found["minimum"], found["maximum"]) == (band.size, band.min(), band.max())
        assert found["median"] == np.median(band)
        assert found["mean"] == pytest.approx(band.mean(), rel=1e-12)
        assert found["standard_deviation"] == pytest.approx(band.std(), rel=1e-9)
    known = (label := labels.read(scene.grid, scene.grid.box)) != IGNORE
    known &= valid
    positive = int((known & (label > 0)).sum())
    expected = {"labelled": known.sum(), "positive": positive, "ratio": positive / known.sum()}
    assert quality["coverage"] == pytest.approx(expected)


def test_a_scene_without_any_measurement(tmp_path):
    scene = scene_from(tmp_path, "empty", np.zeros((2, 40, 60), "uint16"))
    store = ingest(f"{tmp_path}/store", scene)
    assert store.quality["missing_ratio"] == 1
    assert store.quality["bands"][0]["median"] is None
    assert store.quality["coverage"] is None
    assert not store.labelled
    assert_array_equal(store.network_input(Box(0, 0, 5, 6)), np.stack([np.zeros((5, 6))] * 2 + [np.ones((5, 6))]))


def test_quality_before_the_end_of_ingest_is_an_error(tmp_path):
    scene = scene_from(tmp_path, "s", numbers(2, 40, 60))
    create_scene_store(f"{tmp_path}/store", scene, labelled=False)
    with pytest.raises(FileNotFoundError, match=r"scene s at .* is not ingested to its end; run ingest again"):
        _ = SceneStore(f"{tmp_path}/store").quality


def test_an_interrupted_creation_is_not_opened_and_done_again(tmp_path, monkeypatch):
    scene, url = scene_from(tmp_path, "s", numbers(2, 40, 60)), f"{tmp_path}/store"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tiler.scene_store.finish_group", killed)
        with pytest.raises(KeyboardInterrupt):
            create_scene_store(url, scene, labelled=False)
    with pytest.raises(FileNotFoundError, match="not created to its end"):
        SceneStore(url)
    assert_array_equal(ingest(url, scene).read("image", scene.grid.box, 0), scene.read(scene.grid.box)[0])
