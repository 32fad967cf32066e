"""What a train function may call, wherever it runs: rank, device, progress, checkpoints."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.checkpoints import CheckpointFolder
from cluster.storage import Storage


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
    """The files of the latest checkpoint of this run that can be read, on every rank; ``None`` in a fresh run.

    A damaged one is named in a warning, and the one before it is taken. Every rank calls it equally often.
    """
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

    def __post_init__(self) -> None:
        self._checkpoints = None if self.folder is None else CheckpointFolder(self.folder)

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
        """Write a checkpoint; see ``CheckpointFolder``."""
        self.metrics.append(metrics)
        if files is None:
            return
        if self._checkpoints is None:
            self._memory = dict(files)
        else:
            self._checkpoints.write(files, metrics)

    def latest(self) -> dict[str, bytes] | None:
        """Read the newest checkpoint that is whole."""
        if self._checkpoints is None:
            return self._memory
        found = self._checkpoints.newest()
        return None if found is None else found[1]


@dataclass(frozen=True)
class TrainSession:
    """A worker of Ray Train; created there, never sent.

    Checkpoints are files of our own: Ray's list of them is overwritten in its place, and a kill meanwhile, or another
    version of Ray, leaves a run that cannot go on.
    """

    send: Callable[[dict[str, Any]], None]
    checkpoints: CheckpointFolder
    """Where all workers reach it."""

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
        """Write on the first rank; returns when the checkpoint counts, on every rank."""
        import ray.train

        if files is not None:
            self.checkpoints.write(files, metrics)
        ray.train.report(metrics)  # waits for all ranks

    def latest(self) -> dict[str, bytes] | None:
        """Read what the first rank chose: all go on from the same checkpoint."""
        from ray.train.collective import broadcast_from_rank_zero

        rank, _ = self.rank_and_world()
        found = self.checkpoints.newest() if rank == 0 else None
        number = broadcast_from_rank_zero(None if found is None else found[0])
        if rank == 0 or number is None:
            return None if found is None else found[1]
        return self.checkpoints.read(number)
