"""What a train function may call, wherever it runs: rank, device, progress, checkpoints."""

from __future__ import annotations

import contextlib
import contextvars
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.storage import Storage

KEPT_CHECKPOINTS = 2
"""Older ones are deleted; the last but one is kept in case the last cannot be read."""


class Session(Protocol):
    """Where a train function runs."""

    def rank_and_world(self) -> tuple[int, int]:
        """See the function of this name."""
        ...

    def device(self) -> str:
        """See ``worker_device``."""
        ...

    def progress(self, record: dict[str, Any]) -> None:
        """See ``report_progress``."""
        ...

    def report(self, metrics: dict[str, Any], files: Mapping[str, bytes] | None) -> None:
        """See ``report_epoch``."""
        ...

    def latest(self) -> dict[str, bytes] | None:
        """See ``latest_checkpoint_files``."""
        ...


_CURRENT: contextvars.ContextVar[Session | None] = contextvars.ContextVar("cluster_session", default=None)


def rank_and_world() -> tuple[int, int]:
    """This worker's rank and the number of workers; ``(0, 1)`` outside of a launch."""
    session = _CURRENT.get()
    return session.rank_and_world() if session else (0, 1)


def worker_device() -> str:
    """The torch device of this worker, ``cpu`` or ``cuda:N``."""
    session = _CURRENT.get()
    return session.device() if session else _own_device()


def report_progress(record: dict[str, Any]) -> None:
    """Send a small dict to the driver's ``progress``, at once and without waiting; often is fine, any rank may."""
    session = _CURRENT.get()
    if session:
        session.progress(record)


def report_epoch(metrics: dict[str, Any], checkpoint_files: Mapping[str, bytes] | None = None) -> None:
    """Record the metrics of an epoch and, with files, a checkpoint to resume from.

    A barrier: every rank calls it equally often, or the others wait for ever. Only rank 0's files and metrics count.
    File names are plain, without folders.
    """
    session = _require("report_epoch")
    files = checkpoint_files if session.rank_and_world()[0] == 0 else None
    for name in files or ():
        if Path(name).name != name:
            raise ValueError(f"checkpoint file {name!r} is not a plain file name; use one without folders")
    session.report(metrics, files)


def latest_checkpoint_files() -> dict[str, bytes] | None:
    """The files of the latest checkpoint of this run, on every rank; ``None`` in a fresh run."""
    return _require("latest_checkpoint_files").latest()


@contextlib.contextmanager
def use_session(session: Session) -> Iterator[None]:
    """Make a session the current one of this thread."""
    token = _CURRENT.set(session)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def _require(what: str) -> Session:
    session = _CURRENT.get()
    if session is None:
        raise RuntimeError(
            f"asked for {what} outside of a launch; call it in a train function run by launch or launch_inline, "
            "in the thread that the train function was called in"
        )
    return session


def _own_device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


@dataclass
class InlineSession:
    """This process alone; checkpoints in a folder, or in memory without one."""

    folder: Storage | None = None
    on_progress: Callable[[dict[str, Any]], None] | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    _memory: dict[str, bytes] | None = None

    def rank_and_world(self) -> tuple[int, int]:
        """Alone."""
        return 0, 1

    def device(self) -> str:
        """The first GPU, if there is one."""
        return _own_device()

    def progress(self, record: dict[str, Any]) -> None:
        """Call the callback here and now."""
        if self.on_progress:
            self.on_progress(record)

    def report(self, metrics: dict[str, Any], files: Mapping[str, bytes] | None) -> None:
        """Write the files, then the pointer to them, then delete what is old: a kill leaves a whole checkpoint."""
        self.metrics.append(metrics)
        if files is None:
            return
        if self.folder is None:
            self._memory = dict(files)
            return
        number = (self._numbers() or [0])[-1] + 1
        for name, data in files.items():
            self.folder.put(f"{number:06d}/{name}", data)
        self.folder.put(f"{number:06d}.json", json.dumps({"files": sorted(files), "metrics": metrics}).encode())
        for old in self._numbers()[:-KEPT_CHECKPOINTS]:
            self.folder.delete(f"{old:06d}.json")
            for key in list(self.folder.list(f"{old:06d}")):
                self.folder.delete(key)

    def latest(self) -> dict[str, bytes] | None:
        """Read the checkpoint with the highest number."""
        numbers = self._numbers()
        if self.folder is None or not numbers:
            return self._memory
        last = numbers[-1]
        names = json.loads(self.folder.get(f"{last:06d}.json"))["files"]
        return {name: self.folder.get(f"{last:06d}/{name}") for name in names}

    def _numbers(self) -> list[int]:
        keys = self.folder.list() if self.folder else ()
        return sorted(int(key[:-5]) for key in keys if key.endswith(".json") and "/" not in key)


@dataclass(frozen=True)
class TrainSession:
    """A worker of Ray Train; created there, never sent."""

    send: Callable[[dict[str, Any]], None]

    def rank_and_world(self) -> tuple[int, int]:
        """Of Ray Train."""
        import ray.train

        context = ray.train.get_context()
        return context.get_world_rank(), context.get_world_size()

    def device(self) -> str:
        """Of Ray Train."""
        from ray.train.torch import get_device

        return str(get_device())

    def progress(self, record: dict[str, Any]) -> None:
        """Send it to the driver's mailbox; nobody waits."""
        self.send(record)

    def report(self, metrics: dict[str, Any], files: Mapping[str, bytes] | None) -> None:
        """Through Ray Train; returns when the checkpoint counts, on every rank."""
        import ray.train

        self._send_report(ray.train, metrics, files)
        # report() only hands over: a worker that fails within the controller's next poll would lose the checkpoint.
        ray.train.get_all_reported_checkpoints(ray.train.CheckpointConsistencyMode.COMMITTED)

    def _send_report(self, train: Any, metrics: dict[str, Any], files: Mapping[str, bytes] | None) -> None:
        if files is None:
            train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                Path(folder, name).write_bytes(data)
            train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))

    def latest(self) -> dict[str, bytes] | None:
        """Of Ray Train: of this run, or of an earlier one of the same name and place."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
