"""Which way imports go. Every import of every module is read, also those inside functions."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("tiler", "models", "cluster", "jobs")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST = 300
"""Lines of a module."""

FORBIDDEN = {
    "tiler": {"torch", "torchvision", "ray", "segmentation_models_pytorch", "timm", "models", "cluster", "jobs"},
    "models": {"ray", "rasterio", "rioxarray", "zarr", "xarray", "dask", "tiler", "cluster", "jobs"},
    "cluster": {
        *("rasterio", "rioxarray", "zarr", "xarray", "dask", "segmentation_models_pytorch", "timm"),
        *("tiler", "models", "jobs"),
    },
    "jobs": {"ray", "tests"},
}
TORCH_IN_CLUSTER = {"cluster/ddp.py", "cluster/session.py"}
"""The training launch: torch.distributed groups, and the device of a worker."""


def imports_of(source: str, package: str = "") -> Iterator[tuple[str, bool]]:
    """Yield the top-level name of every import, and whether it runs when the module is imported."""
    tree = ast.parse(source)
    inner = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [package if node.level else str(node.module)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            # a name that is put together says at least how it begins: f"jobs.{name}"
            text = ast.unparse(node.args[0]).lstrip("rf").strip("'\"") if node.args else ""
            names = [text]
        else:
            continue
        for name in names:
            yield name.split(".")[0], node not in inner


@functools.cache
def imports_in(path: Path) -> frozenset[tuple[str, bool]]:
    return frozenset(imports_of(path.read_text(), path.relative_to(ROOT).parts[0]))


def importers_of(*names: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix() for path in MODULES if {name for name, _ in imports_in(path)} & set(names)
    }


def test_the_reader_of_imports_sees_them_all():
    source = """
import ray
from torch import nn
from . import sibling
def f():
    import zarr.storage, dask
    class C:
        from timm import models
    importlib.import_module(f"jobs.{name}")
if TYPE_CHECKING:
    from rasterio.io import DatasetReader
"""
    assert sorted(imports_of(source, "own")) == [
        *[("dask", False), ("jobs", False), ("own", True), ("rasterio", True), ("ray", True), ("timm", False)],
        *[("torch", True), ("zarr", False)],
    ]


def test_there_is_something_to_read():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(PACKAGES)
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_arrow_points_the_wrong_way(path):
    package = path.relative_to(ROOT).parts[0]
    assert not {name for name, _ in imports_in(path)} & FORBIDDEN[package]


def test_only_cluster_imports_ray():
    assert {path.split("/")[0] for path in importers_of("ray")} == {"cluster"}


def test_cluster_never_imports_ray_with_itself():
    """Only where it is needed: a serial run on a machine without Ray."""
    for path in (ROOT / "cluster").glob("*.py"):
        assert ("ray", True) not in imports_in(path), path.name


def test_torch_in_cluster_is_the_training_launch_alone():
    assert {path for path in importers_of("torch") if path.startswith("cluster/")} <= TORCH_IN_CLUSTER


def test_the_three_meet_in_jobs_only():
    for names in (("tiler", "models"), ("tiler", "cluster"), ("models", "cluster")):
        both = importers_of(names[0]) & importers_of(names[1])
        assert {path.split("/")[0] for path in both} == {"jobs"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= LONGEST


BLOCKER = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError(name + " is not on this machine")

sys.meta_path.insert(0, Blocker())
for name in {modules!r}:
    importlib.import_module(name)
try:
    importlib.import_module({blocked!r}[0])
except ImportError:
    print("imported without")
{then}
"""


def without(blocked: list[str], modules: list[str], then: str = "") -> str:
    """Import modules in a Python that lacks some packages, do something more, and return what it printed."""
    code = BLOCKER.format(blocked=blocked, modules=modules, then=then)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_cluster_works_without_ray():
    modules = ["cluster", *(f"cluster.{path.stem}" for path in (ROOT / "cluster").glob("[a-z]*.py"))]
    then = """
from cluster.engine import open_engine
print([done.record for done in open_engine("serial").run(lambda: abs, [-3, 2])])
"""
    assert without(["ray"], modules, then).split("\n")[:2] == ["imported without", "[3, 2]"]


def test_torch_is_loaded_by_networks_alone():
    """Planning, reading, stitching, publishing and judging a map: workers of these start in a second without it."""
    modules = ["jobs.map", "jobs.evaluate", "jobs.stages", "jobs.publish"]
    assert without(["torch"], modules, "").startswith("imported without")


INNER = """
import tempfile
import numpy as np
from jobs.infer_stage import read_under
from models.bundle import bundle_files
from models.card import Card
from models.imagery import Imagery
from models.networks import NetworkSpec
from models.predict import load_ensemble
from models.weights import build_with_weights
from tiler.grids import PixelGrid
from tiler.lattice import Lattice
from tiler.logit_store import LogitStore, create_logit_store, window_shards
from tiler.scene_store import SceneStore, create_scene_store
from tiler.scenes import Scene
from tiler.sensors import SENSORS
from tiler.stores import open_group

folder = tempfile.mkdtemp()
grid = PixelGrid("EPSG:32652", (10.0, 0.0, 3e5, 0.0, -10.0, 4e6), 40, 70)
create_scene_store(folder + "/s.zarr", Scene("s", None, SENSORS["SN10"], grid, "uint16", (), "f", 0), False)
group = open_group(folder + "/s.zarr")
group["image"][...] = np.arange(40 * 70).reshape(1, 40, 70) + 1
group["valid"][...] = True
SceneStore(folder + "/s.zarr").summarise()
scene, lattice = SceneStore(folder + "/s.zarr"), Lattice(40, 70, 64, 32)
create_logit_store(folder + "/l.zarr", "s", lattice, ("c",), None)
logits = LogitStore(folder + "/l.zarr")
shard = list(window_shards("s", lattice))[1]
under = read_under(scene, logits, shard)
imagery = Imagery.of(under.bands, under.valid, under.fill, under.coarse, "cpu")
spec = NetworkSpec(architecture="unet", encoder="tu-mobilenetv3_small_050", in_channels=5)
network, _ = build_with_weights(spec, "random:1")
zeros, ones = (0.0,) * 5, (1.0,) * 5
card = Card(name="n", architecture="unet", encoder="tu-mobilenetv3_small_050", channels=scene.channels, sensor="SN10",
            offset=zeros, scale=ones, classes=("c",), training_data="", weights="random:1")
ensemble = load_ensemble([bundle_files(network, card)], scene.channels, precision="fp32")
windows = ensemble.predict_windows(imagery, under.corners(lattice), 64)
logits.write(shard, under.places, windows)
print(under.places, windows.shape, bool(np.ptp(logits.windows(0, 1, 2)[0]) > 0))
"""


def test_the_inner_path_of_infer_runs_without_ray_and_rasterio():
    """Reader, network and reduction: what a GPU machine needs to run, and to be measured."""
    assert without(["ray", "rasterio"], ["jobs.infer_stage"], INNER).split("\n")[:2] == [
        "imported without",
        "[(0, 1)] (1, 2, 64, 64) True",
    ]
