"""Every address of a run is found, wherever it stands."""

import pytest

from jobs.addresses import addresses
from jobs.config import RunConfig
from jobs.polygons_config import PolygonsConfig


def test_every_address_is_yielded_with_its_key_and_nothing_else():
    run = RunConfig.model_validate(
        {
            "out": "not-an-input",
            "scenes": [
                {"id": "a", "files": ["1.tif", "2.tif"], "bands": {"red": "3.jp2", "nir": 4}, "georeference": "5.tif"},
                {
                    "id": "b",
                    "files": "6.tif",
                    "quality": {"files": "7.tif", "rule": "scl"},
                    "modalities": {"gems": "8.tif"},
                },
            ],
            "sensor": "9.yaml",
            "labels": {"files": ["10.tif"], "codes": {1: 1}},
            "modalities": [{"sensor": "11.yaml", "files": "12.tif"}],
            "area": "13.gpkg",
            "models": ["14", "15"],
            "infer": {"adaptive": "16.json"},
            "regions": {"file": "17.gpkg", "name": "not-an-input"},
            "polygons": {"earlier": "18"},
            "engine": {"kind": "serial", "address": "not-an-input"},
        }
    )
    found = dict(addresses(run))
    assert sorted(int(text.split(".")[0]) for text in found.values()) == list(range(1, 4)) + list(range(5, 19))
    assert found["scenes.0.files.1"] == "2.tif"
    assert found["scenes.0.bands.red"] == "3.jp2"
    assert found["regions.file"] == "17.gpkg"


@pytest.mark.parametrize("word", [{}, {"earlier": "auto"}, {"earlier": "none"}])
def test_a_word_in_place_of_a_run_is_no_address(word):
    assert not dict(addresses(PolygonsConfig.model_validate(word)))


def test_a_data_set_has_its_root():
    assert dict(addresses(RunConfig.model_validate({"out": "x", "dataset": {"root": "1"}})))["dataset.root"] == "1"
