"""Which number format and how many windows a pass run an ensemble fastest on this machine: measured, within seconds.

`search` decides what is worth trying, from timings that it asks for; `timer` times an ensemble on random imagery.
Number formats come first, at the smallest batch, the slower ones twice where a neighbour on the machine may have slowed
them down; then larger batches in the best format. A pass
over a sixteenth of a tile predicts what trials will take. Where passes are so long that the formats cannot all be tried
on whole tiles, smaller tiles compare them, and larger batches are not tried: where one window takes seconds, windows
have nothing left to share.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.card import Card
from models.imagery import Imagery
from models.memory import is_out_of_memory
from models.networks import SIDE_MULTIPLE_PX, SegmentationNetwork
from models.predict import Ensemble

PASSES = 2
"""What a trial takes at least: one pass to warm up, one that counts."""
REPEAT_S, REPEATS = 0.5, 8
"""A trial ends once it has counted so many seconds, or so many passes."""
CLEARLY = 1.03
"""A larger batch, which costs memory, must be so many times as fast: timings of one machine differ by as much."""
ALONE = 0.95
"""Of the time of its cores, how much a process has used that no neighbour kept from them."""
HOPELESS = 1.15
"""No larger batch is tried after one whose windows take so many times as long as the best."""


@dataclass(frozen=True)
class Setting:
    """How an ensemble is run."""

    precision: str
    """A key of `models.precision.PRECISIONS`."""
    batch: int
    """Windows a pass, each in all its views."""


@dataclass(frozen=True)
class Timing:
    """What timing a setting gave."""

    window_s: float
    """Seconds a window; infinite where the setting cannot be used."""
    spent_s: float
    """Seconds that timing it took, loading and warming up included."""
    alone: bool = False
    """Whether this process is known to have had all of its cores meanwhile: no neighbour slowed it down."""


@dataclass(frozen=True)
class Trial:
    """A setting that was tried."""

    setting: Setting
    side_px: int
    """Of the tiles."""
    window_s: float


@dataclass(frozen=True)
class Choice:
    """The setting to use, and why."""

    setting: Setting
    trials: tuple[Trial, ...]
    """In the order in which they were made; none where there was nothing to choose, or no time for it."""


Measure = Callable[[Setting, int], Timing]
"""Times a setting on tiles of so many pixels a side."""


def search(measure: Measure, precisions: Sequence[str], batches: Sequence[int], tile_px: int, limit_s: float) -> Choice:
    """Find the fastest setting.

    Args:
        measure: times a setting.
        precisions: number formats to choose from; the first is taken where there is no time to try.
        batches: windows a pass to choose from, rising.
        tile_px: side of the run's tiles.
        limit_s: trials are made as long as they are predicted to end within this.

    Raises:
        RuntimeError: none of the number formats can be used.
    """
    formats = [Setting(name, batches[0]) for name in precisions]
    if len(precisions) == len(batches) == 1:
        return Choice(formats[0], ())
    least_px = _part(tile_px, 4)
    scout = measure(formats[0], least_px)
    spent_s = scout.spent_s

    def fits(side_px: int) -> bool:
        window_s = scout.window_s * (side_px / least_px) ** 2
        return spent_s + PASSES * batches[0] * window_s * len(formats) <= limit_s

    side_px = next((px for px in (tile_px, _part(tile_px, 2), least_px) if fits(px)), None)
    if side_px is None and math.isfinite(scout.window_s):
        return Choice(formats[0], ())
    side_px = side_px or least_px
    trials: list[Trial] = []
    alone: set[Setting] = set()

    def attempt(setting: Setting) -> Trial:
        nonlocal spent_s
        timing = measure(setting, side_px)
        spent_s += timing.spent_s
        if timing.alone:
            alone.add(setting)
        trials.append(Trial(setting, side_px, timing.window_s))
        return trials[-1]

    for setting in formats:
        attempt(setting)
    for slow in sorted(trials, key=_window_s)[1:]:  # once more: a neighbour on the machine may have slowed it down
        if slow.setting not in alone and spent_s + PASSES * batches[0] * slow.window_s <= limit_s:
            attempt(slow.setting)
    best = min(trials, key=_window_s)
    if math.isinf(best.window_s):
        raise RuntimeError(
            f"None of the number formats {list(precisions)} gives finite logits in the memory that there is, with "
            f"{batches[0]} windows a pass. Name a smaller batch, or look at the bundles."
        )
    for batch in batches[1:] if side_px == tile_px else ():
        if spent_s + PASSES * batch * best.window_s > limit_s:
            break
        found = attempt(Setting(best.setting.precision, batch))
        if found.window_s > HOPELESS * best.window_s:
            break
        if found.window_s * CLEARLY < best.window_s:
            best = found
    return Choice(best.setting, tuple(trials))


def timer(
    members: Sequence[tuple[Card, SegmentationNetwork]],
    tta: str = "flips4",
    average: str = "logit",
    device: str = "cpu",
) -> Measure:
    """Return what times these networks, with all that an ensemble does around them, on random imagery of a device."""
    names = dict.fromkeys(name for card, _ in members for name in card.channels)
    bands = [name for name in names if name != "mask"]
    scaling = {n: (o, s) for card, _ in members for n, o, s in zip(card.channels, card.offset, card.scale, strict=True)}
    random = np.random.default_rng(0)

    def measure(setting: Setting, side_px: int) -> Timing:
        began = time.monotonic()
        shape = (side_px, side_px)
        image = np.stack([random.normal(*scaling[name], shape) for name in bands]).astype(np.float32)
        zeros = np.zeros(len(bands), np.float32)
        try:
            ensemble = Ensemble(members, (*bands, "mask"), tta, setting.precision, device, setting.batch, average)
            imagery = Imagery.of(image, random.random(shape) < 0.9, zeros, np.empty((0, *shape), np.float32), device)
            pass_s, busy_s = _pass_s(lambda: ensemble.predict_windows(imagery, [(0, 0)] * setting.batch, side_px))
            if ensemble.batch < setting.batch:  # it found too little memory and took fewer
                pass_s = math.inf
        except (FloatingPointError, MemoryError, RuntimeError) as error:
            if not isinstance(error, FloatingPointError) and not is_out_of_memory(error):
                raise
            pass_s, busy_s = math.inf, 0.0
        alone = device == "cpu" and busy_s >= ALONE * pass_s * torch.get_num_threads()
        return Timing(pass_s / setting.batch, time.monotonic() - began, alone)

    return measure


def _window_s(trial: Trial) -> float:
    return trial.window_s


def _pass_s(forward: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of the fastest pass and its processor seconds: neighbours on the machine only ever add."""
    forward()
    passes: list[tuple[float, float]] = []
    while len(passes) < REPEATS and sum(seconds for seconds, _ in passes) < REPEAT_S:
        began, busy = time.monotonic(), time.process_time()
        forward()
        passes.append((time.monotonic() - began, time.process_time() - busy))
    return min(passes)


def _part(tile_px: int, divisor: int) -> int:
    """Return the side of a smaller tile that networks take without padding, where the whole tile is such a one."""
    return max(min(tile_px, SIDE_MULTIPLE_PX), tile_px // divisor // SIDE_MULTIPLE_PX * SIDE_MULTIPLE_PX)
