"""What a tick decides, as equations over any inputs."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schedule_decisions import (
    Act,
    Held,
    Inputs,
    Pointer,
    decide_act,
    differences,
    published_after,
    retained,
    rolled_back,
    run_id,
)

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
SCENES = st.dictionaries(NAMES, st.sampled_from(["1", "2"]))
INPUTS = st.builds(Inputs, SCENES, st.dictionaries(st.sampled_from(["grid", "fuse"]), st.sampled_from(["x", "y"])))
KEYS = ["k0", "k1", "k2"]
RUNS = st.dictionaries(st.sampled_from([f"{n:06}-20260101-{n:012x}" for n in range(6)]), st.sampled_from(KEYS))


def pointer(run: str, key: str = "", **more) -> Pointer:
    return Pointer(run, key, more.pop("fence", 1), "2026-01-01", "", **more)


@given(INPUTS, INPUTS)
def test_inputs_differ_where_their_keys_do(before, now):
    found = differences(before, now)
    assert (str(found) == "nothing") == (before.key == now.key)
    parts = (found.new, found.changed, found.removed)
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set(found.new) | set(found.changed) <= now.scenes.keys()
    assert set(found.removed).isdisjoint(now.scenes)
    back = differences(now, before)
    assert (back.new, back.changed, back.removed) == (found.removed, found.changed, found.new)
    kept = {n: s for n, s in before.scenes.items() if n not in found.removed}
    assert kept | {n: now.scenes[n] for n in found.new + found.changed} == now.scenes


@given(INPUTS)
def test_of_the_first_run_every_scene_is_new_and_no_setting_is(now):
    found = differences(None, now)
    assert (set(found.new), found.changed, found.removed, found.settings) == (set(now.scenes), (), (), ())


def test_keys_do_not_depend_on_order():
    assert Inputs({"a": "1", "b": "2"}, {}).key == Inputs({"b": "2", "a": "1"}, {}).key
    assert Inputs({"a": "1"}, {"b": "2"}).key != Inputs({"b": "2"}, {"a": "1"}).key


@given(st.sampled_from(KEYS), RUNS, st.sampled_from(KEYS), st.lists(st.sampled_from(KEYS), max_size=2), st.data())
def test_what_is_published_or_held_is_not_made_and_what_was_begun_goes_on(key, runs, published, held, data):
    run = data.draw(st.sampled_from(sorted(runs))) if runs else "gone"
    holds = tuple(Held(f"r{n}", k) for n, k in enumerate(held))
    for point in (None, pointer(run, published, held=holds)):
        act, same = decide_act(key, point, runs)
        if act is Act.NOTHING:
            assert point is not None
            assert (point.key, runs[point.run], same) == (key, key, point.run)
        elif act is Act.HELD:
            assert point is not None
            assert key in held
        else:
            assert point is None or key not in held
            assert (act is Act.BEGIN) == (same is None) == (key not in runs.values())
        if same is not None:
            assert runs[same] == key
            assert act is Act.NOTHING or not [one for one in runs if runs[one] == key and one > same]


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.datetimes(), st.datetimes())
def test_ids_sort_by_tick_whatever_the_clock_says(one, other, when, then):
    first, second = run_id(one, when, "0" * 12), run_id(other, then, "f" * 12)
    if one < other and len(str(other)) <= 6:
        assert first < second


@given(st.lists(st.integers(0, 8), min_size=1, max_size=12), st.integers(1, 4))
def test_publishing_keeps_the_last_few_and_never_loses_the_present_one(order, keep):
    point = None
    for fence, number in enumerate(order):
        point = published_after(point, pointer(f"r{number}", f"k{number}", fence=fence))
    assert point is not None
    assert point.run not in point.earlier
    assert len(set(point.earlier)) == len(point.earlier)
    assert {point.run, *point.earlier} == {f"r{n}" for n in order}
    stays = retained(point, keep, "now", published=True)
    assert {"now", point.run} <= stays
    assert len(stays - {"now"}) == min(keep, len(set(order)))


def test_going_back_holds_what_came_later_and_going_on_releases_it():
    keys = {f"r{n}": f"k{n}" for n in range(4)}
    before = pointer("r3", "k3", earlier=("r2", "r1", "r0"))
    back = rolled_back(before, pointer("r1", "k1", fence=2), keys)
    assert (back.run, back.earlier) == ("r1", ("r0",))
    assert back.held == (Held("r3", "k3"), Held("r2", "k2"))
    assert decide_act("k3", back, keys) == (Act.HELD, "r3")
    assert retained(back, 2, None, published=False) == {"r0", "r1", "r2", "r3"}
    assert retained(back, 2, None, published=True) == {"r0", "r1"}
    on = rolled_back(back, pointer("r2", "k2", fence=3), keys)
    assert (on.run, on.earlier, on.held) == ("r2", ("r1", "r0"), (Held("r3", "k3"),))
    assert published_after(on, pointer("r3", "k3")).held == ()


@pytest.mark.parametrize(("to", "told"), [("r3", "is the published one"), ("r9", "never published"), ("r0", "no more")])
def test_no_way_back_to_what_is_not_there(to, told):
    with pytest.raises(ValueError, match=told) as error:
        rolled_back(pointer("r3", earlier=("r2", "r0")), pointer(to), {"r3": "", "r2": ""})
    assert "['r2']" in str(error.value)


def test_a_pointer_is_read_as_it_was_written():
    point = pointer("r1", "k1", earlier=("r0",), held=(Held("r2", "k2"),), facts={"folder": "runs/r1/maps/x"})
    assert Pointer.parse(point.text) == point
    for text in (b"", b"[]", b"{}", json.dumps({**json.loads(point.text), "more": 1}).encode()):
        with pytest.raises(ValueError, match="no pointer of a product"):
            Pointer.parse(text)
    assert replace(point, fence=9) != point
    assert run_id(7, datetime(2026, 7, 1, tzinfo=UTC), "0123456789ab") == "000007-20260701-0123456789ab"
