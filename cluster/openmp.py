"""How helper threads wait for work where OpenMP is GNU's, as torch's is on Linux; elsewhere nothing happens.

Between two operations of a network its threads wait for each other. By itself GNU's OpenMP lets a thread spin for about
10 ms before it sleeps. That is the fastest way while nobody else wants a core; but where the other thread has lost its
core to another process, all spin until it gets it back: beside one busy process a small network took five times as
long on two cores. With a spin of a millisecond it takes three times as long, and alone it is as fast as ever, since
threads that read and write want cores, too (benchmarks/README.md).
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SPINS = "20000"
"""Turns of the loop that waits, of some 50 ns each."""


def spin_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads of OpenMP sleep soon, unless the environment says how they wait.

    It is heard by what is imported later: call this before torch is.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
