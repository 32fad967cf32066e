"""The mosaic equals numpy over whole scenes wherever it lies: zone borders, the antimeridian, the far north."""

import tempfile
from pathlib import Path

import numpy as np
import pyproj
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import plan_run
from tests.jobs.worlds import answering, image, logit_of, make, rounding, small_cells, world
from tiler.grids import Box, PixelGrid
from tiler.map_store import MapStore

PLACES = {
    # degrees east of a border between zones, and limits of latitude
    "two zones": (126, -75, 75),
    "antimeridian": (180, -75, 75),
    "far north": (18, 60, 83),
    "antimeridian in the far north": (180, 60, 83),
}
NATIVE_M = 10.0
TOLERANCE_PX = 0.02
"""Of interpolated coordinates: twice what the warper promises."""


@st.composite
def runs(draw, border: float, south: float, north: float):
    """A border, a latitude, and for each of two or three scenes its side of the border, its offset and its size."""
    sides = draw(st.lists(st.booleans(), min_size=2, max_size=3).filter(lambda s: len(set(s)) == 2))
    size = st.integers(40, 90)
    return (
        border,
        draw(st.floats(south, north)),
        [(east, draw(size), draw(size), draw(st.integers(5, 35)), draw(st.integers(-20, 20))) for east in sides],
        draw(st.sampled_from([9.0, 10.0, 12.0])),
        draw(st.sampled_from(["centred", "degrees"])),
    )


def utm(border: float, latitude: float, east: bool) -> str:
    zone = (round(border / 6) + 30 + east - 1) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def scene_of(border: float, latitude: float, east: bool, height: int, width: int, over: int, down: int) -> PixelGrid:
    """A scene in its zone that reaches some pixels over the border."""
    crs = utm(border, latitude, east)
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(border, latitude)
    left = x - over * NATIVE_M if east else x - (width - over) * NATIVE_M
    return PixelGrid(crs, (NATIVE_M, 0.0, left, 0.0, -NATIVE_M, y - down * NATIVE_M), height, width)


def pixels(grid: PixelGrid, seed: int) -> np.ndarray:
    """Smooth waves with a hole and a missing corner: what is between two pixels is known to within a little."""
    array = image(grid.height, grid.width, seed)
    y, x = np.mgrid[0 : grid.height, 0 : grid.width]
    array[0] = np.rint(4500 + 1500 * np.sin(y / 19 + seed) * np.cos(x / 23 - seed))
    array[:, grid.height // 3 : grid.height // 2, grid.width // 4 : grid.width // 2] = 0
    array[:, : grid.height // 9, : grid.width // 5] = 0
    return array


def sampled(grid: PixelGrid, array: np.ndarray, map_grid: PixelGrid) -> tuple[np.ndarray, np.ndarray]:
    """Logit and valid share at every pixel of the map, bilinear in float64, every coordinate by pyproj alone."""
    rows, cols = np.mgrid[0 : map_grid.height, 0 : map_grid.width] + 0.5
    change = pyproj.Transformer.from_crs(map_grid.crs, grid.crs, always_xy=True)
    r, c = (v - 0.5 for v in grid.rowcol(*change.transform(*map_grid.xy(rows, cols))))
    with np.errstate(invalid="ignore"):  # what lies beyond the scene, or has no coordinates in its zone, is nothing
        r, c = (
            np.nan_to_num(np.clip(v, -1.5, side + 0.5), nan=-1.5) for v, side in ((r, grid.height), (c, grid.width))
        )
    valid, values = np.pad((array != 0).all(axis=0), 2).astype(float), np.pad(logit_of(array).astype(float), 2)
    r, c = r + 2, c + 2
    y, x = np.floor(r).astype(int), np.floor(c).astype(int)
    sums, share = np.zeros(r.shape), np.zeros(r.shape)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - (r - y)) * np.abs(1 - dx - (c - x)) * valid[y + dy, x + dx]
            sums, share = sums + weight * values[y + dy, x + dx], share + weight
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / share, share


def parts(extent: Box) -> list[Box]:
    """The map, or of one that goes around the world its two ends: what lies between is nothing."""
    if extent.width < 3000:
        return [extent]
    ends = (extent.x0, extent.x0 + 600), (extent.x1 - 600, extent.x1)
    return [Box(extent.y0, left, extent.y1, right) for left, right in ends]


def check(border: float, latitude: float, chosen: list, resolution_m: float, kind: str) -> None:
    if kind == "centred":
        crs = f"+proj=laea +lat_0={latitude:.3f} +lon_0={border} +datum=WGS84"
        grid = {"crs": crs, "resolution_m": resolution_m}
    else:
        grid = {"crs": "EPSG:4326", "resolution_deg": resolution_m / 111_320}
    with tempfile.TemporaryDirectory() as folder, answering(), small_cells():
        here = world(Path(folder), grid=grid)
        made = {}
        for place, one in enumerate(chosen):
            at = scene_of(border, latitude, *one)
            made[f"s{place}"] = at, pixels(at, place)
            here.scene(f"s{place}", made[f"s{place}"][1], "2024-03-01", crs=at.crs, transform=at.affine)
        store: MapStore = make(here, SerialEngine(1))
        assert [p.scene.id for p in plan_run(load(RunConfig, here.config)).scenes] == list(made)
        counted = 0
        for part in parts(store.extent):
            found = {name: store.read(name, part) for name in ("logit", "count")}
            answers = [sampled(at, array, store.grid.grid_of(part)) for at, array in made.values()]
            share = np.array([s for _, s in answers])
            unsure = (np.abs(share - 0.5) < 0.05).any(axis=0)
            seen = share >= 0.5
            np.testing.assert_array_equal(found["count"][~unsure], seen.sum(axis=0)[~unsure])
            some = seen.any(axis=0) & ~unsure
            values = np.where(seen, [v for v, _ in answers], np.nan)
            expected = np.nanmean(values[:, some], axis=0)
            steepest = 1.5 / 19 + 1.5 / 23  # logits a pixel
            error = np.abs(found["logit"][0][some] - expected)
            assert error.max(initial=0) <= (rounding(np.full(1, 3.0)) + TOLERANCE_PX * steepest)[0]
            counted += int(seen.sum(axis=0)[some].sum())
        pixel_px = NATIVE_M**2 / store.grid.pixels.pixel_area_m2((store.extent.y0 + store.extent.y1) / 2)
        valid = sum(int((array != 0).all(axis=0).sum()) for _, array in made.values())
        assert counted == pytest.approx(valid * pixel_px, rel=0.15)  # nothing is lost, nothing is there twice


@pytest.mark.parametrize("place", ["two zones", "antimeridian in the far north"])
def test_the_mosaic_is_that_of_numpy(place):
    @given(runs(*PLACES[place]))
    @settings(max_examples=2, deadline=None, phases=[Phase.generate])
    def equal(run):
        check(*run)

    equal()


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_the_mosaic_is_that_of_numpy_again_and_again(place):
    @given(runs(*PLACES[place]))
    @settings(max_examples=40, deadline=None)
    def equal(run):
        check(*run)

    equal()
