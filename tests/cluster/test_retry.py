"""What is done about each kind of fault, row by row."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.decisions import Policy
from cluster.faults import Fault, Kind
from cluster.retry import Halt, Quarantine, Retry, Verdict, back_off_s, last_words, rules, verdict

POLICY = Policy(3, back_off_s=2.0, back_off_limit_s=10.0)


@pytest.mark.parametrize(
    ("kind", "faults", "decided"),
    [
        (Kind.INPUT, 1, Retry(0.0, elsewhere=True, blame=False)),
        (Kind.INPUT, 2, Quarantine()),
        (Kind.TRANSIENT, 1, Retry(1.0, elsewhere=True, blame=False)),
        (Kind.TRANSIENT, 3, Retry(4.0, elsewhere=True, blame=False)),
        (Kind.TRANSIENT, 7, Retry(5.0, elsewhere=True, blame=False)),
        (Kind.TRANSIENT, 8, Quarantine()),
        (Kind.MEMORY, 1, Retry(1.0, elsewhere=False, blame=True)),
        (Kind.MEMORY, 3, Quarantine()),
        (Kind.NODE, 1, Retry(0.0, elsewhere=True, blame=True)),
        (Kind.NODE, 4, Quarantine()),
        (Kind.SILENT, 1, Retry(0.0, elsewhere=True, blame=False)),
        (Kind.SILENT, 2, Retry(0.0, elsewhere=True, blame=True)),
        (Kind.SILENT, 6, Quarantine()),
        (Kind.OVERDUE, 1, Retry(0.0, elsewhere=True, blame=True)),
        (Kind.OVERDUE, 2, Quarantine()),
        (Kind.START, 1, Retry(0.0, elsewhere=True, blame=False)),
        (Kind.START, 3, Halt()),
        (Kind.TAKEN, 1, Retry(0.0, elsewhere=True, blame=False)),
        (Kind.TAKEN, 10**6, Retry(0.0, elsewhere=True, blame=False)),
        (Kind.DENIED, 1, Retry(1.0, elsewhere=True, blame=False)),
        (Kind.DENIED, 2, Halt()),
        (Kind.FATAL, 1, Halt()),
    ],
)
def test_the_table(kind: Kind, faults: int, decided: Verdict) -> None:
    assert verdict(kind, faults, 0.5, POLICY) == decided


def test_every_kind_has_a_row_and_only_nodes_that_are_taken_away_are_forgiven_for_ever() -> None:
    table = rules(POLICY)
    assert set(table) == set(Kind)
    assert [kind for kind, rule in table.items() if rule.tries == math.inf] == [Kind.TAKEN]
    for kind, rule in table.items():
        if rule.tries < math.inf:
            assert not isinstance(verdict(kind, int(rule.tries), 0.0, POLICY), Retry)


def test_budgets_come_from_the_policy() -> None:
    assert verdict(Kind.INPUT, 2, 0.0, Policy(1, attempts=3)) == Retry(0.0, elsewhere=True, blame=False)
    assert verdict(Kind.NODE, 1, 0.0, Policy(1, losses=1)) == Quarantine()


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_waits_lie_between_nothing_and_twice_the_last_up_to_a_limit(faults: int, jitter: float) -> None:
    longest_s = min(2.0 * 2 ** min(faults - 1, 30), 10.0)
    assert 0 <= back_off_s(faults, jitter, POLICY) == jitter * longest_s < longest_s


def test_a_unit_that_ends_workers_says_how_many() -> None:
    told = last_words(Fault(Kind.NODE, "Ray says\nmuch"), 4)
    assert told.error.startswith("Ray says\nmuch\n")
    assert told.reason.startswith("4 workers were lost")
    plain = Fault(Kind.SILENT, "no answer for 60 s")
    assert last_words(plain, 6) == plain
