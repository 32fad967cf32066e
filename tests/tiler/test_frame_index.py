"""Which frames a series has."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.real_data import needs, real
from tests.tiler.frames_for_tests import kma_name, write_pngs
from tiler.frame_index import Entry, FrameIndex, index_frames, listed, made_of
from tiler.frame_spec import FrameSpec
from tiler.frame_store import BLOCK_SLOTS

BANDS = ("ir1", "swir", "wv")
TIMES = np.datetime64("2011-03-01T00:00") + np.array([0, 3, 9, 12], "timedelta64[h]")


def touched(folder: Path, names: list[str]) -> str:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return str(folder)


def names(sensor: str = "coms", bands: tuple[str, ...] = BANDS) -> list[str]:
    return [kma_name(sensor, band, time) for time in TIMES for band in bands]


def test_a_folder_with_what_is_below_it(tmp_path: Path) -> None:
    images = np.zeros((4, 3, 2, 3), np.uint8)
    write_pngs(tmp_path, images, TIMES, BANDS)
    touched(tmp_path, ["SOURCE.txt", ".hidden/coms_ir1_201103010300.png", "coms_xx_201103010300.png"])
    index = index_frames(FrameSpec(files=str(tmp_path)))
    assert (index.series, index.sensor, index.bands) == ("coms", "coms", ("ir", "swir", "wv"))
    assert index.times.tolist() == TIMES.astype("datetime64[s]").tolist()
    assert len(index.entries) == 12
    assert [(Path(path).name, reason) for path, reason in index.unmatched] == [
        ("SOURCE.txt", "of the kinds that are not read; those are .png, .nc, .nc4, .cdf"),
        ("coms_xx_201103010300.png", "the name holds no band that is known"),
    ]
    assert index.summary() == (
        "coms: 2011-03-01 00:00 to 2011-03-01 12:00, 1 days, 5 steps of 180 min, 4 found, 1 missing, "
        "longest gap 3 h after 2011-03-01 03:00"
    )


def test_a_glob_a_band_and_what_lies_between_the_steps(tmp_path: Path) -> None:
    folder = touched(tmp_path, [*names(), "coms_wv_201103010015.png", "deep/coms_wv_201103010600.png"])
    index = index_frames(FrameSpec(files=f"{folder}/*.png", bands=("wv", "ir105")))
    assert index.bands == ("wv", "ir")
    assert (len(index.entries), index.between) == (8, 1)
    assert {reason for _, reason in index.unmatched} == {"of another band"}
    assert "1 between the steps are left out" in index.summary()
    deep = index_frames(FrameSpec(files=f"{folder}/**/*.png", bands=("wv",)))
    assert len(deep.entries) == 5
    near = index_frames(FrameSpec(files=f"{folder}/*wv*0015.png", tolerance_minutes=20))
    assert near.times.tolist() == [np.datetime64("2011-03-01T00:00", "s").item()]


def test_two_files_of_one_band_and_time_are_an_error_that_names_both(tmp_path: Path) -> None:
    folder = touched(tmp_path, [*names(), "old/coms_ir01_201103010300.png"])
    with pytest.raises(ValueError, match=r"201103010300\.png and .*201103010300\.png are both ir at 2011-03-01 03:00"):
        index_frames(FrameSpec(files=folder))


def test_of_several_sensors_one_is_named(tmp_path: Path) -> None:
    folder = touched(tmp_path, [*names(), *names("gk2a", ("ir105",))])
    with pytest.raises(ValueError, match=r"holds the sensors \['coms', 'gk2a'\]; name one in `series`"):
        index_frames(FrameSpec(files=folder))
    index = index_frames(FrameSpec(files=folder, series="gk2a"))
    assert (index.bands, len(index.entries), len(index.unmatched)) == (("ir",), 4, 12)
    assert index_frames(FrameSpec(files=f"{folder}/coms*", series="east")).series == "east"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"files": "{folder}/*.nc"}, "nothing matches"),
        ({"files": "{folder}/none"}, "nothing matches"),
        ({"bands": ("vis",)}, r"\['vis'\] are not in .*, which has \['ir', 'swir', 'wv'\]"),
        ({"step_minutes": 180, "phase_minutes": 10}, "all 12 times of coms lie between the steps"),
    ],
)
def test_series_that_are_not_there(tmp_path: Path, spec: dict, message: str) -> None:
    folder = touched(tmp_path, names())
    values = {"files": folder, **spec}
    values["files"] = values["files"].format(folder=folder)
    with pytest.raises(ValueError, match=message):
        index_frames(FrameSpec.model_validate(values))


def test_a_folder_without_one_name_shows_what_names_are_like(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"like coms_mi_le1b_ir1_YYYYMMDDHHMM\.png; the first, .*a\.png"):
        index_frames(FrameSpec(files=touched(tmp_path, ["a.png", "b.png"])))


def test_links_are_followed_and_what_is_no_file_is_listed(tmp_path: Path) -> None:
    folder = touched(tmp_path / "a", names()[:3])
    touched(tmp_path / "elsewhere", [*names()[3:6], ".hidden/coms_wv_201103010600.png"])
    (tmp_path / "a/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "a")
    (tmp_path / "a/coms_wv_201103010900.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/coms_wv_201103011200.png")
    index = index_frames(FrameSpec(files=folder))
    assert len(index.entries) == 6
    assert {reason for _, reason in index.unmatched} == {"no file but a pipe, a device or a broken link"}
    assert len(index.unmatched) == 2


def test_a_web_host_lists_nothing() -> None:
    with pytest.raises(ValueError, match="a web host lists nothing"):
        index_frames(FrameSpec(files="https://data.example.org/coms"))


@given(st.sets(st.integers(0, 400_000), min_size=1, max_size=30), st.integers(1, 40))
def test_blocks_hold_every_entry_once_and_do_not_move_when_others_come(slots: set[int], more: int) -> None:
    def index(some: set[int]) -> FrameIndex:
        entries = tuple(Entry(slot, 0, f"f{slot}", "") for slot in sorted(some))
        return FrameIndex("coms", "coms", ("ir",), FrameSpec(files="x"), entries, 0, ())

    one = index(slots)
    blocks = one.blocks()
    assert [e for entries in blocks.values() for e in entries] == list(one.entries)
    assert min(blocks) >= 0
    assert one.first_slot % BLOCK_SLOTS == 0
    for at, entries in blocks.items():
        assert {(e.slot - one.first_slot) // BLOCK_SLOTS for e in entries} == {at}
    grown = index(slots | {max(slots) + more})
    assert grown.first_slot == one.first_slot
    changed = [at for at, entries in grown.blocks().items() if made_of(entries) != made_of(blocks.get(at, ()))]
    assert changed == [(max(slots) + more - one.first_slot) // BLOCK_SLOTS]


def test_a_changed_file_is_another(tmp_path: Path) -> None:
    folder = touched(tmp_path, names())
    before = index_frames(FrameSpec(files=folder)).entries
    path = tmp_path / names()[4]
    os.utime(path, ns=(1, 1))
    after = index_frames(FrameSpec(files=folder)).entries
    assert [a.where for a, b in zip(after, before, strict=True) if a != b] == [str(path)]
    assert made_of(after) != made_of(before)
    assert made_of(()) > 0


def test_a_listing_is_sorted_and_of_files_only(tmp_path: Path) -> None:
    touched(tmp_path, ["b/x.png", "a.png"])
    assert list(listed(str(tmp_path))) == [f"{tmp_path}/a.png", f"{tmp_path}/b/x.png"]
    assert list(listed(f"{tmp_path}/a.png")) == [f"{tmp_path}/a.png"]


@needs("weather_coms")
def test_real_names_and_their_gaps() -> None:
    index = index_frames(FrameSpec(files=str(real("weather_coms")), step_minutes=15))
    assert (index.series, index.bands, len(index.slots)) == ("coms", ("ir", "swir", "wv"), 54)
    assert [Path(path).name for path, _ in index.unmatched] == ["SOURCE.txt", "frames.csv"]
    hourly = index_frames(FrameSpec(files=str(real("weather_coms"))))
    assert [str(t)[:16] for t in hourly.times] == [
        *("2011-03-03T09:00", "2011-03-03T12:00", "2012-10-27T15:00", "2012-10-27T18:00", "2012-10-27T21:00")
    ]
