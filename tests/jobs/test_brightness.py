"""Steady pixels of runs: every n-th pixel of scenes that begin elsewhere, passes, and what cannot be compared."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from jobs import embed
from jobs.brightness import Aligned, offset_px, passes, steady_pixels
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.run_embeddings import RunEmbeddings, read_run
from models.brightness import gains
from tests.jobs.grounds import COLS, ROWS, embedded, ground, rerun
from tests.jobs.vectors import TILE_PX
from tests.jobs.worlds import BANDS, moved
from tiler import quicklook
from tiler.grids import PixelGrid
from tiler.scene_store import SceneStore

GRID = PixelGrid("EPSG:32652", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0), 60, 90)


def placed(east_px: float, south_px: float, **changes) -> PixelGrid:
    moved_by = (10.0, 0.0, 500_000.0 + 10 * east_px, 0.0, -10.0, 4_000_000.0 - 10 * south_px)
    return replace(GRID, **{"transform": moved_by, **changes})


def test_offsets_are_those_of_the_same_ground():
    assert offset_px(GRID, placed(0, 0)) == (0, 0)
    assert offset_px(GRID, placed(7, -3)) == (3, -7)
    assert offset_px(GRID, placed(0.5, 0)) is None
    assert offset_px(GRID, placed(0, 0, crs="EPSG:32651")) is None
    assert offset_px(GRID, placed(0, 0, transform=(20.0, 0.0, 500_000.0, 0.0, -20.0, 4_000_000.0))) is None


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def runs(tmp_path_factory, monkeypatch_module) -> tuple[RunEmbeddings, RunEmbeddings]:
    """A run, and a reference of four passes, the last of two scenes; the third begins 2 rows, 3 columns further inside.

    Quick-looks keep every second pixel: those of the third scene are others.
    """
    folder = tmp_path_factory.mktemp("brightness")
    monkeypatch_module.setattr(quicklook, "QUICKLOOK_PX", 300)
    dates = {f"2024-0{month}-01": ground(1, month, 0.005) for month in (1, 2, 4)}
    several = embedded(folder / "several", dates)
    several.scene("2024-03-01", ground(1, 3, 0.005)[:, 2:, 3:], transform=moved(2, 3), acquired="2024-03-01")
    several.scene("2024-04-01b", ground(1, 5, 0.005), acquired="2024-04-01T02:00")
    assert embed.main([several.config]) == 0
    now = ground(1, 9, 0.005)
    now[:, :, 4 * TILE_PX :] = now[:, :, 4 * TILE_PX :] // 2
    now[:, : 2 * TILE_PX, :100] = 0
    return tuple(
        read_run(load(RunConfig, one.config)) for one in (rerun(several, folder / "now", {"2024-07-01": now}), several)
    )


def test_passes_are_hours_apart(runs):
    run, reference = runs
    assert list(passes(run).values()) == [[0]]
    assert {date[:10]: len(group) for date, group in passes(reference).items()} == {
        "2024-01-01": 1, "2024-02-01": 1, "2024-03-01": 1, "2024-04-01": 2
    }  # fmt: skip


@pytest.mark.parametrize("date", ["2024-02-01", "2024-03-01"])
@pytest.mark.parametrize("step", [1, 2, 8])
@pytest.mark.parametrize(("rows", "cols"), [(range(0, 7), range(3, 30)), (range(30, 90), range(0, 300))])
def test_samples_are_pixels_of_the_scene_wherever_it_begins(runs, date, step, rows, cols):
    run, reference = runs
    (other,) = [s for s in map(SceneStore, reference.ingested) if s.id == date]
    assert quicklook.quicklook_step(other.grid) == 2
    offset = offset_px(SceneStore(run.ingested[0]).grid, other.grid)
    found = Aligned(other, *offset).samples(BANDS[1:], step, rows, cols)
    assert found.shape == (len(BANDS) - 1, len(rows), len(cols))
    image = other.read("image", other.grid.box, 0)[1:].astype(float)
    seen = other.read("valid", other.grid.box, False)
    for i, row in enumerate(rows):
        for j, col in list(enumerate(cols))[::5]:
            y, x = row * step + offset[0], col * step + offset[1]
            inside = 0 <= y < seen.shape[0] and 0 <= x < seen.shape[1] and seen[y, x]
            expected = np.log(image[:, y, x]) if inside else np.full(len(image), np.nan)
            np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-6)


def test_gains_are_those_of_the_regions(runs):
    run, reference = runs
    region = (run.lonlat[:, 0] > np.sort(run.lonlat[:COLS, 0])[3] + 1e-4).astype(int)
    (steady,) = steady_pixels(run, reference, region)
    assert (steady.bands, steady.date) == (BANDS, "2024-07-01T00:00:00")
    assert len(steady.region) == run.seen.sum() < ROWS * COLS
    for one, ratio in ((0, 1.0), (1, 0.5)):
        found = gains(steady, one)
        assert [gain.band for gain in found] == list(BANDS)
        assert {gain.dates for gain in found} == {4}
        assert [gain.ratio for gain in found] == pytest.approx([ratio] * len(BANDS), rel=0.02)
    assert len(steady_pixels(run, reference, np.where(region == 0, -1, 1))[0].region) == (region[run.seen] == 1).sum()


def test_fewer_dates_or_other_pixels_are_not_judged(runs, tmp_path):
    run, reference = runs
    region = np.zeros(len(run), int)
    assert steady_pixels(run, reference.only(reference.source < 2), region) == []
    gone = replace(reference, ingested=tuple(f"{tmp_path}/none{n}.zarr" for n in range(len(reference.ingested))))
    assert steady_pixels(run, gone, region) == []
    copied = tmp_path / "copied.zarr"
    shutil.copytree(run.ingested[0], copied)
    assert len(steady_pixels(replace(run, ingested=(str(copied),)), reference, region)) == 1
