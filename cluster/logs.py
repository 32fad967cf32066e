"""The log of a run: one JSON object a line, in the run's own folder, whatever machine the driver is on.

    OUT/logs/<run>/1.jsonl     on a disk one file that grows; in an object store a new one every few seconds

Every line has `time` (UTC), `level`, `run` and `message`; and, where they mean something, `event`, `stage`, `unit`,
`attempt`, `worker` and `error` (a traceback). Secrets are taken out (`cluster.redact`).
"""

from __future__ import annotations

import json
import logging
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any, Self

from cluster.redact import redact, redacted
from cluster.storage import Storage

FIELDS = ("event", "stage", "unit", "attempt", "worker", "kind", "after_s", "seconds", "facts")
"""Of a record's `extra`, what is kept."""
SPOKEN = {"message", "error", "facts"}
"""What may hold a secret."""
LOGGERS = ("cluster", "jobs", "tiler", "models")
"""Whose records are kept from INFO on; of all others from WARNING on."""
FLUSH_S, FLUSH_BYTES = 5.0, 1 << 20
"""How long, and how much of, a log of an object store may wait in memory."""


def new_run(job: str) -> str:
    """Return a name for a run that begins now: it sorts by time, and no two are alike."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{job}-{uuid.uuid4().hex[:6]}"


class RunLog(logging.Handler):
    """Keeps what is logged while it is entered; `stage` is written into every line."""

    def __init__(self, storage: Storage, run: str) -> None:
        super().__init__(logging.INFO)
        self.run, self.stage = run, ""
        self._storage = storage.child(f"logs/{run}")
        self._file: IO[str] | None = None
        self._lines: list[str] = []
        self._bytes, self._parts, self._flushed_s, self._broken = 0, 0, time.monotonic(), False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; where that fails it is said once, and the run goes on."""
        if record.levelno < logging.WARNING and record.name.partition(".")[0] not in LOGGERS:
            return
        try:
            self._keep(json.dumps(self._entry(record), ensure_ascii=False, default=str))
        except Exception as error:
            if not self._broken:
                self._broken = True
                print(f"the log cannot be written: {error}", file=sys.stderr)

    def _entry(self, record: logging.LogRecord) -> dict[str, Any]:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry = {"time": when, "level": record.levelname, "run": self.run, "stage": self.stage}
        entry |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        entry["message"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = logging.Formatter().formatException(record.exc_info)
        elif hasattr(record, "error"):
            entry["error"] = record.error
        for key in SPOKEN & entry.keys():
            entry[key] = redacted(entry[key])
        return {key: value for key, value in entry.items() if value not in ("", None)}

    def _keep(self, line: str) -> None:
        if self._storage.is_local:
            if self._file is None:
                self._storage.path().mkdir(parents=True, exist_ok=True)
                self._file = self._storage.path("1.jsonl").open("a", encoding="utf-8", errors="backslashreplace")
            self._file.write(line + "\n")
            self._file.flush()  # of a driver that is killed, everything is there
            return
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= FLUSH_BYTES or time.monotonic() - self._flushed_s >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what waits for the object store."""
        if self._lines:
            self._parts += 1
            text = "\n".join(self._lines) + "\n"
            self._storage.put(f"{self._parts}.jsonl", text.encode("utf-8", "backslashreplace"))
            self._lines, self._bytes = [], 0
        self._flushed_s = time.monotonic()

    def __enter__(self) -> Self:
        root = logging.getLogger()
        root.addHandler(self)
        self._levels = {name: logging.getLogger(name).level for name in LOGGERS}
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        try:
            self.flush()
        except OSError as failed:
            print(f"the end of the log cannot be written: {redact(str(failed))}", file=sys.stderr)
        if self._file is not None:
            self._file.close()
            self._file = None


def runs(storage: Storage) -> list[str]:
    """Return the names of the runs that have a log, the latest last."""
    return sorted({key.split("/")[1] for key in storage.list("logs") if key.endswith(".jsonl")})


def entries(storage: Storage, run: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a run's log in order; of a driver that was killed, a half line at the end is left out."""
    folder = storage.child(f"logs/{run}")
    parts = sorted((key for key in folder.children() if key.endswith(".jsonl")), key=lambda key: int(key[:-6]))
    for part in parts:
        for line in folder.get(part).decode("utf-8", "replace").splitlines():
            try:
                yield dict(json.loads(line))
            except ValueError:
                continue
