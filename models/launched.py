"""Windows that a device may still be computing: queued by one thread, awaited by another.

A GPU works through a queue. The thread that fills it must never wait for what comes out: while it waits, the queue runs
dry. So results are copied to pinned memory on a stream of their own, beside the forward passes of the next windows, and
whoever wants them waits for that copy alone. On the CPU everything is done when it was queued.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Launched:
    """Windows on their way to the host."""

    windows: Tensor
    """float16 (n, 2 K, side, side), on the host."""
    finite: Tensor
    """bool (n,), on the host: whether all logits of a window were finite before they were made float16."""
    complain: Callable[[int], NoReturn]
    """Raises what is to be said of a window that was not."""
    arrived: Callable[[], float]
    """Waits until windows and flags are there; returns the seconds that the device computed."""

    def result(self) -> tuple[np.ndarray, float]:
        """Wait; return the windows, and the seconds that the device computed them.

        Raises FloatingPointError: a network answered NaN or infinity.
        """
        seconds = self.arrived()
        if not bool(self.finite.all()):
            self.complain(int((~self.finite).int().argmax()))
        return self.windows.numpy(), seconds


class Outlet:
    """Where results leave a device."""

    def __init__(self, device: torch.device) -> None:
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self) -> float | torch.cuda.Event:
        """Note that work for some windows is queued from here on."""
        return time.monotonic() if self._copies is None else _marked()

    def bring(
        self, begun: float | torch.cuda.Event, windows: Tensor, finite: Tensor, complain: Callable[[int], NoReturn]
    ) -> Launched:
        """Queue the copies of what was queued since `begin`, after which its memory is given back to the device."""
        if self._copies is None or not isinstance(begun, torch.cuda.Event):
            assert isinstance(begun, float)
            seconds = time.monotonic() - begun
            return Launched(windows, finite, complain, lambda: seconds)
        ended = _marked()
        self._copies.wait_event(ended)
        with torch.cuda.stream(self._copies):
            there = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in (windows, finite)]
            for host, device in zip(there, (windows, finite), strict=True):
                host.copy_(device, non_blocking=True)
                device.record_stream(self._copies)
            copied = _marked()

        def arrived() -> float:
            copied.synchronize()  # lets other Python threads run meanwhile
            return float(begun.elapsed_time(ended)) / 1e3

        return Launched(there[0], there[1], complain, arrived)


def _marked() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
