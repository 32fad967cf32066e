"""Event files: framed as TensorBoard frames them, each point once whatever was resumed, whole after each epoch."""

import math
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from cluster.storage import Storage
from jobs.scalar_events import FOLDER, ScalarEvents, scalars_of


def history(epochs: int, gain: float = 0.0) -> list[dict]:
    return [
        {"epoch": e, "training_loss": 1 / (e + 1), "learning_rate": 0.5, "mIoU": 0.5 + gain + e / 100, "seconds": 60.0}
        for e in range(epochs)
    ]


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720 bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events_of(data: bytes) -> list[Event]:
    """Read TFRecords as TensorBoard does, checksums and all."""
    events = []
    while data:
        (length,), header = struct.unpack("<Q", data[:8]), data[:8]
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked(header)
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(body)
        events.append(Event.FromString(body))
        data = data[16 + length :]
    return events


def shown(files: list[bytes]) -> list[tuple[str, int, float]]:
    """What TensorBoard shows of a folder: a session's start voids the points from its step on."""
    points: list[tuple[str, int, float]] = []
    for data in files:
        for event in events_of(data):
            if event.session_log.status == SessionLog.START:
                points = [point for point in points if point[1] < event.step]
            points += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return points


def files_in(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((out / FOLDER).iterdir())]


def test_the_checksum_is_that_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


def test_each_row_is_in_the_file_as_soon_as_it_is_given(tmp_path):
    events = ScalarEvents(Storage(str(tmp_path)))
    for epochs in range(1, 4):
        events.append(history(epochs))
        (data,) = files_in(tmp_path)
        points = shown([data])
        assert [p[1:] for p in points if p[0] == "validation/mIoU"] == [
            (e, pytest.approx(0.5 + e / 100)) for e in range(epochs)
        ]
        assert {tag for tag, _, _ in points} == {
            "training/loss", "training/learning_rate", "training/seconds", "validation/mIoU"
        }  # fmt: skip
    assert events_of(data)[0].file_version == "brain.Event:2"  # without it, TensorBoard keeps the void points


def test_a_file_only_grows(tmp_path):
    events = ScalarEvents(Storage(str(tmp_path)))
    events.append(history(1))
    (before,) = files_in(tmp_path)
    events.append(history(2))
    (after,) = files_in(tmp_path)
    assert after.startswith(before)
    assert len(after) > len(before)


@pytest.mark.parametrize("again_from", [0, 2, 4])
def test_a_resumed_run_has_every_point_once(tmp_path, again_from):
    first = ScalarEvents(Storage(str(tmp_path)))
    for epochs in range(1, 5):
        first.append(history(epochs))
    resumed = ScalarEvents(Storage(str(tmp_path)))
    merged = history(again_from) + history(6, gain=0.2)[again_from:]
    for epochs in range(again_from + 1, 7):
        resumed.append(merged[:epochs])
    files = files_in(tmp_path)
    assert len(files) == 2
    scores = [p[1:] for p in shown(files) if p[0] == "validation/mIoU"]
    assert scores == [(row["epoch"], pytest.approx(row["mIoU"])) for row in merged]


def test_rows_of_an_earlier_attempt_keep_their_distance_in_time(tmp_path):
    events = ScalarEvents(Storage(str(tmp_path)))
    events.append(history(3))
    (data,) = files_in(tmp_path)
    times = [event.wall_time for event in events_of(data) if event.summary.value]
    assert [later - earlier for earlier, later in pairwise(times)] == [pytest.approx(60.0)] * 2


def test_an_object_store_gets_whole_objects(tmp_path, monkeypatch):
    put: dict[str, list[bytes]] = {}
    storage = Storage("s3://nowhere/run")
    monkeypatch.setattr(Storage, "put", lambda self, key, data: put.setdefault(key, []).append(data))
    events = ScalarEvents(storage)
    events.append(history(1))
    events.append(history(2))
    assert list(put) == [events.key]
    assert [len([p for p in shown([data]) if p[0] == "training/loss"]) for data in put[events.key]] == [1, 2]


def test_a_row_that_could_not_be_stored_comes_with_the_next(tmp_path, monkeypatch):
    put: list[bytes] = []

    def once_broken(self, key, data):
        if not put:
            put.append(b"")
            raise OSError("gone")
        put.append(data)

    monkeypatch.setattr(Storage, "put", once_broken)
    events = ScalarEvents(Storage("s3://nowhere/run"))
    with pytest.raises(OSError, match="gone"):
        events.append(history(1))
    events.append(history(2))
    assert [p[1] for p in shown([put[1]]) if p[0] == "training/loss"] == [0, 1]


def test_only_finite_numbers_are_scalars():
    row = {"epoch": 3, "training_loss": math.inf, "mIoU": math.nan, "iou_2": 0.25, "best": True, "note": "warm"}
    assert scalars_of(row) == {"validation/iou_2": 0.25}
