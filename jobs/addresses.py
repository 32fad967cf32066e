"""Every address that a configuration names, whichever job reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from jobs.polygons_config import AUTO, NONE

FIELDS = (
    "adaptive",
    "area",
    "bands",
    "curation",
    "earlier",
    "file",
    "files",
    "georeference",
    "list",
    "model",
    "models",
    "modalities",
    "root",
    "scenes",
    "sensor",
    "stac",
)
"""Names of the fields, at any depth, whose texts are files, folders or patterns."""


def addresses(model: BaseModel, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield (key, address) of every file, folder or pattern that a model names, such as `scenes.0.files`."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        named = name in FIELDS and not (name == "earlier" and value in (AUTO, NONE))
        yield from _within(value, f"{at}{name}", named)


def _within(value: Any, at: str, named: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        yield from addresses(value, f"{at}.")
    elif isinstance(value, str) and named:
        yield at, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _within(one, f"{at}.{key}", named)
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _within(one, f"{at}.{number}", named)
