"""The images of flagged classes as an array: which, in which order, with the bands first or last."""

import numpy as np
import pytest
from PIL import Image

from tests.tiler.images_for_tests import picture, save
from tiler.class_images import class_images
from tiler.image_listing import list_images
from tiler.image_source import ImageSource
from tiler.image_spec import ImagesSpec
from tiler.stores import open_group
from tiler.tile_source import fill_shard
from tiler.tile_store import TileStore, create_tile_store, tile_shards

SIDE_PX = 24
NAMES = ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png", "dogs/3.png", "suns/1.png")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Six images of three classes, one of them cut short; they have the side of the store, so that nothing resizes."""
    folder = tmp_path_factory.mktemp("classes")
    for index, name in enumerate(NAMES):
        save(folder / "in" / name, picture(SIDE_PX, SIDE_PX, index))
    cut = folder / "in/dogs/2.png"
    cut.write_bytes(cut.read_bytes()[:60])
    spec = ImagesSpec.model_validate(
        {"layout": "images", "root": str(folder / "in"), "classes": "folder", "side_px": SIDE_PX}
    )
    listing = list_images(spec)
    source, url = ImageSource(listing.items, SIDE_PX, listing.class_names), str(folder / "tiles.zarr")
    create_tile_store(url, source.entries, source.sensor, SIDE_PX, source.dtype, class_names=source.class_names)
    for shard in tile_shards("x", len(NAMES)):
        fill_shard(source, open_group(url), shard)
    return folder, TileStore(url)


@pytest.mark.parametrize("classes", [("dogs", "suns"), ("suns", "dogs"), ("cats",), ("cats", "dogs", "suns"), ()])
def test_they_are_the_files_of_the_classes_without_damaged_ones(world, classes):
    folder, store = world
    wanted = [name for name in NAMES if name.split("/")[0] in classes and name != "dogs/2.png"]
    images, rows = class_images(store, classes, channels_last=True)
    assert [store.tiles[row]["id"] for row in rows] == wanted
    assert (images.shape, images.dtype) == ((len(wanted), SIDE_PX, SIDE_PX, 3), np.uint8)
    for image, name in zip(images, wanted, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(folder / "in" / name)))
    first, again = class_images(store, classes)
    assert first.shape == (len(wanted), 3, SIDE_PX, SIDE_PX)
    np.testing.assert_array_equal(np.moveaxis(first, 1, -1), images)
    np.testing.assert_array_equal(again, rows)


def test_what_curation_removed_is_left_out_and_unknown_classes_are_told(world):
    _, store = world
    _, rows = class_images(store, ["dogs"], left_out={"dogs/1.png", "cats/1.png"})
    assert [store.tiles[row]["id"] for row in rows] == ["dogs/3.png"]
    with pytest.raises(ValueError, match=r"class 'dog' is none of .*; did you mean 'dogs'\?"):
        class_images(store, ["cats", "dog"])
