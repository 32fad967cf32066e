"""The regions of a run: what identifies them, and when they are looked at."""

import json

import numpy as np
import pyogrio
import pytest
import shapely

from jobs.config import RunConfig
from jobs.regions import region_facts, regions_of
from tiler.grids import Box, MapGrid

GRID, EXTENT = MapGrid("EPSG:5179", (10.0, 10.0)), Box(-195_040, 100_010, -195_000, 100_073)


def config(file: str = "", outputs: tuple[str, ...] = ("statistics",)) -> RunConfig:
    regions = {"regions": {"file": file, "name": "name"}} if file else {}
    return RunConfig.model_validate({"out": "x", "scenes": "y", "outputs": outputs, **regions})


def test_statistics_without_regions_are_refused():
    with pytest.raises(ValueError, match="set `regions`"):
        config()
    assert config(outputs=("cog",)).regions is None


def test_regions_are_identified_by_their_content_where_outputs_need_them(tmp_path):
    path = tmp_path / "r.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    before = region_facts(config(str(path)))
    assert before is not None
    assert region_facts(config(str(path), ("cog", "report"))) is None
    assert region_facts(config(outputs=("cog",))) is None
    path.write_text(path.read_text() + " ")
    assert region_facts(config(str(path))) != before


def test_of_a_shapefile_every_part_counts(tmp_path):
    path = tmp_path / "r.shp"
    square = np.array(shapely.to_wkb([shapely.box(1e6, 1.95e6, 1.001e6, 1.951e6)]))

    def facts(name: str) -> dict | None:
        pyogrio.raw.write(path, square, [np.array([name])], ["name"], geometry_type="Polygon", crs="EPSG:5179")
        return region_facts(config(str(path)))

    assert facts("a") == facts("a") != facts("b")
    found = regions_of(config(str(path)), GRID, EXTENT)
    assert found is not None
    assert found.names == ("b",)
    assert regions_of(config(outputs=("cog",)), GRID, EXTENT) is None
