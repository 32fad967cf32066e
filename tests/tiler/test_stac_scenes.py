"""What of a catalogue's answer is mapped: the same of a static catalogue and of an API."""

import copy
import json
import random

import pytest

from tests.tiler.stac_for_tests import BANDS, api, asset, item, search, write_static
from tiler import stac_catalogue
from tiler.sensors import SENSORS
from tiler.sources import Sources
from tiler.stac_scenes import find_scenes

SN10 = SENSORS["SN10"]
LOCAL = Sources(schemes=("s3", "http"), hosts=("127.0.0.1",))


def remote(name, **fields):
    """An item whose files lie in a bucket: headers are not read here, so none need be there."""
    one = item(name, **fields)
    for each in one["assets"].values():
        each["href"] = f"s3://data/{each['href']}"
    return one


MANY = [
    remote("c", day="2024-06-03", cloud=20),
    remote("a", day="2024-06-01"),
    remote("e", day="2024-07-01"),
    remote("b", day="2024-06-01"),  # of one day: scenes of their own
    remote("d", day="2024-06-30") | {"bbox": [10, 50, 11, 51]},
    remote("f", day="2024-06-05", collection="other"),
    remote("g", day="2024-06-07", cloud=19.5),
]
ASKED = {"collection": "s2", "bbox": [126.5, 37.2, 129, 38], "datetime": "2024-06", "max_cloud": 20}


def ids(specs):
    return [spec.id for spec in specs]


def test_static_catalogues_and_apis_give_the_same_scenes_in_order_of_their_ids(tmp_path):
    expected, notes = find_scenes(search(write_static(tmp_path / "s", MANY), **ASKED), SN10, Sources())
    assert (ids(expected), notes) == (["a", "b", "c", "g"], ())
    single = tmp_path / "items.json"
    single.write_text(json.dumps({"type": "FeatureCollection", "features": MANY[::-1]}))
    assert find_scenes(search(single, **ASKED), SN10, Sources()) == (expected, ())
    for settings in ({}, {"post": False}, {"page": 1}, {"page": 100}):
        with api(MANY, **settings) as here:
            assert find_scenes(search(here.address, **ASKED), SN10, LOCAL) == (expected, ())
            assert {method for method, path, _ in here.asked if path == "/search"} == (
                {"GET"} if not settings.get("post", True) else {"POST"}
            )
            pages = sum(path == "/search" for _, path, _ in here.asked)
            assert pages == -(-4 // settings.get("page", 2)), "the server filtered, and every page was read once"


def test_servers_that_do_not_filter_are_told_of(tmp_path):
    with api(MANY, honest=False) as here:
        specs, notes = find_scenes(search(here.address, **ASKED), SN10, LOCAL)
    assert ids(specs) == ["a", "b", "c", "g"]
    assert "3 items are left out" in notes[0]


def test_a_folder_of_one_item_is_a_catalogue(tmp_path):
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item("only")))
    specs, _ = find_scenes(search(path), SN10, Sources())
    assert specs[0].bands["red"] == str(tmp_path / "only" / "red.tif")


def test_pages_that_overlap_count_once_and_pages_that_lack_are_told_of():
    with api([MANY[0], MANY[1], MANY[0], MANY[1], MANY[3]]) as here:
        assert ids(find_scenes(search(here.address), SN10, LOCAL)[0]) == ["a", "b", "c"]
        here.spoil = lambda answer: answer | {"numberMatched": 9} if "features" in answer else answer
        assert "found 4 items more" in find_scenes(search(here.address), SN10, LOCAL)[1][0]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_answers_does_not_matter(seed):
    mixed = copy.deepcopy(MANY)
    random.Random(seed).shuffle(mixed)
    with api(mixed, page=3) as here:
        assert ids(find_scenes(search(here.address), SN10, LOCAL)[0]) == list("abcdefg")


def refusal(items, sources=LOCAL, **asked):
    with api(items) as here, pytest.raises(ValueError) as told:  # noqa: PT011
        find_scenes(search(here.address, **asked), SN10, sources)
    return str(told.value)


def test_items_without_the_bands_are_left_out_and_told():
    radar = item("s1") | {"assets": {"vv": asset("s3://data/vv.tif", "vv")}}
    with api([*MANY, radar]) as here:
        specs, notes = find_scenes(search(here.address), SN10, LOCAL)
    assert (ids(specs), len(notes)) == (list("abcdefg"), 1)
    assert "item 's1' has no rasters with the common names ['red', 'green', 'blue', 'nir']" in notes[0]
    told = refusal([radar])
    assert "no item that can be mapped" in told
    assert "['vv']" in told
    assert "`bands`" in told


def test_one_id_in_two_collections_is_refused():
    told = refusal([remote("a"), remote("a", collection="s2-c1")])
    assert "in the collections ['s2', 's2-c1']" in told
    changed = remote("a")
    changed["assets"]["B0"]["href"] = "s3://data/other.tif"
    assert "comes twice, with other assets" in refusal([remote("a"), changed])


def test_files_that_may_not_be_opened_are_refused_unless_left_out():
    foreign, signed = remote("x"), remote("y")
    foreign["assets"]["B1"]["href"] = "https://evil.example.net/a.tif"
    signed["assets"]["B2"]["href"] = "http://127.0.0.1/a.tif?sig=abcdefgh"
    told = refusal([*MANY, foreign, signed])
    assert "item 'x'" in told
    assert "sources" in told
    assert "item 'y'" in told
    assert "abcdefgh" not in told
    with api([*MANY, foreign, signed]) as here:
        specs, _ = find_scenes(search(here.address, leave_out=["x", "y"]), SN10, LOCAL)
    assert ids(specs) == list("abcdefg")


def test_nothing_that_fits_says_what_was_asked():
    told = refusal(MANY, collection="s3", datetime="2024-06")
    assert "none that fits {'collection': ('s3',), 'datetime': '2024-06'}" in told
    assert "more than 3 items" in refusal(MANY, max_items=3)


def test_bands_must_be_the_sensors():
    with pytest.raises(ValueError, match=r"`bands` names \['red', 'swir'\]"):
        find_scenes(search("x", bands={"red": "B4", "swir": "B5"}), SN10, Sources())


def test_items_whose_pixels_mean_different_things_are_told_of(tmp_path):
    """Sentinel-2 since January 2022: an offset of -1000, unless the catalogue has taken it out."""
    older, newer = remote("a"), remote("b")
    for each in newer["assets"].values():
        each["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    with api([older, newer]) as here:
        assert "differ in what their pixels mean" in find_scenes(search(here.address), SN10, LOCAL)[1][0]
    for each in newer["assets"].values():
        each["raster:bands"] = [{"scale": 0.01}]
    with api([newer]) as here:
        assert "scale 0.01, sensor SN10 has 0.0001" in find_scenes(search(here.address), SN10, LOCAL)[1][0]


# ---- static catalogues that are hostile ----------------------------------------


def documents(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return folder / "catalog.json"


def catalog(*links, kind="Catalog", **fields):
    return {"type": kind, "id": "c", "links": [{"rel": rel, "href": href} for rel, href in links], **fields}


def test_circles_of_links_have_an_end(tmp_path):
    start = documents(
        tmp_path,
        catalog=catalog(("child", "catalog.json"), ("child", "./x.json")),
        x=catalog(("child", "../" + tmp_path.name + "/catalog.json"), ("child", "x.json"), ("item", "a.json")),
        a=item("a"),
    )
    assert ids(find_scenes(search(start), SN10, Sources())[0]) == ["a"]


def test_only_the_collections_that_are_asked_for_are_read(tmp_path):
    start = documents(
        tmp_path,
        catalog=catalog(("child", "s2.json"), ("child", "dem.json")),
        s2=catalog(("item", "a.json"), kind="Collection", id="s2"),
        dem=catalog(("item", "absent.json"), kind="Collection", id="dem"),
        a=item("a"),
    )
    assert ids(find_scenes(search(start, collection="s2"), SN10, Sources())[0]) == ["a"]
    with pytest.raises(ValueError, match=r"absent\.json cannot be read"):
        find_scenes(search(start), SN10, Sources())


HOSTILE = {
    "climbs": (catalog(("child", "../../../etc/passwd")), "outside of the catalogue's folder"),
    "asks a host": (catalog(("child", "http://169.254.169.254/latest")), "not among"),
    "asks another scheme": (catalog(("item", "ftp://h/a.json")), "may not be opened"),
    "names numbers": (catalog(("item", 7)), "not an address"),
    "has links that are none": ({"type": "Catalog", "links": {"rel": "item"}}, "0 items"),
    "is of another type": ({"type": "Topology"}, "not one of STAC"),
    "is of no type": ({"type": ["Catalog"]}, "not one of STAC"),
    "is a list": ("[]", "holds list"),
    "is no JSON": ("<html>", "no JSON"),
    "has features that are none": ({"type": "FeatureCollection", "features": "abc"}, "0 items"),
    "has items without anything": ({"type": "FeatureCollection", "features": [{}]}, "`id` is no text"),
    "has an item of lists": ({"type": "Feature", "id": "a", "assets": []}, "no mapping"),
    "reads its neighbours": (
        item("a", assets={n: asset("../secret.tif", n) for n in BANDS}),
        "outside of the catalogue's folder",
    ),
    "lists folders": (item("a", assets={n: asset("*.tif", n) for n in BANDS}), "pattern"),
    "has no end": (catalog(*(("child", f"{n}.json") for n in range(30))), "more than 20 documents"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_catalogue_that(name, tmp_path, monkeypatch):
    text, told = HOSTILE[name]
    monkeypatch.setattr(stac_catalogue, "MOST_DOCUMENTS", 20)
    with pytest.raises(ValueError, match=told):
        find_scenes(
            search(documents(tmp_path / "c", catalog=text)), SN10, Sources(schemes=("s3", "http"), hosts=("h",))
        )
