"""The benchmarks run; what they find is not judged here."""

from dataclasses import replace

import pytest
import torch

from benchmarks import scale, synthetic_guards, train

QUICK = train.Setting("unet", "fp32", "tu-mobilenetv3_small_050", side_px=32, batch=2, steps=1, warmup=1)


@pytest.mark.parametrize("reader", ["memory", "augment"])
def test_a_row_of_the_training_table(reader):
    row = train.measure(replace(QUICK, reader=reader))
    assert "note" not in row
    assert all(row[name] > 0 for name in ("trainer", "bare", "ratio", "cpu_ratio", "loader"))
    cells = [cell.strip() for cell in train.table([row]).splitlines()[-1].split("|")]
    assert cells[1:3] == ["unet", "fp32"]
    assert float(cells[5]) == pytest.approx(row["ratio"], abs=1e-3)


def test_tiles_are_read_as_they_were_packed():
    tiles = train.Tiles(QUICK, kept=3)
    assert len(tiles) == 4
    image, label = tiles[3]
    assert (image.shape, image.dtype.name, label.shape, set(label.ravel())) == (
        (5, 32, 32),
        "float32",
        (32, 32),
        {0, 1, 255},
    )
    assert 1_000 < image[:4].mean() < 2_000
    assert (image == tiles[0][0]).all()
    assert not (image == tiles[1][0]).all()


def test_a_row_without_memory_says_so_and_keeps_what_was_found(monkeypatch):
    def full(setting):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(train, "bare_seconds", full)
    row = train.measure(QUICK)
    assert row["note"] == "out of memory"
    assert row["trainer"] > 0
    assert "| – |" in train.table([row])


def test_a_row_that_dies_is_told_and_is_not_the_end():
    row = train.measure_apart(replace(QUICK, architecture="unot"))
    assert row["note"].startswith("failed (1): ")
    assert "unot" in train.table([row])


def test_the_interval_of_a_mean_is_student_s():
    mean, half = synthetic_guards.interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert synthetic_guards.interval([0.1]) == (0.1, float("inf"))


def test_a_stage_that_does_nothing_runs_to_a_share_and_goes_on(tmp_path):
    run = scale.run_of(str(tmp_path / "run"), tmp_path / "bundles", 2)
    first = scale.measure_infer(run, "serial", 0.5)
    assert (first["units"], first["before"], first["done"]) == (2 * 49, 0, 49)
    assert first["windows_per_s"] == pytest.approx(625 / first["seconds"])
    second = scale.measure_infer(run, "serial", 1.0)
    assert (second["before"], second["done"]) == (49, 98)
    assert list(second["memory_bytes"]) == ["planned", "55 %", "64 %", "73 %", "83 %", "92 %", "end"]
    planned = scale.measure_plan(run)
    assert planned["units"]["infer"] == [98, 98]
    assert planned["units"]["mosaic"][0] == planned["cells"] > 36
