"""Chips as files: the same for any number of workers, and those that were asked for."""

import pytest
import rasterio

from tests.tiler.synthetic.worlds import CLEAR
from tiler.synthetic.chip_scenes import write_chips
from tiler.synthetic.chips import chip_country, chips


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two chips without air, written by one process and by two."""
    made = {}
    for workers in (1, 2):
        folder, told = tmp_path_factory.mktemp("chips"), []
        files = write_chips(folder, 2, CLEAR, air=False, workers=workers, on_chip=told.append)
        assert sorted(f.id for f in told) == sorted(f.id for f in files)
        made[workers] = folder, files
    return made


def test_any_number_of_workers_writes_the_same_bytes(folders):
    (alone, one), (together, two) = folders[1], folders[2]
    assert [f.id for f in one] == [f.id for f in two]
    written = {path.relative_to(alone): path.read_bytes() for path in alone.rglob("*.tif")}
    assert written == {path.relative_to(together): path.read_bytes() for path in together.rglob("*.tif")}
    assert {path.parts[0] for path in written} == {"scenes", "labels", "truth", "clouds"}
    assert len(written) == 8


def test_they_are_the_chips_of_the_seed(folders):
    _, files = folders[2]
    for number, (chip, written) in enumerate(zip(chips(chip_country(1), 2), files, strict=True), start=1):
        assert written.id == f"SN10_{chip.country_code}_{number:05}_{chip.day:%Y%m%d}"
        assert (written.grid, written.day) == (chip.grid, chip.day)
        with rasterio.open(written.layers["truth"]) as data:
            assert abs(data.read(1).mean() - chip.wanted) < 0.06
            assert (data.crs.to_string(), data.transform.c) == (chip.grid.crs, chip.grid.transform[2])
