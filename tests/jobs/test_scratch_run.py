"""The reproduction of the scratch document from photos to pictures; everything is done once."""

import csv
import json
from types import SimpleNamespace

import pytest

from jobs import scratch, scratch_cli, scratch_run
from jobs.reproduce import main
from jobs.scratch import ROWS, Scale
from models.card import read_card
from tests.jobs.worlds import files_below
from tests.real_data import needs, real


@pytest.fixture
def smaller(monkeypatch):
    """Let the tiny scale be tinier still."""
    one = Scale(
        14,
        64,
        "",
        side_px=64,
        tile_px=32,
        tiles_per_epoch=16,
        share_of_epochs=0.01,
        width=2,
        encoder="tu-mobilenetv3_small_050",
        threads=1,
        on_scratches=0.75,
    )
    for module in (scratch, scratch_cli):
        monkeypatch.setitem(module.SCALES, "tiny", one)


@pytest.mark.slow
def test_from_photos_to_the_table(smaller, tmp_path, capsys):
    command = ["scratch", "--out", str(tmp_path / "out"), "--seed", "1"]
    assert main(command) == 0
    told = capsys.readouterr()
    for word in ("0.2107", "warm restarts", "Trivial answers", "show every photo", "nothing is asked", "Canny"):
        assert word in told.out
    out = tmp_path / "out"
    for name in ("table.csv", "table.txt", "report.md", "report.html", "panel.png", "variants.png"):
        assert (out / name).stat().st_size > 0
    with (out / "table.csv").open(newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == [row.name for row in ROWS]
    scores = json.loads((out / "scores.json").read_text())
    assert set(scores["networks"]) == {row.name for row in ROWS}
    assert scores["trivial"]["nothing"]["scores"]["iou"] == 0
    assert read_card(out / "models" / "H").architecture == "unet3plus"
    before = files_below(out / "models")
    assert main([*command, "--goal", "0.99"]) == 3
    told = capsys.readouterr().out
    assert told.count("is trained already") == len(ROWS)
    assert "NOT PASSED" in told
    assert files_below(out / "models") == before


@pytest.mark.slow
@needs("car_scratches")
def test_real_photos_without_their_copies(smaller, tmp_path, capsys):
    place = real("car_scratches")
    words = ["--data", str(place), "--out", str(tmp_path / "out"), "--test", "same-as-val"]
    assert main(["scratch", *words]) == 0
    told = capsys.readouterr()
    assert "WARNING: test is the same as validation" in told.out
    assert "there is one source only" in told.out
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert scores["trivial"]["everything"]["scores"]["truth"] > 0.02


@pytest.mark.parametrize(("held", "missing"), [({"train": 0, "test": 2}, "train"), ({"train": 3, "test": 0}, "test")])
def test_parts_without_a_scratch_are_refused(monkeypatch, held, missing):
    rows = [{"source": "all", "part": part, "photos": 5, "with scratches": count} for part, count in held.items()]
    monkeypatch.setattr(scratch_run, "source_counts", lambda planned: rows)
    with pytest.raises(ValueError, match=f"no photo of the part {missing} holds a scratch"):
        scratch_run._check_scratches(SimpleNamespace(judged="test"))
