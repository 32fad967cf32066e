"""Curate a data set, windows of scenes, or frames: report, balance, clean, filter, and apply what was decided.

python -m jobs.curate report RUN.yaml
sandan curate recipe RECIPE.yaml
sandan curate clean images.yaml --by rule
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np

from jobs.config import RunConfig
from jobs.curate_clean import (
    KNOWN,
    PIXEL_REDUCERS,
    REDUCERS,
    STATISTICS,
    Cleaning,
    cleaned,
    of_pixels,
    read_vectors,
    suspects,
    usual_reducers,
)
from jobs.curate_desk import Desk, open_desk, planned_subject
from jobs.curate_encode import encoded, split_spec
from jobs.curate_frame import LAND_COVERS
from jobs.curate_parser import parser
from jobs.curate_recipe import follow
from jobs.curate_verbs import RULE, USER, Limits, balanced, filtered
from jobs.curate_versions import Removal, account_of, read_list, read_version, version_numbers, write_account
from jobs.parsing import load
from jobs.shell import DONE, INCOMPLETE
from jobs.text_table import TextTable
from jobs.use_files import answered, number


def _report(desk: Desk, arguments: argparse.Namespace) -> int:
    from jobs.curate_report import write_report  # draws: matplotlib takes as long to import as all else

    facts = write_report(desk)
    for verdict in facts["verdicts"].values():
        print(verdict)
    print(f"{'nothing is written (--dry-run)' if desk.dry else _folder(desk) + '/report.html'}")
    return DONE


def _balance(desk: Desk, arguments: argparse.Namespace) -> int:
    times = number(arguments.times, "--times", 1)
    usable = desk.kept(arguments.on == "all") & desk.looks.seen
    if arguments.split is not None:
        usable &= desk.frame["split"] == arguments.split
        if not usable.any():
            known = sorted(set(desk.frame["split"].tolist()))
            raise ValueError(f"--split {arguments.split}: no tile is left of it; the data set has {known}")
    judged, removals = balanced(desk.frame, usable, desk.class_names, times, arguments.seed)
    print(judged.verdict)
    desk.keep_version("balance", removals, _settings(arguments))
    return DONE


def _filter(desk: Desk, arguments: argparse.Namespace) -> int:
    missing = desk.planned.limit if arguments.missing is None else number(arguments.missing, "--missing", 0, 1)
    limits = Limits(
        missing=missing,
        least_width=arguments.min_width,
        least_height=arguments.min_height,
        most_width=arguments.max_width,
        most_height=arguments.max_height,
        outliers=None if arguments.outliers is None else number(arguments.outliers, "--outliers", 0),
        copies=arguments.duplicates,
        listed=() if arguments.list is None else read_list(arguments.list),
    )
    removals = filtered(desk.frame, desk.kept(arguments.on == "all"), limits)
    rules = [rule for one in removals for rule in one.rule.split("; ")]
    for rule in dict.fromkeys(rules):
        print(f"{rules.count(rule)} tiles break {rule}")
    desk.keep_version("filter", removals, _settings(arguments) | {"missing": missing})
    return DONE


def _clean(desk: Desk, arguments: argparse.Namespace) -> int:
    names = usual_reducers(desk.store.sensor)
    if arguments.reducers is not None:
        names = [name.strip() for name in arguments.reducers.split(",") if name.strip()]
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise ValueError(
            f"--reducers: {unknown} are unknown; known are {list(KNOWN)}; others come by --encoder or --vectors"
        )
    bound = number(arguments.flag, "--flag", 0)
    given = dict(read_vectors(spec, desk.ids) for spec in arguments.vectors)
    encoders = [split_spec(spec) for spec in arguments.encoder]
    usable = desk.kept(arguments.on == "all") & desk.looks.seen
    chosen = suspects(desk.frame, usable, arguments.classes, bound)
    if not len(chosen[0]) and arguments.classes is None:
        print("no class has an odd mean pixel: nothing is suspected; name some by --classes A,B or --classes all")
        return DONE
    given |= {name: encoded(desk.store, chosen[0], bundle) for name, bundle in encoders}
    given = of_pixels([name for name in names if name in PIXEL_REDUCERS], desk.store, chosen[0]) | given
    facts = (arguments.clusters, arguments.seed, arguments.sample)
    pooled = [name for name in names if name in REDUCERS]
    found = cleaned(desk.frame, desk.looks, usable, chosen, pooled, given, *facts)
    if arguments.reducer is not None:
        found = found.by_user(arguments.reducer)
    one = found.best.clustering
    clusters = [found.suspect.index] if arguments.remove is None else _numbers(arguments.remove, "--remove")
    if not set(clusters) < set(range(len(one.sizes))):
        raise ValueError(
            f"--remove {arguments.remove}: {one.reducer} has the clusters 0 to {len(one.sizes) - 1}; keep one"
        )
    from jobs.curate_sheets import cleaning_files

    print(_table(found))
    print(f"chosen: {found.chosen.reason}")
    print(f"suspect: {found.suspect.reason}")
    for note in found.notes:
        print(note)
    files = cleaning_files(desk, found)
    for name, data in files.items():
        desk.put(f"clean/{name}", data)
    if arguments.remove is None and arguments.by is None:
        print(f"look at {_folder(desk)}/clean/{one.reducer}-*.png, then repeat with --by rule or --remove CLUSTER")
        return DONE
    rule, by = f"clean {one.reducer} k={arguments.clusters} seed={arguments.seed}", RULE if arguments.by else USER
    removals = [
        Removal(
            desk.ids[found.rows[place]],
            found.suspect.reason if arguments.by else f"cluster {cluster} of {one.reducer}, chosen by the user",
            *(f"{rule} cluster={cluster}", by),
        )
        for place, cluster in enumerate(one.labels.tolist())
        if cluster in clusters
    ]
    version = desk.keep_version("clean", removals, _settings(arguments) | {"statistics": list(STATISTICS)})
    for name, data in files.items() if version is not None else ():
        desk.put(f"{version:04d}/{name}", data)
    return DONE


def _table(found: Cleaning) -> str:
    from jobs.curate_clean import score_rows

    rows = score_rows(found)
    lines = [[f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row.values()] for row in rows]
    header = tuple(rows[0])
    return TextTable("scores", "Clusters", "", header, tuple(map(tuple, lines))).plain()


def _apply(desk: Desk, arguments: argparse.Namespace) -> int:
    storage = desk.planned.storage
    there = version_numbers(storage)
    wanted = there if arguments.versions == "all" else _numbers(arguments.versions, "--versions")
    account = account_of(desk.planned.name, desk.ids, [read_version(storage, one) for one in wanted])
    print(account.sentence)
    for one in account.taken:
        if one.already:
            print(f"version {one.version}: {one.already} of its {one.listed} tiles were taken by earlier ones")
    rows = np.isin(desk.ids, account.kept)
    never = int((rows & ~(desk.frame["missing_ratio"] <= np.float32(desk.planned.limit))).sum())
    if never and desk.planned.limit_is_kept:
        print(f"of these {never} never train: damaged, or missing more than {desk.planned.limit:g} (see filter)")
    if not account.kept:
        raise ValueError("nothing would be kept; apply fewer versions")
    if desk.dry:
        print("nothing is written (--dry-run)")
        return DONE
    write_account(storage, account)
    from jobs.curate_report import write_report

    write_report(Desk(desk.planned, desk.store, desk.looks))
    print(f"{_folder(desk)}/kept.csv, report.html")
    return DONE


def _numbers(text: str, option: str) -> list[int]:
    if text == "none" and option == "--versions":
        return []
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        more = ", all, or none" if option == "--versions" else ""
        raise ValueError(f"{option} {text}: numbers with commas between{more}") from error


def _folder(desk: Desk) -> str:
    return f"{desk.planned.config.out.rstrip('/')}/curation"


def _settings(arguments: argparse.Namespace) -> dict[str, object]:
    return {name: value for name, value in vars(arguments).items() if name not in ("verb", "config", "set", "dry_run")}


WORK: dict[str, Callable[[Desk, argparse.Namespace], int]] = {
    "report": _report,
    "balance": _balance,
    "clean": _clean,
    "filter": _filter,
    "apply": _apply,
}


def _work(words: Sequence[str] | None) -> int:
    arguments = parser().parse_args(words)
    if arguments.verb == "recipe":
        return follow(arguments, _work)
    planned = planned_subject(load(RunConfig, arguments.config, arguments.set))
    covers = getattr(arguments, "covers", LAND_COVERS)
    if covers < 1:
        raise ValueError(f"--covers {covers}: ask for one land cover or more")
    desk = open_desk(planned, arguments.dry_run, covers)
    if desk is None:
        return DONE if arguments.dry_run else INCOMPLETE
    code = WORK[arguments.verb](desk, arguments)
    return INCOMPLETE if code == DONE and planned.looks_left()[0] else code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("curate", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
