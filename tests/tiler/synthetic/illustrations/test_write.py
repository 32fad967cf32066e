import csv
import io
from collections import Counter, defaultdict

import numpy as np
from PIL import Image

from tests.tiler.synthetic.scratches.test_write import digests
from tiler.synthetic.illustrations import COUNTS, IllustrationWorld, encoded, items_of, write_illustrations

WORLD = IllustrationWorld(2, 160, 8)


def test_files_are_those_of_the_table(tmp_path):
    found = write_illustrations(WORLD, tmp_path)
    rows = list(csv.DictReader((tmp_path / "truth.csv").read_text().splitlines()))
    assert list(rows[0]) == ["path", "label", "kind", "group", "hard", "width", "height"]
    assert {row["path"] for row in rows} == {
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.???") if p.name != "truth.csv"
    }
    assert Counter(row["label"] for row in rows) == WORLD.counts
    assert sum(row["kind"] == "photo" for row in rows) == found.photos > 0
    for row in rows:
        with Image.open(tmp_path / row["path"]) as image:
            assert image.size == (int(row["width"]), int(row["height"]))
            assert image.format == ("JPEG" if row["path"].endswith("jpg") else "PNG")
    sizes = Counter(row["group"] for row in rows if row["group"])
    assert min(sizes.values()) > 1
    assert sum(sizes.values()) - len(sizes) == found.repeated


def test_the_same_bytes_for_any_number_of_workers(tmp_path):
    write_illustrations(WORLD, tmp_path / "one")
    write_illustrations(WORLD, tmp_path / "two", workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_copies_are_near_and_others_are_far():
    world = IllustrationWorld(2, 1200, 8)
    near, far = [], []
    for label in list(COUNTS)[:6]:
        items = [i for i in items_of(world, label) if i.height_px < 50]
        small = {i.number: i for i in items}

        def thumbnail(item, small=small):
            of = small[item.original] if item.exact else item
            picture = Image.open(io.BytesIO(encoded(world, of))).convert("L").resize((12, 12), Image.Resampling.BOX)
            return np.asarray(picture, float)

        copies = [i for i in items if i.original in small]
        for item in copies:
            near.append(np.abs(thumbnail(item) - thumbnail(small[item.original])).mean())
            far.append(np.abs(thumbnail(item) - thumbnail(items[0 if item.original != items[0].number else 1])).mean())
    groups = defaultdict(int)
    for value in near:
        groups[value < np.median(far) / 2] += 1
    assert groups[True] >= 3
    assert groups[False] == 0
