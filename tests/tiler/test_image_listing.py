"""Which images there are, of which class, source and split, and with which masks; and what is left out, and why."""

import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.tiler.images_for_tests import picture, polygon, save, via
from tiler.image_listing import ImageListing, list_images
from tiler.image_spec import ImagesSpec

RED = np.zeros((8, 9, 3), np.uint8)


def spec(**settings: object) -> ImagesSpec:
    return ImagesSpec.model_validate({"layout": "images", **settings})


def listed(**settings: object) -> ImageListing:
    return list_images(spec(**settings))


def ids(found: ImageListing) -> list[str]:
    return [item.entry.id for item in found.items]


def labels(found: ImageListing) -> dict[str, str]:
    return {item.entry.id: item.entry.label for item in found.items}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Write images of two classes, some deep down, some with odd names, and things that are no images."""
    for name in (
        "b/2.PNG",
        "a/1.jpg",
        "a/deep/er/3.webp",
        "b/한 글 (1) [x] {y} #&'.bmp",
        "b/4.tif",
        "b/5.jpeg",
        "6.png",
    ):
        save(tmp_path / "in" / name, RED)
    for name in (".hidden.png", ".cache/7.png", "__MACOSX/8.png", "a/._1.jpg"):
        save(tmp_path / "in" / name, RED)
    (tmp_path / "in/notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_is_looked_through_and_hidden_files_are_not(folder):
    found = listed(root=str(folder / "in"))
    assert ids(found) == [
        *("6.png", "a/1.jpg", "a/deep/er/3.webp", "b/2.PNG", "b/4.tif", "b/5.jpeg", "b/한 글 (1) [x] {y} #&'.bmp"),
    ]
    assert found.class_names == ()
    assert found.unmatched == ()
    assert all(item.mask is None for item in found.items)


def test_the_first_folder_names_the_class(folder):
    found = listed(root=str(folder / "in"), classes="folder")
    assert found.class_names == ("a", "b")
    assert labels(found)["a/deep/er/3.webp"] == "a"
    assert [(Path(path).name, why) for path, why in found.unmatched] == [
        ("6.png", "it lies in no folder that names a class")
    ]
    assert "classes: a 2, b 4" in found.notes
    with pytest.raises(
        ValueError, match=r"a/1.jpg is of class 'a', which is not among \['b', 'aa'\]; did you mean 'aa'"
    ):
        listed(root=str(folder / "in"), classes="folder", class_names=["b", "aa"])
    found = listed(root=str(folder / "in"), classes="folder", class_names=["c", "b", "a"])
    assert found.class_names == ("a", "b", "c")
    assert "class c has no image that can be used" in found.notes
    assert found.empty_classes == ("c",)


def test_a_class_of_one_image_is_told(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        save(tmp_path / name, RED)
    assert (
        "class b has one image: it cannot both train and be judged"
        in listed(root=str(tmp_path), classes="folder").notes
    )


def test_folders_may_name_the_split_and_then_the_class(tmp_path):
    for name in ("train/a/1.png", "Val/a/2.png", "test/b/3.png", "old/b/4.png"):
        save(tmp_path / name, RED)
    found = listed(root=str(tmp_path), classes="folder", split={"by": "folder"})
    assert {i.entry.id: (i.entry.split, i.entry.label) for i in found.items} == {
        "train/a/1.png": ("train", "a"),
        "Val/a/2.png": ("validation", "a"),
        "test/b/3.png": ("test", "b"),
    }
    assert found.unmatched[0][1] == "its first folder is not train, validation or test"


def test_names_that_unicode_spells_in_two_ways_are_one(tmp_path):
    apart = unicodedata.normalize("NFD", "차량.png")
    save(tmp_path / "in" / apart, RED)
    assert ids(listed(root=str(tmp_path / "in"))) == ["차량.png"]
    (tmp_path / "list.csv").write_text("path,label\n차량.png,car\n")
    found = listed(root=str(tmp_path / "in"), list=str(tmp_path / "list.csv"), classes="list")
    assert labels(found) == {"차량.png": "car"}
    save(tmp_path / "in/차량.png", RED)
    assert "spells one name twice" in listed(root=str(tmp_path / "in")).unmatched[0][1]


def write_list(folder: Path, text: str, encoding: str = "utf-8") -> dict[str, str]:
    (folder / "list.csv").write_bytes(text.encode(encoding))
    return {"root": str(folder / "in"), "list": str(folder / "list.csv")}


def test_a_list_says_which_images_there_are(folder):
    given = write_list(
        folder,
        "file,kind,split,source\n"
        "a\\1.jpg,photo,train,company\nb/2.PNG,그림,valid,public\nb/4.tif,,test,public\nx.png,photo,train,company\n",
    )
    columns = {"path": "file", "label": "kind"}
    found = listed(**given, columns=columns, classes="list", split={"by": "list"})
    assert {i.entry.id: (i.entry.label, i.entry.split, i.entry.source) for i in found.items} == {
        "a/1.jpg": ("photo", "train", "company"),
        "b/2.PNG": ("그림", "validation", "public"),
        "b/4.tif": ("", "test", "public"),
    }
    assert found.unmatched == (("x.png", "line 5 of the list names it, no such file"),)
    assert "sources: company 1 of 1, public 2 of 2 images used" in found.notes
    some = listed(**given, columns=columns, classes="list", split={"by": "list"}, sources=["public"])
    assert ids(some) == ["b/2.PNG", "b/4.tif"]
    assert "sources: company 0 of 1, public 2 of 2 images used" in some.notes
    with pytest.raises(ValueError, match=r"'publc' is unknown.*did you mean 'public'"):
        listed(**given, columns=columns, split={"by": "list"}, sources=["publc"])


def test_lists_of_korean_spreadsheets_are_read_when_told(folder):
    given = write_list(folder, "path,label\na/1.jpg,사진\n", "cp949")
    with pytest.raises(ValueError, match=r"is not utf-8-sig.*encoding: cp949"):
        listed(**given, classes="list")
    assert listed(**given, classes="list", encoding="cp949").class_names == ("사진",)
    given = write_list(folder, "\ufeffpath,label\na/1.jpg,사진\n")
    assert listed(**given, classes="list").class_names == ("사진",)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("path,label\na/1.jpg,x\na/1.jpg,y\n", {}, "line 3: a/1.jpg is listed twice"),
        ("path,label\n../in/a/1.jpg,x\n", {}, "does not lie below"),
        ("path,label\n/etc/a.png,x\n", {}, "does not lie below"),
        ("path,label\n,x\n", {}, "line 2: the path is empty"),
        ("file,label\na/1.jpg,x\n", {}, "has no column 'path'.*columns: {path: ...}"),
        ("path,lable\na/1.jpg,x\n", {"classes": "list"}, "has no column 'label'.*did you mean 'lable'"),
        ("path,label,split\na/1.jpg,x,middle\n", {"split": {"by": "list"}}, "has split 'middle'"),
        ("path,label\na/1.jpg,y\n", {"classes": "list", "class_names": ["x"]}, "of class 'y', which is not among"),
        ("path\nnone.png\n", {}, "no image of .* can be used .1 files left out, the first none.png"),
        ("", {}, "has no column 'path'"),
        ('path\n"a', {}, "no image of|line"),
    ],
)
def test_lists_that_do_not_fit_are_refused(folder, text, settings, message):
    with pytest.raises(ValueError, match=message):
        listed(**write_list(folder, text), **settings)


def test_nothing_found_says_where_it_looked(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no image of .*empty can be used"):
        listed(root=str(tmp_path / "empty"))
    with pytest.raises(ValueError, match=r"is not a folder"):
        listed(root=str(tmp_path / "absent"))
    save(tmp_path / "in/a.png", RED)
    with pytest.raises(ValueError, match=r"list.csv does not exist"):
        listed(root=str(tmp_path / "in"), list=str(tmp_path / "list.csv"))


def test_collections_are_sources_that_may_be_chosen(tmp_path):
    for name in ("company/1.png", "public/1.png", "public/2.png"):
        save(tmp_path / name, RED)
    parts = [{"name": n, "root": str(tmp_path / n)} for n in ("company", "public")]
    found = listed(collections=parts)
    assert [(i.entry.id, i.entry.source) for i in found.items] == [
        *(("company/1.png", "company"), ("public/1.png", "public"), ("public/2.png", "public")),
    ]
    assert ids(listed(collections=parts, sources=["company"])) == ["company/1.png"]


def test_masks_beside_images_are_told_from_them(tmp_path):
    for name in ("a/1.jpg", "a/1.png", "a/2.jpg", "a/3.png"):
        save(tmp_path / "in" / name, RED)
    found = listed(root=str(tmp_path / "in"), masks={"kind": "png"})
    assert [(i.entry.id, Path(str(i.mask)).name) for i in found.items] == [("a/1.jpg", "1.png")]
    assert [(Path(p).name, why) for p, why in found.unmatched] == [
        *(("2.jpg", "no mask of its name"), ("3.png", "no mask of its name")),
    ]
    kept = listed(root=str(tmp_path / "in"), masks={"kind": "png", "without": "background"})
    assert ids(kept) == ["a/1.jpg", "a/2.jpg", "a/3.png"]


def test_masks_with_an_ending_and_masks_in_a_folder(tmp_path):
    for name in ("x/1.png", "x/1_mask.png", "x/2.png", "x/9_mask.png"):
        save(tmp_path / "in" / name, RED)
    found = listed(root=str(tmp_path / "in"), masks={"kind": "png", "suffix": "_mask"})
    assert [(i.entry.id, Path(str(i.mask)).name) for i in found.items] == [("x/1.png", "1_mask.png")]
    assert sorted((Path(p).name, why) for p, why in found.unmatched) == [
        *(("2.png", "no mask of its name"), ("9_mask.png", "a mask without an image of its name")),
    ]
    for name in (
        "images/a/1.jpg",
        "images/b/1.jpg",
        "images/2.jpg",
        "masks/a/1.png",
        "masks/b/1.png",
        "masks/flat/2.png",
    ):
        save(tmp_path / "two" / name, RED)
    found = listed(root=str(tmp_path / "two/images"), masks={"kind": "png", "root": str(tmp_path / "two/masks")})
    masks = {i.entry.id: Path(str(i.mask)).relative_to(tmp_path / "two/masks").as_posix() for i in found.items}
    assert masks == {"2.jpg": "flat/2.png", "a/1.jpg": "a/1.png", "b/1.jpg": "b/1.png"}
    whole = listed(root=str(tmp_path / "two"), masks={"kind": "png", "root": str(tmp_path / "two/masks/flat")})
    assert "images/2.jpg" in ids(whole)
    save(tmp_path / "two/masks/other/2.png", RED)
    with pytest.raises(ValueError, match=r"2.jpg could mean"):
        listed(root=str(tmp_path / "two/images"), masks={"kind": "png", "root": str(tmp_path / "two/masks")})


def test_a_list_may_name_masks(tmp_path):
    for name in ("in/1.jpg", "in/2.jpg", "masks/one.png", "masks/2.png"):
        save(tmp_path / name, RED)
    given = write_list(tmp_path, "path,mask\n1.jpg,one.png\n2.jpg,\n")
    found = listed(**given, masks={"kind": "png", "root": str(tmp_path / "masks")})
    assert [Path(str(i.mask)).name for i in found.items] == ["one.png", "2.png"]
    given = write_list(tmp_path, "path,mask\n1.jpg,none.png\n")
    with pytest.raises(ValueError, match=r"names masks that are not in .*\['none.png'\]"):
        listed(**given, masks={"kind": "png", "root": str(tmp_path / "masks")})


def test_what_the_pixel_annotation_tool_writes_beside_an_image_is_no_image(tmp_path):
    for name in ("1.jpg", "1_mask.png", "1_color_mask.png", "1_watershed_mask.png", "2.jpg", "7_watershed_mask.png"):
        save(tmp_path / "in" / name, RED)
    for more, wanted in (
        ({"codes": {1: 0, 2: 1}}, "1_watershed_mask.png"),
        ({"colours": {"#ff0000": 1}}, "1_color_mask.png"),
    ):
        found = listed(root=str(tmp_path / "in"), masks={"kind": "pixel_annotation_tool", **more})
        assert [(i.entry.id, Path(str(i.mask)).name) for i in found.items] == [("1.jpg", wanted)]
        assert sorted(Path(p).name for p, _ in found.unmatched) == ["2.jpg", "7_watershed_mask.png"]


def test_annotations_of_via_find_their_images(tmp_path):
    for name in ("a/1.jpg", "a/2.jpg", "3.jpg"):
        save(tmp_path / "in" / name, RED)
    shape = polygon((1, 1), (6, 1), (6, 5))
    told = {"1.jpg": [(shape, {"cls": "scratch"})], "a/2.jpg": [], "gone.jpg": [(shape, {"cls": "wheel"})]}
    masks = {
        "kind": "via",
        "file": str(via(tmp_path / "via.json", told)),
        "attribute": "cls",
        "classes": {"scratch": 1},
    }
    found = listed(root=str(tmp_path / "in"), masks=masks)
    assert {i.entry.id: len(i.mask or ()) for i in found.items} == {"a/1.jpg": 1, "a/2.jpg": 0}
    assert {Path(p).name: why for p, why in found.unmatched} == {
        "3.jpg": "no mask of its name",
        "gone.jpg": "annotations name it, no such image",
    }
    with pytest.raises(
        ValueError, match=r"no region of .* has cls = 'scrach'; found scratch 1, wheel 1; did you mean 'scratch'"
    ):
        listed(root=str(tmp_path / "in"), masks=masks | {"classes": {"scrach": 1}})
    save(tmp_path / "in/b/1.jpg", RED)
    with pytest.raises(ValueError, match=r"1.jpg is the name of 2 images"):
        listed(root=str(tmp_path / "in"), masks=masks)


def test_the_split_keeps_groups_together_and_shares_even(tmp_path):
    rows = ["path,label,group"]
    for index in range(60):
        save(tmp_path / f"in/{index:02d}.png", picture(8, 9))
        rows.append(f"{index:02d}.png,{'big' if index < 45 else 'small'},{'twins' if index in (3, 4, 5) else ''}")
    given = write_list(tmp_path, "\n".join(rows))
    found = listed(**given, classes="list", split={"validation": 0.2, "test": 0.2, "seed": 4})
    parts = {i.entry.id: i.entry.split for i in found.items}
    assert len({parts[f"{i:02d}.png"] for i in (3, 4, 5)}) == 1
    counts = Counter((i.entry.label, i.entry.split) for i in found.items)
    assert counts["small", "test"] == counts["small", "validation"] == 3
    assert all(abs(counts["big", part] - 9) <= 2 for part in ("test", "validation")), "to the size of the group"
    same = listed(**given, classes="list", split={"test": "same-as-val"})
    assert Counter(i.entry.split for i in same.items)["test"] == 0
    assert any(note.startswith("WARNING: test is the same as validation") for note in same.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs `root`, or several named"),
        ({"root": "x", "collections": [{"name": "a", "root": "y"}]}, "not both"),
        ({"collections": [{"root": "y"}]}, "names of their own"),
        ({"collections": [{"name": "a", "root": "y"}], "classes": "folder"}, "`classes` belongs into each"),
        ({"root": "x", "classes": "list"}, "need a `list`"),
        ({"root": "x", "masks": {"kind": "via"}}, "need `file`"),
        ({"root": "x", "masks": {"kind": "png", "file": "a.json"}}, "are of masks of VIA"),
        ({"root": "x", "masks": {"kind": "pixel_annotation_tool"}}, "need `codes`"),
        ({"root": "x", "masks": {"codes": {1: 1}, "colours": {"#ffffff": 1}}}, "not both"),
        ({"root": "x", "masks": {"codes": {1: 255}}}, "from 0 .background. to 254"),
        ({"root": "x", "masks": {"colours": {"red": 1}}}, "is no colour"),
        ({"root": "x", "split": {"validation": 0.5, "test": 0.5}}, "leave nothing to train on"),
        ({"root": "x", "class_names": ["a", "a"]}, "stands there twice"),
        ({"root": "x", "columns": {"pth": "x"}, "list": "a"}, "are unknown"),
    ],
)
def test_what_a_run_says_must_fit(settings, message):
    with pytest.raises((ValidationError, ValueError), match=message):
        _ = spec(**settings).parts


def test_folders_of_masks_splits_and_unused_sources_are_no_empty_classes(tmp_path):
    for name in ("train/a/1.png", "test/b/2.png", "masks/train/a/1.png", "masks/test/b/2.png"):
        save(tmp_path / name, RED[..., 0])
    for name in ("train/b", "train/c/d", ".old/e", "notes/2021"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "train")
    masks = {"root": str(tmp_path / "masks")}
    found = listed(root=str(tmp_path), classes="folder", masks=masks, split={"by": "folder"})
    assert found.empty_classes == ("c",)
    parts = [{"name": name, "root": str(tmp_path / name), "classes": "folder"} for name in ("train", "test")]
    assert listed(collections=parts).empty_classes == ("c",), "b has an image in the other collection"
    assert listed(collections=parts, sources=["test"]).empty_classes == ()
    assert listed(root=str(tmp_path)).empty_classes == (), "where folders name no classes"
