"""Looking a name up in one of the plain tables of this package."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """Return `table[name]`; an unknown name is answered with the nearest known one.

    Raises ValueError: `name` is not in the table; the message lists what is.
    """
    if name in table:
        return table[name]
    raise ValueError(unknown(name, table, what))


def unknown(name: str, known: Mapping[str, object] | tuple[str, ...], what: str) -> str:
    """Return the sentence that answers an unknown name: what was asked, what exists, what to write."""
    folded = {key.casefold(): key for key in known}  # a wrong capital is the nearest of all mistakes
    near = get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.4)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return f"Unknown {what} {name!r}.{hint} Known: {', '.join(sorted(known))}."
