"""Drift, as a command: what was planted is flagged, with its reason; the same ground again is not."""

import csv
import json

import numpy as np
import pytest

from jobs import drift
from tests.jobs.grounds import BLOCK_KM, COLS, embedded, ground, rerun
from tests.jobs.vectors import TILE_PX, write_embedder
from tests.jobs.worlds import BANDS

QUICK = ["--block-km", str(BLOCK_KM)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return embedded(tmp_path_factory.mktemp("reference"), {"2024-05-01": ground(1, 0), "2024-06-01": ground(1, 1)})


def judged(folder) -> dict[str, dict[str, str]]:
    with open(folder / "drift.csv") as file:
        return {row["region"]: row for row in csv.DictReader(file)}


def test_the_same_ground_at_another_date_does_not_drift(reference, tmp_path, capsys):
    run = rerun(reference, tmp_path, {"2024-07-01": ground(1, 2)})
    assert drift.main([run.config, "--reference", reference.config, *QUICK]) == 0
    told = capsys.readouterr().out
    assert "all: does not drift (p " in told
    assert "(gains not judged: 3 dates of the reference on the pixels of the run are needed, and 8 windows)" in told
    facts = json.loads((run.out / "drift" / "drift.json").read_text())
    assert facts["regions"][0]["drifts"] is False
    assert facts["asked"]["rate"] == 0.05


@pytest.mark.parametrize("planted", ["gain", "haze", "missing"])
def test_what_was_planted_is_flagged_where_it_is(reference, tmp_path, capsys, planted):
    now = ground(1, 2)
    half = now[:, :, : COLS // 2 * TILE_PX]
    if planted == "gain":
        half[:] = (half * 1.5).astype(np.uint16)
    elif planted == "haze":
        half[:] = (0.5 * half + 2500).astype(np.uint16)
    else:
        half[:, : 4 * TILE_PX] = 0
    run = rerun(reference, tmp_path, {"2024-07-01": now})
    regions = tmp_path / "regions.geojson"
    lon = _border(run)
    boxes = {"west": [120, 30, lon, 40], "east": [lon, 30, 130, 40]}
    features = [
        {
            "type": "Feature",
            "properties": {"code": name},
            "geometry": {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
        }
        for name, (w, s, e, n) in boxes.items()
    ]
    regions.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    words = ["--reference", reference.config, *QUICK, "--regions", str(regions), "--name", "code", "--out"]
    assert drift.main([run.config, *words, str(tmp_path / "found")]) == 3
    found = judged(tmp_path / "found")
    assert {name: row["drifts"] for name, row in found.items()} == {"west": "True", "east": "False"}
    assert ("missing" in found["west"]["reasons"]) == (planted == "missing")
    told = capsys.readouterr().out
    assert "east: does not drift" in told
    assert "west: drifts: " in told
    shapes = json.loads((tmp_path / "found" / "drift.geojson").read_text())["features"]
    assert [shape["properties"]["region"] for shape in shapes] == list(found)


def _border(run) -> float:
    from jobs.config import RunConfig
    from jobs.parsing import load
    from jobs.run_embeddings import read_run

    return float(np.unique(read_run(load(RunConfig, run.config)).lonlat[:COLS, 0])[COLS // 2 - 1]) + 0.0035


def test_a_gain_of_a_tenth_is_named_with_its_band_and_date(tmp_path, capsys):
    """Half a percent from date to date; the embedder is not asked: the gain is told by steady pixels."""
    dates = {f"2024-0{month}-01": ground(1, month, 0.005) for month in range(1, 6)}
    several = embedded(tmp_path / "several", dates)
    now = ground(1, 9, 0.005)
    now[2] = (now[2] * 1.1).astype(np.uint16)
    run = rerun(several, tmp_path / "now", {"2024-07-01": now})
    assert drift.main([run.config, "--reference", several.config, *QUICK]) == 3
    assert f"; gain {BANDS[2]} 1.10" in capsys.readouterr().out.replace("drifts: gain", "; gain")
    (row,) = judged(run.out / "drift").values()
    assert [reason for reason in row["reasons"].split("; ") if "gain" in reason] == [f"gain {BANDS[2]} 1.10"]
    assert float(row[f"gain_{BANDS[2]}"]) == pytest.approx(1.1, abs=0.01)
    assert float(row[f"gain_{BANDS[0]}"]) == pytest.approx(1, abs=0.01)
    assert (row[f"gain_{BANDS[2]}_dates"], row[f"gain_{BANDS[2]}_date"]) == ("5", "2024-07-01T00:00:00")

    same = rerun(several, tmp_path / "same", {"2024-07-01": ground(1, 9, 0.005)})
    assert drift.main([same.config, "--reference", several.config, *QUICK]) == 0
    assert "not judged" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--rate", "2"], "rate"),
        (["--region-km", "5", "--regions", "x.gpkg"], "polygons or squares, not both"),
        (["--regions", "x.gpkg"], "x.gpkg does not exist"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(reference, tmp_path, capsys, words, told):
    out = tmp_path / "nothing"
    assert drift.main([reference.config, "--reference", reference.config, "--out", str(out), *words]) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_too_little_ground_is_no_all_clear(reference, tmp_path, capsys):
    assert (
        drift.main([reference.config, "--reference", reference.config, "--block-km", "50", "--out", str(tmp_path)]) == 3
    )
    assert "not judged" in capsys.readouterr().out


def test_another_embedder_is_refused(reference, tmp_path, capsys):
    model = write_embedder(tmp_path / "second", seed=2)
    run = embedded(tmp_path, {"2024-07-01": ground(1, 2)}, model=model)
    assert drift.main([run.config, "--reference", reference.config]) == 2
    assert "embed both with one embedder" in capsys.readouterr().err
