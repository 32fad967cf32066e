"""Working ahead: the same answers in the same order, one at a time, never more than one beyond what is used."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiler.ahead import ahead


@given(st.lists(st.integers(), max_size=9))
def test_answers_come_in_order(items):
    assert list(ahead(lambda item: item + 1, items)) == [item + 1 for item in items]


def test_the_next_is_made_while_one_is_used_and_no_more_than_that():
    begun = [threading.Event() for _ in range(4)]
    answers = ahead(lambda item: begun[item].set() or item, range(4))
    assert not begun[0].is_set(), "nothing is made before it is asked for"
    assert next(answers) == 0
    assert begun[1].wait(30)
    assert not begun[2].is_set()
    assert list(answers) == [1, 2, 3]


def test_what_an_item_raises_comes_in_its_place():
    answers = ahead(lambda item: 1 // item, [1, 0, 2])
    assert next(answers) == 1
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_who_stops_leaves_no_thread_behind():
    answers = ahead(lambda item: item, range(9))
    next(answers)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
