"""Gates: every bound that is given is asked, and what cannot be measured is not passed."""

from hypothesis import given
from hypothesis import strategies as st

from jobs.gates import MapFacts, lacking_scenes, refused, verdicts
from jobs.map_changes import MapChange
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
