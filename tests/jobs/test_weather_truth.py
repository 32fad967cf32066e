"""What image metrics find: the stage, its resume, and both engines' plain answer; small frames with gaps."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from cluster.engine import Resources, open_engine
from cluster.storage import Storage
from jobs import weather_truth
from jobs.weather_gallery import gallery_of, read_gallery, same_instants
from jobs.weather_truth import Ranking, find_truth
from models.image_distance import unit_images
from tests.tiler.frames_for_tests import write_frames
from tiler.frame_store import FrameStore

BANDS = ("ir", "swir", "wv")
HOW = Ranking(None, None, (0.0, 24.0), 6)


def frames(folder, series, count, seed, gaps=()):
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 255, (count, 3, 18, 26)).astype(np.uint8)
    valid = np.ones(images.shape, bool)
    valid[1, :, 4:7] = False
    steps = np.array([s for s in range(count + len(gaps)) if s not in gaps])
    times = np.datetime64("2019-02-10T00:00:00", "s") + steps * np.timedelta64(3, "h")
    return write_frames(folder, images, valid, times, BANDS, series=series)


@pytest.fixture
def gallery(tmp_path):
    return gallery_of([frames(tmp_path, "coms", 30, 1, gaps=(5, 6)), frames(tmp_path, "gk2a", 9, 2)])


def test_a_gallery_is_in_the_order_of_time_and_reads_the_right_frames(gallery):
    assert len(gallery) == 39
    assert (np.diff(gallery.times.astype(int)) >= 0).all()
    assert gallery.series[:4].tolist() == [0, 1, 0, 1]
    again = read_gallery(gallery.to_bytes())
    places = np.array([0, 1, 5, 20, 38])
    images = again.images(places)
    for image, place in zip(images, places, strict=True):
        store = FrameStore(gallery.urls[gallery.series[place]])
        pixels, valid = store.take([gallery.frames[place]])
        assert (image == unit_images(pixels, valid, store.offset, store.scale)[0]).all()
        assert store.times[gallery.frames[place]] == gallery.times[place]
    assert again.images(places, 9).shape == (5, 3, 9, 13)
    np.testing.assert_array_equal(np.concatenate(list(gallery.blocks()))[places], images)
    part = gallery[np.arange(39) >= 30]
    assert same_instants(gallery, part)[[0, 29, 30, 38]].tolist() == [-1, -1, 0, 8]
    assert part.digest != gallery.digest


def test_bands_of_one_gallery_must_be_alike(tmp_path):
    one = frames(tmp_path, "coms", 4, 1)
    other = write_frames(
        tmp_path, np.ones((2, 3, 20, 20), np.uint8), None, ["2019-02-10", "2019-02-11"], BANDS, series="b"
    )
    with pytest.raises(ValueError, match="same bands and size"):
        gallery_of([one, other])


def plain(gallery, queries, hours, k):
    """The frames of the largest SSIM, by scikit-image, pair by pair."""
    images = gallery.images(np.arange(len(gallery))).astype(np.float64)
    flags = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    found = []
    for q in queries:
        away_h = np.abs((gallery.times - gallery.times[q]) / np.timedelta64(1, "h"))
        others = [g for g in range(len(gallery)) if g != q and (hours == 0 or away_h[g] > hours)]
        values = {g: structural_similarity(images[q], images[g], data_range=1.0, **flags) for g in others}
        found.append(sorted(others, key=lambda g: (-values[g], g))[:k])
    return np.array(found)


def test_the_stage_finds_what_the_plain_loop_finds_and_does_nothing_twice(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(weather_truth, "QUERIES", 4)
    monkeypatch.setattr(weather_truth, "GALLERY_FRAMES", 7)
    queries, storage = np.array([0, 3, 8, 17, 30, 38]), Storage(str(tmp_path / "out"))
    with open_engine("serial") as engine:
        outcome, found = find_truth(engine, storage, gallery, queries, ["psnr", "ssim"], HOW)
        assert (outcome.total, outcome.before, outcome.failed) == (4, 0, {})
        for place, hours in enumerate(HOW.hours):
            np.testing.assert_array_equal(found["ssim"][place], plain(gallery, queries, hours, HOW.k))
        again, same = find_truth(engine, storage, gallery, queries, ["psnr", "ssim"], HOW)
        assert again.before == 4
        assert all((same[m] == found[m]).all() for m in found)
        other, _ = find_truth(engine, storage, gallery, queries[:5], ["psnr"], HOW)
        assert other.before == 0  # other queries are another question
    for path in (tmp_path / "out").rglob("psnr-1.npy"):
        path.unlink()


def test_a_block_that_fails_is_left_out_and_named(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(weather_truth, "QUERIES", 4)
    original = weather_truth.rank

    def broken(metric, gallery, block, side_px, device):
        if metric.name == "SSIM" and 8 in block:
            raise ValueError("a frame that no one can read")
        return original(metric, gallery, block, side_px, device)

    monkeypatch.setattr(weather_truth, "rank", broken)
    queries = np.array([0, 3, 7, 8, 17, 30])
    with open_engine("serial") as engine:
        outcome, found = find_truth(engine, Storage(str(tmp_path)), gallery, queries, ["psnr", "ssim"], HOW)
    assert len(outcome.failed) == 1
    assert (found["ssim"][:, :4] == -1).all()
    assert (found["ssim"][:, 4:] >= 0).all()
    assert (found["psnr"] >= 0).all()


def test_a_duplicate_is_found_first(tmp_path):
    images = np.random.default_rng(3).integers(1, 255, (40, 3, 36, 40)).astype(np.uint8)
    images[33] = images[2]
    times = np.datetime64("2019-02-10T00:00:00", "s") + np.arange(40) * np.timedelta64(3, "h")
    gallery = gallery_of([write_frames(tmp_path, images, None, times, BANDS)])
    for name in ("psnr", "ssim", "lpips"):
        metric = weather_truth.metric_of(name, weather_truth.Lpips("squeeze", "random:0"))
        with torch.inference_mode():
            alike = weather_truth.rank(metric, gallery, np.array([2]), None, "cpu")
        assert np.argsort(-alike[0], kind="stable")[:2].tolist() == [2, 33]


@pytest.mark.slow
def test_workers_find_what_one_process_finds(tmp_path):
    queries, found = np.arange(39), {}
    how = Ranking(weather_truth.Lpips("squeeze", "random:0"), 32, (0.0, 24.0), 6)
    larger = np.random.default_rng(7).integers(1, 255, (39, 3, 34, 40)).astype(np.uint8)
    times = np.datetime64("2019-02-10T00:00:00", "s") + np.arange(39) * np.timedelta64(3, "h")
    gallery = gallery_of([write_frames(tmp_path, larger, None, times, BANDS, series="large")])
    for kind, resources in (("serial", None), ("ray", Resources(workers=2, threads_per_worker=1))):
        with open_engine(kind, resources) as engine:
            storage = Storage(str(tmp_path / kind))
            outcome, found[kind] = find_truth(engine, storage, gallery, queries, ["psnr", "ssim", "lpips"], how)
        assert not outcome.failed
    for metric, places in found["serial"].items():
        np.testing.assert_array_equal(found["ray"][metric], places)
