"""How far a stage is: a bar where someone watches, a plain line now and then where a log is written.

    with Progress(64, "infer", unit="windows") as progress:
        for done in engine.run(...):
            progress.advance()

The line of a log: `infer   12/64 windows  19 %  1.3/s  left 0:40`.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

LINE_EVERY_S = 10.0
DRAW_EVERY_S = 0.1
"""What the eye can follow: a unit must not wait for a bar."""


def duration(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from one hour on."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}" if hours else f"{minutes}:{rest_s:02}"


def rate_text(per_s: float) -> str:
    """A rate with two digits, per second, or per minute or hour where it is slow."""
    factor, unit = (1, "s") if per_s >= 1 else (60, "min") if per_s * 60 >= 1 else (3600, "h")
    return f"{per_s * factor:.{0 if per_s * factor >= 10 else 1}f}/{unit}"


def facts_text(done: int, total: int | None, elapsed_s: float, restored: int = 0) -> str:
    """Percentage, rate and time left, as far as they are known; `restored` of the `done` units took no time.

    The rate is that of the whole stage, so one slow unit does not make the time left jump. Nothing is promised
    before the first unit is done.
    """
    parts, fresh = [], done - restored
    if total:
        # Rounded down: 100 % is said when all is done, not at 63.9 of 64.
        parts.append(f"{100 * done // total:2} %")
    if fresh and elapsed_s > 0:
        parts.append(rate_text(fresh / elapsed_s))
        if total is not None and done < total:
            parts.append(f"left {duration(elapsed_s * (total - done) / fresh)}")
    return "  ".join(parts)


def line(
    label: str,
    done: int,
    total: int | None,
    unit: str,
    elapsed_s: float,
    *,
    restored: int = 0,
    note: str | None = None,
) -> str:
    """One line of a log. `elapsed_s` is since the start of the stage; `total` None where nobody knows."""
    count = f"{done}/{total}" if total is not None else str(done)
    parts = [f"{label}   {count} {unit}", facts_text(done, total, elapsed_s, restored)]
    if total is not None and done >= total:
        parts.append(f"took {duration(elapsed_s)}")
    return "  ".join(part for part in [*parts, note] if part)


class Progress:
    """Counts finished units and tells about it; a context manager.

    On a terminal: one bar that is redrawn. Elsewhere: a line at the start, one every ten seconds at most, and one
    at the end. `restored` units were finished by an earlier run: they are done, and do not count for the rate.
    """

    def __init__(
        self,
        total: int | None,
        label: str,
        *,
        unit: str = "units",
        restored: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = self.restored = restored
        self.failed = 0
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._started_s = self._said_s = clock()
        self._note: str | None = None
        self._bar = _bar(self._stream) if self._stream.isatty() else None

    def __enter__(self) -> Self:
        self._started_s = self._said_s = self._clock()
        if self._bar is None:
            self._say()
        else:
            self._task = self._bar.add_task(
                self.label, total=self.total, completed=self.done, facts="", note="", unit=self.unit
            )
            self._bar.start()
        return self

    def advance(self, n: int = 1, note: str | None = None, failed: int = 0) -> None:
        """`n` more units are done, `failed` of them badly; `note` is shown beside the numbers until the next one."""
        self.done += n
        self.failed += failed
        self._note = note if note is not None else self._note
        now_s = self._clock()
        if now_s - self._said_s >= (LINE_EVERY_S if self._bar is None else DRAW_EVERY_S) and self.done != self.total:
            self._say()

    def facts(self) -> dict[str, Any]:
        """Return the numbers, for programs; rate and time left are None where nothing is known of them."""
        done, elapsed_s = self.done, self._clock() - self._started_s
        fresh = done - self.restored
        rate = fresh / elapsed_s if fresh and elapsed_s > 0 else None
        left_s = None if rate is None or self.total is None else max(0.0, (self.total - done) / rate)
        return {
            "stage": self.label,
            "unit": self.unit,
            "done": done,
            "total": self.total,
            "restored": self.restored,
            "failed": self.failed,
            "elapsed_s": round(elapsed_s, 1),
            "rate_per_s": None if rate is None else round(rate, 6),
            "left_s": None if left_s is None else round(left_s, 1),
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._note = f"stopped by {kind.__name__}"
        self._say()
        if self._bar is not None:
            self._bar.stop()

    def _say(self) -> None:
        self._said_s = self._clock()
        elapsed_s = self._said_s - self._started_s
        if self._bar is not None:
            facts = facts_text(self.done, self.total, elapsed_s, self.restored)
            self._bar.update(self._task, completed=self.done, facts=facts, note=self._note or "")
            return
        text = line(self.label, self.done, self.total, self.unit, elapsed_s, restored=self.restored, note=self._note)
        print(text, file=self._stream, flush=True)


def _bar(stream: TextIO) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TextColumn("{task.fields[facts]}", style="cyan", markup=False),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=Console(file=stream),
    )
