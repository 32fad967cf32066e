"""Freed memory stays with the process, whichever thread had it."""

import os
import subprocess
import sys

import pytest

from cluster.heap import one_heap_for_children

FAULTS = """
import threading
{before}
import numpy as np, resource
def faults(*sizes_mib):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [np.ones(size * 2**20, np.uint8) for size in sizes_mib]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def measure():
    print(*(faults(*sizes) for sizes in [(100, 40, 40, 40)] * 3))
{run}
"""
KEEP = "from cluster.heap import keep_memory; keep_memory()"
THREAD = "thread = threading.Thread(target=measure); thread.start(); thread.join()"


def faults(before, run):
    code = FAULTS.format(before=before, run=run)
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60, env=environment)
    return list(map(int, done.stdout.split()))


@pytest.mark.parametrize("run", ["measure()", THREAD])
def test_freed_memory_is_kept_for_the_next_array(run):
    first, *others = faults(KEEP, run)
    assert first > 20, "50 huge pages, or 25,600 small ones"
    assert max(others) < first / 5


def test_what_is_kept_can_be_given_back_once():
    code = """
from cluster.heap import give_memory_back, keep_memory
keep_memory()
import numpy as np, psutil
resident = lambda: psutil.Process().memory_info().rss // 2**20
numbers = np.ones(200 * 2**20, np.uint8)
del numbers
kept = resident()
give_memory_back()
print(kept, resident())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    kept, left = map(int, done.stdout.split())
    assert kept - left > 150


def test_memory_is_given_back_while_a_block_runs_and_kept_after_it():
    code = """
from cluster.heap import giving_memory_back, keep_memory
keep_memory()
import threading, time
import numpy as np, psutil
resident = lambda: psutil.Process().memory_info().rss // 2**20
def kept(patience_s):
    numbers = np.ones(200 * 2**20, np.uint8)
    del numbers
    most, end = resident(), time.monotonic() + patience_s
    while resident() > most - 150 and time.monotonic() < end:
        time.sleep(0.01)
    return most - resident()
with giving_memory_back(every_s=0.1):
    print(kept(30))
print(kept(0.5), sum(thread.name == "heap" for thread in threading.enumerate()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    within, after, threads = map(int, done.stdout.split())
    assert within > 150 > after
    assert threads == 0


def test_children_have_one_heap():
    environment: dict[str, str] = {}
    one_heap_for_children(environment)
    assert environment == {"MALLOC_ARENA_MAX": "1"}


def test_what_the_environment_says_stays():
    environment = {"MALLOC_ARENA_MAX": "3"}
    one_heap_for_children(environment)
    assert environment == {"MALLOC_ARENA_MAX": "3"}
