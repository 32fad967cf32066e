"""Training tiles: the same for any number of workers; held-back and missing pixels never train."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import moved, numbers
from tests.tiler.stores_for_tests import ingest, labels_from, scene_from
from tiler.grids import Box
from tiler.labels import IGNORE
from tiler.scene_store import SceneStore
from tiler.split import Split
from tiler.tiles import BlockCache, HeldBackTiles, TrainingTiles, scaling

SPLIT = Split(block_px=40, fraction=0.3, seed=3)
TILE = 64


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Two labelled scenes and one without labels, of unlike sizes and brightness."""
    made = []
    for i, (name, height, width) in enumerate((("one", 150, 610), ("two", 230, 90), ("bare", 70, 80))):
        folder = tmp_path_factory.mktemp(name)
        image = numbers(2, height, width, low=1 + 3000 * i, high=3000 * (i + 1), seed=i)
        image[:, 30:50, 20:60] = 0
        codes = np.random.default_rng(i).choice([0, 10, 20], (height, width)).astype("uint8")
        labels = labels_from(folder, codes[:, 5:], moved(0, 5)) if name != "bare" else None
        made.append(ingest(f"{folder}/store", scene_from(folder, name, image), labels))
    return made


def whole(scene: SceneStore):
    return scene.network_input(scene.grid.box), scene.read("label", scene.grid.box, IGNORE)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def find(scene, image):
    """Return the windows of a scene whose pixels are `image`."""
    pixels, _ = whole(scene)
    height, width = scene.grid.height, scene.grid.width
    corner = (pixels[:, : height - TILE + 1, : width - TILE + 1] == image[:, :1, :1]).all(0)
    for y, x in np.argwhere(corner):
        if np.array_equal(pixels[:, y : y + TILE, x : x + TILE], image):
            yield Box(y, x, y + TILE, x + TILE)


# ---- training


def test_a_tile_is_a_function_of_seed_epoch_and_index(scenes):
    tiles = TrainingTiles(scenes, TILE, 12, SPLIT, seed=5)
    first = [tiles[i] for i in range(12)]
    other = TrainingTiles(scenes, TILE, 12, SPLIT, seed=5, cache_bytes=1)
    assert all(same(other[i], first[i]) for i in reversed(range(12))), "order of reading and cache do not matter"
    tiles.set_epoch(1)
    assert not any(same(tiles[i], first[i]) for i in range(12))
    tiles.set_epoch(0)
    assert same(tiles[3], first[3])
    assert not any(same(TrainingTiles(scenes, TILE, 12, SPLIT, seed=6)[i], first[i]) for i in range(12))
    assert len(tiles) == 12
    for index in (-1, 12):
        with pytest.raises(IndexError, match=f"tile {index} of 12"):
            tiles[index]


def test_labels_are_ignored_exactly_where_held_back_or_missing(scenes):
    tiles = TrainingTiles(scenes, TILE, 25, SPLIT, flips=False)
    seen = set()
    for i in range(25):
        image, label = tiles[i]
        assert (image.dtype, image.shape, label.dtype) == (np.float32, (3, TILE, TILE), np.uint8)
        ((scene, box),) = [(s, b) for s in scenes[:2] for b in find(s, image)]
        known = whole(scene)[1][box.slices]
        ignored = SPLIT.held_back(scene.id, box) | (image[-1] > 0) | (known == IGNORE)
        assert_array_equal(label, np.where(ignored, IGNORE, known))
        seen.add(scene.id)
    assert seen == {"one", "two"}, "scenes without labels do not train"


def test_flips_turn_image_mask_and_label_together(scenes):
    plain, flipped = (TrainingTiles(scenes, TILE, 40, SPLIT, flips=flips) for flips in (False, True))
    used = set()
    for i in range(40):
        (image, label), turned = plain[i], flipped[i]
        ways = {}
        for way in range(8):
            a, b = image, label
            a, b = (np.flip(a, -1), np.flip(b, -1)) if way & 1 else (a, b)
            a, b = (np.flip(a, -2), np.flip(b, -2)) if way & 2 else (a, b)
            a, b = (np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)) if way & 4 else (a, b)
            ways[way] = (a, b)
        matching = [way for way, pair in ways.items() if same(pair, turned)]
        assert len(matching) == 1
        used.add(matching[0])
        assert turned[0].flags.c_contiguous
        assert turned[1].flags.c_contiguous
    assert len(used) == 8


def test_scenes_are_chosen_in_proportion_to_their_area(scenes):
    tiles = TrainingTiles(scenes, 32, 300, SPLIT)
    dark = np.mean([tiles[i][0][0].max() < 3000 for i in range(300)])
    share = 150 * 610 / (150 * 610 + 230 * 90)
    assert abs(dark - share) < 4.5 * np.sqrt(share * (1 - share) / 300)


def test_a_scene_smaller_than_a_tile_hangs_over(scenes):
    image, label = TrainingTiles(scenes[1:2], 128, 1, SPLIT, flips=False)[0]
    assert image.shape == (3, 128, 128)
    assert (image[-1, :, 90:] == 1).all()
    assert (label[:, 90:] == IGNORE).all()


def test_training_without_labels_is_refused(scenes):
    with pytest.raises(ValueError, match=r"none of the scenes \['bare'\] has any: set `labels`"):
        TrainingTiles(scenes[2:], TILE, 3, SPLIT)


# ---- held back


def test_every_held_back_labelled_pixel_is_judged_exactly_once(scenes):
    tiles = HeldBackTiles(scenes, TILE, SPLIT)
    judged = {0: 0, 1: 0, 2: 0}
    for i in range(len(tiles)):
        image, label = tiles[i]
        assert image.shape == (3, TILE, TILE)
        for value in judged:
            judged[value] += int((label == value).sum())
    expected = {0: 0, 1: 0, 2: 0}
    for scene in scenes[:2]:
        image, label = whole(scene)
        held = SPLIT.held_back(scene.id, scene.grid.box) & (image[-1] == 0)
        for value in expected:
            expected[value] += int((held & (label == value)).sum())
    assert judged == expected
    assert min(expected.values()) > 1000


def test_each_held_back_tile_holds_its_own_place(scenes):
    tiles = HeldBackTiles(scenes[1:2], TILE, SPLIT)
    covered = np.zeros((230, 90), int)
    _, label = whole(scenes[1])
    starts = [Box(y, x, y + TILE, x + TILE) for y in range(0, 230, TILE) for x in range(0, 90, TILE)]
    kept = [b for b in starts if SPLIT.held_back("two", b.clip(Box(0, 0, 230, 90))).any()]
    assert len(tiles) == len(kept)
    for i, box in enumerate(kept):
        found = tiles[i][1]
        inside = box.clip(Box(0, 0, 230, 90))
        part = found[: inside.height, : inside.width]
        assert_array_equal(part[part != IGNORE], label[inside.slices][part != IGNORE])
        covered[inside.slices] += part != IGNORE
        assert (found[inside.height :] == IGNORE).all()
    assert covered.max() == 1
    tiles.set_epoch(3)
    assert_array_equal(tiles[0][1], HeldBackTiles(scenes[1:2], TILE, SPLIT)[0][1])


def test_what_trains_is_never_judged(scenes):
    """Whatever window is drawn, a pixel has a label on one side only."""
    training, held_back = TrainingTiles(scenes[:1], 150, 20, SPLIT, flips=False), HeldBackTiles(scenes[:1], 150, SPLIT)
    width = scenes[0].grid.width
    trained, judged = np.zeros((150, width), bool), np.zeros((150, width), bool)
    pixels, _ = whole(scenes[0])
    for i in range(20):
        image, label = training[i]
        (x0,) = [x for x in range(width - 149) if np.array_equal(pixels[:, :, x], image[:, :, 0])]
        trained[:, x0 : x0 + 150] |= label != IGNORE
    for i in range(len(held_back)):
        image, label = held_back[i]
        (x0,) = [x for x in range(width) if np.array_equal(pixels[:, :, x], image[:, :, 0])]
        judged[:, x0 : x0 + 150] |= label[:, : width - x0] != IGNORE
    assert trained.any()
    assert judged.any()
    assert not (trained & judged).any()


# ---- scaling and the cache


def test_scaling_is_mean_and_deviation_of_all_valid_pixels(scenes):
    offset, scale = scaling(scenes[:2])
    pixels = np.concatenate([image[:-1, image[-1] == 0] for image, _ in map(whole, scenes[:2])], axis=1).astype(float)
    assert_allclose(offset, [*pixels.mean(1), 0.0], rtol=1e-9)
    assert_allclose(scale, [*pixels.std(1), 1.0], rtol=1e-9)


def test_scaling_of_a_flat_band_or_of_nothing(tmp_path):
    flat = ingest(f"{tmp_path}/flat", scene_from(tmp_path, "flat", np.full((2, 9, 12), 5, "uint16")))
    empty = ingest(f"{tmp_path}/empty", scene_from(tmp_path, "empty", np.zeros((2, 9, 12), "uint16")))
    assert scaling([flat, empty]) == ((5.0, 5.0, 0.0), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"no valid pixel in the scenes \['empty'\]"):
        scaling([empty])


@pytest.mark.parametrize("max_bytes", [1, 4 * 2**20, 2**30])
def test_the_cache_gives_what_the_store_holds(scenes, max_bytes):
    cache = BlockCache(max_bytes)
    for box in (Box(-9, 500, 60, 640), Box(100, 3, 170, 530), Box(0, 0, 150, 610), Box(-9, 500, 60, 640)):
        for scene in scenes[:2]:
            image, label = cache.read(scene, box)
            assert_array_equal(image, scene.network_input(box))
            assert_array_equal(label, scene.read("label", box, IGNORE))


def test_the_cache_is_bounded_and_decodes_a_block_once(scenes, monkeypatch):
    decoded = []
    original = SceneStore.network_input
    monkeypatch.setattr(SceneStore, "network_input", lambda self, box: decoded.append(box) or original(self, box))
    block_bytes = 512 * 512 * (3 * 4 + 1)
    cache = BlockCache(2 * block_bytes)
    left, right = Box(0, 0, 50, 100), Box(0, 520, 50, 600)  # two blocks of scene `one`
    for box in (left, right, left):
        cache.read(scenes[0], box)
    assert len(decoded) == 2
    cache.read(scenes[1], left)  # a third block: the one that was not used for longest goes
    cache.read(scenes[0], left)
    assert len(decoded) == 3
    cache.read(scenes[0], right)
    assert len(decoded) == 4
    assert sum(a.nbytes + b.nbytes for a, b in cache._blocks.values()) <= 2 * block_bytes


def test_a_tile_is_the_readers_own(scenes):
    """Writing into a tile (a loader may) leaves the cache as it was."""
    tiles = TrainingTiles(scenes, TILE, 2, SPLIT, flips=False)
    image, label = tiles[0]
    before = image.copy(), label.copy()
    image[...], label[...] = -1, 9
    assert same(tiles[0], before)
