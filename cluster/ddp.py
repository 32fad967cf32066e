"""Distributed training through Ray Train: the same train function, launched on workers or run in this process."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.checkpoints import CheckpointFolder
from cluster.contract import WorkerError, limit_torch_threads
from cluster.remote_log import forwarded, log_again
from cluster.session import (
    InlineSession,
    TrainSession,
    latest_checkpoint_files,
    rank_and_world,
    report_epoch,
    report_progress,
    use_session,
    worker_device,
)
from cluster.storage import Storage

__all__ = [
    "latest_checkpoint_files",
    "launch",
    "launch_inline",
    "rank_and_world",
    "report_epoch",
    "report_progress",
    "worker_device",
]

_POLL_S = 0.25
_MAILBOX = 10_000

_TRAIN_ENV = {
    # The default of 60 s is shorter than importing torch on a cold, busy disk.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    # The controller looks at its workers this often; the default of 2 s is what every short training waits.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}

TrainFunction = Callable[[dict[str, Any]], Any]
Progress = Callable[[dict[str, Any]], None]


def launch_inline(
    train_function: TrainFunction,
    config: dict[str, Any],
    *,
    run_name: str = "train",
    storage_path: str | None = None,
    progress: Progress | None = None,
) -> Any:
    """Run a train function here, alone, without Ray, and return what it returns; checkpoints as in ``launch``.

    Without ``storage_path`` checkpoints live as long as the call. What the function raises is raised as it is.
    """
    folder = Storage(storage_path).child(run_name) if storage_path else None
    with use_session(InlineSession(folder, progress)):
        return train_function(config)


def launch(
    train_function: TrainFunction,
    config: dict[str, Any],
    *,
    workers: int,
    gpus_per_worker: float,
    cpus_per_worker: int,
    run_name: str,
    storage_path: str,
    max_failures: int = 0,
    progress: Progress | None = None,
    address: str | None = None,
    labels: Mapping[str, str] | None = None,
    autoscaling: bool = False,
) -> Any:
    """Run a train function on every worker of a process group and return what rank 0 returns.

    ``torch.distributed`` is initialised before the function is called: nccl with GPUs, gloo without. The same
    ``run_name`` and ``storage_path`` again resumes: ``latest_checkpoint_files`` is then not ``None``.
    ``Ctrl-C`` raises ``KeyboardInterrupt`` here and stops the workers (by leaving Ray). Measured on 2 busy cores:
    10 to 20 s until the function is called, nearly all of it imports of torch and ray.train in three processes.

    Args:
        train_function: Importable by the workers; called with ``config``.
        config: Small and picklable.
        workers: Processes, at least 1.
        gpus_per_worker: 0 trains on CPUs.
        cpus_per_worker: CPUs that a worker reserves, and torch's threads in it.
        run_name: Names the run; a plain name.
        storage_path: A folder all nodes reach, or ``s3://...``, for checkpoints.
        max_failures: How often lost workers are replaced, from the latest checkpoint, before it fails.
        progress: Called in this thread with every dict of ``report_progress``, a moment later, in order per worker.
            Warnings that workers log arrive the same way, and are logged here.
        address: See ``connect``.
        labels: What a node must be labelled with to get a worker, as in ``Resources``.
        autoscaling: Whether machines come when workers wait for them: then more may be asked for than is there now.

    Raises:
        ValueError: More CPUs or GPUs are asked for than exist.
        WorkerError: A worker failed, and ``max_failures`` is spent; with the traceback of its rank.
    """
    from cluster.connect import cluster_facts, connect

    for name, value in _TRAIN_ENV.items():
        os.environ.setdefault(name, value)
    connect(address)
    if not autoscaling:
        facts = cluster_facts(labels)
        _refuse("GPU", workers, gpus_per_worker, facts["gpus"])
        _refuse("CPU", workers, cpus_per_worker, facts["cpus"])

    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside the driver: on a node that is lost it would take along a training that outlives its workers.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, max_concurrency=1, scheduling_strategy=here).remote()
    folder = Storage(storage_path).child(run_name)
    entry = Entry(train_function, mailbox, cpus_per_worker, gpus_per_worker, folder)
    asked = (workers, gpus_per_worker, cpus_per_worker, dict(labels or {}), run_name, storage_path, max_failures)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="ray|<string>")  # Ray's deprecations of its own parts
            return _fit(_trainer(entry, config, *asked), mailbox, progress or _ignore)
    finally:
        if ray.is_initialized():
            ray.kill(mailbox)


def _refuse(what: str, workers: int, each: float, found: int) -> None:
    if workers < 1 or workers * each > found:
        raise ValueError(
            f"asked for {workers} workers with {each:g} {what} each; found {found} {what}; "
            "ask for at least one worker and no more than fit"
        )


def _trainer(
    entry: Entry,
    config: dict[str, Any],
    workers: int,
    gpus: float,
    cpus: int,
    labels: dict[str, str],
    run_name: str,
    storage_path: str,
    max_failures: int,
) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    each = {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})
    wanted: dict[str, Any] = {"resources_per_worker": each, "label_selector": labels or None}
    scaling = ScalingConfig(num_workers=workers, use_gpu=bool(gpus), **wanted)  # annotated as in Train v1
    return TorchTrainer(
        entry,
        train_loop_config=config,
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=scaling,
        run_config=RunConfig(
            name=run_name,
            storage_path=Storage(storage_path).url,
            failure_config=FailureConfig(max_failures=max_failures),
        ),
    )


def _fit(trainer: Any, mailbox: Any, progress: Progress) -> Any:
    """Train in a thread and hand out progress in this one, so that Ctrl-C and errors of ``progress`` arrive here."""
    outcome: list[Any] = []

    def fit() -> None:
        try:
            outcome.append(trainer.fit())
        except BaseException as error:
            outcome.append(error)

    # Also keeps Ray Train from replacing the process's SIGINT handler, which it does only in the main thread.
    thread = threading.Thread(target=fit, daemon=True, name="ray-train-fit")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(_POLL_S)
            _hand_out(mailbox, progress)
        _hand_out(mailbox, progress)
    except BaseException:
        from cluster.connect import disconnect

        disconnect()  # the one call that surely ends the controller and its workers
        raise
    result = outcome[0]
    if isinstance(result, Exception):
        raise WorkerError(f"training failed: {result}") from result
    if isinstance(result, BaseException):
        raise result
    return result.return_value


def _hand_out(mailbox: Any, progress: Progress) -> None:
    import ray

    for record in ray.get(mailbox.take.remote()):
        if not log_again(record):
            progress(record)


def _ignore(record: dict[str, Any]) -> None:
    """Progress that nobody asked for."""


class Mailbox:
    """What workers wrote and the driver has not yet read; an actor, because nodes may share no disk."""

    def __init__(self) -> None:
        self._records: deque[dict[str, Any]] = deque(maxlen=_MAILBOX)

    def put(self, record: dict[str, Any]) -> None:
        """Add a record; the oldest goes when nobody reads."""
        if record:
            self._records.append(record)

    def take(self) -> list[dict[str, Any]]:
        """Everything since the last time."""
        records = list(self._records)
        self._records.clear()
        return records


@dataclass(frozen=True)
class Entry:
    """What Ray Train calls in each worker: limits, the session, then the train function."""

    train_function: TrainFunction
    mailbox: Any
    threads: int
    gpus: float
    folder: Storage
    """Of the run's checkpoints."""

    def __call__(self, config: dict[str, Any]) -> Any:
        """Run in a worker."""
        if not self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["DASK_NUM_WORKERS"] = str(self.threads)  # Ray does the same for OMP_NUM_THREADS, and for no other
        limit_torch_threads(self.threads)
        session = TrainSession(self._send, CheckpointFolder(self.folder))
        with forwarded(self._send, f"rank {session.rank_and_world()[0]}"), use_session(session):
            result = self.train_function(config)
            self._flush()
            return result

    def _send(self, record: dict[str, Any]) -> None:
        self.mailbox.put.remote(record)

    def _flush(self) -> None:
        # Calls of one worker arrive in order: when an empty one has returned, all before it have arrived.
        import ray

        ray.get(self.mailbox.put.remote({}))
