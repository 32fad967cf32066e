"""Scratch: the same memory again, of each thread its own."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from tiler.scratch import Scratch


def test_the_next_array_lies_in_the_memory_of_the_last_unless_it_is_larger():
    scratch = Scratch()
    first = scratch.array((3, 5, 7), "uint16")
    assert (first.shape, first.dtype, first.flags.c_contiguous) == ((3, 5, 7), np.dtype("uint16"), True)
    assert np.shares_memory(first, scratch.array((1, 5, 7), "float32"))
    assert not np.shares_memory(first, scratch.array((4, 50, 7), "uint16"))


def test_threads_do_not_share():
    scratch, both = Scratch(), Barrier(2)

    def filled(value):
        array = scratch.array((40, 50), "uint16")
        array[:] = value
        both.wait(10)
        return (array == value).all()

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(filled, (1, 2)))
