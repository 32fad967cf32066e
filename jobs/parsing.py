"""Reading configurations: YAML plus `--set key=value`, parsed once. Unknown keys name the nearest known one.

`extends: other.yaml` (relative to the file that says it) gives a file its defaults.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tiler.strict_yaml import parse_yaml, read_yaml

Config = TypeVar("Config", bound=BaseModel)

MOST_PARENTS = 16
"""Files that `extends` may go through."""
DEEPEST_KEY = 16
"""Parts of a key of `--set`."""
TOLD = 10
"""Errors that a message names."""
SHAPES = ("string_type", "tuple_type", "model_type")
"""Errors that say: not a text, a list, a mapping."""

_SHORT = reprlib.Repr()  # a value of a configuration may be large; a message is a sentence
_SHORT.maxstring = _SHORT.maxother = 120


def load(
    kind: type[Config] | Callable[[Mapping[str, Any]], type[Config]], path: str, overrides: Sequence[str] = ()
) -> Config:
    """Read a configuration file.

    Args:
        kind: `jobs.config.RunConfig`, or a function that chooses the model by the values: `recipe_kind`.
        path: the YAML file.
        overrides: `a.b=value` texts; the value is YAML.

    Raises:
        ValueError: the file is absent, is no YAML mapping, or holds a key or value that does not fit.
    """
    values = _read(Path(path), ())
    for override in overrides:
        _override(values, override)
    if not isinstance(kind, type):
        try:
            kind = kind(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return parse(kind, values, path)


def parse(kind: type[Config], values: Mapping[str, Any], source: str) -> Config:
    """Turn plain values into a model.

    Args:
        kind: the model.
        values: its keys and values.
        source: what to call the values in errors: a file, or a section of one.

    Raises:
        ValueError: one sentence for each key or value that does not fit.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        told = _of_one_shape(error.errors())
        more = [f"and {len(told) - TOLD} more like these"] if len(told) > TOLD else []
        raise ValueError(f"{source}: " + "; ".join([*(_explain(kind, e) for e in told[:TOLD]), *more])) from error


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise ValueError(f"{path}: `extends` goes in a circle through {[str(p) for p in seen]}; break it")
    if len(seen) >= MOST_PARENTS:
        raise ValueError(f"{seen[0]}: `extends` goes through more than {MOST_PARENTS} files; merge some")
    if not path.exists():
        raise ValueError(f"configuration {path} does not exist (looked in {Path.cwd()}); check the path")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} should hold a mapping of keys to values, found {type(values).__name__}")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str) or not parent or "\0" in parent:
        raise ValueError(f"{path}: `extends` should be the path of one YAML file, found {_SHORT.repr(parent)}")
    return _merge(_read(path.parent / parent, (*seen, path.resolve())), values)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with `above` laid over it; mappings merge, everything else is replaced."""
    out = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merge(out[key], value) if both else value
    return out


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise ValueError(f"--set wants key=value, got {_SHORT.repr(text)}; for example --set infer.overlap_px=96")
    *parents, last = key.strip().split(".")
    if len(parents) >= DEEPEST_KEY:
        raise ValueError(
            f"--set {_SHORT.repr(text)}: a key has at most {DEEPEST_KEY} parts, found {len(parents) + 1}; correct it"
        )
    place: Any = values
    for parent in parents:
        place = place.setdefault(parent, {}) if isinstance(place, dict) else place[_index(place, parent, text)]
        if not isinstance(place, dict | list):
            found = _SHORT.repr(place)
            raise ValueError(f"--set {text}: {parent!r} is {found}, not a mapping; it has no keys below it")
    try:
        value = parse_yaml(raw)
    except ValueError as error:
        raise ValueError(
            f"--set {_SHORT.repr(text)}: {_SHORT.repr(raw)} is not a YAML value ({error}); put it in quotes"
        ) from error
    if isinstance(place, list):
        place[_index(place, last, text)] = value
    else:
        place[last] = value


def _index(items: Sequence[Any], part: str, text: str) -> int:
    if not (part.isdecimal() and len(part) < 9) or int(part) >= len(items):
        raise ValueError(f"--set {text}: {part!r} is no item; the list has items 0 to {len(items) - 1}")
    return int(part)


def _of_one_shape(errors: Sequence[Any]) -> Sequence[Any]:
    """Return errors without those that only say that the input is not of one alternative of a union.

    Of a union, pydantic reports every alternative: those of another shape than the input only confuse.
    """
    inside = {e["loc"][:end] for e in errors if e["type"] not in SHAPES for end in range(1, len(e["loc"]))}
    found = [
        e
        for e in errors
        if not (e["type"] == "string_type" and isinstance(e["input"], list | dict))
        and not (e["type"] in SHAPES and e["loc"][:-1] in inside)
    ]
    return found or errors


def _explain(kind: type[BaseModel], error: Any) -> str:
    """Return one sentence for one pydantic error; unknown keys get the nearest known key."""
    parts = [str(part)[:120] for part in error["loc"]]
    models = _names_of_models(kind)  # a union says which alternative it tried
    where = ".".join(p for p in parts if not p.startswith(("function", "tuple[", "literal[")) and p not in models)
    if error["type"] == "extra_forbidden":
        known = _keys_at(kind, error["loc"][:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known here are {sorted(known)}"
        return f"unknown key {where!r}; {hint}"
    if error["type"] == "missing":
        return f"{where!r} is required and missing"
    if error["type"] == "model_type":
        known = _keys_at(kind, error["loc"])
        return f"{where or 'value'}: should be a mapping with the keys {known}, got {_SHORT.repr(error['input'])}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where or 'value'}: {message}" + (
        "" if error["type"] == "value_error" else f", got {_SHORT.repr(error['input'])}"
    )


def _keys_at(kind: type[BaseModel], path: Sequence[Any]) -> list[str]:
    """Return the known keys of the model at a path of an error."""
    models: list[type[BaseModel]] = [kind]
    for part in map(str, path):
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        named = [model for model in models if model.__name__ in part]  # the alternative of a union that was tried
        models = (_models_in(fields[0].annotation) if fields else named) or models
    return list(models[0].model_fields)


def _names_of_models(kind: type[BaseModel]) -> set[str]:
    below = [m for field in kind.model_fields.values() for m in _models_in(field.annotation)]
    return {kind.__name__}.union(*map(_names_of_models, below))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]
