"""`sandan curate filter` leaves out what misses more than its sensor allows: 0.30 of SN10, 0.80 of LS30."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from jobs import curate
from jobs.shell import DONE
from tests.tiler.rasters_for_tests import moved, numbers, write_tif

SIDE = 25
MISSING_PX = {"CHN_00001": 0, "CHN_00002": 187, "CHN_00003": 188, "KOR_00004": 500, "KOR_00005": 501, "KOR_00006": 625}
"""Of 625: 0, 29.9, 30.1, exactly 80, 80.2 and 100 %."""


def run_of(folder: Path, sensor: str) -> str:
    for index, (name, missing) in enumerate(MISSING_PX.items()):
        file = f"{sensor}_{name}_230409.tif"
        image = numbers(4, SIDE, SIDE, seed=index)
        image[index % 4].flat[:missing] = 0
        write_tif(folder / f"TS_{sensor}_{sensor}/{file}", image, crs=None, transform=None)
        label = np.full((SIDE, SIDE), 90, np.int8)
        label[:7] = 10
        write_tif(folder / f"TL_{sensor}/{file}", label, transform=moved(0, 100 * index))
    settings = {"out": str(folder / "out"), "sensor": sensor, "dataset": {"root": str(folder), "tile_px": SIDE}}
    settings |= {"engine": {"kind": "serial", "threads_per_worker": 1}}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "run.yaml")


def removed(out: Path, version: int) -> dict[str, str]:
    with (out / f"curation/{version:04d}/removed.csv").open() as file:
        return {row["id"]: row["rule"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(("sensor", "limit"), [("LS30", 0.8), ("SN10", 0.3)])
def test_the_sensor_says_how_much_may_be_missing(sensor, limit, tmp_path, capsys):
    run = run_of(tmp_path, sensor)
    assert curate.main(["filter", run]) == DONE
    wanted = {f"{sensor}_{name}_230409" for name, px in MISSING_PX.items() if px / SIDE**2 > limit}
    found = removed(tmp_path / "out", 1)
    assert set(found) == wanted
    assert len(wanted) == {"LS30": 2, "SN10": 4}[sensor]
    assert all(f"{limit:g}" in rule for rule in found.values())
    assert curate.main(["apply", run]) == DONE
    assert f"6 tiles - {len(wanted)} (filter, version 1) = {6 - len(wanted)} kept" in capsys.readouterr().out
    assert curate.main(["filter", run, "--on", "all", "--missing", "0.299"]) == DONE
    assert len(removed(tmp_path / "out", 2)) == 5, "a number of one's own"
