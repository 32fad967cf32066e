from dataclasses import replace

import numpy as np
import pytest

from tests.tiler.synthetic.weather.worlds import SUMMER, clean_frames
from tiler.synthetic.weather import COMS, GK2A, Sensor, WeatherWorld, moments, sensors_of

LONG = WeatherWorld(days=4 * 365, side_px=16)


@pytest.mark.parametrize("imager", [COMS, GK2A], ids=lambda imager: imager.name)
def test_without_faults_an_imager_sees_the_clean_picture(imager):
    sensor = Sensor(imager.clean(), SUMMER)
    assert sensor.delivered.all()
    for moment, clean in zip(moments(SUMMER), clean_frames(SUMMER), strict=True):
        np.testing.assert_array_equal(sensor.observe(moment.values, moment.step), clean)


@pytest.mark.parametrize(
    "fault",
    [
        {"zoom": 1.1},
        {"shift": (0.05, 0.0)},
        {"turn_deg": 4.0},
        {"gain": (1.1, 1.0, 1.0)},
        {"offset": (0.0, 0.05, 0.0)},
        {"blur": 0.4},
        {"jitter": 0.02},
        {"drift_gain": 0.2},
        {"drift_offset": 0.05},
        {"frame_gain": 0.2},
        {"frame_offset": 0.05},
        {"stripes": 0.03},
        {"noise": 0.03},
        {"limb": 0.1},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_each_fault_is_seen(fault):
    moment = next(moments(SUMMER))
    found = Sensor(replace(COMS.clean(), **fault), SUMMER).observe(moment.values, 0)
    apart = found.astype(int) - clean_frames(SUMMER)[0]
    assert 0.8 < np.sqrt((apart**2).mean()) < 40


def test_a_frame_is_a_function_of_seed_and_step():
    sensor, again = Sensor(COMS, SUMMER), Sensor(COMS, SUMMER)
    kept = list(moments(SUMMER))
    backwards = {m.step: again.observe(m.values, m.step) for m in reversed(kept)}
    for moment in kept:
        np.testing.assert_array_equal(sensor.observe(moment.values, moment.step), backwards[moment.step])


def test_lost_lines_are_zero_in_all_bands_and_nothing_else_is():
    sensor = Sensor(replace(COMS, lost_lines=0.5), SUMMER)
    lost = 0
    for moment in moments(SUMMER):
        empty = sensor.observe(moment.values, moment.step) == 0
        rows = empty.all((0, 2))
        assert empty.sum() == rows.sum() * empty.shape[0] * empty.shape[2]
        lost += bool(rows.any())
    assert 0.3 * len(SUMMER) < lost < 0.7 * len(SUMMER)


def test_frames_are_lost_alone_and_in_outages():
    delivered = Sensor(COMS, LONG).delivered
    assert 0.95 < delivered.mean() < 0.99
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[1], delivered, [1]]))))[::2]
    assert (runs == 1).sum() > 50
    assert runs.max() > 8


def test_the_second_imager_takes_over_with_an_overlap():
    first, second = (sensor.delivered for sensor in sensors_of(LONG))
    begin, end = (round(share * len(LONG)) for share in LONG.handover)
    assert not first[end:].any()
    assert not second[:begin].any()
    assert (first & second)[begin:end].mean() > 0.9
    assert (first | second)[:begin].mean() > 0.9


def test_file_names_are_those_of_the_agency():
    time = np.datetime64("2019-10-08T03:00:00")
    assert COMS.file_name(1, time) == "coms_mi_le1b_swir_ea_201910080300.png"
    assert GK2A.file_name(0, time) == "gk2a_ami_le1b_ir105_ea020lc_201910080300.png"
