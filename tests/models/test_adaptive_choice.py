"""Choosing the threshold: what it says of a map is what assembling that map gives, and the bound bounds the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.adaptive_choice import Evidence, choose
from models.adaptive_rule import BINS, STEP, bins_of, classes_in

H, W = 6, 11


def windows(seed: int, count: int = 30, classes: int = 1):
    """Return first pass, full ensemble, its spread (w, K, y, x) and validity: some windows certain, some not."""
    random = np.random.default_rng(seed)
    sure = random.uniform(0.2, 6, (count, 1, 1, 1))
    full = (random.normal(0, 1, (count, classes, H, W)) * sure).astype(np.float32)
    full -= sure * (random.random((count, 1, 1, 1)) < 0.4) * 3
    first = full + random.normal(0, 1, full.shape).astype(np.float32)
    spread = random.uniform(0, 2, full.shape).astype(np.float32)
    return first, full, spread, random.random((count, H, W)) < 0.9


def evidence_of(first, full, spread, valid, threshold=0.5) -> Evidence:
    return Evidence.together([Evidence.of(*one, threshold) for one in zip(first, full, spread, valid, strict=True)])


def distance_of(a: np.ndarray, b: np.ndarray) -> float:
    union = (a | b).sum()
    return 1 - (a & b).sum() / union if union else 0.0


def assembled(first, full, valid, choice, threshold=0.5):
    """Return the classes of the adaptive map and of the full one, valid pixels only, (class, pixel)."""
    adaptive, whole = [], []
    for a, f, seen in zip(first, full, valid, strict=True):
        expected = choice.change[bins_of(a, threshold)][seen].sum()
        taken = f if expected > choice.refine_above + 1e-9 else a
        adaptive.append(classes_in(taken, threshold)[:, seen])
        whole.append(classes_in(f, threshold)[:, seen])
    return np.concatenate(adaptive, axis=1), np.concatenate(whole, axis=1)


@given(st.integers(0, 10_000), st.sampled_from([1, 3]), st.floats(0.01, 0.6), st.floats(0.2, 0.8))
def test_the_distance_is_that_of_the_assembled_map_and_keeps_the_bound(seed, classes, bound, threshold):
    first, full, spread, valid = windows(seed, classes=classes)
    choice = choose(evidence_of(first, full, spread, valid, threshold), 8, bound, seed)
    found, whole = assembled(first, full, valid, choice, threshold)
    distance = max(distance_of(a, f) for a, f in zip(found, whole, strict=True))
    assert distance == pytest.approx(choice.distance, abs=1e-9)
    assert choice.upper <= bound
    assert choice.forwards == pytest.approx(1 / 8 + choice.refined)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_no_score_changes_by_more_than_the_distance(pixels):
    a, f, t = np.array(pixels).T
    assert abs(distance_of(a, t) - distance_of(f, t)) <= distance_of(a, f) + 1e-12


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.5])
def test_windows_that_look_alike_are_refined_together_or_not_at_all(bound):
    """Each window twice, with the same first pass: the rule cannot tell them apart, whatever became of them."""
    first, full, spread, valid = windows(9, 12)
    twins = [np.concatenate([values, values]) for values in (first, full, spread, valid)]
    twins[1][12:] = np.roll(full, 3, axis=2)
    choice = choose(evidence_of(*twins), 8, bound)
    found, whole = assembled(twins[0], twins[1], twins[3], choice)
    assert 0 < choice.refined < 1
    assert distance_of(found[0], whole[0]) == pytest.approx(choice.distance, abs=1e-9)


def test_a_looser_bound_never_costs_more():
    evidence = evidence_of(*windows(3, 60))
    shares = [choose(evidence, 8, bound).refined for bound in (0.001, 0.01, 0.1, 0.3, 0.9)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


def test_windows_that_agree_are_not_refined():
    _, full, spread, valid = windows(5)
    same = evidence_of(full, full, spread, valid)
    choice = choose(same, 8, 0.001)
    assert (choice.refined, choice.distance, choice.forwards) == (0.0, 0.0, 1 / 8)
    mixed = np.where(np.arange(len(full))[:, None, None, None] < 3, full + 9 * np.sign(-full), full)
    mixed[3:] *= 50  # the others are certain
    choice = choose(evidence_of(mixed, np.concatenate([full[:3], full[3:] * 50]), spread, valid), 8, 1e-6)
    assert choice.refined < 1


def test_missing_pixels_do_not_count():
    first, full, spread, valid = windows(8, 4)
    other = np.where(valid[:, None], first, -first * 7)
    a, b = evidence_of(first, full, spread, valid), evidence_of(other, full, spread, valid)
    for name, values in a.to_json().items():
        assert values == b.to_json()[name], name
    assert a.pixels.sum() == valid.sum()


def test_tables_are_shares_and_means_and_change_falls_with_the_margin():
    first, full, spread, valid = windows(11, 40)
    choice = choose(evidence_of(first, full, spread, valid), 8, 0.1)
    assert (np.diff(choice.change) <= 0).all()
    bins = np.concatenate([bins_of(a, 0.5)[v] for a, v in zip(first, valid, strict=True)])
    differs = np.concatenate(
        [(classes_in(a, 0.5) != classes_in(f, 0.5))[0][v] for a, f, v in zip(first, full, valid, strict=True)]
    )
    assert choice.change[0] >= differs[bins == 0].mean() - 1e-9
    spreads = np.concatenate([s[0][v] for s, v in zip(spread, valid, strict=True)])
    assert choice.spread[2] == pytest.approx(spreads[bins == 2].mean(), abs=1e-3)


def test_an_empty_bin_is_as_the_less_certain_one_before_it():
    first, full, spread, valid = windows(4)
    choice = choose(evidence_of(first.clip(-1, 1), full, spread, valid), 8, 0.1)
    last = int(1 / STEP)
    assert choice.change[last] > 0
    assert (choice.change[last:] == choice.change[last]).all()
    assert (choice.spread[last:] == choice.spread[last]).all()


def test_the_curve_runs_from_nothing_to_the_full_map():
    choice = choose(evidence_of(*windows(2, 50)), 4, 0.2)
    first, last = choice.curve[0], choice.curve[-1]
    assert (first["refined"], first["forwards"]) == (0.0, 0.25)
    assert (last["refined"], last["distance"], last["upper"]) == (1.0, 0.0, 0.0)
    assert first["distance"] > choice.distance
    assert {"refined": choice.refined, "distance": round(choice.distance, 6)}.items() <= next(
        point for point in choice.curve if point["refined"] == choice.refined
    ).items()


def test_evidence_travels_as_plain_lists():
    evidence = evidence_of(*windows(1, 3, classes=4))
    again = Evidence.from_json(evidence.to_json())
    assert again.both.shape == (3, 3)
    for name in ("pixels", "changed", "both", "either", "full"):
        np.testing.assert_array_equal(getattr(again, name), getattr(evidence, name))


def test_no_windows_are_refused():
    with pytest.raises(ValueError, match="nothing to learn from"):
        choose(Evidence(*(np.zeros((0, BINS)),) * 3, *(np.zeros((0, 1)),) * 3), 8, 0.1)
