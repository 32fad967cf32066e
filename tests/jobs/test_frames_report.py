"""Lists of a frame series."""

import json
from pathlib import Path

import numpy as np

from cluster.storage import Storage
from jobs.frames_report import frame_rows, gaps, write_lists
from tests.tiler.frames_for_tests import write_frames
from tiler.frame_index import Entry, FrameIndex
from tiler.frame_spec import FrameSpec
from tiler.frame_store import FrameStore

HOURS = np.array([0, 3, 12, 15])
TIMES = np.datetime64("2011-03-01T00:00", "s") + HOURS.astype("timedelta64[h]")
SLOTS = (TIMES.astype(np.int64) // 10800).tolist()


def series(folder: Path) -> tuple[FrameStore, FrameIndex]:
    """Four steps of two bands, of which the second step has one band and the last is damaged as a whole."""
    valid = np.ones((3, 2, 4, 4), bool)
    valid[1, 1] = False
    url = write_frames(folder, np.full(valid.shape, 7, np.uint8), valid, TIMES[:3], ("ir", "wv"))
    found = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
    entries = tuple(Entry(SLOTS[at], band, f"f{at}{band}", "") for at, band in found)
    spec = FrameSpec(files="x")
    return FrameStore(url), FrameIndex("coms", "coms", ("ir", "wv"), spec, entries, 2, (("a.txt", "no band"),))


def test_a_row_for_every_step_of_which_there_are_files(tmp_path):
    store, index = series(tmp_path)
    damaged = {"f30": "cut", "f31": "cut"}
    assert list(frame_rows(store, index, damaged)) == [
        ("2011-03-01T00:00:00", "ir wv", "0.000000", ""),
        ("2011-03-01T03:00:00", "ir", "0.500000", ""),
        ("2011-03-01T12:00:00", "ir wv", "0.000000", ""),
        ("2011-03-01T15:00:00", "ir wv", "", "ir wv"),
    ]
    assert gaps(store) == [{"after": "2011-03-01T03:00:00", "steps": 2}]


def test_the_lists_of_a_run(tmp_path):
    store, index = series(tmp_path / "store")
    write_lists(Storage(str(tmp_path / "out")), store, index, {"f30": "cut"})
    facts = json.loads((tmp_path / "out/quality.json").read_text())
    assert (facts["frames"], facts["between_steps"], facts["damaged"]) == (3, 2, {"f30": "cut"})
    assert facts["missing_ratio"] == {"mean": 0.166667, "largest": 0.5}
    assert (tmp_path / "out/unmatched.csv").read_text() == "path,reason\na.txt,no band\n"
    assert (tmp_path / "out/frames.png").read_bytes().startswith(b"\x89PNG")
