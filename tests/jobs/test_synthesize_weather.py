"""Synthesize, kind weather: files, states and runs; bad input is refused before anything is written."""

import argparse

import pytest
import yaml

from jobs.synthesize import main
from jobs.synthesize_weather import add_options, world_of
from tiler.synthetic.weather import SCALES, read_states


def test_a_tiny_world_is_written_with_a_run_for_each_sensor(tmp_path, capsys):
    out = tmp_path / "weather"
    command = [str(out), "--kind", "weather", "--days", "4", "--side", "16", "--start", "2019-08-01", "--seed", "3"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "32/32 frames" in said.err
    assert "a typhoon is in view in" in said.out
    for name, sensor in (("weather.yaml", "coms"), ("weather-gk2a.yaml", "gk2a")):
        assert f"sandan ingest {out / name}" in said.out
        values = yaml.safe_load((out / name).read_text())
        assert values["frames"] == {
            "files": str(out / "frames"),
            "series": sensor,
            "bands": ["ir", "swir", "wv"],
            "step_minutes": 180,
            "side_px": 16,
        }
        assert len(list((out / "frames").glob(f"{sensor}_*_2019080*.png"))) > 0
    assert str(read_states(out / "states.csv").times[0]) == "2019-08-01T00:00:00"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--days", "0"], "1 to 100000 days"),
        (["--side", "4"], "side 4 px"),
        (["--start", "summer"], "YYYY-MM-DD"),
        (["--start", "0001-01-01"], "1970 to 2200"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, capsys, extra, said):
    assert main([str(tmp_path / "no"), "--kind", "weather", *extra]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_the_second_sensor_begins_on_its_day_or_in_the_middle_of_another_time():
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.set_defaults(seed=1)
    archive = world_of(parser.parse_args(["--scale", "large"]))
    assert (len(archive), archive.handover) == (26_776, SCALES["large"].handover)
    assert world_of(parser.parse_args(["--scale", "large", "--days", "20"])).handover == (0.5, 0.75)


def test_an_unknown_scale_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--kind", "weather", "--scale", "huge"])
    assert "tiny" in capsys.readouterr().err
