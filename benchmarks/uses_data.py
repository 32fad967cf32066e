"""The country on which benchmarks/uses.py tries what embeddings are for: dates, a planted change, kinds of ground."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
import shapely
import yaml

from jobs import embed, synthesize
from jobs.config import RunConfig
from jobs.embed_network import load as load_embedder
from jobs.parsing import load
from jobs.plan import Precision
from jobs.run_embeddings import RunEmbeddings, read_run
from tiler.grids import PixelGrid
from tiler.scene_store import SceneStore
from tiler.synthetic import WORLD_CRS, Acquisition, Country, Site, write_scene
from tiler.synthetic.canvas import transformer
from tiler.synthetic.planted import PlantedCountry, planted_site
from tiler.synthetic.sites import BUILT, KIND_NAMES

DATES = tuple(f"{year}-{day}" for year in (2022, 2023) for day in ("03-05", "05-20", "08-10", "10-25"))
NOW = "2024-05-10"
TILE_PX = 128
PLANTED = 6
"""New estates."""
PLANTED_RADIUS_M = 800.0
COLOUR, SPREAD = "mean colour", "colour and spread"
"""Baselines: means of the bands of a window; these and their standard deviations; each in units of all windows."""
Alter = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Takes images float32 (n, band, y, x), valid bool (n, y, x) and rows of the run; returns images and valid."""


@dataclass(frozen=True)
class World:
    """A synthetic country on the disk."""

    folder: Path
    seed: int

    def make(self, bbox: tuple[float, float, float, float], planted: bool = True) -> None:
        """Write its scenes, if they are not there yet, and one of the last date with new estates if wanted."""
        if not (self.folder / "map.yaml").exists():
            words = [str(self.folder), "--seed", str(self.seed), "--no-air", "--bbox", *map(str, bbox)]
            assert synthesize.main([*words, "--dates", ",".join((*DATES, NOW))]) == 0
        if planted and not (self.folder / "planted.json").exists():
            self._plant()

    def _plant(self) -> None:
        """Plant estates where nothing stands, and write the last date again with them."""
        country, grid = Country(self.seed), self.grid
        random, sites = np.random.default_rng(self.seed), []
        while len(sites) < PLANTED:
            row, col = random.uniform(0.05, 0.95, 2) * (grid.height, grid.width)
            x, y = transformer(grid.crs, WORLD_CRS).transform(*grid.xy(np.array(row), np.array(col)))
            site = planted_site(country, float(x), float(y), PLANTED_RADIUS_M)
            near = (x - 3_000, y - 3_000, x + 3_000, y + 3_000)
            free = not country.estates_within(near) and all(np.hypot(s.x_m - x, s.y_m - y) > 5_000 for s in sites)
            if site is not None and site.industrial_km2 > 0.8 and free:
                sites.append(site)
        how = Acquisition("SN10", date.fromisoformat(NOW))
        planted = PlantedCountry(self.seed, sites)
        write_scene(planted, grid, how, self.folder / "planted", f"planted_{NOW}", layers=())
        places = [(s.x_m, s.y_m) for s in sites]
        (self.folder / "planted.json").write_text(json.dumps(places))

    @cached_property
    def grid(self) -> PixelGrid:
        """Of all scenes."""
        with rasterio.open(next(iter(sorted((self.folder / "scenes").glob("*.tif")))), driver="GTiff") as file:
            return PixelGrid(file.crs.to_string(), tuple(file.transform)[:6], file.height, file.width)

    def planted_sites(self) -> list[Site]:
        """Return the new estates."""
        country = Country(self.seed)
        places = json.loads((self.folder / "planted.json").read_text())
        found = [planted_site(country, x, y, PLANTED_RADIUS_M) for x, y in places]
        return [site for site in found if site is not None]

    def embedded(self, model: str, planted: bool = False) -> RunEmbeddings:
        """Return the embeddings of all dates, or of the last date with new estates; they are made if need be."""
        values = yaml.safe_load((self.folder / "map.yaml").read_text())
        values |= {"embed": {"model": model, "tile_px": TILE_PX}, "engine": {"kind": "serial"}}
        path = self.folder / "embedded.yaml"
        if planted:
            files = str(self.folder / "planted" / "scenes" / f"planted_{NOW}.tif")
            values |= {"scenes": [{"id": "planted", "files": files, "acquired": NOW}], "labels": None}
            path = self.folder / "embedded-planted.yaml"
        path.write_text(yaml.safe_dump(values))
        assert embed.main([str(path)]) == 0
        return read_run(load(RunConfig, str(path)))

    def shares(self, sites: Collection[Site]) -> np.ndarray:
        """Return which share of each window the built blocks of each site cover, float64 (windows, sites)."""
        grid = self.grid
        rows, cols = np.mgrid[0 : -(-grid.height // TILE_PX), 0 : -(-grid.width // TILE_PX)].reshape(2, -1)
        y0, x0 = (np.minimum(n * TILE_PX, length - TILE_PX) for n, length in ((rows, grid.height), (cols, grid.width)))
        to_scene = transformer(WORLD_CRS, grid.crs)
        (ax, ay), (bx, by) = grid.xy(y0, x0), grid.xy(y0 + TILE_PX, x0 + TILE_PX)
        windows = shapely.box(ax, by, bx, ay)
        found = np.zeros((len(windows), len(sites)))
        for number, site in enumerate(sites):
            shape = shapely.transform(blocks_of(site), to_scene.transform, interleaved=False)
            found[:, number] = shapely.area(shapely.intersection(windows, shape)) / shapely.area(windows)
        return found

    def sites(self, *kinds: str) -> list[Site]:
        """Return the sites of some kinds on its ground."""
        grid = self.grid
        corners = grid.xy(np.array([0.0, grid.height, 0, grid.height]), np.array([0.0, 0, grid.width, grid.width]))
        x, y = transformer(grid.crs, WORLD_CRS).transform(*corners)
        return Country(self.seed).sites_within((x.min(), y.min(), x.max(), y.max()), kinds or KIND_NAMES)

    def mask(self, kind: str) -> np.ndarray:
        """Return the pixels of the built blocks of a kind, bool (y, x)."""
        to_scene = transformer(WORLD_CRS, self.grid.crs)
        shapes = [shapely.transform(blocks_of(s), to_scene.transform, interleaved=False) for s in self.sites(kind)]
        shape = self.grid.height, self.grid.width
        if not shapes:
            return np.zeros(shape, bool)
        return rasterio.features.rasterize(shapes, shape, transform=self.grid.affine).astype(bool)


def blocks_of(site: Site) -> shapely.Geometry:
    """Return the built blocks of a site of any kind, in world coordinates."""
    rows, cols = np.nonzero(site.plan == BUILT)
    ring = [site.corners(rows + dy, cols + dx) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]
    corners = np.stack([np.stack(c, axis=-1) for c in ring], axis=1)
    return shapely.union_all([shapely.Polygon(np.round(c, 3)) for c in corners], grid_size=1e-3)


@dataclass(frozen=True)
class Embedding:
    """A network, or a baseline without one, that gives windows vectors."""

    name: str
    model: str = ""
    """Folder of a bundle; empty for baselines."""

    def of(self, world: World, frozen: str, planted: bool = False) -> RunEmbeddings:
        """Return the vectors of a world; baselines borrow their windows from the run of another embedder."""
        run = world.embedded(self.model or frozen, planted)
        if self.model:
            return run
        kept = world.folder / f"colours{'-planted' * planted}.npy"
        if not kept.exists():
            np.save(kept, self.altered(run, np.arange(len(run)), _as_is).vectors)
        return replace(run, vectors=np.load(kept)[:, : 4 if self.name == COLOUR else 8])

    def altered(self, run: RunEmbeddings, rows: np.ndarray, alter: Alter, batch: int = 64) -> RunEmbeddings:
        """Return a run of which some rows were seen otherwise."""
        vectors, seen = run.vectors.astype(np.float32), run.seen.copy()
        network = load_embedder(self.model, Precision("cpu", "fp32", batch))[1] if self.model else None
        if network is None:
            vectors = np.zeros((len(run), 8), np.float32)
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            cut = [window_of(run, row) for row in some.tolist()]
            image, valid = alter(np.stack([one[0] for one in cut]), np.stack([one[1] for one in cut]), some)
            seen[some] = valid.mean((1, 2)) >= 0.1
            vectors[some] = _colours(image, valid) if network is None else _network_vectors(network, image, valid)
        return replace(run, vectors=vectors, seen=seen)


@lru_cache(maxsize=1)
def _whole(url: str) -> tuple[np.ndarray, np.ndarray]:
    scene = SceneStore(url)
    return scene.read("image", scene.grid.box, 0), scene.read("valid", scene.grid.box, False)


def window_of(run: RunEmbeddings, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Return image float32 (band, y, x) and valid bool (y, x) of an item."""
    image, valid = _whole(run.ingested[run.source[row]])
    down, along = run.box(row).slices
    return image[:, down, along].astype(np.float32), valid[down, along]


def _as_is(image: np.ndarray, valid: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return image, valid


def _network_vectors(network: object, image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        found = network(torch.from_numpy(image), torch.from_numpy(valid)[:, None]).numpy()  # type: ignore[operator]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _colours(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation of bands, thousands of digital numbers, float32 (n, 8)."""
    weight = valid[:, None].astype(np.float64)
    count = np.maximum(weight.sum((2, 3)), 1)
    mean = (image * weight).sum((2, 3)) / count
    spread = np.sqrt((((image - mean[:, :, None, None]) ** 2) * weight).sum((2, 3)) / count)
    return (np.concatenate([mean, spread], axis=1) / 1000).astype(np.float32)


def standardised(vectors: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return colours in units of their spread over some windows, of length 1, for cosines."""
    units = (vectors - like.mean(0)) / like.std(0)
    return units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-9)
