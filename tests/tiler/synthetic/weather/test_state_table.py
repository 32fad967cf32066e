import numpy as np
import pytest

from tests.tiler.synthetic.weather.worlds import SUMMER, states
from tiler.synthetic.weather import QUADRANTS, WeatherWorld, read_states, write_states

YEAR = WeatherWorld(seed=2, days=365, side_px=16)


def test_a_table_reads_as_it_was_written(tmp_path):
    table = states(SUMMER)
    write_states(table, tmp_path / "states.csv")
    again = read_states(tmp_path / "states.csv")
    np.testing.assert_array_equal(again.times, SUMMER.times())
    assert list(again.columns) == list(table.columns)
    for name, values in table.columns.items():
        np.testing.assert_allclose(again.columns[name], values, rtol=1e-5)


def test_the_strongest_typhoon_in_view_is_named_with_its_quadrant():
    table = states(YEAR)
    column = table.columns
    present = column["typhoon_present"] == 1
    assert 0.03 < present.mean() < 0.4
    assert (column["typhoon_intensity"][present] >= 0.25).all()
    assert np.isnan(column["typhoon_x"][~present]).all()
    assert (column["typhoon_quadrant"][~present] == 0).all()
    for row in np.flatnonzero(present)[::20]:
        south, east = column["typhoon_y"][row] >= 0.5, column["typhoon_x"][row] >= 0.5
        words = ("south" if south else "north") + "-" + ("east" if east else "west")
        assert QUADRANTS[int(column["typhoon_quadrant"][row])] == words


def test_rows_are_found_by_time():
    table = states(SUMMER)
    wanted = SUMMER.times()[[7, 2, 30]]
    np.testing.assert_array_equal(table.at(wanted).columns["jet_m_s"], table.columns["jet_m_s"][[7, 2, 30]])
    for strange in ("2019-07-20T01:00:00", "2030-01-01", "1999-01-01"):
        with pytest.raises(ValueError, match="no state of"):
            table.at(np.array([strange], "datetime64[s]"))


def test_another_file_is_no_table(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.csv is not a table of states"):
        read_states(tmp_path / "a.csv")
