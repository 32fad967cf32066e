"""Gates: every bound that is given is asked, and what cannot be measured is not passed."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.gates import MapFacts, lacking_scenes, refused, verdicts
from jobs.map_changes import MapChange
from jobs.quality_gate import quality_facts
from jobs.schedule_config import GatesConfig

SHARES = st.none() | st.floats(0, 1)


def gates_of(judged) -> list[str]:
    return [one.gate for one in judged]


def test_a_whole_first_map_passes_what_is_asked_by_default():
    judged = verdicts(GatesConfig(), MapFacts(found=3, mapped=3))
    assert refused(judged) == []
    assert gates_of(judged) == ["min_scenes", "max_lacking", "failed_cells"]


@given(
    st.builds(GatesConfig, min_seen=SHARES, max_gained=SHARES, max_lost=SHARES, min_miou=SHARES),
    st.builds(MapFacts, found=st.just(4), mapped=st.just(4), seen=SHARES, miou=SHARES, has_before=st.booleans()),
)
def test_what_cannot_be_measured_is_not_passed_and_what_is_not_asked_is_not_judged(gates, facts):
    judged = {one.gate: one for one in verdicts(gates, facts)}
    for gate, found in (("min_seen", facts.seen), ("min_miou", facts.miou)):
        bound = getattr(gates, gate)
        assert (gate in judged) == (bound is not None)
        if bound is not None:
            assert judged[gate].passed == (found is not None and found >= bound)
    for gate in ("max_gained", "max_lost"):
        assert (gate in judged) == (facts.has_before and getattr(gates, gate) is not None)
        if gate in judged:  # there is a map before, and no comparison
            assert not judged[gate].passed


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.floats(0, 2), st.floats(0, 1))
def test_gains_and_losses_are_shares_of_what_was_mapped(before, gained, lost, most_gained, most_lost):
    change = MapChange(before, gained, min(lost, before), 100.0)
    judged = {
        one.gate: one.passed
        for one in verdicts(
            GatesConfig(max_gained=most_gained, max_lost=most_lost), MapFacts(1, 1, has_before=True, change=change)
        )
    }
    assert judged["max_gained"] == (gained <= most_gained * max(before, 1) or gained / max(before, 1) <= most_gained)
    assert judged["max_lost"] == (change.lost_px / max(before, 1) <= most_lost)


def test_bounds_belong_to_what_passes_and_all_that_fails_is_told():
    gates = GatesConfig(min_scenes=3, max_lacking=0.25)
    facts = MapFacts(found=4, mapped=3, lacking=("d",))
    assert refused(verdicts(gates, facts)) == []
    facts = MapFacts(found=4, mapped=2, lacking=("c", "d"), failed_cells=1)
    failed = refused(verdicts(gates, facts))
    assert gates_of(failed) == ["min_scenes", "max_lacking", "failed_cells"]
    assert failed[1].told == "2 of 4 scenes are missing or not whole (c, d), at most 0.25 is asked (gates.max_lacking)"


def test_scenes_that_a_map_lacks_are_those_left_out_dropped_or_holed():
    record = {
        "scenes": [{"id": "a", "logits": "a-1"}, {"id": "b", "logits": "b-1"}],
        "quarantined": {"infer/b-1/window_r0_c0": "", "ingest/c-1/r0_c0": "", "mosaic/m_r0/c0": ""},
    }
    assert lacking_scenes({"a": "", "b": "", "c": ""}, {"fog": "no raster"}, record) == ["b", "c", "fog"]


def test_the_worst_scene_and_the_odd_one_are_judged():
    levels = {f"s{i}": [1000.0 + 10 * i, 300.0 - 3 * i] for i in range(7)}
    missing = dict.fromkeys(levels, 0.02) | {"s4": 0.35}
    gates = GatesConfig(max_missing=0.3, max_odd=6)
    failed = refused(verdicts(gates, MapFacts(7, 7, quality=quality_facts(missing, levels))))
    assert gates_of(failed) == ["max_missing"]
    assert failed[0].told == "scene s4 misses most, 35.0%, at most 0.3 is asked (gates.max_missing)"
    levels["s2"] = [value * 10 for value in levels["s2"]]  # reflectance x 10,000 among x 1,000
    failed = refused(verdicts(gates, MapFacts(7, 7, quality=quality_facts(dict.fromkeys(levels, 0.0), levels))))
    assert gates_of(failed) == ["max_odd"]
    assert "of scene s2 has the mean" in failed[0].told


def test_few_scenes_tell_nothing_of_an_odd_one_and_equal_ones_are_not_odd():
    few = {f"s{i}": [1000.0] for i in range(4)}
    gates = GatesConfig(max_odd=6)
    failed = refused(verdicts(gates, MapFacts(4, 4, quality=quality_facts(dict.fromkeys(few, 0.0), few))))
    assert "4 scenes have valid pixels, and 5 are needed" in failed[0].told
    more = few | {"s4": [1000.0], "s5": [1040.0]}
    assert refused(verdicts(gates, MapFacts(6, 6, quality=quality_facts(dict.fromkeys(more, 0.0), more)))) == []
    assert quality_facts({}, {}).missing is None
