"""Accuracy: areas and accuracies of a published map with 95 % intervals, from a sample that people labelled.

sandan accuracy map.yaml runs/june/sample/sample.csv
sandan accuracy runs/july labels.csv --design runs/june/sample/sample.json
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cluster.storage import Storage
from jobs.accuracy_results import FACTS, PAGE, UNMAPPED, console_table, remarks_of, results_of, write_results
from jobs.opened_map import OpenedMap, open_map
from jobs.sample_design import MOST_THREADS, read_design, read_labels
from jobs.shell import DONE
from jobs.use_files import answered
from models.stratified import Stratified, accuracy_of
from tiler.classes import NO_CLASS
from tiler.grids import MapGrid
from tiler.sampling import draw

EXAMPLES = """examples:
  sandan accuracy map.yaml runs/june/sample/sample.csv
  sandan accuracy runs/june labels.csv --design runs/june/sample/sample.json
  sandan accuracy runs/july runs/june/sample/sample.csv      a later map of the same grid, by the same labels

exit codes: 0 done, 1 fault, 2 bad input (nothing written), 130 interrupted"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandan accuracy",
        description="Estimate areas and accuracies of a published map from a labelled sample.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="the run's YAML, or its folder (local, s3://, gs://)")
    parser.add_argument(
        "sample", metavar="SAMPLE.csv", help="the table of `sandan sample` with its column `label` filled"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=value", help="override one key of the run; may be repeated"
    )
    parser.add_argument("--design", metavar="SAMPLE.json", help="of the sample (default: beside the table)")
    parser.add_argument("--out", metavar="FOLDER", help="where the files go (default: accuracy in the run's folder)")
    return parser


def _read(address: str) -> bytes:
    folder, slash, name = address.rpartition("/")
    try:
        return Storage(folder + slash or ".").get(name)
    except FileNotFoundError as error:
        raise ValueError(f"{address} does not exist; `sandan sample` writes it") from error


def classes_of(labels: Mapping[str, Mapping[str, str]], classes: Sequence[str]) -> dict[str, int]:
    """Return the class of every labelled point; labels are names of classes, or their values.

    Raises:
        ValueError: a label is neither.
    """
    known = {name.casefold(): value for value, name in enumerate(classes)}
    found, wrong = {}, {}
    for point, row in labels.items():
        label = row["label"]
        if not label:
            continue
        if label.casefold() in known:
            found[point] = known[label.casefold()]
        elif label.isdecimal() and int(label) < len(classes):
            found[point] = int(label)
        else:
            wrong[point] = label
    if wrong:
        point, label = next(iter(wrong.items()))
        near = difflib.get_close_matches(label, classes, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"{len(wrong)} labels are no classes of the map (the first is {label!r} of {point}); known are "
            f"{list(classes)}, did you mean {near!r}?"
        )
    return found


def mapped_at(opened: OpenedMap, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the class of a map at points of its grid, int (n,); `NO_CLASS` where it saw nothing, or does not reach."""
    rows, cols = (np.array([point[name] for point in points]) for name in ("row", "col"))
    return opened.at_points(rows, cols)[0].astype(int)


def mapped_areas(opened: OpenedMap, design: Mapping[str, Any]) -> dict[str, float]:
    """Return the area of each class of a map in m²: from the design if it is of this map, else from all its pixels."""
    names = opened.classes
    if (design["map"], design["threshold"]) == (opened.name, opened.threshold):
        areas = np.zeros(len(names))
        for one in design["strata"]:
            areas[one["value"]] += one["area_m2"]
        return dict(zip(names, areas.tolist(), strict=True))
    store, threads = opened.store, min(os.cpu_count() or 1, MOST_THREADS)
    strata = draw(opened.class_at, len(names), 0, store.grid, store.extent, 0, threads)
    return {name: stratum.area_m2 for name, stratum in zip(names, strata, strict=True)}


def assess(opened: OpenedMap, design: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]) -> tuple[dict, list]:
    """Estimate areas and accuracies of a map from the labels of a sample.

    Returns:
        Results as `jobs.accuracy_results.results_of` makes them, and remarks.

    Raises:
        ValueError: map, design and labels do not fit together, or a stratum has fewer than two labels.
    """
    store = opened.store
    if list(opened.classes) != design["classes"]:
        raise ValueError(f"the sample is of the classes {design['classes']}, the map of {list(opened.classes)}")
    if store.grid != MapGrid(design["crs"], tuple(design["resolution"]), tuple(design["phase"])):
        raise ValueError(
            f"the sample lies on another grid than the map ({design['crs']} at {design['resolution']}, and "
            f"{store.grid.crs} at {list(store.grid.resolution)}); draw one from this map"
        )
    unknown = [name for name in labels if name not in {point["id"] for point in design["points"]}]
    if unknown:
        raise ValueError(f"{len(unknown)} points of the table are not in the design (the first is {unknown[0]})")
    reference = classes_of(labels, opened.classes)
    if not reference:
        raise ValueError(f"no point has a label; fill the column `label` with {list(opened.classes)}")
    points = [point for point in design["points"] if point["id"] in reference]
    strata = design["strata"]
    places = {one["name"]: place for place, one in enumerate(strata)}
    stratum = np.array([places[point["stratum"]] for point in points])
    counts = np.bincount(stratum, minlength=len(strata)).tolist()
    poor = [one["name"] for one, count in zip(strata, counts, strict=True) if count < min(2, one["units"])]
    if poor:
        raise ValueError(f"each stratum needs two labelled points for its variance; label more of {poor}")
    sample = Stratified(stratum, *(np.array([one[key] for one in strata], float) for key in ("area_m2", "units")))
    mapped, there = mapped_at(opened, points), np.array([reference[point["id"]] for point in points])
    unmapped = mapped == NO_CLASS
    names = [*opened.classes, *([UNMAPPED] if unmapped.any() else [])]
    found = accuracy_of(sample, np.where(unmapped, len(opened.classes), mapped), there, len(names))
    results = results_of(found, names, mapped_areas(opened, design), strata, stratum)
    other = (design["map"], design["threshold"]) != (opened.name, opened.threshold)
    return results, remarks_of(results, len(design["points"]) - len(points), other, int(unmapped.sum()))


def _work(words: Sequence[str] | None) -> int:
    arguments = _parser().parse_args(words)
    opened = open_map(arguments.run, arguments.set)
    where = arguments.design or f"{arguments.sample.removesuffix('.csv')}.json"
    design, labels = read_design(_read(where), where), read_labels(_read(arguments.sample), arguments.sample)
    results, remarks = assess(opened, design, labels)
    out = Storage(arguments.out or f"{opened.out.url}/accuracy")
    facts = {
        "run": opened.out.url,
        "map": opened.name,
        "threshold": opened.threshold,
        "sample": arguments.sample,
        "design": where,
        "drawn": len(design["points"]),
    }
    write_results(out, results, facts, remarks)
    print(console_table(results))
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(f"{out.url}/{FACTS}\n{out.url}/{PAGE}")
    return DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    return answered("accuracy", lambda: _work(argv))


if __name__ == "__main__":
    sys.exit(main())
