"""The STAC catalogue: valid, movable, and readable by pystac's own extension classes."""

import dataclasses
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest
from jsonschema import Draft7Validator
from pyproj import CRS
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.version import VersionExtension
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from tiler.catalog import write_catalog
from tiler.catalog_facts import AssetFacts, BandFacts, CatalogFacts, ClassFacts, ModelFacts, SceneFacts

STATISTICS = {"minimum": 0.0, "maximum": 0.98, "mean": 0.1, "stddev": 0.2, "valid_percent": 97.5}
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def facts() -> CatalogFacts:
    west, south, east, north = 126.4, 36.9, 127.1, 37.3
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return CatalogFacts(
        run_id="seoul-2024",
        title="Industrial areas around Seoul",
        created=datetime(2026, 10, 2, 8, 30, tzinfo=UTC),
        start=datetime(2024, 3, 1, 2, 11, tzinfo=UTC),
        end=datetime(2024, 9, 30, 2, 12, tzinfo=UTC),
        footprint={"type": "Polygon", "coordinates": [ring]},
        bbox=(west, south, east, north),
        crs_wkt=CRS.from_epsg(5179).to_wkt(),
        epsg=5179,
        shape=(1337, 731),
        transform=(10.0, 0.0, 953120.0, 0.0, -10.0, 1951340.0),
        resolution_m=10.0,
        assets={
            "probability": AssetFacts(
                "products/probability.tif",
                "Probability",
                dtype="float32",
                nodata=float("nan"),
                bands=(BandFacts("probability", STATISTICS),),
                size_bytes=1234,
                sha256=SHA,
            ),
            "class": AssetFacts(
                "products/class.tif",
                "Class",
                dtype="uint8",
                nodata=255,
                bands=(BandFacts("class"),),
                classes=(ClassFacts(0, "background", (228, 228, 224)), ClassFacts(1, "industrial", (190, 24, 93))),
            ),
            "report": AssetFacts("report.html", "Report", "text/html", ("overview",)),
        },
        models=(
            ModelFacts(
                name="unet-a",
                architecture="Unet",
                encoder="resnet18",
                channels=("red", "green", "blue", "nir", "mask"),
                classes=("background", "industrial"),
                framework_version="2.10.0",
                digest="abc123",
                href="bundles/unet-a/weights.safetensors",
                weights_sha256=SHA,
                weights_bytes=99,
                scaling=({"mean": 0.2, "stddev": 0.1},) * 5,
            ),
            ModelFacts(
                "segformer", "Segformer", "mit_b0", ("red",), ("background", "industrial"), "2.10.0", "d", "s3://b/w"
            ),
        ),
        scenes=(
            SceneFacts("S2A_1", datetime(2024, 3, 1, 2, 11, tzinfo=UTC), ("s3://scenes/S2A_1.tif",)),
            SceneFacts("drone"),
        ),
        software={"sandan": "0.1.0", "gdal": "3.10.3"},
    )


def core_errors(document: dict) -> list[str]:
    """What the STAC 1.1 core schemas, which pystac carries along, find wrong."""
    schemas = get_local_schema_cache()
    registry = Registry().with_resources([(uri, Resource.from_contents(s)) for uri, s in schemas.items()])
    kind = "item" if document["type"] == "Feature" else "catalog"
    uri = f"https://schemas.stacspec.org/v1.1.0/{kind}-spec/json-schema/{kind}.json"
    return [error.message for error in Draft7Validator(schemas[uri], registry=registry).iter_errors(document)]


def read(folder) -> dict[str, dict]:
    return {str(path.relative_to(folder)): json.loads(path.read_text()) for path in folder.rglob("*.json")}


def test_every_document_is_valid_stac(tmp_path):
    path = write_catalog(tmp_path, facts=facts())
    documents = read(tmp_path)
    assert path == tmp_path / "catalog.json"
    assert set(documents) == {
        "catalog.json",
        "map.json",
        "models/unet-a/unet-a.json",
        "models/segformer/segformer.json",
    }
    for name, document in documents.items():
        assert core_errors(document) == [], name
        assert document["stac_version"] == "1.1.0"


def test_the_validator_of_this_test_finds_errors(tmp_path):
    write_catalog(tmp_path, facts=facts())
    broken = read(tmp_path)["map.json"]
    del broken["properties"]["start_datetime"]
    broken["assets"]["class"]["bands"][0]["data_type"] = "byte"
    assert len(core_errors(broken)) >= 2


def test_the_folder_can_be_moved(tmp_path):
    write_catalog(tmp_path / "here", facts=facts())
    text = "".join(path.read_text() for path in (tmp_path / "here").rglob("*.json"))
    assert str(tmp_path) not in text
    for place in (
        "products/probability.tif",
        "products/class.tif",
        "report.html",
        "bundles/unet-a/weights.safetensors",
    ):
        (tmp_path / "here" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / place).touch()
    shutil.move(tmp_path / "here", tmp_path / "there")

    catalog = pystac.Catalog.from_file(tmp_path / "there" / "catalog.json")
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert set(items) == {"seoul-2024-map", "unet-a", "segformer"}
    for item in items.values():
        for asset in item.assets.values():
            href = asset.get_absolute_href()
            assert "://" in href or (tmp_path / "there").joinpath(href).exists(), href
    derived = [link.get_absolute_href() for link in items["seoul-2024-map"].get_links("derived_from")]
    assert derived == [
        "s3://scenes/S2A_1.tif",
        str(tmp_path / "there/models/unet-a/unet-a.json"),
        str(tmp_path / "there/models/segformer/segformer.json"),
    ]


def test_the_catalogue_is_the_same_wherever_it_is_written_from(tmp_path, monkeypatch):
    """Weights above the catalogue were once found, or not, depending on how deep the working folder was."""
    places = (Path("/"), tmp_path)
    one = facts()
    above = dataclasses.replace(
        one, models=[dataclasses.replace(one.models[0], href="../../bundles/a/weights.safetensors")]
    )
    for number, place in enumerate(places):
        monkeypatch.chdir(place)
        write_catalog(tmp_path / str(number), facts=above)
    found = [read(tmp_path / str(number))["models/unet-a/unet-a.json"] for number in range(len(places))]
    assert found[0] == found[1]
    assert found[0]["assets"]["weights"]["href"] == "../../../../bundles/a/weights.safetensors"


def test_the_extension_classes_of_pystac_read_the_map(tmp_path):
    catalog = pystac.Catalog.from_file(write_catalog(tmp_path, facts=facts()))
    item = next(catalog.get_items("seoul-2024-map"))
    projection = ProjectionExtension.ext(item)
    assert projection.code == "EPSG:5179"
    assert projection.shape == [1337, 731]
    assert projection.transform == [10.0, 0.0, 953120.0, 0.0, -10.0, 1951340.0]
    assert CRS.from_wkt(projection.wkt2).to_epsg() == 5179
    probability = FileExtension.ext(item.assets["probability"])
    assert (probability.size, probability.checksum) == (1234, "1220" + SHA)
    classes = ClassificationExtension.ext(item.assets["class"]).classes
    assert [(c.value, c.name, c.color_hint) for c in classes] == [
        (0, "background", "E4E4E0"),
        (1, "industrial", "BE185D"),
    ]
    assert item.common_metadata.start_datetime == facts().start
    assert item.datetime is None


def test_names_that_the_classification_extension_forbids_become_titles(tmp_path):
    names = ("background", "solar farm", "산업단지", "solar-farm", "농지")
    probability = AssetFacts("p.tif", "Probability", dtype="float32", bands=tuple(BandFacts(name) for name in names))
    classes = AssetFacts("c.tif", "Class", classes=[ClassFacts(v, n, (v, 0, 255)) for v, n in enumerate(names)])
    model = dataclasses.replace(facts().models[0], classes=names, outputs=5)
    several = dataclasses.replace(facts(), assets={"probability": probability, "class": classes}, models=[model])
    write_catalog(tmp_path, facts=several)
    documents = read(tmp_path)
    assert all(core_errors(document) == [] for document in documents.values())
    assets = documents["map.json"]["assets"]
    assert tuple(band["name"] for band in assets["probability"]["bands"]) == names
    found = assets["class"]["classification:classes"]
    assert [one["value"] for one in found] == [0, 1, 2, 3, 4]
    assert [one["name"] for one in found] == ["background", "solar-farm", "class-2", "solar-farm-3", "class-4"]
    assert all(re.fullmatch("[0-9A-Za-z_-]+", one["name"]) for one in found)  # as version 2.0.0 of the extension asks
    assert tuple(one.get("title", one["name"]) for one in found) == names
    assert [one["color_hint"] for one in found][:2] == ["0000FF", "0100FF"]
    output = documents["models/unet-a/unet-a.json"]["properties"]["mlm:output"][0]
    assert output["classification:classes"] == [{k: v for k, v in o.items() if k != "color_hint"} for o in found]
    assert output["result"]["shape"] == [-1, 5, 512, 512]


def test_bands_say_what_the_pixels_are(tmp_path):
    write_catalog(tmp_path, facts=facts())
    assets = read(tmp_path)["map.json"]["assets"]
    assert assets["probability"]["bands"] == [
        {
            "name": "probability",
            "data_type": "float32",
            "nodata": "nan",
            "statistics": {"minimum": 0.0, "maximum": 0.98, "mean": 0.1, "stddev": 0.2, "valid_percent": 97.5},
            "raster:sampling": "area",
            "raster:spatial_resolution": 10.0,
        }
    ]
    assert assets["class"]["bands"][0]["nodata"] == 255
    assert "bands" not in assets["report"]


def test_processing_and_sources_are_recorded(tmp_path):
    write_catalog(tmp_path, facts=facts())
    properties = read(tmp_path)["map.json"]["properties"]
    assert properties["processing:level"] == "L4"
    assert properties["processing:software"] == {"sandan": "0.1.0", "gdal": "3.10.3"}
    assert properties["processing:datetime"] == "2026-10-02T08:30:00Z"
    assert properties["sandan:scenes"] == [
        {"id": "S2A_1", "datetime": "2024-03-01T02:11:00Z"},
        {"id": "drone", "datetime": None},
    ]


def test_a_network_is_described_by_the_model_extension(tmp_path):
    catalog = pystac.Catalog.from_file(write_catalog(tmp_path, facts=facts()))
    item = next(catalog.get_items("unet-a"))
    model = MLMExtension.ext(item)
    assert (model.mlm_name, model.architecture, model.framework) == ("unet-a", "Unet", "PyTorch")
    assert model.tasks == ["semantic-segmentation"]
    assert model.input[0].input.shape == [-1, 5, 512, 512]
    assert model.output[0].result.shape == [-1, 1, 512, 512]
    assert item.properties["mlm:input"][0]["value_scaling"][4] == {"type": "z-score", "mean": 0.2, "stddev": 0.1}
    # The extension wants named bands to be described in the item, in the same order.
    described = [band["name"] for band in item.properties["bands"]]
    assert item.properties["mlm:input"][0]["bands"] == described
    weights = item.assets["weights"]
    assert "mlm:model" in weights.roles
    assert weights.extra_fields["mlm:artifact_type"]
    assert weights.extra_fields["file:checksum"] == "1220" + SHA
    assert weights.href == "../../bundles/unet-a/weights.safetensors"


def test_every_prefix_in_use_is_declared(tmp_path):
    write_catalog(tmp_path, facts=facts())
    prefixes = {"proj": "projection", "mlm": "mlm", "file": "file", "processing": "processing"}
    prefixes |= {"raster": "raster", "classification": "classification"}
    for name, document in read(tmp_path).items():
        # Links point at items that declare their own extensions.
        body = json.dumps({key: value for key, value in document.items() if key not in ("links", "stac_extensions")})
        for prefix, extension in prefixes.items():
            declared = any(f"/{extension}/v" in uri for uri in document.get("stac_extensions", []))
            assert f'"{prefix}:' not in body or declared, (name, prefix)


def test_a_version_names_the_one_before(tmp_path):
    newer = dataclasses.replace(facts(), version="2", predecessor="../1/map.json")
    item = next(pystac.Catalog.from_file(write_catalog(tmp_path / "2", facts=newer)).get_items("seoul-2024-map"))
    assert core_errors(read(tmp_path / "2")["map.json"]) == []
    assert VersionExtension.ext(item).version == "2"
    (link,) = item.get_links("predecessor-version")
    write_catalog(tmp_path / "1", facts=dataclasses.replace(facts(), version="1"))
    before = pystac.Item.from_file(str(link.get_absolute_href()))
    assert VersionExtension.ext(before).version == "1"
    assert not before.get_links("predecessor-version")


def test_without_acquisition_times_the_run_dates_the_map(tmp_path):
    timeless = dataclasses.replace(facts(), start=None, end=None)
    write_catalog(tmp_path, facts=timeless)
    document = read(tmp_path)["map.json"]
    assert document["properties"]["datetime"] == "2026-10-02T08:30:00Z"
    assert core_errors(document) == []


def test_a_crs_without_a_code_is_described_by_its_wkt(tmp_path):
    write_catalog(tmp_path, facts=dataclasses.replace(facts(), epsg=None))
    properties = read(tmp_path)["map.json"]["properties"]
    assert properties["proj:code"] is None
    assert properties["proj:wkt2"]


def test_facts_that_stac_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="give both times or neither"):
        dataclasses.replace(facts(), end=None)
    with pytest.raises(ValueError, match="share names"):
        dataclasses.replace(facts(), models=facts().models[:1] * 2)
