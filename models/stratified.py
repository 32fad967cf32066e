"""Design-based estimates from a stratified random sample: areas and accuracies of a map with their standard errors.

The reference labels of the sample say what is there, the map only makes that cheaper: estimates are unbiased whatever
the map's errors. The formulas are those of Stehman 2014 (Estimating area and map accuracy for stratified random
sampling when the strata are different from the map classes, International Journal of Remote Sensing 35, 4923-4939).
Where the strata are the classes of the map they are those of Olofsson et al. 2014 (Good practices for estimating area
and assessing accuracy of land change, Remote Sensing of Environment 148, 42-57), equations 4 to 11.

In a population cut into strata h, of sizes N_h (W_h = N_h / N), every unit has numbers y and x:

    mean       Y = sum_h W_h mean_h(y)           V(Y) = sum_h W_h^2 (1 - n_h / U_h) var_h(y) / n_h
    ratio      R = Y / X                         V(R) = V(y - R x) / X^2

U_h is the number of units of stratum h; var_h divides by n_h - 1. Areas and overall accuracy are means of indicators;
user's and producer's accuracy are ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054
"""Half the width of a 95 % interval in standard errors, of the normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error; both None where the sample does not tell."""

    value: float | None
    error: float | None

    @property
    def half_width(self) -> float | None:
        """Of the 95 % interval around the value."""
        return None if self.error is None else Z95 * self.error

    def times(self, factor: float) -> Estimate:
        """Return the estimate in another unit."""
        if self.value is None or self.error is None:
            return self
        return Estimate(self.value * factor, self.error * factor)


@dataclass(frozen=True)
class Stratified:
    """A stratified random sample."""

    stratum: np.ndarray
    """int (n,): of each unit, 0 to the number of strata less one."""
    sizes: np.ndarray
    """float64 (stratum,): N_h, in any unit; areas where units were drawn with probability proportional to theirs."""
    units: np.ndarray
    """float64 (stratum,): U_h, how many units each has, for the correction of finite populations."""

    def __post_init__(self) -> None:
        """Refuse strata that tell no variance."""
        counts = np.bincount(self.stratum, minlength=len(self.sizes))
        poor = [place for place in range(len(self.sizes)) if counts[place] < min(2, self.units[place])]
        if poor or len(counts) > len(self.sizes):
            raise ValueError(f"each stratum needs two units for its variance; strata {poor} have fewer")

    @property
    def weights(self) -> np.ndarray:
        """Return W_h, float64 (stratum,)."""
        return self.sizes / self.sizes.sum()

    def mean(self, values: np.ndarray) -> Estimate:
        """Estimate the population mean of a number per unit, (n,)."""
        means, variances, counts = self._by_stratum(values)
        left = np.maximum(0.0, 1 - counts / self.units)
        variance = (self.weights**2 * left * variances / counts).sum()
        return Estimate(float((self.weights * means).sum()), float(np.sqrt(variance)))

    def ratio(self, values: np.ndarray, among: np.ndarray) -> Estimate:
        """Estimate the ratio of the population means of two numbers per unit, (n,) each; unknown where it is of 0."""
        below = self.mean(among).value
        if not below:
            return Estimate(None, None)
        above = self.mean(values).value
        assert above is not None
        error = self.mean(values - above / below * among).error
        assert error is not None
        return Estimate(above / below, error / below)

    def of_stratum(self, values: np.ndarray) -> list[Estimate]:
        """Estimate the mean within each stratum."""
        means, variances, counts = self._by_stratum(values)
        errors = np.sqrt(np.maximum(0.0, 1 - counts / self.units) * variances / counts)
        return [Estimate(mean, error) for mean, error in zip(means.tolist(), errors.tolist(), strict=True)]

    def _by_stratum(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        counts = np.bincount(self.stratum, minlength=len(self.sizes))
        means = np.bincount(self.stratum, values, len(self.sizes)) / counts
        squares = np.bincount(self.stratum, (values - means[self.stratum]) ** 2, len(self.sizes))
        return means, squares / np.maximum(counts - 1, 1), counts


@dataclass(frozen=True)
class Accuracy:
    """What a sample tells of a map; everything by class in the order of its classes."""

    overall: Estimate
    users: tuple[Estimate, ...]
    """Of what is mapped as a class: the share that is."""
    producers: tuple[Estimate, ...]
    """Of what is a class: the share that is mapped as such."""
    shares: tuple[Estimate, ...]
    """Of the population that is a class: times its area, that of the class."""
    matrix: np.ndarray
    """float64 (class of the map, class of the reference): estimated shares of the population."""
    agreement: tuple[Estimate, ...]
    """Overall accuracy within each stratum."""
    within: tuple[tuple[Estimate, ...], ...]
    """Of each class, of each stratum: the share of the stratum that is of the class."""


def accuracy_of(sample: Stratified, mapped: np.ndarray, reference: np.ndarray, classes: int) -> Accuracy:
    """Estimate areas and accuracies.

    Args:
        sample: the design.
        mapped: int (n,): class of the map at each unit.
        reference: int (n,): class that is there.
        classes: how many classes there are.
    """
    right = (mapped == reference).astype(float)
    is_mapped = [(mapped == k).astype(float) for k in range(classes)]
    is_there = [(reference == k).astype(float) for k in range(classes)]
    return Accuracy(
        overall=sample.mean(right),
        users=tuple(sample.ratio(right * one, one) for one in is_mapped),
        producers=tuple(sample.ratio(right * one, one) for one in is_there),
        shares=tuple(sample.mean(one) for one in is_there),
        matrix=np.array([[sample.mean(a * b).value for b in is_there] for a in is_mapped], float),
        agreement=tuple(sample.of_stratum(right)),
        within=tuple(tuple(sample.of_stratum(one)) for one in is_there),
    )


def sample_size(weights: Sequence[float], expected: Sequence[float], error: float) -> int:
    """Return how many units estimate the overall accuracy with a standard error (Olofsson et al. 2014, equation 13).

    Args:
        weights: W_h of each stratum.
        expected: user's accuracy that is expected of each.
        error: standard error that is wanted.
    """
    spread = sum(w * (u * (1 - u)) ** 0.5 for w, u in zip(weights, expected, strict=True))
    return int(np.ceil((spread / error) ** 2 - 1e-9))


def allocation(size: int, weights: Sequence[float], units: Sequence[int], least: int) -> list[int]:
    """Return how many units to draw in each stratum: in proportion to its weight, but no less than some.

    Rare strata get `least`, what remains is shared among the others (Olofsson et al. 2014, section 5.1.2); a stratum
    that has fewer units than it should get gives them all.

    Args:
        size: of the sample.
        weights: W_h of each stratum.
        units: how many there are in each.
        least: in each stratum, where it has so many.

    Raises:
        ValueError: the sample is too small for that, or larger than the population.
    """
    floors = [min(least, count) for count in units]
    if sum(floors) > size:
        raise ValueError(f"{least} units in each of {len(units)} strata are more than a sample of {size}; ask for more")
    if sum(units) < size:
        raise ValueError(f"a sample of {size} is more than the {sum(units)} units that there are; ask for fewer")
    weight, low, high = np.array(weights), np.array(floors, float), np.array(units, float)
    none, all_of_it = 0.0, float((high / weight).max())
    for _ in range(200):  # how many for a weight of 1: the sum of what each gets then rises with that
        middle = (none + all_of_it) / 2
        if np.clip(middle * weight, low, high).sum() < size:
            none = middle
        else:
            all_of_it = middle
    shares = np.clip(all_of_it * weight, low, high)
    found = np.floor(shares).astype(int)
    by_remainder = np.argsort(found - shares, kind="stable")
    found[by_remainder[: size - found.sum()]] += 1
    return [int(count) for count in found]
