"""Recipes of curation, `task: curate`: which verbs of `sandan curate` to run, in which order, with which settings.

A recipe says what a command line would say, so that it can be kept, compared and repeated. Repeating it makes no new
versions: removals that are listed already, word for word, are that version.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.frozen import Frozen
from jobs.parsing import load
from jobs.shell import DONE, INCOMPLETE

OPTIONS = {"begin": "on"}
"""Settings whose option of the command line is called otherwise."""


class ReportStep(Frozen):
    """The frame, the verdicts and the page."""

    covers: int | None = Field(default=None, ge=1)


class BalanceStep(Frozen):
    """Leave out tiles of over-full classes."""

    begin: Literal["kept", "all"] = "kept"
    """With what: `--on` of the command line (YAML takes a key `on` for a yes)."""
    times: float = Field(default=3.0, gt=1)
    seed: int = 0
    split: str | None = None
    covers: int | None = Field(default=None, ge=1)


class CleanStep(Frozen):
    """Find clusters in suspected classes; without `by` and `remove`, leave nothing out."""

    begin: Literal["kept", "all"] = "kept"
    """With what: `--on` of the command line (YAML takes a key `on` for a yes)."""
    classes: tuple[str, ...] | Literal["all"] | None = None
    """None: those with an odd mean pixel."""
    reducers: tuple[str, ...] | None = None
    """None: all that need no network; () for those of `encoder` and `vectors` alone."""
    encoder: dict[str, str] = Field(default={})
    """Name of a reducer to the bundle that makes its vectors."""
    vectors: dict[str, str] = Field(default={})
    """Name of a reducer to a file of vectors."""
    clusters: int = 2
    seed: int = 0
    sample: int | None = Field(default=None, ge=2)
    flag: float | None = Field(default=None, ge=0)
    reducer: str | None = None
    """Whose clusters are taken instead of those of the chosen one."""
    remove: int | tuple[int, ...] | None = None
    by: Literal["rule"] | None = None


class FilterStep(Frozen):
    """Leave out what is not good enough."""

    begin: Literal["kept", "all"] = "kept"
    """With what: `--on` of the command line (YAML takes a key `on` for a yes)."""
    missing: float | None = Field(default=None, ge=0, le=1)
    min_width: int | None = None
    min_height: int | None = None
    max_width: int | None = None
    max_height: int | None = None
    outliers: float | None = Field(default=None, ge=0)
    duplicates: Literal["none", "exact", "near"] = "none"
    list: str | None = None


class ApplyStep(Frozen):
    """Say which versions count."""

    versions: Literal["all", "none"] | tuple[int, ...] = "all"


class Step(Frozen):
    """One verb with its settings, such as `balance: {seed: 1}`."""

    report: ReportStep | None = None
    balance: BalanceStep | None = None
    clean: CleanStep | None = None
    filter: FilterStep | None = None
    apply: ApplyStep | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = sorted(self.model_fields_set)
        if len(named) != 1 or getattr(self, named[0]) is None:
            raise ValueError(f"a step is one verb with its settings, such as `balance: {{seed: 1}}`; found {named}")
        return self

    @property
    def verb(self) -> str:
        """Which."""
        return next(iter(self.model_fields_set))

    def words(self, run: str) -> list[str]:
        """Return the command line of this step: what the recipe says, and nothing that it does not."""
        words = [self.verb, run]
        settings = getattr(self, self.verb)
        for name in sorted(settings.model_fields_set):
            value, option = getattr(settings, name), f"--{OPTIONS.get(name, name).replace('_', '-')}"
            if isinstance(value, dict):
                words += [word for key, path in value.items() for word in (option, f"{key}={path}")]
            elif isinstance(value, tuple):
                words += [f"{option}={','.join(map(str, value))}"]
            elif value is not None:
                words += [f"{option}={value}"]
        return words


class CurateRecipe(Frozen):
    """A recipe of curation."""

    task: Literal["curate"]
    run: str
    """Run YAML with a `dataset`."""
    train: tuple[str, ...] = ()
    """Recipes of networks that make vectors; they are trained first, unless they are."""
    steps: tuple[Step, ...] = Field(min_length=1)


def follow(arguments: argparse.Namespace, perform: Callable[[list[str]], int]) -> int:
    """Train what the recipe names and do its steps, up to the first that does not succeed.

    Args:
        arguments: `config`, `set` and `dry_run` of the command line.
        perform: a command line of `sandan curate` to its exit code.

    Raises:
        ValueError: the recipe, or a file that it names, is bad; then no step was done.
    """
    recipe = load(CurateRecipe, arguments.config, arguments.set)
    absent = [path for path in (recipe.run, *recipe.train) if not Path(path).is_file()]
    if absent:
        raise ValueError(f"{arguments.config} names {absent}, which are not there (looked in {Path.cwd()})")
    for path in recipe.train:
        from jobs.train import main as train

        code = train([path, *(["--dry-run"] if arguments.dry_run else [])])
        if code not in (DONE, INCOMPLETE):
            return code
    for number, step in enumerate(recipe.steps, 1):
        print(f"--- {number}/{len(recipe.steps)} {step.verb}")
        code = perform([*step.words(recipe.run), *(["--dry-run"] if arguments.dry_run else [])])
        if code != DONE:
            return code
    return DONE
