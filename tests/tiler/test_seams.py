"""The seam index is 1 on ground without borders, grows with what is planted there, and knows where borders lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.grids import CELL_PX, Box, MapGrid, PixelGrid
from tiler.lattice import Lattice
from tiler.seams import BLOCK_PX, KINDS, SeamScene, seam_blocks, seam_ratios, steps

MAP = MapGrid("EPSG:32652", (10.0, 10.0), (0.0, 0.0))
ORIGIN = Box(-400_000, 30_000, -400_000 + 700, 30_000 + 900)


def scene(box: Box, tile_px: int = 256, overlap_px: int = 64, crs: str = MAP.crs) -> SeamScene:
    """A scene on the map's own pixels."""
    lattice = Lattice(box.height, box.width, tile_px, overlap_px)
    (a, b, c, d, e, f) = MAP.pixels.transform
    grid = PixelGrid(crs, (a, b, c + a * box.x0, d, e, f + e * box.y0), box.height, box.width)
    return SeamScene(grid, lattice)


def noise(box: Box, classes: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(classes, box.height, box.width)).astype(np.float32)


def edges(lattice: Lattice) -> tuple[set[int], set[int]]:
    """Rows and columns before which a window begins or ends."""
    boxes = [lattice.window(row, col) for row in range(lattice.rows) for col in range(lattice.cols)]
    return {y for b in boxes for y in (b.y0, b.y1)}, {x for b in boxes for x in (b.x0, b.x1)}


@given(st.integers(0, 2**31), st.booleans(), st.integers(1, 3))
def test_every_step_counts_once_and_by_the_borders_of_a_plain_loop(seed, holes, classes):
    random = np.random.default_rng(seed)
    whole = Box(ORIGIN.y0, ORIGIN.x0, ORIGIN.y0 + 300, ORIGIN.x0 + 420)
    one = scene(whole, 128, 32)
    y0, x0 = whole.y0 + int(random.integers(0, 200)), whole.x0 + int(random.integers(0, 300))
    box = Box(y0, x0, y0 + 37, x0 + 53).clip(whole)
    logits = noise(box, classes, seed)
    if holes:
        logits[:, random.random((box.height, box.width)) < 0.2] = np.nan
    rows, cols = edges(one.lattice)
    expected = np.zeros((3, 2))
    for y in range(box.height):
        for x in range(box.width):
            for dy, dx in ((0, 1), (1, 0)):
                if y + dy >= box.height or x + dx >= box.width:
                    continue
                step = np.abs(logits[:, y, x] - logits[:, y + dy, x + dx]).mean()
                if np.isnan(step):
                    continue
                there = (box.y0 + y + dy) if dy else (box.x0 + x + dx)
                window = there - (whole.y0 if dy else whole.x0) in (rows if dy else cols)
                kind = 0 if window else 1 if there % CELL_PX == 0 else 2
                expected[kind] += step, 1
    assert steps(logits, box, [one], MAP.pixels) == pytest.approx(expected, rel=1e-5)


def test_noise_has_no_seams_and_windows_of_other_levels_have():
    one = scene(ORIGIN)
    logits = noise(ORIGIN)
    plain = seam_ratios(steps(logits, ORIGIN, [one], MAP.pixels))
    assert plain["window"] == pytest.approx(1, abs=0.05)
    for start in sorted(edges(one.lattice)[1])[1:-1]:
        logits[:, :, start:] += 1.0
    assert seam_ratios(steps(logits, ORIGIN, [one], MAP.pixels))["window"] > 1.1


def test_cells_meet_where_their_numbers_change():
    box = Box(3 * CELL_PX - 20, 5 * CELL_PX - 31, 3 * CELL_PX + 33, 5 * CELL_PX + 40)
    logits = np.zeros((2, box.height, box.width), np.float32)
    logits[:, 20:] += 2.0
    found = steps(logits, box, [], MAP.pixels)
    assert found[KINDS.index("cell")].tolist() == [2.0 * box.width, box.width + box.height]
    assert found[KINDS.index("elsewhere"), 0] == 0
    assert found[KINDS.index("window")].tolist() == [0, 0]


def test_a_scene_of_another_zone_has_its_windows_where_they_are_warped_to():
    here = PixelGrid("EPSG:32652", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_100_000.0), 600, 800)
    lattice = Lattice(700, 900, 256, 64)
    far = SeamScene(PixelGrid("EPSG:32651", (10.0, 0.0, 832_000.0, 0.0, -10.0, 4_104_000.0), 700, 900), lattice)
    box = here.box
    found = steps(noise(box), box, [far], here)
    assert 0 < found[0, 1] < 0.05 * found[2, 1]
    away = SeamScene(PixelGrid("EPSG:32651", (10.0, 0.0, 300_000.0, 0.0, -10.0, 4_100_000.0), 700, 900), lattice)
    assert steps(noise(box), box, [away], here)[0, 1] == 0


def test_missing_everywhere_is_no_index():
    logits = np.full((1, ORIGIN.height, ORIGIN.width), np.nan, np.float32)
    found = seam_ratios(steps(logits, ORIGIN, [scene(ORIGIN)], MAP.pixels))
    assert all(np.isnan(value) for value in found.values())


@given(st.integers(-5000, 5000), st.integers(-5000, 5000), st.integers(1, 9000), st.integers(1, 9000))
def test_blocks_lie_inside_overlap_nowhere_and_cover_a_small_map(y0, x0, height, width):
    extent = Box(y0, x0, y0 + height, x0 + width)
    blocks = seam_blocks(extent, 10**6)
    assert sum(block.height * block.width for block in blocks) == height * width
    assert all(block.clip(extent) == block and max(block.height, block.width) <= BLOCK_PX for block in blocks)
    few = seam_blocks(extent, 3)
    assert len(few) <= 6
    assert set(few) <= set(blocks)
    crossing = [b for b in few if any(v % CELL_PX == 0 for v in (*range(b.y0 + 1, b.y1), *range(b.x0 + 1, b.x1)))]
    every = [b for b in blocks if any(v % CELL_PX == 0 for v in (*range(b.y0 + 1, b.y1), *range(b.x0 + 1, b.x1)))]
    assert len(crossing) == min(3, len(every))
