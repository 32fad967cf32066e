"""The benchmarks run; what they find is not judged here."""

import os
import subprocess
import sys
from dataclasses import replace

import dask
import numpy as np
import pytest
import torch

from benchmarks import backends, dask_on_ray, gpu_infer, real_collections, scale, scaling, synthetic_guards, train
from tests.test_architecture import ROOT
from tests.windows import window_of
from tiler.logit_store import LogitStore
from tiler.map_store import MapStore

torch.set_num_threads(1)

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


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> gpu_infer.Setting:
    folder = str(tmp_path_factory.mktemp("gpu_infer"))
    setting = gpu_infer.Setting("bare", folder, "light", "cpu", "fp32", pixels=185, tile_px=128, seconds=0.01)
    gpu_infer.make_bundles(setting)
    gpu_infer.make_scene(setting)
    return setting


def test_the_rows_of_infer_on_a_gpu_are_measured_wherever_they_run(scene):
    """Two windows down and across, in two networks; what is measured has been written, whatever is in flight."""
    bare = gpu_infer.measure(replace(scene, profile=True))
    assert bare["windows_per_s"] > 0
    assert sum(kernel["share"] for kernel in bare["kernels"]) == pytest.approx(1, abs=0.1)
    written = []
    for in_flight in (1, 3):
        row = gpu_infer.measure(replace(scene, kind="end to end", in_flight=in_flight))
        assert row["windows"] == 4
        assert 0 < row["busy"] <= 1
        assert set(row["steps_s"]) == {"read_s", "forward_s", "wait_s", "write_s"}
        logits = LogitStore(f"{scene.folder}/logits.zarr")
        written.append(np.stack([window_of(logits, row, col) for row in range(2) for col in range(2)]))
        assert (np.ptp(written[-1].astype(np.float32), axis=(1, 2, 3)) > 0).all()
    np.testing.assert_array_equal(*written)
    cells = [cell.strip() for cell in gpu_infer.table([row]).splitlines()[-1].split("|")]
    assert cells[1:5] == ["end to end", "eager", "1", "3"]
    assert float(cells[7]) == pytest.approx(1e9 / 64**2 / row["windows_per_s"], abs=0.5)


def test_feeding_runs_no_network(scene, monkeypatch):
    monkeypatch.setattr("models.predict.load_files", lambda files: pytest.fail("a network was loaded"))
    row = gpu_infer.measure(replace(scene, kind="feed", in_flight=2))
    assert (row["windows"], row["busy"]) == (4, 0)


def test_the_median_row_of_each_place_is_told():
    rounds = [[{"windows_per_s": a}, {"windows_per_s": b}] for a, b in ((1.0, 9.0), (3.0, 7.0), (2.0, 8.0))]
    assert gpu_infer.medians(rounds) == [{"windows_per_s": 2.0}, {"windows_per_s": 8.0}]


def test_backends_are_asked_in_turns_and_one_that_ended_is_told():
    words = [sys.executable, "-c", "print('exporting'); print(3); print(float(input()) * 2, flush=True)"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert backends.ask(process) == 3
        assert backends.ask(process, "4") == 8
        with pytest.raises(EOFError):
            backends.ask(process)
    found = {
        "torch fp32": {"seconds": [0.4, 0.2, 0.3], "largest_error": 0.0, "rms_error": 0.0, "prepare_s": 1.0},
        "openvino fp32": {"seconds": [0.1, 0.15, 0.2], "largest_error": 1e-4, "rms_error": 1e-5, "prepare_s": 5.0},
        "compile fp32": {"note": "no compiler"},
    }
    lines = backends.table("small", found).splitlines()
    assert "| torch fp32 | 300 | 1.00 |" in lines[2]
    assert "| openvino fp32 | 150 | 2.00 |" in lines[3]
    assert "no compiler" in lines[4]


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


def test_simulated_workers_do_every_unit_and_none_is_faster_than_its_time():
    undisturbed = scaling.Simulation(3, [20.0, 30.0], None).run()
    assert undisturbed.units == undisturbed.workers * int(scaling.SPAN_S / 25)
    assert 0.9 < undisturbed.efficiency <= 1
    assert undisturbed.twice == 0
    disturbed = scaling.Simulation(3, [20.0, 30.0], lives_s=200.0).run()
    assert disturbed.units == undisturbed.units
    assert disturbed.twice > 0
    assert disturbed.efficiency < undisturbed.efficiency


def test_dask_on_ray_and_threads_are_asked_for_the_same(tmp_path):
    url = f"{tmp_path}/map.zarr"
    dask_on_ray.make_map(url, 1, 1)
    row = dask_on_ray.measure(url, None, 1, 1, dask.local.get_sync)
    assert row["tasks"] > 16
    cells = [cell.strip() for cell in dask_on_ray.table([row]).splitlines()[-1].split("|")]
    assert cells[1:3] == ["as stored", str(row["tasks"])]
    _, (area, spread) = dask_on_ray.seconds_of(url, 1024, 1, scheduler="threads", num_workers=1)
    logit = MapStore(url).read("logit", MapStore(url).extent)
    assert area == (logit >= 0).sum() * 100
    assert 0 < spread < 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("search", ["--counts", "600", "--repeats", "1", "--folder", "vectors", "--out", "found.json"]),
        ("embed", ["--networks", "vit_tiny", "--images", "8", "--rounds", "1", "--out", "found.json"]),
        (
            "frames",
            ["--frames", "20", "--height", "40", "--width", "56", "--rounds", "1", "--folder", "f", "--out", "f.json"],
        ),
    ],
)
def test_benchmarks_of_embeddings_run_to_their_table(name, words, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"benchmarks.{name}", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| --- |" in done.stdout


def test_photos_of_one_tile_are_never_divided():
    names = [f"MT_{kind}/exp{1 + n % 6}_num_{number}.jpg" for n, (kind, number) in enumerate(
        [("Fray", 258536), ("Fray", 258558), ("Fray", 258619), ("Free", 258900), ("Break", 116934), ("Free", 117012)]
    )]  # fmt: skip
    groups = real_collections.tile_groups(names)
    assert len({groups[name] for name in names[:3]}) == 1
    assert groups[names[3]] != groups[names[2]]
    assert groups[names[4]] == groups[names[5]], "the class does not matter"
    found = real_collections.folds(groups, {name: name.split("/")[0] for name in names})
    assert set(found) == set(names)
    assert all(found[one] == found[other] for one in names for other in names if groups[one] == groups[other])
