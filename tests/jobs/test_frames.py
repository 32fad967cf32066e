"""Frame series, from files to store, by the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cluster.storage import Storage
from jobs import status, sweep
from jobs.config import RunConfig
from jobs.frames import plan_frames
from jobs.ingest import main
from jobs.parsing import load
from jobs.shell import BAD_INPUT, DONE, INCOMPLETE
from tests.real_data import needs, real
from tests.tiler.frames_for_tests import kma_name, write_pngs
from tiler.frame_store import FrameStore

BANDS = ("ir1", "swir", "wv")
START = np.datetime64("2011-03-01T00:00")
HOURS = np.array([*range(0, 60, 3), *range(72, 90, 3), 3 * 70, 3 * 130, 3 * 131])
IMAGES = np.random.default_rng(2).integers(0, 256, (len(HOURS), 3, 6, 9), np.uint8)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write frames in three blocks of time, and the run that ingests them."""
    write_pngs(tmp_path / "files", IMAGES, START + HOURS.astype("timedelta64[h]"), BANDS)
    config = {
        "out": str(tmp_path / "out"),
        "frames": {"files": str(tmp_path / "files"), "bands": ["ir", "swir", "wv"], "side_px": 3},
        "engine": {"kind": "serial"},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def store_of(run: Path, *changes: str) -> FrameStore:
    return FrameStore(plan_frames(load(RunConfig, str(run), list(changes))).url)


def rows(run: Path, name: str) -> list[dict[str, str]]:
    with (run.parent / "out" / name).open() as file:
        return list(csv.DictReader(file))


def file_of(run: Path, hour: int, band: str) -> Path:
    time = START + np.timedelta64(hour, "h")
    return run.parent / "files" / str(time.astype("datetime64[D]")) / kma_name("coms", band, time)


def filled(run: Path, monkeypatch: pytest.MonkeyPatch, code: int = DONE) -> list[int]:
    """Ingest, and return the blocks that were done."""
    from tiler.frame_source import FrameSource

    done: list[int] = []
    plain = FrameSource.fill

    def counted(self, group, block):  # type: ignore[no-untyped-def]
        done.append(block.index)
        return plain(self, group, block)

    with monkeypatch.context() as patch:
        patch.setattr(FrameSource, "fill", counted)
        assert main([str(run)]) == code
    first = int(plan_frames(load(RunConfig, str(run))).source.layout.first_slot)
    slot = int((START.astype("datetime64[h]").astype(int) // 3 - first) // 64)
    return sorted(index - slot for index in done)


def test_a_series_becomes_a_store_with_lists(run: Path, capsys: pytest.CaptureFixture) -> None:
    (run.parent / "files/README.txt").write_text("about")
    assert main([str(run)]) == DONE
    store = store_of(run)
    assert store.times.tolist() == (START + HOURS.astype("timedelta64[h]")).astype("datetime64[s]").tolist()
    images, valid = store.read(0, len(store))
    assert valid.all()
    weights = np.zeros((9, 3))  # the crop of 9 columns begins at 1.5
    weights[[1, 2, 3], 0] = 0.25, 0.5, 0.25
    weights[[3, 4, 5], 1] = 0.25, 0.5, 0.25
    weights[[5, 6, 7], 2] = 0.25, 0.5, 0.25
    down = np.kron(np.eye(3), np.full((1, 2), 0.5))
    np.testing.assert_allclose(images, np.einsum("yi,nbij,jx->nbyx", down, IMAGES.astype(float), weights), atol=0.5)
    said = capsys.readouterr().out
    assert "2011-03-01 00:00 to 2011-03-17 09:00" in said
    assert "132 steps of 180 min, 29 found, 103 missing, longest gap 177 h after 2011-03-09 18:00" in said
    frames = rows(run, "frames.csv")
    assert (len(frames), frames[20]) == (
        29,
        {"time": "2011-03-04T00:00:00", "bands": "ir swir wv", "missing_ratio": "0.000000", "damaged": ""},
    )
    assert [row["path"] for row in rows(run, "unmatched.csv")] == [str(run.parent / "files/README.txt")]
    gaps = json.loads((run.parent / "out/quality.json").read_text())["gaps"]
    assert [gap["steps"] for gap in gaps] == [4, 40, 59]


def test_only_blocks_whose_files_changed_are_done_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled(run, monkeypatch) == [0, 1, 2]
    first = store_of(run)
    assert filled(run, monkeypatch) == []
    later = np.array([3 * 131 + 3, 3 * 300])
    write_pngs(run.parent / "files", IMAGES[:2], START + later.astype("timedelta64[h]"), BANDS)
    assert filled(run, monkeypatch) == [2, 4]
    grown = store_of(run)
    assert grown.url == first.url
    assert len(grown) == len(first) + 2
    assert grown.digests[: len(first)].tolist() == first.digests.tolist()
    paths = [file_of(run, int(hour), band) for hour in later for band in BANDS]
    for path in paths:
        path.unlink()  # as it was before
    assert filled(run, monkeypatch) == [2, 4]
    assert store_of(run).digest == first.digest
    assert filled(run, monkeypatch) == []


def test_what_was_changed_back_is_read_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(run, 0, "wv")
    before = path.stat()
    assert filled(run, monkeypatch) == [0, 1, 2]
    digest, data = store_of(run).digest, path.read_bytes()
    write_pngs(run.parent / "files", 255 - IMAGES[:1], np.array([START]), BANDS)
    assert filled(run, monkeypatch) == [0]
    assert store_of(run).digest != digest
    import os

    for at, band in enumerate(BANDS):
        write_pngs(run.parent / "files", IMAGES[:1, at : at + 1], np.array([START]), (band,))
    path.write_bytes(data)
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert filled(run, monkeypatch) == [0]
    assert store_of(run).digest == digest


def test_a_run_that_was_killed_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiler.frame_source import FrameSource

    plain = FrameSource.fill

    def fails(self, group, block):  # type: ignore[no-untyped-def]
        if block.index % 3 == 0:
            raise KeyboardInterrupt
        return plain(self, group, block)

    with monkeypatch.context() as patch:
        patch.setattr(FrameSource, "fill", fails)
        assert main([str(run)]) == 130
    again = filled(run, monkeypatch)
    assert 1 <= len(again) <= 3
    whole = store_of(run)
    assert main([str(run), "--set", f"out={run.parent / 'other'}"]) == DONE
    assert store_of(run, f"out={run.parent / 'other'}").digest == whole.digest


def test_a_store_that_is_gone_is_made_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    assert filled(run, monkeypatch) == [0, 1, 2]
    before = store_of(run)
    shutil.rmtree(before.url)
    assert filled(run, monkeypatch) == [0, 1, 2]
    assert store_of(run).digest == before.digest


def test_damaged_files_are_named_and_the_rest_is_ingested(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = file_of(run, 3, "swir")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert main([str(run)]) == INCOMPLETE
    assert f"quarantined: {path}: {path} cannot be read" in capsys.readouterr().err
    store = store_of(run)
    assert len(store) == len(HOURS)
    assert store.missing_ratio.max() == pytest.approx(1 / 3)
    row = rows(run, "frames.csv")[1]
    assert (row["damaged"], row["missing_ratio"]) == ("swir", "0.333333")
    assert main([str(run)]) == INCOMPLETE  # it still is
    path.write_bytes(whole)
    assert filled(run, monkeypatch) == [0]
    assert store_of(run).missing_ratio.max() == 0


@pytest.mark.slow
def test_workers_of_ray_write_what_one_process_does(run: Path) -> None:
    assert main([str(run)]) == DONE
    ray = [f"out={run.parent / 'ray'}", "engine.kind=ray", "engine.workers=2"]
    assert main([str(run), *(word for change in ray for word in ("--set", change))]) == DONE
    assert store_of(run, ray[0]).digest == store_of(run).digest


def test_a_dry_run_and_the_status_touch_nothing(run: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(run), "--dry-run"]) == DONE
    said = capsys.readouterr().out
    assert "3 blocks of 64 steps" in said
    assert "29 found, 103 missing" in said
    assert not (run.parent / "out").exists()
    assert status.main([str(run)]) == INCOMPLETE
    assert main([str(run)]) == DONE
    capsys.readouterr()
    assert status.main([str(run.parent / "out"), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)
    assert [(s["stage"], s["done"], s["pending"]) for s in found["stages"]] == [("ingest", 3, 0)]


def test_sweep_removes_stores_of_other_settings_only(run: Path) -> None:
    assert main([str(run), "--set", "frames.side_px=2"]) == DONE
    assert main([str(run)]) == DONE
    assert len(list((run.parent / "out/ingest").iterdir())) == 2
    assert sweep.main([str(run)]) == DONE
    assert [p.name for p in (run.parent / "out/ingest").iterdir()] == [Path(store_of(run).url).name]
    assert main([str(run)]) == DONE
    assert len(store_of(run)) == len(HOURS)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("frames.files=/nowhere", "nothing matches '/nowhere'"),
        ("frames.bands=[ir, vis]", "['vis'] are not in"),
        ("frames.sied_px=3", "did you mean 'side_px'"),
        ("scenes=a.tif", "a run has `scenes` or `frames`, not both"),
        ("frames.files=https://somewhere/x", "may not be opened"),
        ("frames.burned_in.top_px=6", "leave nothing of 6"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    run: Path, override: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert main([str(run), "--set", override]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (run.parent / "out").exists()


def test_frames_are_not_mapped(run: Path, capsys: pytest.CaptureFixture) -> None:
    from jobs.map import main as map_main

    assert map_main([str(run)]) == BAD_INPUT
    assert "names `frames`, of which no map is made" in capsys.readouterr().err


@pytest.mark.slow
def test_files_and_store_in_an_object_store(run: Path, bucket: str, capsys: pytest.CaptureFixture) -> None:
    """The bucket holds the files as the folder does; an unchanged rerun does nothing, a damaged object is named."""
    address = bucket.removesuffix("/runs/june")
    storage = Storage(address)
    for path in sorted((run.parent / "files").rglob("*.png")):
        storage.put(f"files/{path.relative_to(run.parent / 'files')}", path.read_bytes())
    there = [f"out={address}/out", f"frames.files={address}/files"]
    words = [str(run), *(word for change in there for word in ("--set", change))]
    assert main(words) == DONE
    assert main([str(run)]) == DONE
    assert store_of(run, *there).digest == store_of(run).digest
    storage.put(f"files/{file_of(run, 3, 'wv').relative_to(run.parent / 'files')}", b"no picture")
    capsys.readouterr()
    assert main(words) == INCOMPLETE
    assert "quarantined: s3://" in capsys.readouterr().err
    assert store_of(run, *there).missing_ratio.max() == pytest.approx(1 / 3)


@needs("weather_coms")
def test_real_frames_of_coms(tmp_path: Path) -> None:
    frames = {"files": str(real("weather_coms")), "step_minutes": 60, "burned_in": {"top_px": 6, "lines": True}}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"out": str(tmp_path / "out"), "frames": frames, "engine": {"kind": "serial"}}))
    assert main([str(path)]) == DONE
    store = store_of(path)
    assert (store.series, store.bands, store.height_px, store.width_px) == ("coms", ("ir", "swir", "wv"), 224, 224)
    assert store.step_s == 3600
    assert 10 <= len(store) <= 15
    images, valid = store.read(0, len(store))
    assert not valid[:, :, :4].any()
    assert valid[:, :, 5:].mean() > 0.98
    assert images[:, 0].std() > 30


@needs("weather_seviri_zarr")
def test_a_real_zarr_of_one_band(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    frames = {"files": str(real("weather_seviri_zarr/sat_data.zarr")), "step_minutes": 5, "series": "seviri"}
    path.write_text(yaml.safe_dump({"out": str(tmp_path / "out"), "frames": frames, "engine": {"kind": "serial"}}))
    assert main([str(path)]) == BAD_INPUT  # nobody says what 853 means
    assert main([str(path), "--set", "frames.value_range=[0, 1023]"]) == DONE
    store = store_of(path, "frames.value_range=[0, 1023]")
    assert (store.bands, len(store), str(store.dtype)) == (("ir016",), 25, "int16")
    unit, valid = store.unit_images(0, 25)
    assert valid.all()
    assert 0.05 < unit.mean() < 0.6
    scanned = ["frames.value_range=[0, 1023]", "frames.nodata=0"]
    assert main([str(path), *(word for change in scanned for word in ("--set", change))]) == DONE
    _, valid = store_of(path, *scanned).read(12, 13)
    assert not valid[0, 0, :30, 160:].any()  # beyond what was scanned, north-east
    assert valid[0, 0, 35:].mean() > 0.95
