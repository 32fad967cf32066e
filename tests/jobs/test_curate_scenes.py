"""Curation of tiles of scenes, without classes: clouds and other scales are a cluster, strata are balanced."""

import csv
from collections import Counter

import numpy as np
import pytest
import yaml

from jobs import curate
from jobs.shell import BAD_INPUT, DONE
from tests.tiler.rasters_for_tests import moved, write_tif

SIDE, TILES = 32, 30
ODD = (4, 11, 12, 25)
"""Tiles that are white with cloud, and one of another scale."""
EMPTY = 7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Write fields and towns under clear sky, some clouds, and a tile without any pixel; most are densely labelled."""
    folder, random = tmp_path_factory.mktemp("tiles"), np.random.default_rng(4)
    for index in range(TILES):
        name = f"SN10_CHN_{index:05d}_230409.tif"
        level = np.array([[900], [800], [700], [2500]]) if index % 2 else np.array([[1900], [1850], [1800], [2000]])
        image = random.normal(level[..., None], 120, (4, SIDE, SIDE))
        image += 150 * np.sin(np.arange(SIDE) / 5 + index)
        if index in ODD:
            image = random.normal(8500, 150, image.shape) if index != ODD[-1] else image * 5
        write_tif(
            folder / f"delivery/TS_SN10_SN10/{name}",
            np.zeros(image.shape, np.uint16) if index == EMPTY else image.astype(np.uint16),
            crs=None,
            transform=None,
        )
        label = np.full((SIDE, SIDE), 90, np.int8)
        label[: SIDE if index >= 6 else 4] = 10
        write_tif(folder / f"delivery/TL_SN10/{name}", label, transform=moved(0, 100 * index))
    dataset = {"root": str(folder / "delivery"), "tile_px": SIDE}
    settings = {"out": str(folder / "out"), "dataset": dataset, "engine": {"kind": "serial", "threads_per_worker": 1}}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    return folder / "run.yaml"


def table(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def name_of(index: int) -> str:
    return f"SN10_CHN_{index:05d}_230409"


def test_clouds_and_other_scales_are_the_suspect_cluster(run, capsys):
    out = run.parent / "out/curation"
    assert curate.main(["clean", str(run), "--by", "rule"]) == DONE
    assert {row["id"] for row in table(out / "0001/removed.csv")} == {name_of(index) for index in ODD}
    assert "farther from all images" in capsys.readouterr().out
    assert curate.main(["filter", str(run)]) == DONE
    (empty,) = table(out / "0002/removed.csv")
    assert (empty["id"], empty["rule"]) == (name_of(EMPTY), "missing_ratio<=0.3")


def test_strata_stand_for_classes(run, capsys):
    out = run.parent / "out/curation"
    assert curate.main(["report", str(run)]) == DONE
    frame = table(out / "frame.csv")
    assert {row["label"] for row in frame} == {""}
    assert frame[EMPTY]["stratum"] == ""
    assert Counter(row["stratum"].split(",")[0] for row in frame) == {"sparse": 6, "dense": TILES - 7, "": 1}
    assert float(frame[0]["missing_ratio"]) == 0
    assert float(frame[0]["coverage"]) == 4 / SIDE
    capsys.readouterr()
    assert curate.main(["balance", str(run), "--times", "1.5", "--on", "all", "--dry-run"]) == DONE
    assert "class imbalance: dense, cover 0" in capsys.readouterr().out
    assert curate.main(["clean", str(run), "--classes", "fields"]) == BAD_INPUT
    assert "it has none" in capsys.readouterr().err
