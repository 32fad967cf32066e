"""Labels of nodes, and what is asked of them: Ray's label selectors, read before any cluster is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?"
_VALUE = re.compile(rf"(?P<negated>!?)(?:in\((?P<several>{_NAME}(?:, ?{_NAME})*)\)|(?P<one>{_NAME}))")
_KEY = re.compile(rf"(?:[a-zA-Z0-9.-]{{1,253}}/)?{_NAME}")


@dataclass(frozen=True)
class Selector:
    """What one label of a node must be, or must not be."""

    label: str
    values: frozenset[str]
    negated: bool

    @classmethod
    def parse(cls, label: str, text: str) -> Selector:
        """Read what Ray calls a label selector: ``spot``, ``!spot``, ``in(a, b)`` or ``!in(a, b)``.

        Raises:
            ValueError: it is none.
        """
        found = _VALUE.fullmatch(text)
        if found is None or _KEY.fullmatch(label) is None:
            raise ValueError(
                f"labels: {label}: {text!r} selects no nodes; write a value, '!value', 'in(a, b)' or '!in(a, b)', of "
                "letters, digits, '-', '_' and '.'"
            )
        values = re.split(", ?", found["several"]) if found["several"] else [found["one"]]
        return cls(label, frozenset(values), bool(found["negated"]))

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels is meant; one without the label is, where values are excluded."""
        return (labels.get(self.label) in self.values) != self.negated


def fit(asked: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels is what was asked for."""
    return all(Selector.parse(label, text).fits(labels) for label, text in asked.items())


def told(asked: Mapping[str, str]) -> str:
    """Return what was asked for, for the end of a sentence about nodes; empty where nothing was."""
    return f" on nodes with {', '.join(f'{label}={text}' for label, text in asked.items())}" if asked else ""
