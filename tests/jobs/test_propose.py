"""Proposals and the audit of labels, as commands: labels under windows, errors of networks, queues and suspects."""

import csv
import json

import numpy as np
import pytest

from cluster.engine import SerialEngine
from jobs import audit, propose
from jobs.config import RunConfig
from jobs.decisions import decide
from jobs.infer import infer
from jobs.parsing import load
from jobs.plan import plan_run
from jobs.run_embeddings import read_run
from jobs.window_labels import read_window_labels
from tests.jobs.grounds import COLS, ROWS, embedded, ground, place, window
from tests.jobs.vectors import TILE_PX
from tests.jobs.worlds import INFER, answering, logit_of, moved, write_bundle, write_tif
from tiler.labels import IGNORE

GREEN = [(0, 1), (2, 4), (3, 3), (5, 7), (6, 2), (6, 8)]
"""Windows of another kind."""


def seeded(seed: int) -> np.ndarray:
    array = ground(seed)
    for number, at in enumerate(GREEN):
        place(array, *at)[:] = window(9, seed * 100 + number)
    return array


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A labelled scene, mapped by the pointwise network, and one without labels; windows `GREEN` are mapped wrongly."""
    folder = tmp_path_factory.mktemp("propose")
    first, second = seeded(1), seeded(2)
    label = (logit_of(first.astype(np.float32)) >= 0).astype(np.uint8)
    for row, col in GREEN:
        label[row * TILE_PX : (row + 1) * TILE_PX, col * TILE_PX : (col + 1) * TILE_PX] = 0
    label[: 2 * TILE_PX, -TILE_PX:] = IGNORE
    files = write_tif(folder / "labels.tif", label, nodata=IGNORE)
    here = embedded(folder, {"2024-05-01": first}, labels={"files": [files], "codes": {1: 1, 0: 0}}, infer=INFER)
    from jobs import embed

    here.scene("2024-05-02", second, acquired="2024-05-02", transform=moved(3000, 5000))
    here.settings["models"] = [write_bundle(folder / "bundle")]
    assert embed.main([here.config]) == 0
    planned = plan_run(load(RunConfig, here.config))
    engine = SerialEngine(1)
    precision = decide(planned, engine)
    with answering():
        infer(planned, engine, planned.logits(precision), precision)
    return here, first, label


def test_labels_and_errors_under_windows_are_those_of_the_pixels(run):
    here, first, label = run
    config = load(RunConfig, here.config)
    items = read_run(config)
    found = read_window_labels(items, propose._logits(config))
    mapped = logit_of(first.astype(np.float32)) >= 0
    for row in range(len(items)):
        at = items.row_of(row)
        if at["scene"] != "2024-05-01":
            assert found.labelled[row] == 0
            assert np.isnan(found.coverage[row])
            continue
        y, x = int(at["row"]) * TILE_PX, int(at["col"]) * TILE_PX
        truth, said = (a[y : y + TILE_PX, x : x + TILE_PX] for a in (label, mapped))
        known = truth != IGNORE
        assert found.labelled[row] == pytest.approx(known.mean())
        if known.any():
            assert found.coverage[row] == pytest.approx((truth[known] == 1).mean())
            assert found.false_positive[row] == pytest.approx((said & (truth == 0)).sum() / known.sum(), abs=2e-3)
            assert found.false_negative[row] == pytest.approx((~said & (truth == 1)).sum() / known.sum(), abs=2e-3)


def test_the_queue_holds_windows_that_look_like_the_errors(run, tmp_path, capsys):
    here = run[0]
    words = [here.config, "--count", "5", "--kind", "false-positive", "--least", "0.05", "--out", str(tmp_path)]
    assert propose.main(words) == 0
    with open(tmp_path / "queue.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["order"] for row in rows] == [str(n + 1) for n in range(5)]
    assert {row["like_scene"] for row in rows} == {"2024-05-01"}
    assert {(int(row["like_row"]), int(row["like_col"])) for row in rows} <= set(GREEN)
    chosen = {(int(row["row"]), int(row["col"])) for row in rows if row["scene"] == "2024-05-02"}
    assert len(chosen & set(GREEN)) >= 3
    assert len(json.loads((tmp_path / "queue.geojson").read_text())["features"]) == 5
    assert "6 windows with errors" in capsys.readouterr().out


def test_errors_may_be_drawn_by_hand(run, tmp_path, capsys):
    here = run[0]
    items = read_run(load(RunConfig, here.config))
    row = next(r for r in range(len(items)) if items.row_of(r)["scene"] == "2024-05-01")
    lon, lat = items.lonlat[row + GREEN[1][0] * COLS + GREEN[1][1]]
    points = {"type": "Feature", "properties": {}, "geometry": {"type": "Point", "coordinates": [lon, lat]}}
    drawn = tmp_path / "alarms.geojson"
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": [points]}))
    assert propose.main([here.config, "--errors", str(drawn), "--count", "3", "--out", str(tmp_path)]) == 0
    assert "1 windows with errors" in capsys.readouterr().out
    points["geometry"]["coordinates"] = [0, 0]
    drawn.write_text(json.dumps({"type": "FeatureCollection", "features": [points]}))
    assert propose.main([here.config, "--errors", str(drawn)]) == 2
    assert "nothing of it lies in a window" in capsys.readouterr().err


def test_a_run_that_was_not_mapped_says_so(run, capsys):
    here = run[0]
    assert propose.main([here.config, "--set", "models=[]"]) == 2
    assert "is inferred, so nothing says where the networks err" in capsys.readouterr().err
    assert propose.main([here.config, "--count", "0"]) == 2
    assert "ask for one window or more" in capsys.readouterr().err


def test_the_audit_ranks_labels_that_are_unlike_those_of_their_kind(tmp_path, capsys):
    """Kinds are labelled whole or not at all; three windows are labelled the other way round."""
    kinds = np.random.default_rng(1).integers(0, 2, (ROWS, COLS))
    truth, array = kinds.astype(np.uint8), ground(1)
    for row, col in np.ndindex(ROWS, COLS):
        place(array, row, col)[:] = window(9 * kinds[row, col], 100 * row + col)
    flipped = [(0, 0), (3, 4), (6, 5)]
    for at in flipped:
        truth[at] = 1 - truth[at]
    label = truth.repeat(TILE_PX, 0).repeat(TILE_PX, 1)
    files = write_tif(tmp_path / "labels.tif", label, nodata=IGNORE)
    here = embedded(tmp_path, {"2024-05-01": array}, labels={"files": [files], "codes": {1: 1, 0: 0}})
    assert audit.main([here.config, "--top", "3", "--neighbours", "5"]) == 0
    with open(here.out / "audit" / "suspects.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(int(row["row"]), int(row["col"])) for row in rows} == set(flipped)
    assert f"{ROWS * COLS} labelled windows judged" in capsys.readouterr().out
    assert audit.main([here.config, "--neighbours", "100"]) == 2
    assert "63 labelled items saw something, and 100 neighbours" in capsys.readouterr().err
