"""Small made worlds for the tests of jobs: lopsided scenes in odd places, tiny networks, and runs over them."""

import contextlib
import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import yaml
from affine import Affine

from cluster.engine import Engine, SerialEngine
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import infer
from jobs.ingest import ingest
from jobs.mosaic import mosaic
from jobs.parsing import load
from jobs.plan import LogitPlan, Run, plan_run
from models.bundle import bundle_files
from models.card import Card
from models.imagery import Imagery
from models.launched import Asked, Launched, store_as_float16
from models.networks import NetworkSpec
from models.weights import build_with_weights
from tiler.logit_store import LogitStore
from tiler.map_store import MapStore
from tiler.scene_store import SceneStore

UTM51, UTM52, KOREA = "EPSG:32651", "EPSG:32652", "EPSG:5179"
ORIGIN = Affine(10.0, 0.0, 327_350.0, 0.0, -10.0, 4_178_410.0)
"""10 m pixels, 33 columns left of and 49 rows above a corner where four map cells of 2048 px meet (UTM 52)."""
BANDS = ("red", "green", "blue", "nir")
CHANNELS = (*BANDS, "mask")
ARCHITECTURE, ENCODER = "unet", "tu-mobilenetv3_small_050"
SPLIT = {"block_px": 24, "fraction": 0.4, "seed": 3}
HEAD = 10.0
INFER = {"tile_px": 64, "overlap_px": 32, "tta": "none", "precision": "fp32", "batch": 1}


def image(height: int, width: int, seed: int = 0, low: int = 200, high: int = 9000) -> np.ndarray:
    """Return uint16 (4, y, x): a smooth pattern that no flip maps to itself, with noise; never 0."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(y / (17 + 5 * b) + x / (29 - 3 * b) + seed + b) for b in range(len(BANDS))]
    values = (np.stack(waves) * 0.35 + 0.5) * (high - low) + random.integers(0, 400, (len(BANDS), height, width))
    return np.clip(values, low, high).astype(np.uint16)


def moved(rows: float, cols: float, place: Affine = ORIGIN) -> Affine:
    """Return a transform whose origin lies that many pixels further down and right."""
    x, y = place @ (cols, rows)
    return Affine(place.a, place.b, x, place.d, place.e, y)


def write_tif(path: Path, array: np.ndarray, *, crs: str = UTM52, transform: Affine = ORIGIN, **options: Any) -> str:
    """Write (band, y, x) or (y, x) as a GeoTIFF."""
    array = array[None] if array.ndim == 2 else array
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"driver": "GTiff", "nodata": 0, **options}
    shape = {"count": len(array), "height": array.shape[1], "width": array.shape[2]}
    with rasterio.open(path, "w", dtype=array.dtype, crs=crs, transform=transform, **shape, **options) as data:
        data.write(array)
    return str(path)


@functools.cache
def _files(
    name: str, seed: int, channels: tuple[str, ...], classes: tuple[str, ...], split: tuple[tuple[str, Any], ...]
) -> dict[str, bytes]:
    spec = NetworkSpec(architecture=ARCHITECTURE, encoder=ENCODER, in_channels=len(channels), classes=len(classes))
    offset = [0.0 if c == "mask" else 4500.0 + 100 * i for i, c in enumerate(channels)]
    scale = [1.0 if c == "mask" else 2500.0 + 50 * i for i, c in enumerate(channels)]
    network, provenance = build_with_weights(spec, f"random:{seed}", offset=offset, scale=scale)
    head = network.network.segmentation_head[0]
    head.weight.data.mul_(HEAD)  # untrained logits lie within a hundredth of 0: here they spread over some units
    card = Card(
        name=name,
        architecture=ARCHITECTURE,
        encoder=ENCODER,
        channels=channels,
        sensor="SN10",
        offset=tuple(offset),
        scale=tuple(scale),
        classes=classes,
        metrics={"mIoU": 0.625},
        training_data="none",
        split=dict(split),
        weights=provenance.spec,
    )
    return bundle_files(network, card)


def write_bundle(
    folder: Path,
    seed: int = 1,
    channels: Sequence[str] = CHANNELS,
    classes: Sequence[str] = ("industrial",),
    split: Mapping[str, Any] = SPLIT,
) -> str:
    """Write a tiny untrained bundle and return its folder."""
    files = _files(folder.name, seed, tuple(channels), tuple(classes), tuple(sorted(split.items())))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return str(folder)


@dataclass
class World:
    """A folder with scenes, bundles and a run configuration."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.folder / "out"

    @property
    def config(self) -> str:
        """The run's file, written anew from `settings`."""
        path = self.folder / "map.yaml"
        path.write_text(yaml.safe_dump(self.settings, sort_keys=False))
        return str(path)

    def scene(self, name: str, array: np.ndarray, acquired: str | None = None, **options: Any) -> Path:
        """Write a scene of one file and name it in the configuration."""
        path = Path(write_tif(self.folder / "scenes" / f"{name}.tif", array, **options))
        spec: dict[str, Any] = {"id": name, "files": str(path)}
        self.settings["scenes"].append(spec | ({"acquired": acquired} if acquired else {}))
        return path

    def command(self, *changes: str) -> list[str]:
        """Return the arguments of a job, with overrides."""
        return [self.config, *(word for change in changes for word in ("--set", change))]


def world(folder: Path, models: int = 1, **settings: Any) -> World:
    """Return a world without scenes, with some bundles, on the serial engine."""
    folder.mkdir(parents=True, exist_ok=True)
    bundles = [write_bundle(folder / f"net{i}", seed=i + 1) for i in range(models)]
    base = {
        "out": str(folder / "out"),
        "scenes": [],
        "sensor": "SN10",
        "models": bundles,
        "infer": dict(INFER),
        "engine": {"kind": "serial", "threads_per_worker": 1},
    }
    return World(folder, base | settings)


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every file below a folder with its size and time of change: what "nothing was touched" means.

    Without the lock, the log and the progress, which every command writes.
    """
    return {
        p.relative_to(folder).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not {"lock", "logs", "progress.json"} & set(p.relative_to(folder).parts)
    }


class Stand(ABC):
    """Stands in for an ensemble: what `predict` says of tiles is what it says of windows."""

    batch_halved = False

    @abstractmethod
    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answer as `models.predict.Ensemble.predict` does."""

    def launch(self, imagery: Imagery, corners: Sequence[tuple[int, int]], side_px: int) -> Launched:
        """Answer as `models.predict.Ensemble.launch` does."""
        values = np.concatenate(self.predict(imagery.tiles(corners, side_px).numpy()), axis=1).astype(np.float32)
        windows = torch.empty(values.shape, dtype=torch.float16)
        counts = torch.zeros((len(windows), 2), dtype=torch.int64)
        store_as_float16(torch.from_numpy(values), windows, counts)
        return Launched(windows, counts, Asked("fp32", self.batch_halved, lambda place: False), lambda: 0.0)


class Pointwise(Stand):
    """A network whose answer at a pixel follows from that pixel alone: whatever the cut, its map is known."""

    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answer."""
        return logit_of(tiles)[:, None], spread_of(tiles)[:, None]


def logit_of(pixels: np.ndarray) -> np.ndarray:
    """Return the pointwise network's logit of (..., band, y, x)."""
    return (pixels[..., 0, :, :].astype(np.float32) - np.float32(4500)) / np.float32(1000)


def spread_of(pixels: np.ndarray) -> np.ndarray:
    """Return the pointwise network's spread."""
    return pixels[..., 3, :, :].astype(np.float32) / np.float32(4000)


@contextlib.contextmanager
def answering(ensemble: Any = None) -> Iterator[None]:
    """Let every ensemble that is loaded in this process be another one: the pointwise network by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.predict.load_ensemble", lambda *_, **__: ensemble or Pointwise())
        yield


def inferred_pair(folder: Path) -> Run:
    """Return a run of two inferred scenes; the second has a hole over whole windows."""
    here = world(folder)
    here.scene("a", image(150, 190))
    array = image(64, 256, 2)
    array[:, :, 64:160] = 0
    here.scene("b", array, transform=moved(1000, 2000))
    run = plan_run(load(RunConfig, here.config))
    engine = SerialEngine(1)
    ingest(run, engine)
    with answering():
        infer(run, engine, run.logits(decide(run, engine)), decide(run, engine))
    return run


def opened(run: Run, place: int) -> tuple[SceneStore, LogitStore, LogitPlan]:
    """Return the stores and the plan of a scene of an inferred run."""
    plan = run.logits(decide(run, None))[place]
    return SceneStore(run.url("ingest", plan.source.name)), LogitStore(run.url("infer", plan.name)), plan


@contextlib.contextmanager
def small_cells(side_px: int = 512) -> Iterator[None]:
    """Make map cells smaller in this process, so that small scenes touch many."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("tiler.grids", "tiler.map_store"):
            patch.setattr(f"{module}.CELL_PX", side_px)
        yield


class ShuffledEngine(SerialEngine):
    """An engine of the worst kind that is allowed: any order, and some units run twice."""

    def __init__(self, seed: int) -> None:
        super().__init__(1)
        self._random = random.Random(seed)

    def run(self, factory: Any, keys: Any, stop: Any = None, at_once: int = 2) -> Iterator[Any]:
        """Run in any order; report each key once."""
        mixed = list(keys)
        self._random.shuffle(mixed)
        again = getattr(factory, "stage", factory)()  # without a look for its marker, as two at the same time

        def twice() -> Any:
            for key in mixed:
                if self._random.random() < 0.3:
                    again(key)
                yield key

        yield from super().run(factory, twice(), stop)


def make(world: World, engine: Engine) -> MapStore:
    """Run everything up to the map store, and return that."""
    run = plan_run(load(RunConfig, world.config))
    ingest(run, engine)
    precision = decide(run, engine)
    assert precision is not None
    plans = run.logits(precision)
    infer(run, engine, plans, precision)
    plan = run.mosaic(plans)
    mosaic(run, engine, plans, plan)
    return MapStore(run.url("mosaic", plan.name))


def layers(store: MapStore) -> dict[str, np.ndarray]:
    """Return every layer of a map over its extent, (y, x)."""
    found = {name: store.read(name, store.extent) for name in ("logit", "spread", "count", "latest")}
    return {name: values[0] if values.ndim == 3 else values for name, values in found.items()}


def rounding(values: np.ndarray) -> np.ndarray:
    """Return what float16 storage may cost: max(1e-3, 2 ulp)."""
    return np.maximum(1e-3, 2 * np.spacing(np.abs(np.nan_to_num(values)).astype(np.float16)).astype(np.float32))


def assert_same_map(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Two maps are the same: missing at the same places, logits within rounding, counts and dates equal."""
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}
    for name in ("count", "latest"):
        np.testing.assert_array_equal(found[name], expected[name])
    for name in ("logit", "spread"):
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(expected[name]))
        far = np.abs(found[name] - expected[name]) > rounding(expected[name])
        assert not far.any(), f"{name}: {far.sum()} of {far.size} pixels differ"


def undamaged() -> dict[str, Any]:
    """Return how a TIFF must be written so that `damage` can strike between its first and its last block."""
    return {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


def damage(path: Path) -> bytes:
    """Flip bytes of the compressed pixels of a block in the middle; header, first and last block stay whole.

    Returns:
        The file as it was.
    """
    data = path.read_bytes()
    with rasterio.open(path) as file:
        cols, rows = -(-file.width // 64), -(-file.height // 64)
        assert rows > 2, "there is no middle"
        assert cols > 2, "there is no middle"
        place = file.get_tag_item(f"BLOCK_OFFSET_{cols // 2}_{rows // 2}", "TIFF", bidx=1)
        size = file.get_tag_item(f"BLOCK_SIZE_{cols // 2}_{rows // 2}", "TIFF", bidx=1)
    start, stop = int(place), int(place) + int(size)
    middle = bytes(255 - value for value in data[start + 2 : stop])
    path.write_bytes(data[: start + 2] + middle + data[stop:])
    return data


def repair(path: Path, data: bytes) -> None:
    """Write the whole file again."""
    path.write_bytes(data)
