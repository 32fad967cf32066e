"""A run is submitted once, whoever asks and however often; what its attempts ended with decides what comes next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.submission import TRIES, Attempt, Lost, Refused, Step, begin, next_step
from tests.cluster.job_servers import FakeJobs

NAME = "sandan-map-0123456789ab"
STATES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED")


def history(*states: str, first: int = 1) -> FakeJobs:
    ids = [f"{NAME}-a{number}" for number in range(first, first + len(states))]
    return FakeJobs({id: Attempt(id, state) for id, state in zip(ids, states, strict=True)})


@pytest.mark.parametrize(
    ("states", "again", "step"),
    [
        ((), False, ("submit", 1)),
        (("PENDING",), False, ("follow", 1)),
        (("RUNNING",), False, ("follow", 1)),
        (("RUNNING",), True, ("follow", 1)),
        (("SUCCEEDED",), False, ("done", 1)),
        (("SUCCEEDED",), True, ("submit", 2)),
        (("FAILED",), False, ("submit", 2)),
        (("STOPPED",), False, ("submit", 2)),
        (("FAILED", "STOPPED", "PENDING"), False, ("follow", 3)),
        (("FAILED", "SUCCEEDED"), False, ("done", 2)),
        (("SUCCEEDED", "FAILED"), False, ("submit", 3)),
        (("RUNNING", "FAILED"), False, ("follow", 1)),
    ],
)
def test_what_comes_next(states: tuple[str, ...], again: bool, step: tuple[str, int]) -> None:
    kind, number = step
    assert next_step(NAME, history(*states).attempts(), again) == Step(kind, f"{NAME}-a{number}")  # type: ignore[arg-type]


def test_attempts_are_numbers_not_texts() -> None:
    jobs = history(*["FAILED"] * 11)
    assert begin(jobs, NAME) == Step("submit", f"{NAME}-a12")


@pytest.mark.parametrize("id", ["raysubmit_x", f"{NAME}0-a1", f"{NAME}-a0", f"{NAME}-a1x", f"x{NAME}-a7", f"{NAME}-a"])
def test_jobs_of_others_do_not_count(id: str) -> None:
    assert next_step(NAME, [Attempt(id, "RUNNING")]) == Step("submit", f"{NAME}-a1")


@given(st.lists(st.sampled_from(["ask", "again", "SUCCEEDED", "FAILED", "STOPPED"]), max_size=30))
def test_never_two_at_work_and_no_id_twice(moves: list[str]) -> None:
    jobs = FakeJobs()
    for move in moves:
        at_work = [a.id for a in jobs.known.values() if a.is_at_work]
        if move in ("ask", "again"):
            before = dict(jobs.known)
            step = begin(jobs, NAME, move == "again", sleep=lambda s: None)
            done = [a for a in before.values() if a.state == "SUCCEEDED"]
            assert (step.kind == "follow") == bool(at_work)
            assert step.kind != "done" or (done and move == "ask")
            assert (jobs.known == before) == (step.kind != "submit")
        elif at_work:
            jobs.end(at_work[0], move)
        assert sum(a.is_at_work for a in jobs.known.values()) <= 1
    assert jobs.submitted == [f"{NAME}-a{n + 1}" for n in range(len(jobs.submitted))]


@given(st.lists(st.sampled_from(STATES[2:]), max_size=4), st.sampled_from(STATES), st.booleans())
def test_who_comes_second_does_what_the_first_one_leads_to(states: list[str], state: str, again: bool) -> None:
    jobs = history(*states)
    mine = next_step(NAME, jobs.attempts(), again)
    if mine.kind != "submit":
        return

    known = {**jobs.known, mine.id: Attempt(mine.id, state)}
    jobs.hurdle = lambda jobs: jobs.known.update(known)
    step = begin(jobs, NAME, again, sleep=lambda s: None)
    expected = {"PENDING": "follow", "RUNNING": "follow", "SUCCEEDED": "done"}.get(state, "submit")
    assert step.kind == expected
    assert (step.id == mine.id) == (expected != "submit")


def test_what_arrived_though_the_answer_was_lost_is_not_sent_twice() -> None:
    jobs = FakeJobs(breaks={"submit": [Lost("reset")]})
    assert begin(jobs, NAME, sleep=lambda s: None) == Step("follow", f"{NAME}-a1")
    assert jobs.submitted == [f"{NAME}-a1"]


def test_what_did_not_arrive_is_sent_again_and_not_for_ever() -> None:
    waits: list[float] = []
    jobs = FakeJobs(breaks={"refuse": [Lost("reset"), Lost("reset")]})
    assert begin(jobs, NAME, sleep=waits.append).kind == "submit"
    assert len(waits) == 2
    with pytest.raises(Lost, match="reset"):
        begin(FakeJobs(breaks={"refuse": [Lost("reset")] * TRIES}), NAME, sleep=waits.append)


def test_a_refusal_for_another_reason_is_told() -> None:
    with pytest.raises(Refused, match="too large"):
        begin(FakeJobs(breaks={"refuse": [Refused("too large")]}), NAME)


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        (Attempt("x", "SUCCEEDED", 0), 0),
        (Attempt("x", "SUCCEEDED"), 0),
        (Attempt("x", "FAILED", 3), 3),
        (Attempt("x", "FAILED", 4), 4),
        (Attempt("x", "FAILED", -9), 137),
        (Attempt("x", "FAILED"), 1),
        (Attempt("x", "STOPPED"), 143),
    ],
)
def test_the_code_is_that_of_the_driver(attempt: Attempt, code: int) -> None:
    assert attempt.code == code
