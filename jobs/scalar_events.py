"""TensorBoard event files: the numbers of a training, one file for each attempt, on a disk or in an object store.

tensorboardX supplies the messages and the checksum. Its writer is left aside: it works from a thread that gives no
sign when a row is in the file, and an object store takes whole objects only, which would often lack the last one.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.storage import Storage

FOLDER = "tensorboard"
TRAINING = {"training_loss": "loss", "learning_rate": "learning_rate", "seconds": "seconds"}
"""What of a history is not a score of the validation, and how it is called here."""


class ScalarEvents:
    """One event file, which holds the whole history: that of earlier attempts is written again and theirs is purged.

    So a resumed run has every point once, also where the attempt before it died between a row and a checkpoint.
    """

    def __init__(self, storage: Storage) -> None:
        """Take the folder of the run; the file lies in `FOLDER` below it, and is made with the first row."""
        # TensorBoard reads the files of a folder in the order of their names
        self.key = f"{FOLDER}/events.out.tfevents.{time.time_ns()}.{socket.gethostname() or 'host'}"
        self._storage = storage
        self._data = b""
        self._rows = 0

    def append(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of `history` that are not in the file yet; `epoch` is their step."""
        fresh, now_s = history[self._rows :], time.time()
        added = b"" if self._data else _opening(now_s)
        for place, row in enumerate(fresh):
            later_s = sum(float(after.get("seconds", 0.0)) for after in fresh[place + 1 :])
            added += _row(row, now_s - later_s)
        if self._storage.is_local:  # appended in place: a TensorBoard that has the file open goes on in it
            path = self._storage.path(self.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(added)
        else:
            self._storage.put(self.key, self._data + added)
        self._data, self._rows = self._data + added, len(history)


def scalars_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a history's row under the tags that TensorBoard groups them by."""
    numbers = {k: v for k, v in row.items() if isinstance(v, int | float) and not isinstance(v, bool) and k != "epoch"}
    return {
        f"training/{TRAINING[key]}" if key in TRAINING else f"validation/{key}": float(value)
        for key, value in numbers.items()
        if math.isfinite(value)
    }


def _opening(now_s: float) -> bytes:
    """Return what a file begins with: its version, and that all points of earlier files are void."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    version = Event(wall_time=now_s, file_version="brain.Event:2")
    start = Event(wall_time=now_s, step=0, session_log=SessionLog(status=SessionLog.START))
    return _record(version.SerializeToString()) + _record(start.SerializeToString())


def _row(row: Mapping[str, Any], at_s: float) -> bytes:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars_of(row).items()]
    event = Event(wall_time=at_s, step=int(row["epoch"]), summary=Summary(value=values))
    return _record(event.SerializeToString())


def _record(data: bytes) -> bytes:
    """Frame a message as a TFRecord: length, its checksum, the message, its checksum, little-endian."""
    from tensorboardX.record_writer import masked_crc32c

    header = struct.pack("<Q", len(data))
    return header + struct.pack("<I", masked_crc32c(header)) + data + struct.pack("<I", masked_crc32c(data))
