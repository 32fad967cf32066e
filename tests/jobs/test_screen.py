import csv
import json

import pytest

from jobs import screen
from tests.jobs.grounds import COLS, ROWS, embedded, ground, place, rerun, window


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    dates = {f"2024-0{month}-01": ground(1, month) for month in range(1, 6)}
    return embedded(tmp_path_factory.mktemp("before"), dates)


def test_a_window_of_another_kind_ranks_first(before, tmp_path, capsys):
    now = ground(1, 9)
    place(now, 3, 5)[:] = window(7, 1)
    run = rerun(before, tmp_path, {"2024-09-01": now})
    assert screen.main([run.config, "--before", before.config, "--top", "5"]) == 0
    assert f"{ROWS * COLS} places screened, 0 not seen before; 5 in " in capsys.readouterr().out
    with open(run.out / "screen" / "changes.csv") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["row"], rows[0]["col"], rows[0]["earlier_dates"]) == ("3", "5", "5")
    assert float(rows[0]["distance"]) > float(rows[0]["usual"])
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    shapes = json.loads((run.out / "screen" / "changes.geojson").read_text())["features"]
    assert len(shapes) == 5
    assert shapes[0]["properties"]["scene"] == "2024-09-01"


def test_one_earlier_date_or_other_ground_is_told(before, tmp_path, capsys):
    once = rerun(before, tmp_path / "once", {"2024-01-01": ground(1, 1)})
    assert screen.main([before.config, "--before", once.config]) == 2
    assert "no place was seen at two earlier dates" in capsys.readouterr().err
    assert screen.main([before.config, "--before", before.config, "--top", "0"]) == 2
    assert "ask for one place or more" in capsys.readouterr().err
