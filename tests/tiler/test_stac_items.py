"""Which assets of an item are the bands of a sensor."""

import math

import pytest

from tests.tiler.stac_for_tests import BANDS, asset, item
from tiler.sensors import SENSORS
from tiler.stac_items import Lacks, QualityAsset, Wanted, scene_of

SN10, LS30 = SENSORS["SN10"], SENSORS["LS30"]


def at(href):
    return f"s3://b/{href}"


def bands_of(assets, wanted=None):
    spec = scene_of(item("a", assets=assets), wanted or Wanted(SN10), at).spec
    return spec.bands, spec.files


def test_an_item_is_a_scene():
    read = scene_of(item("S2A_52SDG"), Wanted(SN10), at)
    assert read.spec.id == "S2A_52SDG"
    assert read.spec.acquired.isoformat() == "2024-06-01T02:11:00+00:00"
    assert read.spec.bands == {name: f"s3://b/S2A_52SDG/{name}.tif" for name in BANDS}
    assert list(read.spec.bands) == list(SN10.bands)
    assert (read.spec.nodata, read.spec.quality, read.meaning, read.collection) == (None, None, (1.0, 0.0), "s2")


@pytest.mark.parametrize(
    "describe",
    [
        lambda name, key: {"eo:bands": [{"name": key, "common_name": name}]},
        lambda name, key: {"bands": [{"name": key, "eo:common_name": name}]},
        lambda name, key: {"bands": [{"name": key}], "eo:common_name": name},
    ],
    ids=["STAC 1.0", "STAC 1.1", "STAC 1.1, of the asset"],
)
def test_bands_are_found_by_common_names(describe):
    keys = dict(zip(BANDS, ("B04", "B03", "B02", "B08"), strict=True))
    assets = {key: {"href": f"{key}.tif", **describe(name, key)} for name, key in keys.items()}
    assets["B8A"] = {"href": "B8A.tif", **describe("nir08", "B8A")}
    assert bands_of(assets)[0] == {name: f"s3://b/{key}.tif" for name, key in keys.items()}


def test_landsats_near_infrared_has_a_name_of_its_own():
    assets = {name: asset(f"{name}.tif", name) for name in ("red", "green", "blue", "nir08")}
    assert bands_of(assets, Wanted(LS30))[0]["nir"] == "s3://b/nir08.tif"


def test_of_several_the_one_with_the_sensors_pixels_is_taken():
    """As the Copernicus data space has them: each band at 10, 20 and 60 m; elsewhere: pictures, and a second format."""
    assets = {f"{n}_{m}m": asset(f"{n}{m}.jp2", n, gsd=m) for n in BANDS for m in (60, 10, 20)}
    assert bands_of(assets)[0] == {name: f"s3://b/{name}10.jp2" for name in BANDS}
    fine = {n: asset(f"{n}.tif", n) for n in BANDS} | {f"{n}-jp2": asset(f"{n}.jp2", n) for n in BANDS}
    fine["visual"] = asset("visual.tif", "red", "green", "blue", roles=["visual"])
    fine["red-thumb"] = asset("a.png", "red", roles=["thumbnail"])
    assert bands_of(fine)[0] == {name: f"s3://b/{name}.tif" for name in BANDS}


def test_one_asset_may_hold_all_bands():
    whole = {"image": asset("i.tif", "blue", "green", "red", "nir"), "part": asset("p.tif", "red", "green")}
    assert bands_of(whole) == ({"red": 3, "green": 2, "blue": 1, "nir": 4}, "s3://b/i.tif")
    assert bands_of(whole, Wanted(SN10, asset="image")) == bands_of(whole)
    plain = {"image": asset("i.tif")}
    assert bands_of(plain, Wanted(SN10, asset="image")) == ({n: i + 1 for i, n in enumerate(BANDS)}, "s3://b/i.tif")
    numbers = {"red": 7, "green": 5, "blue": 3, "nir": 2}
    assert bands_of(plain, Wanted(SN10, numbers, "image")) == (numbers, "s3://b/i.tif")


def test_named_assets_count_before_common_names():
    assets = {f"B{i}": asset(f"{i}.tif", name) for i, name in enumerate(reversed(BANDS))} | {"C": asset("c.tif")}
    wanted = Wanted(SN10, {"red": "C", "green": "B0", "blue": "B1", "nir": "B2"})
    assert bands_of(assets, wanted)[0] == {n: f"s3://b/{k}.tif" for n, k in zip(BANDS, "c012", strict=True)}
    with pytest.raises(Lacks, match="no asset \\['D'\\]"):
        bands_of(assets, Wanted(SN10, {"red": "D", "green": "B0", "blue": "B1", "nir": "B2"}))
    with pytest.raises(ValueError, match="write `asset: C`"):
        bands_of(assets | {"C": asset("c.tif", *BANDS)}, wanted)


def test_a_quality_raster_is_taken_if_it_is_asked_for():
    wanted = Wanted(SN10, quality=QualityAsset(asset="scl", rule="scl"))
    one = item("a")
    with pytest.raises(Lacks, match="'scl' for its quality"):
        scene_of(one, wanted, at)
    one["assets"]["scl"] = asset("scl.tif")
    assert scene_of(one, wanted, at).spec.quality.files == "s3://b/scl.tif"
    assert scene_of(one, Wanted(SN10), at).spec.quality is None


def test_what_items_say_of_pixels():
    facts = {"raster:bands": [{"nodata": -9999, "scale": 0.0001, "offset": -0.1}]}
    newer = {"nodata": "nan", "raster:scale": 2.75e-5, "raster:offset": -0.2}
    read = scene_of(item("a", assets={n: asset(f"{n}.tif", n, **facts) for n in BANDS}), Wanted(SN10), at)
    assert (read.spec.nodata, read.meaning) == (-9999, (0.0001, -0.1))
    read = scene_of(item("a", assets={n: asset(f"{n}.tif", n, **newer) for n in BANDS}), Wanted(SN10), at)
    assert math.isnan(read.spec.nodata)
    assert read.meaning == (2.75e-5, -0.2)
    same = {n: asset(f"{n}.tif", n, nodata=0) for n in BANDS}
    assert scene_of(item("a", assets=same), Wanted(SN10), at).spec.nodata is None, "the sensor says so already"
    unlike = same | {"nir": asset("nir.tif", "nir", nodata=1)}
    assert scene_of(item("a", assets=unlike), Wanted(SN10), at).spec.nodata is None, "files say what holds for each"


def test_times():
    interval = {"datetime": None, "start_datetime": "2024-06-01T00:00:00Z", "end_datetime": "2024-06-08T00:00:00Z"}
    read = scene_of(item("a", properties=interval), Wanted(SN10), at)
    assert read.spec.acquired.isoformat() == "2024-06-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, None), ({"eo:cloud_cover": 12.5}, 12.5), ({"eo:cloud_cover": 0}, 0), ({"eo:cloud_cover": "few"}, None)]
    + [({"eo:cloud_cover": value}, None) for value in (-1, 101, math.nan, True)],
)
def test_clouds_are_what_the_item_says_and_nonsense_is_nothing(said, found):
    assert scene_of(item("a", properties=said), Wanted(SN10), at).spec.cloud_cover == found


@pytest.mark.parametrize(
    ("name", "spec"), [("S2:A/1 x", "S2-A-1-x"), ("../../etc", "etc"), ("-a.b_c", "a.b_c"), ("산단7", "7")]
)
def test_ids_become_file_names(name, spec):
    assert scene_of(item(name), Wanted(SN10), at).spec.id == spec


def without(name):
    return {key: value for key, value in item("a")["assets"].items() if value["eo:bands"][0]["common_name"] != name}


WRONG = {
    "a band is missing": ({"assets": without("nir")}, Lacks),
    "no assets": ({"assets": {}}, Lacks),
    "assets are a list": ({"assets": []}, ValueError),
    "an asset is a text": ({"assets": {"B0": "a.tif"}}, ValueError),
    "bands are a mapping": ({"assets": {n: {"href": "a.tif", "eo:bands": {"red": 1}} for n in "abcd"}}, Lacks),
    "names are numbers": ({"assets": {"a": asset("a.tif", 1, 2, 3, 4)}}, Lacks),
    "a number as id": ({"id": 7}, ValueError),
    "no id": ({"id": "///"}, ValueError),
    "a long id": ({"id": "a" * 201}, ValueError),
    "a day that is none": ({"properties": {"datetime": "2024-13-45"}}, ValueError),
    "no raster": ({"assets": {n: asset(f"{n}.vrt", n) for n in BANDS}}, Lacks),
}


@pytest.mark.parametrize("name", WRONG)
def test_items_that_are_none(name):
    fields, error = WRONG[name]
    with pytest.raises(error) as told:
        scene_of(item("a") | fields, Wanted(SN10), at)
    assert type(told.value) is error
