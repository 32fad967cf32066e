"""Windows that a device may still be computing: queued by one thread, awaited by another.

A GPU works through a queue. The thread that fills it must never wait for what comes out: while it waits, the queue runs
dry. So results are copied to pinned memory on a stream of their own, beside the forward passes of the next windows, and
whoever wants them waits for that copy alone. On the CPU everything is done when it was queued.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Asked:
    """How windows were asked about."""

    precision: str
    """A key of `models.precision.PRECISIONS`."""
    batch_halved: bool
    """Whether memory was too small for the batch that was planned: the last bits may be others than with that one."""
    infinite_input: Callable[[int], bool]
    """Says of a window, by its place, whether the networks were shown infinities."""


@dataclass(frozen=True)
class Answer:
    """What networks said of some windows, and what has to be known of it."""

    windows: np.ndarray
    """float16 (n, layers, side, side). One that is broken holds NaN, or the largest float16 where it was infinite."""
    broken: np.ndarray
    """int64 (n,): values of a window that were NaN or infinite."""
    clamped: np.ndarray
    """int64 (n,): values that were finite but beyond float16, and are its largest now."""
    seconds: float
    """That the device computed them."""
    asked: Asked
    """How."""

    def whole(self) -> np.ndarray:
        """Return the windows.

        Raises FloatingPointError: one is broken; says what is wrong with the first.
        """
        if self.broken.any():
            place = int((self.broken > 0).argmax())
            raise FloatingPointError(not_finite(place, self.asked.precision, self.asked.infinite_input(place)))
        return self.windows

    def replaced(self, places: Sequence[int], other: Answer) -> Answer:
        """Return this answer with another one for some of its windows."""
        windows, broken, clamped = self.windows.copy(), self.broken.copy(), self.clamped.copy()
        windows[places], broken[places], clamped[places] = other.windows, other.broken, other.clamped
        halved = self.asked.batch_halved or other.asked.batch_halved
        # windows of both are the same imagery: this one's question answers for all
        asked = Asked(self.asked.precision, halved, self.asked.infinite_input)
        return Answer(windows, broken, clamped, self.seconds + other.seconds, asked)


def joined(parts: Sequence[Answer]) -> Answer:
    """Return the answers to parts of some windows, in order, as the answer to all."""
    if len(parts) == 1:
        return parts[0]
    ends = list(accumulate(len(part.windows) for part in parts))

    def infinite(place: int) -> bool:
        which = bisect_right(ends, place)
        return parts[which].asked.infinite_input(place - ends[which] + len(parts[which].windows))

    asked = Asked(parts[0].asked.precision, any(part.asked.batch_halved for part in parts), infinite)
    windows, broken, clamped = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("windows", "broken", "clamped")
    )
    return Answer(windows, broken, clamped, sum(part.seconds for part in parts), asked)


def not_finite(tile: int, precision: str, infinite_input: bool) -> str:
    """Return the sentence about a tile whose logits are not finite."""
    return (
        f"The logits of tile {tile} are not finite ({precision}). Its input "
        f"{'holds infinities' if infinite_input else 'holds none'}: "
        "fill missing pixels before predicting, or use precision='fp32'."
    )


@dataclass(frozen=True)
class Launched:
    """Windows on their way to the host."""

    windows: Tensor
    """float16 (n, layers, side, side), on the host."""
    counts: Tensor
    """int64 (n, 2), on the host: values of a window that are `Answer.broken`, and that are `Answer.clamped`."""
    asked: Asked
    """How."""
    arrived: Callable[[], float]
    """Waits until windows and counts are there; returns the seconds that the device computed."""

    def result(self) -> Answer:
        """Wait."""
        seconds = self.arrived()
        broken, clamped = self.counts.numpy().T
        return Answer(self.windows.numpy(), broken, clamped, seconds, self.asked)


class Outlet:
    """Where results leave a device."""

    def __init__(self, device: torch.device) -> None:
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self) -> float | torch.cuda.Event:
        """Note that work for some windows is queued from here on."""
        return time.monotonic() if self._copies is None else _marked()

    def bring(self, begun: float | torch.cuda.Event, windows: Tensor, counts: Tensor, asked: Asked) -> Launched:
        """Queue the copies of what was queued since `begin`, after which its memory is given back to the device."""
        if self._copies is None or not isinstance(begun, torch.cuda.Event):
            assert isinstance(begun, float)
            seconds = time.monotonic() - begun
            return Launched(windows, counts, asked, lambda: seconds)
        ended = _marked()
        self._copies.wait_event(ended)
        with torch.cuda.stream(self._copies):
            there = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in (windows, counts)]
            for host, device in zip(there, (windows, counts), strict=True):
                host.copy_(device, non_blocking=True)
                device.record_stream(self._copies)
            copied = _marked()

        def arrived() -> float:
            copied.synchronize()  # lets other Python threads run meanwhile
            return float(begun.elapsed_time(ended)) / 1e3

        return Launched(there[0], there[1], asked, arrived)


def store_as_float16(values: Tensor, out: Tensor, counts: Tensor) -> None:
    """Write layers as float16: what is beyond it becomes its largest, NaN stays NaN; count both.

    values: float32 (n, any, side, side), changed. out: float16, the same shape. counts: int64 (n, 2), added to: values
    that are NaN or infinite, and finite ones that are beyond float16.
    """
    largest = torch.finfo(torch.float16).max
    size = values.abs()
    finite, fitting = ((size <= most).flatten(1).sum(1) for most in (torch.finfo(torch.float32).max, largest))
    counts[:, 0] += values[0].numel() - finite
    counts[:, 1] += finite - fitting
    out.copy_(values.clamp_(-largest, largest))


def _marked() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
