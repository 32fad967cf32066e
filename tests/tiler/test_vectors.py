"""Vector files: kinds by suffix and content, and how tangled polygons may be."""

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tiler import vectors
from tiler.vectors import check_shapes, known_crs, read_vectors

RINGS = {"box": shapely.box(126, 37, 127, 38), "bow": shapely.Polygon([(126, 37), (127, 38), (127, 37), (126, 38)])}


def write(path, shapes, crs="EPSG:4326") -> str:
    names = np.array([f"n{i}" for i in range(len(shapes))], object)
    pyogrio.raw.write(path, shapely.to_wkb(np.array(shapes)), [names], ["name"], geometry_type="Unknown", crs=crs)
    return str(path)


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".GPKG", ".fgb"])
def test_polygons_come_back_whole_with_their_values_and_crs(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    write(tmp_path / f"b{suffix.lower().replace('.json', '.geojson')}", list(RINGS.values())[:1])
    (tmp_path / f"b{suffix.lower().replace('.json', '.geojson')}").rename(path)
    found = read_vectors("area", str(path), "name")
    assert [s.equals(RINGS["box"]) for s in found.shapes] == [True]
    assert list(found.values) == ["n0"]
    assert found.crs == "EPSG:4326"


def test_only_valid_polygons_in_two_dimensions_are_left(tmp_path):
    mixed = shapely.GeometryCollection([shapely.Point(1, 2), RINGS["box"], shapely.box(126.5, 37, 128, 38)])
    shapes = [RINGS["bow"], mixed, shapely.LineString([(0, 0), (1, 1)]), shapely.force_3d(RINGS["box"], 9.0)]
    found = read_vectors("area", write(tmp_path / "a.gpkg", shapes)).shapes
    assert shapely.is_valid(found).all()
    assert not shapely.has_z(found).any()
    assert shapely.area(found).tolist() == pytest.approx([0.5, 2.0, 0.0, 1.0])
    assert {s.geom_type for s in found if not s.is_empty} <= {"Polygon", "MultiPolygon"}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12))
def test_whatever_ring_is_repaired(points):
    shapes = vectors._repaired(np.array([shapely.Polygon(points)]))
    assert shapely.is_valid(shapes).all()
    assert (shapely.area(shapes) <= shapely.area(shapely.convex_hull(shapely.MultiPoint(points))) + 1e-9).all()


def test_what_a_file_is_decided_by_its_suffix_and_its_first_bytes(tmp_path):
    good = write(tmp_path / "a.gpkg", [RINGS["box"]])
    for name in ("a.fgb", "a.shp"):
        (tmp_path / name).write_bytes(Path(good).read_bytes())
        with pytest.raises(ValueError, match="does not begin like"):
            read_vectors("area", f"{tmp_path}/{name}")
    (tmp_path / "a.kml").write_text("<kml/>")
    with pytest.raises(ValueError, match=r"cannot tell the kind of .*a\.kml.*known are"):
        read_vectors("area", f"{tmp_path}/a.kml")


@pytest.mark.parametrize("crs", ["EPSG:0", {"type": "name"}, 7, {"type": "name", "properties": {"name": "nonsense"}}])
def test_a_crs_that_nobody_knows_is_not_taken_for_degrees(crs, tmp_path):
    geometry = json.loads(shapely.to_geojson(RINGS["box"]))
    whole = {"type": "Feature", "properties": {}, "geometry": geometry, "crs": crs}
    (tmp_path / "a.geojson").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="is unknown"):
        read_vectors("area", f"{tmp_path}/a.geojson")


def test_a_crs_says_where_on_the_earth():
    assert known_crs("area", "a", "EPSG:5179").to_epsg() == 5179
    for crs, says in (("EPSG:4978", "neither projected"), ("EPSG:0", "unknown")):
        with pytest.raises(ValueError, match=says):
            known_crs("area", "a", crs)


def star(count: int, cross: int) -> shapely.Polygon:
    """Return a ring that jumps `cross` places round a circle at each step: each edge crosses 2 (cross - 1) others."""
    angle = 2 * np.pi * cross * np.arange(count) / count
    return shapely.Polygon(np.stack([np.cos(angle), np.sin(angle)], axis=1))


@pytest.mark.parametrize("cross", [2, 5, 9])
def test_crossings_are_counted_as_they_are(cross, monkeypatch):
    shapes, crossings = np.array([star(1009, cross)]), 1009 * (cross - 1)
    monkeypatch.setattr(vectors, "MOST_CROSSINGS", int(crossings * 1.4))
    check_shapes("a", shapes)
    monkeypatch.setattr(vectors, "MOST_CROSSINGS", int(crossings * 0.7))
    with pytest.raises(ValueError, match=r"a is too tangled: .* cross; repair it"):
        check_shapes("a", shapes)


def test_polygons_over_each_other_are_tangled_too(monkeypatch):
    many = np.array([shapely.box(i, -i, 200 + i, 200 - i) for i in range(100)])
    monkeypatch.setattr(vectors, "MOST_CROSSINGS", 8000)
    with pytest.raises(ValueError, match="tangled"):
        check_shapes("a", np.array([shapely.GeometryCollection([shapely.MultiPolygon(list(many))])]))
    check_shapes("a", many[::20])


def test_vertices_are_counted_and_are_numbers(monkeypatch):
    monkeypatch.setattr(vectors, "MOST_VERTICES", 5)
    check_shapes("a", np.array([RINGS["box"], None]))
    with pytest.raises(ValueError, match="a has 10 vertices, more than 5"):
        check_shapes("a", np.array([RINGS["box"], RINGS["bow"]]))
    with np.errstate(invalid="ignore"):
        nowhere = shapely.polygons([[0, 0], [1, float("nan")], [1, 1], [0, 0]])
    with pytest.raises(ValueError, match="no finite numbers"):
        check_shapes("a", np.array([nowhere]))
