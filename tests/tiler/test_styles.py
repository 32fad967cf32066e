"""Styles: what QGIS reads beside a product has its colours, its names and its range."""

import math
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from affine import Affine

from tiler.cog import BandStatistics, CogSpec
from tiler.product_specs import PRODUCTS, specs_of
from tiler.styles import HEADER, style_of, write_style

SYSTEM_PYTHON = "/usr/bin/python3"
LOAD = """
import os, sys
from qgis.core import QgsApplication, QgsRasterLayer
app = QgsApplication([], False)
app.initQgis()
layer = QgsRasterLayer(sys.argv[1], "map")
assert layer.isValid()
renderer = layer.renderer()
print(renderer.type())
if renderer.type() == "paletted":
    print([(c.value, c.label, c.color.name()) for c in renderer.classes()])
else:
    function = renderer.shader().rasterShaderFunction()
    print([(i.value, i.color.name()) for i in function.colorRampItemList()])
sys.stdout.flush()
os._exit(0)  # QGIS would tidy up layers that Python still holds
"""


def styled(path: Path, values: np.ndarray, name: str, names: dict[int, str] | None = None) -> Path:
    return write_style(path, PRODUCTS[name], names or {}, BandStatistics.of(values))


def written(path: Path, values: np.ndarray, spec: CogSpec) -> Path:
    form = {"driver": "GTiff", "count": 1, "height": values.shape[0], "width": values.shape[1], "dtype": spec.dtype}
    place = {"crs": "EPSG:5179", "transform": Affine(10, 0, 1e6, 0, -10, 2e6)}
    with rasterio.open(path, "w", **form, **place, nodata=spec.nodata) as file:
        file.write(values.astype(spec.dtype), 1)
    return path


def parsed(style: str) -> ElementTree.Element:
    assert style.startswith(HEADER)
    return ElementTree.fromstring(style.removeprefix(HEADER))


def test_a_class_map_has_its_own_colours_and_names():
    spec = specs_of(["water", "fields", "works & <depots>"])["class"]
    root = parsed(style_of(spec, 0, 1, {0: "water", 1: "fields", 2: "works & <depots>"}))
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None
    assert renderer.get("type") == "paletted"
    entries = {int(e.get("value", "")): e for e in renderer.iter("paletteEntry")}
    assert {value: e.get("label") for value, e in entries.items()} == {0: "water", 1: "fields", 2: "works & <depots>"}
    assert spec.colors is not None
    for value, color in spec.colors.items():
        assert entries[value].get("color") == "#{:02x}{:02x}{:02x}".format(*color[:3])


@pytest.mark.parametrize("name", ["probability", "spread", "count"])
def test_a_ramp_rises_from_the_least_to_the_largest_value(tmp_path, name):
    values = np.linspace(2, 7, 6 * 9).reshape(6, 9)
    style = styled(tmp_path / f"{name}.tif", values, name)
    assert style == tmp_path / f"{name}.qml"
    items = [float(e.get("value", "")) for e in parsed(style.read_text()).iter("item")]
    assert items == pytest.approx(np.linspace(0, 1, 5) if name == "probability" else np.linspace(2, 7, 5))


@pytest.mark.parametrize("values", [np.full((4, 5), 3.0), np.full((4, 5), math.nan)])
def test_one_value_or_none_still_has_a_ramp(tmp_path, values):
    style = styled(tmp_path / "spread.tif", values, "spread").read_text()
    items = [float(e.get("value", "")) for e in parsed(style).iter("item")]
    assert len(items) == 5
    assert items == sorted(set(items))


def has_qgis() -> bool:
    if not shutil.which(SYSTEM_PYTHON):
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_qgis(), reason="QGIS is not installed")
def test_qgis_takes_it_up(tmp_path):
    values = np.arange(6 * 9).reshape(6, 9) % 2
    names = {0: "background", 1: "industrial"}
    for name, told in (("class", "industrial"), ("count", "#440154")):
        path = written(tmp_path / f"{name}.tif", values, PRODUCTS[name])
        styled(path, values, name, names)
        command, quiet = [SYSTEM_PYTHON, "-c", LOAD, str(path)], {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
        found = subprocess.run(command, capture_output=True, text=True, env=quiet)
        assert found.returncode == 0, found.stderr
        assert told in found.stdout
