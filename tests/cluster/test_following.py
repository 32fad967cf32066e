"""Who follows a job sees its log once, whole, and its end; connections that break change nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.following import PATIENCE_S, Answer, Follower, stop, wait_for
from cluster.submission import Attempt, Lost, Refused
from tests.cluster.job_servers import FakeJobs

ID = "sandan-map-0123456789ab-a1"


@dataclass
class Ear:
    """Takes what a follower shows; time passes only where it sleeps."""

    log: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    now_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def of(self, jobs: FakeJobs, id: str = ID) -> Follower:
        return Follower(jobs, id, self.log.append, self.told.append, lambda: self.now_s, self.sleep)


def running(
    log: str = "", questions: int = 2, state: str = "SUCCEEDED", code: int | None = 0, **more: object
) -> FakeJobs:
    """Return a server whose job ends when it was asked about so many times."""
    left = [questions]

    def tick(jobs: FakeJobs) -> None:
        left[0] -= 1
        if left[0] == 0:
            jobs.end(ID, state, code)

    return FakeJobs({ID: Attempt(ID, "RUNNING")}, log=log, tick=tick, **more)  # type: ignore[arg-type]


@given(
    log=st.text(max_size=200),
    piece=st.integers(1, 50),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    silences=st.lists(st.integers(0, 200), max_size=6),
    lost=st.lists(st.booleans(), max_size=6),
    questions=st.integers(1, 8),
)
@settings(max_examples=60)
def test_the_log_is_shown_once_and_whole(
    log: str, piece: int, cuts: list[int], silences: list[int], lost: list[bool], questions: int
) -> None:
    breaks: dict[str, list[Exception | None]] = {"attempts": [Lost("away") if yes else None for yes in lost]}
    jobs, ear = running(log, questions, cuts=cuts, silences=silences, breaks=breaks, piece=piece), Ear()
    attempt = ear.of(jobs).follow()
    assert attempt.state == "SUCCEEDED"
    shown = "".join(ear.log)
    assert log.startswith(shown)
    assert shown == log or any("end of its log could not be read" in told for told in ear.told)


def test_one_loss_is_told_once_and_so_is_its_end() -> None:
    jobs, ear = running("a line\n", 3, breaks={"attempts": [None, *[Lost("no route")] * 4]}), Ear()
    assert ear.of(jobs).follow().code == 0
    assert ear.told == ["connection lost (no route); the job goes on, trying again", "connected again"]
    assert ear.log == ["a line\n"]


def test_a_log_that_cannot_be_read_does_not_hide_the_end() -> None:
    jobs, ear = running("words", 40, "FAILED", 3, cuts=[0] * 50), Ear()
    assert ear.of(jobs).follow().code == 3
    assert [told.split(" (")[0] for told in ear.told] == ["connection lost", "the end of its log could not be read"]


def test_patience_ends() -> None:
    jobs, ear = FakeJobs({ID: Attempt(ID, "RUNNING")}, breaks={"attempts": [Lost("dead")] * 1000}), Ear()
    with pytest.raises(Lost, match="dead"):
        ear.of(jobs).follow()
    assert PATIENCE_S < ear.now_s < 2 * PATIENCE_S


def test_a_job_that_the_cluster_forgot_is_an_end() -> None:
    with pytest.raises(Refused, match="does not know"):
        Ear().of(FakeJobs()).follow()


def interrupted(jobs: FakeJobs, times: int) -> FakeJobs:
    jobs.breaks["attempts"] = [KeyboardInterrupt()] * times  # type: ignore[list-item]
    return jobs


@pytest.mark.parametrize(
    ("answers", "state", "stopped"),
    [(["follow"], "SUCCEEDED", 0), (["detach"], None, 0), (["stop"], "STOPPED", 1), (["follow", "stop"], "STOPPED", 1)],
)
def test_an_interruption_is_what_its_user_says(answers: list[Answer], state: str | None, stopped: int) -> None:
    jobs, ear = interrupted(running("log\n", 3 + len(answers)), len(answers)), Ear()
    left = iter(answers)
    attempt = wait_for(ear.of(jobs), lambda id: next(left))
    assert (attempt and attempt.state) == state
    assert len(jobs.stopped) == stopped
    assert "".join(ear.log) == ("" if state is None else "log\n")


def test_stop_waits_for_the_end_of_what_is_at_work() -> None:
    jobs, ear = FakeJobs({ID: Attempt(ID, "RUNNING")}, log="finished unit\n"), Ear()
    stopped = stop(jobs, ID[:-3], lambda id: ear.of(jobs, id))
    assert stopped is not None
    assert stopped.code == 143
    assert "".join(ear.log) == "finished unit\n"
    assert stop(jobs, ID[:-3], lambda id: ear.of(jobs, id)) is None
    assert jobs.stopped == [ID]
