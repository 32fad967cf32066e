"""The layout of AI-Hub 71805: folders, names, codes, types and what is missing."""

import re
import warnings
import zipfile

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from tests.tiler.synthetic.worlds import country
from tiler.synthetic import aihub
from tiler.synthetic.chips import COVERAGE, chips


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as data:
            return data.read(), data.crs, data.transform


def test_chips_are_covered_as_asked_and_do_not_depend_on_their_number():
    some = list(chips(country("chips"), 3))
    assert some[:2] == list(chips(country("chips"), 2))
    for chip in some:
        assert abs(chip.wanted - COVERAGE.mean) < 4 * COVERAGE.stdev


def test_the_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(aihub, "chip_country", lambda seed: country("chips"))
    monkeypatch.setattr(aihub, "each", lambda work, tasks, workers: ((i, work(tasks[i])) for i in (0, 8)))
    told = []
    written = aihub.write_aihub(tmp_path, 9, ls30=0, on_image=lambda: told.append(1))
    assert len(told) == 2
    names = {str(p.relative_to(written.folder).parent) for p in written.folder.rglob("*.tif")}
    sources = {f"01.원천데이터/{{}}S_SN10_{m}" for m in ("SN10", "GEMS", "AIR_POLLUTION")}
    both = {f"{part}/{s.format(part[0])}" for part in ("Training", "Validation") for s in sources}
    labels = {"Training/02.라벨링데이터/TL_SN10", "Validation/02.라벨링데이터/VL_SN10"}
    assert names == both | labels
    for path in written.folder.rglob("*SN10_SN10/*.tif"):
        assert re.fullmatch(r"SN10_(CHN|KOR)_\d{5}_\d{6}\.tif", path.name)
        image, crs, transform = opened(path)
        assert (image.shape, image.dtype, crs) == ((4, 512, 512), np.uint16, None)
        assert transform.is_identity
        label, crs, transform = opened(next(written.folder.rglob(f"?L_SN10/{path.name}")))
        assert (label.shape, label.dtype, transform.a) == ((1, 512, 512), np.int8, 10.0)
        assert crs.to_epsg() in range(32649, 32653)
        assert set(np.unique(label)) == {10, 90}
        for modality, bands in (("GEMS", 10), ("AIR_POLLUTION", 6)):
            coarse, crs, _ = opened(next(written.folder.rglob(f"?S_SN10_{modality}/{path.name}")))
            assert (coarse.shape, crs) == ((bands, 64, 64), None)
    assert all(0.3 < share < 1 for share in written.coverage)
    _zips(written.folder)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_files_are_the_same_for_any_number_of_workers(tmp_path):
    told = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        found = aihub.write_aihub(folder, 2, ls30=0, zips=True, workers=workers, on_image=lambda: told.append(1))
        assert len(found.coverage) == 2
    assert len(told) == 4
    alone, together = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert len(alone) == 4
    assert alone == together


@pytest.mark.slow
def test_what_is_spoilt_is_listed_and_nothing_else_changes(tmp_path):
    good = aihub.write_aihub(tmp_path / "good", 3, ls30=0)
    found = aihub.write_aihub(tmp_path / "spoilt", 3, ls30=0, spoil=0.6)
    assert good.spoilt == ()
    assert not (tmp_path / "good/spoilt.csv").exists()
    listed = [line.split(",")[0] for line in (tmp_path / "spoilt/spoilt.csv").read_text().splitlines()[1:]]
    assert [name for name, _ in found.spoilt] == listed
    assert 0 < len(listed) < 3
    before, after = contents(tmp_path / "good"), contents(tmp_path / "spoilt")
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed == {f"{name}.tif" for name in listed}
    assert all("SN10_SN10" in str(path) for path in before if before[path] != after[path]), "labels and gases stay"


def _zips(root):
    aihub._pack(root)
    assert not list(root.rglob("*.tif"))
    with zipfile.ZipFile(root / "Training/01.원천데이터/TS_SN10_GEMS.zip") as archive:
        assert archive.namelist()[0].startswith("SN10_CHN_00001_")


def test_images_of_30_m_lie_around_the_same_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(aihub, "CHIP_PX", 64)  # the grid of the chip stays 5 km wide
    chip = next(chips(country("chips"), 1))
    aihub._write_ls30(country("chips"), chip, tmp_path / "Training")
    (path,) = tmp_path.rglob("TS_LS30_LS30/*.tif")
    image, crs, _ = opened(path)
    assert (image.shape, image.dtype, crs) == ((4, 64, 64), np.uint16, None)
    label, crs, transform = opened(next(tmp_path.rglob(f"TL_LS30/{path.name}")))
    assert (label.shape, label.dtype, transform.a) == ((1, 64, 64), np.int8, 30.0)
    assert set(np.unique(label)) <= {10, 90}


def test_no_chips_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        aihub.write_aihub(tmp_path, 0)
