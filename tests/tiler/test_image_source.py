"""Images as rows of a tile store."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.real_data import needs, real
from tests.tiler.images_for_tests import picture, polygon, save, via, write_scratches
from tiler.image_listing import list_images
from tiler.image_source import ImageSource
from tiler.image_spec import ImagesSpec
from tiler.labels import IGNORE
from tiler.stores import open_group
from tiler.tile_source import fill_shard
from tiler.tile_store import TileStore, create_tile_store, tile_shards

SIDE = 24


def source_of(**settings: object) -> ImageSource:
    spec = ImagesSpec.model_validate({"layout": "images", "side_px": SIDE, **settings})
    listing = list_images(spec)
    return ImageSource(
        listing.items, spec.side_px, listing.class_names, spec.fit, spec.label_fit, tuple(spec.preprocess)
    )


def ingested(url: Path, source: ImageSource) -> tuple[TileStore, list[dict]]:
    create_tile_store(
        str(url), source.entries, source.sensor, source.tile_px, source.dtype, source.classes, (), source.class_names
    )
    group = open_group(str(url))
    return TileStore(str(url)), [fill_shard(source, group, s) for s in tile_shards("s", len(source.entries))]


@pytest.fixture
def scratches(tmp_path) -> Path:
    return write_scratches(tmp_path / "in", 5)


def scratch_source(folder: Path, **settings: object) -> ImageSource:
    masks = {"kind": "png", "root": str(folder / "masks")}
    return source_of(root=str(folder / "images"), masks=masks, classes="folder", **settings)


def test_rows_are_images_of_one_size_with_their_masks(scratches, tmp_path):
    source = scratch_source(scratches)
    store, records = ingested(tmp_path / "s.zarr", source)
    assert records == [{"tiles": 5, "damaged": {}, "notes": {}}]
    assert store.sensor.bands == ("red", "green", "blue")
    assert store.class_names == ("company", "public")
    assert [t["label"] for t in store.tiles] == ["company"] * 2 + ["public"] * 3
    assert store.tile_px == SIDE
    for row in range(5):
        image, label = store.read("image", row), store.read("label", row)
        assert store.read("valid", row).all()
        assert set(np.unique(label)) == {0, 1}
        assert image[0][label == 1].mean() > image[0][label == 0].mean() + 60, "masks lie where the scratch is"
        assert store.grid(row) is None
    assert_array_equal(store.facts("epsg"), 0)
    assert_array_equal(store.images([3, 1]), np.stack([store.read("image", r) for r in (3, 1)]))
    assert store.images([]).shape == (0, 3, SIDE, SIDE)


def test_facts_are_those_of_the_files_as_numpy_tells_them(tmp_path):
    for index in range(3):
        save(tmp_path / f"in/{index}.png", picture(30 + index, 50, index))
    save(tmp_path / "in/gray.png", picture(31, 40, 7)[..., 0])
    store, _ = ingested(tmp_path / "s.zarr", source_of(root=str(tmp_path / "in")))
    assert [t["id"] for t in store.tiles] == ["0.png", "1.png", "2.png", "gray.png"]
    for index in range(3):
        pixels = picture(30 + index, 50, index)
        assert (store.facts("height")[index], store.facts("width")[index]) == (30 + index, 50)
        assert store.facts("pixel")[index] == pixels.mean(), "equal, not nearly"
        assert_array_equal(store.facts("mean")[index], pixels.mean(axis=(0, 1)))
        assert_allclose(store.facts("standard_deviation")[index], pixels.std(axis=(0, 1)), rtol=1e-12)
        assert_array_equal(store.facts("minimum")[index], pixels.min(axis=(0, 1)))
        assert_array_equal(store.facts("maximum")[index], pixels.max(axis=(0, 1)))
        stored = store.read("image", index).astype(float)
        assert_allclose(store.facts("sums")[index, :, 1], stored.sum(axis=(1, 2)))
    assert store.facts("pixel")[3] == picture(31, 40, 7)[..., 0].mean()
    assert np.isnan(store.facts("coverage")).all()
    assert (store.read("label", 0) == IGNORE).all()


def test_padding_is_missing_and_not_labelled(scratches, tmp_path):
    store, _ = ingested(tmp_path / "s.zarr", scratch_source(scratches, fit="pad"))
    valid, label, image = (store.read(name, 0) for name in ("valid", "label", "image"))
    assert 0 < (~valid).sum() < valid.size / 2
    assert (label[~valid] == IGNORE).all()
    assert (image[:, ~valid] == 0).all()
    assert store.facts("missing_ratio")[0] == pytest.approx((~valid).mean(), abs=1e-6)
    assert store.kept(1.0).size == 5


def test_damaged_images_are_named_and_take_no_other_along(scratches, tmp_path):
    cut = scratches / "images/public/차량 001.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (scratches / "images/public/차량 002.jpg").write_bytes(b"")
    save(scratches / "masks/company/차량 000.png", np.zeros((9, 9), np.uint8))
    store, records = ingested(tmp_path / "s.zarr", scratch_source(scratches))
    assert sorted(records[0]["damaged"]) == ["company/차량 000.jpg", "public/차량 001.png", "public/차량 002.jpg"]
    assert "they must be equal" in records[0]["damaged"]["company/차량 000.jpg"]
    assert_array_equal(store.facts("damaged"), [True, False, True, True, False])
    assert store.kept(1.0).tolist() == [1, 4]
    assert store.facts("width").tolist()[0] == 0
    assert not store.read("valid", 0).any()


def test_a_region_that_cannot_be_drawn_sets_its_image_aside_alone(tmp_path):
    for index in range(3):
        save(tmp_path / f"in/{index}.jpg", picture(30, 44, index))
    good, bad = (
        polygon((2, 2), (30, 2), (30, 20)),
        {"name": "polygon", "all_points_x": [1, None], "all_points_y": [1, 2]},
    )
    told = {f"{i}.jpg": [(shape, {"cls": "scratch"})] for i, shape in enumerate((good, bad, good))}
    masks = {
        "kind": "via",
        "file": str(via(tmp_path / "via.json", told)),
        "attribute": "cls",
        "classes": {"scratch": 1},
    }
    store, records = ingested(tmp_path / "s.zarr", source_of(root=str(tmp_path / "in"), masks=masks))
    assert list(records[0]["damaged"]) == ["1.jpg"]
    assert "cannot be drawn" in records[0]["damaged"]["1.jpg"]
    assert (store.read("label", 0) == 1).any()
    assert (store.read("label", 0) == 0).any()


def test_pre_processing_is_part_of_what_is_stored(scratches, tmp_path):
    plain, _ = ingested(tmp_path / "a.zarr", scratch_source(scratches))
    gray, _ = ingested(tmp_path / "b.zarr", scratch_source(scratches, preprocess=["gray"]))
    one, _ = ingested(tmp_path / "c.zarr", scratch_source(scratches, preprocess=[{"gray": {"count": 1}}]))
    assert one.sensor.bands == ("gray",)
    for row in range(5):
        luma = np.rint(np.tensordot([0.299, 0.587, 0.114], plain.read("image", row).astype(float), axes=1))
        assert np.abs(gray.read("image", row) - luma[None]).max() <= 1
        assert_array_equal(one.read("image", row)[0], gray.read("image", row)[1])
        assert_array_equal(gray.read("label", row), plain.read("label", row))
        assert_array_equal(gray.facts("mean")[row], plain.facts("mean")[row], "facts are of the file")
        assert one.facts("pixel")[row] == plain.facts("pixel")[row]
        assert one.facts("mean")[row] == pytest.approx(plain.facts("mean")[row] @ [0.299, 0.587, 0.114], abs=0.1)
    with pytest.raises(ValueError, match="`side_px` and `fit` say"):
        _ = scratch_source(scratches, preprocess=[{"resize": {"height_px": 8, "width_px": 8}}]).preparation


def test_another_setting_or_file_is_another_store(scratches):
    first = scratch_source(scratches).identity()
    assert scratch_source(scratches).identity() == first
    others = [
        scratch_source(scratches, **change).identity()
        for change in ({"fit": "pad"}, {"label_fit": "any"}, {"preprocess": ["gray"]}, {"split": {"seed": 5}})
    ]
    save(scratches / "masks/company/차량 000.png", np.zeros((40, 52), np.uint8))
    others.append(scratch_source(scratches).identity())
    assert all(other != first for other in others)


def test_a_large_photo_takes_little_more_than_itself(tmp_path):
    height, width = 1500, 2200
    save(tmp_path / "in/large.png", picture(height, width))
    source = source_of(root=str(tmp_path / "in"))
    source.row(0)
    tracemalloc.start()
    source.row(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * height * width, "as it is planned for"


@needs("car_scratches")
def test_real_polygons_of_scratches(tmp_path):
    folder = real("car_scratches") / "images"
    masks = {"kind": "via", "file": str(folder / "annotations_via.json"), "attribute": "cls", "classes": {"rayure": 1}}
    source = source_of(root=str(folder), masks=masks)
    assert len(source.entries) == 84
    assert sum(any(r[1]["cls"] == "rayure" for r in item.mask or ()) for item in source.items) == 35
    assert sum(r[1]["cls"] == "rayure" for item in source.items for r in item.mask or ()) == 60
    index = next(i for i, item in enumerate(source.items) if item.entry.id == "rayure_0.jpg")
    row = source.row(index)
    assert 0.005 < (row["label"] == 1).mean() < 0.2


@needs("defects_magnetic_tile")
def test_real_masks_of_defects_in_six_classes():
    source = source_of(root=str(real("defects_magnetic_tile") / "images"), classes="folder", masks={"kind": "png"})
    found = {name: sum(e.label == name for e in source.entries) for name in source.class_names}
    assert found == {
        **{"MT_Blowhole": 32, "MT_Break": 17, "MT_Crack": 12, "MT_Fray": 8, "MT_Free": 47, "MT_Uneven": 24},
    }
    free = next(i for i, e in enumerate(source.entries) if e.label == "MT_Free")
    assert (source.row(free)["label"] == 0).all()
    broken = next(i for i, e in enumerate(source.entries) if e.label == "MT_Break")
    assert (source.row(broken)["label"] == 1).any()


@needs("curation_photo_vs_illustration")
def test_real_photos_among_illustrations():
    folder = real("curation_photo_vs_illustration")
    source = source_of(
        root=str(folder / "images"), list=str(folder / "labels.csv"), columns={"path": "file"}, classes="list"
    )
    assert {name: sum(e.label == name for e in source.entries) for name in source.class_names} == {
        **{"ambiguous": 13, "illustration": 47, "photo": 28},
    }
