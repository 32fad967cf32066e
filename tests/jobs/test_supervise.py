"""What stands around a job: signals end it in good order where it can be, the lock that is lost ends it, too."""

import logging
import os
import signal
import threading

import pytest

from cluster.lock import Locked, latest
from cluster.logs import entries, runs
from cluster.storage import Storage
from jobs.config import RunConfig
from jobs.supervise import Stopped, Terminated, supervised, supervision, waiting_turn


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return RunConfig.model_validate({"out": str(tmp_path / "out"), "scenes": "s", "limits": {"grace_s": 7}})


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_ends_a_stage_in_good_order(config):
    before = signal.getsignal(signal.SIGTERM)
    with supervised("map", config, "sandan map x.yaml", join=False) as here:
        done: list[bool] = []

        def stage() -> None:
            with here.stage("infer") as stop:
                terminate()
                done.append(stop.requested)  # the unit that was begun

        with pytest.raises(Stopped, match="SIGTERM"):
            stage()
        assert done == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_sigterm_and_one_between_stages_end_at_once(config):
    with supervised("map", config, "sandan map x.yaml", join=False) as here:
        with pytest.raises(Terminated):
            terminate()

        def stage() -> None:
            with here.stage("infer"):
                terminate()
                terminate()

        with pytest.raises(Terminated):
            stage()


def test_a_stage_that_nobody_disturbs_ends_as_it_does(config):
    with supervised("map", config, "sandan map x.yaml", join=False) as here, here.stage("infer") as stop:
        assert supervision() is here
        logging.getLogger("jobs.x").info("inside")
        assert not stop.requested
    assert supervision() is not here
    assert not supervision().joins
    lines = list(entries(Storage(config.out), runs(Storage(config.out))[0]))
    assert lines[0]["event"] == "start"
    assert lines[0]["facts"]["config"]["limits"]["grace_s"] == 7
    assert [line["stage"] for line in lines if line["message"] == "inside"] == ["infer"]


def test_the_lock_is_given_back_whatever_happens(config):
    storage = Storage(config.out).child("lock")

    def job() -> None:
        with supervised("map", config, "c", join=False):
            assert latest(storage)[1] is not None
            raise RuntimeError("fault")

    with pytest.raises(RuntimeError, match="fault"):
        job()
    assert latest(storage)[1] is None


def test_another_is_refused_but_may_join_or_wait(config):
    storage = Storage(config.out)
    with supervised("map", config, "first", join=False):
        with pytest.raises(Locked, match="first"), supervised("map", config, "second", join=False):
            pass
        with supervised("map", config, "second", join=True) as helper:
            assert helper.joins
        assert latest(storage.child("lock"))[1].command == "first"
    with waiting_turn(storage, "its turn"):
        assert latest(storage.child("lock"))[1].command == "its turn"
    assert latest(storage.child("lock"))[1] is None


def test_on_another_thread_signals_are_left_alone(config):
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with supervised("map", config, "c", join=False):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
