"""Which nodes get workers: what a selector means, as Ray reads it."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray._private.label_utils import validate_label_selector_value

from cluster.engine import Resources
from cluster.labels import Selector, fit, told
from cluster.resources import resolve

VALUES = st.sampled_from(["spot", "on-demand", "H100", "a.b_c"])
WORDS = st.text(alphabet="abZ09-_./!(), in", max_size=12)


@given(VALUES, st.none() | VALUES)
def test_a_value_is_meant_or_excluded(value: str, found: str | None) -> None:
    labels = {} if found is None else {"market": found}
    assert fit({"market": value}, labels) == (found == value)
    assert fit({"market": f"!{value}"}, labels) == (found != value)


@given(st.lists(VALUES, min_size=1, max_size=3), st.none() | VALUES)
def test_one_of_several_is_meant_or_excluded(values: list[str], found: str | None) -> None:
    labels = {} if found is None else {"market": found}
    assert fit({"market": f"in({', '.join(values)})"}, labels) == (found in values)
    assert fit({"market": f"!in({','.join(values)})"}, labels) == (found not in values)


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("abc"), VALUES))
def test_every_label_that_is_asked_for_must_fit(asked: dict[str, str], labels: dict[str, str]) -> None:
    assert fit(asked, labels) == (asked.items() <= labels.items())


@given(WORDS)
def test_what_ray_refuses_is_refused_before_a_cluster_is_reached(text: str) -> None:
    ray_takes_it = text != "" and validate_label_selector_value(text) is None
    bare = text.removeprefix("!")
    if bare.startswith("("):  # Ray's pattern lets parentheses without "in" pass; its scheduler knows no such thing
        return
    with nullcontext() if ray_takes_it else pytest.raises(ValueError, match="selects no nodes"):
        Selector.parse("ray.io/market", text)


def test_a_label_without_a_proper_name_is_refused() -> None:
    with pytest.raises(ValueError, match="selects no nodes"):
        Resources(labels={"-market": "spot"})


def test_what_was_asked_for_is_told() -> None:
    assert told({}) == ""
    assert told({"market": "!spot", "zone": "a"}) == " on nodes with market=!spot, zone=a"


def test_machines_that_come_with_the_work_are_not_counted_before() -> None:
    asked = Resources(6, 1.0, 4, autoscaling=True, labels={"market": "spot"})
    found = resolve(asked, cpus=0, gpus=0)
    assert (found.workers, found.gpus_per_worker, found.threads_per_worker, found.cpus_per_worker) == (6, 1.0, 4, 4.0)
    assert found.labels == {"market": "spot"}
    with pytest.raises(ValueError, match=r"found 0 GPU.*autoscaling"):
        resolve(Resources(6, 1.0, 4), cpus=8, gpus=0)


@pytest.mark.parametrize("auto", ["workers", "gpus_per_worker", "threads_per_worker"])
def test_nothing_can_be_counted_from_machines_that_are_not_there_yet(auto: str) -> None:
    numbers = {"workers": 2, "gpus_per_worker": 0, "threads_per_worker": 1} | {auto: "auto"}
    with pytest.raises(ValueError, match=f"autoscaling: {auto} cannot be 'auto'"):
        Resources(**numbers, autoscaling=True)


def test_fractions_of_a_gpu_are_shared() -> None:
    assert resolve(Resources(gpus_per_worker=0.5), cpus=16, gpus=3).workers == 6
    assert resolve(Resources(gpus_per_worker=2), cpus=16, gpus=5).workers == 2
