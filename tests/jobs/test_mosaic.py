"""Mosaic: no seams, no halo, the right place and the same map however the work was cut."""

import tempfile
from pathlib import Path

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.engine import SerialEngine
from jobs.config import RunConfig
from jobs.mosaic import estimate, main, plan_mosaic
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.runner import markers_of
from tests.jobs.worlds import (
    INFER,
    KOREA,
    ORIGIN,
    UTM51,
    UTM52,
    ShuffledEngine,
    Stand,
    World,
    answering,
    assert_same_map,
    image,
    layers,
    logit_of,
    make,
    moved,
    rounding,
    small_cells,
    spread_of,
    world,
)
from tiler.fuse import NO_DATE
from tiler.grids import Box, PixelGrid
from tiler.map_store import MapStore

SIZES = st.tuples(st.integers(40, 170), st.integers(40, 170)).filter(lambda size: size[0] != size[1])
OVERLAPS = st.sampled_from([(64, 0), (64, 32), (96, 32), (32, 0), (128, 64)])


def holed(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A scene with a hole inside, a missing corner and single missing pixels."""
    array = image(height, width, seed)
    array[:, height // 3 : height // 2, width // 4 : width // 2] = 0
    array[:, : height // 9, : width // 5] = 0
    array[2, ::37, ::41] = 0  # one band is enough
    return array


def expected_layers(array: np.ndarray) -> dict[str, np.ndarray]:
    missing = (array == 0).any(axis=0)
    return {
        "logit": np.where(missing, np.float32("nan"), logit_of(array)),
        "spread": np.where(missing, np.float32("nan"), spread_of(array)),
        "count": (~missing).astype(np.uint16),
        "latest": np.where(missing, NO_DATE, np.int32(19_000)),
    }


@given(SIZES, OVERLAPS, st.integers(0, 2**16))
@settings(max_examples=8, deadline=None)
def test_a_pointwise_network_leaves_no_seam_and_a_hole_leaves_no_halo(size, windows, seed):
    array = holed(*size, seed % 5)
    with tempfile.TemporaryDirectory() as folder, answering(), small_cells():
        here = world(Path(folder), infer=INFER | {"tile_px": windows[0], "overlap_px": windows[1]})
        here.scene("only", array, "2022-01-08")
        assert_same_map(layers(make(here, ShuffledEngine(seed))), expected_layers(array))


@given(st.data())
@settings(max_examples=4, deadline=None)
def test_the_map_does_not_depend_on_the_order_of_the_work(data):
    """Bit by bit, for every order of the keys, and where units run twice."""
    sizes, overlap = data.draw(st.lists(SIZES, min_size=2, max_size=2)), data.draw(OVERLAPS)
    apart = data.draw(st.tuples(st.integers(-90, 90), st.integers(-90, 90)))
    with tempfile.TemporaryDirectory() as folder, answering(), small_cells():
        maps = []
        for number, engine in enumerate((SerialEngine(1), ShuffledEngine(data.draw(st.integers(0, 99))))):
            here = world(Path(folder) / str(number), infer=INFER | dict(zip(INFER, overlap, strict=False)))
            here.settings["grid"] = {"crs": KOREA, "resolution_m": 17}
            for place, size in list(enumerate(sizes))[:: 1 - 2 * number]:
                where = moved(apart[0] * place, apart[1] * place)
                here.scene(f"s{place}", holed(*size, place), f"2022-01-0{place + 1}", transform=where)
            maps.append(layers(make(here, engine)))
    for name, values in maps[0].items():
        np.testing.assert_array_equal(maps[1][name], values)
    assert maps[0]["count"].max() >= 1


class Constant(Stand):
    """A network that answers one number for a whole window, and another one for the next."""

    def __init__(self, top: float) -> None:
        self.random, self.top = np.random.default_rng(5), top

    def predict(self, tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = np.full((len(tiles), 1, *tiles.shape[2:]), self.random.choice([-self.top, self.top]), np.float32)
        return answer, np.zeros_like(answer)


@pytest.mark.parametrize("overlap", [32, 64])
def test_windows_that_disagree_meet_in_a_ramp(tmp_path, overlap):
    here = world(tmp_path, infer=INFER | {"tile_px": 128, "overlap_px": overlap})
    here.scene("only", image(517, 389))
    with answering(Constant(4.0)), small_cells():
        logit = layers(make(here, SerialEngine(1)))["logit"]
    assert logit.min() < -3.9
    assert logit.max() > 3.9
    for axis in (0, 1):
        assert np.abs(np.diff(logit, axis=axis)).max() <= 2 * 8.0 / overlap


def test_a_lone_pixel_keeps_its_neighbours(tmp_path):
    """What blending and an auto grid must never do: shift by a pixel, or smear one."""
    array = np.full((4, 75, 131), 4500, np.uint16)
    array[0, 33, 66] = 9500
    here = world(tmp_path)
    here.scene("only", array)
    with answering(), small_cells():
        store = make(here, SerialEngine(1))
    logit = layers(store)["logit"]
    assert np.argwhere(logit != 0).tolist() == [[33, 66]]
    assert logit[33, 66] == 5.0
    assert store.grid.grid_of(store.extent).transform == tuple(ORIGIN)[:6]


def plane(grid: PixelGrid) -> np.ndarray:
    """A scene whose red band says where it is: a plane over Korea's grid, so that its logit is known anywhere."""
    rows, cols = np.mgrid[0 : grid.height, 0 : grid.width] + 0.5
    x, y = pyproj.Transformer.from_crs(grid.crs, KOREA, always_xy=True).transform(*grid.xy(rows, cols))
    array = image(grid.height, grid.width)
    array[0] = np.rint(place_number(x, y))
    return array


def place_number(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 4500 + (x - ZONE_BORDER[0]) * 0.4 + (y - ZONE_BORDER[1]) * 0.3


ZONE_BORDER = pyproj.Transformer.from_crs("EPSG:4326", KOREA, always_xy=True).transform(126.0, 37.5)


def near_the_border(crs: str, rows: float, cols: float, height: int, width: int) -> PixelGrid:
    """A grid of 10 m pixels whose upper left lies that many pixels below and right of 126 E 37.5 N, in its zone."""
    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(126.0, 37.5)
    return PixelGrid(crs, (10.0, 0.0, x + 10 * cols, 0.0, -10.0, y - 10 * rows), height, width)


@pytest.fixture(scope="module")
def two_zones(tmp_path_factory) -> World:
    here = world(tmp_path_factory.mktemp("zones"), grid={"crs": KOREA, "resolution_m": 10})
    west = near_the_border(UTM51, -70, -150, 160, 190)
    east = near_the_border(UTM52, -40, -45, 130, 171)
    for name, grid, day in (("west", west, "2024-03-01"), ("east", east, "2023-05-06")):
        array = plane(grid)
        array[:, 60:85, 140 if name == "west" else 20 :] = 0 if name == "west" else array[:, 60:85, 20:]
        here.scene(name, array, day, crs=grid.crs, transform=grid.affine)
    with answering():
        make(here, SerialEngine(1))
    return here


def opened(here: World) -> MapStore:
    return MapStore(str(next((here.out / "mosaic").iterdir())))


def test_two_utm_zones_meet_in_one_map(two_zones):
    store = opened(two_zones)
    found, extent = layers(store), store.extent
    rows, cols = np.mgrid[0 : extent.height, 0 : extent.width] + 0.5
    x, y = store.grid.grid_of(extent).xy(rows, cols)
    seen = found["count"] > 0
    assert 0.3 < seen.mean() < 0.95
    expected = ((place_number(x, y) - 4500) / 1000).astype(np.float32)
    error = found["logit"][seen] - expected[seen]  # of the red band's rounding and of float16
    inside = (covered(two_zones) >= 0)[seen]
    assert (np.abs(error) <= 5e-4 + rounding(expected[seen]))[inside].all()
    assert np.abs(error).max() < 5e-4 + 1e-3 + 3.5e-3  # beside a hole half a pixel's step may be missing on one side
    assert abs(error.mean()) < 1e-4  # a pixel's step is 4e-3: a fortieth of a pixel would show


def covered(here: World) -> np.ndarray:
    """How many scenes hold a valid pixel at the centre of each map pixel, by pyproj alone; -1 too close to a border."""
    run, store = plan_run(load(RunConfig, here.config)), opened(here)
    rows, cols = np.mgrid[0 : store.extent.height, 0 : store.extent.width] + 0.5
    x, y = store.grid.grid_of(store.extent).xy(rows, cols)
    total, unsure = np.zeros(rows.shape, int), np.zeros(rows.shape, bool)
    for plan in run.scenes:
        grid = plan.scene.grid
        _, valid = plan.scene.read(grid.box)
        known = np.pad(valid, 3)
        r, c = grid.rowcol(*pyproj.Transformer.from_crs(KOREA, grid.crs, always_xy=True).transform(x, y))
        r = np.clip(np.floor(r).astype(int), -2, grid.height + 1) + 3
        c = np.clip(np.floor(c).astype(int), -2, grid.width + 1) + 3
        around = np.stack([known[r + dy, c + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
        unsure |= around.any(axis=0) & ~around.all(axis=0)
        total += known[r, c]
    return np.where(unsure, -1, total)


def test_count_says_how_many_scenes_saw_a_pixel_and_latest_which(two_zones):
    found, expected = layers(opened(two_zones)), covered(two_zones)
    sure = expected >= 0
    assert set(np.unique(expected[sure])) == {0, 1, 2}
    np.testing.assert_array_equal(found["count"][sure], expected[sure])
    days = [int(np.datetime64(day, "D").astype(int)) for day in ("2023-05-06", "2024-03-01")]
    assert set(np.unique(found["latest"])) == {int(NO_DATE), *days}
    assert (found["latest"][found["count"] == 2] == days[1]).all()
    assert ((found["latest"] == NO_DATE) == (found["count"] == 0)).all()


def test_no_scene_no_data(two_zones):
    found = layers(opened(two_zones))
    nobody = found["count"] == 0
    assert nobody.any()
    for name in ("logit", "spread"):
        np.testing.assert_array_equal(np.isnan(found[name]), nobody)


def test_scenes_of_one_place_are_averaged_where_both_saw_it(tmp_path):
    """The auto grid copies pixels, so the mean over scenes is exact (up to float16)."""
    one, two = holed(90, 140, 1), holed(110, 77, 2)
    here = world(tmp_path)
    here.scene("a", one, "2020-02-03", transform=moved(0, 0))
    here.scene("b", two, None, transform=moved(-25, 31))
    with answering(), small_cells():
        store = make(here, SerialEngine(1))
    sums, count = np.zeros((115, 140), np.float32), np.zeros((115, 140), int)
    for array, (row, col) in ((one, (25, 0)), (two, (0, 31))):
        seen = ~(array == 0).any(axis=0)
        at = Box(row, col, row + array.shape[1], col + array.shape[2]).slices
        sums[at] += logit_of(array) * seen
        count[at] += seen
    found = layers(store)
    np.testing.assert_array_equal(found["count"], count)
    seen = count > 0
    mean = sums[seen] / count[seen]
    assert (np.abs(found["logit"][seen] - mean) <= rounding(np.full_like(mean, 5))).all()
    assert (found["latest"][:25] == NO_DATE).all()  # b has no date


def test_an_unfinished_scene_is_refused(tmp_path, capsys):
    here = world(tmp_path)
    here.scene("only", image(50, 70))
    assert main(here.command()) == 2
    assert "'only'" in capsys.readouterr().err
    assert not here.out.exists()


def test_the_job_makes_the_cells_and_says_where(tmp_path, capsys):
    here = world(tmp_path)
    here.scene("only", image(50, 70))
    with answering(), small_cells():
        store = make(here, SerialEngine(1))
        before = layers(store)
        # another grid is another map: the logits are there, so the job has just its cells to make
        assert main(here.command("grid={crs: EPSG:5179, resolution_m: 20}")) == 0
    assert "1 of 1 cells" in capsys.readouterr().out
    assert len(list((here.out / "mosaic").iterdir())) == 2
    np.testing.assert_array_equal(layers(store)["logit"], before["logit"])


def test_the_estimate_counts_cells_and_knows_what_is_done(tmp_path):
    here = world(tmp_path)
    here.scene("only", image(130, 170))  # over the corner of four cells
    with answering():
        make(here, SerialEngine(1))
    planned = plan_mosaic(load(RunConfig, here.config))
    assert (planned.estimates()[0].units, planned.estimates()[0].done) == (4, 4)
    assert estimate(planned.planned).write_bytes == 0
    coarse = plan_mosaic(load(RunConfig, here.config, ["grid={crs: EPSG:32652, resolution_m: 30}"]))
    (found,) = coarse.estimates()
    assert found.done == 0
    assert found.write_bytes == coarse.map.extent.height * coarse.map.extent.width * (4 + 4 + 2 + 4)
    markers, rows = markers_of(planned.planned.storage, "mosaic"), planned.map.tasks.by_row()
    assert set().union(*(markers.done(row.folder) for row in rows)) == {task.unit for task in planned.map.tasks}
