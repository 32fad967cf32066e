"""File names of weather services."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.frame_names import SYNONYMS, band_name, parse_name, shown_order


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("coms_mi_le1b_ir1_ch1_cn_201103030645.png", ("coms", "ir", "2011-03-03T06:45", "mi_le1b_ch1_cn")),
        ("raw/coms_mi_le1b_ir01_ea040ps_201103030645.png", ("coms", "ir", "2011-03-03T06:45", "mi_le1b_ea040ps")),
        ("coms_swir_201103030645.png", ("coms", "swir", "2011-03-03T06:45", "")),
        ("gk2a_ami_le1b_ir105_ea020lc_201907250600.nc", ("gk2a", "ir", "2019-07-25T06:00", "ami_le1b_ea020lc")),
        ("GK2A_AMI_LE1B_SW038_EA020LC_201907250600.NC", ("gk2a", "swir", "2019-07-25T06:00", "ami_le1b_ea020lc")),
        ("gk2a_ami_le1b_wv069_fd020ge_201907250600.srv.png", ("gk2a", "wv", "2019-07-25T06:00", "ami_le1b_fd020ge")),
        ("gk2a_ami_le1b_wv063_fd020ge_201907250600.nc", ("gk2a", "wv063", "2019-07-25T06:00", "ami_le1b_fd020ge")),
        ("coms-wv-20110303-0645.png", ("coms", "wv", "2011-03-03T06:45", "")),
        ("coms_vis_20110303_064530.png", ("coms", "vis", "2011-03-03T06:45:30", "")),
        ("s3://bucket/coms/coms_ir2_20110303064530.png", ("coms", "ir2", "2011-03-03T06:45:30", "")),
    ],
)  # fmt: skip
def test_names_as_they_are(path: str, expected: tuple[str, str, str, str]) -> None:
    found = parse_name(path)
    assert (found.sensor, found.band, found.time, found.view) == (
        *expected[:2],
        datetime.fromisoformat(expected[2]),
        expected[3],
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("SOURCE.txt", "no YYYYMMDDHHMM"),
        ("201103030645_image.png", "does not begin with a sensor"),
        ("ir01_201103030645.png", "does not begin with a sensor"),
        ("coms_ir01_201103030645_201103030700.png", "more than one YYYYMMDDHHMM"),
        ("coms_ir01_wv_201103030645.png", "more than one band that is known: ['ir01', 'wv']"),
        ("coms_xx9_201103030645.png", "no band that is known"),
        ("coms_ir01_201113030645.png", "201113030645 is no time"),
        ("coms_ir01_2011030306.png", "no YYYYMMDDHHMM"),
        ("", "does not begin with a sensor"),
    ],
)
def test_names_that_do_not_say_enough(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_name(path)


@given(
    st.sampled_from([(name, word) for name, words in SYNONYMS.items() for word in words]),
    st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)),
    st.sampled_from(["png", "nc", "tif"]),
)
def test_every_synonym_at_every_time(band: tuple[str, str], time: datetime, suffix: str) -> None:
    found = parse_name(f"coms_mi_le1b_{band[1]}_ea040ps_{time:%Y%m%d%H%M}.{suffix}")
    assert (found.band, found.time) == (band[0], time.replace(second=0, microsecond=0))


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_an_error_in_words(text: str) -> None:
    with suppress(ValueError):
        assert parse_name(text).sensor


def test_bands_have_one_name() -> None:
    assert [band_name(word) for word in ("IR_108", "ir105", "IR_016", "wv063", "My-Band")] == [
        *("ir", "ir", "ir016", "wv063", "myband")
    ]
    assert shown_order({"wv", "vis", "ir", "swir", "ir2"}) == ("ir", "swir", "wv", "ir2", "vis")
