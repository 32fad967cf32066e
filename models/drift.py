"""Drift: have the embeddings of a region moved away from a reference by more than the reference differs from itself?

Three distances between sets of embeddings (`models/set_distances.py`), and one threshold for each region: the blocks of
the reference are halved at random, many times. In each, the distance of one half from the other says how far two halves
of the same thing lie apart, and the distance of the first half from the run's items on the ground of the second says
how far the run does. Both are sets of one size on the same ground, so the comparison needs no formula for small
samples. Blocks are drawn whole because neighbours are alike: tiles counted as if they were independent would halve too
evenly, and every run would drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.brightness import Gain
from models.set_distances import DISTANCES, Space, distances

MISSING = "missing"
"""A reason beside the distances: ground that the reference saw and the run did not."""
FEW = "few blocks"
"""Why a region is not judged."""
WHOLE_TO_HALVES = 0.5
"""How far the mean over all halvings spreads from run to run, as a share of how far single halvings do: for distances
that are squares, variances of 2/n of whole sets over 4/n of halves. Between dates of a reference nothing shrinks."""


class DriftSpec(BaseModel):
    """How drift is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(default=0.05, gt=0, lt=1)
    """False-alarm rate: the probability that any region of a run that did not drift is said to (Holm's correction)."""
    components: int = Field(default=64, ge=1)
    """Principal components of the reference, at most, in which distances are taken."""
    clusters: int = Field(default=10, ge=2)
    """Clusters of the reference (k-means++) whose occupancy is compared."""
    resamples: int = Field(default=400, ge=20)
    """Halvings of a region, at least; more where many regions ask for smaller probabilities."""
    lost_limit: float = Field(default=0.25, ge=0, lt=1)
    """Share of the items that the reference saw, of which more may not be missing in the run."""
    fewest_blocks: int = Field(default=8, ge=4)
    """Blocks that reference and run must have in common for a region to be judged."""
    seed: int = 0


@dataclass(frozen=True)
class Items:
    """The items of a run, or of a reference: one row each, all arrays of one length."""

    embeddings: np.ndarray
    """float (n, dimension)."""
    region: np.ndarray
    """int (n,): what is judged apart."""
    block: np.ndarray
    """int (n,): pieces of ground that are larger than the reach of likeness; the same number is the same ground in
    reference and run."""
    seen: np.ndarray
    """bool (n,): False for items that saw too little to have an embedding."""
    acquisition: np.ndarray | None = None
    """int (n,): which items were taken together. Of a reference with several, one at a time plays the run."""

    def __post_init__(self) -> None:
        lengths = {len(self.region), len(self.block), len(self.seen), len(self.embeddings)}
        if self.embeddings.ndim != 2 or len(lengths) > 1:
            raise ValueError(f"items need arrays of one length and embeddings (n, dimension), got lengths {lengths}")

    @property
    def acquisitions(self) -> np.ndarray:
        """int (n,): zeros where there is one only."""
        return np.zeros(len(self.region), np.int64) if self.acquisition is None else self.acquisition

    def only(self, chosen: np.ndarray) -> Items:
        """Return some of the items (an index or a mask)."""
        taken = (a[chosen] for a in (self.embeddings, self.region, self.block, self.seen, self.acquisitions))
        return Items(*taken)


@dataclass(frozen=True)
class RegionDrift:
    """What is said of a region."""

    region: int
    judged: bool
    drifts: bool
    """Of a region that is not judged: False."""
    reasons: tuple[str, ...]
    """Names of distances beyond their thresholds, `missing`, or why it was not judged."""
    distances: dict[str, float]
    """Name to mean distance of the run from halves of the reference."""
    thresholds: dict[str, float]
    """Name to what the distance would exceed at the nominal rate, were it alone and nothing had moved."""
    probability: float
    """Of a region that did not drift to lie as far away as this one, by distances and gains together; 1 if unjudged."""
    corrected: float
    """The same after Holm's correction for the number of regions that were judged."""
    lost: float
    """Share of the items that the reference saw on ground of the run, and the run did not see."""
    items: int
    """Of the run, seen."""
    blocks: int
    """In common."""
    of_distances: float = 1.0
    """The probability of the distances alone."""
    gains: tuple[Gain, ...] = ()
    """How bright it is, by date and band; empty where that could not be judged."""


def find_drift(
    reference: Items, run: Items, spec: DriftSpec | None = None, brightness: Mapping[int, Sequence[Gain]] | None = None
) -> list[RegionDrift]:
    """Judge every region of a run against a reference, in order of their numbers.

    A region drifts where Holm's step-down test over the regions (Holm 1979) rejects that it does not, or where more of
    it is missing than `lost_limit`. The probability of the distances of a region is that of the largest of the three,
    each measured by how far its own halves spread (Westfall and Young 1993), so that asking three costs one correction.
    Where gains are known as well, each side gets half of the rate, and a gain its share of that half (Bonferroni).

    Args:
        reference: what is usual.
        run: what is judged.
        spec: how.
        brightness: gains of regions (models/brightness.py).

    Raises:
        ValueError: embeddings of other lengths, or a reference that saw nothing.
    """
    asked = spec or DriftSpec()
    if reference.embeddings.shape[1] != run.embeddings.shape[1]:
        raise ValueError(
            f"embeddings of {run.embeddings.shape[1]} numbers cannot be compared with a reference of "
            f"{reference.embeddings.shape[1]}; embed both with one model"
        )
    if int(reference.seen.sum()) < 2 * asked.fewest_blocks:
        raise ValueError(
            f"the reference saw {int(reference.seen.sum())} items; halves of it need {2 * asked.fewest_blocks} or more"
        )
    regions = np.unique(np.concatenate([reference.region, run.region]))
    space = Space.fit(reference.embeddings[reference.seen], asked.components, asked.clusters, asked.seed)
    resamples = max(asked.resamples, int(np.ceil(4 * len(regions) / asked.rate)))
    found = [
        _judge(
            int(region),
            reference.only(reference.region == region),
            run.only(run.region == region),
            space,
            asked,
            resamples,
        )
        for region in regions
    ]
    found = [_with_gains(one, tuple((brightness or {}).get(one.region, ()))) for one in found]
    judged = [place for place, one in enumerate(found) if one.judged]
    corrected = holm(np.array([found[place].probability for place in judged]))
    for place, value in zip(judged, corrected.tolist(), strict=True):
        found[place] = _decided(found[place], value, asked)
    return found


def holm(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities corrected for their number: each is compared with the rate itself (Holm 1979)."""
    order = np.argsort(probabilities, kind="stable")
    steps = probabilities[order] * (len(order) - np.arange(len(order)))
    out = np.empty(len(order))
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def _with_gains(one: RegionDrift, gains: tuple[Gain, ...]) -> RegionDrift:
    """Return a region of which gains are known, too; one without enough ground stays unjudged."""
    if not one.judged or not gains:
        return one
    both = min(1.0, 2 * min(one.probability, len(gains) * min(gain.probability for gain in gains)))
    return replace(one, gains=gains, probability=both, corrected=both, of_distances=one.probability)


def _decided(one: RegionDrift, corrected: float, spec: DriftSpec) -> RegionDrift:
    reasons: tuple[str, ...] = ()
    if corrected <= spec.rate:
        # what else would have been enough, by the same steps
        bound = spec.rate * one.probability / corrected
        halves = 2 if one.gains else 1
        if halves * one.of_distances <= bound:
            # the test is that of the largest distance: where it alone is beyond, it is named, whatever its own bound
            beyond = [name for name in DISTANCES if one.distances[name] > one.thresholds[name]]
            largest = max(DISTANCES, key=lambda n: one.distances[n] - one.thresholds[n])
            reasons = tuple(beyond or [largest])
        reasons += tuple(gain.told for gain in one.gains if 2 * len(one.gains) * gain.probability <= bound)
    reasons += (MISSING,) if one.lost > spec.lost_limit else ()
    return replace(one, corrected=corrected, drifts=bool(reasons), reasons=reasons)


def _judge(region: int, reference: Items, run: Items, space: Space, spec: DriftSpec, resamples: int) -> RegionDrift:
    """Return what is known of a region before regions are counted."""
    lost = _lost(reference, run)
    here, there = reference.only(reference.seen), run.only(run.seen)
    common = np.intersect1d(here.block, there.block)
    nothing = dict.fromkeys(DISTANCES, float("nan"))
    if len(common) < spec.fewest_blocks:
        gone = lost > spec.lost_limit
        reasons = (MISSING,) if gone else (FEW,)
        return RegionDrift(
            region, gone, gone, reasons, nothing, nothing, 1.0, 1.0, lost, len(there.region), len(common)
        )
    here, there = here.only(np.isin(here.block, common)), there.only(np.isin(there.block, common))
    random = np.random.default_rng([spec.seed, region & 0xFFFFFFFF])
    first, second, third = _halves(here, there, common, resamples, random)
    within, across = distances(space, here.embeddings, there.embeddings, first, second, third)
    share = WHOLE_TO_HALVES if len(np.unique(here.acquisitions)) == 1 else 1.0
    thresholds, extremes, found = {}, [], {}
    observed = []
    for name in DISTANCES:
        middle = float(within[name].mean())
        spread = share * (within[name] - middle)
        width = max(float(np.quantile(spread, 1 - spec.rate)), 1e-12)
        thresholds[name], found[name] = middle + width, float(across[name].mean())
        extremes.append(spread / width)
        observed.append((found[name] - middle) / width)
    largest = np.max(extremes, axis=0)
    probability = (1 + int((largest >= max(observed)).sum())) / (1 + resamples)
    both, seen = (probability, probability), (len(there.region), len(common))
    return RegionDrift(region, True, False, (), found, thresholds, *both, lost, *seen, of_distances=probability)


def _lost(reference: Items, run: Items) -> float:
    """Return which share of what the reference saw the run lacks, block by block, acquisitions averaged."""
    if not reference.seen.any():
        return 0.0
    dates = max(1, len(np.unique(reference.acquisitions[reference.seen])))
    again = max(1, len(np.unique(run.acquisitions)))
    blocks = np.unique(np.concatenate([reference.block, run.block]))
    had = np.bincount(np.searchsorted(blocks, reference.block[reference.seen]), minlength=len(blocks)) / dates
    has = np.bincount(np.searchsorted(blocks, run.block[run.seen]), minlength=len(blocks)) / again
    return float(np.maximum(had - has, 0).sum() / had.sum())


def _halves(
    reference: Items, run: Items, blocks: np.ndarray, resamples: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which rows take part in each halving.

    Returns:
        bool (resamples, n) of the reference's first half; bool (resamples, n) of its second; bool (resamples, m) of the
        run on the ground of the second. Of a reference with several acquisitions one plays the run, and is left out of
        the first half: two dates differ, and so may the run's.
    """
    at_reference, at_run = np.searchsorted(blocks, reference.block), np.searchsorted(blocks, run.block)
    draws = random.random((resamples, len(blocks)))
    second = draws.argsort(axis=1).argsort(axis=1) >= len(blocks) // 2
    dates = np.unique(reference.acquisitions)
    ours, theirs = second[:, at_reference], second[:, at_run]
    if len(dates) < 2:
        return ~ours, ours, theirs
    playing = reference.acquisitions[None, :] == random.choice(dates, resamples)[:, None]
    first, other = ~ours & ~playing, ours & playing
    # a date that did not see these blocks cannot play; the whole half does
    lacking = ~(first.any(axis=1) & other.any(axis=1))
    first[lacking], other[lacking] = ~ours[lacking], ours[lacking]
    return first, other, theirs
