from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.brightness import Gain
from models.drift import FEW, MISSING, DriftSpec, Items, find_drift, holm

QUICK = DriftSpec(rate=0.1, components=8, clusters=5, resamples=100)


def country(seed: int, like: np.ndarray | None = None, blocks: int = 20, per_block: int = 5, regions: int = 3):
    """Return items in blocks of likeness, and what is common to the items of each block."""
    random = np.random.default_rng(seed)
    count, dim = blocks * regions, 12
    common = random.normal(size=(count, dim)) if like is None else like
    block = np.repeat(np.arange(count), per_block)
    rows = common[block] + 0.7 * random.normal(size=(len(block), dim))
    return Items(rows, block // blocks, block, np.ones(len(block), bool)), common


def moved(run: Items, region: int, offset: float = 0.0, gain: float = 1.0) -> Items:
    return replace(
        run, embeddings=np.where((run.region == region)[:, None], run.embeddings * gain + offset, run.embeddings)
    )


@pytest.mark.parametrize("same_ground", [True, False])
def test_false_alarms_are_at_most_nominal(same_ground):
    """Runs of the same country, and, harder, of another country made by the same dice."""
    runs, alarms = 40, 0
    for seed in range(runs):
        reference, common = country(seed)
        run, _ = country(seed + 10_000, common if same_ground else None)
        alarms += any(one.drifts for one in find_drift(reference, run, QUICK))
    # 4 are expected at the nominal rate; 9 or more come by chance in 1.6 % of tries
    assert alarms < 9


def test_likeness_of_neighbours_matters():
    """The same test with every item its own block is wrong: it takes neighbours for independent."""
    alarms = 0
    for seed in range(8):
        reference, _ = country(seed)
        run, _ = country(seed + 10_000)
        alone = [replace(one, block=np.arange(len(one.block))) for one in (reference, run)]
        alarms += any(one.drifts for one in find_drift(*alone, QUICK))
    assert alarms > 4


@pytest.mark.parametrize("change", [{"offset": 1.0}, {"gain": 2.0}, {"gain": 0.4}])
def test_a_planted_shift_is_found_where_it_is_and_nowhere_else(change):
    reference, common = country(1)
    run, _ = country(2, common)
    found = find_drift(reference, moved(run, 1, **change), QUICK)
    assert [one.drifts for one in found] == [False, True, False]
    assert found[1].reasons
    assert found[1].corrected <= QUICK.rate
    assert all(found[1].distances[name] > found[1].thresholds[name] for name in found[1].reasons)
    assert found[0].reasons == ()


def gain(band: str, probability: float, ratio: float = 1.1) -> Gain:
    return Gain(band, "2024-05-10", ratio, 1.01, 8, probability)


def test_a_gain_is_a_reason_and_the_distances_beside_it_keep_their_half():
    reference, common = country(1)
    run, _ = country(2, common)
    plain = find_drift(reference, run, QUICK)
    look = {0: [gain("red", 1e-6), gain("nir", 0.5)], 1: [gain("red", 0.3), gain("nir", 0.5)]}
    found = find_drift(reference, moved(run, 1, 1.0), QUICK, look)
    assert found[0].reasons == ("gain red 1.10",)
    assert found[0].gains == tuple(look[0])
    assert found[0].probability == pytest.approx(2 * 2 * 1e-6)
    assert (found[1].drifts, [r for r in found[1].reasons if r.startswith("gain")]) == (True, [])
    assert (found[2].drifts, found[2].gains, found[2].probability) == (False, (), plain[2].probability)
    few = reference.only((reference.region != 0) | (reference.block < 5))
    (unjudged, *_) = find_drift(few, run, QUICK, look)
    assert (unjudged.judged, unjudged.gains) == (False, ())


def test_false_alarms_stay_nominal_with_gains():
    """Three regions, two bands each, probabilities as they are where nothing changed."""
    alarms, random = 0, np.random.default_rng(3)
    for seed in range(40):
        reference, common = country(seed)
        run, _ = country(seed + 10_000, common)
        look = {region: [gain(band, float(random.random())) for band in ("red", "nir")] for region in range(3)}
        alarms += any(one.drifts for one in find_drift(reference, run, QUICK, look))
    assert alarms < 9  # as above


def test_what_is_missing_is_a_reason_of_its_own():
    reference, common = country(1)
    run, _ = country(2, common)
    half = (run.region == 2) & (run.block % 2 == 0)
    found = find_drift(reference, replace(run, seen=~half), QUICK)
    assert [one.reasons for one in found] == [(), (), (MISSING,)]
    assert found[2].lost == pytest.approx(0.5)
    assert found[2].judged
    gone = find_drift(reference, run.only(run.region < 2), QUICK)
    assert (gone[2].drifts, gone[2].reasons, gone[2].lost) == (True, (MISSING,), 1.0)


def test_a_region_with_little_ground_is_not_judged_and_says_so():
    reference, common = country(1)
    run, _ = country(2, common)
    few = (reference.region != 0) | (reference.block < 5)
    found = find_drift(reference.only(few), moved(run, 0, offset=5.0), QUICK)
    assert (found[0].judged, found[0].drifts, found[0].reasons) == (False, False, (FEW,))


def test_dates_that_differ_widen_what_is_allowed():
    """A reference of several dates, each off by something of its own: a run that is off as much is nothing new."""
    reference, common = country(1)
    random = np.random.default_rng(5)
    dates = [country(10 + d, common)[0] for d in range(8)]
    offsets = random.normal(size=(9, 12))
    rows = np.concatenate([one.embeddings + offsets[d] for d, one in enumerate(dates)])
    several = Items(
        rows,
        np.tile(reference.region, 8),
        np.tile(reference.block, 8),
        np.ones(len(rows), bool),
        np.repeat(np.arange(8), len(reference.region)),
    )
    run, _ = country(2, common)
    off = replace(run, embeddings=run.embeddings + offsets[8])
    assert not any(one.drifts for one in find_drift(several, off, QUICK))
    one_date = several.only(several.acquisitions == 0)
    assert any(one.drifts for one in find_drift(one_date, off, QUICK))
    assert all(one.lost == 0 for one in find_drift(several, off, QUICK))


def test_the_answer_is_one_for_one_seed_and_any_order_of_rows():
    reference, common = country(1)
    run, _ = country(2, common)
    mixed = run.only(np.random.default_rng(0).permutation(len(run.region)))
    first, again = find_drift(reference, run, QUICK), find_drift(reference, mixed, QUICK)
    for one, other in zip(first, again, strict=True):
        assert one.distances == pytest.approx(other.distances)
        assert one.probability == other.probability


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_steps_down(values):
    """The smallest against rate / m, the next against rate / (m - 1)... until one does not pass."""
    corrected, rate = holm(np.array(values)), 0.05
    rejected: set[int] = set()
    for step, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        if values[place] * (len(values) - step) > rate:
            break
        rejected.add(place)
    assert set(np.flatnonzero(corrected <= rate).tolist()) == rejected
    assert (corrected >= np.array(values)).all()


def test_bad_input_is_told():
    reference, common = country(1)
    run, _ = country(2, common)
    with pytest.raises(ValueError, match=r"embeddings of 11 numbers.*reference of 12.*one model"):
        find_drift(reference, replace(run, embeddings=run.embeddings[:, :11]), QUICK)
    with pytest.raises(ValueError, match="the reference saw 0 items"):
        find_drift(replace(reference, seen=np.zeros(len(reference.seen), bool)), run, QUICK)
    with pytest.raises(ValueError, match="arrays of one length"):
        replace(run, region=run.region[:3])
