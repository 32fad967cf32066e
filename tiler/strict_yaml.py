"""YAML that means one thing: no tags that build objects, no key twice, no text that unfolds without end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

LARGEST_BYTES = 4 * 2**20
"""Of a file; thousands of scenes described one by one take less."""
MOST_NODES = 500_000
"""Values of a document once every alias stands for what it names."""
TAGS = tuple(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map", "merge", "value")
)
"""What values may be."""
DEEPEST = 64
"""Lists and mappings inside each other."""


def read_yaml(path: Path) -> Any:
    """Return the values of a YAML file.

    Raises:
        ValueError: no such file, too large, not UTF-8, or not plain YAML.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist or is not a file (looked in {Path.cwd()}); check the path")
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        raise ValueError(
            f"{path} has {size} bytes, more than the {LARGEST_BYTES} of a configuration; name files by globs"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error


def parse_yaml(text: str) -> Any:
    """Return the values of a YAML text.

    Raises:
        ValueError: what is wrong, and where.
    """
    with _told():
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    if node is None:
        return None
    _check(node, {}, ())
    with _told():
        return loader.construct_document(node)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ValueError(f"lists and mappings lie more than {DEEPEST} deep; write it flat") from error
    except Exception as error:  # beside YAMLError, constructors raise what int() and datetime() do
        raise ValueError(f"{' '.join(str(error).split())}; correct it") from error


def _check(node: yaml.Node, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a node stands for, aliases counted as often as they are used."""
    if id(node) in above:
        raise ValueError(f"an alias names what it lies in{node.start_mark}; write the values out")
    if id(node) in sizes:
        return sizes[id(node)]
    if len(above) >= DEEPEST:
        raise ValueError(f"lists and mappings lie more than {DEEPEST} deep{node.start_mark}; write it flat")
    if node.tag not in TAGS:
        raise ValueError(f"the tag {node.tag!r} is not known{node.start_mark}; write plain texts, numbers and lists")
    within = (*above, id(node))
    total = 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        total += sum(_check(key, sizes, within) + _check(value, sizes, within) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_check(item, sizes, within) for item in node.value)
    if total > MOST_NODES:
        raise ValueError(f"aliases unfold to more than {MOST_NODES} values{node.start_mark}; write the values out")
    sizes[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name = key.tag, key.value
            if name in seen:
                raise ValueError(f"the key {key.value!r} stands there twice{key.start_mark}; take one out")
            seen.add(name)
