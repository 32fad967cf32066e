"""Which rows a table of networks has: each alone, their mean, their ensemble, with and without more views."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TTA = " + TTA"


@dataclass(frozen=True)
class Lineup:
    """Which networks are judged, and so which rows there are."""

    names: tuple[str, ...]
    """Of the networks."""
    several_views: bool

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"bundles must have names of their own, found {list(self.names)}; rename one")

    @property
    def principal(self) -> str:
        """The best that is at hand: the ensemble if there are several networks, with all views."""
        return self._best("ensemble" if len(self.names) > 1 else self.names[0])

    def _best(self, name: str) -> str:
        return name + TTA if self.several_views else name

    @property
    def groups(self) -> dict[str, list[str]]:
        """Rows that are means of the members' scores."""
        suffixes = ("", TTA) if self.several_views else ("",)
        return {f"mean of members{s}": [n + s for n in self.names] for s in suffixes} if len(self.names) > 1 else {}

    @property
    def order(self) -> list[str]:
        """Rows of networks, in the order of the table."""
        more = ("mean of members", "ensemble") if len(self.names) > 1 else ()
        suffixes = ("", TTA) if self.several_views else ("",)
        return [name + suffix for suffix in suffixes for name in (*self.names, *more)]

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        """What the ensemble gains over its members, and what more views gain."""
        found = []
        if len(self.names) > 1:
            others = ("mean of members", *self.names)
            found = [(f"ensemble minus {n}", self.principal, self._best(n)) for n in others]
        if self.several_views:
            plain = self.principal.removesuffix(TTA)
            found.append((f"TTA minus one view, {plain}", self.principal, plain))
        return found

    def maps(self, first: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
        """Return the logits of every row but the groups, (n, K, h, w) each, of what `Members.predict_each` told."""
        found: dict[str, np.ndarray] = {}
        for suffix, logits in (("", first), (TTA, mean)) if self.several_views else (("", first),):
            found |= {name + suffix: one for name, one in zip(self.names, logits, strict=True)}
            if len(self.names) > 1:
                found["ensemble" + suffix] = logits.mean(axis=0)
        return found
