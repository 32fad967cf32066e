"""Whole files with some bytes changed, cut or doubled: each is refused, or read to its last pixel.

HOSTILE_MUTATIONS says how many of each kind (default 30), HOSTILE_SEED which.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely

from jobs.config import RunConfig
from jobs.parsing import load
from models.card import read_card
from tests.hostile.cases import EITHER, Case
from tests.jobs.worlds import write_bundle
from tests.tiler.rasters_for_tests import numbers, write_tif
from tiler.area import read_area
from tiler.scenes import SceneSpec, open_scene
from tiler.sensors import SENSORS
from tiler.vectors import read_vectors

CONFIG = """
out: runs/x
scenes:
  - {id: a, files: [x.tif, "y*.tif"], bands: {red: 1, green: 2, blue: 3, nir: 4}, acquired: 2021-05-27, nodata: 0}
  - {id: b, files: z.tif, quality: {files: q.tif, rule: {classes: [3, 8], fields: [{first: 14, count: 2}]}}}
labels: {files: "l/*.tif", codes: {10: 1, 90: 0}, ignore: [0]}
grid: {crs: EPSG:5179, resolution_m: 10}
infer: &i {tile_px: 512, overlap_px: 64, tta: flips4}
engine: {kind: serial, workers: auto}
sources: {schemes: [s3, https], hosts: [data.example.org]}
"""


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Return data with one to four changes."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        # headers lie at the beginning or the end: three of four changes are made there
        place = draw.choice(
            (draw.randrange(400), draw.randrange(400), len(out) - draw.randrange(400), draw.randrange(len(out)))
        )
        place = min(max(0, place), len(out) - 1)
        kind = draw.randrange(6)
        if kind == 0:
            out[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            out[place] = draw.randrange(256)
        elif kind == 2:
            out[place : place + 4] = draw.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif kind == 3:
            out[place : place + draw.randrange(1, 40)] = b""
        elif kind == 4:
            out[place:place] = out[place : place + draw.randrange(1, 40)]
        elif draw.random() < 0.3:
            out = out[: max(1, place)]
        if not out:
            return b"\0"
    return bytes(out)


def _scene(path: Path) -> None:
    place = str(path.parent / "tiff.tif") if path.suffix == ".png" else None
    scene = open_scene(SceneSpec(id="x", files=str(path), georeference=place), SENSORS["SN10"])
    if scene.grid.height * scene.grid.width < 10_000_000:
        scene.read(scene.grid.box)


def _kinds(folder: Path) -> dict[str, tuple[bytes, str, Callable[[Path], object]]]:
    array = numbers(4, 90, 70)
    made = {}
    for name, options in {
        "tiff": {},
        "packed tiff": {"compress": "deflate", "predictor": 2, "tiled": True, "blockxsize": 32, "blockysize": 16},
        "lzw tiff": {"compress": "lzw", "interleave": "band"},
        "big tiff": {"BIGTIFF": "YES", "compress": "zstd"},
    }.items():
        path = write_tif(folder / f"{name}.tif", array, nodata=0, **options)
        made[name] = Path(path).read_bytes(), ".tif", _scene
    bytes_of = {}
    for driver, suffix in (("PNG", ".png"), ("HFA", ".img"), ("JP2OpenJPEG", ".jp2")):
        path = folder / f"x{suffix}"
        with rasterio.open(folder / "tiff.tif") as source:
            profile = {
                "height": 90,
                "width": 70,
                "count": 4,
                "dtype": "uint16",
                "crs": source.crs,
                "transform": source.transform,
            }
        with rasterio.open(path, "w", driver=driver, **profile) as data:
            data.write(array)
        bytes_of[driver] = path.read_bytes(), suffix, _scene
    made |= bytes_of
    ring = [[126, 37], [127, 37], [127, 38], [126.5, 37.5], [126, 37]]
    shapes = shapely.to_wkb(np.array([shapely.Polygon(ring), shapely.Polygon(ring).buffer(0.1)]))
    for suffix in (".geojson", ".gpkg", ".fgb"):
        path = folder / f"v{suffix}"
        pyogrio.raw.write(
            path, shapes, [np.array(["a", "b"], object)], ["name"], geometry_type="Polygon", crs="EPSG:4326"
        )
        made[suffix[1:]] = (
            path.read_bytes(),
            suffix,
            lambda path: (read_area(str(path)), read_vectors("x", str(path), "name")),
        )
    card = Path(write_bundle(folder / "bundle")) / "card.json"
    made["card"] = card.read_bytes(), ".json", lambda path: read_card(path.read_bytes())
    made["configuration"] = CONFIG.encode(), ".yaml", lambda path: load(RunConfig, str(path))
    return made


def cases(folder: Path) -> list[Case]:
    """Return every case."""
    draw = random.Random(int(os.environ.get("HOSTILE_SEED", "0")))
    count = int(os.environ.get("HOSTILE_MUTATIONS", "30"))
    made = []
    for name, (data, suffix, read) in _kinds(folder).items():
        read(_written(folder / f"whole {name}{suffix}", data))
        for number in range(count):
            path = _written(folder / f"{name}-{number}{suffix}", mutated(data, draw))
            made.append(Case(f"{name} {number}", lambda read=read, path=path: (read(path), 0)[1], EITHER))
    return made


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
