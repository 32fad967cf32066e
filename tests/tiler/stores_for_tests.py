"""Small scene stores for the tests, made from files as Ingest makes them."""

import numpy as np

from tests.tiler.rasters_for_tests import TRANSFORM, UTM52, write_tif
from tiler.coarse_store import fill_coarse
from tiler.labels import Labels, LabelSpec, open_labels
from tiler.scene_store import SceneStore, create_scene_store, fill_shard
from tiler.scenes import Scene, SceneSpec, open_scene
from tiler.sensors import Sensor
from tiler.shards import shards_of
from tiler.stores import open_group

TWO = Sensor(name="TWO", bands=("red", "nir"), valid_min=0, valid_max=10_000, nodata=0, resolution_m=10)


def scene_from(folder, name: str, image: np.ndarray, transform=TRANSFORM, crs=UTM52) -> Scene:
    path = write_tif(folder / f"{name}.tif", image, transform=transform, crs=crs)
    return open_scene(SceneSpec(id=name, files=path), TWO)


def labels_from(folder, codes: np.ndarray, transform=TRANSFORM, ignore=(), **options) -> Labels:
    """Labels with 10 for class 1 and 20 for class 2."""
    path = write_tif(folder / "label.tif", codes, transform=transform, **options)
    return open_labels(LabelSpec(files=path, codes={10: 1, 20: 2}, ignore=ignore))


def ingest(url: str, scene: Scene, labels: Labels | None = None, order=1) -> SceneStore:
    """Fill a scene store shard by shard, forwards or backwards, then its coarse modalities."""
    create_scene_store(url, scene, labelled=labels is not None)
    for shard in list(shards_of(scene.id, scene.grid))[::order]:
        fill_shard(open_group(url), scene, labels, shard)
    fill_coarse(open_group(url), scene.coarse)
    SceneStore(url).summarise()
    return SceneStore(url)
