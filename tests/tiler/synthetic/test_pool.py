"""Work in processes: everything is done once, and an error is not swallowed."""

import os

import pytest

from tiler.synthetic.pool import each


def halved(number):
    if number % 2:
        raise ArithmeticError(f"{number} is odd")
    return number // 2, os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once_and_its_number_is_told(workers):
    tasks = [8, 2, 6, 4]
    done = dict(each(halved, tasks, workers))
    assert [done[place][0] for place in range(4)] == [4, 1, 3, 2]
    assert (os.getpid() in {process for _, process in done.values()}) == (workers == 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_raised(workers):
    with pytest.raises(ArithmeticError, match="3 is odd"):
        list(each(halved, [2, 3], workers))


def test_nothing_to_do_and_nobody_to_do_it():
    assert list(each(halved, [], 4)) == []
    with pytest.raises(ValueError, match="at least one worker must be asked for, got 0"):
        list(each(halved, [2], 0))
