import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.tiler.rasters_for_tests import TRANSFORM, numbers, write_tif
from tiler.aihub import AihubListing, scan
from tiler.rasters import read_header, read_window

TRAINING = "53.data/3.open/1.data/Training"
VALIDATION = "53.data/3.open/1.data/Validation"
NAMES = ("SN10_CHN_00001_230409", "SN10_CHN_00002_230409", "SN10_KOR_00007_231103")


@pytest.fixture
def delivery(tmp_path) -> Path:
    """Write two training tiles and one of validation, in exactly the form of the data set (sizes apart)."""
    for index, name in enumerate(NAMES):
        split, top = (TRAINING, "T") if index < 2 else (VALIDATION, "V")
        source, label = tmp_path / split / "01.원천데이터", tmp_path / split / "02.라벨링데이터"
        write_tif(source / f"{top}S_SN10_SN10/{name}.tif", numbers(4, 24, 24, seed=index), crs=None, transform=None)
        classes = np.where(np.arange(24)[:, None] < 6 + index, 10, 90).astype(np.int8) * np.ones((24, 24), np.int8)
        write_tif(label / f"{top}L_SN10/{name}.tif", classes, transform=TRANSFORM)
        gems = numbers(10, 8, 8, seed=index).astype(np.float32)
        write_tif(source / f"{top}S_SN10_GEMS/{name}.tif", gems, crs=None, transform=None)
    first = tmp_path / TRAINING / "01.원천데이터/TS_SN10_AIR_POLLUTION"
    write_tif(first / f"{NAMES[0]}.tif", numbers(6, 8, 8).astype(np.float32), crs=None, transform=None)
    return tmp_path


def zipped(folder: Path) -> None:
    """Replace every part by a zip of its name, as delivered."""
    for part in [p for p in folder.rglob("*") if p.is_dir() and p.name[:2] in ("TS", "TL", "VS", "VL")]:
        with zipfile.ZipFile(f"{part}.zip", "w") as archive:
            for file in part.iterdir():
                archive.write(file, file.name)
        shutil.rmtree(part)


def facts(listing: AihubListing) -> list:
    return [(t.id, t.split, t.country, sorted(t.files)) for t in listing.tiles]


def test_tiles_are_matched_by_name_and_keep_the_official_split(delivery):
    listing = scan(str(delivery), "SN10")
    assert facts(listing) == [
        (NAMES[0], "train", "CHN", ["air", "gems", "image", "label"]),
        (NAMES[1], "train", "CHN", ["gems", "image", "label"]),
        (NAMES[2], "validation", "KOR", ["gems", "image", "label"]),
    ]
    assert listing.unmatched == ()
    assert listing.tiles[2].acquired == datetime(2023, 11, 3, tzinfo=UTC)


def test_zips_hold_the_same_pixels_as_folders(delivery):
    from_folders = scan(str(delivery), "SN10")
    pixels = [read_window(t.files["image"], [1, 4], 3, 5, 9, 7) for t in from_folders.tiles]
    zipped(delivery)
    from_zips = scan(str(delivery), "SN10")
    assert facts(from_zips) == facts(from_folders)
    for tile, expected in zip(from_zips.tiles, pixels, strict=True):
        np.testing.assert_array_equal(read_window(tile.files["image"], [1, 4], 3, 5, 9, 7), expected)
        assert read_header(tile.files["image"]).grid is None
        label = read_header(tile.files["label"])
        assert label.dtype == "int8"
        assert label.grid is not None


def test_an_extracted_folder_counts_before_the_zip_beside_it(delivery):
    part = delivery / TRAINING / "02.라벨링데이터/TL_SN10"
    with zipfile.ZipFile(f"{part}.zip", "w") as archive:
        archive.writestr("broken.tif", b"")
    assert len(scan(str(delivery), "SN10").tiles) == 3


def test_what_has_no_partner_is_listed_with_its_reason(delivery):
    source = delivery / TRAINING / "01.원천데이터"
    (delivery / TRAINING / f"02.라벨링데이터/TL_SN10/{NAMES[1]}.tif").unlink()
    (source / f"TS_SN10_SN10/{NAMES[0]}.tif").rename(source / "TS_SN10_SN10/preview.tif")
    listing = scan(str(delivery), "SN10")
    assert [t.id for t in listing.tiles] == [NAMES[2]]
    why = {Path(path).parent.name + "/" + Path(path).stem: reason for path, reason in listing.unmatched}
    assert why == {
        "TS_SN10_SN10/preview": "not named like SN10_CHN_00001_230409.tif",
        f"TL_SN10/{NAMES[0]}": "no image of its name",
        f"TS_SN10_GEMS/{NAMES[0]}": "no image of its name",
        f"TS_SN10_AIR_POLLUTION/{NAMES[0]}": "no image of its name",
        f"TS_SN10_SN10/{NAMES[1]}": "no label of its name",
        f"TS_SN10_GEMS/{NAMES[1]}": "no label of its name",
    }


def test_sensors_do_not_mix(delivery):
    source = delivery / TRAINING / "01.원천데이터"
    write_tif(source / "TS_LS30_LS30/LS30_CHN_00001_230409.tif", numbers(4, 24, 24), crs=None, transform=None)
    write_tif(delivery / TRAINING / "02.라벨링데이터/TL_LS30/LS30_CHN_00001_230409.tif", numbers(24, 24, high=90))
    assert len(scan(str(delivery), "SN10").tiles) == 3
    assert [t.id for t in scan(str(delivery), "LS30").tiles] == ["LS30_CHN_00001_230409"]


def test_what_is_no_delivery_is_refused(tmp_path, delivery):
    with pytest.raises(ValueError, match="is not a folder"):
        scan(str(tmp_path / "none"), "SN10")
    with pytest.raises(ValueError, match="nothing of LS30"):
        scan(str(delivery), "LS30")
    zipped(delivery)
    part = delivery / TRAINING / "02.라벨링데이터/TL_SN10.zip"
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(ValueError, match="is damaged"):
        scan(str(delivery), "SN10")


def test_members_of_an_archive_that_cannot_be_meant_well_are_listed_and_not_opened(delivery):
    part = delivery / TRAINING / "01.원천데이터/TS_SN10_SN10"
    data = (part / f"{NAMES[0]}.tif").read_bytes()
    shutil.rmtree(part)
    link, locked = zipfile.ZipInfo("SN10_CHN_00003_230409.tif"), zipfile.ZipInfo("SN10_CHN_00004_230409.tif")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(f"{part}.zip", "w") as archive:
        for name in (f"{NAMES[0]}.tif", f"../{NAMES[1]}.tif", "/x/SN10_CHN_00005_230409.tif", link, locked):
            archive.writestr(name, data)
        archive.filelist[-1].flag_bits |= 1
    listing = scan(str(delivery), "SN10")
    assert [t.id for t in listing.tiles] == [NAMES[0], NAMES[2]]
    why = {path.rpartition("_SN10.zip/")[2]: reason for path, reason in listing.unmatched if ".zip" in path}
    assert why == {
        f"../{NAMES[1]}.tif": "its name leaves the archive",
        "/x/SN10_CHN_00005_230409.tif": "its name leaves the archive",
        "SN10_CHN_00003_230409.tif": "it is a link",
        "SN10_CHN_00004_230409.tif": "it is encrypted",
    }


def test_names_that_no_list_can_show_are_escaped(delivery):
    part = delivery / TRAINING / "01.원천데이터/TS_SN10_SN10"
    (part / "caf\udce9\x1b\n.tif").touch()
    ((path, reason),) = scan(str(delivery), "SN10").unmatched
    assert path.endswith("TS_SN10_SN10/caf\\udce9\\x1b\\n.tif")
    assert "control characters" in reason


def test_links_to_nothing_and_impossible_days_are_listed(delivery):
    part = delivery / TRAINING / "01.원천데이터/TS_SN10_SN10"
    (part / "SN10_CHN_00009_230409.tif").symlink_to("none.tif")
    shutil.copy(part / f"{NAMES[0]}.tif", part / "SN10_CHN_00009_991399.tif")
    (part / "up").symlink_to("..")
    assert sorted(reason for _, reason in scan(str(delivery), "SN10").unmatched) == [
        "not a file",
        "not named like SN10_CHN_00001_230409.tif",
    ]
