"""Brightness: has a sensor's gain changed, judged on the pixels that keep their brightness from date to date?

Pseudo-invariant features (Schott, Salvaggio and Volchok 1988): of each window the pixels whose logarithm deviates least
over the reference dates, of a region the steadiest of these, and of them the median of `log(now / usual)`. It is the
logarithm of the gain. How far a date lies from others with nothing changed is found by leaving each reference date out
in turn, *its* pixels chosen without it: the same choice on the date itself would find it too steady. Few dates are few
degrees of freedom, so the bound is Student's (a prediction interval for one more date).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KEPT = 16
"""Pixels of a window that are kept, of each band: the steadiest."""
SHARE = 0.5
"""Of the kept pixels of a region, the share that is judged: the steadiest again. A smaller share finds smaller gains,
but picks windows that were steady by luck: in simulations a twentieth doubled the false alarms, a half did not."""
FEWEST_PIXELS, FEWEST_WINDOWS = 32, 8
"""Kept pixels, and windows with any, that a region needs of a date."""
FEWEST_DATES = 3
"""Of a reference: leaving one out, two can deviate."""
LEAST_SPREAD = 0.005
"""Deviation from date to date that is believed at least: no sensor and no air is steadier than half a percent."""


@dataclass(frozen=True)
class Steady:
    """The steadiest pixels of windows, at one date of a run and at each date of its reference."""

    bands: tuple[str, ...]
    date: str
    """Of the run."""
    region: np.ndarray
    """int (n,): of each window."""
    moved: np.ndarray
    """float32 (n, 1 + dates, bands, KEPT): log of a pixel over its mean at the other reference dates; first the run's
    date, then each date of the reference. The pixels are others in each."""
    spread: np.ndarray
    """float32, as `moved`: standard deviation at those other dates; infinite where there is no pixel."""


@dataclass(frozen=True)
class Gain:
    """How bright a region is in one band at one date, against its reference."""

    band: str
    date: str
    ratio: float
    """1 where nothing changed."""
    usual: float
    """Factor from date to date: one standard deviation of what another date would have."""
    dates: int
    """Of the reference, that it was judged by."""
    probability: float
    """Of a date like those of the reference to lie as far away, up or down."""

    @property
    def told(self) -> str:
        """Return what is said of it, such as `gain red 1.10`."""
        return f"gain {self.band} {self.ratio:.2f}"


def steadiest(now: np.ndarray, before: np.ndarray, keep: int = KEPT) -> tuple[np.ndarray, np.ndarray]:
    """Choose the steadiest pixels of a window, once for the run's date and once for each date that is left out.

    Args:
        now: float (bands, pixels): logarithms at the run's date; NaN where missing.
        before: float (dates, bands, pixels): at those of the reference.
        keep: pixels of each band.

    Returns:
        `moved` and `spread` as in `Steady`, float32 (1 + dates, bands, keep). A pixel counts at a date that saw it, if
        two of the other dates of the window and half of them did.
    """
    dates, bands, pixels = before.shape
    known = np.isfinite(before)
    count = known.sum(0)
    centre = np.where(known, before, 0).sum(0) / np.maximum(count, 1)
    off = np.where(known, before - centre, 0)
    # sums without each date, and first without none
    counts = count - np.concatenate([np.zeros((1, bands, pixels), bool), known])
    sums = off.sum(0) - np.concatenate([np.zeros((1, bands, pixels)), off])
    squares = (off * off).sum(0) - np.concatenate([np.zeros((1, bands, pixels)), off * off])
    mean = sums / np.maximum(counts, 1)
    spread = np.sqrt(np.maximum(squares / np.maximum(counts, 1) - mean * mean, 0))
    at = np.concatenate([(now - centre)[None], np.where(known, off, np.nan)]) - mean
    here = int(known.any(axis=(1, 2)).sum())
    others = np.array([here, *[here - 1] * dates])[:, None, None]
    usable = np.isfinite(at) & (counts >= np.maximum(2, others / 2))
    spread = np.where(usable, spread, np.inf)
    out = np.zeros((2, 1 + dates, bands, keep), np.float32)
    out[1] = np.inf
    some = min(keep, pixels)
    if some:
        best = np.argpartition(spread, some - 1, axis=-1)[..., :some]
        out[1, ..., :some] = np.take_along_axis(spread, best, -1)
        out[0, ..., :some] = np.where(np.isfinite(out[1, ..., :some]), np.take_along_axis(at, best, -1), 0)
    return out[0], out[1]


def gains(steady: Steady, region: int) -> list[Gain]:
    """Return how bright a region is in each band; no band that fewer than `FEWEST_DATES` dates can judge.

    With deviations e of n reference dates, each from the mean of the others, s^2 = (n - 1) / n^2 * sum of e^2 is the
    variance of a date, and e0 / (s * sqrt(1 + 1/n)) of one more date has Student's distribution with n - 1 degrees.
    """
    from scipy.stats import t as student

    here = steady.region == region
    moved, spread = steady.moved[here], steady.spread[here]
    found = []
    for place, band in enumerate(steady.bands):
        middles = np.array([_middle(moved[:, d, place], spread[:, d, place]) for d in range(moved.shape[1])])
        run, dates = middles[0], middles[1:][np.isfinite(middles[1:])]
        n = len(dates)
        if n < FEWEST_DATES or not np.isfinite(run):
            continue
        deviation = max(float(np.sqrt((n - 1) * (dates * dates).sum()) / n), LEAST_SPREAD) * np.sqrt(1 + 1 / n)
        p = 2 * float(student.sf(abs(run) / deviation, n - 1))
        found.append(Gain(band, steady.date, float(np.exp(run)), float(np.exp(deviation)), n, p))
    return found


def _middle(moved: np.ndarray, spread: np.ndarray) -> float:
    """Return the median of the steadiest pixels of a region at one date, (windows, KEPT); NaN where they are few."""
    has = np.isfinite(spread)
    if has.any(axis=1).sum() < FEWEST_WINDOWS or has.sum() < FEWEST_PIXELS:
        return float("nan")
    values, order = moved[has], np.argsort(spread[has], kind="stable")
    return float(np.median(values[order[: max(FEWEST_PIXELS, round(SHARE * len(order)))]]))
