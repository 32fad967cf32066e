"""How much memory a command takes: its own and that of everything it started, shared pages counted once."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress

import psutil

EVERY_S = 0.5


def wait_for(process: subprocess.Popen) -> int:
    """Wait for a process; return the largest sum of proportional set sizes that was seen, in bytes."""
    peak, root = 0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        with suppress(psutil.Error):
            for member in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    total += member.memory_full_info().pss
        peak = max(peak, total)
        time.sleep(EVERY_S)
    return peak
