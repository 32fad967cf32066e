"""What is decided or refused from the settings alone."""

import pytest

from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.parsing import load
from jobs.plan import Run, plan_run
from jobs.preflight import check_writable
from tests.jobs.worlds import World, image, moved, world


def planned(here: World, *changes: str) -> Run:
    return plan_run(load(RunConfig, here.config, changes))


def refusal(here: World, *changes: str) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        planned(here, *changes)
    return str(error.value)


@pytest.fixture
def two(tmp_path) -> World:
    here = world(tmp_path)
    here.scene("b-20240102", image(130, 170), transform=moved(3, 5))
    here.scene("a", image(90, 140, 2), transform=moved(3000, -40))
    return here


def test_ids_must_differ(two):
    assert "['a']" in refusal(two, "scenes.0.id=a")


def test_a_pattern_without_files_is_refused(two):
    assert "no file matches" in refusal(two, f"scenes={two.folder}/none/*.tif")


@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ("{crs: EPSG:5179, resolution_m: 12.5}", 12.5),
        ("{crs: EPSG:4326, resolution_deg: 0.0001}", 0.0001),
        ("{crs: EPSG:2225, resolution_m: 10}", 10 * 3937 / 1200),  # US survey feet
    ],
)
def test_resolution_is_in_the_unit_it_says(two, grid, size):
    run = planned(two, f"grid={grid}")
    assert run.grid.resolution == pytest.approx((size, size), rel=1e-12)
    assert run.grid.phase == (0.0, 0.0)


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("{crs: EPSG:999999, resolution_m: 10}", "'EPSG:999999' is unknown"),
        ("{crs: EPSG:4326, resolution_m: 10}", "geographic; give resolution_deg"),
        ("{crs: EPSG:5179, resolution_deg: 0.1}", "projected; give resolution_m"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(two, grid, told):
    assert told in refusal(two, f"grid={grid}")


def test_scenes_that_cannot_be_opened_are_left_out_where_that_is_asked_for(two):
    (two.folder / "scenes" / "a.tif").write_bytes(b"no raster at all")
    told = refusal(two)
    left_out: dict[str, str] = {}
    run = plan_run(load(RunConfig, two.config), left_out)
    assert [plan.scene.id for plan in run.scenes] == ["b-20240102"]
    assert left_out == {"a": " ".join(told.split())}
    (two.folder / "scenes" / "b-20240102.tif").write_bytes(b"neither")
    with pytest.raises(ValueError, match=r"a\.tif cannot be opened"):
        plan_run(load(RunConfig, two.config), {})


def test_a_folder_that_cannot_be_written_is_refused_and_none_is_made(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ValueError, match="is not a writable folder"):
        check_writable(Storage(str(tmp_path / "file" / "out")))
    check_writable(Storage(str(tmp_path / "new" / "out")))
    assert not (tmp_path / "new").exists()
