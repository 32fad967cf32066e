"""Scenes as ground: held-back and missing pixels never train, what is held back is judged once."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.tiler.rasters_for_tests import moved, numbers
from tests.tiler.stores_for_tests import ingest, labels_from, scene_from
from tiler.grids import Box
from tiler.ground import Sampling
from tiler.labels import IGNORE
from tiler.scene_ground import SceneGround
from tiler.scene_store import SceneStore
from tiler.split import Split
from tiler.tiles import HeldBackTiles, TrainingTiles

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


def ground(scenes, tile_px=TILE, **options) -> SceneGround:
    return SceneGround(scenes, tile_px, ("red", "nir", "mask"), options.pop("split", SPLIT), **options)


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
    tiles = TrainingTiles(ground(scenes, TILE), 12, seed=5)
    first = [tiles[i] for i in range(12)]
    other = TrainingTiles(ground(scenes, cache_bytes=1), 12, seed=5)
    assert all(same(other[i], first[i]) for i in reversed(range(12))), "order of reading and cache do not matter"
    tiles.set_epoch(1)
    assert not any(same(tiles[i], first[i]) for i in range(12))
    tiles.set_epoch(0)
    assert same(tiles[3], first[3])
    assert not any(same(TrainingTiles(ground(scenes, TILE), 12, seed=6)[i], first[i]) for i in range(12))
    assert len(tiles) == 12
    for index in (-1, 12):
        with pytest.raises(IndexError, match=f"tile {index} of 12"):
            tiles[index]


def test_labels_are_ignored_exactly_where_held_back_or_missing(scenes):
    tiles = TrainingTiles(ground(scenes, TILE), 25)
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


def test_scenes_are_chosen_in_proportion_to_their_area(scenes):
    tiles = TrainingTiles(ground(scenes, 32), 300)
    dark = np.mean([tiles[i][0][0].max() < 3000 for i in range(300)])
    share = 150 * 610 / (150 * 610 + 230 * 90)
    assert abs(dark - share) < 4.5 * np.sqrt(share * (1 - share) / 300)


def test_a_scene_smaller_than_a_tile_hangs_over(scenes):
    image, label = TrainingTiles(ground(scenes[1:2], 128), 1)[0]
    assert image.shape == (3, 128, 128)
    assert (image[-1, :, 90:] == 1).all()
    assert (label[:, 90:] == IGNORE).all()


def test_training_without_labels_is_refused(scenes):
    with pytest.raises(ValueError, match=r"none of the scenes \['bare'\] has any: set `labels`"):
        TrainingTiles(ground(scenes[2:], TILE), 3)


# ---- held back


def test_every_held_back_labelled_pixel_is_judged_exactly_once(scenes):
    tiles = HeldBackTiles(ground(scenes, TILE))
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
    tiles = HeldBackTiles(ground(scenes[1:2], TILE))
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
    assert_array_equal(tiles[0][1], HeldBackTiles(ground(scenes[1:2], TILE))[0][1])


def test_what_trains_is_never_judged(scenes):
    """Whatever window is drawn, a pixel has a label on one side only."""
    training, held_back = TrainingTiles(ground(scenes[:1], 150), 20), HeldBackTiles(ground(scenes[:1], 150))
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


# ---- statistics and the cache


def test_statistics_are_those_of_all_valid_pixels(scenes):
    found = ground(scenes[:2]).statistics()
    pixels = np.concatenate([image[:-1, image[-1] == 0] for image, _ in map(whole, scenes[:2])], axis=1).astype(float)
    assert_allclose(found.mean, [*pixels.mean(1), 0.0], rtol=1e-9)
    assert_allclose(found.deviation, [*pixels.std(1), 1.0], rtol=1e-9)
    low, high = (np.minimum, np.maximum)
    medians = np.array([[b["median"] for b in s.quality["bands"]] for s in scenes[:2]])
    assert (np.array(found.median[:2]) >= low(*medians)).all()
    assert (np.array(found.median[:2]) <= high(*medians)).all()


@pytest.mark.parametrize("cache_bytes", [1, 4 * 2**20, 2**30])
def test_a_window_holds_what_the_store_holds(scenes, cache_bytes):
    nothing_held = ground(scenes, cache_bytes=cache_bytes, split=Split(block_px=40, fraction=0.0))
    for box in (Box(-9, 500, 60, 640), Box(100, 3, 170, 530), Box(0, 0, 150, 610), Box(-9, 500, 60, 640)):
        for number, scene in enumerate(scenes[:2]):
            image, label = nothing_held.read((number, box))
            expected = scene.network_input(box)
            assert_array_equal(image, expected)
            known = np.where(expected[-1] == 0, scene.read("label", box, IGNORE), IGNORE)
            assert_array_equal(label, known)


def test_a_block_is_decoded_once(scenes, monkeypatch):
    decoded = []
    original = SceneStore.network_input
    monkeypatch.setattr(
        SceneStore, "network_input", lambda self, box, c=None: decoded.append(box) or original(self, box, c)
    )
    block_bytes = 512 * 512 * (3 * 4 + 1)
    here = ground(scenes[:2], cache_bytes=2 * block_bytes)
    left, right = Box(0, 0, 50, 100), Box(0, 520, 50, 600)  # two blocks of scene `one`
    for box in (left, right, left):
        here.read((0, box))
    assert len(decoded) == 2
    here.read((1, left))  # a third block: the one that was not used for longest goes
    here.read((0, left))
    assert len(decoded) == 3
    here.read((0, right))
    assert len(decoded) == 4


# ---- sampling


def test_tiles_are_set_on_a_class_as_often_as_asked(scenes):
    """Every tile that is set on a class lies inside its scene and holds some of it."""
    here = ground(scenes, 40, sampling=Sampling({2: 1.0}))
    for i in range(30):
        number, box = here.draw(np.random.default_rng(i), i)
        label = here.read((number, box))[1]
        assert (label == 2).any()
        assert box.clip(here.scenes[number].grid.box) == box


def test_a_rare_class_is_found_again(tmp_path):
    codes = np.full((300, 420), 0, "uint8")
    codes[211, 333] = 10
    scene = ingest(
        f"{tmp_path}/store", scene_from(tmp_path, "rare", numbers(2, 300, 420, low=5)), labels_from(tmp_path, codes)
    )
    sampled = SceneGround([scene], 64, ("red", "mask"), Split(fraction=0.0), Sampling({1: 0.5}))
    met = [sampled.draw(np.random.default_rng(i), i)[1] for i in range(400)]
    near = [b.y0 <= 255 and b.y1 > 192 and b.x0 <= 383 and b.x1 > 320 for b in met]
    assert 0.4 < np.mean(near) < 0.75
    absent = SceneGround([scene], 64, ("red", "mask"), Split(fraction=0.0), Sampling({2: 1.0}))
    assert absent.draw(np.random.default_rng(0), 0), "a class that is nowhere is drawn from anywhere"


def test_scenes_of_weight_zero_never_train(scenes):
    here = ground(scenes, sampling=Sampling(weights={"one": 0.0}))
    assert {here.scenes[here.draw(np.random.default_rng(i), i)[0]].id for i in range(20)} == {"two"}
    heavy = ground(scenes, sampling=Sampling(weights={"two": 1e6}))
    assert {heavy.scenes[heavy.draw(np.random.default_rng(i), i)[0]].id for i in range(20)} == {"two"}


def test_a_share_of_the_labels_leaves_validation_as_it_is(scenes):
    full, few = ground(scenes), ground(scenes, sampling=Sampling(label_fraction=0.25))
    used = {}
    for here in (full, few):
        places = [here.draw(np.random.default_rng(i), i) for i in range(150)]
        used[here] = np.mean([(here.read(p)[1] != IGNORE).mean() for p in places])
    assert 0.1 < used[few] / used[full] < 0.6, "tiles are set where labels are, so a little more than a quarter"
    assert few.held_back() == full.held_back()
    for place in full.held_back()[:5]:
        assert same(few.read_held_back(place), full.read_held_back(place))


def test_a_tile_is_the_readers_own(scenes):
    """Writing into a tile (a loader may) leaves the cache as it was."""
    tiles = TrainingTiles(ground(scenes, TILE), 2)
    image, label = tiles[0]
    before = image.copy(), label.copy()
    image[...], label[...] = -1, 9
    assert same(tiles[0], before)
