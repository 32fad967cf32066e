import csv
import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from tiler.synthetic.scratches import SOURCES, ScratchWorld, take_photo, write_scratches
from tiler.synthetic.scratches.marks import rasterised
from tiler.synthetic.scratches.write import LIGHT_UNIT, watershed_mask

WORLD = ScratchWorld(5, 80, (3, 7))


def digests(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_files_hold_what_the_photos_say(tmp_path):
    seen = []
    found = write_scratches(WORLD, tmp_path, masks=True, truth=True, on_image=lambda: seen.append(1))
    assert len(seen) == found.images == 10
    rows = list(csv.DictReader((tmp_path / "images.csv").read_text().splitlines()))
    assert [row["source"] for row in rows] == ["company"] * 3 + ["public"] * 7
    assert sum(row["scratch"] == "yes" for row in rows) == found.scratched
    annotations = {a["filename"]: a for a in json.loads((tmp_path / "public_via.json").read_text()).values()}
    assert len(annotations) == 7
    for row in rows:
        source = [s.name for s in SOURCES].index(row["source"])
        path = tmp_path / row["path"]
        photo = take_photo(SOURCES[source], 5, int(path.stem[-5:]), 80)
        image = Image.open(path).convert("RGB")
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), photo.pixels)
        assert (int(row["width"]), int(row["height"])) == image.size
        plain = np.asarray(Image.open(tmp_path / "masks" / row["source"] / f"{path.stem}.png"))
        np.testing.assert_array_equal(plain, photo.label * 255)
        if source == 0:
            tool = np.asarray(Image.open(path.with_name(f"{path.stem}_watershed_mask.png")))
            np.testing.assert_array_equal(tool[1:-1, 1:-1] == 1, photo.label[1:-1, 1:-1])
        else:
            shapes = [r["shape_attributes"] for r in annotations[path.name]["regions"]]
            polygons = [np.stack([s["all_points_y"], s["all_points_x"]], 1) for s in shapes]
            np.testing.assert_array_equal(rasterised(polygons, *photo.label.shape), photo.label)
        light = np.asarray(Image.open(tmp_path / "truth" / "light" / row["source"] / f"{path.stem}.png"))
        np.testing.assert_allclose(light / LIGHT_UNIT, photo.light, atol=1 / LIGHT_UNIT)


def test_the_same_bytes_for_any_number_of_workers(tmp_path):
    write_scratches(WORLD, tmp_path / "one")
    write_scratches(WORLD, tmp_path / "two", workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_tool_leaves_a_border_of_255():
    label = np.zeros((7, 9), bool)
    label[3, 2:6] = True
    label[0, 4] = True
    mask = watershed_mask(label)
    assert (mask[[0, -1]] == 255).all()
    assert (mask[:, [0, -1]] == 255).all()
    assert mask[3].tolist() == [255, 255, 1, 1, 1, 1, 255, 0, 255]
    assert mask[5, 1:-1].tolist() == [0] * 7


@pytest.mark.parametrize(("count", "said"), [(1, "two photos"), (0, "two photos")])
def test_too_few_photos_are_refused(count, said):
    with pytest.raises(ValueError, match=said):
        ScratchWorld.of(1, 128, count)


def test_counts_have_the_shares_of_the_document():
    assert ScratchWorld.of(1, 512, 16_300).counts == (3000, 13_300)
    with pytest.raises(ValueError, match="64 to 4096"):
        ScratchWorld.of(1, 8, 20)
