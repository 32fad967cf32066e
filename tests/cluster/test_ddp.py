"""The same train function on two gloo workers and inline: reduced, checkpointed, resumed, watched."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster.ddp import (
    Entry,
    Mailbox,
    _fit,
    latest_checkpoint_files,
    launch,
    launch_inline,
    rank_and_world,
    report_epoch,
    report_progress,
    worker_device,
)
from cluster.engine import WorkerError
from cluster.session import TrainSession
from cluster.storage import Storage


def train(config: dict[str, Any]) -> dict[str, Any]:
    """Adds the ranks' numbers up once per epoch; the total is the checkpoint; may fail after its first epoch."""
    import torch
    import torch.distributed as dist

    rank, world = rank_and_world()
    files = latest_checkpoint_files()
    total, first = (0.0, 0) if files is None else (float(files["total"]), int(files["epoch"]) + 1)
    for epoch in range(first, config["epochs"]):
        part = torch.tensor([float(rank + 1)])
        if dist.is_initialized():
            dist.all_reduce(part)
        total += part.item()
        report_progress({"rank": rank, "epoch": epoch})
        report_epoch({"total": total}, {"total": str(total).encode(), "epoch": str(epoch).encode()})
        if config.get("fail") == "always" or (config.get("fail") == "once" and files is None):
            raise RuntimeError(f"injected after epoch {epoch}")
        if config.get("fail") == "killed" and files is None and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    facts = {"device": worker_device(), "threads": torch.get_num_threads(), "pid": os.getpid()}
    return {"total": total, "world": world, "first": first, **facts}


def on_two(config: dict[str, Any], folder: Path, name: str, **options: Any) -> Any:
    layout = {"workers": 2, "gpus_per_worker": 0, "cpus_per_worker": 1}
    return launch(train, config, run_name=name, storage_path=str(folder), **layout, **options)


@pytest.mark.usefixtures("ray_here")
def test_two_workers_go_on_from_what_one_left_and_are_watched(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="injected after epoch 0"):
        launch_inline(train, {"epochs": 3, "fail": "once"}, run_name="a", storage_path=str(tmp_path))
    assert sorted(p.name for p in (tmp_path / "a").glob("*.json")) == ["000001.json"]
    (tmp_path / "a" / "000002.json").write_bytes(b"")  # a checkpoint that was damaged: all workers pass over it
    seen: list[dict[str, Any]] = []
    result = on_two({"epochs": 3, "fail": "once"}, tmp_path, "a", progress=seen.append)
    assert result["first"] == 1  # the first epoch was not lost with the run
    assert (result["total"], result["world"]) == (1.0 + 2 * 3.0, 2)
    assert (result["device"], result["threads"]) == ("cpu", 1)
    assert sorted((s["rank"], s["epoch"]) for s in seen) == [(r, e) for r in (0, 1) for e in (1, 2)]
    again = launch_inline(train, {"epochs": 4}, run_name="a", storage_path=str(tmp_path))
    assert (again["first"], again["total"]) == (3, 8.0)  # what two left is gone on from as well


@pytest.mark.usefixtures("ray_here")
def test_a_training_that_fails_is_said_so() -> None:
    import ray
    from ray.train.v2.api.exceptions import WorkerGroupError

    class Failing:
        def fit(self) -> None:
            raise WorkerGroupError("rank 1: injected", {1: RuntimeError("injected")})

    mailbox: Any = ray.remote(Mailbox).options(num_cpus=0).remote()  # type: ignore[attr-defined]
    with pytest.raises(WorkerError, match=r"(?s)training failed.*rank 1: injected"):
        _fit(Failing(), mailbox, print)


def test_what_a_train_function_raises_leaves_its_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(TrainSession, "rank_and_world", lambda _: (0, 1))
    with pytest.raises(ZeroDivisionError):
        Entry(lambda config: 1 // config["zero"], None, 1, 0.0, Storage(str(tmp_path)))({"zero": 0})


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_two_workers_reduce_fail_resume_and_are_watched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, Any]] = []
    with pytest.raises(WorkerError, match=r"(?s)training failed.*test_ddp.*injected after epoch 0"):
        on_two({"epochs": 3, "fail": "once"}, tmp_path, "a", progress=seen.append)
    assert sorted((s["rank"], s["epoch"]) for s in seen) == [(0, 0), (1, 0)]
    assert sorted(p.name for p in (tmp_path / "a").glob("*.json")) == ["000001.json"]
    (tmp_path / "a" / "000002.json").write_bytes(b"")  # a checkpoint that was damaged: all workers pass over it
    result = on_two({"epochs": 3, "fail": "once"}, tmp_path, "a", progress=seen.append)
    assert result["first"] == 1  # the first epoch was not lost with the run
    told = [r.getMessage() for r in caplog.records if r.name == "cluster.checkpoints"]
    assert len(told) == 1, "what a worker warns of is said by the driver, once"
    assert told[0].startswith("rank 0: asked for the checkpoint")
    assert "000002.json; found that it is damaged" in told[0]
    assert (result["total"], result["world"]) == (9.0, 2)
    assert (result["device"], result["threads"]) == ("cpu", 1)
    assert sorted((s["rank"], s["epoch"]) for s in seen) == [(r, e) for r in (0, 1) for e in range(3)]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("fail", ["once", "killed"])
def test_workers_are_replaced_within_a_run(tmp_path: Path, fail: str) -> None:
    result = on_two({"epochs": 2, "fail": fail}, tmp_path, "b", max_failures=1)
    assert (result["first"], result["total"]) == (1, 6.0)


@pytest.mark.usefixtures("ray_here")
def test_workers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="asked for 2 workers with 1 GPU each; found 0 GPU"):
        launch(train, {}, workers=2, gpus_per_worker=1, cpus_per_worker=1, run_name="c", storage_path=str(tmp_path))
    with pytest.raises(ValueError, match="99 CPU"):
        launch(train, {}, workers=2, gpus_per_worker=0, cpus_per_worker=99, run_name="c", storage_path=str(tmp_path))


def test_inline_is_the_same_function_without_ray(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    first = launch_inline(train, {"epochs": 2}, storage_path=str(tmp_path), progress=seen.append)
    assert (first["total"], first["world"], first["pid"]) == (2.0, 1, os.getpid())
    assert seen == [{"rank": 0, "epoch": 0}, {"rank": 0, "epoch": 1}]
    more = launch_inline(train, {"epochs": 3}, storage_path=str(tmp_path))
    assert (more["first"], more["total"]) == (2, 3.0)
    with pytest.raises(RuntimeError, match="injected after epoch 0"):
        launch_inline(train, {"epochs": 1, "fail": "always"})


def test_a_mailbox_gives_each_letter_once() -> None:
    mailbox = Mailbox()
    mailbox.put({"step": 1})
    mailbox.put({})
    assert mailbox.take() == [{"step": 1}]
    assert mailbox.take() == []
