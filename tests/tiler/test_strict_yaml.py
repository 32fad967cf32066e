"""YAML: what is plain is read as PyYAML reads it, everything else is a ValueError."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tiler.strict_yaml import DEEPEST, LARGEST_BYTES, parse_yaml, read_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
TOKENS = st.sampled_from(
    [*"{}[],:-?&*!|>%@`'\"#\n\t \0", "&a", "*a", "<<", "<<: *a", "!!int ", "!!python/object:x ", "---\n", "0x", "1e9"]
)


@given(VALUES)
def test_plain_values_come_back(values):
    assert parse_yaml(yaml.safe_dump(values)) == values


@given(st.lists(TOKENS | st.text(max_size=4), max_size=14).map("".join))
def test_any_text_is_what_pyyaml_reads_or_a_value_error(text):
    try:
        found = parse_yaml(text)
    except ValueError:
        return
    assert repr(found) == repr(yaml.safe_load(text))


def test_aliases_and_merges_are_fine_while_they_are_small():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2}


@pytest.mark.parametrize(("depth", "fine"), [(DEEPEST - 1, True), (DEEPEST + 1, False), (100_000, False)])
def test_lists_lie_in_each_other_so_deep_and_no_deeper(depth, fine):
    text = "[" * depth + "]" * depth
    if fine:
        parse_yaml(text)
    else:
        with pytest.raises(ValueError, match="deep"):
            parse_yaml(text)


def test_keys_of_unlike_types_are_unlike():
    assert parse_yaml("1: a\n'1': b\n") == {1: "a", "1": "b"}
    with pytest.raises(ValueError, match="'1' stands there twice"):
        parse_yaml("1: a\n1: b\n")


def test_a_file_is_small_utf_8_and_named_in_every_error(tmp_path):
    path = tmp_path / "a.yaml"
    for data, says in ((b"\xff", "not UTF-8"), (b"#" * (LARGEST_BYTES + 1), "more than"), (b"a: [", "not valid YAML")):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"a\.yaml.* {says}"):
            read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfa: \xec\x82\xb0")
    assert read_yaml(path) == {"a": "산"}
    with pytest.raises(ValueError, match=r"none.* is not a file"):
        read_yaml(tmp_path / "none")
