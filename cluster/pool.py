"""The actor pool: the thin Ray shell around ``slots``. Driver-side, pinned actors, no retries of Ray's own."""

from __future__ import annotations

import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cluster import decisions as d
from cluster.engine import Done, Failed, ResolvedResources, WorkerError, check_record, limit_torch_threads
from cluster.slots import Slots

logger = logging.getLogger(__name__)

_WAIT_S = 0.25
_DRAIN_POLL_S = 5.0
_START_WARN_S = 60.0


class Worker:
    """What runs in an actor: one factory, called once; then one unit per call, several at once."""

    def __init__(self, threads: int, gpus: float) -> None:
        limit_worker(threads, gpus)
        self._threads = threads
        self._work: Callable[[Any], Any] | None = None

    def start(self, factory: bytes) -> tuple[str, str]:
        """Call the factory: ``("ready", node id)``, or ``("error", traceback)``; an exception is data, not a death."""
        import ray

        try:
            # Unpickled here and not by Ray, so that torch is imported after the thread count is set.
            self._work = pickle.loads(factory)()
            limit_torch_threads(self._threads)
        except Exception:
            return "error", traceback.format_exc()
        return "ready", str(ray.get_runtime_context().get_node_id())

    def do(self, key: bytes) -> tuple[str, Any]:
        """Work on a key: ``("ok", (record, seconds))`` or ``("error", traceback)``."""
        assert self._work is not None
        start_s = time.monotonic()
        try:
            record = self._work(pickle.loads(key))
            check_record(record)
        except Exception:
            return "error", traceback.format_exc()
        return "ok", (record, time.monotonic() - start_s)

    def probe(self) -> tuple[str, None]:
        """Answer."""
        return "answer", None


def limit_worker(threads: int, gpus: float) -> None:
    """Give a worker process its threads, and hide the GPUs from one that reserved none.

    Set in the process instead of in a runtime_env: that costs no start-up time, and is early enough because both
    are read when torch is imported or first touches CUDA.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray 2.60 leaves all GPUs visible to an actor with num_gpus=0
    limit_torch_threads(threads)


class Pool:
    """Actors of one factory, for one run; ``run`` starts them and, however it ends, kills them."""

    def __init__(self, factory: Callable[[], Callable[[Any], Any]], resources: ResolvedResources) -> None:
        import ray
        import ray.cloudpickle

        self._ray: Any = ray
        self._resources = resources
        self._factory = self._ray.cloudpickle.dumps(factory)
        self._slots = Slots(d.Policy(resources.workers, in_flight=max(2, resources.concurrency)))
        self._actors: dict[int, Any] = {}
        self._nodes: dict[int, str] = {}
        self._calls: dict[Any, tuple[str, int, int | None]] = {}
        """What each open reference is: its kind, its slot and its unit."""
        self._keys: dict[int, Any] = {}
        self._next_unit = 0
        self._last_drain_s = 0.0

    def run(self, keys: Iterable[Any]) -> Iterator[Done[Any, Any] | Failed[Any]]:
        """See ``Engine.run``."""
        started_s, warned = time.monotonic(), False
        source = iter(keys)
        try:
            while True:
                self._fill(source)
                yield from self._act(self._slots.decide(time.monotonic()))
                if self._slots.finished:
                    return
                self._listen()
                if not warned and not self._nodes and time.monotonic() - started_s > _START_WARN_S:
                    warned = True
                    logger.warning("no worker after %g s: asked for %s; waiting", _START_WARN_S, self._resources)
        finally:
            self._kill_all()

    def _fill(self, source: Iterator[Any]) -> None:
        for _ in range(self._slots.wanted()):
            try:
                self._keys[self._next_unit] = next(source)
            except StopIteration:
                self._slots.exhausted = True
                return
            self._slots.add(self._next_unit)
            self._next_unit += 1

    def _act(self, actions: list[d.Action]) -> Iterator[Done[Any, Any] | Failed[Any]]:
        for action in actions:
            match action:
                case d.Spawn(slot):
                    self._spawn(slot)
                case d.Dispatch(slot, unit):
                    call = self._actors[slot].do.remote(self._ray.cloudpickle.dumps(self._keys[unit]))
                    self._calls[call] = ("do", slot, unit)
                case d.Probe(slot):
                    self._calls[self._actors[slot].probe.remote()] = ("probe", slot, None)
                case d.Kill(slot):
                    self._kill(slot)
                case d.Settle(unit, result, error, attempts):
                    key = self._keys.pop(unit)
                    yield Done(key, *result) if error is None else Failed(key, error, attempts)
                case d.GiveUp(reason):
                    raise WorkerError(
                        f"asked for {self._resources.workers} workers; {reason}\nlook for memory (dmesg, the logs in "
                        "Ray's session folder), lower threads or units per worker, or try the serial engine"
                    )

    def _spawn(self, slot: int) -> None:
        r = self._resources
        actor = self._ray.remote(Worker).options(
            num_cpus=r.cpus_per_worker,
            num_gpus=r.gpus_per_worker,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=max(2, r.concurrency) + 1,  # one more, so that a busy worker still answers a probe
            scheduling_strategy="SPREAD",
        )
        self._actors[slot] = actor.remote(r.threads_per_worker, r.gpus_per_worker)
        self._calls[self._actors[slot].start.remote(self._factory)] = ("start", slot, None)

    def _listen(self) -> None:
        """Wait until something happens, a quarter of a second at most, and tell the slots."""
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=_WAIT_S)
        if ready:
            ready, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for call in ready:
            kind, slot, unit = self._calls.pop(call)
            if slot in self._slots.slots:
                self._hear(call, kind, slot, unit)
        self._watch_drains()

    def _hear(self, call: Any, kind: str, slot: int, unit: int | None) -> None:
        errors, now_s = self._ray.exceptions, time.monotonic()
        try:
            what, value = self._ray.get(call)
        except errors.ActorUnavailableError as error:
            if kind == "do":
                self._slots.unavailable(slot, unit, str(error), now_s)
            elif kind == "start":
                self._slots.died(slot, str(error))
            return  # an unanswered probe is left to its deadline
        except errors.RayActorError as error:
            self._slots.died(slot, str(error), blame=not _node_lost(error))
            return
        except errors.RayError as error:
            what, value = "error", str(error)
        self._tell(kind, what, value, slot, unit)

    def _tell(self, kind: str, what: str, value: Any, slot: int, unit: int | None) -> None:
        if kind == "start":
            if what == "error":
                raise WorkerError(f"a worker could not start: its factory raised\n{value}")
            self._nodes[slot] = value
            self._slots.ready(slot)
        elif kind == "probe":
            self._slots.answered(slot)
        elif unit is not None and what == "ok":
            self._slots.succeeded(slot, unit, value, time.monotonic())
        elif unit is not None:
            self._slots.raised(slot, unit, value)

    def _watch_drains(self) -> None:
        if time.monotonic() - self._last_drain_s < _DRAIN_POLL_S:
            return
        self._last_drain_s = time.monotonic()
        draining = draining_nodes()
        self._slots.drain([slot for slot, node in self._nodes.items() if node in draining])

    def _kill(self, slot: int) -> None:
        self._nodes.pop(slot, None)
        actor = self._actors.pop(slot, None)
        if actor is not None:
            self._ray.kill(actor, no_restart=True)

    def _kill_all(self) -> None:
        for slot in list(self._actors):
            self._kill(slot)
        self._calls.clear()


def _node_lost(error: Any) -> bool:
    # There is no field for it in Ray 2.60; a sentence that changes costs a unit one blame, no more.
    return bool(error.preempted) or "node died" in str(error) or "node is dead" in str(error).lower()


def draining_nodes() -> set[str]:
    """Ids of nodes that will go away soon (spot notices, maintenance); empty where Ray cannot say."""
    try:
        from ray._private.state import state

        return set(state.get_draining_nodes())
    except Exception:  # a private function, and only an optimisation: work lost with a node is done again anyway
        logger.debug("cannot list draining nodes", exc_info=True)
        return set()
