"""To draw is most of the work of a small run, and few tests look at pictures: the others get an empty one."""

import base64
import contextlib
from collections.abc import Iterator
from typing import IO, Any

import pytest
from matplotlib.figure import Figure

EMPTY = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP6DwABBQECz6AuzQAAAABJRU5ErkJggg==")
"""A PNG of one pixel."""
_SAVE = Figure.savefig


def _save_nothing(self: Figure, file: IO[bytes], **options: Any) -> None:
    file.write(EMPTY)


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Compose figures as ever, and save an empty picture of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _save_nothing)
        yield


@contextlib.contextmanager
def drawn() -> Iterator[None]:
    """Draw in the middle of `undrawn`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _SAVE)
        yield
